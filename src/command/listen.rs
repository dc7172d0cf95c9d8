// SPDX-License-Identifier: GPL-2.0-only
//! A sample of the moves that are decided, for `top`, and only while somebody looks at them: the
//! scheduler records nothing for it before and after.

use super::link::RETRY;
use crate::control::client;
use crate::control::run_dir;
use crate::control::wire::Frame;
use crate::events::filter::Filter;
use crate::events::{Decision, Verdict};
use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// How often the end is looked for while nothing is heard.
const POLL: Duration = Duration::from_millis(100);

/// What is heard.
#[derive(Debug)]
pub enum Heard {
    /// A move that was decided.
    Move(Box<Decision>),
    /// Nothing is to be heard, and why; it is tried again.
    Nothing(String),
}

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Listening {
    stop: Arc<AtomicBool>,
    /// What was heard.
    pub heard: Receiver<Heard>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Listen to this share of all moves, also to those within an LLC.
///
/// # Errors
/// When the system gives no thread.
pub fn listen(rate: f64) -> Result<Listening> {
    let filter = Filter {
        kinds: vec!["all".into()],
        verdicts: vec![Verdict::Applied, Verdict::AppliedAged],
        rate,
        ..Filter::default()
    };
    let stop = Arc::new(AtomicBool::new(false));
    let (sender, heard) = channel();
    let stopped = Arc::clone(&stop);
    std::thread::Builder::new().name("listen".into()).spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            let why = match hear(&filter, &sender, &stopped) {
                Ok(()) => "the scheduler has ended".into(),
                Err(err) => format!("{err:#}"),
            };
            if sender.send(Heard::Nothing(why)).is_err() {
                return;
            }
            std::thread::sleep(RETRY);
        }
    })?;
    Ok(Listening { stop, heard })
}

/// Hear one scheduler until it ends or nobody listens any more.
fn hear(filter: &Filter, sender: &Sender<Heard>, stop: &AtomicBool) -> Result<()> {
    let mut watch = client::watch(&run_dir(), filter)?;
    while !stop.load(Ordering::Relaxed) {
        let Some(line) = watch.next(POLL)? else { continue };
        match line.frame()? {
            Frame::Decision(decision) => match sender.send(Heard::Move(decision)) {
                Ok(()) => {}
                Err(_) => return Ok(()),
            },
            Frame::Ended {} => return Ok(()),
            _ => {}
        }
    }
    Ok(())
}
