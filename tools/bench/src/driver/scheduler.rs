// SPDX-License-Identifier: GPL-2.0-only
//! The schedulers of a run, as named on the command line.
//!
//! | name | what runs |
//! |---|---|
//! | `eevdf` | the kernel's own, as the kernel sets it up |
//! | `eevdf+autonuma`, `eevdf-autonuma` | the same, with or without its NUMA balancing |
//! | `toll` | `scx_toll`, told the costs that the workload charges |
//! | `toll --migrate never` | the same with flags |
//! | `scx_rusty` | any installed scheduler: below the folder of `tools/lab peers`, or on the PATH |

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Where the guest finds the costs.
pub const COSTS_IN_GUEST: &str = "/root/costs.toml";
/// The kernel's own scheduler, in the names of which the guest looks for the rest.
const EEVDF: [&str; 3] = ["eevdf", "eevdf+autonuma", "eevdf-autonuma"];
const TOLL: &str = "toll";

/// A scheduler of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduler {
    /// As named on the command line.
    pub name: String,
    /// What the guest runs; the name, of the kernel's own.
    pub command: String,
    /// Its program, when that has to be brought into the guest.
    pub program: Option<PathBuf>,
}

impl Scheduler {
    /// The scheduler called `name`, with flags behind it if there are any; programs are looked for
    /// in `folders`.
    ///
    /// # Errors
    /// When there is no such program.
    pub fn named(name: &str, folders: &[PathBuf]) -> Result<Scheduler> {
        let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
        let (first, flags) = name.split_once(' ').unwrap_or((&name, ""));
        let (command, program) = match first {
            _ if EEVDF.contains(&name.as_str()) => (name.clone(), None),
            TOLL => {
                let price = if flags.contains("--penalty") { "" } else { " --penalty " };
                let costs = if price.is_empty() { "" } else { COSTS_IN_GUEST };
                (format!("scx_toll{price}{costs} {flags}"), None)
            }
            scx if scx.starts_with("scx_") => (format!("{scx} {flags}"), Some(find(scx, folders)?)),
            _ => bail!(
                "scheduler {name}: expected {}, {TOLL} with or without flags, or a program whose \
                 name begins with scx_",
                EEVDF.join(", ")
            ),
        };
        Ok(Scheduler { command: command.trim().to_string(), name, program })
    }

    /// True of the kernel's own.
    pub fn is_the_kernels(&self) -> bool {
        EEVDF.contains(&self.command.as_str())
    }
}

fn find(program: &str, folders: &[PathBuf]) -> Result<PathBuf> {
    match folders.iter().map(|folder| folder.join(program)).find(|path| is_program(path)) {
        Some(path) => Ok(path),
        None => bail!("there is no {program}; `tools/lab peers` installs those that it knows"),
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toll_is_told_the_costs_unless_it_is_told_others() {
        let command = |name| Scheduler::named(name, &[]).expect("a scheduler").command;
        assert_eq!(command("toll"), "scx_toll --penalty /root/costs.toml");
        assert_eq!(
            command("toll  --migrate never"),
            "scx_toll --penalty /root/costs.toml --migrate never"
        );
        assert_eq!(command("toll --penalty default"), "scx_toll --penalty default");
        assert_eq!(command("eevdf+autonuma"), "eevdf+autonuma");
    }

    #[test]
    fn what_is_not_there_is_named() {
        let error = |name| Scheduler::named(name, &[]).expect_err("a refusal").to_string();
        assert!(error("scx_nowhere").contains("no scx_nowhere; `tools/lab peers`"));
        assert!(error("cfs").contains("scheduler cfs: expected eevdf, eevdf+autonuma"));
        assert!(error("eevdf --fast").contains("expected eevdf"));
    }
}
