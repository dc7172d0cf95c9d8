/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * account.bpf.h - what waits, what runs, what was used, what is still warm.
 *
 * queued_ns must not drift. A task remembers what it added and where; the same
 * amount leaves when the task runs, stops being runnable, is enqueued anew or
 * exits, whichever comes first, and a second attempt finds nothing to remove.
 */
#ifndef TOLL_ACCOUNT_BPF_H
#define TOLL_ACCOUNT_BPF_H

/* Run time after which the resident set of a task is looked at again. */
#define TOLL_RSS_EVERY_NS (20ULL * TOLL_MS)
/* Taken as the footprint of a kernel thread, which has no resident set. A guess. */
#define TOLL_KTHREAD_KIB 16

/* Note where a newborn is, so that a move before it first runs counts. */
static __always_inline void born(struct toll_task *t, s32 cpu)
{
	if (t->ran_cpu >= 0)
		return;
	t->ran_cpu = cpu;
	t->ran_llc = cpu_llc(cpu);
}

/*
 * The task is on @cpu now, to run there or to wait in its queues: count it if
 * it was elsewhere before. Looked at whenever the kernel may have moved it, so
 * that a task that is moved twice before it runs is counted twice, as the
 * kernel does.
 */
static __always_inline void land(struct toll_task *t, struct toll_cpu *me, s32 cpu)
{
	u32 llc = cpu_llc(cpu);

	born(t, cpu);
	if (t->ran_cpu != cpu)
		count_landed(me, t->kind, level_of(t->ran_llc, llc));
	if (t->ran_llc != llc)
		count_pair(t->ran_llc, llc);
	t->kind = TOLL_KIND_OTHER;
	t->ran_cpu = cpu;
	t->ran_llc = llc;
}

/*
 * Note that a decision of @kind sends @t from LLC @from to LLC @to, for the
 * count of where it lands. A task that something else (its affinity, the
 * kernel) brought to @from since it last ran was not moved by that decision
 * alone, unless the decision took it further.
 */
static __always_inline void note_kind(struct toll_task *t, u32 kind, u32 from, u32 to)
{
	t->kind = to != from || t->ran_llc == from ? kind : TOLL_KIND_OTHER;
}

/* Take @t out of the account of the queue it was counted in, if any. */
static __always_inline void queue_del(struct toll_task *t)
{
	struct toll_llc *llc;
	u32 from;

	from = __sync_lock_test_and_set(&t->queued_llc, TOLL_NO_LLC);
	if (from == TOLL_NO_LLC)
		return;
	llc = llc_of(from);
	if (llc) {
		__sync_fetch_and_sub(&llc->queued_ns, t->queued_ns);
		if (t->queued_shared)
			__sync_fetch_and_sub(&llc->nr_queued, 1);
	}
	t->queued_ns = 0;
	t->queued_shared = 0;
}

/* Count @t as waiting in @llc_id for a turn of @expect_ns; @shared: in the LLC's queue. */
static __always_inline void queue_add(struct toll_task *t, u32 llc_id, u64 expect_ns, u32 shared)
{
	struct toll_llc *llc;

	queue_del(t);
	llc = llc_of(llc_id);
	if (!llc)
		return;
	t->queued_ns = expect_ns;
	t->queued_shared = shared;
	__sync_fetch_and_add(&llc->queued_ns, expect_ns);
	if (shared)
		__sync_fetch_and_add(&llc->nr_queued, 1);
	/* Last: the timer may take it out again (pass.bpf.h), and only what was put in. */
	WRITE_ONCE(t->queued_llc, llc_id);
}

/*
 * Return true if @llc may have an idle CPU: one that runs none of our tasks.
 * nr_idle alone would miss those that went idle while the kernel bypassed us,
 * as it does while a scheduler is attached; nr_running also counts a CPU that
 * is between two tasks. So a claim may fail, and every caller has an answer
 * for that.
 */
static __always_inline bool may_have_idle(struct toll_llc *llc)
{
	u32 usable = llc_nr_usable(llc);

	return usable && (READ_ONCE(llc->nr_idle) || READ_ONCE(llc->nr_running) < usable);
}

/*
 * W of @llc_id with @extra_ns more in its queue; 0 while it has an idle CPU,
 * unless @idle_unusable says that the task in question cannot have it (it may
 * not use it, or somebody else has claimed it).
 *
 * nr_running is raised before end_sum_ns and lowered after it, and the larger
 * of two readings is taken, so a task caught in between makes the sum read too
 * small. Worst outcome: one wait is taken for 0.
 *
 * A global function: the verifier checks it once and not on every path to it.
 */
