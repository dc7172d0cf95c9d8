/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * place.bpf.h - where a waking task goes (select_cpu).
 *
 *   1. a newborn process: an idle CPU where least lives (home.bpf.h)
 *      anybody else: an idle CPU of the class of cores where it belongs (class.bpf.h),
 *      or of the node of its memory, if it ran elsewhere
 *   2. an idle CPU of the LLC where it ran last (free: it shares the cache)
 *   3. a newborn: an idle CPU anywhere, nearest first, else the shortest wait
 *   4. an idle CPU of another LLC of the node, if the wait saved exceeds P
 *   5. an idle CPU of another node, likewise, if the imbalance has lasted
 *   6. its previous CPU, where enqueue() queues it
 */
#ifndef TOLL_PLACE_BPF_H
#define TOLL_PLACE_BPF_H

/* Hand @p to idle @cpu at once. */
static __always_inline void place_on(struct task_struct *p, struct toll_task *t, s32 cpu,
				     const struct toll_policy *pol)
{
	u32 llc_id = cpu_llc(cpu);

	born(t, cpu);
	t->enqueued_at = scx_bpf_now();
	vtime_to_queue(p, t, llc_id, pol);
	turn_begin(p, t, llc_id, true, pol);
	queue_add(t, llc_id, toll_expect_turn(t->avg_run_ns, t->run_ns, t->turn_ns), 0);
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | (u64)cpu, t->turn_ns, 0);
}

/*
 * A newborn has neither warmth nor memory: it goes to the nearest idle CPU, or
 * to the LLC where it waits least, and no gate holds it. Returns a CPU;
 * *idle says whether it was claimed idle.
 */
static __always_inline s32 place_newborn(struct task_struct *p, struct toll_cpu *me, s32 prev_cpu,
					 u32 from, bool *idle,
					 const struct toll_policy *pol)
{
	const struct cpumask *cpus;
	u32 rank, to, best = from;
	u64 wait, least;
	s32 cpu;

	*idle = false;
	me->nr_births++;
	least = toll_wait_in(from, 0, true, pol);
	bpf_for(rank, 0, toll_nr_llcs - 1) {
		to = outward(from, rank);
		if (!may_use(p, to))
			continue;
		wait = toll_wait_in(to, 0, false, pol);
		if (wait < least) {
			least = wait;
			best = to;
		}
		if (!wait)
			break;
	}
	if (best == from)
		return prev_cpu;
	me->nr_births_away++;
	cpu = claim_idle(p, best);
	if (cpu >= 0) {
		*idle = true;
		return cpu;
	}
	cpus = llc_cpus(best);
	cpu = cpus ? bpf_cpumask_any_and_distribute(cpus, p->cpus_ptr) : prev_cpu;
	return cpu < toll_nr_cpu_ids ? cpu : prev_cpu;
}

/*
 * A new process lives where least lives, if a CPU idles there; threads stay near the memory that
 * they share. Returns the claimed CPU, or a negative number.
 */
static __always_inline s32 place_process(struct task_struct *p, struct toll_cpu *me, u32 from)
{
	u64 now = scx_bpf_now();
	s32 cpu;
	u32 to;

	if (p->pid != p->tgid || toll_nr_llcs < 2 || !p->mm)
		return -EBUSY;
	to = home_choose(p, from, now);
	if (to == TOLL_NO_LLC)
		return -EBUSY;
	home_add(to, TOLL_HOME_SPAN_NS, now);
	cpu = claim_idle(p, to);
	if (cpu >= 0 && to != from) {
		me->nr_births++;
		me->nr_births_away++;
	}
	return cpu;
}

/*
 * Place outward at @level: the nearest LLC there with an idle CPU, if it pays.
 * Returns the claimed CPU, or a negative number.
 */
static __always_inline s32 place_outward(struct task_struct *p, struct toll_task *t,
					 struct toll_cpu *me, struct ask *a, u32 level,
					 const struct toll_policy *pol)
{
	u32 verdict = TOLL_NOTHING, rank, to;
	struct toll_llc *llc;
	bool asked = false;
	s32 cpu = -EBUSY;

	bpf_for(rank, 0, toll_nr_llcs - 1) {
		to = outward(a->from, rank);
		if (level_of(a->from, to) != level)
			continue;
		if (!asked)
			count_asked(me, TOLL_KIND_PLACE, level);
		asked = true;
		llc = llc_of(to);
		if (!llc || !may_have_idle(llc))
			continue;
		if (!may_use(p, to)) {
			verdict = better_reason(verdict, TOLL_AFFINITY);
			continue;
		}
		verdict = worth_moving(a, t, to, 0, pol);
		if (verdict != TOLL_APPLIED)
			break;
		cpu = claim_idle(p, to);
		if (cpu >= 0)
			break;
		verdict = TOLL_RACED;
	}
	if (asked)
		count_verdict(me, TOLL_KIND_PLACE, level, verdict);
	return cpu;
}

