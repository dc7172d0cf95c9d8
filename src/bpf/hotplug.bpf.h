/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hotplug.bpf.h - CPUs go and come while the scheduler runs.
 *
 *   goes    1. it is no capacity any more: idle count, CPU count, capacity, masks
 *           2. what waits in its own queue leaves through its local one, from
 *              which the kernel pushes tasks off a dying CPU
 *           3. what waits in its LLC's queue and may use no other CPU there
 *              leaves for a CPU that it may use
 *   comes   the same figures, the other way round
 *
 * The kernel calls both from the hotplug thread, one CPU at a time, and not with
 * a run queue locked; so they may sleep, and these updates do not race with each
 * other. A task that is queued by a decision which began before step 1 may miss
 * step 3: user space runs it once more (toll_tidy) when it sees that toll_hotplugs
 * has grown.
 *
 * A CPU that was offline when the scheduler was loaded belongs to no LLC. User
 * space finds out which one is its own once it is online, and calls toll_adopt.
 */
#ifndef TOLL_HOTPLUG_BPF_H
#define TOLL_HOTPLUG_BPF_H

/*
 * Turn of a task that has to leave a queue: it goes first wherever it comes, so
 * it has only long enough to be queued by the rule soon.
 */
#define TOLL_LEAVE_SLICE_NS 100000ULL

/* What @cpu is worth to its LLC: a core, or what another thread adds to a core that has one. */
static __always_inline u32 capacity_added(u32 cpu)
{
	u32 other = cpu, i, whole = toll_cpu_capacity[cpu & (TOLL_MAX_CPUS - 1)];
	struct toll_cpu *c;

	bpf_for(i, 0, TOLL_MAX_THREADS) {
		other = toll_cpu_sibling[other & (TOLL_MAX_CPUS - 1)];
		if (other == cpu || other >= TOLL_MAX_CPUS)
			break;
		c = cpu_of(other);
		if (c && c->online)
			return toll_thread_capacity(whole);
	}
	return whole;
}

/* Put @cpu into the mask of @llc_id and into that of all CPUs, or take it out. */
static __always_inline void mask_update(u32 llc_id, u32 cpu, bool in)
{
	u32 keys[2] = { llc_id, toll_nr_llcs }, i;
	struct toll_mask *mask;

	bpf_rcu_read_lock();
	bpf_for(i, 0, 2) {
		u32 key = keys[i & 1];

		mask = bpf_map_lookup_elem(&toll_masks, &key);
		if (!mask || !mask->cpus)
			continue;
		if (in)
			bpf_cpumask_set_cpu(cpu, mask->cpus);
		else
			bpf_cpumask_clear_cpu(cpu, mask->cpus);
	}
	bpf_rcu_read_unlock();
}

/*
 * Send the first tasks of @dsq away that may use no CPU of LLC @llc_id, or all of
 * them if @all: to a CPU that they may use, or else to the one they are on.
 */
static void leave_queue(u64 dsq, u32 llc_id, bool all)
{
	struct task_struct *p;

	bpf_rcu_read_lock();
	bpf_for_each(scx_dsq, p, dsq, 0) {
		const struct cpumask *here = llc_cpus(llc_id), *online = llc_cpus(toll_nr_llcs);
		s32 cpu = scx_bpf_task_cpu(p);
		u32 to = cpu;

		if (!here || !online)
			break;
		if (!all) {
			if (bpf_cpumask_intersects(here, p->cpus_ptr))
				continue;
			to = bpf_cpumask_any_and_distribute(online, p->cpus_ptr);
			if (to >= toll_nr_cpu_ids)
				to = cpu;
		}
		scx_bpf_dsq_move_set_slice(BPF_FOR_EACH_ITER, TOLL_LEAVE_SLICE_NS);
		if (scx_bpf_dsq_move(BPF_FOR_EACH_ITER, p, SCX_DSQ_LOCAL_ON | to, 0)) {
			__sync_fetch_and_add(&toll_nr_left, 1);
			scx_bpf_kick_cpu(to, SCX_KICK_IDLE);
		}
	}
	bpf_rcu_read_unlock();
}

/* A home of LLC @llc_id, of the cache and of the node, has @more CPUs. */
static __always_inline void homes_update(u32 llc_id, u64 more)
{
	struct toll_home *home = home_of_llc(llc_id), *node = home_of_node(llc_node(llc_id));

	if (home)
		__sync_fetch_and_add(&home->nr_cpus, more);
	if (node)
		__sync_fetch_and_add(&node->nr_cpus, more);
}

/* @cpu is part of its LLC from now on. */
static __always_inline void cpu_joins(u32 cpu)
{
	struct toll_cpu *c = cpu_of(cpu);
	u32 llc_id = cpu_llc(cpu);
	struct toll_llc *llc = llc_of(llc_id);

	if (!c || !llc || c->online)
		return;
	c->llc = llc_id;
	__sync_fetch_and_add(&llc->capacity_q10, capacity_added(cpu));
	__sync_fetch_and_add(&llc->nr_cpus, 1);
	homes_update(llc_id, 1);
	share_update(llc);
	WRITE_ONCE(c->online, 1);
	mask_update(llc_id, cpu, true);
}

static __always_inline void cpu_leaves(u32 cpu)
{
	struct toll_cpu *c = cpu_of(cpu);
	u32 llc_id = cpu_llc(cpu);
	struct toll_llc *llc = llc_of(llc_id);

	if (!c || !llc || !c->online)
		return;
	mask_update(llc_id, cpu, false);
	/* From here on toll_update_idle() counts it no more. */
	WRITE_ONCE(c->online, 0);
	idle_set(c, 0);
	taken_set(c, 0);
	__sync_fetch_and_sub(&llc->nr_cpus, 1);
	homes_update(llc_id, -1ULL);
	__sync_fetch_and_sub(&llc->capacity_q10, capacity_added(cpu));
	share_update(llc);
}

void BPF_STRUCT_OPS_SLEEPABLE(toll_cpu_online, s32 cpu)
{
	if (cpu_llc(cpu) == TOLL_NO_LLC)
		__sync_fetch_and_add(&toll_strangers, 1);
	cpu_joins(cpu);
	__sync_fetch_and_add(&toll_hotplugs, 1);
}

void BPF_STRUCT_OPS_SLEEPABLE(toll_cpu_offline, s32 cpu)
{
	u32 llc_id = cpu_llc(cpu);

	cpu_leaves(cpu);
	leave_queue(dsq_cpu(cpu), llc_id, true);
	leave_queue(dsq_llc(llc_id), llc_id, false);
	__sync_fetch_and_add(&toll_hotplugs, 1);
}

/* Once more through all queues: no task waits where no CPU serves it. Run by user space. */
SEC("syscall")
int toll_tidy(void *unused)
{
	u32 llc;

	bpf_for(llc, 0, toll_nr_llcs)
		leave_queue(dsq_llc(llc), llc, false);
	return 0;
}

/* CPU @cpu, which was offline at the start, has got its LLC (toll_cpu_llc). Run by user space. */
SEC("syscall")
int toll_adopt(struct toll_adopted *ctx)
{
	if (ctx->cpu < toll_nr_cpu_ids)
		cpu_joins(ctx->cpu);
	return 0;
}

#endif /* TOLL_HOTPLUG_BPF_H */
