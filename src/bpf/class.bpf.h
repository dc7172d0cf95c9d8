/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * class.bpf.h - machines with cores of two capacities (P and E, big and little).
 *
 *   1. what a task uses of a core, in the work of a most capable one, is
 *      followed over some 100 ms                              demand_charge, demand_sleep
 *   2. above the upper threshold for toll_class_hold_ns it belongs on a big
 *      core, below the lower one for as long on a little one    decide.h: toll_class_pass
 *   3. it goes there when it wakes up, or, running, at a tick
 *      (place.bpf.h)                                            place_class, class_leaves
 *   4. a move the other way costs more, and one to a little core also the
 *      time that the task would take longer                    move.bpf.h: penalty_of
 *
 * LLCs are split by class (topology/split.rs), so a class is a property of an
 * LLC. What is less capable than the most capable kind is little.
 */
#ifndef TOLL_CLASS_BPF_H
#define TOLL_CLASS_BPF_H

static __always_inline bool has_classes(void)
{
	return toll_little_q10 != 0;
}

static __always_inline u32 llc_little(u32 llc)
{
	return toll_llc_q10[llc & (TOLL_MAX_LLCS - 1)] <= toll_little_q10;
}

/* Work that @used_ns of run time in LLC @llc are: time on a little core is less. */
static __always_inline u64 work_in(u32 llc, u64 used_ns)
{
	if (!has_classes())
		return used_ns;
	return used_ns * toll_llc_q10[llc & (TOLL_MAX_LLCS - 1)] / TOLL_Q10_ONE;
}

/* @t has run for @used_ns in LLC @llc. */
static __always_inline void demand_charge(struct toll_task *t, u32 llc, u64 used_ns, u64 now)
{
	if (!has_classes())
		return;
	toll_demand_add(&t->demand, used_ns, 0, toll_llc_q10[llc & (TOLL_MAX_LLCS - 1)]);
	toll_class_pass(&t->demand, toll_little_q10, now, toll_class_hold_ns);
}

/* @t wakes up after a sleep. */
static __always_inline void demand_sleep(struct toll_task *t, u64 now)
{
	if (!has_classes() || !t->slept_at)
		return;
	toll_demand_add(&t->demand, 0, time_delta(now, t->slept_at), 0);
	toll_class_pass(&t->demand, toll_little_q10, now, toll_class_hold_ns);
	t->slept_at = 0;
}

/*
 * Return true if @t belongs on cores of another class than those of LLC @llc.
 * One whose demand is rising may stay on a big core that it got for another
 * reason: it would only come back.
 */
static __always_inline bool in_wrong_class(struct toll_task *t, u32 llc)
{
	if (!has_classes() || t->demand.little == llc_little(llc))
		return false;
	return !t->demand.little || t->demand.util_q10 < toll_little_q10 / 2;
}

#endif /* TOLL_CLASS_BPF_H */
