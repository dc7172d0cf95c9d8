# shellcheck shell=bash
# Finds or fetches the kernels that tools/vm boots. Sourced after lib.sh.
#
# Debian's backports suite carries kernels with sched_ext, several versions at
# once. They are fetched with a private apt state under the build folder: the
# machine's own sources and lists stay as they are, nothing is installed, and
# no root is needed. The mirror is whichever one the machine uses already.

readonly KERNEL_SUITE=trixie-backports
readonly KERNEL_DEFAULT=7.3
# Debian's cloud flavour has virtio built in and boots without modules.
readonly KERNEL_NAME='linux-(binary|image)-([0-9.]+)\+deb[0-9]+-cloud-amd64'

# Print the folder of the newest kernel of version $1 (a prefix such as 7.3),
# holding `vmlinuz`, `vmlinux` if it could be unpacked, and `config` if the
# archive has it. Takes a cached one when there is one; else fetches.
kernel_folder() {
    local folder
    if folder=$(cached_kernel "$1"); then
        printf '%s\n' "$folder"
        return
    fi
    [[ $(dpkg --print-architecture) == amd64 ]] ||
        die -125 "only amd64 kernels are fetched; give another one with --kernel FILE"
    # Two runs at once must not fetch into the same folder.
    exec {KERNEL_LOCK}>"$(vm_dir)/kernels.lock"
    flock "$KERNEL_LOCK"
    cached_kernel "$1" >/dev/null || fetch_kernel "$1"
    exec {KERNEL_LOCK}>&-
    cached_kernel "$1"
}

# matches_prefix VERSION PREFIX: 7.3.4 matches 7.3 and 7.3.4, 7.31 does not.
matches_prefix() { [[ $1 == "$2" || $1 == "$2".* || $1 == "$2"[-+]* ]]; }

cached_kernel() {
    local folder newest=
    for folder in "$(vm_dir)"/kernels/*/; do
        [[ -f ${folder}vmlinuz ]] || continue
        matches_prefix "$(basename "$folder")" "$1" || continue
        newest=$(printf '%s\n%s\n' "$newest" "${folder%/}" | sort -V | tail -n 1)
    done
    [[ -n $newest ]] || return
    printf '%s\n' "$newest"
}

fetch_kernel() {
    local prefix=$1 mirror
    if [[ -z $(debian_mirrors) ]]; then
        fetch_own_kernel "$prefix"
        return
    fi
    while read -r mirror; do
        use_mirror "$mirror" || continue
        fetch_from_mirror "$prefix"
        return
    done < <(debian_mirrors)
    die -125 "no mirror in this machine's apt sources gave the suite $KERNEL_SUITE (no network?); give a kernel with --kernel FILE"
}

# The archives from which this machine gets its own Debian release, likeliest
# first. apt itself reads its sources here, so every form of them is understood;
# --print-uris fetches nothing.
debian_mirrors() {
    local suite uris
    [[ $(os_release ID) == debian ]] || return 0
    suite=$(os_release VERSION_CODENAME)
    uris=$(LC_ALL=C apt-get update --print-uris 2>/dev/null |
        sed -nE "s#^'(.*)/dists/(${suite:-sid}|stable|testing|unstable|sid)/main/binary-[^/]*/Packages.*#\1#p" |
        sort -u)
    # Other archives may use the release's name too; Debian's path is well known.
    grep -E '/debian(\.list)?$' <<<"$uris" || true
    grep -vE '/debian(\.list)?$' <<<"$uris" | grep . || true
}

os_release() { (. /etc/os-release && printf '%s\n' "${!1-}"); }

# Run an apt tool on the private state.
private_apt() {
    local state
    state=$(vm_dir)/apt
    "$1" -q=2 \
        -o "Dir::Etc::SourceList=$state/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o "Dir::State::Lists=$state/lists" -o "Dir::Cache=$state/cache" \
        -o "APT::Sandbox::User=$(id -un)" -o Acquire::Languages=none \
        -o APT::Get::List-Cleanup=true -o Acquire::Retries=3 "${@:2}"
}

use_mirror() {
    local state keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    state=$(vm_dir)/apt
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
    printf 'deb [arch=amd64 signed-by=%s] %s %s main\n' "$keyring" "$1" "$KERNEL_SUITE" >"$state/sources.list"
    say "looking for kernels in $KERNEL_SUITE"
    if ! private_apt apt-get update --error-on=any >"$state/output" 2>&1; then
        sed 's/^/    /' "$state/output" >&2
        return 1
    fi
}

# Pick the newest matching version and unpack what booting needs.
fetch_from_mirror() {
    local prefix=$1 version name all
    all=$(private_apt apt-cache pkgnames linux- | grep -xE "$KERNEL_NAME" || true)
    version=$(while read -r name; do
        [[ $name =~ ^$KERNEL_NAME$ ]] || continue
        if matches_prefix "${BASH_REMATCH[2]}" "$prefix"; then
            printf '%s\n' "${name#linux-*-}"
        fi
    done <<<"$all" | sort -uV | tail -n 1)
    [[ -n $version ]] ||
        die -125 "$KERNEL_SUITE has no kernel $prefix; it has: $(sed -E "s/^$KERNEL_NAME\$/\2/" <<<"$all" | sort -uV | tr '\n' ' ')"
    # The image moved from linux-image (with everything) to linux-binary.
    name=linux-binary-$version
    grep -qxF "$name" <<<"$all" || name=linux-image-$version
    unpack_kernel "$version" "$name"
}

