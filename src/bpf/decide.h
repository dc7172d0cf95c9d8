/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * decide.h - every formula of the rule "move only if the wait saved exceeds
 * the cost", and nothing else.
 *
 * Pure integer arithmetic: no maps, no clocks, no kernel types. The same lines
 * run in the kernel, in host tests against an independent Rust version
 * (tests/decide_matches_reference.rs), and wherever else a decision has to be
 * recomputed.
 *
 * No function divides by zero or overflows, whatever it is given: times are
 * clamped to TOLL_NS_MAX (2^40 ns) and factors to TOLL_FACTOR_MAX (2^20)
 * before they are added or multiplied, so that every product stays below 2^63.
 *
 *   wait       W_i      toll_wait()
 *   gain       dL       toll_gain()       turns * (W_from - W_to)
 *   warmth              toll_warm_grow(), toll_warm_left()
 *   refill              toll_refill()     (warm_from - warm_to) * factor of the level
 *   remote              toll_remote()     run time * (rate there - rate here)
 *   penalty    P        toll_penalty()    (hop + refill + remote) * price
 *   verdict             toll_worth()      dL > P, or what --migrate puts in its place
 *   hysteresis          toll_gate_pass()  two thresholds and a hold time
 *   delays              toll_delay_bucket()  where a histogram counts a time
 *   refill as found     toll_cycles_due(), toll_refill_found()
 *   histograms          toll_hist_slot()  likewise, one slot to the power of two
 *   virtual time        toll_vtime(), toll_weight_usable()
 *   turn                toll_turn()       shorter when many wait
 *   groups              toll_group_part(), toll_mend_due(), toll_mend(), toll_refilled()
 *   classes of cores    toll_demand_add(), toll_class_pass()
 */
#ifndef TOLL_DECIDE_H
#define TOLL_DECIDE_H

#include "intf.h"

#define TOLL_FN static inline __attribute__((always_inline, unused))

TOLL_FN u64 toll_min(u64 a, u64 b)
{
	return a < b ? a : b;
}

/* Clamp a time to the range in which products are safe. */
TOLL_FN u64 toll_clamp_ns(u64 ns)
{
	return toll_min(ns, TOLL_NS_MAX);
}

TOLL_FN u64 toll_clamp_factor(u64 factor)
{
	return toll_min(factor, TOLL_FACTOR_MAX);
}

/* Weights, Q10, and sums of weights stay below this where they are multiplied. */
#define TOLL_SHARE_MAX (1ULL << 31)

/* What the running tasks of an LLC still need, from sums that are kept in O(1). */
struct toll_running {
	u64 end_sum_ns;	/* sum of the expected ends */
	u64 nr;		/* number of running tasks */
	u64 now_ns;	/* the same clock */
	u64 slice_ns;	/* no task needs more than this before its turn is over */
};

/*
 * Time that the running tasks still need in sum: the sum of (end - now),
 * between 0 and one slice for each of them. A task that is overdue takes away
 * from the need of the others until a tick replaces its expected end. The
 * bounds also swallow a sum that was read while a task started or stopped.
 */
TOLL_FN u64 toll_running_need(const struct toll_running *r)
{
	u64 nr = toll_min(r->nr, TOLL_MAX_CPUS);
	u64 most = nr * toll_clamp_ns(r->slice_ns);
	/* Modular arithmetic on purpose: clock sums may wrap, their difference does not. */
	s64 need = (s64)(r->end_sum_ns - r->nr * r->now_ns);

	if (need <= 0)
		return 0;
	return toll_min((u64)need, most);
}

/*
 * W: how long a task that joins an LLC now waits until it runs, when
 * @ahead_ns of run time waits in the queue, @need_ns is still needed by
 * what runs, and CPUs of together @capacity_q10 (1024: one core of the most
 * capable kind) work it off. Where no CPU is left it waits for ever.
 */
TOLL_FN u64 toll_wait(u64 ahead_ns, u64 need_ns, u32 capacity_q10)
{
	u64 work = toll_clamp_ns(ahead_ns) + toll_clamp_ns(need_ns);

	if (!capacity_q10)
		return TOLL_NS_MAX;
	return toll_clamp_ns(work * TOLL_Q10_ONE / capacity_q10);
}

/*
 * What one more thread adds to a core of @core_q10 that has one already. Two
 * threads of a core do 1.2 to 1.4 times the work of one on current servers; a
 * guess in the middle.
 */
