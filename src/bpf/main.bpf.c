// SPDX-License-Identifier: GPL-2.0-only
/*
 * scx_toll - a task moves only if the wait it saves exceeds what the move costs.
 *
 * The algorithm, and where each step lives:
 *
 *  1. Each LLC has one queue, ordered by virtual deadline, and each CPU one for
 *     tasks that cannot leave it                   dsq.bpf.h; fair.bpf.h, latency.bpf.h
 *  2. Each LLC keeps W, the time that a task added now would wait: expected run
 *     time of what is queued, plus what the running tasks still need, over its
 *     CPUs; 0 with an idle CPU             account.bpf.h: queue_*, run_*, toll_wait_in
 *  3. Each task keeps what it has warm in the last two LLCs: it grows while the
 *     task runs and is worn by what others run there   account.bpf.h: charge, warm_*
 *  4. One question serves all moves: is the wait saved, over the turns that the
 *     task will still take, longer than hop + refill + remote time?
 *                                      move.bpf.h: worth_moving; decide.h: formulas
 *  5. A waking task is placed on an idle CPU: of its memory's node if it ran
 *     elsewhere, then outward from where it ran; a newborn process where least
 *     lives                                         place.bpf.h: place_*; home.bpf.h
 *  6. At wakeup and at the end of a slice a loaded LLC pushes to one where the
 *     task waits less, busy or not                  push.bpf.h: push_*
 *  7. A CPU about to idle pulls the best-paying of the first tasks of the
 *     nearest queue that has one                    pull.bpf.h: pull_*
 *  8. A tick wakes an idle CPU when a queue has come to pay for it, and beyond
 *     a maximum age a task moves whatever it costs  pull.bpf.h: look_outward
 *  9. CPUs go and come: their LLC's capacity follows, and what waits where no CPU
 *     serves it any more leaves                      hotplug.bpf.h: cpu_*, leave_queue
 * 10. Crossing a node also takes an imbalance that has lasted
 *                                                   decide.h: toll_gate_pass
 * 11. How much later a task runs that was sent away is counted, for user space
 *     to learn from                                 learn.bpf.h: learn_begin, learn_end
 * 12. A task's weight is its part of what its cgroup has of the machine; a
 *     cgroup that has used up cpu.max is parked      cgroup.bpf.h; pass.bpf.h
 * 13. A waking task with a short turn makes a running one yield whose turn is
 *     due later                                      latency.bpf.h: preempt_for
 * 14. A CPU that a real-time task takes no longer counts, and what waits for it
 *     leaves                       account.bpf.h: taken_set; pass.bpf.h: pass_queues
 * 15. Where cores differ, a task goes to the class where its demand has long
 *     belonged                                       class.bpf.h, place.bpf.h: place_class
 * 16. Every decision ends in one counter and, if somebody listens, one record;
 *     when a moved task runs, whether the move paid
 *                                       record.bpf.h: conclude, judge_move
 * 17. A task that has settled on another node than its memory's is told to user
 *     space, which brings the memory or sends the task home
 *                                follow.bpf.h: stay_charge; push.bpf.h: push_homeward
 * 18. Two tasks that wake each other from different LLCs come together once the
 *     hand-overs have cost more than the move     partner.bpf.h: place_beside
 * 19. Where there are counters, how much slower a task's instructions are right
 *     after a move is counted, for user space to learn from
 *                                                   refill.bpf.h: toll_count_switch
 *
 * What it is bad at: it takes the average burst for the next one, so a task
 * that changes its habits is misjudged for a few bursts; it knows the home of a
 * task's memory only as the node where the task first ran, or where user space
 * has moved it; hogs of equal weight
 * in LLCs that are loaded unequally, in one cgroup, are not evened out; a task
 * that may use nothing but a CPU that a real-time task keeps lives on what the
 * kernel's deadline server leaves it, and where there is none (before it served
 * this class) the kernel throws the scheduler out after its time limit; quotas
 * that lie more than four above one another are not all enforced.
 */