# unpack_kernel VERSION PACKAGE: fill the cache folder in one step, so that a
# half-unpacked kernel is never taken for a whole one.
unpack_kernel() {
    local version=$1 package=$2 kernels work
    kernels=$(vm_dir)/kernels
    mkdir -p "$kernels"
    work=$(mktemp -d "$kernels/.fetch.XXXXXX")
    say "fetching kernel $version"
    if ! download_into "$work/tree" "$package" || ! find_image "$work" "$version"; then
        rm -rf "$work"
        die -125 "could not fetch $package; give a kernel with --kernel FILE"
    fi
    [[ -f $work/out/config ]] || fetch_config "$work" "$version"
    unpack_vmlinux "$work/out/vmlinuz" "$work/out/vmlinux" || rm -f "$work/out/vmlinux"
    rm -rf "${kernels:?}/$version"
    mv "$work/out" "$kernels/$version"
    rm -rf "$work"
}

# fetch_config WORK VERSION: the kernel's configuration, from which BPF programs
# take values such as CONFIG_HZ. Since 6.19 it has a package of its own, which
# the archive drops earlier than the image; the newest one of the same flavour
# then has to do. A kernel without any still boots.
fetch_config() {
    local package=linux-base-$2 all
    all=$(private_apt apt-cache pkgnames linux-base- | grep -xE 'linux-base-[0-9.]+\+deb[0-9]+-cloud-amd64' | sort -V || true)
    grep -qxF "$package" <<<"$all" || package=$(tail -n 1 <<<"$all")
    if [[ -z $package ]] || ! download_into "$1/base" "$package"; then return; fi
    find "$1/base" -path '*/modules/*/config' -exec mv {} "$1/out/config" \;
}

# download_into FOLDER PACKAGE: all of a package but the modules, which may be
# hundreds of megabytes.
download_into() {
    mkdir -p "$1"
    (cd "$1/.." && private_apt apt-get download "$2" >&2) || return
    dpkg-deb --fsys-tarfile "$1/../${2}_"*.deb | tar -x -C "$1" --exclude='*.ko*'
}

# find_image WORK VERSION: move what was unpacked to where it is looked for.
find_image() {
    mkdir "$1/out"
    find "$1/tree" -type f -name 'vmlinuz*' -exec mv {} "$1/out/vmlinuz" \;
    find "$1/tree" -type f -name "config-$2" -exec mv {} "$1/out/config" \;
    [[ -f $1/out/vmlinuz ]]
}

# Booting the unpacked kernel saves the emulated machine the second or two of
# unpacking it on every run. The x86 boot protocol says where the payload is:
# setup sectors at 0x1f1, offset and length at 0x248 and 0x24c.
unpack_vmlinux() {
    local sectors offset length unpack
    sectors=$(header_word "$1" 0x1f1 1)
    offset=$((($(header_word "$1" 0x248 4)) + (sectors + 1) * 512))
    length=$(header_word "$1" 0x24c 4)
    case $(od -An -v -tx1 -j "$offset" -N 4 "$1" | tr -d ' \n') in
        28b52ffd) unpack='zstd -dcq' ;;
        fd377a58) unpack='xz -dcq' ;;
        1f8b08*) unpack='gzip -dcq' ;;
        *) return 1 ;;
    esac
    # The last four bytes are the unpacked size, appended by the kernel's build.
    tail -c "+$((offset + 1))" "$1" | head -c "$((length - 4))" | $unpack >"$2"
    [[ $(head -c 4 "$2") == $'\x7fELF' ]]
}

# header_word FILE OFFSET BYTES
header_word() { od -An -v "-tu$3" -j "$(($2))" -N "$3" "$1" | tr -d ' '; }

# A machine without a Debian mirror, that is Ubuntu: its own archive's kernels,
# if they are new enough for sched_ext's present form. NOT RUN by the authors.
own_kernels() {
    local name
    apt-cache pkgnames linux-image- 2>/dev/null | while read -r name; do
        if [[ $name =~ ^linux-image-([0-9.]+)-[0-9]+-generic$ ]] && version_at_least "${BASH_REMATCH[1]}" 6.16; then
            printf '%s\n' "${name#linux-image-}"
        fi
    done | sort -V
}

fetch_own_kernel() {
    local name version=
    while read -r name; do
        if matches_prefix "$name" "$1"; then version=$name; fi
    done < <(own_kernels)
    [[ -n $version ]] ||
        die -125 "this machine's apt sources have no kernel $1 with sched_ext; give one with --kernel FILE"
    private_apt() { "$1" -q=2 "${@:2}"; } # the machine's own sources, this time
    unpack_kernel "$version" "linux-image-$version"
}

# The kernel for a run that names none.
default_kernel() {
    local newest=
    [[ $(os_release ID) == debian ]] || newest=$(own_kernels | tail -n 1)
    printf '%s\n' "${newest:-$KERNEL_DEFAULT}"
}
