/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pull.bpf.h - a CPU with nothing to run fetches a task (dispatch), and a busy
 * CPU wakes an idle one when a queue has come to pay (tick).
 *
 *   1. the own queues: the CPU's and the LLC's, by virtual deadline
 *   2. the task that ran until now, if nobody else wants the CPU
 *   3. the best-paying of the first few tasks of another LLC of the node
 *   4. likewise of another node, if the imbalance has lasted
 */
#ifndef TOLL_PULL_BPF_H
#define TOLL_PULL_BPF_H

/* Tasks of a victim's queue that are looked at. More cost time under its lock. */
#define TOLL_PULL_LOOK 4
/* Shortest time between two looks outward by the ticks of one LLC. */
#define TOLL_LOOK_EVERY_NS (1ULL * TOLL_MS)
/* LLCs with an idle CPU that one look outward asks about. */
#define TOLL_LOOK_LLCS 4
/* Times that a CPU looks again for a task that is counted but not yet in the queue. */
#define TOLL_LOOK_AGAIN 3

/* The best of a victim's first tasks: who, and what came of looking at it. */
struct pick {
	s32 pid;	/* 0: none */
	u32 verdict;	/* applied, or the best reason against */
};

/*
 * Ask whether @t, which waits in LLC @from, is to move to LLC @to, where it
 * would not have to wait. It waits already, so if @from has an idle CPU that
 * has not helped it. Leaves the margin in @a.
 */
static __always_inline u32 judge_waiting(struct toll_task *t, u32 from, u32 to, struct ask *a,
					 const struct toll_policy *pol)
{
	if (ask_init(a, t, from, toll_wait_of(t, from, 0, true, pol), pol))
		return TOLL_NOTHING;
	if (waited_too_long(t, a->now, pol))
		return TOLL_APPLIED_AGED;
	return worth_moving(a, t, to, 0, pol);
}

/*
 * Look at the first tasks of LLC @from for one that pays to be moved to @cpu of
 * LLC @to. One that has waited too long comes before all others.
 */
static __always_inline void pick_best(struct pick *best, u32 from, u32 to, s32 cpu,
				      const struct toll_policy *pol)
{
	u32 looked = 0, verdict;
	struct task_struct *p;
	struct ask a;
	s64 most = 0;

	best->pid = 0;
	best->verdict = TOLL_NOTHING;
	bpf_for_each(scx_dsq, p, dsq_llc(from), 0) {
		struct toll_task *t;

		if (looked++ >= TOLL_PULL_LOOK)
			break;
		t = task_of(p);
		if (!t)
			continue;
		if (!bpf_cpumask_test_cpu(cpu, p->cpus_ptr) || is_migration_disabled(p)) {
			best->verdict = better_reason(best->verdict, TOLL_AFFINITY);
			continue;
		}
		verdict = judge_waiting(t, from, to, &a, pol);
		if (verdict == TOLL_APPLIED_AGED) {
			best->pid = p->pid;
			best->verdict = verdict;
			break;
		}
		if (verdict == TOLL_APPLIED && (!best->pid || a.net_ns > most)) {
			most = a.net_ns;
			best->pid = p->pid;
		}
		best->verdict = better_reason(best->verdict, verdict);
	}
}

