/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * task.bpf.h - a task comes, runs for the first time, and goes.
 */
#ifndef TOLL_TASK_BPF_H
#define TOLL_TASK_BPF_H

/*
 * Average run time of a task that nobody has seen run: a quarter of a slice, a
 * guess. For a sleepable callback, which is in no RCU read section by itself.
 */
static __always_inline u64 first_guess_ns(void)
{
	const struct toll_policy *pol;
	u64 guess;

	bpf_rcu_read_lock();
	pol = policy();
	guess = pol ? pol->slice_ns / 4 : 0;
	bpf_rcu_read_unlock();
	return guess;
}

/* @t is new here: it is counted nowhere and has been nowhere. */
static __always_inline void task_begin(struct toll_task *t)
{
	u32 i;

	t->avg_run_ns = first_guess_ns();
	t->queued_llc = TOLL_NO_LLC;
	t->ran_llc = TOLL_NO_LLC;
	t->ran_cpu = -1;
	t->home_node = TOLL_NO_NODE;
	t->home_llc = TOLL_NO_LLC;
	t->demand.util_q10 = TOLL_Q10_ONE / 2;
	t->kind = TOLL_KIND_OTHER;
	t->weight_llc = TOLL_NO_LLC;
	t->pace.llc = TOLL_NO_LLC;
	t->group_counted = TOLL_MAX_GROUPS;
	bpf_for(i, 0, TOLL_NR_WARM)
		t->warm[i & (TOLL_NR_WARM - 1)].llc = TOLL_NO_LLC;
}

/* @p runs for the first time: its home is here, or that of the process whose memory it shares. */
static __always_inline void settle(struct task_struct *p, struct toll_task *t, u32 llc, u64 now)
{
	struct task_struct *leader = p->group_leader;
	struct toll_task *of;

	/* What a newborn was taken to want where it was placed goes with it. */
	home_move(t, llc, now);
	t->home_node = llc_node(llc);
	if (p->pid == p->tgid || !leader)
		return;
	of = bpf_task_storage_get(&toll_tasks, leader, 0, 0);
	if (of && of->home_node < TOLL_MAX_NODES) {
		home_move(t, of->home_llc, now);
		t->home_node = of->home_node;
	}
}

/* Take @t out of everything it is counted in. */
static __always_inline void forget(struct toll_task *t)
{
	queue_del(t);
	weight_del(t);
	group_leave(t);
}

#endif /* TOLL_TASK_BPF_H */
