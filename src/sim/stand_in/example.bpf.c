/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * example.bpf.c - a scheduler for `scx_toll simulate --scheduler`: of two CPUs
 * drawn at random, a waking task joins the shorter queue, and stays there.
 *
 *   cc -O2 -shared -fPIC -fvisibility=hidden -w -I src/sim/stand_in \
 *      -o /tmp/example.so src/sim/stand_in/example.bpf.c
 *   scx_toll simulate --scheduler /tmp/example.so --scenario open
 */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

/* Tasks that wait or run on each CPU. */
u32 example_load[SIM_MAX_CPUS];

s32 BPF_STRUCT_OPS(example_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	u32 nr = scx_bpf_nr_cpu_ids(), a, b;

	if (nr < 2)
		return prev_cpu;
	a = bpf_get_prandom_u32() % nr;
	b = (a + 1 + bpf_get_prandom_u32() % (nr - 1)) % nr;
	if (example_load[b] < example_load[a])
		a = b;
	return bpf_cpumask_test_cpu(a, p->cpus_ptr) ? (s32)a : prev_cpu;
}

/* It belongs to the run queue that was chosen. */
void BPF_STRUCT_OPS(example_runnable, struct task_struct *p, u64 enq_flags)
{
	example_load[scx_bpf_task_cpu(p)]++;
}

void BPF_STRUCT_OPS(example_quiescent, struct task_struct *p, u64 deq_flags)
{
	example_load[scx_bpf_task_cpu(p)]--;
}

/* Whoever has begun goes on until it sleeps: first come, first served. */
void BPF_STRUCT_OPS(example_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	scx_bpf_dsq_insert(p, cpu, SCX_SLICE_INF, enq_flags);
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void BPF_STRUCT_OPS(example_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(cpu, 0);
}

s32 BPF_STRUCT_OPS_SLEEPABLE(example_init)
{
	u32 cpu;
	s32 err;

	bpf_for(cpu, 0, scx_bpf_nr_cpu_ids()) {
		err = scx_bpf_create_dsq(cpu, -1);
		if (err)
			return err;
	}
	return 0;
}

SCX_OPS_DEFINE(example_ops,
	       .select_cpu	= (void *)example_select_cpu,
	       .runnable	= (void *)example_runnable,
	       .quiescent	= (void *)example_quiescent,
	       .enqueue		= (void *)example_enqueue,
	       .dispatch	= (void *)example_dispatch,
	       .init		= (void *)example_init,
	       .name		= "example");