#include <scx/common.bpf.h>
#include <scx/compat.bpf.h>

#include "intf.h"
#include "decide.h"
#include "state.bpf.h"
#include "check.bpf.h"
#include "dsq.bpf.h"
#include "report.bpf.h"
#include "fair.bpf.h"
#include "cgroup.bpf.h"
#include "class.bpf.h"
#include "home.bpf.h"
#include "follow.bpf.h"
#include "account.bpf.h"
#include "learn.bpf.h"
#include "ask.bpf.h"
#include "record.bpf.h"
#include "move.bpf.h"
#include "latency.bpf.h"
#include "partner.bpf.h"
#include "place.bpf.h"
#include "push.bpf.h"
#include "pull.bpf.h"
#include "queue.bpf.h"
#include "pass.bpf.h"
#include "task.bpf.h"
#include "machine.bpf.h"
#include "hotplug.bpf.h"
#include "refill.bpf.h"

char _license[] SEC("license") = "GPL";

UEI_DEFINE(uei);

s32 BPF_STRUCT_OPS(toll_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	const struct toll_policy *pol = policy();
	struct toll_cpu *me = this_cpu();
	struct toll_task *t = task_of(p);
	u32 from = cpu_llc(prev_cpu);
	bool idle = true, handed = false;
	s32 cpu;

	if (!pol || !me || !t || from == TOLL_NO_LLC)
		return prev_cpu;
	/* Both are for enqueue(): a group without budget, a task that goes home to its memory. */
	if (group_throttled(p, t) || is_sent_home(t))
		return prev_cpu;
	if (wake_flags & SCX_WAKE_FORK) {
		cpu = place_process(p, t, from);
	} else {
		cpu = toll_nr_llcs > 1 ? place_beside(p, t, from, wake_flags, pol) : -EBUSY;
		if (cpu < 0)
			cpu = handoff_cpu(p, me, from, wake_flags);
		handed = cpu == bpf_get_smp_processor_id();
		if (cpu < 0)
			cpu = place_class(p, t, TOLL_KIND_PLACE, from, pol);
		if (cpu < 0)
			cpu = place_homeward(p, t, from, pol);
	}
	if (cpu < 0)
		cpu = claim_home(p, t, TOLL_KIND_PLACE, prev_cpu, pol);
	if (cpu < 0) {
		/* Whoever comes back to a CPU that has gone begins anew, too. */
		if ((wake_flags & SCX_WAKE_FORK) || !is_online(prev_cpu))
			cpu = place_newborn(p, prev_cpu, &idle, pol);
		else
			cpu = place_away(p, t, from, pol);
	}
	if (cpu < 0)
		return prev_cpu;
	note_kind(t, TOLL_KIND_PLACE, from, cpu_llc(cpu));
	if (idle) {
		if (!handed)
			learn_begin(t, me, cpu_llc(cpu) == from, pol);
		place_on(p, t, cpu, pol);
	}
	return cpu;
}

void BPF_STRUCT_OPS(toll_enqueue, struct task_struct *p, u64 enq_flags)
{
	const struct toll_policy *pol = policy();
	struct toll_cpu *me = this_cpu();
	struct toll_task *t = task_of(p);
	s32 cpu = scx_bpf_task_cpu(p);
	struct target where;
	u32 empty;

	if (!pol || !me || !t || cpu_llc(cpu) == TOLL_NO_LLC) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	queue_del(t);
	land(t, me, cpu);
	t->enqueued_at = scx_bpf_now();
	t->claimed_at = 0;
	empty = group_throttled(p, t);
	if (empty) {
		park(p, t, empty, pol, enq_flags);
		return;
	}
	if (is_pinned(p)) {
		enqueue_pinned(p, t, me, pol, enq_flags);
		return;
	}
	where.llc = cpu_llc(cpu);
	where.cpu = -EBUSY;
	/* From a dying CPU nothing can be handed to another one: see kick(). */
	if (READ_ONCE(me->online))
		where.cpu = place_class(p, t, TOLL_KIND_PUSH, where.llc, pol);
	if (where.cpu >= 0)
		where.llc = cpu_llc(where.cpu);
	else if (READ_ONCE(me->online))
		push_choose(p, t, cpu, &where, pol);
	enqueue_at(p, t, me, pol, &where, enq_flags);
}

