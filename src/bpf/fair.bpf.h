/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fair.bpf.h - weights, and the virtual clock of each LLC on which they become
 * shares.
 *
 * A task's vtime grows by its run time over its weight. A queue is ordered by
 * virtual deadline: the vtime plus the task's next turn. So equal lag means
 * that the shorter turn goes first.
 *
 * The clock of an LLC is the furthest vtime that began a turn there. What a
 * task may be behind it (a long sleep must not buy the CPU for long) and ahead
 * of it (run time that nobody else wanted is not held against it) is one slice
 * in the task's own weight, both ways, and in real time no more than
 * TOLL_MAX_LEAD_NS (ahead: twice both, since turns end with a tick).
 */
#ifndef TOLL_FAIR_BPF_H
#define TOLL_FAIR_BPF_H

/*
 * Real time that a vtime may be away from the clock. A task of the least weight
 * would otherwise wait for as long as its share says, up to minutes. A share
 * whose turns of one slice come less often than this is not exact.
 */
#define TOLL_MAX_LEAD_NS (1000ULL * TOLL_MS)

/* Turns of the others by which a task that runs on may be behind the clock besides. A guess. */
#define TOLL_LAG_TURNS 2

/* Weight of @p: its own in the root cgroup, else its part of what its group has. */
static __always_inline u64 weight_of(struct task_struct *p, struct toll_task *t)
{
	struct toll_group *g;

	if (!t->group)
		return (u64)p->scx.weight * TOLL_Q10_ONE;
	g = group_of(t->group);
	if (!g)
		return (u64)p->scx.weight * TOLL_Q10_ONE;
	return toll_group_part(READ_ONCE(g->share_q10), p->scx.weight,
			       READ_ONCE(g->runnable) + READ_ONCE(g->kids));
}

/* Take @t out of the sum of weights it is counted in, if any. */
static __always_inline void weight_del(struct toll_task *t)
{
	struct toll_llc *llc;

	if (t->weight_llc == TOLL_NO_LLC)
		return;
	llc = llc_of(t->weight_llc);
	if (llc) {
		__sync_fetch_and_sub(&llc->weight_q10, t->weight_q10);
		if (!t->group)
			__sync_fetch_and_sub(&llc->root_weight_q10, t->weight_q10);
	}
	t->weight_llc = TOLL_NO_LLC;
}

/* Count @p as waiting or running in @llc_id, with its weight of now. */
static __always_inline void weight_add(struct task_struct *p, struct toll_task *t, u32 llc_id)
{
	u64 weight = weight_of(p, t);
	struct toll_llc *llc;

	if (t->weight_llc == llc_id && t->weight_q10 == weight)
		return;
	weight_del(t);
	llc = llc_of(llc_id);
	if (!llc)
		return;
	t->weight_llc = llc_id;
	t->weight_q10 = weight;
	__sync_fetch_and_add(&llc->weight_q10, weight);
	if (!t->group)
		__sync_fetch_and_add(&llc->root_weight_q10, weight);
}

/*
 * Passes after which an LLC where tasks wait and none runs counts as having no
 * CPU. The kernel stops using a dying CPU before it says that it is one, and
 * what waits there would keep it from dying: RCU's own thread among others.
 */
#define TOLL_UNSERVED 3

/* CPUs of @llc that our tasks can have. */
static __always_inline u32 llc_nr_usable(struct toll_llc *llc)
{
	u64 taken = READ_ONCE(llc->nr_taken);
	u32 nr = READ_ONCE(llc->nr_cpus);

	return taken < nr && READ_ONCE(llc->nr_unserved) < TOLL_UNSERVED ? nr - taken : 0;
}

/*
 * What those are worth together. Which of them are taken is not looked up: each
 * counts as the mean of all, wrong by a core's difference to a thread at most.
 */
static __always_inline u32 llc_usable_q10(struct toll_llc *llc)
{
	u32 nr = READ_ONCE(llc->nr_cpus), usable = llc_nr_usable(llc);
	u64 all_q10 = READ_ONCE(llc->capacity_q10);

	return usable == nr || !nr ? all_q10 : all_q10 * usable / nr;
}

/*
 * Return true if the weight of @p asks for more than one CPU of @llc. Fewer
 * tasks than it has CPUs can be like that.
 */
