# shellcheck shell=bash
# Shared by the programs in tools/: messages, folders, and what has to be
# installed. Sourced, never run. Expects `set -euo pipefail`.

# A failure inside $(...) is a failure.
shopt -s inherit_errexit

# The oldest versions that build the project.
readonly RUST_MIN=1.91
readonly CLANG_MIN=18
readonly CLANG_MAX=22

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly ROOT

# Progress goes to stderr, so that stdout carries results only.
say() { printf 'tools/%s: %s\n' "${0##*/}" "$*" >&2; }

# die [-STATUS] SENTENCE
die() {
    local status=1
    if [[ $1 =~ ^-[0-9]+$ ]]; then
        status=${1#-}
        shift
    fi
    say "$*"
    exit "$status"
}

# Where cargo builds; everything fetched for the VM lives beside it.
target_dir() {
    local dir=${CARGO_TARGET_DIR:-target}
    [[ $dir == /* ]] || dir=$ROOT/$dir
    printf '%s\n' "$dir"
}

# The VM's build folder, created when missing.
vm_dir() {
    local dir
    dir=$(target_dir)/vm
    mkdir -p "$dir"
    printf '%s\n' "$dir"
}

have() { command -v "$1" >/dev/null 2>&1; }

# version_at_least HAVE WANTED
version_at_least() {
    printf '%s\n%s\n' "$2" "$1" | sort -VC
}

# Set AS_ROOT to the words that run a command as root; false if nothing can.
# A password prompt is fine on a terminal and a hang anywhere else.
find_root() {
    AS_ROOT=()
    ((EUID == 0)) && return
    have sudo || return
    if sudo -n true 2>/dev/null; then
        AS_ROOT=(sudo -n)
    elif [[ -t 0 && -t 2 ]]; then
        AS_ROOT=(sudo)
    else
        return 1
    fi
}

package_installed() {
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# The version of Debian package $1 that apt would install, without epoch,
# packaging suffix and revision.
candidate_version() {
    LC_ALL=C apt-cache policy "$1" 2>/dev/null |
        sed -n 's/^  Candidate: \([0-9]*:\)\{0,1\}\([0-9.]*\).*/\2/p'
}

# True if apt knows a version of this package that it could install.
package_available() {
    [[ -n $(candidate_version "$1") ]]
}

# Bring apt's lists up to date, once per run.
refresh_apt() {
    [[ -z ${APT_REFRESHED-} ]] || return 0
    APT_REFRESHED=1
    find_root || return 1
    say "updating apt's package lists"
    "${AS_ROOT[@]}" apt-get update -qq >&2 ||
        say "apt-get update failed; going on with the package lists that are here"
}

# Install the packages among the arguments that are missing.
ensure_packages() {
    local missing=() package
    have apt-get || die "this needs a Debian or Ubuntu machine (there is no apt-get); install by hand what matches: $*"
    for package in "$@"; do
        package_installed "$package" || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    find_root || die "missing packages; install them with: sudo apt-get install -y --no-install-recommends ${missing[*]}"
    say "missing: ${missing[*]}; installing"
    refresh_apt
    # Another apt may be running (a fresh machine updates itself): wait for it.
    "${AS_ROOT[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "${missing[@]}" >&2 ||
        die "apt could not install ${missing[*]}; its own message is above"
}

# The version of the Rust on PATH; nothing if there is none.
rust_version() {
    { cargo --version 2>/dev/null || true; } | awk '{ print $2 }'
}

rust_is_new_enough() {
    local version
    version=$(rust_version)
    [[ -n $version ]] && version_at_least "$version" "$RUST_MIN"
}

# A Rust new enough for the project, on PATH. A rustup that is there already
# comes first, then apt's cargo if that is new enough, then apt's rustup.
ensure_rust() {
    local version candidate
    PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    rust_is_new_enough && return
    version=$(rust_version)
    if ! have rustup; then
        refresh_apt || true
        candidate=$(candidate_version cargo)
        if [[ -n $candidate ]] && version_at_least "$candidate" "$RUST_MIN"; then
            ensure_packages cargo rustc rustfmt rust-clippy ca-certificates
        elif package_available rustup; then
            ensure_packages rustup ca-certificates
        fi
        hash -r
        rust_is_new_enough && return
    fi
    if have rustup; then
        say "installing the stable Rust toolchain with rustup"
        if ! { rustup toolchain install stable --profile minimal -c clippy -c rustfmt && rustup default stable; } >&2; then
            die "rustup could not install Rust; its own message is above"
        fi
        hash -r
        rust_is_new_enough && return
    fi
    die "Rust $RUST_MIN or newer is needed (found: ${version:-none}) and apt has none that is new enough; install it with rustup and run this again"
}

clang_is_new_enough() {
    local major
    have "$1" || return
    major=$("$1" -dumpversion 2>/dev/null) && ((${major%%.*} >= CLANG_MIN))
}

# A clang that compiles the BPF half. build.rs probes the same names.
ensure_clang() {
    local version
    [[ -z ${BPF_CLANG-} ]] || return 0
    clang_is_new_enough clang && return
    for ((version = CLANG_MAX; version >= CLANG_MIN; version--)); do
        clang_is_new_enough "clang-$version" && return
    done
    refresh_apt || true
    for version in 19 22 21 20 18; do
        if package_available "clang-$version"; then
            ensure_packages "clang-$version"
            return
        fi
    done
    die "clang $CLANG_MIN or newer is needed and apt has none; install one and name it in BPF_CLANG"
}

# Rust first: it is what a bare machine may lack for good.
ensure_build_deps() {
    ensure_rust
    ensure_packages libelf-dev zlib1g-dev pkg-config gcc libc6-dev make libseccomp-dev
    ensure_clang
}

# The first browser of Chromium's kind that is installed; false if there is none.
find_browser() {
    local name
    for name in chromium chromium-browser google-chrome chrome; do
        command -v "$name" && return
    done
    return 1
}

# A browser, for the test that opens a page of scx_toll analyze. Where apt has
# none, the test says so; in CI it fails.
ensure_browser() {
    find_browser >/dev/null && return
    refresh_apt || true
    if package_available chromium; then
        ensure_packages chromium
    else
        say "apt has no chromium: the page of scx_toll analyze is not opened in a browser"
    fi
}

# What the tests use besides: a terminal to be driven, and a reader of metrics.
ensure_test_deps() {
    ensure_packages tmux python3-prometheus-client
}

ensure_vm_deps() {
    ensure_packages qemu-system-x86 busybox-static cpio zstd xz-utils stress-ng bpftool
}