#define TOLL_THREAD_Q10 307	/* 0.3 */

TOLL_FN u32 toll_thread_capacity(u32 core_q10)
{
	return toll_min(core_q10, TOLL_Q10_ONE) * TOLL_THREAD_Q10 / TOLL_Q10_ONE;
}

/*
 * Turns that a task will probably still take, when it is expected to need
 * @expect_ns: waiting recurs every turn while refill is paid once. Whole turns,
 * between 1 and @max_turns.
 */
TOLL_FN u32 toll_turns(u64 expect_ns, u64 slice_ns, u32 max_turns)
{
	u64 turns = slice_ns ? toll_clamp_ns(expect_ns) / slice_ns : 1;
	u64 most = toll_min(max_turns, TOLL_FACTOR_MAX);

	turns = toll_min(turns, most);
	return turns ? turns : 1;
}

/* dL: the wait saved over @turns turns; negative when it is longer over there. */
TOLL_FN s64 toll_gain(u64 wait_from_ns, u64 wait_to_ns, u32 turns)
{
	s64 saved = (s64)toll_clamp_ns(wait_from_ns) - (s64)toll_clamp_ns(wait_to_ns);

	return saved * (s64)toll_clamp_factor(turns);
}

/*
 * Warmth after @run_ns more of running: a share @fill_q10 of the run time is
 * taken to load lines, up to @cap_ns.
 */
TOLL_FN u64 toll_warm_grow(u64 warm_ns, u64 run_ns, u32 fill_q10, u64 cap_ns)
{
	u64 fill = toll_clamp_ns(run_ns) * toll_clamp_factor(fill_q10) / TOLL_Q10_ONE;

	return toll_min(toll_clamp_ns(warm_ns) + fill, toll_clamp_ns(cap_ns));
}

/*
 * Where the @pages are that a task has now: what has come since the last look
 * was first touched where it runs, and what has gone was not at home first.
 * Return true if more of it is elsewhere than at home.
 */
TOLL_FN bool toll_touch(struct toll_touched *t, u64 pages, bool at_home)
{
	u64 before = t->home + t->away;

	if (pages < before) {
		t->home = toll_min(t->home, pages);
		t->away = pages - t->home;
	} else if (at_home) {
		t->home += pages - before;
	} else {
		t->away += pages - before;
	}
	return t->away > t->home;
}

/*
 * Warmth left after others used @others_ns of the LLC's CPU time: one entry
 * of the table per @step_ns; beyond the table nothing is left.
 */
TOLL_FN u64 toll_warm_left(u64 warm_ns, u64 others_ns, const u32 *decay_q10, u64 step_ns)
{
	u64 step = others_ns / (step_ns ? step_ns : 1);

	if (step >= TOLL_DECAY_LEN)
		return 0;
	return toll_clamp_ns(warm_ns) *
	       toll_min(decay_q10[step & (TOLL_DECAY_LEN - 1)], TOLL_Q10_ONE) / TOLL_Q10_ONE;
}

/*
 * Refill: what has to be loaded again over there minus what would have to be
 * loaded again here. Of the same footprint @warm_to_ns is still warm there and
 * @warm_from_ns here, so the footprint itself cancels out. Negative when the
 * move brings the task back to where it is warmer.
 */
TOLL_FN s64 toll_refill(u64 warm_from_ns, u64 warm_to_ns, u32 factor_q10)
{
	s64 lost = (s64)toll_clamp_ns(warm_from_ns) - (s64)toll_clamp_ns(warm_to_ns);

	return lost * (s64)toll_clamp_factor(factor_q10) / (s64)TOLL_Q10_ONE;
}

/*
 * Remote: extra run time over @expect_ns because the memory is further away
 * there (@there_pm per mille) than here (@here_pm). Negative on the way home.
 */
TOLL_FN s64 toll_remote(u64 expect_ns, u32 there_pm, u32 here_pm)
{
	s64 rate = (s64)toll_clamp_factor(there_pm) - (s64)toll_clamp_factor(here_pm);

	return (s64)toll_clamp_ns(expect_ns) * rate / 1000;
}

/*
 * What a move costs besides that leads from the class of cores where a task
 * belongs: it is undone as soon as it can be, and a wait that is shorter than
 * this would make the task swing between the classes. A guess.
 */
