// SPDX-License-Identifier: GPL-2.0-only
//! Threads of one load, joined together so that no error is lost.

use std::thread::{Builder, JoinHandle};

use anyhow::{Context, Result, anyhow};

/// The threads do little; small stacks keep thousands of them cheap in a small VM.
const STACK_BYTES: usize = 256 * 1024;

/// Threads that were started and not joined yet.
#[derive(Debug, Default)]
pub struct Team {
    members: Vec<JoinHandle<Result<()>>>,
}

impl Team {
    /// A team without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// Start a thread. Its name is cut to 15 characters by the kernel.
    pub fn spawn<F>(&mut self, name: String, body: F) -> Result<()>
    where
        F: FnOnce() -> Result<()> + Send + 'static,
    {
        let member = Builder::new()
            .name(name.clone())
            .stack_size(STACK_BYTES)
            .spawn(body)
            .with_context(|| format!("thread {name} could not be started"))?;
        self.members.push(member);
        Ok(())
    }

    /// Wait until every thread has ended. Fails with the first error that one of them met.
    pub fn join(self) -> Result<()> {
        let mut result = Ok(());
        for member in self.members {
            let name = member.thread().name().unwrap_or("thread").to_string();
            let ended = match member.join() {
                Ok(ended) => ended.with_context(|| name),
                Err(_) => Err(anyhow!("{name} panicked")),
            };
            result = result.and(ended);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_reported_with_the_name() {
        let mut team = Team::new();
        for i in 0..3 {
            let body = move || if i == 1 { Err(anyhow!("lost")) } else { Ok(()) };
            team.spawn(format!("worker{i}"), body).expect("spawn");
        }
        let error = team.join().expect_err("an error");
        assert_eq!(format!("{error:#}"), "worker1: lost");
    }
}
