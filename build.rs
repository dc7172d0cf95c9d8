// SPDX-License-Identifier: GPL-2.0-only
//! Compiles the BPF half (`src/bpf/main.bpf.c`) into a skeleton; `decide.h` a second time for the
//! host; and the whole of it once more, as a shared object that the simulator drives.

use anyhow::{Context, Result, bail};
use libbpf_cargo::SkeletonBuilder;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const BPF_SOURCE: &str = "src/bpf/main.bpf.c";
const HOST_SOURCE: &str = "src/bpf/decide_host.c";
/// What stands in for the kernel where the BPF half runs on the host.
const STAND_IN: &str = "src/sim/stand_in";
/// The first clang that knows `-mcpu=v4`.
const OLDEST_CLANG: u32 = 18;
const INSTALL: &str =
    "install clang 18 or later, for example with `apt-get install clang-19`, or set BPF_CLANG";

fn main() -> Result<()> {
    #[cfg(feature = "user")]
    if env::var_os(user::VARIABLE).is_some() {
        return user::build_here();
    }
    println!("cargo:rerun-if-changed=src/bpf");
    println!("cargo:rerun-if-changed={STAND_IN}");
    println!("cargo:rerun-if-env-changed=BPF_CLANG");
    find_clang()?;
    build_bpf()?;
    build_host();
    build_for_simulator()?;
    #[cfg(feature = "user")]
    user::build()?;
    Ok(())
}

/// Make sure that `BPF_CLANG`, which `scx_cargo` and libbpf-cargo are given,
/// names a clang that can compile for BPF. `.cargo/config.toml` sets it to
/// `tools/clang`, which looks for one.
fn find_clang() -> Result<()> {
    let clang = env::var("BPF_CLANG").unwrap_or_else(|_| "tools/clang".into());
    // SAFETY: a build script has one thread.
    unsafe { env::set_var("BPF_CLANG", &clang) };
    let text = match Command::new(&clang).arg("--version").output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(err) => bail!("BPF_CLANG={clang} cannot be run ({err}): {INSTALL}"),
    };
    let major = text.split("clang version ").nth(1).and_then(|v| v.split(['.', '-']).next());
    match major.and_then(|v| v.parse().ok()) {
        Some(OLDEST_CLANG..) => Ok(()),
        Some(0) | None => bail!("the BPF half needs a clang, and none was found: {INSTALL}"),
        Some(v) => bail!("BPF_CLANG={clang} is clang {v}, which is too old: {INSTALL}"),
    }
}

fn build_bpf() -> Result<()> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // The builder is made for its side effect: it unpacks the sched_ext headers.
    scx_cargo::BpfBuilder::new().context("unpacking the sched_ext headers failed")?;
    let headers = out.join("scx_utils-bpf_h");
    let clang = scx_cargo::ClangInfo::new()?;
    let arch = clang.kernel_target()?;
    let mut flags = clang.determine_base_cflags()?;
    flags.push(format!("-D__SCX_TARGET_ARCH_{arch}"));
    for dir in [format!("arch/{arch}"), String::new(), "bpf-compat".into()] {
        flags.push(format!("-I{}", headers.join(dir).display()));
    }
    flags.push("-Werror".into());
    let object = out.join("main.bpf.o");
    SkeletonBuilder::new()
        .source(BPF_SOURCE)
        .obj(&object)
        .clang(env::var("BPF_CLANG")?)
        .clang_args(flags)
        .reference_obj(true)
        .build_and_generate(out.join("bpf_skel.rs"))
        .with_context(|| format!("{BPF_SOURCE} does not compile for BPF"))?;
    Ok(())
}

/// `decide.h` for the host: the tests compare it with the Rust version.
fn build_host() {
    if Path::new(HOST_SOURCE).exists() {
        cc::Build::new().file(HOST_SOURCE).warnings_into_errors(true).compile("toll_decide");
    }
}

/// The BPF half for the host, as a shared object; the program contains it as data.
fn build_for_simulator() -> Result<()> {
    let out = PathBuf::from(env::var("OUT_DIR")?).join("toll_host.so");
    // The include path of the stand-in comes first, so <scx/common.bpf.h> is found there.
    let mut command = cc::Build::new().pic(true).get_compiler().to_command();
    command.args(["-std=gnu11", "-O2", "-shared", "-fPIC", "-fvisibility=hidden"]);
    // Atomics that nobody contends for, and constants that are set like variables.
    command.args(["-fno-strict-aliasing", "-w", "-I", STAND_IN, "-I", "src/bpf", "-o"]);
    command.arg(&out).arg(Path::new(STAND_IN).join("toll.c"));
    let status = command.status().with_context(|| format!("{command:?} cannot be run"))?;
    if !status.success() {
        bail!("{BPF_SOURCE} does not compile for the host: {command:?}");
    }
    Ok(())
}

/// The BPF half of `--policy user`: scx_rustland_core's, with the Rust that goes with it.
#[cfg(feature = "user")]
mod user {
    use anyhow::{Context, Result, ensure};
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::{env, fs};

    /// Set in the child process that builds it.
    pub const VARIABLE: &str = "TOLL_BUILD_USER";

    /// Build it below `OUT_DIR`. The builder writes into its current directory, which is our source
    /// tree, so it runs in a process of its own that has another one.
    pub fn build() -> Result<()> {
        let dir = PathBuf::from(env::var("OUT_DIR")?).join("user");
        fs::create_dir_all(dir.join("src")).context("a directory for scx_rustland_core")?;
        let clang = env::var("BPF_CLANG")?;
        // Relative to this directory, as find_clang() has left it, or a name on the PATH.
        let clang = fs::canonicalize(&clang).unwrap_or_else(|_| Path::new(&clang).into());
        let status = Command::new(env::current_exe()?)
            .current_dir(&dir)
            .env("OUT_DIR", &dir)
            .env("BPF_CLANG", clang)
            .env(VARIABLE, "1")
            .status()
            .context("the build script cannot run itself")?;
        ensure!(status.success(), "the BPF half of scx_rustland_core was not built: {status}");
        Ok(())
    }

    /// In that process: build it here.
    pub fn build_here() -> Result<()> {
        scx_rustland_core::RustLandBuilder::new()?.build()
    }
}
