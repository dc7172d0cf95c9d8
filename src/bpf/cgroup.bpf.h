/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cgroup.bpf.h - cgroups: weights down a hierarchy, and limits.
 *
 * Each cgroup has a slot, each task the number of its cgroup's. What its own
 * runnable tasks weigh is summed as they come and go; all that follows from
 * the hierarchy is worked out by a timer, a few milliseconds behind
 * (pass.bpf.h), so no callback here or on the way of a task walks it:
 *
 *   weight of a task = share of the group * its own / all that is runnable there
 *   share of a group = cpu.weight * share of the parent / what is active there,
 *                      times a correction for what it got too little or too much
 *
 * The correction is what makes shares hold for the machine: a group whose tasks
 * sit where others crowd gets a larger part there.
 *
 * cpu.max: run time is taken off the budget of every group with a quota, from
 * the task's up. A task whose group has none left is parked in that group's own
 * queue, and the timer brings it back.
 */
#ifndef TOLL_CGROUP_BPF_H
#define TOLL_CGROUP_BPF_H

/* Quotas that may lie above one another; those beyond are not enforced. */
#define TOLL_MAX_LIMITS 4
/* Deeper down, a cgroup's share is that of an equal at this depth. */
#define TOLL_MAX_DEPTH 16

/* One more than the highest slot that was ever taken. */
u32 toll_nr_slots = 1;

/* Count @p among the runnable tasks of its group, with its weight of now. */
static __always_inline void group_enter(struct task_struct *p, struct toll_task *t)
{
	struct toll_group *g;

	if (!t->group || t->group_counted != TOLL_MAX_GROUPS)
		return;
	g = group_of(t->group);
	if (!g)
		return;
	t->group_weight = p->scx.weight;
	t->group_counted = t->group;
	__sync_fetch_and_add(&g->runnable, t->group_weight);
	__sync_fetch_and_add(&g->nr_runnable, 1);
}

static __always_inline void group_leave(struct toll_task *t)
{
	struct toll_group *g;

	if (t->group_counted == TOLL_MAX_GROUPS)
		return;
	g = group_of(t->group_counted);
	t->group_counted = TOLL_MAX_GROUPS;
	if (!g)
		return;
	__sync_fetch_and_sub(&g->runnable, t->group_weight);
	__sync_fetch_and_sub(&g->nr_runnable, 1);
}

/* The nearest slot above @g with a limit; 0: none. */
static __always_inline u32 limit_above(struct toll_group *g)
{
	struct toll_group *up = group_of(g->parent);

	return up ? READ_ONCE(up->limit) : 0;
}

/* Take @used ns of run time off the budgets that hold for @t. */
static __always_inline void group_charge(struct toll_task *t, u64 used)
{
	struct toll_group *g;
	u32 i, slot;

	if (!t->group)
		return;
	g = group_of(t->group);
	if (!g)
		return;
	__sync_fetch_and_add(&g->used_ns, used);
	slot = READ_ONCE(g->limit);
	bpf_for(i, 0, TOLL_MAX_LIMITS) {
		if (!slot)
			break;
		g = group_of(slot);
		if (!g)
			break;
		__sync_fetch_and_sub(&g->budget_ns, used);
		slot = limit_above(g);
	}
}

/* The nearest group from @slot upward whose budget is used up; 0: none. */
static __always_inline u32 group_empty(u32 slot)
{
	struct toll_group *g = group_of(slot);
	u32 i;

	slot = g ? READ_ONCE(g->limit) : 0;
	bpf_for(i, 0, TOLL_MAX_LIMITS) {
		if (!slot)
			break;
		g = group_of(slot);
		if (!g)
			return 0;
		if (READ_ONCE(g->budget_ns) <= 0)
			return slot;
		slot = limit_above(g);
	}
	return slot && i < TOLL_MAX_LIMITS ? slot : 0;
}

/* Whose limit keeps @p from running now; 0: nobody's. */
static __always_inline u32 group_throttled(struct task_struct *p, struct toll_task *t)
{
	if (!t->group || p->tgid == toll_tgid || (p->flags & PF_EXITING))
		return 0;
	return group_empty(t->group);
}

/*
 * Return true if @t is to move whatever it costs because its group is owed a
 * lot: one task of a group between two passes of the timer.
 */
static __always_inline bool group_owed(struct toll_task *t)
{
	struct toll_group *g;

	if (!t->group)
		return false;
	g = group_of(t->group);
	return g && READ_ONCE(g->may_move) && __sync_lock_test_and_set(&g->may_move, 0);
}

/* Slot of the cgroup with @id; 0 for one that is not known. */
static __always_inline u32 slot_of(u64 id)
{
	u32 *slot = bpf_map_lookup_elem(&toll_group_slots, &id);

	return slot ? *slot : 0;
}

