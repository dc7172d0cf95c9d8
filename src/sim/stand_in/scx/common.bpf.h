/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * common.bpf.h - the kernel as a scheduler's BPF source sees it, for the host.
 *
 * A scheduler that is written against <scx/common.bpf.h> compiles with this
 * header into a shared object that `scx_toll simulate` drives:
 *
 *   cc -O2 -shared -fPIC -fvisibility=hidden -I src/sim/stand_in -o sched.so sched.bpf.c
 *
 * 1. types of the kernel, as far as schedulers look into them
 * 2. struct sim_host: what the simulator offers, and what it writes before each callback
 * 3. maps, made when they are first used, of the size that they declare
 * 4. CPU masks, iterators, helpers
 * 5. kfuncs, which call the simulator
 * 6. SCX_OPS_DEFINE: what the object exports
 *
 * One thread runs it all, so atomics are plain, and RCU is nothing. The layouts
 * of sections 1 and 2 stand a second time in src/sim/abi.rs; SIM_ABI changes with them.
 */
#ifndef SIM_COMMON_BPF_H
#define SIM_COMMON_BPF_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define __VMLINUX_H__
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
typedef u32 __u32;
typedef u64 __u64;
typedef s32 __s32;

/* What is constant for a BPF program is set before it is loaded: by the simulator, in memory. */
#define const

