/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * state.bpf.h - the maps, the constants set before load, and how to reach them.
 *
 * Ownership of each field is in intf.h. Everything here is reached by an array
 * index or through task storage; there is no lock of our own anywhere in the
 * BPF half.
 */
#ifndef TOLL_STATE_BPF_H
#define TOLL_STATE_BPF_H

#define TOLL_NO_LLC TOLL_MAX_LLCS
#define TOLL_NO_NODE TOLL_MAX_NODES

/* The machine. Set by sched.rs before load, constant from then on. */
const volatile u32 toll_nr_llcs = 1;
const volatile u32 toll_nr_cpu_ids = 1;
const volatile u32 toll_nr_cpus = 1;			/* CPUs in the mask of a task that may use all */
const volatile u8 toll_llc_node[TOLL_MAX_LLCS];
const volatile u8 toll_llc_cache[TOLL_MAX_LLCS];	/* parts of one cache have the same */
const volatile u32 toll_little_q10 = 0;			/* capacity of a little core; 0: all are of one class */
const volatile u32 toll_slower_pm = 0;			/* extra run time there of what ran on a big one */
const volatile u64 toll_class_hold_ns = 100000000;	/* demand beyond a threshold for so long changes the class */
const volatile u16 toll_llc_q10[TOLL_MAX_LLCS];		/* capacity of each of its cores */
const volatile bool toll_has_smt = false;		/* some core has several threads */
/* Row i: the other LLCs, nearest first; toll_nr_llcs - 1 entries are used. */
const volatile u8 toll_outward[TOLL_MAX_LLCS][TOLL_MAX_LLCS];

/*
 * CPUs, also those that come later: user space fills in what it did not know at
 * the start once they are online.
 */
u16 toll_cpu_llc[TOLL_MAX_CPUS];	/* TOLL_NO_LLC: not known (yet) */
u16 toll_cpu_capacity[TOLL_MAX_CPUS];	/* of its core */
u16 toll_cpu_sibling[TOLL_MAX_CPUS];	/* next thread of its core, in a ring; TOLL_MAX_CPUS: none */
/* Most threads of a core that are looked at. */
#define TOLL_MAX_THREADS 8
u64 toll_hotplugs;			/* CPUs that went or came */
u64 toll_strangers;			/* ... that came and belong to no LLC yet */
u64 toll_nr_left;			/* tasks that left a queue which no CPU served any more */

/* For tests: compare the policy's seal before and after every decision (check.bpf.h). */
const volatile bool toll_check_policy = false;

/* For tests: LLCs hand no task away, or CPUs fetch none from another LLC. */
const volatile bool toll_no_push = false;
const volatile bool toll_no_pull = false;

/* For tests: extra time by enum toll_distance before a task runs (learn.bpf.h). */
const volatile bool toll_inject = false;
const volatile u64 toll_inject_ns[TOLL_NR_DISTANCES];

/* This program itself: no limit of a cgroup holds it up. */
const volatile s32 toll_tgid;

const volatile struct toll_names toll_names;	/* for its BTF only */

/* Bumped by the policy writer after it has written half version % 2. */
u64 toll_policy_version;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, struct toll_policy);
} toll_policies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TOLL_MAX_LLCS);	/* resized to the machine before load */
	__type(key, u32);
	__type(value, struct toll_llc);
} toll_llcs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TOLL_MAX_CPUS);	/* resized to the machine before load */
	__type(key, u32);
	__type(value, struct toll_cpu);
} toll_cpus SEC(".maps");

/* Row from, column to, nr_llcs each way; resized to the machine before load. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct toll_gate);
} toll_gates SEC(".maps");

/* The same shape as toll_gates: what moved. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct toll_pair);
} toll_pairs SEC(".maps");

/* The LLCs' homes, then the nodes'. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TOLL_MAX_LLCS + TOLL_MAX_NODES);
	__type(key, u32);
	__type(value, struct toll_home);
} toll_homes SEC(".maps");

struct toll_mask {
	struct bpf_cpumask __kptr *cpus;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TOLL_MAX_LLCS + 1);	/* the last: all CPUs that are online */
	__type(key, u32);
	__type(value, struct toll_mask);
} toll_masks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct toll_task);
} toll_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TOLL_MAX_GROUPS);
	__type(key, u32);
	__type(value, struct toll_group);
} toll_groups SEC(".maps");

/* Slot of each cgroup, by its id. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4 * TOLL_MAX_GROUPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, u32);
} toll_group_slots SEC(".maps");

/*
 * The policy in force. A callback calls this once and hands the pointer on, so
 * that no decision mixes two versions. The pointer is good until the RCU read
 * section ends: every callback that is not sleepable runs inside one, and the
 * writer waits for all of them before it writes this half again.
 */
