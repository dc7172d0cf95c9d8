/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * refill.bpf.h - what user space learns refill factors from, where there are counters.
 *
 * A task that has to load its cache lines again waits for them: it takes more
 * cycles for each instruction than it took before the move. The cycles beyond
 * what its instructions used to take, as a share of its run time, are the time
 * that the move cost; over the warmth that the move lost, by the account that
 * prices moves too (account.bpf.h: warm_in), they are the refill factor.
 *
 * Watched is the run time after a move between LLCs in which the task would,
 * by the model, have loaded all of it again, over several turns if need be; if
 * it moves once more within that time, nothing is counted. What remote memory
 * costs is in the policy under another name and is taken off.
 *
 * The counters can be read by a tracing program only, not by a callback of the
 * scheduler. So this program stands beside the scheduler, keeps its own account
 * of where a task last ran, and leaves the callbacks as they are. User space loads
 * it only where there are counters, and attaches it while it learns.
 *
 * The kernel calls running() for a task before this tracepoint, and stopping() for
 * the one before it: the warmth of both is up to date.
 *
 * What it is bad at: a task whose work changes when it moves is misjudged, as is
 * one whose CPU changes its clock; the median over many moves is what has to even
 * that out (src/model/learn/refill.rs).
 */
#ifndef TOLL_REFILL_BPF_H
#define TOLL_REFILL_BPF_H

/* Warmth whose loss is too short to be seen. A guess. */
#define TOLL_LOAD_LEAST_NS (20 * 1000ULL)
/* Of a run so many times as long as what was lost, noise takes more than the loss. */
#define TOLL_LOAD_LONGEST 64
/* Run time that says what a task's instructions usually take: at least, and kept. */
#define TOLL_USUAL_LEAST_NS TOLL_MS
#define TOLL_USUAL_NS (16 * TOLL_MS)

/* One event for each CPU, put there by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(max_entries, TOLL_MAX_CPUS);	/* resized to the machine before load */
	__type(key, u32);
	__type(value, u32);
} toll_cycles SEC(".maps"), toll_insns SEC(".maps");

/* One histogram for each level of refill factors in units of TOLL_FOUND_ONE. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TOLL_LEVEL_SLOTS);
	__type(key, u32);
	__type(value, struct toll_delays);
} toll_refills SEC(".maps");

/* Read this CPU's counters into @now; false where it has none. */
static __always_inline bool read_counters(struct toll_count *now)
{
	struct bpf_perf_event_value value;

	if (bpf_perf_event_read_value(&toll_cycles, BPF_F_CURRENT_CPU, &value, sizeof(value)))
		return false;
	now->cycles = value.counter;
	if (bpf_perf_event_read_value(&toll_insns, BPF_F_CURRENT_CPU, &value, sizeof(value)))
		return false;
	now->insns = value.counter;
	now->ns = bpf_ktime_get_ns();
	return true;
}

static __always_inline void count_add(struct toll_count *to, const struct toll_count *ran)
{
	to->ns += ran->ns;
	to->cycles += ran->cycles;
	to->insns += ran->insns;
}

/* Undisturbed run time: the older, the less it counts. */
static __always_inline void usual_add(struct toll_count *usual, const struct toll_count *ran)
{
	count_add(usual, ran);
	if (usual->ns < TOLL_USUAL_NS)
		return;
	usual->ns /= 2;
	usual->cycles /= 2;
	usual->insns /= 2;
}

/* Count what the watched move turned out to cost. */
static __always_inline void refill_found(struct toll_pace *pace)
{
	u32 level = pace->level & (TOLL_LEVEL_SLOTS - 1), bucket;
	struct toll_delays *found = bpf_map_lookup_elem(&toll_refills, &level);
	u64 due;

	if (!found)
		return;
	due = toll_cycles_due(pace->after.insns, pace->usual.cycles, pace->usual.insns,
			      pace->there_pm, pace->here_pm);
	bucket = toll_delay_bucket(toll_refill_found(pace->after.ns, pace->after.cycles, due,
						     pace->load_ns));
	found->count[slot(bucket, TOLL_DELAY_BUCKETS)]++;
}