void BPF_STRUCT_OPS(toll_dispatch, s32 cpu, struct task_struct *prev)
{
	const struct toll_policy *pol = policy();
	struct toll_task *t = prev ? task_of(prev) : NULL;
	struct toll_cpu *me = cpu_of(cpu);
	u32 llc_id = cpu_llc(cpu);
	struct toll_llc *llc;
	bool has_own, let_go = false;
	u64 due = 0;

	if (!pol || !me || llc_id == TOLL_NO_LLC)
		return;
	has_own = turn_due(prev, t, cpu, &due, pol);
	if (pull_home(me, cpu, llc_id, has_own, due, &let_go))
		return;
	/* It is enqueued instead, and goes to the CPU for which it leaves. */
	if (has_own && t && had_better_leave(prev, t, cpu))
		return;
	if (has_own && t) {
		scx_bpf_task_set_slice(prev, t->turn_ns);
		me->deadline = due;
		llc = llc_of(llc_id);
		if (llc)
			vtime_advance(llc, t->vtime);
		return;
	}
	if (pull_outward(cpu, pol))
		return;
	/* Where a search let go of the run queue, a pinned task may have come meanwhile. */
	if ((let_go || pull_let_go()) && scx_bpf_dsq_move_to_local(dsq_cpu(cpu), 0))
		return;
	look_again(me, cpu, llc_id);
}

void BPF_STRUCT_OPS(toll_runnable, struct task_struct *p, u64 enq_flags)
{
	struct toll_cpu *me = this_cpu();
	struct toll_task *t = task_of(p);

	if (!me || !t)
		return;
	if (enq_flags & SCX_ENQ_WAKEUP) {
		t->run_ns = 0;
		demand_sleep(t, scx_bpf_now());
		me->nr_wakes++;
	}
	group_enter(p, t);
}

void BPF_STRUCT_OPS(toll_running, struct task_struct *p)
{
	const struct toll_policy *pol = policy();
	s32 cpu = scx_bpf_task_cpu(p);
	struct toll_cpu *on = cpu_of(cpu);
	struct toll_task *t = task_of(p);
	u32 llc_id = cpu_llc(cpu);
	struct toll_llc *llc = llc_of(llc_id);
	u64 now = scx_bpf_now();

	if (!pol || !on || !t || !llc)
		return;
	queue_del(t);
	idle_set(on, 0);
	on->looked_again = 0;
	if (t->enqueued_at) {
		count_wait(on, time_delta(now, t->enqueued_at));
		t->enqueued_at = 0;
	}
	vtime_to_queue(p, t, llc_id, pol);
	vtime_advance(llc, t->vtime);
	taken_set(on, 0);
	on->deadline = t->deadline;
	on->handed = 0;
	touch_left(p, t, llc_id);
	warm_enter(t, llc_id, llc);
	learn_end(t, cpu, llc_id);
	land(t, on, cpu);
	if (t->home_node == TOLL_NO_NODE)
		settle(p, t, llc_id, now);
	t->started_at = now;
	t->on_cpu = 1;
	judge_move(p, t, on, cpu, now);
	slice_begin(on, now);
	run_begin(on, llc, now + toll_expect_turn(t->avg_run_ns, t->run_ns, p->scx.slice));
}

void BPF_STRUCT_OPS(toll_stopping, struct task_struct *p, bool runnable)
{
	const struct toll_policy *pol = policy();
	s32 cpu = scx_bpf_task_cpu(p);
	struct toll_cpu *on = cpu_of(cpu);
	struct toll_task *t = task_of(p);
	u64 now = scx_bpf_now();
	struct toll_llc *llc;

	if (!pol || !on || !t || !t->on_cpu)
		return;
	t->on_cpu = 0;
	slice_end(p, on, cpu, now);
	charge(p, t, now, pol);
	llc = llc_of(t->llc);
	if (llc)
		run_end(on, llc);
}