static __always_inline bool is_heavy(struct task_struct *p, struct toll_task *t,
				     struct toll_llc *llc)
{
	return p->nr_cpus_allowed >= toll_nr_cpus &&
	       toll_weight_usable(t->weight_q10, READ_ONCE(llc->weight_q10), llc_nr_usable(llc)) <
		       t->weight_q10;
}

/* Virtual time of @ns of run time of @p in @llc. */
static __always_inline u64 vtime_of(struct task_struct *p, struct toll_task *t,
				    struct toll_llc *llc, u64 ns)
{
	u64 weight = t->weight_q10;

	/* A task that may not use all CPUs may well be unable to use even one of them alone. */
	if (p->nr_cpus_allowed >= toll_nr_cpus)
		weight = toll_weight_usable(weight, READ_ONCE(llc->weight_q10), llc_nr_usable(llc));
	return toll_vtime(ns, weight);
}

/* How far the clock of @llc goes in TOLL_MAX_LEAD_NS. */
static __always_inline u64 vtime_lead(struct toll_llc *llc)
{
	return toll_vtime(TOLL_MAX_LEAD_NS * toll_min(llc->nr_cpus, TOLL_MAX_CPUS),
			  READ_ONCE(llc->weight_q10));
}

/*
 * How far a task that runs on may be behind the clock beyond one slice of its
 * own: the clock makes steps of whole turns of the others, which is no fault of
 * its own.
 */
static __always_inline u64 steps_behind(struct toll_task *t, struct toll_llc *llc, u64 sum,
					const struct toll_policy *pol)
{
	u64 others = sum > t->weight_q10 ? sum - t->weight_q10 : 0;
	u64 nr = READ_ONCE(llc->nr_queued) + llc->nr_cpus;
	u64 step = toll_vtime(pol->slice_ns, others / (nr > 1 ? nr - 1 : 1));

	return TOLL_LAG_TURNS * step;
}

/*
 * Keep the task's vtime near the LLC's virtual clock: one slice of its own
 * behind it; two ahead, as a turn ends with a tick and may be longer than that.
 */
static __always_inline void vtime_clamp(struct task_struct *p, struct toll_task *t,
					struct toll_llc *llc, const struct toll_policy *pol)
{
	u64 clock = READ_ONCE(llc->vtime_now), vtime = t->vtime;
	u64 sum = READ_ONCE(llc->weight_q10), lag;
	u64 lead = vtime_lead(llc);
	u64 room = toll_min(vtime_of(p, t, llc, pol->slice_ns), lead);

	lag = room;
	if (t->run_ns > pol->slice_ns)
		lag += steps_behind(t, llc, sum, pol);
	if (time_before(vtime, clock - lag))
		t->vtime = clock - lag;
	else if (time_before(clock + 2 * room, vtime))
		t->vtime = clock + 2 * room;
}

/* Put the task on the clock of LLC @llc_id; its lag stays what it was. */
static __always_inline void vtime_to_queue(struct task_struct *p, struct toll_task *t, u32 llc_id,
					   const struct toll_policy *pol)
{
	struct toll_llc *to = llc_of(llc_id), *from;
	u64 shift;

	if (t->llc != llc_id) {
		from = llc_of(t->llc);
		if (from && to) {
			shift = READ_ONCE(to->vtime_now) - READ_ONCE(from->vtime_now);
			t->vtime += shift;
			t->deadline += shift;
		}
		t->llc = llc_id;
	}
	weight_add(p, t, llc_id);
	if (to)
		vtime_clamp(p, t, to, pol);
}

/*
 * Let the LLC's virtual clock follow the furthest vtime that begins a turn.
 * Racy: a lost step is made up by the next.
 */
static __always_inline void vtime_advance(struct toll_llc *llc, u64 vtime)
{
	if (time_before(READ_ONCE(llc->vtime_now), vtime))
		WRITE_ONCE(llc->vtime_now, vtime);
}

/* Charge @used ns of run time in @llc to the task's vtime and turn. */
static __always_inline void fair_charge(struct task_struct *p, struct toll_task *t,
					struct toll_llc *llc, u64 used,
					const struct toll_policy *pol)
{
	weight_add(p, t, t->llc);
	t->vtime += vtime_of(p, t, llc, used);
	t->turn_ns -= toll_min(t->turn_ns, used);
	vtime_clamp(p, t, llc, pol);
}

#endif /* TOLL_FAIR_BPF_H */
