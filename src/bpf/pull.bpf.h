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
	u64 seq;	/* of the decision; 0: nobody listens */
	struct toll_move move;	/* what moving it is decided on */
};

/*
 * What a CPU that pulls works with; too large for the stack of three calls.
 * Like the draft of a record it belongs to the CPU that decides.
 */
struct puller {
	struct pick best;
	struct ask ask;		/* about the candidate at hand */
	struct about about;	/* what is recorded of it */
	bool let_go;		/* the search may have let go of the run queue */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct puller);
} toll_pullers SEC(".maps");

static __always_inline struct puller *puller(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&toll_pullers, &zero);
}

/*
 * Ask whether @t, which waits in LLC @from, is to move to LLC @to, where it
 * would not have to wait. It waits already, so if @from has an idle CPU that
 * has not helped it. Leaves the parts of the answer in @a.
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
 * LLC @to; the best is left in the puller. One that has waited too long comes
 * before all others.
 */
__noinline int pick_best(u32 from, u32 to, s32 cpu, const struct toll_policy *pol)
{
	struct puller *u = puller();
	struct task_struct *p;
	s64 most = 0, net;
	u32 looked = 0, verdict;

	if (!u || !pol)
		return -EINVAL;
	u->about.from = from;
	u->best.pid = 0;
	u->best.verdict = TOLL_NOTHING;
	bpf_for_each(scx_dsq, p, dsq_llc(from), 0) {
		struct toll_task *t;

		if (looked++ >= TOLL_PULL_LOOK)
			break;
		t = task_of(p);
		if (!t)
			continue;
		if (!bpf_cpumask_test_cpu(cpu, p->cpus_ptr) || is_migration_disabled(p))
			verdict = TOLL_AFFINITY;
		else
			verdict = judge_waiting(t, from, to, &u->ask, pol);
		u->best.verdict = better_reason(u->best.verdict, verdict);
		if (is_applied(verdict)) {
			net = u->ask.gain_ns - u->ask.penalty_ns;
			if (verdict == TOLL_APPLIED && u->best.pid && net <= most)
				continue;
			most = net;
			u->best.pid = p->pid;
			note_move(&u->best.move, &u->ask, verdict, u->best.seq);
		}
		if (u->best.seq) {
			u->about.verdict = verdict;
			record_candidate(p, t, verdict == TOLL_AFFINITY ? NULL : &u->ask, &u->about,
					 pol);
		}
		if (verdict == TOLL_APPLIED_AGED) {
			u->best.verdict = verdict;
			break;
		}
	}
	return 0;
}

