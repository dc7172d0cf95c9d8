// SPDX-License-Identifier: GPL-2.0-only
//! A scheduler that was compiled for the host, as a shared object.
//!
//! Every [`Object`] is loaded anew, from a file in memory, so that each has variables and maps of its
//! own: simulations can run one after another and beside each other.

use super::abi::{Host, Map, NamedMap, NamedVariable, Ops, Task};
use anyhow::{Context, Result, anyhow, bail};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;

/// The BPF half of scx_toll as build.rs has compiled it for the host.
static TOLL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/toll_host.so"));

/// A loaded scheduler. The handle is never closed before all that came from it is gone.
pub struct Object {
    handle: *mut c_void,
    /// `sim_task_state`, if it has one.
    state_of: Option<unsafe extern "C" fn(*mut Task) -> *mut c_void>,
    /// While it is open no other file gets the name by which the loader knows this one.
    _file: File,
}

impl Object {
    /// scx_toll's own.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub fn toll() -> Result<Object> {
        Object::load(TOLL).context("the BPF half that was compiled for the host")
    }

    /// The scheduler in the file `path`.
    ///
    /// # Errors
    /// When it cannot be read, or is no shared object.
    pub fn open(path: &Path) -> Result<Object> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        Object::load(&bytes).with_context(|| path.display().to_string())
    }

    fn load(bytes: &[u8]) -> Result<Object> {
        // SAFETY: the name is a C string; the descriptor that is returned is ours alone.
        let fd = unsafe { libc::memfd_create(c"scheduler".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(std::io::Error::last_os_error()).context("no file in memory");
        }
        // SAFETY: `fd` is open and owned by nobody else.
        let mut file = unsafe { File::from_raw_fd(fd) };
        file.write_all(bytes).context("a file in memory")?;
        let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        // SAFETY: the path is a C string. What the object runs when it is loaded is the business
        // of whoever names it, as with any program.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            return Err(loader_error()).context("it cannot be loaded");
        }
        let mut object = Object { handle, state_of: None, _file: file };
        // SAFETY: toll.c defines it with this signature.
        object.state_of =
            object.symbol(c"sim_task_state").map(|at| unsafe { std::mem::transmute(at) });
        Ok(object)
    }

    fn symbol(&self, name: &CStr) -> Option<*mut c_void> {
        // SAFETY: the handle is open and the name is a C string.
        let at = unsafe { libc::dlsym(self.handle, name.as_ptr()) };
        (!at.is_null()).then_some(at)
    }

    fn needed(&self, name: &CStr) -> Result<*mut c_void> {
        self.symbol(name).ok_or_else(|| {
            anyhow!(
                "it has no {}: it was not compiled against src/sim/stand_in, or has no SCX_OPS_DEFINE",
                name.to_string_lossy()
            )
        })
    }

    /// Make `host` known to the object and return its callbacks.
    ///
    /// # Errors
    /// When the object is no scheduler, or was compiled against another version of the header.
    ///
    /// # Safety
    /// `host` has to outlive all calls of the callbacks.
    pub unsafe fn bind(&self, host: *mut Host) -> Result<Ops> {
        let at = self.needed(c"sim_bind")?;
        // SAFETY: the header defines sim_bind with this signature.
        let bind: unsafe extern "C" fn(*mut Host) -> *const Ops =
            unsafe { std::mem::transmute(at) };
        // SAFETY: the caller keeps the host alive.
        let ops = unsafe { bind(host) };
        if ops.is_null() {
            bail!("it was compiled against another version of src/sim/stand_in");
        }
        // SAFETY: the object says that it has the layout of this version.
        Ok(unsafe { (*ops).clone() })
    }

    /// Free what the scheduler keeps for `task`.
    ///
    /// # Safety
    /// `task` is alive and no callback about it follows.
    pub unsafe fn forget_task(&self, task: *mut Task) {
        if let Some(at) = self.symbol(c"sim_forget_task") {
            // SAFETY: the header defines it with this signature.
            let forget: unsafe extern "C" fn(*mut Task) = unsafe { std::mem::transmute(at) };
            // SAFETY: by the caller.
            unsafe { forget(task) };
        }
    }

    /// The variables that the object names, with their addresses and sizes; none for one that has
    /// no user-space half.
    pub fn variables(&self) -> BTreeMap<String, (*mut u8, usize)> {
        let Some(at) = self.symbol(c"sim_variables") else { return BTreeMap::new() };
        // SAFETY: toll.c defines it with this signature, and what it returns lives as long as the object.
        let list: unsafe extern "C" fn(*mut u64) -> *const NamedVariable =
            unsafe { std::mem::transmute(at) };
        let mut nr = 0;
        // SAFETY: as above; the array has `nr` entries.
        let all = unsafe { std::slice::from_raw_parts(list(&mut nr), nr as usize) };
        all.iter().map(|v| (text(v.name), (v.at, v.size as usize))).collect()
    }

    /// The maps that the object names.
    pub fn maps(&self) -> BTreeMap<String, &Map> {
        let Some(at) = self.symbol(c"sim_maps") else { return BTreeMap::new() };
        // SAFETY: as for the variables.
        let list: unsafe extern "C" fn(*mut u64) -> *const NamedMap =
            unsafe { std::mem::transmute(at) };
        let mut nr = 0;
        // SAFETY: as above.
        let all = unsafe { std::slice::from_raw_parts(list(&mut nr), nr as usize) };
        all.iter().map(|m| (text(m.name), &m.map)).collect()
    }

    /// The memory of a map, made now if it has none yet; none if the object names no maps.
    pub fn storage(&self, map: &Map) -> Option<*mut u8> {
        let at = self.symbol(c"sim_map_storage")?;
        // SAFETY: toll.c defines it with this signature.
        let make: unsafe extern "C" fn(*const Map) -> *mut u8 = unsafe { std::mem::transmute(at) };
        // SAFETY: the map is one of the object's.
        Some(unsafe { make(map) })
    }

    /// What the scheduler keeps for `task`; null if nothing.
    ///
    /// # Safety
    /// `task` is alive.
    pub unsafe fn task_state(&self, task: *mut Task) -> *mut c_void {
        // SAFETY: by the caller.
        self.state_of.map_or(std::ptr::null_mut(), |state_of| unsafe { state_of(task) })
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: whoever holds addresses of the object holds the object, too.
        unsafe { libc::dlclose(self.handle) };
    }
}

fn text(at: *const c_char) -> String {
    // SAFETY: names are string literals of the object.
    unsafe { CStr::from_ptr(at) }.to_string_lossy().into_owned()
}

fn loader_error() -> anyhow::Error {
    // SAFETY: the loader's message is valid until its next call in this thread.
    let at = unsafe { libc::dlerror() };
    match at.is_null() {
        true => anyhow!("the loader does not say why"),
        false => anyhow!("{}", text(at)),
    }
}
