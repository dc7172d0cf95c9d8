/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * machine.bpf.h - what belongs to each LLC and CPU, made before anything is
 * scheduled.
 */
#ifndef TOLL_MACHINE_BPF_H
#define TOLL_MACHINE_BPF_H

/* The queue of LLC @llc, and its homes. */
static s32 init_llc(u32 llc)
{
	struct toll_home *home = home_of_llc(llc), *node = home_of_node(llc_node(llc));
	struct toll_llc *state = llc_of(llc);

	if (!home || !node || !state)
		return -ENOENT;
	home->nr_cpus = state->nr_cpus;
	node->nr_cpus += state->nr_cpus;
	return scx_bpf_create_dsq(dsq_llc(llc), -1);
}

/* The CPU mask of @llc, that of all CPUs for toll_nr_llcs. */
static s32 init_mask(u32 llc)
{
	struct bpf_cpumask *cpus, *old;
	struct toll_mask *mask;
	u32 cpu, of;

	mask = bpf_map_lookup_elem(&toll_masks, &llc);
	cpus = bpf_cpumask_create();
	if (!mask || !cpus) {
		if (cpus)
			bpf_cpumask_release(cpus);
		return -ENOMEM;
	}
	bpf_for(cpu, 0, toll_nr_cpu_ids) {
		of = cpu_llc(cpu);
		if (of == llc || (llc == toll_nr_llcs && of != TOLL_NO_LLC))
			bpf_cpumask_set_cpu(cpu, cpus);
	}
	old = bpf_kptr_xchg(&mask->cpus, cpus);
	if (old)
		bpf_cpumask_release(old);
	return 0;
}

/*
 * The queue of @cpu, also of one that is offline and may come later. As the
 * kernel does, take it for idle: if it is busy it will say so.
 */
static s32 init_cpu(s32 cpu)
{
	struct toll_cpu *c = cpu_of(cpu);
	s32 err = scx_bpf_create_dsq(dsq_cpu(cpu), -1);

	if (!err && c && cpu_llc(cpu) != TOLL_NO_LLC)
		idle_set(c, 1);
	return err;
}

#endif /* TOLL_MACHINE_BPF_H */
