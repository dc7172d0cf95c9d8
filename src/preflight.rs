// SPDX-License-Identifier: GPL-2.0-only
//! What has to be true before anything is loaded, each with its sentence.
//!
//! The checks read files below a root, so tests give them a made-up one.

use crate::fault::Fault;
use anyhow::{Result, bail};
use std::fs;
use std::path::Path;

/// Oldest kernel that the BPF half is written for.
pub const OLDEST_KERNEL: (u32, u32) = (6, 16);

const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Run all checks on this machine, the kernel's first: what cannot run here is
/// not worth a password. `kconfig_given`: the user supplies the kernel's
/// configuration (`--kconfig`).
///
/// # Errors
/// [`Fault::Kernel`] when the kernel cannot run the scheduler; an ordinary
/// error when a right is missing or another scheduler is loaded.
pub fn check(kconfig_given: bool) -> Result<()> {
    let root = match scx_utils::ROOT_PREFIX.as_str() {
        "" => Path::new("/"),
        prefix => Path::new(prefix),
    };
    check_kernel(root)?;
    if !kconfig_given {
        check_config(root)?;
    }
    check_isolation(root)?;
    check_prototypes(&scx_utils::compat::malformed_scx_kfuncs())?;
    check_rights(&fs::read_to_string("/proc/self/status").unwrap_or_default())?;
    check_no_other(root)
}

fn below(root: &Path, path: &str) -> std::path::PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Does the kernel have sched_ext, its own BTF, and a new enough version?
///
/// # Errors
/// [`Fault::Kernel`], naming what is missing.
pub fn check_kernel(root: &Path) -> Result<()> {
    let release = fs::read_to_string(below(root, "/proc/sys/kernel/osrelease"))
        .unwrap_or_else(|_| "of unknown version".into());
    let release = release.trim();
    if !below(root, "/sys/kernel/sched_ext").exists() {
        return Err(Fault::Kernel(format!(
            "this kernel ({release}) has no sched_ext: /sys/kernel/sched_ext does not exist; Linux {}.{} or later built with CONFIG_SCHED_CLASS_EXT=y is needed",
            OLDEST_KERNEL.0, OLDEST_KERNEL.1
        ))
        .into());
    }
    if !below(root, "/sys/kernel/btf/vmlinux").exists() {
        return Err(Fault::Kernel(format!(
            "this kernel ({release}) does not describe its types: /sys/kernel/btf/vmlinux does not exist; CONFIG_DEBUG_INFO_BTF=y is needed"
        ))
        .into());
    }
    if let Some(version) = parse_release(release)
        && version < OLDEST_KERNEL
    {
        return Err(Fault::Kernel(format!(
            "this kernel ({release}) is too old: Linux {}.{} or later is needed",
            OLDEST_KERNEL.0, OLDEST_KERNEL.1
        ))
        .into());
    }
    Ok(())
}

/// Is the kernel's configuration where libbpf looks for it? The BPF half asks
/// it whether the kernel's RCU is preemptible.
///
/// # Errors
/// [`Fault::Kernel`], naming both places.
pub fn check_config(root: &Path) -> Result<()> {
    let release = fs::read_to_string(below(root, "/proc/sys/kernel/osrelease")).unwrap_or_default();
    let in_boot = format!("/boot/config-{}", release.trim());
    if [&in_boot, "/proc/config.gz"].iter().any(|path| below(root, path).exists()) {
        return Ok(());
    }
    Err(Fault::Kernel(format!(
        "this kernel's configuration cannot be found: neither {in_boot} nor /proc/config.gz exists; name a file that holds it with --kconfig"
    ))
    .into())
}

/// Was the kernel booted without `isolcpus=`? It refuses every sched_ext scheduler beside it, with
/// no more than "invalid argument".
///
/// # Errors
/// [`Fault::Kernel`], naming the CPUs.
pub fn check_isolation(root: &Path) -> Result<()> {
    let file = "/sys/devices/system/cpu/isolated";
    let cpus = fs::read_to_string(below(root, file)).unwrap_or_default();
    match cpus.trim() {
        "" => Ok(()),
        cpus => Err(Fault::Kernel(format!(
            "this kernel was booted with isolcpus= ({file}: {cpus}), and sched_ext does not run beside it; boot without it, and isolate CPUs with a cpuset partition instead"
        ))
        .into()),
    }
}

/// Major and minor number of a release such as `6.18.15+deb13-cloud-amd64`.
fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Are the prototypes of the sched_ext kfuncs in the kernel's BTF usable?
/// `malformed` names those that are not.
///
/// # Errors
/// [`Fault::Kernel`], naming some of them.
pub fn check_prototypes(malformed: &[String]) -> Result<()> {
    if malformed.is_empty() {
        return Ok(());
    }
    let shown = malformed.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    Err(Fault::Kernel(format!(
        "this kernel's BTF has malformed prototypes for {} sched_ext functions ({shown}, …), so no sched_ext program can be loaded; it was built with a pahole older than 1.26 (Debian's 7.1 and 7.2 are), use another kernel",
        malformed.len()
    ))
    .into())
}