#define SEC(name)
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))
#define __weak __attribute__((weak))
#define __arg_trusted
#define __kptr
#define __ksym
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define READ_ONCE(x) (*(volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, to) (*(volatile typeof(x) *)&(x) = (to))
#define barrier_var(x) asm volatile("" : "+r"(x))

#define __sync_fetch_and_add(at, by) \
	({ typeof(*(at)) __old = *(at); *(at) = __old + (by); __old; })
#define __sync_fetch_and_sub(at, by) \
	({ typeof(*(at)) __old = *(at); *(at) = __old - (by); __old; })
#define __sync_lock_test_and_set(at, to) \
	({ typeof(*(at)) __old = *(at); *(at) = (to); __old; })
#define __sync_val_compare_and_swap(at, from, to) \
	({ typeof(*(at)) __old = *(at); if (__old == (from)) *(at) = (to); __old; })

/* ---- 1. types of the kernel ------------------------------------------------------------------- */

#define SIM_ABI 1U
/* CPUs that a mask has room for. */
#define SIM_MAX_CPUS 4096
#define SIM_MASK_WORDS (SIM_MAX_CPUS / 64)
/* Maps of type task storage that one scheduler may have. */
#define SIM_STORAGES 4
/* Objects with fields that are found by their offset lie at a multiple of this. */
#define SIM_ALIGN 4096

struct cpumask {
	u64 bits[SIM_MASK_WORDS];
};

struct bpf_cpumask {
	struct cpumask cpumask;
};

struct percpu_counter {
	s64 count;
};

enum { MM_FILEPAGES, MM_ANONPAGES, MM_SWAPENTS, MM_SHMEMPAGES, NR_MM_COUNTERS };

struct mm_struct {
	struct percpu_counter rss_stat[NR_MM_COUNTERS];
};

struct kernfs_node {
	u64 id;
};

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	s32 level;
	s32 pad;
	struct cgroup *ancestors[16];
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct sched_ext_entity {
	u64 slice;
	u64 dsq_vtime;
	u32 weight;
	u32 flags;
};

struct task_struct {
	struct sched_ext_entity scx;
	s32 pid;
	s32 tgid;
	u32 flags;
	s32 nr_cpus_allowed;
	u32 migration_disabled;
	s32 cpu;	/* the run queue that it belongs to */
	struct cpumask *cpus_ptr;
	struct mm_struct *mm;
	struct task_struct *group_leader;
	struct css_set *cgroups;
	char comm[16];
	void *storage[SIM_STORAGES];
	u64 index;	/* the simulator's number of it */
};

#define PF_IDLE 0x00000002
#define PF_EXITING 0x00000004
#define PF_KTHREAD 0x00200000

enum {
	SCX_SLICE_DFL = 20 * 1000 * 1000,
	SCX_WAKE_FORK = 0x04,
	SCX_WAKE_TTWU = 0x08,
	SCX_WAKE_SYNC = 0x10,
	SCX_DEQ_SLEEP = 1,
	SCX_TASK_QUEUED = 1,
	SCX_PICK_IDLE_CORE = 1,
	SCX_KICK_IDLE = 1,
	SCX_KICK_PREEMPT = 2,
	SCX_KICK_WAIT = 4,
	SCX_OPS_KEEP_BUILTIN_IDLE = 1,
	SCX_OPS_ENQ_LAST = 2,
	SCX_OPS_ENQ_EXITING = 4,
	SCX_OPS_SWITCH_PARTIAL = 8,
	SCX_OPS_ENQ_MIGRATION_DISABLED = 16,
};

#define SCX_SLICE_INF (~0ULL)
#define SCX_DSQ_FLAG_BUILTIN (1ULL << 63)
#define SCX_DSQ_GLOBAL (SCX_DSQ_FLAG_BUILTIN | 1)
#define SCX_DSQ_LOCAL (SCX_DSQ_FLAG_BUILTIN | 2)
#define SCX_DSQ_LOCAL_ON (SCX_DSQ_FLAG_BUILTIN | 1ULL << 62)
#define SCX_ENQ_WAKEUP 1ULL
#define SCX_ENQ_HEAD 16ULL
#define SCX_ENQ_PREEMPT (1ULL << 32)
#define SCX_ENQ_REENQ (1ULL << 40)
#define SCX_ENQ_LAST (1ULL << 41)

struct scx_cpu_acquire_args {
	u64 pad;
};

struct scx_cpu_release_args {
	u64 pad;
};

struct scx_init_task_args {
	bool fork;
	struct cgroup *cgroup;
};

struct scx_exit_task_args {
	bool cancelled;
};

struct scx_cgroup_init_args {
	u32 weight;
	u64 bw_period_us;
	u64 bw_quota_us;
	u64 bw_burst_us;
};

struct scx_exit_info {
	s32 kind;
	s64 exit_code;
	char *reason;
	char *msg;
};

struct scx_dump_ctx {
	u64 pad;
};

struct sched_ext_ops {
	s32 (*select_cpu)(struct task_struct *p, s32 prev_cpu, u64 wake_flags);
	void (*enqueue)(struct task_struct *p, u64 enq_flags);
	void (*dequeue)(struct task_struct *p, u64 deq_flags);
	void (*dispatch)(s32 cpu, struct task_struct *prev);
	void (*tick)(struct task_struct *p);
	void (*runnable)(struct task_struct *p, u64 enq_flags);
	void (*running)(struct task_struct *p);
	void (*stopping)(struct task_struct *p, bool runnable);
	void (*quiescent)(struct task_struct *p, u64 deq_flags);
	void (*set_weight)(struct task_struct *p, u32 weight);
	void (*set_cpumask)(struct task_struct *p, struct cpumask *cpumask);
	void (*update_idle)(s32 cpu, bool idle);
	void (*cpu_acquire)(s32 cpu, struct scx_cpu_acquire_args *args);
	void (*cpu_release)(s32 cpu, struct scx_cpu_release_args *args);
	s32 (*init_task)(struct task_struct *p, struct scx_init_task_args *args);
	void (*exit_task)(struct task_struct *p, struct scx_exit_task_args *args);
	void (*enable)(struct task_struct *p);
	void (*disable)(struct task_struct *p);
	void (*dump)(struct scx_dump_ctx *ctx);
	s32 (*cgroup_init)(struct cgroup *cgrp, struct scx_cgroup_init_args *args);
	void (*cgroup_exit)(struct cgroup *cgrp);
	void (*cgroup_move)(struct task_struct *p, struct cgroup *from, struct cgroup *to);
	void (*cgroup_set_weight)(struct cgroup *cgrp, u32 weight);
	void (*cgroup_set_bandwidth)(struct cgroup *cgrp, u64 period_us, u64 quota_us, u64 burst_us);
	void (*cpu_online)(s32 cpu);
	void (*cpu_offline)(s32 cpu);
	s32 (*init)(void);
	void (*exit)(struct scx_exit_info *info);
	u64 flags;
	u32 timeout_ms;
	char name[128];
};

/* ---- 2. the simulator ------------------------------------------------------------------------- */

struct bpf_iter_scx_dsq {
	u64 dsq_id;
	u64 until_seq;	/* tasks queued later are not seen */
	s64 key;	/* where the iteration is */
	u64 seq;
	u64 slice;
	u64 vtime;
	u32 begun;
	u32 has;	/* SIM_HAS_*: set for the next move */
};

#define SIM_HAS_SLICE 1
#define SIM_HAS_VTIME 2

struct bpf_timer {
	void *map;
	int (*callback)(void *map, u32 *key, void *value);
	u64 started;	/* how often: an expiry of an earlier start means nothing */
};

struct sim_host {
	u32 abi;
	s32 cpu;			/* that executes the callback */
	u64 clock;			/* of that CPU, ns */
	u64 random;			/* state of bpf_get_prandom_u32(), never 0 */
	struct task_struct *current;	/* that runs there; a task of pid 0 when it is idle */
	u32 nr_cpu_ids;
	u32 mask_words;			/* of a mask that can be anything but 0 */
	u32 *distribute;		/* by CPU: where cpumask_any_distribute() was last */
	struct cpumask *idle_cpus;
	struct cpumask *idle_cores;
	void *kernel;			/* first argument of all below */

	void (*error)(void *kernel, char *what);
	s32 (*select_cpu_and)(void *kernel, struct task_struct *p, s32 prev_cpu, u64 wake_flags,
			      struct cpumask *allowed, u64 flags);
	bool (*test_and_clear_idle)(void *kernel, s32 cpu);
	s32 (*pick_idle)(void *kernel, struct cpumask *allowed, u64 flags);
	void (*kick)(void *kernel, s32 cpu, u64 flags);
	s32 (*create_dsq)(void *kernel, u64 id);
	void (*destroy_dsq)(void *kernel, u64 id);
	s32 (*nr_queued)(void *kernel, u64 id);
	void (*insert)(void *kernel, struct task_struct *p, u64 id, u64 slice, u64 vtime,
		       u64 enq_flags, bool by_vtime);
	bool (*move_to_local)(void *kernel, u64 id);
	bool (*move)(void *kernel, struct bpf_iter_scx_dsq *it, struct task_struct *p, u64 id,
		     u64 enq_flags, bool by_vtime);
	void (*iterate)(void *kernel, struct bpf_iter_scx_dsq *it, u64 id);
	struct task_struct *(*next)(void *kernel, struct bpf_iter_scx_dsq *it);
	struct task_struct *(*peek)(void *kernel, u64 id);
	u32 (*reenqueue_local)(void *kernel);
	struct task_struct *(*task_from_pid)(void *kernel, s32 pid);
	s64 (*start_timer)(void *kernel, struct bpf_timer *timer, u64 ns);
	s64 (*ring)(void *kernel, void *data, u64 size);
};

static struct sim_host *sim;

/* ---- 3. maps ---------------------------------------------------------------------------------- */

#define __uint(name, number) int (*name)[number]
#define __type(name, what) typeof(what) *name
#define __array(name, what) typeof(what) *name[]

enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};

