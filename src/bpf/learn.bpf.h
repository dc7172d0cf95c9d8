/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * learn.bpf.h - what user space learns the fixed cost of a move from.
 *
 * A task that wakes up and is handed to an idle CPU runs there as soon as that
 * CPU has woken up and has fetched what belongs to the task. How much later it
 * runs on a CPU that is far from its last one than on that last one itself is
 * what the distance costs. So only such wakeups are timed: nobody is queued in
 * front of the task, and the kernel takes the same path for both. A newborn,
 * and whatever goes through enqueue(), is not.
 *
 * The times are counted per CPU by distance; what follows from them is worked
 * out by src/model/learn.rs.
 */
#ifndef TOLL_LEARN_BPF_H
#define TOLL_LEARN_BPF_H

/* Of the wakeups that stay in their LLC, which are many, one in so many is timed. */
#define TOLL_LEARN_EVERY 8

/* One histogram for each enum toll_distance. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TOLL_NR_DISTANCES);
	__type(key, u32);
	__type(value, struct toll_delays);
} toll_delays SEC(".maps");

/* @t, which woke up, is about to be handed to an idle CPU; @home: of the LLC where it was. */
static __always_inline void learn_begin(struct toll_task *t, struct toll_cpu *me, bool home,
					const struct toll_policy *pol)
{
	t->claimed_at = 0;
	/* Where a task was that has not run under this scheduler is not known. */
	if (!pol->learn || t->ran_cpu < 0)
		return;
	if (home && ++me->nr_untimed < TOLL_LEARN_EVERY)
		return;
	if (home)
		me->nr_untimed = 0;
	t->claimed_at = bpf_ktime_get_ns();
}

/* For tests: a task that comes from elsewhere starts as much later as toll_inject_ns says. */
static __always_inline void learn_inject(u32 distance)
{
	u64 extra = toll_inject_ns[distance & (TOLL_NR_DISTANCES - 1)];
	u64 begun = bpf_ktime_get_ns();
	u32 i;

	bpf_for(i, 0, 1 << 20)
		if (bpf_ktime_get_ns() - begun >= extra)
			break;
}

/* @t begins to run on @cpu of LLC @llc; call it before land(), which forgets where it was. */
static __always_inline void learn_end(struct toll_task *t, s32 cpu, u32 llc)
{
	struct toll_delays *delays;
	u32 distance, bucket;

	if (!t->claimed_at && !toll_inject)
		return;
	distance = t->ran_cpu == cpu ? TOLL_STAYED : TOLL_MOVED_CORE + level_of(t->ran_llc, llc);
	if (toll_inject)
		learn_inject(distance);
	if (!t->claimed_at)
		return;
	delays = bpf_map_lookup_elem(&toll_delays, &distance);
	if (delays) {
		bucket = toll_delay_bucket(bpf_ktime_get_ns() - t->claimed_at);
		delays->count[slot(bucket, TOLL_DELAY_BUCKETS)]++;
	}
	t->claimed_at = 0;
}

#endif /* TOLL_LEARN_BPF_H */
