/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * intf.h - the one header that both halves of scx_toll see.
 *
 * The BPF half includes it directly. libbpf-cargo reads the same structs back
 * out of the object's BTF and hands them to Rust, so nothing here is written
 * down a second time. decide.h and the host tests include it too.
 *
 * Legend, one letter on every field:
 *   P  written by the policy writer in user space, read by BPF
 *   C  written only by the CPU that owns the entry, read by anybody
 *   L  written by any CPU with an atomic, read by anybody without a lock
 *   H  written when a CPU goes or comes, with an atomic, read by anybody
 *   T  written under the rq lock that owns the task, read under it too
 *
 * Units are in the names: _ns, _kib, _q10 (1024 = 1.0), _pm (per mille).
 */
#ifndef TOLL_INTF_H
#define TOLL_INTF_H

#ifndef __VMLINUX_H__
#include <stdbool.h>
#include <stdint.h>
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;
#endif

enum toll_limits {
	TOLL_MAX_CPUS = 1024,	/* as the kernel's own NR_CPUS on common builds; a power of two */
	TOLL_MAX_LLCS = 128,	/* a power of two: indices are masked, not only checked */
	TOLL_MAX_NODES = 64,	/* a power of two */
	TOLL_DECAY_LEN = 64,	/* entries of the warmth decay table; a power of two */
	TOLL_NR_WARM = 2,	/* LLCs that a task remembers */
	TOLL_MAX_GROUPS = 4096,	/* cgroups with a share of their own; a power of two */
	/* Sizes of counter arrays: powers of two, so that an index is masked into bounds. */
	TOLL_KIND_SLOTS = 4,
	TOLL_LEVEL_SLOTS = 4,
	TOLL_VERDICT_SLOTS = 8,
	TOLL_DELAY_BUCKETS = 128,	/* of a histogram of delays; see toll_delay_bucket() */
	TOLL_HIST_SLOTS = 32,	/* of a histogram of times; see toll_hist_slot() */
	TOLL_COMM_LEN = 16,	/* of a task's name, its ending 0 included */
	TOLL_RING_BYTES = 4 << 20,	/* records on their way to user space; a power of two */
};

/* No quantity of time handled here is longer than this (about 18 minutes). */
#define TOLL_NS_MAX (1ULL << 40)
/* Q10 factors and per-mille rates stay below this, so products fit in 63 bits. */
#define TOLL_FACTOR_MAX (1U << 20)
#define TOLL_Q10_ONE 1024U
/* A refill factor of 1.0 as it is found and counted. */
#define TOLL_FOUND_ONE 16384U
#define TOLL_MS 1000000ULL	/* ns in a millisecond */
/* Weight of a task of nice 0 in the root cgroup, Q10: virtual time is run time at this weight. */
#define TOLL_WEIGHT_ONE (100ULL * TOLL_Q10_ONE)

/* How far apart two places are. Searches go outward in this order. */
enum toll_level {
	TOLL_LEVEL_CORE = 0,	/* another CPU of the same LLC */
	TOLL_LEVEL_LLC = 1,	/* another LLC of the same node */
	TOLL_LEVEL_NODE = 2,	/* another node */
	TOLL_NR_LEVELS = 3,
};

/* How far a task that woke up was sent, by what user space learns from it. */
enum toll_distance {
	TOLL_STAYED = 0,	/* it runs where it last ran */
	TOLL_MOVED_CORE = 1,	/* + enum toll_level */
	TOLL_NR_DISTANCES = 4,	/* a power of two */
};

/* Which callback asked for the move. */
enum toll_kind {
	TOLL_KIND_PLACE = 0,	/* select_cpu: a waking task goes to an idle CPU */
	TOLL_KIND_PUSH = 1,	/* enqueue: a loaded LLC hands a task away */
	TOLL_KIND_PULL = 2,	/* dispatch: a CPU with nothing to run fetches one */
	TOLL_NR_KINDS = 3,
	TOLL_KIND_OTHER = 3,	/* landed elsewhere for another reason: fork, affinity, hotplug */
};

/*
 * How a decision ended. Every decision that is asked ends in exactly one of
 * these: asked = sum over all verdicts.
 */