/* A task leaves its CPU, whose counters stand at @now. */
static __always_inline void pace_out(struct toll_pace *pace, const struct toll_count *now)
{
	struct toll_count ran = {
		.ns = now->ns - pace->at.ns,
		.cycles = now->cycles - pace->at.cycles,
		.insns = now->insns - pace->at.insns,
	};

	if (!pace->at.ns)
		return;
	pace->at.ns = 0;
	/* The counters were put to another use meanwhile, or are others. */
	if ((s64)ran.cycles <= 0 || (s64)ran.insns < 0) {
		pace->load_ns = 0;
		return;
	}
	if (!pace->load_ns) {
		usual_add(&pace->usual, &ran);
		return;
	}
	count_add(&pace->after, &ran);
	if (pace->after.ns < pace->span_ns)
		return;
	if (pace->after.ns / TOLL_LOAD_LONGEST < pace->load_ns)
		refill_found(pace);
	else
		usual_add(&pace->usual, &pace->after);
	pace->load_ns = 0;
}

/* Watch the move of @t, which begins to run in @llc, from LLC @from, if there is something to see. */
static __always_inline void watch_move(struct toll_task *t, u32 from, u32 llc,
				       const struct toll_policy *pol)
{
	struct toll_pace *pace = &t->pace;
	u64 had = warm_in(t, from, pol), has = warm_in(t, llc, pol);
	u32 level = price_level(from, llc) & (TOLL_LEVEL_SLOTS - 1), home = t->home_node;

	if (pace->usual.ns < TOLL_USUAL_LEAST_NS || had < has + TOLL_LOAD_LEAST_NS)
		return;
	pace->level = level;
	pace->load_ns = had - has;
	/* Its run time makes a quarter warm again, and twice the loss is waited for besides. */
	pace->span_ns = 4 * pace->load_ns + 2 * toll_refill(had, has, pol->refill_q10[level]);
	pace->after.ns = 0;
	pace->after.cycles = 0;
	pace->after.insns = 0;
	pace->there_pm = 0;
	pace->here_pm = 0;
	if (home != TOLL_NO_NODE) {
		home &= TOLL_MAX_NODES - 1;
		pace->there_pm = pol->remote_pm[home][llc_node(llc) & (TOLL_MAX_NODES - 1)];
		pace->here_pm = pol->remote_pm[home][llc_node(from) & (TOLL_MAX_NODES - 1)];
	}
}

/* @t gets a CPU of @llc, whose counters stand at @now. */
static __always_inline void pace_in(struct toll_task *t, u32 llc, const struct toll_count *now,
				    const struct toll_policy *pol)
{
	struct toll_pace *pace = &t->pace;
	u32 from = pace->llc;

	pace->at = *now;
	if (from == llc)
		return;
	pace->llc = llc;
	pace->load_ns = 0;
	if (from == TOLL_NO_LLC || llc == TOLL_NO_LLC)
		return;
	/* The same instructions take other cycles on a core of another class. */
	if (toll_llc_q10[from & (TOLL_MAX_LLCS - 1)] != toll_llc_q10[llc & (TOLL_MAX_LLCS - 1)])
		pace->usual.ns = pace->usual.cycles = pace->usual.insns = 0;
	watch_move(t, from, llc, pol);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(toll_count_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	const struct toll_policy *pol = policy();
	struct toll_task *was = task_of(prev), *is = task_of(next);
	struct toll_count now;

	if (!pol || !read_counters(&now))
		return 0;
	if (was)
		pace_out(&was->pace, &now);
	if (is)
		pace_in(is, cpu_llc(bpf_get_smp_processor_id()), &now, pol);
	return 0;
}

#endif /* TOLL_REFILL_BPF_H */
