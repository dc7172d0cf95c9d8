/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * follow.bpf.h - a task that has settled on another node than its memory's, and
 * what user space (src/memory/) has decided about it.
 *
 *   stay_charge()       where it runs, for how long, and how busy it was there;
 *                       told through toll_away once it has settled
 *   touch_charge()      where it first touched its memory, which is its home
 *   toll_rehome_task()  its memory has followed, or it is to go home to it
 *
 * A stay has two thresholds: it begins to count as settled after the hold time,
 * and it ends when an eighth of what it ran (at most of the hold time) was run
 * elsewhere. A short trip does not end it, swinging to and fro never settles.
 *
 * Memory lies where it was first touched, which need not be where its task was
 * born: many are bound to a node before they allocate anything.
 */
#ifndef TOLL_FOLLOW_BPF_H
#define TOLL_FOLLOW_BPF_H

/* Set before load. Off: the verifier removes all that depends on it. */
const volatile bool toll_follow = false;
/* Pages are really moved: it is not only said that they should be. */
const volatile bool toll_memory_comes = false;
const volatile u64 toll_follow_hold_ns = 1000 * TOLL_MS;

/* How often a settled task is told of. User space looks less often. */
#define TOLL_TELL_EVERY_NS (250 * TOLL_MS)
/* Share of a stay that may be run elsewhere, as a divisor. A guess. */
#define TOLL_STAY_BREAK 8

/* Settled tasks by thread; user space empties it whenever it looks. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct toll_away);
} toll_away SEC(".maps");

static __always_inline void stay_begin(struct toll_stay *s, u32 node, u64 used, u64 now)
{
	s->node = node;
	s->since_at = now - used;
	s->ran_ns = used;
	s->else_ns = 0;
	s->told_at = now;
}

/* Tell user space about the settled task @p. */
__noinline int stay_tell(struct task_struct *p __arg_trusted, struct toll_task *t, u64 now)
{
	struct toll_away away = {};
	u32 tid;

	if (!t)
		return -EINVAL;
	tid = p->pid;
	away.tgid = p->tgid;
	away.node = t->stay.node;
	away.home = t->home_node;
	away.stayed_ns = now - t->stay.since_at;
	away.ran_ns = t->stay.ran_ns;
	t->stay.told_at = now;
	bpf_map_update_elem(&toll_away, &tid, &away, BPF_ANY);
	return 0;
}

/* @p ran for @used in LLC @llc. */
static __always_inline void stay_charge(struct task_struct *p, struct toll_task *t, u32 llc,
					u64 used, u64 now)
{
	struct toll_stay *s = &t->stay;
	u32 node = llc_node(llc);

	if (!toll_follow)
		return;
	if (!s->since_at) {
		stay_begin(s, node, used, now);
		return;
	}
	if (node != s->node) {
		s->else_ns += used;
		if (s->else_ns > toll_min(s->ran_ns, toll_follow_hold_ns) / TOLL_STAY_BREAK)
			stay_begin(s, node, used, now);
		return;
	}
	s->ran_ns += used;
	if (node == t->home_node || t->home_node == TOLL_NO_NODE || !p->mm)
		return;
	if (now - s->since_at < toll_follow_hold_ns || now - s->told_at < TOLL_TELL_EVERY_NS)
		return;
	stay_tell(p, t, now);
}

/* @p runs in LLC @llc: once most of its memory was first touched elsewhere, its home is here. */
static __always_inline void touch_charge(struct task_struct *p, struct toll_task *t, u32 llc)
{
	struct mm_struct *mm = p->mm;
	u32 node = llc_node(llc);
	s64 pages;
	u64 away;

	/* Other threads have the home that the first had when they were born. */
	if (!toll_follow || !mm || p->pid != p->tgid || t->home_node == TOLL_NO_NODE)
		return;
	pages = BPF_CORE_READ(mm, rss_stat[MM_ANONPAGES].count);
	if (!toll_touch(&t->touched, pages > 0 ? pages : 0, node == t->home_node) ||
	    node == t->home_node)
		return;
	away = t->touched.away;
	t->touched.away = t->touched.home;
	t->touched.home = away;
	t->home_node = node;
	t->home_llc = llc;
}

/*
 * @p is about to run in LLC @llc: what it has touched since the last look was
 * touched on the node that it left. That look may be long ago: a program that
 * loads its data and waits for work has run for less than a look's interval.
 */
static __always_inline void touch_left(struct task_struct *p, struct toll_task *t, u32 llc)
{
	u32 left = t->warm[0].llc;

	if (!toll_follow || left >= TOLL_MAX_LLCS || llc_node(left) == llc_node(llc))
		return;
	touch_charge(p, t, left);
}

/* Return true if @t is to go to its memory's node as soon as it can be queued there. */
static __always_inline bool is_sent_home(struct toll_task *t)
{
	return toll_follow && READ_ONCE(t->sent_home);
}

/*
 * The memory of a thread is on another node now, or the thread is to go where it
 * is. Its fields are written without the lock of its run queue: a decision that
 * is under way takes the old home or the new one.
 */
SEC("syscall")
int toll_rehome_task(struct toll_rehome *how)
{
	struct task_struct *p = bpf_task_from_pid(how->tid);
	struct toll_task *t;
	int err = -ESRCH;

	if (!p)
		return -ESRCH;
	t = bpf_task_storage_get(&toll_tasks, p, 0, 0);
	if (t) {
		if (how->push) {
			WRITE_ONCE(t->sent_home, 1);
		} else {
			WRITE_ONCE(t->home_node, how->node);
			t->touched.home += t->touched.away;
			t->touched.away = 0;
			if (llc_node(t->llc) == how->node)
				WRITE_ONCE(t->home_llc, t->llc);
		}
		err = 0;
	}
	bpf_task_release(p);
	return err;
}

#endif /* TOLL_FOLLOW_BPF_H */
