// SPDX-License-Identifier: GPL-2.0-only
//! The socket on which the sched_ext family's tools ask for statistics, and where they find what
//! each number means.

use super::exported::{DecisionStats, LlcStats, MoveStats, PairStats, TollStats};
use super::feed::Tap;
use super::{Delta, Snapshot};
use anyhow::{Context, Result};
use scx_stats::prelude::*;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Serves until it is dropped.
pub struct Server {
    path: PathBuf,
    _server: StatsServer<(), ()>,
}

impl Server {
    /// Listen at `path`, in place of whatever is there.
    ///
    /// # Errors
    /// When the system refuses; the sentence names the path.
    pub fn start(path: &Path, tap: Tap) -> Result<Server> {
        let server = StatsServer::new(data(tap))
            .set_path(path)
            .launch()
            .with_context(|| format!("statistics cannot be served at {}", path.display()))?;
        // For root alone, as the control socket is.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
            .with_context(|| path.display().to_string())?;
        Ok(Server { path: path.into(), _server: server })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already, and nothing depends on it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What is told, and how it is come by. Each client has an interval of its own.
fn data(tap: Tap) -> StatsServerData<(), ()> {
    let open: Box<dyn StatsOpener<(), ()>> = Box::new(move |_| {
        let tap = tap.clone();
        let mut before: Option<Snapshot> = None;
        let read: Box<dyn StatsReader<(), ()>> = Box::new(move |_, _| {
            let now = tap.snapshot()?;
            let since = before.take().unwrap_or_else(|| now.beginning());
            let stats = TollStats::from(&Delta::between(&since, &now));
            before = Some(now);
            stats.to_json()
        });
        Ok(read)
    });
    described().add_ops("top", StatsOps { open, close: None })
}

fn described() -> StatsServerData<(), ()> {
    StatsServerData::new()
        .add_meta(TollStats::meta())
        .add_meta(LlcStats::meta())
        .add_meta(MoveStats::meta())
        .add_meta(DecisionStats::meta())
        .add_meta(PairStats::meta())
}

/// What `--help-stats` prints.
///
/// # Errors
/// When `out` does not take it.
pub fn describe(out: &mut impl std::io::Write) -> Result<()> {
    described().describe_meta(out, None)
}
