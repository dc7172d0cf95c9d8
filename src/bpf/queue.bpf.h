/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * queue.bpf.h - a task gets into a queue (enqueue): that of its LLC or of the
 * CPU that it cannot leave, at once that of an idle CPU, or where tasks of a
 * group without budget are parked. Which of them was decided before.
 */
#ifndef TOLL_QUEUE_BPF_H
#define TOLL_QUEUE_BPF_H

/*
 * Queue a task that cannot leave its CPU. A kernel thread that wakes up goes
 * first, and at once unless it has had more than its share; everything else
 * goes by deadline.
 */
static __always_inline void enqueue_pinned(struct task_struct *p, struct toll_task *t,
					   struct toll_cpu *me, const struct toll_policy *pol,
					   u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);
	u32 llc_id = cpu_llc(cpu);
	bool wakes = enq_flags & SCX_ENQ_WAKEUP;
	struct toll_llc *llc = llc_of(llc_id);

	t->kind = TOLL_KIND_OTHER;
	vtime_to_queue(p, t, llc_id, pol);
	turn_begin(p, t, llc_id, wakes, pol);
	queue_add(t, llc_id, toll_expect_turn(t->avg_run_ns, t->run_ns, t->turn_ns), 0);
	if ((p->flags & PF_KTHREAD) && wakes) {
		if (llc && !time_before(READ_ONCE(llc->vtime_now), t->vtime))
			enq_flags |= SCX_ENQ_PREEMPT;
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | (u64)cpu, t->turn_ns, enq_flags);
		return;
	}
	me->nr_pinned++;
	scx_bpf_dsq_insert_vtime(p, dsq_cpu(cpu), t->turn_ns, t->deadline, enq_flags);
	if (scx_bpf_test_and_clear_cpu_idle(cpu))
		kick(cpu, SCX_KICK_IDLE);
	else if (wakes)
		preempt_for(p, t, me, llc_id, cpu);
}

/* Carry out where push_choose() wants @p. */
static __always_inline void enqueue_at(struct task_struct *p, struct toll_task *t,
				       struct toll_cpu *me, const struct toll_policy *pol,
				       const struct target *where, u64 enq_flags)
{
	bool wakes = enq_flags & SCX_ENQ_WAKEUP;
	u32 from = cpu_llc(scx_bpf_task_cpu(p));
	s32 cpu = where->cpu;
	struct toll_llc *llc;
	u64 turn;

	/* Whoever takes it out of its own LLC's queue pulls it. */
	note_kind(t, where->llc == from && where->cpu < 0 ? TOLL_KIND_PULL : TOLL_KIND_PUSH, from,
		  where->llc);
	vtime_to_queue(p, t, where->llc, pol);
	turn_begin(p, t, where->llc, wakes, pol);
	turn = toll_expect_turn(t->avg_run_ns, t->run_ns, t->turn_ns);
	if (cpu < 0) {
		/* Count it first and look for an idle CPU once more: see toll_update_idle(). */
		queue_add(t, where->llc, turn, 1);
		llc = llc_of(where->llc);
		if (llc && may_have_idle(llc) && READ_ONCE(me->online))
			cpu = claim_idle(p, where->llc);
	}
	if (cpu >= 0) {
		queue_add(t, where->llc, turn, 0);
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | (u64)cpu, t->turn_ns, enq_flags);
		kick(cpu, SCX_KICK_IDLE);
		return;
	}
	scx_bpf_dsq_insert_vtime(p, dsq_llc(where->llc), t->turn_ns, t->deadline, enq_flags);
	if (wakes)
		preempt_for(p, t, me, where->llc, scx_bpf_task_cpu(p));
}

/* Park @p, whose group @slot has used up its limit, until the timer brings it back. */
static __always_inline void park(struct task_struct *p, struct toll_task *t, u32 slot,
				 const struct toll_policy *pol, u64 enq_flags)
{
	t->kind = TOLL_KIND_OTHER;
	turn_begin(p, t, t->llc, false, pol);
	weight_del(t);
	scx_bpf_dsq_insert_vtime(p, dsq_parked(slot), t->turn_ns, t->deadline, enq_flags);
}

#endif /* TOLL_QUEUE_BPF_H */