#define BPF_ANY 0
#define BPF_NOEXIST 1
#define BPF_EXIST 2
#define BPF_F_NO_PREALLOC 1
#define BPF_LOCAL_STORAGE_GET_F_CREATE 1
#define BPF_RB_NO_WAKEUP 1
#define BPF_F_CURRENT_CPU 0xffffffffULL

/* A declared geometry is a pointer to an array of so many integers. */
#define SIM_GEOMETRY(field) ((u64)(sizeof(*(field)) / sizeof(int)))

/*
 * What a map is declared by are pointers that nobody reads: `value` holds its
 * storage, `max_entries` its size once it is another than the declared one (and
 * one more than the slot in struct task_struct for task storage).
 */
struct sim_map {
	u64 type;
	u64 max;
	u64 key_size;
	u64 value_size;
	void **base;
	void **size;
};

#define SIM_MAP(map)								\
	((struct sim_map){							\
		.type = SIM_GEOMETRY((map)->type),				\
		.max = SIM_GEOMETRY((map)->max_entries),			\
		.key_size = sizeof(*(map)->key),				\
		.value_size = sizeof(*(map)->value),				\
		.base = (void **)&(map)->value,					\
		.size = (void **)&(map)->max_entries,				\
	})

static __always_inline u64 sim_map_max(struct sim_map m)
{
	return *m.size ? (u64)(uintptr_t)*m.size : m.max;
}

