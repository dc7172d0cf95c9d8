// SPDX-License-Identifier: GPL-2.0-only
//! Memory that a process and the children it forks share.

use std::io;
use std::ops::Deref;
use std::ptr::NonNull;

/// A type that may live in shared memory.
///
/// # Safety
/// All-zero bytes must be a valid value, everything that changes must be an atomic, and the type
/// must neither hold pointers nor need dropping.
pub unsafe trait Shareable: Sync {}

/// A slice in an anonymous shared mapping, all zeroes at first. Pages are only used once touched.
pub struct SharedSlice<T: Shareable> {
    start: NonNull<T>,
    len: usize,
}

// SAFETY: the mapping belongs to no thread, and `T: Sync` allows access from several at once.
unsafe impl<T: Shareable> Send for SharedSlice<T> {}
// SAFETY: as above; a shared reference gives out nothing but shared references to `T`.
unsafe impl<T: Shareable> Sync for SharedSlice<T> {}

impl<T: Shareable> SharedSlice<T> {
    /// Map `len` values.
    pub fn new(len: usize) -> io::Result<Self> {
        let bytes = Self::bytes(len).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice touches no memory
        // that is in use.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }

    /// The size of a mapping, which the kernel wants above 0.
    fn bytes(len: usize) -> Option<usize> {
        size_of::<T>().checked_mul(len).map(|bytes| bytes.max(1))
    }
}

impl<T: Shareable> Deref for SharedSlice<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the mapping holds `len` values, page-aligned and zeroed, which `Shareable` says are
        // valid; it lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Shareable> Drop for SharedSlice<T> {
    fn drop(&mut self) {
        if let Some(bytes) = Self::bytes(self.len) {
            // SAFETY: the mapping was made with this size, and no reference outlives `self`.
            unsafe { libc::munmap(self.start.as_ptr().cast(), bytes) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    struct Cell(AtomicU64);
    // SAFETY: one atomic integer.
    unsafe impl Shareable for Cell {}

    #[test]
    fn a_child_writes_what_the_parent_reads() {
        let cells = SharedSlice::<Cell>::new(3).expect("map");
        assert_eq!(cells[2].0.load(Relaxed), 0);
        // SAFETY: the child only stores to an atomic.
        let child = unsafe {
            child::fork(|| {
                cells[2].0.store(7, Relaxed);
                0
            })
        };
        assert_eq!(child.expect("fork").wait().expect("wait"), 0);
        assert_eq!((cells.len(), cells[2].0.load(Relaxed)), (3, 7));
    }

    #[test]
    fn no_values_need_no_care() {
        assert!(SharedSlice::<Cell>::new(0).expect("map").is_empty());
    }
}
