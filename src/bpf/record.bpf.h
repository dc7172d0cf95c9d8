/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * record.bpf.h - decisions, their outcomes and what ran, for whoever listens.
 *
 *   record_open()      is this decision wanted? Its sequence number, or 0
 *   record_draft()     who was looked at, and what came of it
 *   record_close()     how it ended: into the ring buffer
 *   conclude()         all three in one, where there is one candidate
 *   judge_move()       a moved task runs: did the move pay?
 *   slice_*()          what ran on a CPU from when to when
 *
 * While nobody listens, each of them is one look at one word. Nothing is
 * computed for a record that the decision did not compute: what is not in
 * struct ask is copied from where the decision read it.
 *
 * The draft belongs to the CPU that decides. Decisions run with interrupts off
 * and not inside one another, so one draft per CPU is enough.
 */
#ifndef TOLL_RECORD_BPF_H
#define TOLL_RECORD_BPF_H

/* Longest piece of a slice: what ran on is known so soon after. */
#define TOLL_PIECE_NS (100ULL * TOLL_MS)
/* Bits of a sequence number that count; above them is the CPU. */
#define TOLL_SEQ_BITS 40
/* 2^32 over the golden ratio: multiples of it, modulo 2^32, are spread evenly. */
#define TOLL_SPREAD 2654435769U

/* Written by user space. */
struct toll_listen toll_listen;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, TOLL_RING_BYTES);
} toll_ring SEC(".maps");

struct toll_recorder {
	u64 nr;			/* C  decisions that a listener's levels include */
	u64 nr_lost;		/* C  records for which the ring buffer had no room */
	struct toll_decision draft;	/* C */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct toll_recorder);
} toll_recorders SEC(".maps");

/* What is drafted besides the question: the decision and where it leads. */
struct about {
	u32 kind;
	u32 level;
	u32 verdict;
	u32 from;	/* LLC */
	u32 to;		/* LLC; TOLL_NO_LLC: nowhere */
	s32 to_cpu;
	u32 flags;	/* enum toll_decision_flags that hold without a question, too */
};

static __always_inline struct toll_recorder *recorder(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&toll_recorders, &zero);
}

/* The ring buffer had no room. */
static __always_inline void record_lost(void)
{
	struct toll_recorder *r = recorder();

	if (r)
		r->nr_lost++;
}

static __always_inline bool is_wanted(u32 what)
{
	return READ_ONCE(toll_listen.wants) & what;
}

/* The sequence number of a wanted decision, 0 when it is not to be recorded. */
__noinline u64 record_number(u32 level)
{
	struct toll_recorder *r = recorder();

	if (!r || !(toll_listen.levels >> (level & (TOLL_LEVEL_SLOTS - 1)) & 1))
		return 0;
	r->nr++;
	if ((u32)r->nr * TOLL_SPREAD > toll_listen.rate)
		return 0;
	return (u64)bpf_get_smp_processor_id() << TOLL_SEQ_BITS | r->nr;
}

static __always_inline u64 record_open(u32 level)
{
	return is_wanted(TOLL_WANTS_DECISIONS) ? record_number(level) : 0;
}

static __always_inline void fill_who(struct toll_who *who, struct task_struct *p)
{
	who->pid = p->pid;
	who->tgid = p->tgid;
	who->cgroup = BPF_CORE_READ(p, cgroups, dfl_cgrp, kn, id);
	bpf_probe_read_kernel_str(who->comm, sizeof(who->comm), p->comm);
}

/* Return true if @p is in the cgroup that is listened to, or below it. */
static __always_inline bool is_below_cgroup(struct task_struct *p)
{
	struct cgroup *cgroup = BPF_CORE_READ(p, cgroups, dfl_cgrp), *above = NULL;
	s32 level = toll_listen.cgroup_level;

	if (!cgroup || BPF_CORE_READ(cgroup, level) < level)
		return false;
	bpf_probe_read_kernel(&above, sizeof(above),
			      (void *)cgroup + bpf_core_field_offset(cgroup->ancestors) +
				      level * sizeof(above));
	return above && BPF_CORE_READ(above, kn, id) == toll_listen.cgroup;
}

/* Return true if the filters let @p through. */
static __always_inline bool is_listened_to(struct task_struct *p)
{
	u32 pid = toll_listen.pid;

	if (pid && p->pid != pid && p->tgid != pid)
		return false;
	return !toll_listen.cgroup || is_below_cgroup(p);
}

