/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * push.bpf.h - a loaded LLC hands a task away (enqueue: at wakeup, and at the
 * end of a slice).
 *
 *   1. an idle CPU of the own LLC takes it at once
 *   2. another LLC of the node where it would wait less, if dL > P;
 *      also one that is busy, only less so
 *   3. an LLC of another node, likewise, if the imbalance has lasted
 *   4. the own LLC's queue
 *
 * All figures are read from the live counters at this instant.
 */
#ifndef TOLL_PUSH_BPF_H
#define TOLL_PUSH_BPF_H

/* Where a task is to be queued: an LLC, and a claimed idle CPU there if >= 0. */
struct target {
	u32 llc;
	s32 cpu;
};

/*
 * Push at @level: to the LLC there in which the task would wait least, the
 * nearest first among equals. Return true and set @where when the move pays.
 */
static __always_inline bool push_outward(struct task_struct *p, struct toll_task *t,
					 struct toll_cpu *me, struct ask *a, u32 level,
					 struct target *where, const struct toll_policy *pol)
{
	struct about about = { .kind = TOLL_KIND_PUSH, .level = level, .from = a->from };
	u32 verdict = TOLL_NOTHING, rank, to, best = TOLL_NO_LLC;
	u64 wait, least = ~0ULL, seq;
	bool asked = false;

	a->flags = 0;
	a->to = TOLL_NO_LLC;
	bpf_for(rank, 0, toll_nr_llcs - 1) {
		to = outward(a->from, rank);
		if (level_of(a->from, to) != level)
			continue;
		if (!asked)
			count_asked(me, TOLL_KIND_PUSH, level);
		asked = true;
		wait = toll_wait_in(to, a->turn_ns, false, pol);
		if (wait >= least)
			continue;
		if (!may_use(p, to)) {
			verdict = TOLL_AFFINITY;
			continue;
		}
		least = wait;
		best = to;
	}
	if (!asked)
		return false;
	if (best != TOLL_NO_LLC)
		verdict = worth_moving(a, t, best, least, pol);
	if (verdict == TOLL_APPLIED) {
		s32 cpu = least ? -EBUSY : claim_idle(p, best);

		/* The wait of 0 was that of an idle CPU: without it the sum is another. */
		if (!least && cpu < 0) {
			a->flags |= TOLL_REASKED;
			least = toll_wait_in(best, a->turn_ns, true, pol);
			if (worth_moving(a, t, best, least, pol) != TOLL_APPLIED)
				verdict = TOLL_RACED;
		}
		if (verdict == TOLL_APPLIED) {
			where->llc = best;
			where->cpu = cpu;
		}
	}
	about.verdict = verdict;
	about.to = a->to;
	about.to_cpu = verdict == TOLL_APPLIED && where->cpu >= 0 ? where->cpu : -1;
	seq = conclude(me, p, t, a, &about, pol);
	if (verdict == TOLL_APPLIED)
		note_move(&t->move, a, verdict, seq);
	return verdict == TOLL_APPLIED;
}

/* Choose where @p, enqueued on @cpu of LLC @from, is to wait. */
static __always_inline void push_choose(struct task_struct *p, struct toll_task *t,
					struct toll_cpu *me, s32 cpu, struct target *where,
					const struct toll_policy *pol)
{
	u32 from = cpu_llc(cpu);
	struct ask a;
	u64 wait;

	where->llc = from;
	where->cpu = claim_home(p, t, me, TOLL_KIND_PUSH, cpu, from, pol);
	if (where->cpu >= 0 || toll_nr_llcs < 2)
		return;
	wait = toll_wait_in(from, toll_expect_turn(t->avg_run_ns, t->run_ns, pol->slice_ns), true,
			    pol);
	if (!wait || ask_init(&a, t, from, wait, pol))
		return;
	if (push_outward(p, t, me, &a, TOLL_LEVEL_LLC, where, pol))
		return;
	push_outward(p, t, me, &a, TOLL_LEVEL_NODE, where, pol);
}

#endif /* TOLL_PUSH_BPF_H */
