/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * move.bpf.h - the one question behind place, push and pull.
 *
 * worth_moving(ask, task, to, wait_to): does this task save more wait in LLC
 * @to than the move costs it? The caller fills in a struct ask once per task
 * and then asks for as many targets as it likes; what depends on the task and
 * on where it is now is computed once.
 *
 * The functions without `static` are global ones: the verifier checks each
 * once, by its arguments' types, and not again on every path that calls it.
 * So they look up what they need by themselves, except the policy: that one
 * is the callback's.
 */
#ifndef TOLL_MOVE_BPF_H
#define TOLL_MOVE_BPF_H

struct ask {
	u64 now;
	u64 wait_from_ns;	/* W where it is, the task itself included */
	u64 stay_ns;		/* run time it is expected to need yet */
	u64 span_ns;		/* ... of it over the turns that the gain counts */
	u64 turn_ns;		/* ... in its next turn */
	u64 warm_from_ns;
	u64 version;		/* of the policy that it is asked under */
	s64 net_ns;		/* out: gain minus penalty of the last target asked for */
	u32 turns;
	u32 from;
};

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
	a->net_ns = 0;
	a->stay_ns = toll_expect_stay(t->avg_run_ns, t->run_ns);
	a->turn_ns = toll_expect_turn(t->avg_run_ns, t->run_ns, pol->slice_ns);
	a->turns = toll_turns(a->stay_ns, pol->slice_ns, pol->max_turns);
	a->span_ns = toll_min(a->stay_ns, a->turns * pol->slice_ns);
	a->warm_from_ns = warm_in(t, from, pol);
	check_policy(pol, a->version);
	return 0;
}

/* P of moving the task of @a to LLC @to. */
static __always_inline s64 penalty_of(const struct ask *a, struct toll_task *t, u32 to,
				      const struct toll_policy *pol)
{
	u32 from = a->from & (TOLL_MAX_LLCS - 1), level = price_level(a->from, to);
	u32 here, there, home = t->home_node;
	s64 refill, remote = 0;

	to &= TOLL_MAX_LLCS - 1;
	refill = toll_refill(a->warm_from_ns, warm_in(t, to, pol), pol->refill_q10[level & (TOLL_LEVEL_SLOTS - 1)]);
	if (level == TOLL_LEVEL_NODE && home < TOLL_MAX_NODES) {
		here = llc_node(from) & (TOLL_MAX_NODES - 1);
		there = llc_node(to) & (TOLL_MAX_NODES - 1);
		home &= TOLL_MAX_NODES - 1;
		remote = toll_remote(a->span_ns, pol->remote_pm[home][there],
				     pol->remote_pm[home][here]);
	}
	if (in_wrong_class(t, to) && !in_wrong_class(t, from)) {
		remote += TOLL_AGAINST_CLASS_NS;
		/* Whoever belongs on a big core takes longer on a little one. */
		if (llc_little(to))
			remote += toll_remote(a->span_ns, toll_slower_pm, 0);
	}
	return toll_penalty(pol->hop_ns[from][to], refill, remote, pol->price_q10);
}

/*
 * Return TOLL_APPLIED if the move to LLC @to, where the task would wait
 * @wait_to_ns, pays now; TOLL_HYSTERESIS if it pays but has not done so for
 * long enough; TOLL_NOT_WORTH otherwise. Leaves the margin in a->net_ns.
 *
 * The gate belongs to the two LLCs and not to the task, so it sees the
 * imbalance of one turn, also while the move does not pay. A task on its way
 * home (P < 0) does not have to wait for it.
 */
__noinline u32 worth_moving(struct ask *a, struct toll_task *t, u32 to, u64 wait_to_ns,
			    const struct toll_policy *pol)
{
	struct toll_gate *gate;
	s64 gain, penalty;
	bool held = true, worth;
	u32 level;

	if (!a || !t || !pol)
		return TOLL_NOT_WORTH;
	level = price_level(a->from, to);
	gain = toll_gain(a->wait_from_ns, wait_to_ns, a->turns);
	penalty = penalty_of(a, t, to, pol);
	a->net_ns = gain - penalty;
	if (pol->migrate != TOLL_MIGRATE_ALWAYS) {
		gate = gate_of(a->from, to);
		if (gate)
			held = toll_gate_pass(gate, toll_gain(a->wait_from_ns, wait_to_ns, 1),
					      a->now, &pol->hyst[level & (TOLL_LEVEL_SLOTS - 1)]);
	}
	worth = toll_worth(pol->migrate, gain, penalty, pol->fixed_ns);
	check_policy(pol, a->version);
	if (!worth)
		return TOLL_NOT_WORTH;
	return held || penalty < 0 ? TOLL_APPLIED : TOLL_HYSTERESIS;
}

/* Return true if the task has waited so long that it is moved whatever it costs. */
static __always_inline bool waited_too_long(struct toll_task *t, u64 now,
					    const struct toll_policy *pol)
{
	return pol->migrate != TOLL_MIGRATE_NEVER && t->enqueued_at &&
	       time_delta(now, t->enqueued_at) > (s64)pol->age_ns;
}

static __always_inline bool is_applied(u32 verdict)
{
	return verdict == TOLL_APPLIED || verdict == TOLL_APPLIED_AGED;
}

/*
 * Of two refusals the one that says more: the further a decision came, the
 * better it explains why nothing moved.
 */
static __always_inline u32 better_reason(u32 a, u32 b)
{
	/* Nothing, affinity, not worth, hysteresis, raced; and what was applied says it all. */
	const u64 rank = 0xfULL << (4 * TOLL_APPLIED) | 0xfULL << (4 * TOLL_APPLIED_AGED) |
			 0x0 << (4 * TOLL_NOTHING) | 0x1 << (4 * TOLL_AFFINITY) |
			 0x2 << (4 * TOLL_NOT_WORTH) | 0x3 << (4 * TOLL_HYSTERESIS) |
			 0x4 << (4 * TOLL_RACED);

	return (rank >> (4 * (a & 7)) & 0xf) >= (rank >> (4 * (b & 7)) & 0xf) ? a : b;
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
 * The nearest level of place and push: an idle CPU of the LLC @llc_id where the
 * task is. Costs nothing by the model, so it is never refused for its price.
 */
static __always_inline s32 claim_home(struct task_struct *p, struct toll_cpu *me, u32 kind,
				      s32 prev_cpu, u32 llc_id)
{
	struct toll_llc *llc = llc_of(llc_id);
	s32 cpu = -EBUSY;

	count_asked(me, kind, TOLL_LEVEL_CORE);
	if (llc && may_have_idle(llc))
		cpu = claim_idle_near(p, prev_cpu, llc_id);
	count_verdict(me, kind, TOLL_LEVEL_CORE, cpu >= 0 ? TOLL_APPLIED : TOLL_NOTHING);
	return cpu;
}

#endif /* TOLL_MOVE_BPF_H */
