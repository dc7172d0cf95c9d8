/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pass.bpf.h - what a timer does every few milliseconds, so that no callback
 * has to.
 *
 *   1. which cgroups are active, and what their children weigh        gather
 *   2. what share each has of the machine, down the hierarchy         share_out
 *   3. what each was owed since the last pass, what it used, and the
 *      correction that follows; a group that cannot use what it is
 *      owed leaves the rest to the others (water-filling)             owe, mend
 *   4. cpu.max: new periods begin, parked tasks return                refill, unpark
 *   5. the queue of an LLC whose CPUs are all taken by real-time
 *      tasks, or do not serve it, goes to the nearest LLC that has
 *      some left                                                      pass_queues
 *
 * The functions without `static` are global ones, verified once.
 */
#ifndef TOLL_PASS_BPF_H
#define TOLL_PASS_BPF_H

#define TOLL_PASS_NS (8 * TOLL_MS)
/* Rounds in which groups that cannot use their share leave the rest to others. */
#define TOLL_FILL_ROUNDS 3
/* Correction from which a group's tasks may move whatever it costs. A guess. */
#define TOLL_OWED_Q10 (3 * TOLL_Q10_ONE / 2)
/* Tasks that one pass brings back from one queue. */
#define TOLL_BRING_BACK 256
/* Passes over which what is owed fades; 32 s. */
#define TOLL_FORGET 4096
/*
 * A task does not stay parked for longer, whatever its group has used: the
 * kernel throws a scheduler out under which a task does not run for 30 s.
 */
#define TOLL_PARKED_MOST_NS (10000ULL * TOLL_MS)

/* Passes over which the root cgroup's weight is looked at. */
#define TOLL_ROOT_PASSES 4
/* Its mean goes an eighth of the way in each pass. */
#define TOLL_ROOT_AVG_SHIFT 3

/* What one pass works with; only the timer touches it. */
struct pass {
	u64 nr;		/* counts passes, from 1 */
	u64 now;
	u64 span_ns;	/* since the pass before */
	u64 busy_ns;	/* sum of the LLCs' busy clocks */
	u64 used_ns;	/* used by all since the pass before; what is left to share out */
	u64 fair_q10;	/* weight of all that shares in it */
	u64 groups_ns;	/* used by the groups since the pass before */
	u64 root_q10[TOLL_ROOT_PASSES];	/* runnable in the root cgroup in the last passes */
	u64 root_avg_q10;
	/* Of bring_back(), here because the verifier would follow each count of a local. */
	u32 looked;
	u32 moved;
};

struct pass toll_pass;

#ifndef CLOCK_MONOTONIC
#define CLOCK_MONOTONIC 1
#endif

struct pass_timer {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct pass_timer);
} toll_timer SEC(".maps");

/* Note that @g is active in this pass; true the first time. */
static __always_inline bool touch(struct toll_group *g)
{
	if (g->pass == toll_pass.nr)
		return false;
	g->pass = toll_pass.nr;
	g->kids_next = 0;
	g->capped = 0;
	return true;
}

/* Step 1 for @slot: is it active, and all above it with it? */
__noinline int gather(u32 slot)
{
	struct toll_group *g = group_of(slot), *up;
	u64 used;
	u32 i;

	if (!g || !READ_ONCE(g->id))
		return 0;
	used = READ_ONCE(g->used_ns);
	g->delta_ns = used - g->used_seen_ns;
	g->used_seen_ns = used;
	toll_pass.groups_ns += g->delta_ns;
	if ((!READ_ONCE(g->runnable) && !g->delta_ns) || !touch(g))
		return 0;
	bpf_for(i, 0, TOLL_MAX_DEPTH) {
		bool first;

		if (!slot)
			break;
		slot = g->parent;
		up = group_of(slot);
		if (!up)
			break;
		first = touch(up);
		up->kids_next += g->weight;
		if (!first)
			break;
		g = up;
	}
	return 0;
}

/* Step 2 for @slot: its share by the weights from the root down to it. */
__noinline int share_out(u32 slot)
{
	struct toll_group *g = group_of(slot), *up;
	u64 share, own;
	u32 i, at;

	if (!g || !g->id || g->pass != toll_pass.nr)
		return 0;
	share = g->weight * (u64)TOLL_Q10_ONE;
	at = g->parent;
	bpf_for(i, 0, TOLL_MAX_DEPTH) {
		if (!at)
			break;
		up = group_of(at);
		if (!up)
			break;
		share = toll_group_part(share, up->weight, READ_ONCE(up->runnable) + up->kids_next);
		at = up->parent;
	}
	own = READ_ONCE(g->runnable);
	g->kids = g->kids_next;
	g->fair_q10 = own ? toll_group_part(share, own, own + g->kids) : 0;
	g->share_q10 = toll_group_part(share, toll_mend(g->lag_ns, g->due_ns), TOLL_Q10_ONE);
	toll_pass.fair_q10 += g->fair_q10;
	return 0;
}

