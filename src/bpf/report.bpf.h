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

#endif /* TOLL_REPORT_BPF_H */
