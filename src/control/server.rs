// SPDX-License-Identifier: GPL-2.0-only
//! The socket's side of the scheduler: who may connect, and how a request becomes a [`Job`].
//!
//! One thread accepts, and each connection, of which there are few, has a thread of its own. They
//! share nothing with the scheduler's loop but the channel of jobs.
//!
//! A lock on the directory tells a live instance from a dead one: the kernel drops it with the
//! process, however that ends. So the owner of the lock may replace whatever socket it finds.

use super::SOCKET;
use super::audience::{Listener, Seat, subscription};
use super::change::{self, Change};
use super::watch;
use super::wire::{self, Answer, REQUEST_BYTES_MAX, Request};
use crate::cgroups::{self, Names};
use crate::events::filter::{Filter, Sieve};
use anyhow::{Context, Result, bail};
use log::{debug, warn};
use std::fs::{DirBuilder, File, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Most connections at once; a further one is told so and closed.
pub const CONNECTIONS_MAX: usize = 8;
/// How long a client may take to send a request, to read an answer, or to say nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a client waits for a place.
const PLACE_PATIENCE: Duration = Duration::from_millis(200);
/// How long the loop may take: it may be loading the scheduler anew.
const LOOP_PATIENCE: Duration = Duration::from_secs(30);

/// What the loop is asked to do.
#[derive(Debug)]
pub enum Wish {
    /// Tell the policy in force.
    Get,
    /// Change it.
    Set(Vec<Change>),
    /// Let it listen.
    Watch(Listener),
}

/// A checked request on its way to the loop.
#[derive(Debug)]
pub struct Job {
    wish: Wish,
    until: Instant,
    reply: Sender<Answer>,
}

impl Job {
    /// True when its client has been told that it took too long: it must not be done any more.
    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Do what is asked for and tell the client. It may have gone away; then nobody is told.
    pub fn carry_out(self, what: impl FnOnce(Wish) -> Answer) {
        let _ = self.reply.send(what(self.wish));
    }
}

/// The control socket of this process.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    jobs: Receiver<Job>,
    stop: Arc<AtomicBool>,
    /// Held as long as the server lives.
    _lock: File,
}

impl Server {
    /// Listen in `dir`, which is made if it does not exist.
    ///
    /// # Errors
    /// When another instance is alive there, when others than us may write to the directory, and
    /// when the system refuses.
    pub fn start(dir: &Path) -> Result<Server> {
        let lock = own(dir)?;
        let path = dir.join(SOCKET);
        let listener = listen(&path)?;
        let (sender, jobs) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        std::thread::Builder::new()
            .name("control".into())
            .spawn(move || accept(&listener, &sender, &stopped))
            .context("a thread for the control socket")?;
        Ok(Server { path, jobs, stop, _lock: lock })
    }

    /// The next job, waiting for it at most `wait`.
    pub fn next(&self, wait: Duration) -> Option<Job> {
        match self.jobs.recv_timeout(wait) {
            Ok(job) if job.is_over() => None,
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(wait);
                None
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts. Where it cannot, the thread ends with the process.
        let _ = UnixStream::connect(&self.path);
        if let Err(err) = std::fs::remove_file(&self.path) {
            debug!("{}: {err}", self.path.display());
        }
    }
}

/// Make `dir` if it is not there, and take its lock.
fn own(dir: &Path) -> Result<File> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(err) if err.kind() != ErrorKind::AlreadyExists => {
            bail!("{}: {err}", dir.display())
        }
        _ => {}
    }
    let about = dir.symlink_metadata().with_context(|| dir.display().to_string())?;
    // SAFETY: the call takes nothing, touches no memory and cannot fail.
    let me = unsafe { libc::geteuid() };
    if !about.is_dir() || about.uid() != me || about.mode() & 0o022 != 0 {
        bail!(
            "{}: expected a directory that belongs to user {me} and that nobody else may write to",
            dir.display()
        );
    }
    let lock = File::open(dir).with_context(|| dir.display().to_string())?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => {
            bail!("{}: another scx_toll is using it", dir.display())
        }
        Err(std::fs::TryLockError::Error(err)) => bail!("{}: {err}", dir.display()),
    }
}

