// SPDX-License-Identifier: GPL-2.0-only
//! Cgroups by path and by id: the id that the kernel's records carry is the inode of the cgroup's
//! directory.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Where the hierarchy is mounted if /proc does not say.
const USUAL_ROOT: &str = "/sys/fs/cgroup";
/// The kernel's type of file handle for what lives in kernfs.
const FILEID_KERNFS: i32 = 0xfe;
/// Most names that are remembered; beyond, they are looked up anew.
const NAMES_MAX: usize = 4096;

/// The mount point of the hierarchy of version 2.
pub fn root() -> PathBuf {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounted_at(&mounts).unwrap_or_else(|| USUAL_ROOT.into())
}

fn mounted_at(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (at, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| at.into())
    })
}

/// A cgroup that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    /// From the root of the hierarchy, with a leading slash; "/" is the root itself.
    pub path: String,
    /// As in the kernel's records.
    pub id: u64,
    /// How deep it lies; the root is 0.
    pub level: u32,
}

/// The cgroup `path` below `root`: with the root's own path before it, or without.
///
/// # Errors
/// One sentence when there is no such cgroup.
pub fn find(root: &Path, path: &str) -> Result<Cgroup, String> {
    let given = Path::new(path);
    let below = given.strip_prefix(root).unwrap_or(given);
    let mut names = Vec::new();
    for component in below.components() {
        match component {
            Component::Normal(name) => names.push(name.to_string_lossy().into_owned()),
            Component::RootDir | Component::CurDir => {}
            _ => return Err(format!("cgroup {path}: expected a path without ..")),
        }
    }
    let dir = root.join(names.join("/"));
    match dir.metadata() {
        Ok(about) if about.is_dir() => Ok(Cgroup {
            path: format!("/{}", names.join("/")),
            id: about.ino(),
            level: names.len() as u32,
        }),
        Ok(_) => Err(format!("cgroup {path}: {} is no directory", dir.display())),
        Err(err) => Err(format!("cgroup {path}: {}: {err}", dir.display())),
    }
}

/// Names by id, remembered.
#[derive(Debug)]
pub struct Names {
    root: PathBuf,
    known: HashMap<u64, Option<String>>,
}

impl Names {
    /// Names in the hierarchy that is mounted at `root`.
    pub fn new(root: PathBuf) -> Names {
        Names { root, known: HashMap::new() }
    }

    /// The path of cgroup `id` from the root; `None` when it is gone.
    pub fn path(&mut self, id: u64) -> Option<&str> {
        if self.known.len() >= NAMES_MAX {
            self.known.clear();
        }
        let root = &self.root;
        self.known.entry(id).or_insert_with(|| look_up(root, id).ok()).as_deref()
    }

    /// Is cgroup `id` the one at `path`, or below it?
    pub fn is_below(&mut self, id: u64, path: &str) -> bool {
        let Some(found) = self.path(id) else { return false };
        let rest = found.strip_prefix(path.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Ask the kernel for the path of cgroup `id`.
fn look_up(root: &Path, id: u64) -> io::Result<String> {
    #[repr(C)]
    struct Handle {
        bytes: u32,
        kind: i32,
        id: u64,
    }
    let mount = File::open(root)?;
    let mut handle = Handle { bytes: size_of::<u64>() as u32, kind: FILEID_KERNFS, id };
    // SAFETY: `handle` is laid out as the kernel's file_handle with 8 bytes behind it, and lives
    // through the call.
    let fd = unsafe {
        libc::open_by_handle_at(
            mount.as_raw_fd(),
            (&raw mut handle).cast(),
            libc::O_PATH | libc::O_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor, and nobody else has it.
    let dir = unsafe { File::from_raw_fd(fd) };
    let path = std::fs::read_link(format!("/proc/self/fd/{}", dir.as_raw_fd()))?;
    let below = path.strip_prefix(root).map_err(|_| io::ErrorKind::NotFound)?;
    Ok(format!("/{}", below.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_hierarchy_is_found_among_mounts() {
        let mounts = "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(mounted_at(mounts), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(mounted_at("x /cgroup2 tmpfs rw 0 0\n"), None);
    }

    #[test]
    fn a_path_is_taken_with_and_without_its_root() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("a/b")).unwrap();
        std::fs::write(root.path().join("a/file"), "").unwrap();
        let whole = root.path().join("a/b").display().to_string();
        let found = find(root.path(), &whole).unwrap();
        assert_eq!((found.path.as_str(), found.level), ("/a/b", 2));
        for text in ["a/b", "/a/b/", "./a/b"] {
            assert_eq!(find(root.path(), text).unwrap(), found, "{text}");
        }
        assert_eq!(find(root.path(), "/").unwrap().level, 0);
        for text in ["a/c", "a/file", "../a"] {
            let error = find(root.path(), text).unwrap_err();
            assert!(error.starts_with(&format!("cgroup {text}: ")), "{error}");
        }
    }

    #[test]
    fn below_is_by_whole_names() {
        let mut names = Names::new("/nowhere".into());
        names.known.insert(1, Some("/a/b".into()));
        names.known.insert(2, Some("/ab".into()));
        assert!(names.is_below(1, "/a") && names.is_below(1, "/a/b") && names.is_below(1, "/"));
        assert!(!names.is_below(2, "/a") && !names.is_below(3, "/a"));
    }
}
