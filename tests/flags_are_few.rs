// SPDX-License-Identifier: GPL-2.0-only
//! scx_toll has few flags of its own, and each of them explains itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use clap::CommandFactory;
use scx_toll::cli::Cli;
use scx_utils::libbpf_clap_opts::LibbpfOpts;
use std::collections::BTreeSet;

/// Most flags of our own.
const OWN_MAX: usize = 20;
/// Most flags that only the simulator has: they describe a machine and a load, not scx_toll.
const SIMULATOR_MAX: usize = 6;
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
    let (mut found, mut simulator) = (BTreeSet::new(), BTreeSet::new());
    for command in Cli::command().get_subcommands() {
        flags(command, if command.get_name() == "simulate" { &mut simulator } else { &mut found });
    }
    let top = Cli::command().mut_subcommands(|_| clap::Command::new("none"));
    flags(&top, &mut found);
    let libbpf = <LibbpfOpts as clap::Args>::augment_args(clap::Command::new("libbpf"));
    for arg in libbpf.get_arguments() {
        found.remove(arg.get_long().expect("a long name"));
    }
    for name in FAMILY {
        found.remove(name);
    }
    assert!(found.contains("metrics") && found.contains("thorough"), "{found:?}");
    simulator.retain(|name| !found.contains(name) && !FAMILY.contains(&name.as_str()));
    assert!(simulator.len() <= SIMULATOR_MAX, "{} flags: {simulator:?}", simulator.len());
    assert!(found.len() <= OWN_MAX, "{} flags: {found:?}", found.len());
    eprintln!("{} flags of our own: {found:?}", found.len());
}