/* Fetch task @pid out of LLC @from's queue to @cpu of LLC @to. Return false if it is gone. */
static __always_inline bool pull_task(s32 pid, u32 from, u32 to, s32 cpu)
{
	struct task_struct *p;
	u32 looked = 0;
	bool moved = false;

	bpf_for_each(scx_dsq, p, dsq_llc(from), 0) {
		struct toll_task *t;

		/* Others may have queued in front of it meanwhile: allow twice the depth. */
		if (looked++ >= 2 * TOLL_PULL_LOOK)
			break;
		if (p->pid != pid)
			continue;
		t = task_of(p);
		/* It may have been queued anew since, with another mask. */
		if (!t || is_migration_disabled(p) || !bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			break;
		moved = scx_bpf_dsq_move(BPF_FOR_EACH_ITER, p, SCX_DSQ_LOCAL, 0);
		if (moved) {
			t->kind = TOLL_KIND_PULL;
			queue_add(t, to, t->queued_ns, 0);
		}
		break;
	}
	return moved;
}

/* Pull at @level: from the nearest LLC there that has a task that pays. */
static __always_inline bool pull_outward(struct toll_cpu *me, s32 cpu, u32 to, u32 level,
					 const struct toll_policy *pol)
{
	u32 verdict = TOLL_NOTHING, rank, from;
	struct toll_llc *victim;
	bool asked = false;
	struct pick best;

	bpf_for(rank, 0, toll_nr_llcs - 1) {
		from = outward(to, rank);
		if (level_of(to, from) != level)
			continue;
		if (!asked)
			count_asked(me, TOLL_KIND_PULL, level);
		asked = true;
		victim = llc_of(from);
		if (!victim || !READ_ONCE(victim->nr_queued))
			continue;
		pick_best(&best, from, to, cpu, pol);
		if (is_applied(best.verdict)) {
			if (pull_task(best.pid, from, to, cpu)) {
				verdict = best.verdict;
				break;
			}
			best.verdict = TOLL_RACED;
		}
		verdict = better_reason(verdict, best.verdict);
	}
	if (asked)
		count_verdict(me, TOLL_KIND_PULL, level, verdict);
	return is_applied(verdict);
}

/*
 * Take the next task of the own queues, the one due earlier first. @own_due is
 * when the turn of the task is due that could go on running here: it is preferred
 * to a later one.
 */
static __always_inline bool pull_home(struct toll_cpu *me, s32 cpu, u32 llc_id, bool has_own,
				      u64 own_due)
{
	struct toll_llc *llc = llc_of(llc_id);
	bool shared = llc && READ_ONCE(llc->nr_queued);
	bool pinned = scx_bpf_dsq_nr_queued(dsq_cpu(cpu)) > 0;
	u64 due_pinned = 0, due_shared = 0;
	bool got = false;

	count_asked(me, TOLL_KIND_PULL, TOLL_LEVEL_CORE);
	if (pinned && (shared || has_own))
		pinned = dsq_head_deadline(dsq_cpu(cpu), &due_pinned);
	if (shared && (pinned || has_own))
		shared = dsq_head_deadline(dsq_llc(llc_id), &due_shared);
	if (has_own && pinned && time_before(own_due, due_pinned))
		pinned = false;
	if (has_own && shared && time_before(own_due, due_shared))
		shared = false;
	if (pinned && shared && time_before(due_shared, due_pinned))
		got = scx_bpf_dsq_move_to_local(dsq_llc(llc_id), 0);
	if (!got && pinned)
		got = scx_bpf_dsq_move_to_local(dsq_cpu(cpu), 0);
	if (!got && shared)
		got = scx_bpf_dsq_move_to_local(dsq_llc(llc_id), 0);
	count_verdict(me, TOLL_KIND_PULL, TOLL_LEVEL_CORE, got ? TOLL_APPLIED : TOLL_NOTHING);
	return got;
}

/*
 * A CPU of LLC @to that @p may use and that runs none of our tasks, to be
 * kicked if it is idle; negative when there is none. From a tick, where the
 * kernel's own search for a task is not to be had.
 *
 * The kernel's idle mask is asked first, but not believed when it has nothing:
 * a CPU that is in no idle mask and runs nothing would sleep on for ever.
 */
static __always_inline s32 find_idle_from_tick(struct task_struct *p, u32 to)
{
	const struct cpumask *cpus = llc_cpus(to);
	struct toll_cpu *c;
	s32 idle = -EBUSY;
	u32 cpu;

	if (!cpus)
		return -EBUSY;
	/* A whole idle core first: a thread beside a busy one gets a third of a core. */
	if (p->nr_cpus_allowed >= toll_nr_cpus) {
		idle = toll_has_smt ? scx_bpf_pick_idle_cpu(cpus, SCX_PICK_IDLE_CORE) : -EBUSY;
		if (idle < 0)
			idle = scx_bpf_pick_idle_cpu(cpus, 0);
	}
	if (idle >= 0)
		return idle;
	bpf_for(cpu, 0, toll_nr_cpu_ids) {
		if (cpu_llc(cpu) != to || !bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			continue;
		c = cpu_of(cpu);
		if (c && READ_ONCE(c->online) && !READ_ONCE(c->end_at) && !READ_ONCE(c->taken)) {
			scx_bpf_test_and_clear_cpu_idle(cpu);
			return cpu;
		}
	}
	return -EBUSY;
}

/*
 * Wake an idle CPU of LLC @to for which one of the first tasks that wait in
 * @from has come to pay, or has waited too long. That CPU then pulls by itself,
 * and decides again.
 */
static __always_inline bool wake_for(struct toll_cpu *me, u32 from, u32 to,
				     const struct toll_policy *pol)
{
	struct task_struct *p;
	bool woken = false;
	u32 looked = 0;
	struct ask a;
	s32 cpu;

	bpf_for_each(scx_dsq, p, dsq_llc(from), 0) {
		struct toll_task *t;

		if (looked++ >= TOLL_PULL_LOOK)
			break;
		t = task_of(p);
		if (!t)
			continue;
		if (from != to && !is_applied(judge_waiting(t, from, to, &a, pol)))
			continue;
		cpu = find_idle_from_tick(p, to);
		if (cpu < 0)
			continue;
		me->nr_kicks++;
		kick(cpu, SCX_KICK_IDLE);
		woken = true;
		break;
	}
	return woken;
}

/*
 * No CPU sleeps beside a queue that pays: one of the LLC's ticks looks at the
 * own LLC first and then outward, and wakes the nearest CPU that is worth it.
 */
static __always_inline void look_outward(struct toll_cpu *me, u32 from, u64 now,
					 const struct toll_policy *pol)
{
	struct toll_llc *llc = llc_of(from);
	u32 rank, to, asked = 0;
	u64 looked_at;

	if (!llc || !READ_ONCE(llc->nr_queued))
		return;
	looked_at = READ_ONCE(llc->looked_at);
	if (time_delta(now, looked_at) < (s64)TOLL_LOOK_EVERY_NS)
		return;
	if (__sync_val_compare_and_swap(&llc->looked_at, looked_at, now) != looked_at)
		return;
	if (may_have_idle(llc) && wake_for(me, from, from, pol))
		return;
	bpf_for(rank, 0, toll_nr_llcs - 1) {
		to = outward(from, rank);
		llc = llc_of(to);
		if (!llc || !may_have_idle(llc))
			continue;
		if (wake_for(me, from, to, pol) || ++asked >= TOLL_LOOK_LLCS)
			return;
	}
}

/*
 * @cpu found nothing although a task is counted in its LLC's queue: the task is
 * between being counted and being inserted, or may not run here. Look again a
 * few times, since the idle CPU would not be told.
 */
static __always_inline void look_again(struct toll_cpu *me, s32 cpu, u32 llc_id)
{
	struct toll_llc *llc = llc_of(llc_id);

	if (!llc || !READ_ONCE(llc->nr_queued) || me->looked_again >= TOLL_LOOK_AGAIN)
		return;
	me->looked_again++;
	kick(cpu, SCX_KICK_IDLE);
}

#endif /* TOLL_PULL_BPF_H */
