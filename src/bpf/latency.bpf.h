/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * latency.bpf.h - how long a turn is, when it is due, and who yields to whom.
 *
 *   1. a turn is shorter when many wait: down to least_slice_ns    turn_begin
 *   2. it is due a turn after the task's vtime, and stays due then until it is
 *      used up: who is interrupted goes on before those who wait   turn_begin
 *   3. a waking task that finds no idle CPU makes the running task of its LLC
 *      yield whose turn is due last, if its own is due earlier and is short
 *      beside what the other still needs                           preempt_for
 *   4. a task woken by one that is about to sleep takes over its CPU, if that
 *      takes less time than waking an idle one                     handoff_cpu
 */
#ifndef TOLL_LATENCY_BPF_H
#define TOLL_LATENCY_BPF_H

/* CPUs of an LLC whose running tasks are compared with a waking one. */
#define TOLL_PREEMPT_LOOK 8
/* A turn with less than this left is begun anew: it is not worth a switch. */
#define TOLL_TURN_REST_NS (250ULL * 1000)
/* Waking an idle CPU of the same LLC: interrupt, leaving idle, its cold upper caches. A guess. */
#define TOLL_WAKE_NS (10ULL * 1000)

/*
 * Give @p a turn in LLC @llc_id, whose clock it is on. A task that wakes up, or
 * has used up its turn, begins a new one; any other goes on with what is left.
 * One that is entitled to a whole CPU is due before all others: it would never
 * make up for a wait.
 */
static __always_inline void turn_begin(struct task_struct *p, struct toll_task *t, u32 llc_id,
				       bool wakes, const struct toll_policy *pol)
{
	struct toll_llc *llc = llc_of(llc_id);
	u64 turn;

	if (!llc)
		return;
	if (!wakes && t->turn_ns > TOLL_TURN_REST_NS) {
		if (is_heavy(p, t, llc))
			t->deadline = READ_ONCE(llc->vtime_now) - vtime_lead(llc);
		return;
	}
	t->turn_ns = toll_turn(pol->slice_ns, pol->least_slice_ns, READ_ONCE(llc->nr_queued),
			       llc_nr_usable(llc));
	turn = toll_expect_turn(t->avg_run_ns, t->run_ns, t->turn_ns);
	if (is_heavy(p, t, llc))
		t->deadline = READ_ONCE(llc->vtime_now) - vtime_lead(llc);
	else
		t->deadline = t->vtime + vtime_of(p, t, llc, turn);
}

/*
 * Set *@due to when the turn of @prev is due, if it could go on running; false
 * if it cannot. A turn that is used up is followed by the next.
 */
static __always_inline bool turn_due(struct task_struct *prev, struct toll_task *t, s32 cpu,
				     u64 *due, const struct toll_policy *pol)
{
	u32 llc_id = cpu_llc(cpu);
	struct toll_llc *llc = llc_of(llc_id);

	if (!prev || !t || !llc || !(prev->scx.flags & SCX_TASK_QUEUED))
		return false;
	if (t->on_cpu)
		charge(prev, t, scx_bpf_now(), pol);
	turn_begin(prev, t, llc_id, false, pol);
	*due = t->deadline;
	return !group_throttled(prev, t) && !is_sent_home(t);
}

/*
 * @p waits in its LLC's queue: make the running task whose turn is due last
 * yield, if that is later than @p's and it needs at least twice as long as @p.
 * What it loses is one short turn; it goes on with its own afterwards.
 */
static __always_inline void preempt_for(struct task_struct *p, struct toll_task *t,
					struct toll_cpu *me, u32 llc_id, s32 near)
{
	u64 now = scx_bpf_now(), latest = t->deadline, needs = 2 * t->queued_ns;
	const struct cpumask *cpus = llc_cpus(llc_id);
	s32 cpu, victim = -1;
	struct toll_cpu *c;
	u64 end_at;
	u32 i;

	if (!cpus)
		return;
	bpf_for(i, 0, is_pinned(p) ? 1 : TOLL_PREEMPT_LOOK) {
		cpu = i ? (s32)bpf_cpumask_any_and_distribute(cpus, p->cpus_ptr) : near;
		c = cpu_of(cpu);
		if (!c || c->llc != llc_id || READ_ONCE(c->taken) ||
		    !bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			continue;
		/* About to end by itself; one that is overdue has proved its expectation wrong. */
		end_at = READ_ONCE(c->end_at);
		if (!end_at || (time_before(now, end_at) && end_at - now < needs))
			continue;
		if (!time_before(latest, READ_ONCE(c->deadline)))
			continue;
		latest = c->deadline;
		victim = cpu;
	}
	if (victim < 0)
		return;
	me->nr_preempts++;
	kick(victim, SCX_KICK_PREEMPT);
}

/*
 * The CPU of the waker, if it says that it is about to sleep and will do so
 * sooner than an idle CPU would be awake; negative otherwise. Only for a task
 * that ran in the same LLC: coming from another is a move, and has its price.
 */
static __always_inline s32 handoff_cpu(struct task_struct *p, struct toll_cpu *me, u32 from,
				       u64 wake_flags)
{
	struct task_struct *waker = bpf_get_current_task_btf();
	s32 cpu = bpf_get_smp_processor_id();
	struct toll_task *w;
	u64 ran;

	if (!(wake_flags & SCX_WAKE_SYNC) || cpu_llc(cpu) != from || !me->end_at ||
	    (waker->flags & PF_EXITING) || !bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
		return -EBUSY;
	w = task_of(waker);
	if (!w || !w->on_cpu)
		return -EBUSY;
	ran = w->run_ns + time_delta(scx_bpf_now(), w->started_at);
	if (toll_expect_turn(w->avg_run_ns, ran, ~0ULL) > TOLL_WAKE_NS)
		return -EBUSY;
	if (scx_bpf_dsq_nr_queued(SCX_DSQ_LOCAL_ON | (u64)cpu) > 0 ||
	    scx_bpf_dsq_nr_queued(dsq_cpu(cpu)) > 0)
		return -EBUSY;
	me->handed = 1;
	me->nr_handoffs++;
	return cpu;
}

/* The waker has not slept after all: let the task that it left here run. */
static __always_inline void handoff_check(struct task_struct *p, struct toll_cpu *me)
{
	if (!me->handed)
		return;
	me->handed = 0;
	if (scx_bpf_dsq_nr_queued(SCX_DSQ_LOCAL) > 0)
		scx_bpf_task_set_slice(p, 0);
}

#endif /* TOLL_LATENCY_BPF_H */
