/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * push.bpf.h - a loaded LLC hands a task away (enqueue: at wakeup, and at the
 * end of a slice).
 *
 *   0. whom user space has sent home to its memory: the LLC of that node where
 *      it waits least, whatever it costs
 *   1. an idle CPU of the own LLC takes it at once
 *   2. another LLC of the node where it would wait less, if dL > P;
 *      also one that is busy, only less so
 *   3. an LLC of another node, likewise, if the imbalance has lasted
 *   4. likewise whatever it costs, a task whose group has long got less than
 *      its share: no weight helps it where the others crowd too
 *   5. the own LLC's queue
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
 * Put the question for LLC @to, where @p would wait @wait_ns. A wait of 0 is
 * that of an idle CPU, which is claimed (a->to_cpu); if it is lost the sum is
 * another. What is refused may still be owed.
 */
static __always_inline u32 push_to(struct task_struct *p, struct toll_task *t, struct ask *a, u32 to,
				   u64 wait_ns, const struct toll_policy *pol)
{
	u32 verdict = worth_moving(a, t, to, wait_ns, pol);

	if (verdict == TOLL_APPLIED && !wait_ns) {
		a->to_cpu = claim_idle(p, to);
		if (a->to_cpu < 0) {
			a->flags |= TOLL_REASKED;
			wait_ns = toll_wait_of(t, to, a->turn_ns, true, pol);
			if (worth_moving(a, t, to, wait_ns, pol) != TOLL_APPLIED)
				verdict = TOLL_RACED;
		}
	}
	if (verdict == TOLL_APPLIED || wait_ns >= a->wait_from_ns ||
	    pol->migrate != TOLL_MIGRATE_TOLL || !group_owed(t))
		return verdict;
	/* The way back must not look like the way home. */
	t->home_node = llc_node(to);
	home_move(t, to, a->now);
	a->flags |= TOLL_OWED;
	return TOLL_APPLIED_AGED;
}

/*
 * Push at @level: to the LLC there in which the task would wait least, the
 * nearest first among equals. Return true when it is to go to LLC a->to, or at
 * once to CPU a->to_cpu.
 */
__noinline bool push_outward(struct task_struct *p __arg_trusted, struct toll_task *t,
			     struct ask *a, u32 level, const struct toll_policy *pol)
{
	struct about about = { .kind = TOLL_KIND_PUSH, .level = level };
	u32 verdict = TOLL_NOTHING, rank, to, best = TOLL_NO_LLC;
	struct toll_cpu *me = this_cpu();
	u64 wait, least = ~0ULL, seq;
	bool asked = false;

	if (!t || !a || !pol || !me)
		return false;
	ask_anew(a);
	bpf_for(rank, 0, toll_nr_llcs - 1) {
		to = outward(a->from, rank);
		if (level_of(a->from, to) != level)
			continue;
		if (!asked)
			count_asked(me, TOLL_KIND_PUSH, level);
		asked = true;
		wait = toll_wait_of(t, to, a->turn_ns, false, pol);
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
		verdict = push_to(p, t, a, best, least, pol);
	about.from = a->from;
	about.to = a->to;
	about.verdict = verdict;
	about.to_cpu = is_applied(verdict) && a->to_cpu >= 0 ? a->to_cpu : -1;
	seq = conclude(me, p, t, a, &about, pol);
	if (is_applied(verdict))
		note_move(&t->move, a, verdict, seq);
	return is_applied(verdict);
}

/*
 * User space has found that @p is better off where its memory is, over a span
 * that no single move can see: to the LLC there in which it would wait least.
 * It is sent once; it may leave again as anybody may. Return true when it is to
 * go to LLC a->to, or at once to CPU a->to_cpu.
 */
__noinline bool push_homeward(struct task_struct *p __arg_trusted, struct toll_task *t,
			      struct ask *a, const struct toll_policy *pol)
{
	struct about about = { .kind = TOLL_KIND_PUSH, .level = TOLL_LEVEL_NODE };
	u32 verdict = TOLL_NOTHING, rank, to, best = TOLL_NO_LLC;
	struct toll_cpu *me = this_cpu();
	u64 wait, least = ~0ULL, seq;

	if (!t || !a || !pol || !me)
		return false;
	t->sent_home = 0;
	if (t->home_node == llc_node(a->from) || t->home_node == TOLL_NO_NODE)
		return false;
	count_asked(me, TOLL_KIND_PUSH, TOLL_LEVEL_NODE);
	bpf_for(rank, 0, toll_nr_llcs - 1) {
		to = outward(a->from, rank);
		if (llc_node(to) != t->home_node)
			continue;
		if (!may_use(p, to)) {
			verdict = TOLL_AFFINITY;
			continue;
		}
		wait = toll_wait_of(t, to, a->turn_ns, false, pol);
		if (wait < least) {
			least = wait;
			best = to;
		}
	}
	if (best != TOLL_NO_LLC) {
		verdict = worth_moving(a, t, best, least, pol);
		if (verdict != TOLL_APPLIED) {
			verdict = TOLL_APPLIED_AGED;
			a->flags |= TOLL_SENT_HOME;
		}
		if (!least)
			a->to_cpu = claim_idle(p, best);
	}
	about.from = a->from;
	about.to = a->to;
	about.verdict = verdict;
	about.to_cpu = is_applied(verdict) && a->to_cpu >= 0 ? a->to_cpu : -1;
	seq = conclude(me, p, t, a, &about, pol);
	if (is_applied(verdict))
		note_move(&t->move, a, verdict, seq);
	return is_applied(verdict);
}

/* Choose where @p, enqueued on @cpu, is to wait. */
static __always_inline void push_choose(struct task_struct *p, struct toll_task *t, s32 cpu,
					struct target *where, const struct toll_policy *pol)
{
	u32 from = cpu_llc(cpu);
	struct ask a;
	u64 wait;

	where->llc = from;
	if (is_sent_home(t)) {
		wait = toll_wait_of(t, from, 0, true, pol);
		if (!ask_init(&a, t, from, wait, pol) && push_homeward(p, t, &a, pol)) {
			where->llc = a.to;
			where->cpu = a.to_cpu;
			return;
		}
	}
	where->cpu = claim_home(p, t, TOLL_KIND_PUSH, cpu, pol);
	if (where->cpu >= 0 || toll_nr_llcs < 2 || toll_no_push)
		return;
	wait = toll_wait_of(t, from, toll_expect_turn(t->avg_run_ns, t->run_ns, pol->slice_ns), true,
			    pol);
	if (!wait || ask_init(&a, t, from, wait, pol))
		return;
	if (!push_outward(p, t, &a, TOLL_LEVEL_LLC, pol) &&
	    !push_outward(p, t, &a, TOLL_LEVEL_NODE, pol))
		return;
	where->llc = a.to;
	where->cpu = a.to_cpu;
}

#endif /* TOLL_PUSH_BPF_H */