#define TOLL_AGAINST_CLASS_NS (4 * TOLL_MS)

/*
 * P: what the move costs. @price_q10 is what the whole system pays for each
 * nanosecond that the mover pays (others wait behind its refill too); it
 * multiplies a cost, never a benefit, so that a way home is not oversold.
 */
TOLL_FN s64 toll_penalty(u64 hop_ns, s64 refill_ns, s64 remote_ns, u32 price_q10)
{
	const s64 most = (s64)TOLL_NS_MAX;
	s64 cost;

	if (refill_ns > most)
		refill_ns = most;
	if (refill_ns < -most)
		refill_ns = -most;
	if (remote_ns > most)
		remote_ns = most;
	if (remote_ns < -most)
		remote_ns = -most;
	cost = (s64)toll_clamp_ns(hop_ns) + refill_ns + remote_ns;
	if (cost <= 0)
		return cost;
	return cost * (s64)toll_clamp_factor(price_q10) / (s64)TOLL_Q10_ONE;
}

/*
 * The rule. @penalty_ns is P for TOLL_MIGRATE_TOLL; @fixed_ns stands in for it
 * under TOLL_MIGRATE_FIXED.
 */
TOLL_FN bool toll_worth(u32 migrate, s64 gain_ns, s64 penalty_ns, u64 fixed_ns)
{
	switch (migrate) {
	case TOLL_MIGRATE_NEVER:
		return false;
	case TOLL_MIGRATE_ALWAYS:
		return gain_ns > 0;
	case TOLL_MIGRATE_FIXED:
		return gain_ns > (s64)toll_clamp_ns(fixed_ns);
	default:
		return gain_ns > penalty_ns;
	}
}

/*
 * Hysteresis: true when the gain has been above the open threshold, without
 * ever being seen below the close threshold, for the hold time. An imbalance
 * that nobody has looked at for TOLL_GATE_STALE_NS longer than the hold time
 * is not known to have lasted, and starts anew.
 */
#define TOLL_GATE_STALE_NS (50 * TOLL_MS)

TOLL_FN bool toll_gate_pass(struct toll_gate *gate, s64 gain_ns, u64 now_ns,
			    const struct toll_hysteresis *h)
{
	u64 hold = toll_clamp_ns(h->hold_ns);
	bool open = gain_ns > 0 && (u64)gain_ns > h->open_ns;
	bool close = gain_ns <= 0 || (u64)gain_ns < h->close_ns;

	if (!hold)
		return open;
	/* The clocks of two CPUs differ a little: time does not run backwards here. */
	if ((s64)(now_ns - gate->seen_at) < 0)
		now_ns = gate->seen_at;
	if (gate->since_at && now_ns - gate->seen_at > hold + TOLL_GATE_STALE_NS)
		gate->since_at = 0;
	if (close) {
		gate->since_at = 0;
		return false;
	}
	gate->seen_at = now_ns;
	if (!gate->since_at) {
		if (!open)
			return false;
		gate->since_at = now_ns ? now_ns : 1;
	}
	return (s64)(now_ns - gate->since_at) >= (s64)hold;
}

/* Running average over bursts, weight 1/4 for the newest. */
TOLL_FN u64 toll_average(u64 avg_ns, u64 sample_ns)
{
	return (toll_clamp_ns(avg_ns) * 3 + toll_clamp_ns(sample_ns)) / 4;
}

/*
 * Expected run time of a task's next turn: what is left of its average burst;
 * a task that has outrun its average is expected to use as much again as it
 * has used already. At most one slice.
 */
TOLL_FN u64 toll_expect_turn(u64 avg_run_ns, u64 run_ns, u64 slice_ns)
{
	u64 left = avg_run_ns > run_ns ? avg_run_ns - run_ns : run_ns;

	return toll_min(toll_clamp_ns(left), toll_clamp_ns(slice_ns));
}

/*
 * Expected run time that is left over all turns, for what is paid or saved as
 * long as the task stays: as toll_expect_turn() without the slice, and never
 * less than the average burst.
 */
TOLL_FN u64 toll_expect_stay(u64 avg_run_ns, u64 run_ns)
{
	return toll_clamp_ns(avg_run_ns > run_ns ? avg_run_ns : run_ns);
}

