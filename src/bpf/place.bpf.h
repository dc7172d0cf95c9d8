/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * place.bpf.h - where a waking task goes (select_cpu).
 *
 *   0. a task that its partner wakes from another LLC, once that has cost more than the
 *      move: beside it (partner.bpf.h)
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
__noinline s32 place_newborn(struct task_struct *p __arg_trusted, s32 prev_cpu, bool *idle,
			     const struct toll_policy *pol)
{
	u32 rank, to, from = cpu_llc(prev_cpu), best = from;
	struct toll_cpu *me = this_cpu();
	const struct cpumask *cpus;
	u64 wait, least;
	s32 cpu;

	if (!idle || !pol || !me)
		return prev_cpu;
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
__noinline s32 place_process(struct task_struct *p __arg_trusted, struct toll_task *t, u32 from)
{
	struct toll_cpu *me = this_cpu();
	u64 now = scx_bpf_now();
	s32 cpu;
	u32 to;

	if (!me || !t || p->pid != p->tgid || toll_nr_llcs < 2 || !p->mm)
		return -EBUSY;
	to = home_choose(p, from, now);
	if (to == TOLL_NO_LLC)
		return -EBUSY;
	t->home_llc = to;
	home_add(t, to, TOLL_HOME_SPAN_NS, now);
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
__noinline s32 place_outward(struct task_struct *p __arg_trusted, struct toll_task *t,
			     struct ask *a, u32 level, const struct toll_policy *pol)
{
	struct about about = { .kind = TOLL_KIND_PLACE, .level = level };
	u32 verdict = TOLL_NOTHING, rank, to;
	struct toll_cpu *me = this_cpu();
	struct toll_llc *llc;
	bool asked = false;
	s32 cpu = -EBUSY;
	u64 seq;

	if (!t || !a || !pol || !me)
		return -EBUSY;
	ask_anew(a);
	bpf_for(rank, 0, toll_nr_llcs - 1) {
		to = outward(a->from, rank);
		if (level_of(a->from, to) != level)
			continue;
		if (a->node != TOLL_NO_NODE && llc_node(to) != a->node)
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
	if (!asked)
		return cpu;
	about.from = a->from;
	about.to = a->to;
	about.verdict = verdict;
	about.to_cpu = cpu >= 0 ? cpu : -1;
	seq = conclude(me, p, t, a, &about, pol);
	if (cpu >= 0)
		note_move(&t->move, a, verdict, seq);
	return cpu;
}

/*
 * An idle CPU of the task's home node, when it ran elsewhere: its memory is there, so the way
 * costs less than nothing. It does not wait yet, so nothing else is gained. Whoever is where
 * its partner is has come for it, and stays.
 */
__noinline s32 place_homeward(struct task_struct *p __arg_trusted, struct toll_task *t, u32 from,
			      const struct toll_policy *pol)
{
	struct ask a;

	if (!t || !pol)
		return -EBUSY;
	if (t->home_node == llc_node(from) || t->home_node == TOLL_NO_NODE || toll_nr_llcs < 2 ||
	    t->partner.beside)
		return -EBUSY;
	if (ask_init(&a, t, from, 0, pol))
		return -EBUSY;
	a.node = t->home_node;
	return place_outward(p, t, &a, TOLL_LEVEL_NODE, pol);
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
__noinline s32 place_class(struct task_struct *p __arg_trusted, struct toll_task *t, u32 kind,
			   u32 from, const struct toll_policy *pol)
{
	struct about about = {
		.kind = kind,
		.level = TOLL_LEVEL_LLC,
		.from = from,
		.to = from,
		.flags = TOLL_FOR_CLASS,
	};
	struct toll_cpu *me = this_cpu();
	s32 cpu = -EBUSY;
	u32 to;

	if (!t || !pol || !me || !in_wrong_class(t, from))
		return -EBUSY;
	about.verdict = TOLL_NOTHING;
	to = idle_in_class(p, t, from);
	if (to != TOLL_NO_LLC) {
		cpu = claim_idle(p, to);
		about.to = to;
		about.level = level_of(from, to);
		about.verdict = cpu >= 0 ? TOLL_APPLIED : TOLL_RACED;
	}
	about.to_cpu = cpu >= 0 ? cpu : -1;
	count_asked(me, kind, about.level);
	conclude(me, p, t, NULL, &about, pol);
	return cpu;
}

/* The running task @p has to be queued anew: a core of the class where it belongs is idle. */
static __always_inline bool class_leaves(struct task_struct *p, struct toll_task *t, u32 llc)
{
	return in_wrong_class(t, llc) && idle_in_class(p, t, llc) != TOLL_NO_LLC;
}

/* Return true if another thread of the core of @cpu runs one of our tasks. */
static __always_inline bool core_shared(s32 cpu)
{
	u32 other = cpu, i;
	struct toll_cpu *c;

	bpf_for(i, 0, TOLL_MAX_THREADS) {
		other = toll_cpu_sibling[other & (TOLL_MAX_CPUS - 1)];
		if (other == cpu || other >= TOLL_MAX_CPUS)
			break;
		c = cpu_of(other);
		if (c && READ_ONCE(c->end_at))
			return true;
	}
	return false;
}

/*
 * Return true if @p, which runs on @cpu, shares its core while a whole core of
 * its LLC idles. What it leaves in the upper caches is small beside what a
 * thread takes from the other for as long as both run.
 */
static __always_inline bool core_leaves(struct task_struct *p, s32 cpu)
{
	const struct cpumask *cpus, *idle;
	s32 to;

	if (!toll_has_smt || is_pinned(p) || !core_shared(cpu))
		return false;
	cpus = llc_cpus(cpu_llc(cpu));
	if (!cpus)
		return false;
	idle = scx_bpf_get_idle_smtmask();
	to = bpf_cpumask_any_and_distribute(idle, cpus);
	scx_bpf_put_idle_cpumask(idle);
	return (u32)to < toll_nr_cpu_ids && bpf_cpumask_test_cpu(to, p->cpus_ptr);
}

/* Return true if @p had better go on elsewhere than on @cpu, where it runs. */
static __always_inline bool had_better_leave(struct task_struct *p, struct toll_task *t, s32 cpu)
{
	return class_leaves(p, t, cpu_llc(cpu)) || core_leaves(p, cpu);
}

/* Steps 4 and 5: leave the LLC for an idle CPU further out. */
__noinline s32 place_away(struct task_struct *p __arg_trusted, struct toll_task *t, u32 from,
			  const struct toll_policy *pol)
{
	struct ask a;
	u64 wait;
	s32 cpu;

	if (!t || !pol || toll_nr_llcs < 2)
		return -EBUSY;
	/* No idle CPU of the LLC could be claimed, so if there is one it is not for this task. */
	wait = toll_wait_of(t, from, toll_expect_turn(t->avg_run_ns, t->run_ns, pol->slice_ns), true,
			    pol);
	if (ask_init(&a, t, from, wait, pol))
		return -EBUSY;
	cpu = place_outward(p, t, &a, TOLL_LEVEL_LLC, pol);
	if (cpu < 0)
		cpu = place_outward(p, t, &a, TOLL_LEVEL_NODE, pol);
	return cpu;
}

#endif /* TOLL_PLACE_BPF_H */