/* The most that the tasks of @g could have used since the last pass. */
static __always_inline u64 could_use(struct toll_group *g)
{
	return toll_min(READ_ONCE(g->nr_runnable), toll_nr_cpus) * toll_pass.span_ns;
}

/*
 * Step 3 for @slot, in each round: a group that cannot use its share takes what
 * it can use out of what there is, and the others share the rest.
 */
__noinline int cap(u32 slot)
{
	struct toll_group *g = group_of(slot);
	u64 most;

	if (!g || !g->id || g->pass != toll_pass.nr || g->capped || !g->fair_q10)
		return 0;
	/* Owed the most that is ever mended, and still not using it: something else holds it back. */
	most = toll_mend(g->lag_ns, g->due_ns) >= TOLL_MEND_MOST * TOLL_Q10_ONE ? g->delta_ns :
									      could_use(g);
	if (toll_due(g->fair_q10, toll_pass.fair_q10, toll_pass.used_ns, TOLL_NS_MAX) <= most)
		return 0;
	g->capped = 1;
	g->can_use_ns = most;
	toll_pass.fair_q10 -= toll_min(toll_pass.fair_q10, g->fair_q10);
	toll_pass.used_ns -= toll_min(toll_pass.used_ns, most);
	return 0;
}

/* The rest of step 3 for @slot: what it was owed and did not get. */
__noinline int owe(u32 slot)
{
	struct toll_group *g = group_of(slot);
	const struct toll_policy *pol = policy();
	u64 slice_ns = pol ? pol->slice_ns : 0;
	u64 due;

	if (!g || !g->id || g->pass != toll_pass.nr || !g->fair_q10)
		return 0;
	due = g->capped ? g->can_use_ns :
			  toll_due(g->fair_q10, toll_pass.fair_q10, toll_pass.used_ns, TOLL_NS_MAX);
	g->lag_ns += (s64)due - (s64)g->delta_ns;
	/* Forgotten in the end: an old debt says nothing about the load of today. */
	g->lag_ns -= g->lag_ns / TOLL_FORGET;
	g->due_ns = toll_mend_due(due, toll_pass.span_ns, READ_ONCE(g->nr_runnable), slice_ns);
	g->may_move = toll_mend(g->lag_ns, g->due_ns) >= TOLL_OWED_Q10;
	return 0;
}

/* Step 4 for @slot: begin new periods of its limit; and learn of a limit above. */
__noinline int refill_limit(u32 slot)
{
	struct toll_group *g = group_of(slot);
	u64 periods;
	s64 budget;

	if (!g || !g->id)
		return 0;
	if (!READ_ONCE(g->quota_ns) || !g->period_ns) {
		g->limit = limit_above(g);
		return 0;
	}
	if (time_before(toll_pass.now, g->period_at + g->period_ns))
		return 0;
	periods = (toll_pass.now - g->period_at) / g->period_ns;
	g->period_at += periods * g->period_ns;
	budget = READ_ONCE(g->budget_ns);
	__sync_fetch_and_add(&g->budget_ns,
			     toll_refilled(budget, g->quota_ns, g->burst_ns, periods) - budget);
	return 0;
}

/* LLC for @p to wait in: @llc_id if it may and there are CPUs to be had, else the nearest such. */
static __always_inline u32 home_for(struct task_struct *p, u32 llc_id)
{
	struct toll_llc *llc = llc_of(llc_id);
	u32 rank, to;

	if (llc && llc_nr_usable(llc) && may_use(p, llc_id))
		return llc_id;
	bpf_for(rank, 0, toll_nr_llcs - 1) {
		to = outward(llc_id, rank);
		llc = llc_of(to);
		if (llc && llc_nr_usable(llc) && may_use(p, to))
			return to;
	}
	return TOLL_NO_LLC;
}