/// A socket at `path` in place of a dead one. It gets its mode before it gets its name.
fn listen(path: &Path) -> Result<UnixListener> {
    let unnamed = path.with_extension("new");
    let made = || -> std::io::Result<UnixListener> {
        match std::fs::remove_file(&unnamed) {
            Err(err) if err.kind() != ErrorKind::NotFound => return Err(err),
            _ => {}
        }
        let listener = UnixListener::bind(&unnamed)?;
        std::fs::set_permissions(&unnamed, Permissions::from_mode(0o600))?;
        std::fs::rename(&unnamed, path)?;
        Ok(listener)
    };
    made().with_context(|| path.display().to_string())
}

/// Accept connections until told to stop.
fn accept(listener: &UnixListener, jobs: &Sender<Job>, stop: &AtomicBool) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let stream = match stream {
            Ok(stream) => stream,
            Err(err) => {
                warn!("control socket: {err}");
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        let client = Connection { stream, jobs: jobs.clone(), unread: Vec::new() };
        // Others may be about to leave; those that come meanwhile wait in the backlog.
        let until = Instant::now() + PLACE_PATIENCE;
        let mut place = Place::take(&open);
        while place.is_none() && Instant::now() < until {
            std::thread::sleep(PLACE_PATIENCE / 20);
            place = Place::take(&open);
        }
        let Some(place) = place else {
            client.turn_away();
            continue;
        };
        let serve = move || {
            let _place = place;
            client.serve();
        };
        if let Err(err) = std::thread::Builder::new().name("control client".into()).spawn(serve) {
            warn!("control socket: {err}");
        }
    }
}

/// One of the [`CONNECTIONS_MAX`] places; given back when dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(open: &Arc<AtomicUsize>) -> Option<Place> {
        let before = open.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(open));
        (before < CONNECTIONS_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// May a process of user `peer` command the scheduler of user `me`?
fn may_command(peer: u32, me: u32) -> bool {
    peer == 0 || peer == me
}

/// The user at the other end, by the kernel's word.
fn peer_uid(stream: &UnixStream) -> std::io::Result<u32> {
    let mut peer = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: `peer` and `size` are ours, and the size is that of `peer`.
    let done = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut size,
        )
    };
    if done == 0 { Ok(peer.uid) } else { Err(std::io::Error::last_os_error()) }
}

/// A client.
struct Connection {
    stream: UnixStream,
    jobs: Sender<Job>,
    unread: Vec<u8>,
}

impl Connection {
    /// Answer its requests until it has no more, or takes too long.
    fn serve(mut self) {
        // SAFETY: the call takes nothing, touches no memory and cannot fail.
        let me = unsafe { libc::geteuid() };
        match peer_uid(&self.stream) {
            Ok(peer) if may_command(peer, me) => {}
            Ok(peer) => {
                let error = format!("user {peer} may not control the scheduler, expected root");
                self.send(&Answer::Failed { error });
                return;
            }
            Err(err) => {
                warn!("control socket: {err}");
                return;
            }
        }
        loop {
            let answer = match self.line() {
                Ok(Some(line)) => match wire::decode(&line) {
                    Ok(Request::Watch { filter }) => return self.watch(&filter),
                    Ok(request) => self.ask(request),
                    Err(error) => Answer::Refused { error },
                },
                Ok(None) => return,
                Err(err) if err.kind() == ErrorKind::InvalidData => {
                    self.send(&Answer::Refused { error: wire::too_long() });
                    return;
                }
                Err(err) => {
                    debug!("control socket: {err}");
                    return;
                }
            };
            if !self.send(&answer) {
                return;
            }
        }
    }

    /// Tell it that there is no place. So short a text never waits for the client to read.
    fn turn_away(mut self) {
        let error = format!(
            "{CONNECTIONS_MAX} clients are connected to the control socket already, try again"
        );
        self.send(&Answer::Failed { error });
    }