enum toll_verdict {
	TOLL_APPLIED = 0,	/* the gain exceeded the penalty, the move was made */
	TOLL_APPLIED_AGED = 1,	/* waited beyond the age bound, or its group got too little for long: moved whatever it cost */
	TOLL_NOT_WORTH = 2,	/* refused: the gain does not exceed the penalty */
	TOLL_HYSTERESIS = 3,	/* refused: it would pay, but not yet for long enough */
	TOLL_AFFINITY = 4,	/* refused: no task there may run here */
	TOLL_NOTHING = 5,	/* refused: no queue with a task, no idle CPU */
	TOLL_RACED = 6,		/* refused: another CPU was faster */
	TOLL_NR_VERDICTS = 7,
};

/* What decides in place of the rule, for comparison (--migrate). */
enum toll_migrate {
	TOLL_MIGRATE_TOLL = 0,	/* gain > penalty */
	TOLL_MIGRATE_ALWAYS = 1,/* any gain, at once */
	TOLL_MIGRATE_NEVER = 2,	/* no move between LLCs, not even for age */
	TOLL_MIGRATE_FIXED = 3,	/* gain > fixed_ns, whatever the distance and the task */
};

/* Two thresholds and a hold time: the gate that a move has to pass. */
struct toll_hysteresis {
	u64 open_ns;	/* P  gain above which the imbalance starts to count */
	u64 close_ns;	/* P  gain below which it is forgotten; <= open_ns */
	u64 hold_ns;	/* P  how long it must have lasted; 0: no hold */
};

/*
 * The policy. User space writes the half of the double buffer that BPF does
 * not read, then bumps toll_policy_version; BPF reads half version % 2, once
 * per callback. The version comes first and the seal last.
 */
struct toll_policy {
	u64 version;		/* P  the version this half was written for */
	u64 slice_ns;		/* P  longest turn */
	u64 least_slice_ns;	/* P  shortest turn, when many wait; <= slice_ns */
	u64 age_ns;		/* P  wait after which a task is moved whatever it costs */
	u64 fixed_ns;		/* P  penalty under TOLL_MIGRATE_FIXED */
	u64 decay_step_ns;	/* P  busy time of others per entry of decay_q10; > 0 */
	u32 migrate;		/* P  enum toll_migrate */
	u32 fill_q10;		/* P  share of run time that loads cache lines */
	u32 warm_ns_per_kib;	/* P  time to load one KiB at factor 1.0 */
	u32 max_turns;		/* P  most turns that a gain may count; >= 1 */
	u32 price_q10;		/* P  what the whole system pays per ns that the mover pays */
	u32 learn;		/* P  1: time what moves take (learn.bpf.h) */
	u32 refill_q10[TOLL_LEVEL_SLOTS];		/* P  by level */
	u32 decay_q10[TOLL_DECAY_LEN];		/* P  warmth left after k steps of others' time */
	struct toll_hysteresis hyst[TOLL_LEVEL_SLOTS];	/* P  by level */
	u64 hop_ns[TOLL_MAX_LLCS][TOLL_MAX_LLCS];	/* P  fixed cost from, to; 0 on the diagonal */
	u32 remote_pm[TOLL_MAX_NODES][TOLL_MAX_NODES];	/* P  extra run time, memory node -> CPU node */
	u64 seal;		/* P  sum of the words before hop_ns and of the hops in use; see check.bpf.h */
};

/* One LLC. The first line is hot on every enqueue; each field an atomic of its own. */
struct toll_llc {
	u64 queued_ns;		/* L  expected run time of what waits here */
	u64 nr_queued;		/* L  how many wait in the LLC's own queue */
	u64 end_sum_ns;		/* L  sum of the expected ends of the running tasks (clock time) */
	u64 nr_running;		/* L  how many run here */
	u64 nr_idle;		/* L  CPUs here that are idle */
	u64 vtime_now;		/* L  the LLC's virtual clock: the furthest vtime that began a turn */
	u64 busy_ns;		/* L  busy clock: CPU time used here since the start */
	u64 looked_at;		/* L  when a tick last looked outward from here */
	u64 wait_ns;		/* L  W, brought up to date when user space asks for it */
	u64 share_kib;		/* H  cache per CPU of this LLC */
	u32 nr_cpus;		/* H  CPUs here that are online */
	u32 node;		/* -  set before load */
	u32 capacity_q10;	/* H  what they are worth together; 1024: one core of the most capable kind */
	u32 cache_kib;		/* -  set before load */
	u64 weight_q10;		/* L  sum of the weights of the tasks that wait or run here */
	u64 root_weight_q10;	/* L  ... of those in the root cgroup */
	u64 nr_taken;		/* L  CPUs here that a real-time or deadline task has */
	u64 nr_unserved;	/* L  passes in a row that found tasks waiting and none running */
};

