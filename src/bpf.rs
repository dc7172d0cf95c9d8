// SPDX-License-Identifier: GPL-2.0-only
//! The BPF half as libbpf-cargo generates it from `src/bpf/main.bpf.c`: the
//! skeleton, and every type of `intf.h` under [`types`].

#![allow(missing_docs, non_upper_case_globals, clippy::all, clippy::undocumented_unsafe_blocks)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

include!(concat!(env!("OUT_DIR"), "/bpf_skel.rs"));