/// May this process load a scheduler? `status` is the text of `/proc/self/status`.
///
/// # Errors
/// When it may not, naming what is needed.
pub fn check_rights(status: &str) -> Result<()> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    let has = |cap: u32| effective & (1 << cap) != 0;
    if has(CAP_SYS_ADMIN) || (has(CAP_BPF) && has(CAP_PERFMON)) {
        return Ok(());
    }
    bail!("loading a scheduler needs root (or CAP_BPF and CAP_PERFMON): run it with sudo")
}

/// Name of the sched_ext scheduler that is loaded, if there is one.
pub fn active_scheduler(root: &Path) -> Option<String> {
    let state = fs::read_to_string(below(root, "/sys/kernel/sched_ext/state")).ok()?;
    if state.trim() == "disabled" {
        return None;
    }
    let name = fs::read_to_string(below(root, "/sys/kernel/sched_ext/root/ops"));
    Some(name.map_or_else(|_| "of unknown name".into(), |name| name.trim().to_owned()))
}

/// Is the kernel free of another sched_ext scheduler?
///
/// # Errors
/// When one is loaded, naming it.
pub fn check_no_other(root: &Path) -> Result<()> {
    match active_scheduler(root) {
        None => Ok(()),
        Some(name) => bail!(
            "another sched_ext scheduler is loaded ({name}) and the kernel holds only one: stop it first"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{EXIT_FAILED, EXIT_KERNEL, exit_code};
    use std::fs::{create_dir_all, write};

    /// A made-up root with the given files.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for (path, text) in files {
            let path = below(dir.path(), path);
            create_dir_all(path.parent().expect("a parent")).expect("directories");
            write(path, text).expect("a file");
        }
        dir
    }

    const STATE: &str = "/sys/kernel/sched_ext/state";
    const OPS: &str = "/sys/kernel/sched_ext/root/ops";
    const BTF: &str = "/sys/kernel/btf/vmlinux";
    const RELEASE: &str = "/proc/sys/kernel/osrelease";

    fn refused(result: Result<()>, code: u8, words: &str) {
        let error = result.expect_err("a refusal");
        assert_eq!(exit_code(&error), code, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.to_string().contains('\n'), "one sentence: {error}");
    }

    #[test]
    fn a_kernel_without_sched_ext_is_refused_by_name() {
        let dir = root(&[(RELEASE, "6.12.1-amd64\n"), (BTF, "")]);
        refused(check_kernel(dir.path()), EXIT_KERNEL, "6.12.1-amd64) has no sched_ext");
    }

    #[test]
    fn a_kernel_without_btf_is_refused() {
        let dir = root(&[(RELEASE, "6.18.1\n"), (STATE, "disabled\n")]);
        refused(check_kernel(dir.path()), EXIT_KERNEL, "CONFIG_DEBUG_INFO_BTF");
    }

    #[test]
    fn a_kernel_older_than_the_oldest_is_refused_and_others_pass() {
        for (release, fits) in [("6.15.9", false), ("6.16.0", true), ("7.3.4+deb13", true)] {
            let dir = root(&[(RELEASE, release), (STATE, "disabled\n"), (BTF, "")]);
            if fits {
                check_kernel(dir.path()).expect(release);
            } else {
                refused(check_kernel(dir.path()), EXIT_KERNEL, "too old");
            }
        }
    }

    #[test]
    fn a_kernel_whose_configuration_is_nowhere_is_refused() {
        let dir = root(&[(RELEASE, "6.18.1\n")]);
        refused(check_config(dir.path()), EXIT_KERNEL, "neither /boot/config-6.18.1 nor");
        for file in ["/boot/config-6.18.1", "/proc/config.gz"] {
            let dir = root(&[(RELEASE, "6.18.1\n"), (file, "")]);
            check_config(dir.path()).expect(file);
        }
    }

    #[test]
    fn malformed_prototypes_are_refused_and_named() {
        let names = ["scx_bpf_a", "scx_bpf_b", "scx_bpf_c", "scx_bpf_d"].map(String::from);
        refused(check_prototypes(&names), EXIT_KERNEL, "4 sched_ext functions (scx_bpf_a");
        check_prototypes(&[]).expect("none");
    }

    #[test]
    fn missing_rights_are_refused_and_either_set_is_enough() {
        refused(check_rights("CapEff:\t0000000000000000\n"), EXIT_FAILED, "needs root");
        refused(check_rights(""), EXIT_FAILED, "needs root");
        check_rights("CapEff:\t000001ffffffffff\n").expect("root");
        check_rights("CapEff:\t000000c000000000\n").expect("CAP_BPF and CAP_PERFMON");
        refused(check_rights("CapEff:\t0000008000000000\n"), EXIT_FAILED, "CAP_PERFMON");
    }

    #[test]
    fn another_scheduler_is_named() {
        let dir = root(&[(STATE, "enabled\n"), (OPS, "rusty_1.1.4\n")]);
        refused(check_no_other(dir.path()), EXIT_FAILED, "(rusty_1.1.4)");
        let dir = root(&[(STATE, "disabled\n")]);
        check_no_other(dir.path()).expect("none is loaded");
    }
}
