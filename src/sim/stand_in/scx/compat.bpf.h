/* SPDX-License-Identifier: GPL-2.0-only */
/* What hides the differences between kernels: there is one stand-in, in common.bpf.h. */