/* The queue for @p, which may be in LLC @from no longer; 0 when there is none. Sets *@llc_id. */
static __always_inline u64 queue_for(struct task_struct *p, u32 from, u32 *llc_id)
{
	s32 cpu = scx_bpf_task_cpu(p);

	if (is_pinned(p)) {
		*llc_id = cpu_llc(cpu);
		return dsq_cpu(cpu);
	}
	*llc_id = home_for(p, from < TOLL_MAX_LLCS ? from : cpu_llc(cpu));
	return *llc_id == TOLL_NO_LLC || *llc_id == from ? 0 : dsq_llc(*llc_id);
}

/* Wake a CPU for @p, which was just put into the queue of LLC @llc_id or of its CPU. */
static __always_inline void wake_cpu_for(struct task_struct *p, u32 llc_id)
{
	s32 cpu = is_pinned(p) ? scx_bpf_task_cpu(p) : find_idle_from_tick(p, llc_id);

	if (cpu >= 0)
		kick(cpu, SCX_KICK_IDLE);
}

/* queue_add() and queue_del() once, for the verifier: with them in the loop below 6.19 fails. */
__noinline int count_in(struct toll_task *t, u32 llc_id, u32 shared)
{
	if (t)
		queue_add(t, llc_id, t->turn_ns, shared);
	return 0;
}

__noinline int count_out(struct toll_task *t)
{
	if (t)
		queue_del(t);
	return 0;
}

/*
 * Bring tasks of @dsq, parked or waiting in LLC @from where no CPU is left, to
 * a queue that is served; @most of them. Returns how many.
 *
 * They are counted before they are moved: one that is dequeued in between takes
 * itself out of the account, and one that could not be moved is taken out here.
 */
__noinline u32 bring_back(u64 dsq, u32 from, u32 most)
{
	struct task_struct *p;

	toll_pass.looked = 0;
	toll_pass.moved = 0;
	/* A kernel may take a timer armed by a sleepable program for sleepable too. */
	bpf_rcu_read_lock();
	bpf_for_each(scx_dsq, p, dsq, 0) {
		struct toll_task *t;
		struct toll_llc *llc;
		u64 target;
		u32 to;

		if (toll_pass.moved >= most || toll_pass.looked >= TOLL_BRING_BACK)
			break;
		toll_pass.looked++;
		t = task_of(p);
		if (!t)
			continue;
		target = queue_for(p, from, &to);
		llc = llc_of(to);
		if (!target || !llc)
			continue;
		count_in(t, to, !is_pinned(p));
		/* Its own deadline may be long past: it begins where the clock is now. */
		scx_bpf_dsq_move_set_vtime(BPF_FOR_EACH_ITER,
					   READ_ONCE(llc->vtime_now) +
						   toll_vtime(t->turn_ns, weight_of(p, t)));
		if (!scx_bpf_dsq_move_vtime(BPF_FOR_EACH_ITER, p, target, 0)) {
			count_out(t);
			continue;
		}
		toll_pass.moved++;
		wake_cpu_for(p, to);
	}
	bpf_rcu_read_unlock();
	return toll_pass.moved;
}

/* The rest of step 4 for @slot: its parked tasks return when no limit holds them any more. */
__noinline int unpark(u32 slot)
{
	struct toll_group *g = group_of(slot);
	u32 most = TOLL_BRING_BACK;

	if (!g || !g->id)
		return 0;
	if (scx_bpf_dsq_nr_queued(dsq_parked(slot)) <= 0) {
		g->parked_at = 0;
		return 0;
	}
	if (!g->parked_at)
		g->parked_at = toll_pass.now;
	if (group_empty(slot)) {
		if (time_delta(toll_pass.now, g->parked_at) < (s64)TOLL_PARKED_MOST_NS)
			return 0;
		most = 1;
	}
	if (bring_back(dsq_parked(slot), TOLL_NO_LLC, most))
		g->parked_at = toll_pass.now;
	return 0;
}

/* What all LLCs together used since the last pass, and what was runnable in the root cgroup now. */
static __always_inline void gather_root(void)
{
	u64 busy = 0, weight = 0;
	struct toll_llc *llc;
	u32 i;

	bpf_for(i, 0, toll_nr_llcs) {
		llc = llc_of(i);
		if (!llc)
			continue;
		busy += READ_ONCE(llc->busy_ns);
		weight += READ_ONCE(llc->root_weight_q10);
	}
	toll_pass.used_ns = busy - toll_pass.busy_ns;
	toll_pass.busy_ns = busy;
	toll_pass.root_q10[toll_pass.nr % TOLL_ROOT_PASSES] = weight;
	toll_pass.root_avg_q10 += weight >> TOLL_ROOT_AVG_SHIFT;
	toll_pass.root_avg_q10 -= toll_pass.root_avg_q10 >> TOLL_ROOT_AVG_SHIFT;
}