/* Fetch the best task out of LLC @from's queue to @cpu of LLC @to. Return false if it is gone. */
__noinline bool pull_task(u32 from, u32 to, s32 cpu)
{
	struct puller *u = puller();
	struct task_struct *p;
	bool moved = false;
	u32 looked = 0;

	if (!u)
		return false;
	bpf_for_each(scx_dsq, p, dsq_llc(from), 0) {
		struct toll_task *t;

		/* Others may have queued in front of it meanwhile: allow twice the depth. */
		if (looked++ >= 2 * TOLL_PULL_LOOK)
			break;
		if (p->pid != u->best.pid)
			continue;
		t = task_of(p);
		/* It may have been queued anew since, with another mask. */
		if (!t || is_migration_disabled(p) || !bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			break;
		moved = scx_bpf_dsq_move(BPF_FOR_EACH_ITER, p, SCX_DSQ_LOCAL, 0);
		if (moved) {
			t->kind = TOLL_KIND_PULL;
			t->move = u->best.move;
			queue_add(t, to, t->queued_ns, 0);
		}
		break;
	}
	return moved;
}

/* Begin a decision to pull at @level, if somebody listens (@heard) with a record of nobody. */
static __always_inline void pull_begin(struct puller *u, struct toll_cpu *me, s32 cpu, u32 level,
				       bool heard)
{
	count_asked(me, TOLL_KIND_PULL, level);
	if (!heard)
		return;
	u->best.seq = record_number(level);
	if (!u->best.seq)
		return;
	u->about.kind = TOLL_KIND_PULL;
	u->about.level = level;
	u->about.verdict = TOLL_NOTHING;
	u->about.from = TOLL_NO_LLC;
	u->about.to = cpu_llc(cpu);
	u->about.to_cpu = cpu;
	record_draft_none(&u->about);
}

/* The decision at @level has ended with @verdict. */
static __always_inline void pull_end(struct puller *u, struct toll_cpu *me, s32 cpu, u32 level,
				     u32 verdict)
{
	u64 count = count_verdict(me, TOLL_KIND_PULL, level, verdict);

	if (u->best.seq)
		record_close(u->best.seq, count, cpu);
}

/*
 * Pull from the nearest LLC that has a task that pays, level by level: the
 * LLCs of the node come before all others, so one way outward serves both.
 */
__noinline bool pull_outward(s32 cpu, const struct toll_policy *pol)
{
	u32 verdict = TOLL_NOTHING, level = TOLL_LEVEL_CORE, rank, from, to = cpu_llc(cpu);
	bool heard = is_wanted(TOLL_WANTS_DECISIONS);
	struct toll_cpu *me = cpu_of(cpu);
	struct puller *u = puller();
	struct toll_llc *victim;

	if (!me || !pol || !u || toll_no_pull)
		return false;
	u->let_go = false;
	u->best.seq = 0;
	bpf_for(rank, 0, toll_nr_llcs - 1) {
		from = outward(to, rank);
		if (level_of(to, from) != level) {
			if (level != TOLL_LEVEL_CORE)
				pull_end(u, me, cpu, level, verdict);
			level = level_of(to, from);
			verdict = TOLL_NOTHING;
			pull_begin(u, me, cpu, level, heard);
		}
		victim = llc_of(from);
		if (!victim || !READ_ONCE(victim->nr_queued))
			continue;
		pick_best(from, to, cpu, pol);
		if (is_applied(u->best.verdict)) {
			u->let_go = true;
			if (pull_task(from, to, cpu)) {
				verdict = u->best.verdict;
				break;
			}
			u->best.verdict = TOLL_RACED;
			if (u->best.seq)
				record_raced();
		}
		verdict = better_reason(verdict, u->best.verdict);
	}
	if (level == TOLL_LEVEL_CORE)
		return false;
	pull_end(u, me, cpu, level, verdict);
	return is_applied(verdict);
}

/* Return true if the last pull_outward() of this CPU may have let go of the run queue. */
static __always_inline bool pull_let_go(void)
{
	struct puller *u = puller();

	return !u || u->let_go;
}

/*
 * Take the next task of the own queues, the one due earlier first. @own_due is
 * when the turn of the task is due that could go on running here: it is preferred
 * to a later one. *@let_go: a queue that others take from too was tried in vain.
 */
static __always_inline bool pull_home(struct toll_cpu *me, s32 cpu, u32 llc_id, bool has_own,
				      u64 own_due, bool *let_go)
{
	struct toll_llc *llc = llc_of(llc_id);
	bool shared = llc && READ_ONCE(llc->nr_queued);
	bool pinned = scx_bpf_dsq_nr_queued(dsq_cpu(cpu)) > 0;
	u64 due_pinned = 0, due_shared = 0;
	bool got = false;
	struct about about = {
		.kind = TOLL_KIND_PULL,
		.level = TOLL_LEVEL_CORE,
		.from = llc_id,
		.to = llc_id,
		.to_cpu = cpu,
	};
	struct about sent;
	u64 count, seq;

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
	*let_go = pinned || shared;
	about.verdict = got ? TOLL_APPLIED : TOLL_NOTHING;
	count = count_verdict(me, TOLL_KIND_PULL, TOLL_LEVEL_CORE, about.verdict);
	seq = record_open(TOLL_LEVEL_CORE);
	if (seq) {
		sent = about;	/* as in conclude() */
		record_draft_none(&sent);
		record_close(seq, count, cpu);
	}
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
__noinline bool wake_for(u32 from, u32 to, const struct toll_policy *pol)
{
	struct toll_cpu *me = this_cpu();
	struct task_struct *p;
	bool woken = false;
	u32 looked = 0;
	struct ask a;
	s32 cpu;

	if (!me || !pol)
		return false;
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
static __always_inline void look_outward(u32 from, u64 now, const struct toll_policy *pol)
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
	if ((may_have_idle(llc) && wake_for(from, from, pol)) || toll_no_pull)
		return;
	bpf_for(rank, 0, toll_nr_llcs - 1) {
		to = outward(from, rank);
		llc = llc_of(to);
		if (!llc || !may_have_idle(llc))
			continue;
		if (wake_for(from, to, pol) || ++asked >= TOLL_LOOK_LLCS)
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