/*
 * The bucket that counts a delay: eight to the octave, from 64 ns on, so each
 * is at most an eighth wider than where it begins. Bucket b, with o = b / 8,
 * begins at (8 + b % 8) << o << 3 ns; the first also counts what is shorter,
 * the last, from 3.9 ms on, what is longer.
 */
TOLL_FN u32 toll_delay_bucket(u64 ns)
{
	u32 top = (u32)toll_min(ns >> 3, (16U << 15) - 1), octave = 0;

	if (top < 8)
		return 0;
	/* The octave at which only the four highest bits are left, by halves. */
	if (top >> 8 >= 8)
		octave = 8;
	if (top >> octave >> 4 >= 8)
		octave += 4;
	if (top >> octave >> 2 >= 8)
		octave += 2;
	if (top >> octave >> 1 >= 8)
		octave += 1;
	return octave * 8 + (top >> octave) - 8;
}

/*
 * Cycles that @insns instructions should have taken after a move: as many for
 * each as before it, where @usual_insns took @usual_cycles, and more by what
 * remote memory costs there (@there_pm per mille) than here (@here_pm). At most
 * 2^20 cycles count for one instruction and 2^33 instructions; 0 when nothing
 * is known.
 */
TOLL_FN u64 toll_cycles_due(u64 insns, u64 usual_cycles, u64 usual_insns, u32 there_pm, u32 here_pm)
{
	u64 each_q10, due;

	if (!usual_insns)
		return 0;
	each_q10 = toll_min(toll_clamp_ns(usual_cycles) * TOLL_Q10_ONE / usual_insns, 1ULL << 30);
	due = toll_clamp_ns(toll_min(insns, 1ULL << 33) * each_q10 / TOLL_Q10_ONE);
	return toll_clamp_ns(due * (1000 + toll_clamp_factor(there_pm)) /
			     (1000 + toll_clamp_factor(here_pm)));
}

/*
 * The refill factor that a move turned out to have, in units of TOLL_FOUND_ONE:
 * the part of the @ran_ns after it in which the CPU did nothing that it would
 * not have done before, over the warmth that the move lost. The task took
 * @cycles in place of @due. 0 when it took no more.
 */
TOLL_FN u64 toll_refill_found(u64 ran_ns, u64 cycles, u64 due, u64 load_ns)
{
	u64 share;

	cycles = toll_clamp_ns(cycles);
	if (cycles <= due || !load_ns)
		return 0;
	share = (cycles - due) * TOLL_FOUND_ONE / cycles;
	return toll_clamp_ns(ran_ns) * share / load_ns;
}

/*
 * The slot of a histogram that counts a time of @ns: slot 0 those below 1024 ns, each
 * further one those below twice as much; the last has no bound.
 */
TOLL_FN u32 toll_hist_slot(u64 ns)
{
	u32 left = (u32)(toll_clamp_ns(ns) >> 10), slot = 0;

	/* The number of bits of what is left, by halves. */
	if (left >> 16) {
		slot = 16;
		left >>= 16;
	}
	if (left >> 8) {
		slot += 8;
		left >>= 8;
	}
	if (left >> 4) {
		slot += 4;
		left >>= 4;
	}
	if (left >> 2) {
		slot += 2;
		left >>= 2;
	}
	return slot + (left > 1 ? 2 : left);
}

/*
 * Virtual time of @used_ns of run time at @weight_q10: the run time itself at
 * TOLL_WEIGHT_ONE, more for a lighter task. No weight counts as the least one.
 */
TOLL_FN u64 toll_vtime(u64 used_ns, u64 weight_q10)
{
	return toll_clamp_ns(used_ns) * TOLL_WEIGHT_ONE / (weight_q10 ? weight_q10 : 1);
}

/*
 * The weight that counts for a task of @weight_q10 among @sum_q10 in all on
 * @nr_cpus CPUs. It can use one CPU at most; a weight that asks for more would
 * leave its vtime ever further behind that of the others, so it counts as much
 * as the others' weight per CPU that they are left with, and a quarter more, so
 * that it stays a little behind and keeps its CPU.
 */
TOLL_FN u64 toll_weight_usable(u64 weight_q10, u64 sum_q10, u32 nr_cpus)
{
	u64 others, most;

	if (nr_cpus < 2 || sum_q10 <= weight_q10)
		return weight_q10;
	others = sum_q10 - weight_q10;
	most = others / (nr_cpus - 1);
	most += most / 4;
	return toll_min(weight_q10, most ? most : 1);
}