/*
 * Weight of the root cgroup's tasks among the groups. They have no correction,
 * and what they are due but do not want must not count as due to anybody: a
 * weight that agrees with what they used, but no less than what was runnable
 * there all along, and no more than what was on average. The timer by itself
 * would see too much: it comes with the ticks, as does much of the kernel's work.
 */
static __always_inline u64 root_fair_q10(void)
{
	u64 used = toll_pass.used_ns - toll_min(toll_pass.used_ns, toll_pass.groups_ns);
	u64 weight = toll_due(toll_pass.fair_q10, toll_pass.groups_ns, used, TOLL_NS_MAX);
	u64 least = toll_pass.root_q10[0];
	u32 i;

	/* Unrolled: the verifier of 6.18 does not follow the index of a loop here. */
	_Pragma("unroll") for (i = 1; i < TOLL_ROOT_PASSES; i++)
		least = toll_min(least, toll_pass.root_q10[i]);
	weight = toll_min(weight, toll_pass.root_avg_q10);
	return weight < least ? least : weight;
}

/* Steps 1 to 4 for all cgroups. */
static __always_inline void pass_groups(void)
{
	u32 slot, round, nr = toll_min(READ_ONCE(toll_nr_slots), TOLL_MAX_GROUPS);

	if (nr < 2)
		return;
	toll_pass.groups_ns = toll_pass.fair_q10 = 0;
	bpf_for(slot, 1, nr)
		gather(slot);
	gather_root();
	bpf_for(slot, 1, nr)
		share_out(slot);
	toll_pass.fair_q10 += root_fair_q10();
	bpf_for(round, 0, TOLL_FILL_ROUNDS)
		bpf_for(slot, 1, nr)
			cap(slot);
	bpf_for(slot, 1, nr) {
		owe(slot);
		refill_limit(slot);
		unpark(slot);
	}
}

/* Note whether the queue of LLC @llc_id is served; wake one of its CPUs the first time that it is not. */
static __always_inline void note_served(struct toll_llc *llc, u32 llc_id)
{
	const struct cpumask *cpus = llc_cpus(llc_id);
	u32 cpu;

	if (READ_ONCE(llc->nr_running) || !READ_ONCE(llc->nr_queued)) {
		llc->nr_unserved = 0;
		return;
	}
	if (llc->nr_unserved++ || !cpus)
		return;
	cpu = bpf_cpumask_any_distribute(cpus);
	if (cpu < toll_nr_cpu_ids)
		kick(cpu, SCX_KICK_IDLE);
}

/* Step 5. */
static __always_inline void pass_queues(void)
{
	struct toll_llc *llc;
	u32 i;

	bpf_rcu_read_lock();
	bpf_for(i, 0, toll_nr_llcs) {
		llc = llc_of(i);
		if (llc)
			note_served(llc, i);
	}
	bpf_rcu_read_unlock();
	bpf_for(i, 0, toll_nr_llcs) {
		llc = llc_of(i);
		if (llc && !llc_nr_usable(llc) && READ_ONCE(llc->nr_queued))
			bring_back(dsq_llc(i), i, TOLL_BRING_BACK);
	}
}

static int pass_run(void *map, u32 *key, struct bpf_timer *timer)
{
	u64 now = scx_bpf_now();

	toll_pass.nr++;
	toll_pass.span_ns = time_delta(now, toll_pass.now);
	toll_pass.now = now;
	pass_groups();
	pass_queues();
	bpf_timer_start(timer, TOLL_PASS_NS, 0);
	return 0;
}

/* Begin; from toll_init(). */
static s32 pass_start(void)
{
	struct pass_timer *timer;
	u32 key = 0;
	s32 err;

	toll_pass.now = scx_bpf_now();
	timer = bpf_map_lookup_elem(&toll_timer, &key);
	if (!timer)
		return -ENOENT;
	err = bpf_timer_init(&timer->timer, &toll_timer, CLOCK_MONOTONIC);
	if (err && err != -EBUSY)
		return err;
	err = bpf_timer_set_callback(&timer->timer, pass_run);
	return err ? err : bpf_timer_start(&timer->timer, TOLL_PASS_NS, 0);
}

#endif /* TOLL_PASS_BPF_H */
