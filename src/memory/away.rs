// SPDX-License-Identifier: GPL-2.0-only
//! Who has settled on another node than its memory's: the map `toll_away`, and the argument of
//! `toll_rehome_task`.

use crate::bpf::types;
use crate::units::{NodeId, Ns};
use anyhow::{Context, Result, bail};
use libbpf_rs::{MapCore, MapFlags};

#[repr(transparent)]
#[derive(Default)]
struct AwayBytes(types::toll_away);

/// The argument of the BPF program `toll_rehome_task`.
#[repr(transparent)]
pub struct Rehome(types::toll_rehome);

// SAFETY: the generated structs are `repr(C)`, made of integers only, their padding is spelled
// out as fields, and every bit pattern is a valid value.
unsafe impl plain::Plain for AwayBytes {}
// SAFETY: as above.
unsafe impl plain::Plain for Rehome {}

impl Rehome {
    /// The memory of thread `tid` is on `node` now.
    pub fn moved_to(tid: u32, node: NodeId) -> Rehome {
        Rehome(types::toll_rehome { tid, node: node.0, push: 0, pad: 0 })
    }

    /// Thread `tid` is to go where its memory is.
    pub fn go_home(tid: u32) -> Rehome {
        Rehome(types::toll_rehome { tid, node: 0, push: 1, pad: 0 })
    }
}

/// A thread that has settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Away {
    /// Its process.
    pub tgid: u32,
    /// Where it is.
    pub node: NodeId,
    /// Its memory's node, as the scheduler knows it.
    pub home: NodeId,
    /// How long it has been there.
    pub stayed: Ns,
}

/// Who was told of since the last look; the map is empty afterwards, until they run again.
///
/// # Errors
/// When the map cannot be read.
pub fn take(map: &impl MapCore) -> Result<Vec<Away>> {
    let mut found = Vec::new();
    for key in map.keys().collect::<Vec<_>>() {
        let bytes = map.lookup(&key, MapFlags::ANY).context("toll_away cannot be read")?;
        let Some(bytes) = bytes else { continue };
        let mut entry = AwayBytes::default();
        if plain::copy_from_bytes(&mut entry, &bytes).is_err() {
            bail!("an entry of toll_away has {} bytes", bytes.len());
        }
        let types::toll_away { stayed_ns, tgid, node, home, .. } = entry.0;
        found.push(Away {
            tgid,
            node: NodeId(node),
            home: NodeId(home),
            stayed: Ns::new(stayed_ns),
        });
        // One that the kernel dropped meanwhile is gone as well.
        let _ = map.delete(&key);
    }
    Ok(found)
}
