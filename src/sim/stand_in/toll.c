/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * toll.c - the BPF half as it is, and by which names its user-space half finds
 * the variables and maps that it sets before load and reads afterwards.
 */
#include "main.bpf.c"

struct sim_named {
	char *name;
	void *at;
	u64 size;
};

struct sim_named_map {
	char *name;
	struct sim_map map;
};

#define VARIABLE(v) { #v, (void *)&v, sizeof(v) }
#define MAP(m) { #m, SIM_MAP(&m) }

SIM_EXPORT struct sim_named *sim_variables(u64 *nr)
{
	static struct sim_named all[] = {
		VARIABLE(toll_nr_llcs),	     VARIABLE(toll_nr_cpu_ids),
		VARIABLE(toll_nr_cpus),	     VARIABLE(toll_llc_node),
		VARIABLE(toll_llc_cache),    VARIABLE(toll_little_q10),
		VARIABLE(toll_slower_pm),    VARIABLE(toll_llc_q10),
		VARIABLE(toll_has_smt),	     VARIABLE(toll_outward),
		VARIABLE(toll_cpu_llc),	     VARIABLE(toll_cpu_capacity),
		VARIABLE(toll_cpu_sibling),  VARIABLE(toll_check_policy),
		VARIABLE(toll_no_push),	     VARIABLE(toll_no_pull),
		VARIABLE(toll_follow),	     VARIABLE(toll_tgid),
		VARIABLE(toll_policy_version), VARIABLE(toll_listen),
	};

	*nr = sizeof(all) / sizeof(all[0]);
	return all;
}

SIM_EXPORT struct sim_named_map *sim_maps(u64 *nr)
{
	static struct sim_named_map all[8];

	*nr = 0;
	all[(*nr)++] = (struct sim_named_map)MAP(toll_policies);
	all[(*nr)++] = (struct sim_named_map)MAP(toll_llcs);
	all[(*nr)++] = (struct sim_named_map)MAP(toll_cpus);
	all[(*nr)++] = (struct sim_named_map)MAP(toll_gates);
	all[(*nr)++] = (struct sim_named_map)MAP(toll_pairs);
	all[(*nr)++] = (struct sim_named_map)MAP(toll_masks);
	all[(*nr)++] = (struct sim_named_map)MAP(toll_groups);
	return all;
}

/* The storage of a map, made now if it is not there yet. */
SIM_EXPORT void *sim_map_storage(struct sim_map *map)
{
	return *map->base ? *map->base : sim_map_make(*map);
}

/* toll_task of @p; NULL before toll_init_task. */
SIM_EXPORT void *sim_task_state(struct task_struct *p)
{
	return task_of(p);
}