/*
 * What a task of @weight_q10 waits where the average of the @nr tasks that
 * weigh @sum_q10 together waits @wait_ns: a light one waits longer. At most 64
 * times as long or as short.
 */
#define TOLL_OWN_MOST 64ULL

TOLL_FN u64 toll_own_wait(u64 wait_ns, u64 sum_q10, u64 nr, u64 weight_q10)
{
	u64 weight = toll_min(weight_q10, TOLL_SHARE_MAX), mean;

	nr = nr ? nr : 1;
	mean = toll_min(sum_q10 / nr, TOLL_SHARE_MAX);
	if (!weight || !mean)
		return toll_clamp_ns(wait_ns);
	mean = toll_min(mean * TOLL_Q10_ONE / weight, TOLL_OWN_MOST * TOLL_Q10_ONE);
	if (mean < TOLL_Q10_ONE / TOLL_OWN_MOST)
		mean = TOLL_Q10_ONE / TOLL_OWN_MOST;
	return toll_clamp_ns(toll_clamp_ns(wait_ns) * mean / TOLL_Q10_ONE);
}

/*
 * Length of a turn when @nr_waiting tasks wait for @nr_cpus CPUs: the whole
 * slice while a round of turns takes no longer than TOLL_ROUND slices, less
 * beyond, but never less than @least_ns. Short turns cost throughput, and what
 * is short itself gets in by its deadline anyhow.
 */
#define TOLL_ROUND 4U

TOLL_FN u64 toll_turn(u64 slice_ns, u64 least_ns, u64 nr_waiting, u32 nr_cpus)
{
	u64 cpus = nr_cpus ? nr_cpus : 1;
	u64 slice = toll_clamp_ns(slice_ns);
	u64 round = slice * TOLL_ROUND * toll_min(cpus, TOLL_MAX_CPUS);
	u64 turn = round / (toll_min(nr_waiting, TOLL_FACTOR_MAX) + toll_min(cpus, TOLL_MAX_CPUS));

	if (turn < toll_clamp_ns(least_ns))
		turn = toll_clamp_ns(least_ns);
	return toll_min(turn, slice);
}

/*
 * What @weight gets of @share_q10, which all that weighs @inner in sum shares.
 * Between 1 and TOLL_SHARE_MAX.
 */
TOLL_FN u64 toll_group_part(u64 share_q10, u64 weight, u64 inner)
{
	u64 part = toll_min(share_q10, TOLL_SHARE_MAX) * toll_min(weight, TOLL_SHARE_MAX) /
		   (inner ? inner : 1);

	part = toll_min(part, TOLL_SHARE_MAX);
	return part ? part : 1;
}

/*
 * Run time that is due to a group of weight @fair_q10 when @used_ns are used by
 * all that weigh @sum_q10 together, but no more than it can use.
 */
TOLL_FN u64 toll_due(u64 fair_q10, u64 sum_q10, u64 used_ns, u64 most_ns)
{
	u64 due = toll_min(fair_q10, TOLL_FACTOR_MAX * 8ULL) * toll_clamp_ns(used_ns) /
		  (sum_q10 ? sum_q10 : 1);

	return toll_min(due, toll_clamp_ns(most_ns));
}

/*
 * What a group is due, at @due_ns in each @span_ns, over the time in which it is
 * to get back what it is owed: while each of its @nr tasks has two turns of
 * @slice_ns. A correction acts on turns that begin after it, so one that is
 * faster than this would swing. In terms of time, from 50 ms to 4 s.
 */
#define TOLL_MEND_NS (50 * TOLL_MS)
#define TOLL_MEND_RANGE 80

TOLL_FN u64 toll_mend_due(u64 due_ns, u64 span_ns, u64 nr, u64 slice_ns)
{
	u64 turns = 2 * toll_min(nr, TOLL_FACTOR_MAX) * toll_min(slice_ns, TOLL_FACTOR_MAX * 64);
	u64 least = toll_min(due_ns, TOLL_NS_MAX / 16) * TOLL_MEND_NS / (span_ns ? span_ns : 1);

	if (turns < least)
		return least;
	return toll_min(turns, toll_clamp_ns(least) * TOLL_MEND_RANGE);
}

/*
 * Factor on a group's share, Q10, that brings back what it is owed: @lag_ns
 * over @due_ns, see toll_mend_due(). Up to 8 and down to 1/8.
 */
