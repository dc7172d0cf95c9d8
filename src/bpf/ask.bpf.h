/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ask.bpf.h - a question about a move, and its answer with the parts that it
 * was computed from. What it is about is in move.bpf.h, who reads the parts in
 * record.bpf.h.
 */
#ifndef TOLL_ASK_BPF_H
#define TOLL_ASK_BPF_H

struct ask {
	u64 now;
	u64 wait_from_ns;	/* W where it is, the task itself included */
	u64 stay_ns;		/* run time it is expected to need yet */
	u64 span_ns;		/* ... of it over the turns that the gain counts */
	u64 turn_ns;		/* ... in its next turn */
	u64 warm_from_ns;
	u64 version;		/* of the policy that it is asked under */
	u32 turns;
	u32 from;
	u32 node;		/* only LLCs of this node are asked for; TOLL_NO_NODE: all */
	/* Out: the last target asked for. */
	s64 gain_ns;
	s64 penalty_ns;
	s64 refill_ns;
	s64 remote_ns;
	u64 wait_to_ns;
	u64 warm_to_ns;
	struct toll_gate gate;	/* as it was before */
	u32 to;
	s32 to_cpu;		/* a CPU there that was claimed idle; negative: none */
	u32 flags;		/* enum toll_decision_flags */
	u32 home;		/* node of its memory, which may have changed since */
};

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

/* Begin a decision at another level with the same question: what the last one left is forgotten. */
static __always_inline void ask_anew(struct ask *a)
{
	a->flags = 0;
	a->to = TOLL_NO_LLC;
	a->to_cpu = -EBUSY;
}

/* Note what a move was decided on, for judge_move() in record.bpf.h. */
static __always_inline void note_move(struct toll_move *move, const struct ask *a, u32 verdict,
				      u64 seq)
{
	move->at_ns = a->now;
	move->seq = seq;
	move->wait_from_ns = a->wait_from_ns;
	move->wait_to_ns = a->wait_to_ns;
	move->penalty_ns = a->penalty_ns;
	move->turns = a->turns;
	move->verdict = verdict;
	move->from = a->from;
}

#endif /* TOLL_ASK_BPF_H */
