/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * move.bpf.h - the one question behind place, push and pull.
 *
 * worth_moving(ask, task, to, wait_to): does this task save more wait in LLC
 * @to than the move costs it? The caller fills in a struct ask once per task
 * and then asks for as many targets as it likes; what depends on the task and
 * on where it is now is computed once. What the answer was computed from stays
 * in the struct, for the record.
 *
 * The functions without `static` are global ones: the verifier checks each
 * once, by its arguments' types, and not again on every path that calls it.
 * So they look up what they need by themselves, except the policy: that one
 * is the callback's.
 */
#ifndef TOLL_MOVE_BPF_H
#define TOLL_MOVE_BPF_H

/* Fill in @a for task @t in LLC @from, where it waits @wait_from_ns. */
__noinline int ask_init(struct ask *a, struct toll_task *t, u32 from, u64 wait_from_ns,
			const struct toll_policy *pol)
{
	if (!a || !t || !pol)
		return -EINVAL;
	a->now = scx_bpf_now();
	a->from = from;
	a->wait_from_ns = wait_from_ns;
	a->version = READ_ONCE(pol->version);
	a->node = TOLL_NO_NODE;
	ask_anew(a);
	a->penalty_ns = 0;
	a->wait_to_ns = 0;
	a->stay_ns = toll_expect_stay(t->avg_run_ns, t->run_ns);
	a->turn_ns = toll_expect_turn(t->avg_run_ns, t->run_ns, pol->slice_ns);
	a->turns = toll_turns(a->stay_ns, pol->slice_ns, pol->max_turns);
	a->span_ns = toll_min(a->stay_ns, a->turns * pol->slice_ns);
	a->warm_from_ns = warm_in(t, from, pol);
	check_policy(pol, a->version);
	return 0;
}

/* P of moving the task of @a to LLC @to; its parts stay in @a. */
static __always_inline s64 penalty_of(struct ask *a, struct toll_task *t, u32 to, u32 level,
				      const struct toll_policy *pol)
{
	u32 from = a->from & (TOLL_MAX_LLCS - 1);
	u32 here, there, home = t->home_node;

	a->home = home;
	a->flags &= ~TOLL_AGAINST_CLASS;
	to &= TOLL_MAX_LLCS - 1;
	a->warm_to_ns = warm_in(t, to, pol);
	a->refill_ns = toll_refill(a->warm_from_ns, a->warm_to_ns,
				   pol->refill_q10[level & (TOLL_LEVEL_SLOTS - 1)]);
	a->remote_ns = 0;
	if (level == TOLL_LEVEL_NODE && home < TOLL_MAX_NODES) {
		here = llc_node(from) & (TOLL_MAX_NODES - 1);
		there = llc_node(to) & (TOLL_MAX_NODES - 1);
		home &= TOLL_MAX_NODES - 1;
		a->remote_ns = toll_remote(a->span_ns, pol->remote_pm[home][there],
					   pol->remote_pm[home][here]);
		/*
		 * Whoever goes home to a busy node only drives another away from
		 * it, and nobody ever settles. Whose memory comes may stay.
		 */
		if (toll_memory_comes && a->remote_ns < 0 && a->wait_to_ns)
			a->remote_ns = 0;
	}
	if (in_wrong_class(t, to) && !in_wrong_class(t, from)) {
		a->flags |= TOLL_AGAINST_CLASS;
		a->remote_ns += TOLL_AGAINST_CLASS_NS;
		/* Whoever belongs on a big core takes longer on a little one. */
		if (llc_little(to))
			a->remote_ns += toll_remote(a->span_ns, toll_slower_pm, 0);
	}
	return toll_penalty(pol->hop_ns[from][to], a->refill_ns, a->remote_ns, pol->price_q10);
}

/*
 * Ask the gate between two LLCs, and leave in @a what it was before. It is
 * read and written once, so the answer follows from what is left there.
 */
static __always_inline bool pass_gate(struct ask *a, u32 to, u64 wait_to_ns,
				      const struct toll_hysteresis *hyst)
{
	struct toll_gate *shared = gate_of(a->from, to), gate;
	bool held;

	if (!shared)
		return true;
	gate.since_at = READ_ONCE(shared->since_at);
	gate.seen_at = READ_ONCE(shared->seen_at);
	a->gate = gate;
	held = toll_gate_pass(&gate, toll_gain(a->wait_from_ns, wait_to_ns, 1), a->now, hyst);
	if (gate.since_at != a->gate.since_at)
		WRITE_ONCE(shared->since_at, gate.since_at);
	if (gate.seen_at != a->gate.seen_at)
		WRITE_ONCE(shared->seen_at, gate.seen_at);
	return held;
}

/*
 * Return TOLL_APPLIED if the move to LLC @to, where the task would wait
 * @wait_to_ns, pays now; TOLL_HYSTERESIS if it pays but has not done so for
 * long enough; TOLL_NOT_WORTH otherwise. Leaves gain, penalty and what they were
 * computed from in @a.
 *
 * The gate belongs to the two LLCs and not to the task, so it sees the
 * imbalance of one turn, also while the move does not pay. A task on its way
 * home (P < 0) does not have to wait for it.
 */