void BPF_STRUCT_OPS(toll_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct toll_task *t = task_of(p);

	if (!t)
		return;
	queue_del(t);
	weight_del(t);
	group_leave(t);
	t->enqueued_at = 0;
	if (deq_flags & SCX_DEQ_SLEEP) {
		t->avg_run_ns = toll_average(t->avg_run_ns, t->run_ns);
		t->slept_at = scx_bpf_now();
	}
}

void BPF_STRUCT_OPS(toll_tick, struct task_struct *p)
{
	const struct toll_policy *pol = policy();
	s32 cpu = scx_bpf_task_cpu(p);
	struct toll_cpu *me = cpu_of(cpu);
	struct toll_task *t = task_of(p);
	u64 now = scx_bpf_now();
	struct toll_llc *llc;

	if (!pol || !me || !t || !t->on_cpu)
		return;
	charge(p, t, now, pol);
	slice_piece(p, me, cpu, now);
	llc = llc_of(t->llc);
	if (!llc)
		return;
	if (me->end_at && time_after(now, me->end_at))
		run_extend(me, llc, now + toll_expect_turn(t->avg_run_ns, t->run_ns, p->scx.slice));
	if (group_throttled(p, t) || is_sent_home(t) || had_better_leave(p, t, cpu))
		scx_bpf_task_set_slice(p, 0);
	handoff_check(p, me);
	look_outward(t->llc, now, pol);
}

/*
 * Count the CPU idle first and look at its queues after it, while enqueue_at()
 * counts the task first and looks for an idle CPU after it: one of the two
 * sees the other.
 */
void BPF_STRUCT_OPS(toll_update_idle, s32 cpu, bool idle)
{
	struct toll_cpu *me = cpu_of(cpu);
	struct toll_llc *llc;

	if (!me)
		return;
	/* A dying CPU goes idle once more. */
	if (!READ_ONCE(me->online))
		return;
	idle_set(me, idle);
	if (!idle)
		return;
	llc = llc_of(me->llc);
	if ((llc && READ_ONCE(llc->nr_queued)) || scx_bpf_dsq_nr_queued(dsq_cpu(cpu)) > 0)
		kick(cpu, SCX_KICK_IDLE);
}

/*
 * A real-time or deadline task has taken the CPU: its LLC has one less, and what
 * was already handed to it goes through enqueue() again, and may go elsewhere.
 */
void BPF_STRUCT_OPS(toll_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	struct toll_cpu *c = cpu_of(cpu);

	if (c)
		taken_set(c, 1);
	scx_bpf_reenqueue_local();
}

/* The CPU is ours again. */
void BPF_STRUCT_OPS(toll_cpu_acquire, s32 cpu, struct scx_cpu_acquire_args *args)
{
	struct toll_cpu *c = cpu_of(cpu);

	if (c)
		taken_set(c, 0);
}

s32 BPF_STRUCT_OPS_SLEEPABLE(toll_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct toll_task *t;

	t = bpf_task_storage_get(&toll_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t)
		return -ENOMEM;
	task_begin(t);
	if (bpf_core_field_exists(args->cgroup))
		t->group = slot_of(cgroup_id(args->cgroup));
	return 0;
}

/* @p enters this scheduler: it starts at the present of its LLC's virtual clock. */
void BPF_STRUCT_OPS(toll_enable, struct task_struct *p)
{
	struct toll_task *t = task_of(p);
	struct toll_llc *llc;
	u32 llc_id = cpu_llc(scx_bpf_task_cpu(p));

	if (!t)
		return;
	t->llc = llc_id;
	llc = llc_of(llc_id);
	if (llc)
		t->vtime = READ_ONCE(llc->vtime_now);
}