/* One entry of a hash map: 1 while it is used, the key, the value. */
static __always_inline u64 sim_key_room(struct sim_map m)
{
	return 8 + (m.key_size + 7) / 8 * 8;
}

static __always_inline u64 sim_entry_size(struct sim_map m)
{
	return sim_key_room(m) + (m.value_size + 7) / 8 * 8;
}

static __noinline void *sim_map_make(struct sim_map m)
{
	u64 nr = sim_map_max(m), size = m.value_size;

	if (m.type == BPF_MAP_TYPE_PERCPU_ARRAY)
		nr *= sim->nr_cpu_ids;
	if (m.type == BPF_MAP_TYPE_HASH || m.type == BPF_MAP_TYPE_LRU_HASH)
		size = sim_entry_size(m);
	*m.base = calloc(nr ? nr : 1, size ? size : 1);
	if (!*m.base)
		abort();
	return *m.base;
}

/* The entry of @key in a hash map; a free one if @make, and it is not there. */
static __noinline char *sim_hash_find(struct sim_map m, void *key, bool make)
{
	char *base = *m.base ? *m.base : sim_map_make(m), *entry, *unused = NULL;
	u64 i, hash = 1469598103934665603ULL, max = sim_map_max(m);

	for (i = 0; i < m.key_size; i++)
		hash = (hash ^ ((u8 *)key)[i]) * 1099511628211ULL;
	for (i = 0; i < max; i++) {
		entry = base + (hash + i) % max * sim_entry_size(m);
		/* 0: never used; 1: used; 2: was used. */
		if (*(u64 *)entry == 1 && !memcmp(entry + 8, key, m.key_size))
			return entry;
		if (*(u64 *)entry != 1 && !unused)
			unused = entry;
		if (!*(u64 *)entry)
			break;
	}
	if (!make || !unused)
		return NULL;
	*(u64 *)unused = 1;
	memcpy(unused + 8, key, m.key_size);
	memset(unused + sim_key_room(m), 0, m.value_size);
	return unused;
}

static __always_inline void *sim_map_lookup(struct sim_map m, void *key)
{
	char *base, *entry;
	u64 index;

	if (m.type == BPF_MAP_TYPE_HASH || m.type == BPF_MAP_TYPE_LRU_HASH) {
		entry = sim_hash_find(m, key, false);
		return entry ? entry + sim_key_room(m) : NULL;
	}
	index = *(u32 *)key;
	if (index >= sim_map_max(m))
		return NULL;
	base = likely(*m.base) ? *m.base : sim_map_make(m);
	if (m.type == BPF_MAP_TYPE_PERCPU_ARRAY)
		index = index * sim->nr_cpu_ids + sim->cpu;
	return base + index * m.value_size;
}

static __always_inline s64 sim_map_update(struct sim_map m, void *key, void *value, u64 flags)
{
	char *entry;

	if (m.type == BPF_MAP_TYPE_HASH || m.type == BPF_MAP_TYPE_LRU_HASH) {
		entry = sim_hash_find(m, key, false);
		if (entry && flags == BPF_NOEXIST)
			return -EEXIST;
		if (!entry && flags == BPF_EXIST)
			return -ENOENT;
		entry = entry ? entry : sim_hash_find(m, key, true);
		if (!entry)
			return -E2BIG;
		memcpy(entry + sim_key_room(m), value, m.value_size);
		return 0;
	}
	entry = sim_map_lookup(m, key);
	if (!entry)
		return -E2BIG;
	memcpy(entry, value, m.value_size);
	return 0;
}

static __always_inline s64 sim_map_delete(struct sim_map m, void *key)
{
	char *entry = sim_hash_find(m, key, false);

	if (!entry)
		return -ENOENT;
	*(u64 *)entry = 2;
	return 0;
}

#define bpf_map_lookup_elem(map, key) ((typeof((map)->value))sim_map_lookup(SIM_MAP(map), key))
#define bpf_map_update_elem(map, key, value, flags) sim_map_update(SIM_MAP(map), key, value, flags)
#define bpf_map_delete_elem(map, key) sim_map_delete(SIM_MAP(map), key)

static __noinline u64 sim_storage_slot(struct sim_map m)
{
	static u64 taken;

	if (!*m.size) {
		if (taken == SIM_STORAGES)
			abort();
		*m.size = (void *)(uintptr_t)++taken;
	}
	return (u64)(uintptr_t)*m.size - 1;
}

