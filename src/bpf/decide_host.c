// SPDX-License-Identifier: GPL-2.0-only
/*
 * decide_host.c - decide.h for the host.
 *
 * One function with a plain C interface per formula, so that src/ffi.rs can
 * call the very lines that run in the kernel. Structs are passed field by
 * field: no layout is written down a second time.
 */
#include "decide.h"

u64 toll_host_running_need(u64 end_sum_ns, u64 nr, u64 now_ns, u64 slice_ns)
{
	const struct toll_running r = {
		.end_sum_ns = end_sum_ns,
		.nr = nr,
		.now_ns = now_ns,
		.slice_ns = slice_ns,
	};

	return toll_running_need(&r);
}

u64 toll_host_wait(u64 ahead_ns, u64 need_ns, u32 capacity_q10)
{
	return toll_wait(ahead_ns, need_ns, capacity_q10);
}

u32 toll_host_thread_capacity(u32 core_q10)
{
	return toll_thread_capacity(core_q10);
}

u32 toll_host_turns(u64 expect_ns, u64 slice_ns, u32 max_turns)
{
	return toll_turns(expect_ns, slice_ns, max_turns);
}

s64 toll_host_gain(u64 wait_from_ns, u64 wait_to_ns, u32 turns)
{
	return toll_gain(wait_from_ns, wait_to_ns, turns);
}

u64 toll_host_warm_grow(u64 warm_ns, u64 run_ns, u32 fill_q10, u64 cap_ns)
{
	return toll_warm_grow(warm_ns, run_ns, fill_q10, cap_ns);
}

bool toll_host_touch(u64 *home, u64 *away, u64 pages, bool at_home)
{
	struct toll_touched touched = { .home = *home, .away = *away };
	bool elsewhere = toll_touch(&touched, pages, at_home);

	*home = touched.home;
	*away = touched.away;
	return elsewhere;
}

/* @decay_q10 points at TOLL_DECAY_LEN entries. */
u64 toll_host_warm_left(u64 warm_ns, u64 others_ns, const u32 *decay_q10, u64 step_ns)
{
	return toll_warm_left(warm_ns, others_ns, decay_q10, step_ns);
}

s64 toll_host_refill(u64 warm_from_ns, u64 warm_to_ns, u32 factor_q10)
{
	return toll_refill(warm_from_ns, warm_to_ns, factor_q10);
}

s64 toll_host_remote(u64 expect_ns, u32 there_pm, u32 here_pm)
{
	return toll_remote(expect_ns, there_pm, here_pm);
}

s64 toll_host_penalty(u64 hop_ns, s64 refill_ns, s64 remote_ns, u32 price_q10)
{
	return toll_penalty(hop_ns, refill_ns, remote_ns, price_q10);
}

bool toll_host_worth(u32 migrate, s64 gain_ns, s64 penalty_ns, u64 fixed_ns)
{
	return toll_worth(migrate, gain_ns, penalty_ns, fixed_ns);
}

/* @since_at and @seen_at are the gate's state, read and written. */
bool toll_host_gate_pass(u64 *since_at, u64 *seen_at, s64 gain_ns, u64 now_ns, u64 open_ns,
			 u64 close_ns, u64 hold_ns)
{
	const struct toll_hysteresis h = {
		.open_ns = open_ns,
		.close_ns = close_ns,
		.hold_ns = hold_ns,
	};
	struct toll_gate gate = { .since_at = *since_at, .seen_at = *seen_at };
	bool pass = toll_gate_pass(&gate, gain_ns, now_ns, &h);

	*since_at = gate.since_at;
	*seen_at = gate.seen_at;
	return pass;
}

u64 toll_host_average(u64 avg_ns, u64 sample_ns)
{
	return toll_average(avg_ns, sample_ns);
}

u64 toll_host_expect_turn(u64 avg_run_ns, u64 run_ns, u64 slice_ns)
{
	return toll_expect_turn(avg_run_ns, run_ns, slice_ns);
}

u64 toll_host_expect_stay(u64 avg_run_ns, u64 run_ns)
{
	return toll_expect_stay(avg_run_ns, run_ns);
}

