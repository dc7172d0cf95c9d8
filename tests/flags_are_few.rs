// SPDX-License-Identifier: GPL-2.0-only
//! scx_toll has few flags of its own, and each of them explains itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use clap::CommandFactory;
use scx_toll::cli::Cli;
use scx_utils::libbpf_clap_opts::LibbpfOpts;
use std::collections::BTreeSet;

/// Most flags of our own.
const OWN_MAX: usize = 20;
/// What schedulers of the family have, by the same names.
const FAMILY: [&str; 12] = [
    "stats",
    "monitor",
    "help-stats",
    "exit-dump-len",
    "verbose",
    "version",
    "help",
    "log-level",
    "run-id",
    "partial",
    "slice-us",
    "virt-llc",
];

fn flags(command: &clap::Command, found: &mut BTreeSet<String>) {
    for arg in command.get_arguments().filter(|arg| !arg.is_positional()) {
        let name = arg.get_long().expect("every flag has a long name");
        assert!(arg.get_help().is_some() || name == "help", "--{name} is not explained");
        found.insert(name.into());
    }
    command.get_subcommands().for_each(|command| flags(command, found));
}

#[test]
fn at_most_twenty_flags_are_our_own() {
    let mut found = BTreeSet::new();
    flags(&Cli::command(), &mut found);
    let libbpf = <LibbpfOpts as clap::Args>::augment_args(clap::Command::new("libbpf"));
    for arg in libbpf.get_arguments() {
        found.remove(arg.get_long().expect("a long name"));
    }
    for name in FAMILY {
        found.remove(name);
    }
    assert!(found.contains("metrics") && found.contains("thorough"), "{found:?}");
    assert!(found.len() <= OWN_MAX, "{} flags: {found:?}", found.len());
    eprintln!("{} flags of our own: {found:?}", found.len());
}