/*
 * The memory of an imbalance between two LLCs. Written without an atomic by
 * whoever asks; worst outcome of a race: the hold time starts a little earlier
 * or later than it should.
 */
struct toll_gate {
	u64 since_at;	/* L  when the gain first exceeded the open threshold; 0: closed */
	u64 seen_at;	/* L  when it was last seen above the close threshold */
};

/* What moved from one LLC to another. Moves are few: an atomic each is cheap. */
struct toll_pair {
	u64 nr_moves;	/* L  tasks that landed, whatever moved them */
	u64 nr_judged;	/* L  ... of them those that were moved because dL > P */
	s64 gain_ns;	/* L  dL of these, summed */
	s64 penalty_ns;	/* L  P of these, summed */
};

/* Who lives in an LLC or on a node; see home.bpf.h. A cache line each. */
struct toll_home {
	u64 now_ns;	/* L  CPU time wanted by its tasks in the present span */
	u64 before_ns;	/* L  ... in the span before */
	u64 since_at;	/* L  when the present span began */
	u64 nr_cpus;	/* H  online */
	u64 pad[4];
};

/* One CPU: what runs there, and its counters. */
struct toll_cpu {
	u64 end_at;		/* C  expected end of the running task; 0: none runs */
	u32 llc;		/* -  set before load, or when it is adopted */
	u32 idle;		/* C  1 while counted in the LLC's nr_idle */
	u32 online;		/* H  1 while it is part of its LLC */
	u32 pad_online;
	u64 looked_again;	/* C  looks for a task that is not there yet, since one ran */
	u64 deadline;		/* C  virtual deadline of the running task; vtime of its LLC */
	u32 taken;		/* C  1 while a real-time or deadline task has it */
	u32 handed;		/* C  1: a waker left a task in its local queue and may not have slept */
	u64 nr_wakes;		/* C  tasks that became runnable */
	u64 nr_births;		/* C  forked tasks that were placed */
	u64 nr_births_away;	/* C  ... in another LLC than their parent */
	u64 nr_kicks;		/* C  idle CPUs woken by a tick because a queue pays */
	u64 nr_pinned;		/* C  turns that went through the CPU's own queue */
	u64 wait_ns;		/* C  time from enqueue to running, summed */
	u64 nr_waits;		/* C  ... over so many turns */
	u64 nr_checked;		/* C  decisions whose policy was checked (toll_check_policy) */
	u64 nr_mixed;		/* C  ... and found to be a mixture of two */
	u64 nr_untimed;		/* C  wakeups at home since the last one that was timed */
	u64 nr_judged;		/* C  moves for their gain after which the task has run here */
	u64 nr_paid;		/* C  ... and that paid, by the wait that followed */
	u64 began_at;		/* C  since when the task runs, while somebody listens; else 0 */
	u64 asked[TOLL_KIND_SLOTS][TOLL_LEVEL_SLOTS];			/* C */
	u64 verdicts[TOLL_KIND_SLOTS][TOLL_LEVEL_SLOTS][TOLL_VERDICT_SLOTS];	/* C */
	u64 landed[TOLL_KIND_SLOTS][TOLL_LEVEL_SLOTS];	/* C  really ran elsewhere */
	u64 nr_preempts;	/* C  running tasks that were made to yield to a waking one */
	u64 nr_handoffs;	/* C  tasks left to the CPU of a waker about to sleep */
	u64 wait_hist[TOLL_HIST_SLOTS];	/* C  the turns of nr_waits by how long they waited */
	u64 gain_hist[TOLL_HIST_SLOTS];	/* C  moves because dL > P, by dL */
	u64 cost_hist[TOLL_HIST_SLOTS];	/* C  ... by P; what is below 0 counts as 0 */
	u64 gain_ns;		/* C  sum of what gain_hist counts */
	u64 cost_ns;		/* C  sum of what cost_hist counts */
	u64 pad[1];
};