#define TOLL_MEND_MOST 8U

TOLL_FN u32 toll_mend(s64 lag_ns, u64 due_ns)
{
	u64 lag = toll_clamp_ns(lag_ns < 0 ? -(u64)lag_ns : (u64)lag_ns);
	u64 due = toll_clamp_ns(due_ns), extra;

	if (!due)
		due = 1;
	extra = toll_min(lag * TOLL_Q10_ONE / due, (TOLL_MEND_MOST - 1) * TOLL_Q10_ONE);
	if (lag_ns < 0)
		return TOLL_Q10_ONE * TOLL_Q10_ONE / (TOLL_Q10_ONE + extra);
	return TOLL_Q10_ONE + extra;
}

/* cpu.max: what is left at the end of @nr_periods more, debts included; savings only up to @burst_ns. */
TOLL_FN s64 toll_refilled(s64 budget_ns, u64 quota_ns, u64 burst_ns, u64 nr_periods)
{
	s64 most = (s64)(toll_clamp_ns(quota_ns) + toll_clamp_ns(burst_ns));
	s64 least = -(s64)TOLL_NS_MAX;
	s64 left = budget_ns < least ? least : budget_ns;

	if (left > most)
		left = most;
	left += (s64)(toll_clamp_ns(quota_ns) * toll_min(nr_periods, TOLL_FACTOR_MAX));
	return left > most ? most : left;
}

/*
 * What is left of 1024 after @ns: half of it every TOLL_UTIL_HALF_NS, on a
 * straight line in between (6 % too much at most).
 */
#define TOLL_UTIL_HALF_NS (32 * TOLL_MS)

TOLL_FN u32 toll_fade(u64 ns)
{
	u64 halves = toll_clamp_ns(ns) / TOLL_UTIL_HALF_NS;
	u64 rest = toll_clamp_ns(ns) % TOLL_UTIL_HALF_NS;

	if (halves >= 10)
		return 0;
	return (TOLL_Q10_ONE - rest * (TOLL_Q10_ONE / 2) / TOLL_UTIL_HALF_NS) >> halves;
}

/*
 * A task slept for @slept_ns and then ran for @ran_ns on a core of @core_q10.
 * Both are summed up to a millisecond: what is less would be lost in rounding.
 */
#define TOLL_UTIL_STEP_NS TOLL_MS

TOLL_FN void toll_demand_add(struct toll_demand *d, u64 ran_ns, u64 slept_ns, u32 core_q10)
{
	u32 keep, core = toll_min(core_q10, TOLL_Q10_ONE);

	d->ran_ns = toll_clamp_ns(d->ran_ns) + toll_clamp_ns(ran_ns);
	d->slept_ns = toll_clamp_ns(d->slept_ns) + toll_clamp_ns(slept_ns);
	if (d->slept_ns >= TOLL_UTIL_STEP_NS) {
		d->util_q10 = toll_min(d->util_q10, TOLL_Q10_ONE) * toll_fade(d->slept_ns) / TOLL_Q10_ONE;
		d->slept_ns = 0;
	}
	if (ran_ns && d->ran_ns >= TOLL_UTIL_STEP_NS) {
		keep = toll_fade(d->ran_ns);
		d->util_q10 = (toll_min(d->util_q10, TOLL_Q10_ONE) * keep + core * (TOLL_Q10_ONE - keep)) /
			      TOLL_Q10_ONE;
		d->ran_ns = 0;
	}
}

/*
 * Return where a task belongs: 1 for a little core, worth @little_q10. It
 * changes when its demand has been beyond the threshold for @hold_ns without a
 * break: four fifths of what a little core gives, upwards; half of it, down.
 */
TOLL_FN u32 toll_class_pass(struct toll_demand *d, u32 little_q10, u64 now, u64 hold_ns)
{
	u32 little = toll_min(little_q10, TOLL_Q10_ONE);
	bool other = d->little ? d->util_q10 > little * 4 / 5 : d->util_q10 < little / 2;

	if (!other) {
		d->since_at = 0;
	} else if (!d->since_at) {
		d->since_at = now ? now : 1;
	} else if (now - d->since_at >= hold_ns && now > d->since_at) {
		d->little = !d->little;
		d->since_at = 0;
	}
	return d->little;
}

#endif /* TOLL_DECIDE_H */
