/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * partner.bpf.h - two tasks that hand work to each other come together.
 *
 * A producer in one LLC and its consumer in another pay for every hand-over,
 * though neither of them ever waits for a CPU, so no wait could pay for a move.
 * It is the problem of the skier: rent again for another day, or buy?
 *
 *   1. who wakes a task again and again, and is woken by nobody so often as by
 *      that task, is its partner                              partner_note
 *   2. each wakeup from another LLC is rent: the hop between the two, by what the
 *      lines that are handed over are guessed to cost         place_beside
 *   3. once the rent exceeds P the task moves: so staying and moving together
 *      never cost more than twice what knowing better would   place_beside
 *   4. of the two LLCs the one where others want less, and of the two tasks the
 *      one that is not there; should that one be unable to, the other goes when
 *      it has paid twice                                      partner_goes
 *
 * A partner that was left for somebody else loses its place gradually, so one
 * wakeup by a timer or an interrupt, which is taken for one by whoever ran,
 * does not part two tasks.
 */
#ifndef TOLL_PARTNER_BPF_H
#define TOLL_PARTNER_BPF_H

/* Wakeups by one task, less those by others, that make it the partner. Guesses. */
#define TOLL_PARTNER_LEAST 4
#define TOLL_PARTNER_MOST 16

/* The task @waker has woken @t: count it for or against the partner (majority vote). */
static __always_inline void partner_note(struct toll_partner *with, u32 waker)
{
	if (with->pid == waker) {
		if (with->votes < TOLL_PARTNER_MOST)
			with->votes++;
		return;
	}
	if (with->votes) {
		with->votes--;
		return;
	}
	with->pid = waker;
	with->votes = 1;
	with->rent_ns = 0;
	with->beside = 0;
}

/* Return true if the task @pid is the partner of @t. */
static __always_inline bool is_partner(const struct toll_task *t, u32 pid)
{
	return t->partner.pid == pid && t->partner.votes >= TOLL_PARTNER_LEAST;
}

/*
 * @w, in LLC @here, has woken its partner @t, whose LLC is @from: what others want
 * decides who of the two moves, then the lower pid.
 */
static __always_inline bool partner_goes(struct task_struct *p, struct toll_task *t,
					 struct toll_task *w, u32 from, u32 here, u64 now)
{
	u64 want_from = home_others(from, t, now), want_here = home_others(here, w, now);

	return want_here < want_from || (want_here == want_from && (u32)p->pid < t->partner.pid);
}

/*
 * The waking task @p is woken by the current one. If that is its partner, in
 * another LLC, and all the hand-overs from there have cost more than a move:
 * a CPU there, claimed or handed over; negative otherwise.
 */
__noinline s32 place_beside(struct task_struct *p __arg_trusted, struct toll_task *t, u32 from,
			    u64 wake_flags, const struct toll_policy *pol)
{
	struct task_struct *waker = bpf_get_current_task_btf();
	u32 here = cpu_llc(bpf_get_smp_processor_id());
	struct about about = { .kind = TOLL_KIND_PLACE, .from = from, .to = here, .to_cpu = -1 };
	struct toll_cpu *me = this_cpu();
	struct toll_task *w;
	struct ask a;
	s32 cpu;

	if (!t || !pol || !me)
		return -EBUSY;
	/* An interrupt on an idle CPU is nobody's hand-over. */
	if (!waker->pid)
		return -EBUSY;
	partner_note(&t->partner, waker->pid);
	if (!is_partner(t, waker->pid))
		return -EBUSY;
	w = task_of(waker);
	if (!w || !is_partner(w, p->pid) || here == TOLL_NO_LLC)
		return -EBUSY;
	t->partner.beside = here == from;
	if (here == from) {
		t->partner.rent_ns = 0;
		return -EBUSY;
	}
	t->partner.rent_ns += toll_penalty(pol->hop_ns[here & (TOLL_MAX_LLCS - 1)]
						      [from & (TOLL_MAX_LLCS - 1)],
					   0, 0, pol->price_q10);
	if (is_pinned(p) || !may_use(p, here) ||
	    ask_init(&a, t, from, toll_clamp_ns(t->partner.rent_ns), pol))
		return -EBUSY;
	a.turns = 1;
	about.level = level_of(from, here);
	if (ask_beside(&a, t, here, price_level(from, here), pol) != TOLL_APPLIED)
		return -EBUSY;
	if (!partner_goes(p, t, w, from, here, a.now) && a.gain_ns < 2 * a.penalty_ns)
		return -EBUSY;
	count_asked(me, TOLL_KIND_PLACE, about.level);
	cpu = handoff_cpu(p, me, here, wake_flags);
	if (cpu < 0)
		cpu = claim_idle(p, here);
	about.verdict = cpu >= 0 ? TOLL_APPLIED : TOLL_RACED;
	about.to_cpu = cpu >= 0 ? cpu : -1;
	conclude(me, p, t, &a, &about, pol);
	if (cpu < 0)
		return cpu;
	t->partner.rent_ns = 0;
	t->partner.beside = 1;
	home_move(t, here, a.now);
	return cpu;
}

#endif /* TOLL_PARTNER_BPF_H */