static __always_inline void *sim_storage_get(struct sim_map m, struct task_struct *p, u64 flags)
{
	u64 slot = likely(*m.size) ? (u64)(uintptr_t)*m.size - 1 : sim_storage_slot(m);

	if (unlikely(!p->storage[slot]) && (flags & BPF_LOCAL_STORAGE_GET_F_CREATE))
		p->storage[slot] = calloc(1, m.value_size);
	return p->storage[slot];
}

/* Maps of this type have no max_entries to declare. */
#define bpf_task_storage_get(map, task, init, flags)				\
	({									\
		static void *__slot;						\
		(typeof((map)->value))sim_storage_get(				\
			(struct sim_map){					\
				.value_size = sizeof(*(map)->value),		\
				.size = (void **)&(map)->map_flags,		\
				.base = &__slot,				\
			},							\
			task, flags);						\
	})

#define bpf_kptr_xchg(at, to) ({ typeof(*(at)) __old = *(at); *(at) = (to); __old; })

/* ---- 4. masks, iterators, helpers ------------------------------------------------------------- */

static __always_inline bool sim_mask_has(struct cpumask *mask, u32 cpu)
{
	return cpu < SIM_MAX_CPUS && (mask->bits[cpu / 64] >> (cpu % 64) & 1);
}

#define bpf_cpumask_test_cpu(cpu, mask) sim_mask_has((struct cpumask *)(mask), cpu)

static inline struct bpf_cpumask *bpf_cpumask_create(void)
{
	return calloc(1, sizeof(struct bpf_cpumask));
}

static inline void bpf_cpumask_release(struct bpf_cpumask *mask)
{
	free(mask);
}

static inline void bpf_cpumask_set_cpu(u32 cpu, struct bpf_cpumask *mask)
{
	if (cpu < SIM_MAX_CPUS)
		mask->cpumask.bits[cpu / 64] |= 1ULL << (cpu % 64);
}

static inline void bpf_cpumask_clear_cpu(u32 cpu, struct bpf_cpumask *mask)
{
	if (cpu < SIM_MAX_CPUS)
		mask->cpumask.bits[cpu / 64] &= ~(1ULL << (cpu % 64));
}

static inline bool bpf_cpumask_intersects(struct cpumask *a, struct cpumask *b)
{
	u32 i;

	for (i = 0; i < sim->mask_words; i++)
		if (a->bits[i] & b->bits[i])
			return true;
	return false;
}

static inline bool bpf_cpumask_empty(struct cpumask *mask)
{
	return !bpf_cpumask_intersects(mask, mask);
}

static inline bool bpf_cpumask_and(struct bpf_cpumask *to, struct cpumask *a, struct cpumask *b)
{
	u64 any = 0;
	u32 i;

	for (i = 0; i < sim->mask_words; i++)
		any |= to->cpumask.bits[i] = a->bits[i] & b->bits[i];
	return any;
}

/* The first CPU from @from on, once around, that is in both; nr_cpu_ids or more: none. */
static inline u32 sim_mask_next(struct cpumask *a, struct cpumask *b, u32 from)
{
	u32 words = sim->mask_words, i, at;
	u64 bits;

	from = from < words * 64 ? from : 0;
	for (i = 0; i <= words; i++) {
		at = (from / 64 + i) % words;
		bits = a->bits[at] & b->bits[at];
		if (!i)
			bits &= ~0ULL << (from % 64);
		else if (i == words)
			bits &= (1ULL << (from % 64)) - 1;
		if (bits)
			return at * 64 + __builtin_ctzll(bits);
	}
	return SIM_MAX_CPUS;
}

static inline u32 bpf_cpumask_first(struct cpumask *mask)
{
	return sim_mask_next(mask, mask, 0);
}

static inline u32 bpf_cpumask_any_and_distribute(struct cpumask *a, struct cpumask *b)
{
	u32 *last = &sim->distribute[sim->cpu], next = sim_mask_next(a, b, *last + 1);

	if (next < sim->nr_cpu_ids)
		*last = next;
	return next;
}

static inline u32 bpf_cpumask_any_distribute(struct cpumask *mask)
{
	return bpf_cpumask_any_and_distribute(mask, mask);
}