/*
 * An idle CPU of the task's home node, when it ran elsewhere: its memory is there, so the way
 * costs less than nothing.
 */
static __always_inline s32 place_homeward(struct task_struct *p, struct toll_task *t,
					  struct toll_cpu *me, u32 from,
					  const struct toll_policy *pol)
{
	u32 verdict = TOLL_NOTHING, rank, to;
	struct toll_llc *llc;
	s32 cpu = -EBUSY;
	struct ask a;

	if (t->home_node == llc_node(from) || t->home_node == TOLL_NO_NODE || toll_nr_llcs < 2)
		return -EBUSY;
	if (ask_init(&a, t, from, 0, pol))
		return -EBUSY;
	count_asked(me, TOLL_KIND_PLACE, TOLL_LEVEL_NODE);
	bpf_for(rank, 0, toll_nr_llcs - 1) {
		to = outward(from, rank);
		if (llc_node(to) != t->home_node)
			continue;
		llc = llc_of(to);
		if (!llc || !may_have_idle(llc) || !may_use(p, to))
			continue;
		verdict = worth_moving(&a, t, to, 0, pol);
		if (verdict != TOLL_APPLIED)
			continue;
		cpu = claim_idle(p, to);
		if (cpu >= 0)
			break;
		verdict = TOLL_RACED;
	}
	count_verdict(me, TOLL_KIND_PLACE, TOLL_LEVEL_NODE, verdict);
	return cpu;
}

/* An LLC with an idle CPU of the class where @t belongs, nearest to @from; TOLL_NO_LLC: none. */
static __always_inline u32 idle_in_class(struct task_struct *p, struct toll_task *t, u32 from)
{
	struct toll_llc *llc;
	u32 rank, to;

	bpf_for(rank, 0, toll_nr_llcs - 1) {
		to = outward(from, rank);
		llc = llc_of(to);
		if (llc_little(to) == t->demand.little && llc && may_have_idle(llc) && may_use(p, to))
			return to;
	}
	return TOLL_NO_LLC;
}

/* An idle CPU of the class where @t belongs, claimed; negative if it is there or none is idle. */
static __always_inline s32 place_class(struct task_struct *p, struct toll_task *t,
				       struct toll_cpu *me, u32 kind, u32 from)
{
	u32 to, level, verdict = TOLL_NOTHING;
	s32 cpu = -EBUSY;

	if (!in_wrong_class(t, from))
		return -EBUSY;
	to = idle_in_class(p, t, from);
	if (to != TOLL_NO_LLC) {
		cpu = claim_idle(p, to);
		verdict = cpu >= 0 ? TOLL_APPLIED : TOLL_RACED;
	}
	level = to == TOLL_NO_LLC ? TOLL_LEVEL_LLC : level_of(from, to);
	count_asked(me, kind, level);
	count_verdict(me, kind, level, verdict);
	return cpu;
}

/* The running task @p has to be queued anew: a core of the class where it belongs is idle. */
static __always_inline bool class_leaves(struct task_struct *p, struct toll_task *t, u32 llc)
{
	return in_wrong_class(t, llc) && idle_in_class(p, t, llc) != TOLL_NO_LLC;
}

/* Steps 4 and 5: leave the LLC for an idle CPU further out. */
static __always_inline s32 place_away(struct task_struct *p, struct toll_task *t,
				      struct toll_cpu *me, u32 from,
				      const struct toll_policy *pol)
{
	struct ask a;
	u64 wait;
	s32 cpu;

	if (toll_nr_llcs < 2)
		return -EBUSY;
	/* No idle CPU of the LLC could be claimed, so if there is one it is not for this task. */
	wait = toll_wait_of(t, from, toll_expect_turn(t->avg_run_ns, t->run_ns, pol->slice_ns), true,
			    pol);
	if (ask_init(&a, t, from, wait, pol))
		return -EBUSY;
	cpu = place_outward(p, t, me, &a, TOLL_LEVEL_LLC, pol);
	if (cpu < 0)
		cpu = place_outward(p, t, me, &a, TOLL_LEVEL_NODE, pol);
	return cpu;
}

#endif /* TOLL_PLACE_BPF_H */