/* Times from a wakeup to running, or refill factors, counted by toll_delay_bucket(). */
struct toll_delays {
	u32 count[TOLL_DELAY_BUCKETS];	/* C */
};

/* Argument of toll_adopt. */
struct toll_adopted {
	u32 cpu;
	u32 pad;
};

/* How much of a core a task uses, and on which class of cores it belongs; class.bpf.h. */
struct toll_demand {
	u64 ran_ns;	/* T  run time that util_q10 does not contain yet */
	u64 slept_ns;	/* T  sleep that it does not contain yet */
	u64 since_at;	/* T  since when it asks for the other class; 0: it does not */
	u32 util_q10;	/* T  share of a most capable core, fading over time */
	u32 little;	/* T  1: it belongs on a little core */
};

/* What a task left in one LLC. */
struct toll_warm {
	u64 warm_ns;	/* T  time it would take to load it again at factor 1.0 */
	u64 busy_at;	/* T  the LLC's busy clock when warm_ns was last true */
	u32 llc;	/* T  which LLC; TOLL_MAX_LLCS: none */
	u32 pad;
};

/* How long a task has been on a node; see follow.bpf.h. */
struct toll_stay {
	u64 since_at;	/* T  when it began; 0: not yet */
	u64 ran_ns;	/* T  run time there since */
	u64 else_ns;	/* T  run time elsewhere since */
	u64 told_at;	/* T  when user space was last told, or it began */
	u32 node;	/* T  where */
	u32 pad;
};

/* Pages of a task by where it first touched them; see follow.bpf.h. */
struct toll_touched {
	u64 home;	/* T  on its memory's node */
	u64 away;	/* T  elsewhere */
};

/* A task that has settled on another node than its memory's. */
struct toll_away {
	u64 stayed_ns;	/* T  how long it has been there */
	u64 ran_ns;	/* T  ... and run */
	u32 tgid;	/* T */
	u32 node;	/* T  where it is */
	u32 home;	/* T  its memory's node */
	u32 pad;
};

/* Argument of toll_rehome_task. */
struct toll_rehome {
	u32 tid;
	u32 node;	/* where its memory is now */
	u32 push;	/* 1: the memory stays, the task goes there */
	u32 pad;
};

/* What a task wanted lately, in the windows of the LLC where it lives; see home.bpf.h. */
struct toll_want {
	u64 now_ns;	/* T  in the present span */
	u64 before_ns;	/* T  in the span before */
	u64 since_at;	/* T  when that LLC's present span began */
};

/* Who wakes a task; see partner.bpf.h. */
struct toll_partner {
	u32 pid;	/* T  the thread that has most votes */
	u32 votes;	/* T  its wakeups less those by others; bounded */
	u64 rent_ns;	/* T  what its wakeups from another LLC have cost */
	u32 beside;	/* T  1: at its last wakeup both were in one LLC */
	u32 pad;
};

/* Cycles and instructions over some run time. */
struct toll_count {
	u64 ns;
	u64 cycles;
	u64 insns;
};

/*
 * What a task's instructions take, and what they take after a move; see
 * refill.bpf.h. Only used where there are counters.
 */
struct toll_pace {
	struct toll_count at;	/* T  the counters when it was switched in; ns 0: it was not */
	struct toll_count usual;/* T  its latest run time that no move disturbs */
	struct toll_count after;/* T  since the move that is watched */
	u64 load_ns;		/* T  warmth that this move lost; 0: none is watched */
	u64 span_ns;		/* T  run time that is watched */
	u32 llc;		/* T  where it last ran; TOLL_MAX_LLCS: nowhere yet */
	u32 level;		/* T  of the move */
	u32 there_pm;		/* T  extra run time for remote memory after the move */
	u32 here_pm;		/* T  ... and before it */
};

/*
 * What a move between LLCs was decided on, kept until the task runs, to find
 * out whether it paid: the same inequality, with the wait that followed in the
 * place of the expected one.
 */
struct toll_move {
	u64 at_ns;		/* T  when it was decided; 0: none */
	u64 seq;		/* T  of its record; 0: it has none */
	u64 wait_from_ns;	/* T  expected wait where it was */
	u64 wait_to_ns;		/* T  expected wait where it went */
	s64 penalty_ns;		/* T  P */
	u32 turns;		/* T  that the gain counts */
	u32 verdict;		/* T  TOLL_APPLIED or TOLL_APPLIED_AGED */
	u32 from;		/* T  LLC where it was */
	u32 pad;
};