static __always_inline u64 cgroup_id(struct cgroup *cgrp)
{
	return cgrp ? BPF_CORE_READ(cgrp, kn, id) : 0;
}

/* Id of the parent of @cgrp; 0 for the root. */
static __always_inline u64 parent_id(struct cgroup *cgrp)
{
	struct cgroup_subsys_state *up = BPF_CORE_READ(cgrp, self.parent);

	return up ? BPF_CORE_READ(up, cgroup, kn, id) : 0;
}

/* Set the limit of @g: quota of run time per period and what may be saved up, in us. */
static __always_inline void set_limit(struct toll_group *g, u32 slot, u64 period_us, u64 quota_us,
				      u64 burst_us)
{
	/* The kernel says "no limit" with the largest number. */
	bool none = !period_us || quota_us > TOLL_NS_MAX / 1000;

	g->period_ns = toll_clamp_ns(period_us * 1000);
	g->burst_ns = none ? 0 : toll_clamp_ns(burst_us * 1000);
	WRITE_ONCE(g->quota_ns, none ? 0 : quota_us * 1000);
	g->budget_ns = g->quota_ns;
	g->period_at = scx_bpf_now();
	/* Those below it see it at the next passes. */
	g->limit = none ? limit_above(g) : slot;
}

/* Take a free slot for the cgroup @id; 0 when there is none. */
static u32 take_slot(u64 id)
{
	struct toll_group *g;
	u32 i, slot;

	bpf_for(i, 1, TOLL_MAX_GROUPS) {
		slot = i;
		g = group_of(slot);
		if (!g || READ_ONCE(g->id))
			continue;
		if (__sync_val_compare_and_swap(&g->id, 0, id) != 0)
			continue;
		if (toll_nr_slots <= slot)
			toll_nr_slots = slot + 1;
		return slot;
	}
	return 0;
}

s32 BPF_STRUCT_OPS_SLEEPABLE(toll_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	u64 id = cgroup_id(cgrp), up = parent_id(cgrp);
	u32 parent = slot_of(up), slot = 0;
	struct toll_group *g;
	s32 err;

	if (up)
		slot = take_slot(id);
	/* Without a slot of its own its tasks share in the parent's. */
	if (bpf_map_update_elem(&toll_group_slots, &id, up && !slot ? &parent : &slot, BPF_ANY))
		return -ENOMEM;
	if (!slot)
		return 0;
	err = scx_bpf_create_dsq(dsq_parked(slot), -1);
	g = group_of(slot);
	if (err || !g)
		return err ? err : -ENOENT;
	g->weight = args->weight;
	g->parent = parent;
	g->share_q10 = (u64)args->weight * TOLL_Q10_ONE;
	set_limit(g, slot, 0, 0, 0);
	if (bpf_core_field_exists(args->bw_quota_us))
		set_limit(g, slot, args->bw_period_us, args->bw_quota_us, args->bw_burst_us);
	return 0;
}

void BPF_STRUCT_OPS(toll_cgroup_exit, struct cgroup *cgrp)
{
	u64 id = cgroup_id(cgrp);
	u32 slot = slot_of(id);
	struct toll_group *g = group_of(slot);

	bpf_map_delete_elem(&toll_group_slots, &id);
	if (!slot || !g || g->id != id)
		return;
	scx_bpf_destroy_dsq(dsq_parked(slot));
	g->runnable = g->nr_runnable = g->used_ns = g->used_seen_ns = 0;
	g->quota_ns = g->kids = g->pass = g->lag_ns = g->parked_at = 0;
	g->limit = g->capped = 0;
	WRITE_ONCE(g->id, 0);
}

void BPF_STRUCT_OPS(toll_cgroup_move, struct task_struct *p, struct cgroup *from, struct cgroup *to)
{
	struct toll_task *t = task_of(p);
	bool counted;

	if (!t)
		return;
	counted = t->group_counted != TOLL_MAX_GROUPS;
	group_leave(t);
	weight_del(t);
	t->group = slot_of(cgroup_id(to));
	if (counted)
		group_enter(p, t);
}

void BPF_STRUCT_OPS(toll_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{
	u64 id = cgroup_id(cgrp);
	struct toll_group *g = group_of(slot_of(id));

	if (g && g->id == id)
		WRITE_ONCE(g->weight, weight);
}

void BPF_STRUCT_OPS(toll_cgroup_set_bandwidth, struct cgroup *cgrp, u64 period_us, u64 quota_us,
		    u64 burst_us)
{
	u64 id = cgroup_id(cgrp);
	u32 slot = slot_of(id);
	struct toll_group *g = group_of(slot);

	if (g && g->id == id)
		set_limit(g, slot, period_us, quota_us, burst_us);
}

#endif /* TOLL_CGROUP_BPF_H */
