// SPDX-License-Identifier: GPL-2.0-only
//! Where tables lie: one file per machine in the state directory, written in one step.

use super::learned::LearnedTable;
use super::machine::Machine;
use super::table::{TABLE_BYTES_MAX, Table};
use anyhow::{Result, anyhow, bail};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The variable that names the state directory.
pub const STATE_VARIABLE: &str = "SCX_TOLL_STATE_DIR";
const NAME: &str = "scx_toll";

/// The state directory, which need not exist: `$SCX_TOLL_STATE_DIR`; else `/var/lib/scx_toll` for
/// root; else `$XDG_STATE_HOME/scx_toll`; else `~/.local/state/scx_toll`.
///
/// # Errors
/// When none of them can be named.
pub fn state_dir() -> Result<PathBuf> {
    // SAFETY: no arguments, no memory, cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    choose_dir(root, |name| std::env::var_os(name))
}

fn choose_dir(root: bool, variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(dir) = set(STATE_VARIABLE) {
        return Ok(dir);
    }
    if root {
        return Ok(Path::new("/var/lib").join(NAME));
    }
    // The XDG specification has relative paths ignored.
    let xdg = set("XDG_STATE_HOME").filter(|dir| dir.is_absolute());
    let home = || set("HOME").map(|home| home.join(".local/state"));
    xdg.or_else(home).map(|dir| dir.join(NAME)).ok_or_else(|| {
        anyhow!("no state directory: none of {STATE_VARIABLE}, XDG_STATE_HOME and HOME is set")
    })
}

/// The file of the table of `machine` in `dir`.
pub fn path(dir: &Path, machine: &Machine) -> PathBuf {
    dir.join(format!("measured-{}.toml", machine.fingerprint()))
}

/// The file beside it with what was learned on `machine`.
pub fn learned_path(dir: &Path, machine: &Machine) -> PathBuf {
    dir.join(format!("learned-{}.toml", machine.fingerprint()))
}

/// Write `text` to `path` in one step: who reads it sees the old content or the new. A pipe or a
/// device is written to and not replaced.
///
/// # Errors
/// One sentence with the path, when the disk is full or the directory cannot be written.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let refused = |err: io::Error| anyhow!("cannot store the table in {}: {err}", path.display());
    if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        let write = |mut file: File| file.write_all(text.as_bytes());
        return File::options().write(true).open(path).and_then(write).map_err(refused);
    }
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.new", std::process::id()));
    let new = dir.join(name);
    let written = fs::create_dir_all(dir).and_then(|()| write_then_rename(&new, path, text));
    written.map_err(|err| {
        // What was written of it is of no use to anybody.
        let _ = fs::remove_file(&new);
        refused(err)
    })
}

fn write_then_rename(new: &Path, path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, path)
}

/// The stored table of the machine `here` in `dir`; `None` when there is none.
///
/// # Errors
/// One sentence, when the file cannot be read or its table is refused.
pub fn read(dir: &Path, here: &Machine) -> Result<Option<Table>> {
    let parse = |(text, name): (String, String)| Table::parse(&text, &name, here);
    text_of(&path(dir, here))?.map(parse).transpose()
}

/// What was learned on the machine `here` and kept in `dir`; `None` when nothing was.
///
/// # Errors
/// As [`read`].
pub fn read_learned(dir: &Path, here: &Machine) -> Result<Option<LearnedTable>> {
    let parse = |(text, name): (String, String)| LearnedTable::parse(&text, &name, here);
    text_of(&learned_path(dir, here))?.map(parse).transpose()
}

/// The text of the file `path` and its name for messages; `None` when there is no such file.
fn text_of(path: &Path) -> Result<Option<(String, String)>> {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    let read = File::open(path)
        .and_then(|file| file.take(TABLE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => {}
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => bail!("cannot read {name}: {err}"),
    }
    let text = String::from_utf8(bytes).map_err(|err| {
        anyhow!("{name}: byte {} is no UTF-8, expected text", err.utf8_error().valid_up_to())
    })?;
    Ok(Some((text, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_directory_by_rank() {
        let dir = |root, set: &[(&str, &str)]| {
            let find = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into());
            choose_dir(root, find).map(|dir| dir.display().to_string()).map_err(|e| e.to_string())
        };
        let (own, xdg, home) = ((STATE_VARIABLE, "/s"), ("XDG_STATE_HOME", "/x"), ("HOME", "/h"));
        assert_eq!(dir(true, &[own, xdg, home]), Ok("/s".into()));
        assert_eq!(dir(true, &[xdg, home]), Ok("/var/lib/scx_toll".into()));
        assert_eq!(dir(false, &[xdg, home]), Ok("/x/scx_toll".into()));
        assert_eq!(
            dir(false, &[("XDG_STATE_HOME", "x"), home]),
            Ok("/h/.local/state/scx_toll".into())
        );
        assert!(dir(false, &[("HOME", "")]).is_err_and(|text| text.contains("none of")));
    }
}