u32 toll_host_delay_bucket(u64 ns)
{
	return toll_delay_bucket(ns);
}

u64 toll_host_cycles_due(u64 insns, u64 usual_cycles, u64 usual_insns, u32 there_pm, u32 here_pm)
{
	return toll_cycles_due(insns, usual_cycles, usual_insns, there_pm, here_pm);
}

u64 toll_host_refill_found(u64 ran_ns, u64 cycles, u64 due, u64 load_ns)
{
	return toll_refill_found(ran_ns, cycles, due, load_ns);
}

u32 toll_host_hist_slot(u64 ns)
{
	return toll_hist_slot(ns);
}

u64 toll_host_vtime(u64 used_ns, u64 weight_q10)
{
	return toll_vtime(used_ns, weight_q10);
}

u64 toll_host_weight_usable(u64 weight_q10, u64 sum_q10, u32 nr_cpus)
{
	return toll_weight_usable(weight_q10, sum_q10, nr_cpus);
}

u64 toll_host_own_wait(u64 wait_ns, u64 sum_q10, u64 nr, u64 weight_q10)
{
	return toll_own_wait(wait_ns, sum_q10, nr, weight_q10);
}

u64 toll_host_turn(u64 slice_ns, u64 least_ns, u64 nr_waiting, u32 nr_cpus)
{
	return toll_turn(slice_ns, least_ns, nr_waiting, nr_cpus);
}

u64 toll_host_group_part(u64 share_q10, u64 weight, u64 inner)
{
	return toll_group_part(share_q10, weight, inner);
}

u64 toll_host_due(u64 fair_q10, u64 sum_q10, u64 used_ns, u64 most_ns)
{
	return toll_due(fair_q10, sum_q10, used_ns, most_ns);
}

u64 toll_host_mend_due(u64 due_ns, u64 span_ns, u64 nr, u64 slice_ns)
{
	return toll_mend_due(due_ns, span_ns, nr, slice_ns);
}

u32 toll_host_mend(s64 lag_ns, u64 due_ns)
{
	return toll_mend(lag_ns, due_ns);
}

s64 toll_host_refilled(s64 budget_ns, u64 quota_ns, u64 burst_ns, u64 nr_periods)
{
	return toll_refilled(budget_ns, quota_ns, burst_ns, nr_periods);
}

/*
 * The bounds and numbers that src/units.rs, src/topology.rs and src/model/
 * need before any BPF object exists, for a test to compare. Order as in
 * src/ffi.rs: enum Limit.
 */
u64 toll_host_limit(u32 which)
{
	static const u64 limits[] = {
		TOLL_MAX_CPUS,
		TOLL_MAX_LLCS,
		TOLL_MAX_NODES,
		TOLL_DECAY_LEN,
		TOLL_NS_MAX,
		TOLL_FACTOR_MAX,
		TOLL_Q10_ONE,
		TOLL_GATE_STALE_NS,
		TOLL_WEIGHT_ONE,
		TOLL_SHARE_MAX,
		TOLL_LEVEL_CORE,
		TOLL_LEVEL_LLC,
		TOLL_LEVEL_NODE,
		TOLL_MIGRATE_TOLL,
		TOLL_MIGRATE_ALWAYS,
		TOLL_MIGRATE_NEVER,
		TOLL_MIGRATE_FIXED,
		TOLL_DELAY_BUCKETS,
		TOLL_NR_DISTANCES,
		TOLL_AGAINST_CLASS_NS,
	};

	return which < sizeof(limits) / sizeof(limits[0]) ? limits[which] : ~0ULL;
}

/* @d is in and out; returns the task's share of a core. */
u32 toll_host_demand(struct toll_demand *d, u64 ran_ns, u64 slept_ns, u32 core_q10)
{
	toll_demand_add(d, ran_ns, slept_ns, core_q10);
	return d->util_q10;
}

u32 toll_host_class_pass(struct toll_demand *d, u32 little_q10, u64 now, u64 hold_ns)
{
	return toll_class_pass(d, little_q10, now, hold_ns);
}
