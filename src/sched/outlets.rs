// SPDX-License-Identifier: GPL-2.0-only
//! Where statistics leave the process besides standard output: the family's socket, and a page
//! for Prometheus. They outlive a restart of the scheduler.

use crate::config::Config;
use crate::control::stats_socket;
use crate::stats::Snapshot;
use crate::stats::feed::{self, Feed};
use crate::stats::scrape;
use crate::stats::server::Server;
use anyhow::Result;
use log::{info, warn};

/// What is open. Nothing here ends the scheduler once it runs.
pub struct Outlets {
    feed: Feed,
    _server: Option<Server>,
}

impl Outlets {
    /// Open what `config` asks for, and the family's socket.
    ///
    /// # Errors
    /// When the address of `--metrics` cannot be had.
    pub fn start(config: &Config) -> Result<Outlets> {
        let (feed, tap) = feed::new();
        if let Some(address) = config.metrics {
            let address = scrape::start(address, tap.clone())?;
            info!("metrics at http://{address}/metrics");
            if !address.ip().is_loopback() {
                warn!("metrics at {address} can be read by whoever reaches that address");
            }
        }
        let server = Server::start(&stats_socket(), tap)
            .inspect_err(|err| warn!("nobody can watch while this runs: {err:#}"))
            .ok();
        Ok(Outlets { feed, _server: server })
    }

    /// Tell those who have asked.
    ///
    /// # Errors
    /// That of `take`.
    pub fn serve(&self, take: impl FnOnce() -> Result<Snapshot>) -> Result<()> {
        self.feed.serve(take)
    }
}