static inline u32 bpf_cpumask_weight(struct cpumask *mask)
{
	u32 i, nr = 0;

	for (i = 0; i < sim->mask_words; i++)
		nr += __builtin_popcountll(mask->bits[i]);
	return nr;
}

static inline struct cpumask *cast_mask(struct bpf_cpumask *mask)
{
	return (struct cpumask *)mask;
}

static inline bool is_migration_disabled(struct task_struct *p)
{
	return p->migration_disabled;
}

/* As libbpf's: the bounds are looked at once, and @i keeps the last value that it had. */
#define bpf_for(i, start, end)							\
	for (s32 __at = (s32)(start), __end = (s32)(end);			\
	     __at < __end && ((i) = __at++, 1);)

#define bpf_repeat(n) for (s32 __left = (s32)(n); __left > 0; __left--)

static __always_inline struct bpf_iter_scx_dsq sim_iter_scx_dsq_begin(u64 id, u64 flags)
{
	struct bpf_iter_scx_dsq it;

	sim->iterate(sim->kernel, &it, id);
	return it;
}

#define sim_iter_scx_dsq_next(it) sim->next(sim->kernel, it)

#define bpf_for_each(what, cur, args...)					\
	for (struct bpf_iter_##what ___it = sim_iter_##what##_begin(args);	\
	     ((cur) = sim_iter_##what##_next(&___it));)

#define BPF_FOR_EACH_ITER (&___it)

#define SIM_ARROW_1(a) a
#define SIM_ARROW_2(a, b) a->b
#define SIM_ARROW_3(a, b, c) a->b->c
#define SIM_ARROW_4(a, b, c, d) a->b->c->d
#define SIM_ARROW_5(a, b, c, d, e) a->b->c->d->e
#define SIM_ARROW_N(a, b, c, d, e, name, ...) name
#define BPF_CORE_READ(from, fields...)						\
	((from)->SIM_ARROW_N(fields, SIM_ARROW_5, SIM_ARROW_4, SIM_ARROW_3,	\
			     SIM_ARROW_2, SIM_ARROW_1, )(fields))
#define bpf_core_field_exists(field) 1
#define bpf_core_field_offset(field) ((u64)(uintptr_t)&(field) & (SIM_ALIGN - 1))

static inline s64 bpf_probe_read_kernel(void *to, u32 size, void *from)
{
	memcpy(to, from, size);
	return 0;
}

static inline s64 bpf_probe_read_kernel_str(void *to, u32 size, void *from)
{
	u64 nr = strnlen(from, size - 1);

	memcpy(to, from, nr);
	((char *)to)[nr] = 0;
	return nr + 1;
}

#define bpf_rcu_read_lock() ((void)0)
#define bpf_rcu_read_unlock() ((void)0)
#define bpf_get_smp_processor_id() (sim->cpu)
#define bpf_get_current_task_btf() (sim->current)
#define bpf_ktime_get_ns() (sim->clock)
#define bpf_printk(args...) ((void)0)
#define bpf_task_from_pid(pid) sim->task_from_pid(sim->kernel, pid)
#define bpf_task_release(p) ((void)(p))
/* The simulated CPUs have no counters. */
struct bpf_perf_event_value {
	u64 counter;
	u64 enabled;
	u64 running;
};

#define bpf_perf_event_read_value(map, cpu, value, size) ((void)(value), (s64)-ENOENT)
#define bpf_ringbuf_output(map, data, size, flags) sim->ring(sim->kernel, data, size)

static inline u32 bpf_get_prandom_u32(void)
{
	sim->random ^= sim->random << 13;
	sim->random ^= sim->random >> 7;
	sim->random ^= sim->random << 17;
	return sim->random >> 32;
}

#define bpf_timer_init(timer, of, clock) ((timer)->map = (of), (s32)0)
#define bpf_timer_set_callback(timer, function) ((timer)->callback = (void *)(function), (s32)0)
#define bpf_timer_start(timer, ns, flags) (s32) sim->start_timer(sim->kernel, timer, ns)

static inline s64 time_delta(u64 after, u64 before)
{
	return (s64)(after - before) > 0 ? (s64)(after - before) : 0;
}

static inline bool time_after(u64 a, u64 b)
{
	return (s64)(b - a) < 0;
}

static inline bool time_before(u64 a, u64 b)
{
	return time_after(b, a);
}

/* ---- 5. kfuncs -------------------------------------------------------------------------------- */

#define scx_bpf_now() (sim->clock)
#define scx_bpf_task_cpu(p) ((p)->cpu)
#define scx_bpf_task_running(p) (sim->current == (p))
#define scx_bpf_nr_cpu_ids() (sim->nr_cpu_ids)
#define scx_bpf_error(what, args...) sim->error(sim->kernel, what)
#define scx_bpf_dump(args...) ((void)0)
#define scx_bpf_kick_cpu(cpu, flags) sim->kick(sim->kernel, cpu, flags)
#define scx_bpf_select_cpu_and(p, prev, wake_flags, allowed, flags) \
	sim->select_cpu_and(sim->kernel, p, prev, wake_flags, allowed, flags)
#define scx_bpf_test_and_clear_cpu_idle(cpu) sim->test_and_clear_idle(sim->kernel, cpu)
#define scx_bpf_pick_idle_cpu(allowed, flags) sim->pick_idle(sim->kernel, allowed, flags)
#define scx_bpf_get_idle_cpumask() (sim->idle_cpus)
#define scx_bpf_get_idle_smtmask() (sim->idle_cores)
#define scx_bpf_put_idle_cpumask(mask) ((void)(mask))
#define scx_bpf_create_dsq(id, node) sim->create_dsq(sim->kernel, id)
#define scx_bpf_destroy_dsq(id) sim->destroy_dsq(sim->kernel, id)
#define scx_bpf_dsq_nr_queued(id) sim->nr_queued(sim->kernel, id)
#define scx_bpf_dsq_insert(p, id, slice, enq_flags) \
	sim->insert(sim->kernel, p, id, slice, 0, enq_flags, false)
#define scx_bpf_dsq_insert_vtime(p, id, slice, vtime, enq_flags) \
	sim->insert(sim->kernel, p, id, slice, vtime, enq_flags, true)
#define scx_bpf_dsq_move_to_local(id, flags) sim->move_to_local(sim->kernel, id)
#define scx_bpf_dsq_move_set_slice(it, ns) ((it)->slice = (ns), (it)->has |= SIM_HAS_SLICE)
#define scx_bpf_dsq_move_set_vtime(it, to) ((it)->vtime = (to), (it)->has |= SIM_HAS_VTIME)
#define scx_bpf_dsq_move(it, p, id, enq_flags) sim->move(sim->kernel, it, p, id, enq_flags, false)
#define scx_bpf_dsq_move_vtime(it, p, id, enq_flags) \
	sim->move(sim->kernel, it, p, id, enq_flags, true)
#define scx_bpf_reenqueue_local() sim->reenqueue_local(sim->kernel)
#define scx_bpf_task_set_slice(p, ns) ((p)->scx.slice = (ns), true)
#define scx_bpf_task_set_dsq_vtime(p, to) ((p)->scx.dsq_vtime = (to), true)
#define __COMPAT_scx_bpf_dsq_peek(id) sim->peek(sim->kernel, id)
#define scx_bpf_dsq_peek(id) sim->peek(sim->kernel, id)

/* ---- 6. what the object exports --------------------------------------------------------------- */

/* Programs beside the callbacks; nobody calls them. */
#define BPF_PROG(name, args...) name(args)
#define BPF_STRUCT_OPS(name, args...) name(args)
#define BPF_STRUCT_OPS_SLEEPABLE(name, args...) name(args)

#define UEI_DEFINE(name) s64 name
#define UEI_RECORD(name, info) ((name) = (info)->exit_code)

#define SIM_EXPORT __attribute__((visibility("default")))

#define SCX_OPS_DEFINE(ops, ...)						\
	struct sched_ext_ops ops = { __VA_ARGS__ };				\
	/* Called once, before anything else: returns NULL for another layout. */ \
	SIM_EXPORT struct sched_ext_ops *sim_bind(struct sim_host *host)	\
	{									\
		sim = host;							\
		return host->abi == SIM_ABI ? &ops : NULL;			\
	}									\
	SIM_EXPORT void sim_forget_task(struct task_struct *p)			\
	{									\
		for (u32 i = 0; i < SIM_STORAGES; i++) {			\
			free(p->storage[i]);					\
			p->storage[i] = NULL;					\
		}								\
	}

#endif /* SIM_COMMON_BPF_H */
