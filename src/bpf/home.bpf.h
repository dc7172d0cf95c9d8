/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * home.bpf.h - what lives where: the CPU time wanted by tasks whose home is an
 * LLC or a node, by which newborn processes are spread.
 *
 * A newborn has neither warmth nor memory, so its birth is the one moment at
 * which it moves for nothing, and where it is born its memory will be. What
 * counts is not who runs there at this instant but who has its home there:
 *
 *   1. each home adds up the run time of its tasks, wherever they run, and one
 *      whole span for each birth, since nobody knows yet what a newborn wants
 *   2. it remembers the present span and the one before (a sliding window)
 *   3. a home is filled up to a whole number of tasks per CPU before the next
 *      one is begun, so that relatives and partners stay together
 *
 * A task keeps what it adds in windows that turn with those of its LLC, so that
 * one that moves its home for good takes along what it wants.
 *
 * Races: a window that turns over while it is added to may lose that addition;
 * worst outcome: one newborn too many.
 */
#ifndef TOLL_HOME_BPF_H
#define TOLL_HOME_BPF_H

/* How long what lived somewhere is remembered. A guess. */
#define TOLL_HOME_SPAN_NS (500 * TOLL_MS)

/* Key of an LLC's home, and of a node's. */
static __always_inline struct toll_home *home_of_llc(u32 llc)
{
	return bpf_map_lookup_elem(&toll_homes, &llc);
}

static __always_inline struct toll_home *home_of_node(u32 node)
{
	u32 key = TOLL_MAX_LLCS + node;

	return bpf_map_lookup_elem(&toll_homes, &key);
}

/* Begin a new span when the present one is over. */
static __always_inline void home_turn(struct toll_home *h, u64 now)
{
	u64 at = READ_ONCE(h->since_at), age = now - at;

	if ((s64)age < (s64)TOLL_HOME_SPAN_NS)
		return;
	if (__sync_val_compare_and_swap(&h->since_at, at, now) != at)
		return;
	WRITE_ONCE(h->before_ns, age < 2 * TOLL_HOME_SPAN_NS ? READ_ONCE(h->now_ns) : 0);
	WRITE_ONCE(h->now_ns, 0);
}

static __always_inline void home_add_to(struct toll_home *h, u64 ns, u64 now)
{
	if (!h)
		return;
	home_turn(h, now);
	__sync_fetch_and_add(&h->now_ns, ns);
}

/* The windows of @w are those of home @h from now on: what is older than they reach is forgotten. */
static __always_inline void want_turn(struct toll_want *w, const struct toll_home *h)
{
	u64 since = READ_ONCE(h->since_at);

	if (w->since_at == since)
		return;
	w->before_ns = since - w->since_at < 2 * TOLL_HOME_SPAN_NS ? w->now_ns : 0;
	w->now_ns = 0;
	w->since_at = since;
}

/* @t, whose home is LLC @llc, wanted @ns more. */
static __always_inline void home_add(struct toll_task *t, u32 llc, u64 ns, u64 now)
{
	struct toll_home *h;

	if (llc == TOLL_NO_LLC)
		return;
	h = home_of_llc(llc);
	if (!h)
		return;
	home_add_to(h, ns, now);
	home_add_to(home_of_node(llc_node(llc)), ns, now);
	want_turn(&t->want, h);
	t->want.now_ns += ns;
}

/* What two windows amount to, the present one having begun at @since_at. */
static __always_inline u64 home_sum(u64 now_ns, u64 before_ns, u64 since_at, u64 now)
{
	u64 age = toll_min(now - since_at, TOLL_HOME_SPAN_NS);

	return now_ns + before_ns * ((TOLL_HOME_SPAN_NS - age) >> 10) / (TOLL_HOME_SPAN_NS >> 10);
}

/* What those who live in @h want. */
static __always_inline u64 home_want(struct toll_home *h, u64 now)
{
	home_turn(h, now);
	return home_sum(READ_ONCE(h->now_ns), READ_ONCE(h->before_ns), READ_ONCE(h->since_at), now);
}

/* What those who live in LLC @llc want, but for @t. */
static __always_inline u64 home_others(u32 llc, const struct toll_task *t, u64 now)
{
	struct toll_home *h = home_of_llc(llc);
	struct toll_want own;
	u64 all, mine;

	if (!h)
		return 0;
	all = home_want(h, now);
	if (t->home_llc != llc)
		return all;
	own = t->want;
	want_turn(&own, h);
	mine = home_sum(own.now_ns, own.before_ns, own.since_at, now);
	return all > mine ? all - mine : 0;
}

/* Whole tasks per CPU that live there. */
static __always_inline u64 home_level(struct toll_home *h, u64 now)
{
	if (!h || !h->nr_cpus)
		return ~0ULL;
	return home_want(h, now) / (h->nr_cpus * TOLL_HOME_SPAN_NS);
}

/* @from loses what @w is of it. */
static __always_inline void home_take(struct toll_home *from, const struct toll_want *w)
{
	if (!from)
		return;
	__sync_fetch_and_sub(&from->now_ns, toll_min(w->now_ns, READ_ONCE(from->now_ns)));
	__sync_fetch_and_sub(&from->before_ns, toll_min(w->before_ns, READ_ONCE(from->before_ns)));
}

/* The home of @t is LLC @to from now on, and it takes along what it wants. Its memory stays. */
static __always_inline void home_move(struct toll_task *t, u32 to, u64 now)
{
	struct toll_home *old = home_of_llc(t->home_llc);
	struct toll_want *w = &t->want;
	u64 all;

	if (t->home_llc == to)
		return;
	if (old && t->home_llc != TOLL_NO_LLC) {
		home_turn(old, now);
		want_turn(w, old);
		home_take(old, w);
		home_take(home_of_node(llc_node(t->home_llc)), w);
	}
	all = home_sum(w->now_ns, w->before_ns, w->since_at, now);
	w->now_ns = 0;
	w->before_ns = 0;
	t->home_llc = to;
	home_add(t, to, all, now);
}

/*
 * The LLC where a newborn process is to live: on the node where least lives,
 * the LLC there where least lives, the nearest of equals.
 */
static __always_inline u32 home_choose(struct task_struct *p, u32 from, u64 now)
{
	u64 least = ~0ULL, level, node_level;
	u32 rank, to, best = TOLL_NO_LLC;

	bpf_for(rank, 0, toll_nr_llcs) {
		to = rank ? outward(from, rank - 1) : from;
		if (!may_use(p, to))
			continue;
		node_level = home_level(home_of_node(llc_node(to)), now);
		level = toll_min(node_level, 1 << 20) << 20 |
			toll_min(home_level(home_of_llc(to), now), (1 << 20) - 1);
		if (level < least) {
			least = level;
			best = to;
		}
	}
	return best;
}

#endif /* TOLL_HOME_BPF_H */