/* Begin a draft without a task. It is not sent if one is listened to. */
static __always_inline void draft_begin(struct toll_decision *d, const struct about *about)
{
	__builtin_memset(d, 0, sizeof(*d));
	d->event = toll_listen.pid || toll_listen.cgroup ? 0 : TOLL_EVENT_DECISION;
	d->kind = about->kind;
	d->level = about->level;
	d->verdict = about->verdict;
	d->from_llc = about->from;
	d->to_llc = about->to;
	d->from_cpu = -1;
	d->to_cpu = about->to_cpu;
	d->flags = about->flags;
}

/* Copy a question and what its answer was read from. */
static __always_inline void draft_question(struct toll_decision *d, const struct ask *a,
					   const struct toll_task *t,
					   const struct toll_policy *pol)
{
	u32 level = price_level(a->from, a->to) & (TOLL_LEVEL_SLOTS - 1);
	u32 home = a->home;

	d->flags |= a->flags;
	d->asked_ns = a->now;
	d->gain_ns = a->gain_ns;
	d->penalty_ns = a->penalty_ns;
	d->wait_from_ns = a->wait_from_ns;
	d->wait_to_ns = a->wait_to_ns;
	d->span_ns = a->span_ns;
	d->warm_from_ns = a->warm_from_ns;
	d->warm_to_ns = a->warm_to_ns;
	d->warm_most_ns = t->cap_ns;
	d->refill_ns = a->refill_ns;
	d->remote_ns = a->remote_ns;
	d->gate = a->gate;
	d->turns = a->turns;
	d->hop_ns = pol->hop_ns[a->from & (TOLL_MAX_LLCS - 1)][a->to & (TOLL_MAX_LLCS - 1)];
	d->hyst = pol->hyst[level];
	d->refill_q10 = pol->refill_q10[level];
	d->price_q10 = pol->price_q10;
	d->home_node = home;
	if (level == TOLL_LEVEL_NODE && home < TOLL_MAX_NODES) {
		home &= TOLL_MAX_NODES - 1;
		d->there_pm = pol->remote_pm[home][llc_node(a->to) & (TOLL_MAX_NODES - 1)];
		d->here_pm = pol->remote_pm[home][llc_node(a->from) & (TOLL_MAX_NODES - 1)];
	}
	if ((a->flags & TOLL_AGAINST_CLASS) && llc_little(a->to))
		d->slower_pm = toll_slower_pm;
}

/* Draft the decision that @about describes, about task @p, after question @a (NULL: none). */
__noinline int record_draft(struct task_struct *p __arg_trusted, struct toll_task *t,
			    const struct ask *a, const struct about *about,
			    const struct toll_policy *pol)
{
	struct toll_recorder *r = recorder();
	struct toll_decision *d;
	u64 now;

	if (!r || !t || !about || !pol)
		return -EINVAL;
	d = &r->draft;
	draft_begin(d, about);
	d->event = is_listened_to(p) ? TOLL_EVENT_DECISION : 0;
	if (!d->event)
		return 0;
	fill_who(&d->who, p);
	d->from_cpu = scx_bpf_task_cpu(p);
	/* Of its age it was asked for the instant of the question. */
	now = a ? a->now : scx_bpf_now();
	d->waited_ns = t->enqueued_at ? time_delta(now, t->enqueued_at) : 0;
	d->age_ns = pol->age_ns;
	d->migrate = pol->migrate;
	d->fixed_ns = pol->fixed_ns;
	d->policy_version = pol->version;
	if (a && (a->flags & TOLL_PRICED))
		draft_question(d, a, t, pol);
	return 0;
}

/* The draft of a decision for which there is no task yet. */
__noinline int record_draft_none(const struct about *about)
{
	struct toll_recorder *r = recorder();

	if (r && about)
		draft_begin(&r->draft, about);
	return 0;
}

/*
 * Draft one of several candidates of a decision, if it explains better what
 * happens than the one drafted so far.
 */
static __always_inline void record_candidate(struct task_struct *p, struct toll_task *t,
					     const struct ask *a, const struct about *about,
					     const struct toll_policy *pol)
{
	struct toll_recorder *r = recorder();
	u32 drafted;

	if (!r)
		return;
	drafted = r->draft.verdict;
	if (is_applied(about->verdict) || better_reason(drafted, about->verdict) != drafted)
		record_draft(p, t, a, about, pol);
}

/* The drafted candidate was gone when it was to be moved. */
static __always_inline void record_raced(void)
{
	struct toll_recorder *r = recorder();

	if (r)
		r->draft.verdict = TOLL_RACED;
}

/* Send the draft: @cpu has counted its verdict, which @count decisions have had by now. */
__noinline int record_close(u64 seq, u64 count, u32 cpu)
{
	struct toll_recorder *r = recorder();
	struct toll_decision *d;

	if (!r || !r->draft.event)
		return 0;
	d = &r->draft;
	d->seq = seq;
	d->count = count;
	d->cpu = cpu;
	d->at_ns = scx_bpf_now();
	if (bpf_ringbuf_output(&toll_ring, d, sizeof(*d), BPF_RB_NO_WAKEUP))
		r->nr_lost++;
	return 0;
}