__noinline u64 toll_wait_in(u32 llc_id, u64 extra_ns, bool idle_unusable,
			    const struct toll_policy *pol)
{
	struct toll_llc *llc = llc_of(llc_id);
	struct toll_running r;
	u64 nr;
	u32 usable_q10;

	if (!pol || !llc || (!idle_unusable && may_have_idle(llc)))
		return 0;
	/* With all its CPUs gone, or taken by real-time tasks, nobody knows for how long. */
	usable_q10 = llc_usable_q10(llc);
	if (!usable_q10)
		return TOLL_NS_MAX;
	nr = READ_ONCE(llc->nr_running);
	r.end_sum_ns = READ_ONCE(llc->end_sum_ns);
	r.nr = READ_ONCE(llc->nr_running);
	if (nr > r.nr)
		r.nr = nr;
	r.now_ns = scx_bpf_now();
	r.slice_ns = pol->slice_ns;
	return toll_wait(READ_ONCE(llc->queued_ns) + extra_ns, toll_running_need(&r), usable_q10);
}

/*
 * W of LLC @llc_id for the task @t, by its weight among those there; @extra_ns
 * as for toll_wait_in(), and its own weight, if it is not counted there yet.
 */
__noinline u64 toll_wait_of(struct toll_task *t, u32 llc_id, u64 extra_ns, bool idle_unusable,
			    const struct toll_policy *pol)
{
	struct toll_llc *llc = llc_of(llc_id);
	u64 wait, sum, nr;

	if (!t || !pol || !llc)
		return 0;
	wait = toll_wait_in(llc_id, extra_ns, idle_unusable, pol);
	if (!wait || wait >= TOLL_NS_MAX)
		return wait;
	sum = READ_ONCE(llc->weight_q10);
	nr = READ_ONCE(llc->nr_queued) + READ_ONCE(llc->nr_running);
	if (extra_ns) {
		nr++;
		if (t->weight_llc != llc_id)
			sum += t->weight_q10;
	}
	return toll_own_wait(wait, sum, nr, t->weight_q10);
}

/* Most warmth @p can have in @llc: its resident set or its CPU's share of the cache. */
static __always_inline u64 warm_cap(struct task_struct *p, struct toll_llc *llc,
				    const struct toll_policy *pol)
{
	u64 kib = TOLL_KTHREAD_KIB;
	struct mm_struct *mm = p->mm;

	if (mm) {
		s64 pages = BPF_CORE_READ(mm, rss_stat[MM_FILEPAGES].count) +
			    BPF_CORE_READ(mm, rss_stat[MM_ANONPAGES].count) +
			    BPF_CORE_READ(mm, rss_stat[MM_SHMEMPAGES].count);

		kib = pages > 0 ? (u64)pages * 4 : 0;
	}
	return toll_clamp_ns(toll_min(kib, llc->share_kib) * pol->warm_ns_per_kib);
}

/* Wear @w by what others ran in its LLC since; whole steps only, the rest stays due. */
static __always_inline void warm_wear(struct toll_warm *w, u64 busy, const struct toll_policy *pol)
{
	u64 others = busy - w->busy_at;
	u64 step = pol->decay_step_ns;

	if ((s64)others < (s64)step || !step)
		return;
	w->warm_ns = toll_warm_left(w->warm_ns, others, pol->decay_q10, step);
	w->busy_at += others / step * step;
}

/* What is left now of the task's warmth in @llc_id, without changing it. */
static __always_inline u64 warm_in(struct toll_task *t, u32 llc_id, const struct toll_policy *pol)
{
	struct toll_llc *llc;
	struct toll_warm *w;
	s64 others;

	if (t->warm[0].llc == llc_id)
		w = &t->warm[0];
	else if (t->warm[1].llc == llc_id)
		w = &t->warm[1];
	else
		return 0;
	llc = llc_of(llc_id);
	if (!llc || !w->warm_ns)
		return 0;
	others = READ_ONCE(llc->busy_ns) - w->busy_at;
	return toll_warm_left(w->warm_ns, others > 0 ? others : 0, pol->decay_q10,
			      pol->decay_step_ns);
}

