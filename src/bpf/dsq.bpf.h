/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dsq.bpf.h - the queues, and the typed ids that name them.
 *
 *   63      48       32                 0
 *   +--------+--------+-----------------+
 *   |   0    |  type  |      index      |
 *   +--------+--------+-----------------+
 *     type 1: the shared queue of an LLC, by LLC number
 *     type 2: the queue of a CPU, for tasks that cannot leave it
 *     type 3: where tasks of a cgroup are parked that has used up its cpu.max,
 *             by its slot; no CPU serves it
 *
 * The first two are ordered by virtual deadline on the clock of the LLC, so
 * their heads can be compared. Bit 63 stays 0: it marks the kernel's own DSQs.
 */
#ifndef TOLL_DSQ_BPF_H
#define TOLL_DSQ_BPF_H

enum toll_dsq_type {
	TOLL_DSQ_LLC = 1,
	TOLL_DSQ_CPU = 2,
	TOLL_DSQ_PARKED = 3,
};

#define TOLL_DSQ_TYPE_SHIFT 32

_Static_assert(TOLL_MAX_CPUS <= (1U << 31) && TOLL_MAX_LLCS <= (1U << 31),
	       "an index must fit below the type");

static __always_inline u64 dsq_llc(u32 llc)
{
	return (u64)TOLL_DSQ_LLC << TOLL_DSQ_TYPE_SHIFT | llc;
}

static __always_inline u64 dsq_cpu(s32 cpu)
{
	return (u64)TOLL_DSQ_CPU << TOLL_DSQ_TYPE_SHIFT | (u32)cpu;
}

static __always_inline u64 dsq_parked(u32 group)
{
	return (u64)TOLL_DSQ_PARKED << TOLL_DSQ_TYPE_SHIFT | group;
}

/*
 * Virtual deadline of the first task of @dsq; false when there is none. A
 * function of its own: an iterator, where the kernel cannot peek, takes stack.
 */
__noinline bool dsq_head_deadline(u64 dsq, u64 *deadline)
{
	struct task_struct *p;

	if (!deadline)
		return false;
	p = __COMPAT_scx_bpf_dsq_peek(dsq);
	if (!p)
		return false;
	*deadline = p->scx.dsq_vtime;
	return true;
}

#endif /* TOLL_DSQ_BPF_H */