/* @p leaves for another class or for good: whatever it was counted in must not keep it. */
void BPF_STRUCT_OPS(toll_disable, struct task_struct *p)
{
	struct toll_task *t = task_of(p);

	if (t)
		forget(t);
}

void BPF_STRUCT_OPS(toll_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	struct toll_task *t = task_of(p);

	if (t)
		forget(t);
}

s32 BPF_STRUCT_OPS_SLEEPABLE(toll_init)
{
	u32 llc, cpu;
	s32 err;

	bpf_for(llc, 0, toll_nr_llcs + 1) {
		err = llc < toll_nr_llcs ? init_llc(llc) : 0;
		if (!err)
			err = init_mask(llc);
		if (err)
			return err;
	}
	bpf_for(cpu, 0, toll_nr_cpu_ids) {
		err = init_cpu(cpu);
		if (err)
			return err;
	}
	return pass_start();
}

/* Bring every LLC's wait_ns up to date; run by user space before it reads them. */
SEC("syscall")
int toll_read_waits(void *unused)
{
	const struct toll_policy *pol = policy();
	struct toll_llc *llc;
	u32 i;

	if (!pol)
		return -ENOENT;
	bpf_for(i, 0, toll_nr_llcs) {
		llc = llc_of(i);
		if (llc)
			WRITE_ONCE(llc->wait_ns, toll_wait_in(i, 0, false, pol));
	}
	return 0;
}

void BPF_STRUCT_OPS(toll_dump, struct scx_dump_ctx *dctx)
{
	const struct toll_policy *pol = policy();
	struct toll_llc *llc;
	u32 i;

	bpf_for(i, 0, toll_nr_llcs) {
		llc = llc_of(i);
		if (llc)
			scx_bpf_dump("LLC%u: wait %llu ns, queued %llu tasks %llu ns, running %llu, idle %llu",
				     i, toll_wait_in(i, 0, false, pol), llc->nr_queued,
				     llc->queued_ns, llc->nr_running, llc->nr_idle);
	}
}

void BPF_STRUCT_OPS(toll_exit, struct scx_exit_info *ei)
{
	UEI_RECORD(uei, ei);
}

SCX_OPS_DEFINE(toll_ops,
	       .select_cpu		= (void *)toll_select_cpu,
	       .enqueue			= (void *)toll_enqueue,
	       .dispatch		= (void *)toll_dispatch,
	       .runnable		= (void *)toll_runnable,
	       .running			= (void *)toll_running,
	       .stopping		= (void *)toll_stopping,
	       .quiescent		= (void *)toll_quiescent,
	       .tick			= (void *)toll_tick,
	       .update_idle		= (void *)toll_update_idle,
	       .cpu_release		= (void *)toll_cpu_release,
	       .cpu_acquire		= (void *)toll_cpu_acquire,
	       .cpu_online		= (void *)toll_cpu_online,
	       .cpu_offline		= (void *)toll_cpu_offline,
	       .init_task		= (void *)toll_init_task,
	       .exit_task		= (void *)toll_exit_task,
	       .enable			= (void *)toll_enable,
	       .disable			= (void *)toll_disable,
	       .cgroup_init		= (void *)toll_cgroup_init,
	       .cgroup_exit		= (void *)toll_cgroup_exit,
	       .cgroup_move		= (void *)toll_cgroup_move,
	       .cgroup_set_weight	= (void *)toll_cgroup_set_weight,
	       .cgroup_set_bandwidth	= (void *)toll_cgroup_set_bandwidth,
	       .init			= (void *)toll_init,
	       .exit			= (void *)toll_exit,
	       .dump			= (void *)toll_dump,
	       .flags			= SCX_OPS_KEEP_BUILTIN_IDLE | SCX_OPS_ENQ_LAST |
				  SCX_OPS_ENQ_MIGRATION_DISABLED,
	       .timeout_ms		= 30000,
	       .name			= "toll");