/* Make slot 0 the one of @llc_id: swap the two, or forget the older. */
static __always_inline void warm_enter(struct toll_task *t, u32 llc_id, struct toll_llc *llc)
{
	struct toll_warm old = t->warm[0];

	if (old.llc == llc_id)
		return;
	if (t->warm[1].llc == llc_id) {
		t->warm[0] = t->warm[1];
	} else {
		t->warm[0].llc = llc_id;
		t->warm[0].warm_ns = 0;
		t->warm[0].busy_at = READ_ONCE(llc->busy_ns);
	}
	t->warm[1] = old;
}

/*
 * Charge the running task for the time since it was last charged: its vtime,
 * its burst, its warmth, and the LLC's busy clock. By the clock and not by its
 * slice, which the kernel may refill behind our back.
 */
static __always_inline void charge(struct task_struct *p, struct toll_task *t, u64 now,
				   const struct toll_policy *pol)
{
	struct toll_llc *llc = llc_of(t->llc);
	struct toll_warm *w = &t->warm[0];
	u64 used = time_delta(now, t->started_at);
	u64 busy;

	t->started_at = now;
	if (!llc || !used)
		return;
	t->run_ns += used;
	fair_charge(p, t, llc, work_in(t->llc, used), pol);
	demand_charge(t, t->llc, used, now);
	group_charge(t, used);
	home_add(t, t->home_llc, used, now);
	stay_charge(p, t, t->llc, used, now);
	busy = __sync_fetch_and_add(&llc->busy_ns, used) + used;
	if (t->cap_at <= used) {
		t->cap_ns = warm_cap(p, llc, pol);
		touch_charge(p, t, t->llc);
		t->cap_at = TOLL_RSS_EVERY_NS;
	} else {
		t->cap_at -= used;
	}
	w->busy_at += used;	/* its own run time does not wear its own lines */
	warm_wear(w, busy, pol);
	w->warm_ns = toll_warm_grow(w->warm_ns, used, pol->fill_q10, t->cap_ns);
}

/* The running task of @cpu, on @llc, is expected to end its turn at @end_at. */
static __always_inline void run_begin(struct toll_cpu *cpu, struct toll_llc *llc, u64 end_at)
{
	__sync_fetch_and_add(&llc->nr_running, 1);
	__sync_fetch_and_add(&llc->end_sum_ns, end_at);
	cpu->end_at = end_at;
}

static __always_inline void run_end(struct toll_cpu *cpu, struct toll_llc *llc)
{
	if (!cpu->end_at)
		return;
	__sync_fetch_and_sub(&llc->end_sum_ns, cpu->end_at);
	__sync_fetch_and_sub(&llc->nr_running, 1);
	cpu->end_at = 0;
}

/* The expectation was wrong, the task runs on: replace it. */
static __always_inline void run_extend(struct toll_cpu *cpu, struct toll_llc *llc, u64 end_at)
{
	if (!cpu->end_at)
		return;
	__sync_fetch_and_add(&llc->end_sum_ns, end_at - cpu->end_at);
	cpu->end_at = end_at;
}

/*
 * A real-time or deadline task takes @cpu, or gives it back: the LLC has that
 * much less to offer. Counted once each way.
 */
static __always_inline void taken_set(struct toll_cpu *cpu, u32 taken)
{
	struct toll_llc *llc;

	if (cpu->taken == taken)
		return;
	llc = llc_of(cpu->llc);
	if (!llc)
		return;
	cpu->taken = taken;
	if (taken)
		__sync_fetch_and_add(&llc->nr_taken, 1);
	else
		__sync_fetch_and_sub(&llc->nr_taken, 1);
}

/* The number of CPUs that share the cache of @llc has changed. */
static __always_inline void share_update(struct toll_llc *llc)
{
	u32 nr = READ_ONCE(llc->nr_cpus);

	llc->share_kib = llc->cache_kib / (nr ? nr : 1);
}

/* @cpu goes idle or stops being it; counted once each way. */
static __always_inline void idle_set(struct toll_cpu *cpu, u32 idle)
{
	struct toll_llc *llc;

	if (cpu->idle == idle)
		return;
	llc = llc_of(cpu->llc);
	if (!llc)
		return;
	cpu->idle = idle;
	if (idle)
		__sync_fetch_and_add(&llc->nr_idle, 1);
	else
		__sync_fetch_and_sub(&llc->nr_idle, 1);
}

#endif /* TOLL_ACCOUNT_BPF_H */