/* Per-task state. */
struct toll_task {
	u64 started_at;		/* T  when its current stretch on a CPU began (charged up to here) */
	u64 enqueued_at;	/* T  when it began to wait; 0: does not wait */
	u64 avg_run_ns;		/* T  average run time per burst */
	u64 run_ns;		/* T  run time in this burst, since it woke */
	u64 queued_ns;		/* T  what it added to its LLC's queued_ns; leaves with the same */
	u64 cap_ns;		/* T  most warmth it can have, from resident set and LLC share */
	u64 cap_at;		/* T  run time after which the resident set is read again */
	u64 claimed_at;		/* T  when it was handed to an idle CPU; 0: not timed */
	u64 vtime;		/* T  weighted run time, on the virtual clock of its LLC */
	u64 deadline;		/* T  vtime by which its turn is due; orders the queues */
	u64 turn_ns;		/* T  what is left of its turn */
	u64 slept_at;		/* T  when it went to sleep; 0: it has not, or that is accounted for */
	struct toll_demand demand;
	u64 weight_q10;		/* T  what it added to its LLC's weight_q10 */
	u32 weight_llc;		/* T  where it added it; TOLL_MAX_LLCS: nowhere */
	u32 group;		/* T  its cgroup's slot */
	u32 group_counted;	/* T  slot whose runnable weight it is in; TOLL_MAX_GROUPS: none */
	u32 group_weight;	/* T  ... with this weight */
	u32 queued_llc;		/* T  where it added it; TOLL_MAX_LLCS: nowhere */
	u32 queued_shared;	/* T  1 if it is also counted in nr_queued */
	u32 llc;		/* T  LLC whose virtual clock its vtime refers to */
	u32 home_node;		/* T  node that is taken to hold its memory */
	u32 home_llc;		/* T  LLC where it first ran, or has moved to its partner; TOLL_MAX_LLCS: not yet */
	u32 kind;		/* T  enum toll_kind of the decision that moved it last */
	u32 ran_llc;		/* T  LLC where it last was; TOLL_MAX_LLCS: nowhere yet */
	s32 ran_cpu;		/* T  CPU where it last was; -1: nowhere yet */
	u32 on_cpu;		/* T  1 between running and stopping */
	struct toll_warm warm[TOLL_NR_WARM];	/* T  [0] the LLC where it ran last */
	struct toll_move move;	/* T  the move between LLCs that it has not run after yet */
	struct toll_stay stay;
	struct toll_touched touched;
	struct toll_want want;
	struct toll_partner partner;
	u32 sent_home;		/* L  1: user space sends it to its memory's node */
	u32 pad_sent;
	struct toll_pace pace;
};

/* What a record in the ring buffer tells; its first word. */
enum toll_event {
	TOLL_EVENT_DECISION = 1,	/* struct toll_decision */
	TOLL_EVENT_OUTCOME = 2,		/* struct toll_outcome */
	TOLL_EVENT_SLICE = 3,		/* struct toll_slice */
};

/* What somebody listens to: bits of toll_listen.wants, 0: nobody listens. */
enum toll_wants {
	TOLL_WANTS_DECISIONS = 1,	/* and the outcomes of those that were recorded */
	TOLL_WANTS_SLICES = 2,
};

/*
 * What is to be recorded. The filters are there to keep the ring buffer short;
 * a listener filters once more, so one that is changed while it is read does
 * no harm.
 */
struct toll_listen {
	u32 wants;		/* P  enum toll_wants; the one word that is read when it is 0 */
	u32 levels;		/* P  bit i: decisions of level i */
	u32 rate;		/* P  share of the decisions, 2^32 - 1: all of them */
	u32 pid;		/* P  only this thread, or the threads of this process; 0: all */
	u64 cgroup;		/* P  only this cgroup and those below it, by id; 0: all */
	u32 cgroup_level;	/* P  how deep it lies, the root being 0 */
	u32 pad;
};

/* A thread, as a record names it. All 0: none is known. */
struct toll_who {
	u32 pid;
	u32 tgid;
	u64 cgroup;		/* id: the inode of its directory */
	char comm[TOLL_COMM_LEN];
};