static __always_inline const struct toll_policy *policy(void)
{
	u32 half = READ_ONCE(toll_policy_version) & 1;

	return bpf_map_lookup_elem(&toll_policies, &half);
}

static __always_inline struct toll_llc *llc_of(u32 llc)
{
	return bpf_map_lookup_elem(&toll_llcs, &llc);
}

/* State of @cpu, NULL beyond the machine. */
static __always_inline struct toll_cpu *cpu_of(s32 cpu)
{
	u32 key = cpu;

	return bpf_map_lookup_elem(&toll_cpus, &key);
}

/* The entry whose counters the executing CPU owns. */
static __always_inline struct toll_cpu *this_cpu(void)
{
	return cpu_of(bpf_get_smp_processor_id());
}

static __always_inline bool is_online(s32 cpu)
{
	struct toll_cpu *c = cpu_of(cpu);

	return c && READ_ONCE(c->online);
}

/*
 * Wake @cpu, or with SCX_KICK_PREEMPT end the turn there. Not from a CPU that is
 * going offline, which still wakes tasks when it can serve no interrupt any
 * more: the kick would stay in its list for ever, even when it has come back,
 * and the kernel would wait for it when the scheduler ends. What waits is found
 * by the timer (pass.bpf.h: note_served).
 */
static __always_inline void kick(s32 cpu, u64 flags)
{
	if (is_online(bpf_get_smp_processor_id()))
		scx_bpf_kick_cpu(cpu, flags);
}

static __always_inline struct toll_task *task_of(struct task_struct *p)
{
	return bpf_task_storage_get(&toll_tasks, p, 0, 0);
}

/* The cgroup in @slot; slot 0 is the root. */
static __always_inline struct toll_group *group_of(u32 slot)
{
	return bpf_map_lookup_elem(&toll_groups, &slot);
}

/* LLC of @cpu; TOLL_NO_LLC for a CPU that was offline at the start and is not adopted yet. */
static __always_inline u32 cpu_llc(s32 cpu)
{
	return toll_cpu_llc[cpu & (TOLL_MAX_CPUS - 1)];
}

static __always_inline u32 llc_node(u32 llc)
{
	return toll_llc_node[llc & (TOLL_MAX_LLCS - 1)];
}

/* The @rank-th nearest other LLC. */
static __always_inline u32 outward(u32 llc, u32 rank)
{
	return toll_outward[llc & (TOLL_MAX_LLCS - 1)][rank & (TOLL_MAX_LLCS - 1)];
}

static __always_inline u32 level_of(u32 from, u32 to)
{
	if (from == to)
		return TOLL_LEVEL_CORE;
	return llc_node(from) == llc_node(to) ? TOLL_LEVEL_LLC : TOLL_LEVEL_NODE;
}

/*
 * The level at which a move is priced: parts of one cache are as near as two
 * cores of it, though a search meets them as LLCs of the same node.
 */
static __always_inline u32 price_level(u32 from, u32 to)
{
	if (toll_llc_cache[from & (TOLL_MAX_LLCS - 1)] == toll_llc_cache[to & (TOLL_MAX_LLCS - 1)])
		return TOLL_LEVEL_CORE;
	return level_of(from, to);
}

static __always_inline struct toll_gate *gate_of(u32 from, u32 to)
{
	u32 key = from * toll_nr_llcs + to;

	return bpf_map_lookup_elem(&toll_gates, &key);
}

static __always_inline struct toll_pair *pair_of(u32 from, u32 to)
{
	u32 key = from * toll_nr_llcs + to;

	return bpf_map_lookup_elem(&toll_pairs, &key);
}

/* The online CPUs of @llc (of all for toll_nr_llcs), NULL before init has made them. Valid under RCU. */
static __always_inline const struct cpumask *llc_cpus(u32 llc)
{
	struct toll_mask *mask = bpf_map_lookup_elem(&toll_masks, &llc);

	return mask ? cast_mask(mask->cpus) : NULL;
}

/* Return true if @p may use some CPU of @llc. */
static __always_inline bool may_use(struct task_struct *p, u32 llc)
{
	const struct cpumask *cpus;

	if (p->nr_cpus_allowed >= toll_nr_cpus)
		return true;
	cpus = llc_cpus(llc);
	return cpus && bpf_cpumask_intersects(cpus, p->cpus_ptr);
}

/* Return true if @p cannot leave its CPU now. */
static __always_inline bool is_pinned(struct task_struct *p)
{
	return p->nr_cpus_allowed == 1 || is_migration_disabled(p);
}

#endif /* TOLL_STATE_BPF_H */