    /// The next line without its newline; `None` at the end.
    fn line(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let until = Instant::now() + PATIENCE;
        let mut searched = 0;
        loop {
            if let Some(at) = self.unread[searched..].iter().position(|&byte| byte == b'\n') {
                let rest = self.unread.split_off(searched + at + 1);
                let mut line = std::mem::replace(&mut self.unread, rest);
                line.pop();
                return Ok(Some(line));
            }
            searched = self.unread.len();
            if searched >= REQUEST_BYTES_MAX {
                return Err(ErrorKind::InvalidData.into());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Ok(None),
                Ok(read) => self.unread.extend_from_slice(&bytes[..read]),
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
    }

    /// Check the request and hand it to the loop.
    fn ask(&self, request: Request) -> Answer {
        match wish(request) {
            Ok(wish) => self.hand_over(wish),
            Err(error) => Answer::Refused { error },
        }
    }

    /// Let the client listen for as long as it likes.
    fn watch(mut self, filter: &Filter) {
        let (listener, seat, cgroup) = match audition(filter) {
            Ok(admitted) => admitted,
            Err(error) => {
                self.send(&Answer::Refused { error });
                return;
            }
        };
        let answer = self.hand_over(Wish::Watch(listener));
        let listens = matches!(answer, Answer::Watching { .. });
        if self.send(&answer) && listens {
            watch::stream(&mut self.stream, &seat, cgroup);
        }
    }

    /// Hand a wish to the loop and wait for what comes of it.
    fn hand_over(&self, wish: Wish) -> Answer {
        let (reply, answer) = channel();
        let until = Instant::now() + LOOP_PATIENCE;
        let failed = |error: &str| Answer::Failed { error: error.into() };
        if self.jobs.send(Job { wish, until, reply }).is_err() {
            return failed("the scheduler is ending");
        }
        // Beyond its time the loop drops a job; one that it has just begun may still end.
        match answer.recv_timeout(LOOP_PATIENCE + PATIENCE) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => failed("the scheduler did not answer in time"),
            Err(RecvTimeoutError::Disconnected) => failed("the scheduler is ending or overloaded"),
        }
    }

    /// Send `answer`; false when the client does not take it.
    fn send(&mut self, answer: &Answer) -> bool {
        let sent = || -> std::io::Result<()> {
            self.stream.set_write_timeout(Some(PATIENCE))?;
            self.stream.write_all(wire::encode(answer)?.as_bytes())
        }();
        if let Err(err) = &sent {
            debug!("control socket: {err}");
        }
        sent.is_ok()
    }
}

/// What `request` asks for, with any file that it names read.
fn wish(request: Request) -> Result<Wish, String> {
    match request {
        Request::Set { assign } => {
            let mut changes = change::parse(&assign)?;
            for change in &mut changes {
                change.fetch()?;
            }
            Ok(Wish::Set(changes))
        }
        _ => Ok(Wish::Get),
    }
}

/// What a listener's thread needs to know of the cgroup that it was asked for.
type CgroupOf = Option<(Names, String)>;

/// Both ends of a subscription, if `filter` makes sense.
fn audition(filter: &Filter) -> Result<(Listener, Seat, CgroupOf), String> {
    let root = cgroups::root();
    let found = filter.cgroup.as_ref().map(|path| cgroups::find(&root, path)).transpose();
    // A path may hold a line break, the sentence must not.
    let cgroup = found.map_err(|why| wire::brief(&why, 500))?;
    let sieve = Sieve::new(filter, cgroup.as_ref().map(|found| (found.id, found.level)))?;
    let (listener, seat) = subscription(sieve);
    Ok((listener, seat, cgroup.map(|found| (Names::new(root), found.path))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_owner_may_command_and_nobody_else() {
        assert!(may_command(0, 0) && may_command(0, 1000) && may_command(1000, 1000));
        assert!(!may_command(1000, 0) && !may_command(1001, 1000));
    }

    #[test]
    fn a_name_with_a_line_break_is_refused_on_one_line() {
        let cgroup = Filter { cgroup: Some("no\nsuch".into()), ..Filter::default() };
        let kind = Filter { kinds: vec!["push\nllc".into()], ..Filter::default() };
        for filter in [cgroup, kind] {
            let refused = audition(&filter).err();
            assert!(refused.is_some_and(|why| !why.contains('\n')));
        }
    }
}