/* Bits of toll_decision.flags. */
enum toll_decision_flags {
	TOLL_PRICED = 1,	/* gain and penalty were computed, the fields below them hold */
	TOLL_REASKED = 2,	/* the idle CPU was lost, and this is the question without it */
	TOLL_OWED = 4,		/* it was refused, and made all the same: its cgroup is owed a lot */
	TOLL_SENT_HOME = 8,	/* it was refused, and made all the same: to its memory, which stays */
	TOLL_AGAINST_CLASS = 16,/* it leads from the class of cores where the task belongs */
	TOLL_FOR_CLASS = 32,	/* it leads there, whatever it costs: no question is put */
	TOLL_BESIDE = 64,	/* to its partner: wait_from_ns is what hand-overs from there have cost */
};

/*
 * One decision, as it was counted. From the inputs gain, penalty and verdict
 * can be computed again with decide.h:
 *
 *   gain     = toll_gain(wait_from_ns, wait_to_ns, turns)
 *   refill   = toll_refill(warm_from_ns, warm_to_ns, refill_q10)
 *   remote   = toll_remote(span_ns, there_pm, here_pm), and with TOLL_AGAINST_CLASS
 *              + TOLL_AGAINST_CLASS_NS + toll_remote(span_ns, slower_pm, 0)
 *   penalty  = toll_penalty(hop_ns, refill, remote, price_q10)
 *   held     = toll_gate_pass() of gate, hyst and the gain of one turn, at asked_ns
 *   verdict  by toll_worth() and held; see worth_moving() and, for RACED, TOLL_REASKED;
 *            with TOLL_BESIDE by toll_worth() alone
 *   aged     = waited_ns > age_ns, unless TOLL_MIGRATE_NEVER; or TOLL_OWED or TOLL_SENT_HOME
 */
struct toll_decision {
	u32 event;		/* TOLL_EVENT_DECISION */
	u32 flags;		/* enum toll_decision_flags */
	u64 seq;		/* CPU << 40 | number on that CPU */
	u64 at_ns;		/* when the verdict was counted */
	u64 count;		/* how many of this kind, level and verdict @cpu has counted by now */
	u64 policy_version;
	struct toll_who who;
	u32 kind;		/* enum toll_kind */
	u32 level;		/* enum toll_level */
	u32 verdict;		/* enum toll_verdict */
	u32 cpu;		/* the CPU that decided, in whose counters it is */
	u32 from_llc;		/* where the task is; TOLL_MAX_LLCS: no task */
	u32 to_llc;		/* where it would go; TOLL_MAX_LLCS: nowhere */
	s32 from_cpu;		/* -1: not known */
	s32 to_cpu;		/* -1: not known, or none */
	u64 waited_ns;		/* how long the task had waited already */
	u64 age_ns;		/* wait after which it is moved whatever it costs */
	u64 asked_ns;		/* the clock when the question was put */
	s64 gain_ns;
	s64 penalty_ns;
	u64 wait_from_ns;
	u64 wait_to_ns;
	u64 span_ns;		/* run time that the remote part counts */
	u64 warm_from_ns;
	u64 warm_to_ns;
	u64 warm_most_ns;	/* most warmth that the task can have */
	s64 refill_ns;
	s64 remote_ns;
	u64 hop_ns;
	u64 fixed_ns;
	struct toll_gate gate;	/* before the question */
	struct toll_hysteresis hyst;
	u32 turns;
	u32 migrate;		/* enum toll_migrate */
	u32 price_q10;
	u32 refill_q10;
	u32 there_pm;
	u32 here_pm;
	u32 slower_pm;		/* extra run time on a little core; 0 unless it leads to one */
	u32 home_node;		/* node of the task's memory; TOLL_NO_NODE: not known */
};

/*
 * A moved task runs. What is compared: the wait that its old LLC promised at
 * the decision, and the time from the decision to now, which it really waited.
 */
struct toll_outcome {
	u32 event;		/* TOLL_EVENT_OUTCOME */
	u32 paid;		/* 1: turns * (wait_from_ns - waited_ns) > penalty_ns */
	u64 seq;		/* of the decision; 0: it was not recorded */
	u64 at_ns;
	u64 waited_ns;		/* from the decision to now */
	u64 wait_from_ns;	/* expected where it was */
	u64 wait_to_ns;		/* expected where it went */
	s64 penalty_ns;
	u32 turns;
	u32 verdict;		/* TOLL_APPLIED_AGED: moved for its age, paid says nothing */
	struct toll_who who;
	u32 cpu;		/* where it runs */
	u32 pad;
};