__noinline u32 worth_moving(struct ask *a, struct toll_task *t, u32 to, u64 wait_to_ns,
			    const struct toll_policy *pol)
{
	bool held = true, worth;
	u32 level;

	if (!a || !t || !pol)
		return TOLL_NOT_WORTH;
	level = price_level(a->from, to);
	a->to = to;
	a->flags |= TOLL_PRICED;
	a->wait_to_ns = wait_to_ns;
	a->gain_ns = toll_gain(a->wait_from_ns, wait_to_ns, a->turns);
	a->penalty_ns = penalty_of(a, t, to, level, pol);
	if (pol->migrate != TOLL_MIGRATE_ALWAYS)
		held = pass_gate(a, to, wait_to_ns, &pol->hyst[level & (TOLL_LEVEL_SLOTS - 1)]);
	worth = toll_worth(pol->migrate, a->gain_ns, a->penalty_ns, pol->fixed_ns);
	check_policy(pol, a->version);
	if (!worth)
		return TOLL_NOT_WORTH;
	return held || a->penalty_ns < 0 ? TOLL_APPLIED : TOLL_HYSTERESIS;
}

/*
 * The same for a task whose partner is in LLC @to: the gain is what hand-overs
 * from there have cost (a->wait_from_ns). No gate: that it has lasted is what
 * the sum says, and the imbalances that the gates remember are others.
 */
__noinline u32 ask_beside(struct ask *a, struct toll_task *t, u32 to, u32 level,
			  const struct toll_policy *pol)
{
	if (!a || !t || !pol)
		return TOLL_NOT_WORTH;
	a->to = to;
	a->flags |= TOLL_PRICED | TOLL_BESIDE;
	a->wait_to_ns = 0;
	a->gain_ns = toll_gain(a->wait_from_ns, 0, a->turns);
	a->penalty_ns = penalty_of(a, t, to, level, pol);
	check_policy(pol, a->version);
	return toll_worth(pol->migrate, a->gain_ns, a->penalty_ns, pol->fixed_ns) ? TOLL_APPLIED :
										    TOLL_NOT_WORTH;
}

/* Return true if the task has waited so long that it is moved whatever it costs. */
static __always_inline bool waited_too_long(struct toll_task *t, u64 now,
					    const struct toll_policy *pol)
{
	return pol->migrate != TOLL_MIGRATE_NEVER && t->enqueued_at &&
	       time_delta(now, t->enqueued_at) > (s64)pol->age_ns;
}

/*
 * An idle CPU of @llc that @p may use, claimed for it, @prev_cpu or a CPU near
 * it first; negative when there is none.
 *
 * The kernel takes an idle @prev_cpu that is in the mask it is given without
 * asking the task's own mask, which may have changed while the task slept; so
 * only a CPU that the task may use is named here.
 */
static __always_inline s32 claim_idle_near(struct task_struct *p, s32 prev_cpu, u32 llc)
{
	const struct cpumask *cpus = llc_cpus(llc);

	if (!cpus)
		return -EBUSY;
	if (cpu_llc(prev_cpu) != llc || !bpf_cpumask_test_cpu(prev_cpu, p->cpus_ptr)) {
		prev_cpu = bpf_cpumask_any_and_distribute(cpus, p->cpus_ptr);
		if ((u32)prev_cpu >= toll_nr_cpu_ids)
			return -EBUSY;
	}
	/* Where no core has threads the kernel's search would begin like this, too. */
	if (!toll_has_smt && is_online(prev_cpu) && scx_bpf_test_and_clear_cpu_idle(prev_cpu))
		return prev_cpu;
	return scx_bpf_select_cpu_and(p, prev_cpu, 0, cpus, 0);
}

/* The same where the task has no CPU to be near to. */
static __always_inline s32 claim_idle(struct task_struct *p, u32 llc)
{
	const struct cpumask *cpus = llc_cpus(llc);

	return cpus ? claim_idle_near(p, bpf_cpumask_any_and_distribute(cpus, p->cpus_ptr), llc) :
		      -EBUSY;
}

/*
 * The nearest level of place and push: an idle CPU of the LLC of @prev_cpu, where
 * the task is. Costs nothing by the model, so it is never refused for its price.
 */
__noinline s32 claim_home(struct task_struct *p __arg_trusted, struct toll_task *t, u32 kind,
			  s32 prev_cpu, const struct toll_policy *pol)
{
	u32 llc_id = cpu_llc(prev_cpu);
	struct toll_llc *llc = llc_of(llc_id);
	struct toll_cpu *me = this_cpu();
	struct about about = {
		.kind = kind,
		.level = TOLL_LEVEL_CORE,
		.from = llc_id,
		.to = llc_id,
	};
	s32 cpu = -EBUSY;

	if (!t || !me || !pol)
		return -EBUSY;
	count_asked(me, kind, TOLL_LEVEL_CORE);
	if (llc && may_have_idle(llc))
		cpu = claim_idle_near(p, prev_cpu, llc_id);
	about.verdict = cpu >= 0 ? TOLL_APPLIED : TOLL_NOTHING;
	about.to_cpu = cpu >= 0 ? cpu : -1;
	conclude(me, p, t, NULL, &about, pol);
	return cpu;
}

#endif /* TOLL_MOVE_BPF_H */
