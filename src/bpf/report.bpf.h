/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * report.bpf.h - one counter per exit of a decision.
 *
 * A question is counted when it is asked and again when it is answered, at two
 * different places, so that asked = sum of verdicts is a property that a test
 * can find broken.
 */
#ifndef TOLL_REPORT_BPF_H
#define TOLL_REPORT_BPF_H

/*
 * @index within an array of @slots entries, a power of two. The compiler must
 * not see where the index comes from: it would drop a mask that it can prove
 * needless, and the verifier, which cannot, would refuse the access.
 */
#define slot(index, slots)			\
	({					\
		u32 __index = (index);		\
		barrier_var(__index);		\
		__index & ((slots) - 1);	\
	})

static __always_inline void count_asked(struct toll_cpu *me, u32 kind, u32 level)
{
	me->asked[slot(kind, TOLL_KIND_SLOTS)][slot(level, TOLL_LEVEL_SLOTS)]++;
}

/* Returns how many were counted by now. */
static __always_inline u64 count_verdict(struct toll_cpu *me, u32 kind, u32 level, u32 verdict)
{
	return ++me->verdicts[slot(kind, TOLL_KIND_SLOTS)][slot(level, TOLL_LEVEL_SLOTS)]
			     [slot(verdict, TOLL_VERDICT_SLOTS)];
}

/* A task runs on another CPU than before; @kind is what moved it. */
static __always_inline void count_landed(struct toll_cpu *me, u32 kind, u32 level)
{
	me->landed[slot(kind, TOLL_KIND_SLOTS)][slot(level, TOLL_LEVEL_SLOTS)]++;
}

/* ... and in another LLC. */
static __always_inline void count_pair(u32 from, u32 to)
{
	struct toll_pair *pair = pair_of(from, to);

	if (pair)
		__sync_fetch_and_add(&pair->nr_moves, 1);
}

/* A turn waited so long before it began. */
static __always_inline void count_wait(struct toll_cpu *me, u64 ns)
{
	me->wait_ns += ns;
	me->nr_waits++;
	me->wait_hist[slot(toll_hist_slot(ns), TOLL_HIST_SLOTS)]++;
}

/* A task that was sent from LLC @from because dL > P runs in LLC @to. */
static __always_inline void count_judged(struct toll_cpu *me, u32 from, u32 to, s64 gain_ns,
					 s64 penalty_ns)
{
	u64 gain = gain_ns > 0 ? gain_ns : 0, cost = penalty_ns > 0 ? penalty_ns : 0;
	struct toll_pair *pair = from != to ? pair_of(from, to) : NULL;

	me->gain_ns += gain;
	me->cost_ns += cost;
	me->gain_hist[slot(toll_hist_slot(gain), TOLL_HIST_SLOTS)]++;
	me->cost_hist[slot(toll_hist_slot(cost), TOLL_HIST_SLOTS)]++;
	if (!pair)
		return;
	__sync_fetch_and_add(&pair->nr_judged, 1);
	__sync_fetch_and_add(&pair->gain_ns, gain_ns);
	__sync_fetch_and_add(&pair->penalty_ns, penalty_ns);
}

#endif /* TOLL_REPORT_BPF_H */
