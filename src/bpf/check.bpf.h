/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * check.bpf.h - did a decision see one policy, whole?
 *
 * Off unless a test sets toll_check_policy before load. The writer seals each
 * policy with the sum of its words. A decision notes the version that it began
 * with, and when it is done the sum must still be the seal and the version the
 * same: so nobody wrote to the half while it was being read.
 */
#ifndef TOLL_CHECK_BPF_H
#define TOLL_CHECK_BPF_H

/* Words of struct toll_policy that are summed besides the hops. */
#define TOLL_SEALED_WORDS (offsetof(struct toll_policy, hop_ns) / sizeof(u64))

/* Return true if the words of @pol add up to its seal. A global function, verified once. */
__noinline bool policy_is_whole(const struct toll_policy *pol)
{
	u64 sum = 0;
	u32 i, j;

	if (!pol)
		return false;
	bpf_for(i, 0, TOLL_SEALED_WORDS)
		sum += ((const volatile u64 *)pol)[i];
	bpf_for(i, 0, toll_nr_llcs)
		bpf_for(j, 0, toll_nr_llcs)
			sum += READ_ONCE(pol->hop_ns[i & (TOLL_MAX_LLCS - 1)]
						    [j & (TOLL_MAX_LLCS - 1)]);
	return sum == READ_ONCE(pol->seal);
}

/* Count whether @pol is whole and still the one of @version. */
static __always_inline void check_policy(const struct toll_policy *pol, u64 version)
{
	struct toll_cpu *me;

	if (!toll_check_policy)
		return;
	me = this_cpu();
	if (!me)
		return;
	me->nr_checked++;
	if (READ_ONCE(pol->version) != version || !policy_is_whole(pol))
		me->nr_mixed++;
}

#endif /* TOLL_CHECK_BPF_H */