/* A stretch of one task on one CPU; a long one comes in pieces. */
struct toll_slice {
	u32 event;		/* TOLL_EVENT_SLICE */
	u32 cpu;
	u64 from_ns;
	u64 to_ns;
	struct toll_who who;
	u32 more;		/* 1: it runs on, another piece follows */
	u32 pad;
};

/*
 * One cgroup with tasks or descendants of its own; slot 0 is the root. The
 * timer's pass (pass.bpf.h) alone writes what is marked W.
 */
struct toll_group {
	u64 runnable;		/* L  sum of the weights of its own runnable tasks */
	u64 nr_runnable;	/* L  how many they are */
	u64 used_ns;		/* L  CPU time its own tasks used since the start */
	u64 share_q10;		/* W  weight that its tasks and children share, corrected */
	u64 kids;		/* W  sum of the weights of its active children */
	s64 budget_ns;		/* L  what cpu.max leaves it in this period; below 0: debt */
	u64 quota_ns;		/* L  cpu.max: run time per period; 0: no limit */
	u64 period_ns;		/* L  ... length of the period */
	u64 burst_ns;		/* L  ... what may be saved up beyond the quota */
	u64 period_at;		/* W  when the period began */
	u64 used_seen_ns;	/* W  used_ns at the last pass */
	u64 delta_ns;		/* W  used since the pass before */
	u64 fair_q10;		/* W  weight of its own tasks at this pass, uncorrected */
	s64 lag_ns;		/* W  what it was owed and did not get; negative: got too much */
	u64 due_ns;		/* W  run time that is due to it, see toll_mend_due() */
	u64 can_use_ns;		/* W  the most it could have used, when capped */
	u64 kids_next;		/* W  kids as being summed */
	u64 pass;		/* W  number of the pass that found it active */
	u64 id;			/* L  the cgroup's id; 0: the slot is free */
	u32 weight;		/* L  cpu.weight */
	u32 parent;		/* -  slot */
	u32 limit;		/* W  nearest slot, itself or above, with a quota; 0: none */
	u32 capped;		/* W  1: it cannot use what it is owed */
	u64 parked_at;		/* W  since when tasks of it are parked without pause; 0: none */
	u32 may_move;		/* L  1: it is owed so much that one of its tasks moves whatever it costs */
	u32 pad0;
	u64 pad[1];
};

/* Whole cache lines, so that no CPU's or LLC's counters share one with its neighbour's. */
_Static_assert(sizeof(struct toll_cpu) % 64 == 0, "pad struct toll_cpu to cache lines");
_Static_assert(sizeof(struct toll_group) % 64 == 0, "pad struct toll_group to cache lines");
_Static_assert(sizeof(struct toll_llc) % 64 == 0, "pad struct toll_llc to cache lines");
/* Both compilers must agree on what goes through the maps. */
_Static_assert(sizeof(struct toll_warm) == 24 && sizeof(struct toll_gate) == 16, "no hidden padding");
_Static_assert(sizeof(struct toll_pair) == 32, "no hidden padding");
_Static_assert(sizeof(struct toll_away) == 32 && sizeof(struct toll_rehome) == 16, "no hidden padding");
_Static_assert(sizeof(struct toll_hysteresis) == 24, "no hidden padding");
_Static_assert(sizeof(struct toll_who) == 32 && sizeof(struct toll_slice) == 64 &&
	       sizeof(struct toll_outcome) == 104 && sizeof(struct toll_decision) == 296,
	       "no hidden padding");

/*
 * Never filled in. It stands in the object's BTF so that the names above reach
 * Rust from here instead of being written down there once more.
 */
struct toll_names {
	enum toll_limits limit;
	enum toll_level level;
	enum toll_distance distance;
	enum toll_kind kind;
	enum toll_verdict verdict;
	enum toll_migrate migrate;
	enum toll_event event;
	enum toll_wants wants;
	enum toll_decision_flags decision_flags;
	struct toll_decision decision;
	struct toll_outcome outcome;
	struct toll_slice slice;
	struct toll_away away;
	struct toll_rehome rehome;
};

#endif /* TOLL_INTF_H */