/*
 * The end of a decision about one task: it is counted, and recorded if it is
 * wanted. @a is NULL when no question was put. Returns the number of its record.
 *
 * What is handed on is a copy, made only for a record: so the original has no
 * address that anybody sees, and the compiler never writes it to memory.
 */
static __always_inline u64 conclude(struct toll_cpu *me, struct task_struct *p,
				    struct toll_task *t, const struct ask *a,
				    const struct about *about, const struct toll_policy *pol)
{
	u64 count = count_verdict(me, about->kind, about->level, about->verdict);
	u64 seq = record_open(about->level);
	struct about sent;

	if (!seq)
		return 0;
	sent = *about;
	record_draft(p, t, a, &sent, pol);
	record_close(seq, count, bpf_get_smp_processor_id());
	return seq;
}

/* Record that the move of @p paid or not. */
__noinline int record_outcome(struct task_struct *p __arg_trusted, const struct toll_move *move,
			      u64 now, u32 cpu, u32 paid)
{
	struct toll_outcome o = {
		.event = TOLL_EVENT_OUTCOME,
		.paid = paid,
		.at_ns = now,
		.cpu = cpu,
	};

	if (!move || !is_listened_to(p))
		return 0;
	o.seq = move->seq;
	o.waited_ns = time_delta(now, move->at_ns);
	o.wait_from_ns = move->wait_from_ns;
	o.wait_to_ns = move->wait_to_ns;
	o.penalty_ns = move->penalty_ns;
	o.turns = move->turns;
	o.verdict = move->verdict;
	fill_who(&o.who, p);
	if (bpf_ringbuf_output(&toll_ring, &o, sizeof(o), BPF_RB_NO_WAKEUP))
		record_lost();
	return 0;
}

/*
 * A task that was moved between LLCs runs on @cpu: the inequality that moved it
 * is put again, with the wait that followed in the place of the expected one.
 * A move for its age was not made for a gain, so it is not judged.
 */
static __always_inline void judge_move(struct task_struct *p, struct toll_task *t,
				       struct toll_cpu *on, u32 cpu, u64 now)
{
	struct toll_move *move = &t->move;
	u32 paid = 0;

	if (!move->at_ns)
		return;
	if (move->verdict == TOLL_APPLIED) {
		paid = toll_gain(move->wait_from_ns, time_delta(now, move->at_ns), move->turns) >
		       move->penalty_ns;
		on->nr_judged++;
		on->nr_paid += paid;
		count_judged(on, move->from, cpu_llc(cpu),
			     toll_gain(move->wait_from_ns, move->wait_to_ns, move->turns),
			     move->penalty_ns);
	}
	if (move->seq && is_wanted(TOLL_WANTS_DECISIONS))
		record_outcome(p, move, now, cpu, paid);
	move->at_ns = 0;
}

/* @p begins to run on the CPU of @on. */
static __always_inline void slice_begin(struct toll_cpu *on, u64 now)
{
	if (is_wanted(TOLL_WANTS_SLICES))
		on->began_at = now;
}

__noinline int record_slice(struct task_struct *p __arg_trusted, u64 from, u64 to, u32 cpu,
			    u32 more)
{
	struct toll_slice s = {
		.event = TOLL_EVENT_SLICE,
		.cpu = cpu,
		.from_ns = from,
		.to_ns = to,
		.more = more,
	};

	if (!is_listened_to(p))
		return 0;
	fill_who(&s.who, p);
	if (bpf_ringbuf_output(&toll_ring, &s, sizeof(s), BPF_RB_NO_WAKEUP))
		record_lost();
	return 0;
}

/* @p stops on @cpu. */
static __always_inline void slice_end(struct task_struct *p, struct toll_cpu *on, u32 cpu, u64 now)
{
	u64 from = on->began_at;

	if (!from)
		return;
	on->began_at = 0;
	if (is_wanted(TOLL_WANTS_SLICES))
		record_slice(p, from, now, cpu, 0);
}

/* @p has been running on @cpu for a while, and runs on. */
static __always_inline void slice_piece(struct task_struct *p, struct toll_cpu *on, u32 cpu,
					u64 now)
{
	u64 from = on->began_at;

	if (!from) {
		slice_begin(on, now);	/* the listener has come meanwhile */
		return;
	}
	if (now - from < TOLL_PIECE_NS)
		return;
	on->began_at = now;
	if (is_wanted(TOLL_WANTS_SLICES))
		record_slice(p, from, now, cpu, 1);
	else
		on->began_at = 0;
}

#endif /* TOLL_RECORD_BPF_H */
