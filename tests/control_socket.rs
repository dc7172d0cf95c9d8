// SPDX-License-Identifier: GPL-2.0-only
//! The control socket without a kernel: who owns it, who may block whom, what is left of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scx_toll::control::SOCKET;
use scx_toll::control::client::ask;
use scx_toll::control::server::{CONNECTIONS_MAX, Server, Wish};
use scx_toll::control::wire::{Answer, REQUEST_BYTES_MAX, Request};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A stand-in for the scheduler's loop: answers jobs until nobody is left to ask, and says how
/// long its longest turn took.
fn answer_while(server: &Server, clients: impl FnOnce() + Send) -> Duration {
    std::thread::scope(|scope| {
        let clients = scope.spawn(clients);
        let mut slowest = Duration::ZERO;
        while !clients.is_finished() {
            let begun = Instant::now();
            if let Some(job) = server.next(Duration::from_millis(10)) {
                job.carry_out(|wish| {
                    let version = match &wish {
                        Wish::Set(changes) => changes.len() as u64,
                        Wish::Get | Wish::Watch(_) => 0,
                    };
                    Answer::Changed { version, changes: vec![] }
                });
            }
            slowest = slowest.max(begun.elapsed());
        }
        clients.join().unwrap();
        slowest
    })
}

fn set(dir: &Path, assignment: &str) -> Answer {
    ask(dir, &Request::Set { assign: vec![assignment.into()] }).unwrap()
}

fn start() -> (TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("run")).unwrap();
    (dir, server)
}

fn run(dir: &TempDir) -> std::path::PathBuf {
    dir.path().join("run")
}

#[test]
fn only_the_owner_can_reach_it_and_nothing_is_left_at_the_end() {
    let (dir, server) = start();
    let socket = run(&dir).join(SOCKET);
    let mode = |path: &Path| path.symlink_metadata().unwrap().mode() & 0o777;
    assert_eq!((mode(&run(&dir)), mode(&socket)), (0o700, 0o600));
    drop(server);
    assert_eq!(std::fs::read_dir(run(&dir)).unwrap().count(), 0);
    let error = ask(&run(&dir), &Request::Get {}).unwrap_err().to_string();
    assert_eq!(error, format!("no scx_toll is running (nobody listens at {})", socket.display()));
}

#[test]
fn the_socket_of_a_dead_instance_is_replaced_and_that_of_a_live_one_is_not() {
    let (dir, server) = start();
    let socket = run(&dir).join(SOCKET);
    let inode = socket.symlink_metadata().unwrap().ino();
    let error = Server::start(&run(&dir)).unwrap_err().to_string();
    assert_eq!(error, format!("{}: another scx_toll is using it", run(&dir).display()));
    assert_eq!(socket.symlink_metadata().unwrap().ino(), inode, "the live one is undisturbed");
    drop(server);

    drop(UnixListener::bind(&socket).unwrap());
    assert!(socket.exists(), "a dead socket");
    let server = Server::start(&run(&dir)).unwrap();
    answer_while(&server, || {
        assert_eq!(
            set(&run(&dir), "slice_us=500"),
            Answer::Changed { version: 1, changes: vec![] }
        );
    });
}

#[test]
fn a_directory_that_others_may_write_to_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let error = Server::start(dir.path()).unwrap_err().to_string();
    assert!(error.contains("nobody else may write to"), "{error}");
    assert!(Server::start(&dir.path().join("a/b")).is_err());
    std::fs::write(dir.path().join("file"), "").unwrap();
    assert!(Server::start(&dir.path().join("file")).is_err());
}

#[test]
fn clients_that_hang_hold_up_neither_the_loop_nor_other_clients() {
    let (dir, server) = start();
    let socket = run(&dir).join(SOCKET);
    let slowest = answer_while(&server, || {
        let hanging: Vec<UnixStream> = (1..CONNECTIONS_MAX)
            .map(|_| {
                let mut stream = UnixStream::connect(&socket).unwrap();
                stream.write_all(b"{\"what\"").unwrap();
                stream
            })
            .collect();
        for _ in 0..20 {
            assert!(matches!(set(&run(&dir), "slice_us=500"), Answer::Changed { .. }));
        }
        // One place is left, and one client more is told so.
        let _last = UnixStream::connect(&socket).unwrap();
        let Answer::Failed { error } = ask(&run(&dir), &Request::Get {}).unwrap() else {
            panic!("the {CONNECTIONS_MAX} places are taken");
        };
        assert!(error.contains("clients are connected"), "{error}");
        drop(hanging);
        let until = Instant::now() + Duration::from_secs(5);
        while matches!(ask(&run(&dir), &Request::Get {}).unwrap(), Answer::Failed { .. }) {
            assert!(Instant::now() < until, "the places are not given back");
        }
    });
    assert!(slowest < Duration::from_secs(1), "the loop was held up for {slowest:?}");
}

#[test]
fn bad_requests_never_reach_the_loop_and_the_connection_goes_on() {
    let (dir, server) = start();
    let socket = run(&dir).join(SOCKET);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut stream = UnixStream::connect(&socket).unwrap();
            let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
            for request in ["", "x", "{\"what\":\"set\",\"assign\":[\"slice_us=5\"]}"] {
                stream.write_all(format!("{request}\n").as_bytes()).unwrap();
                let answer = answers.next().unwrap().unwrap();
                assert!(answer.starts_with("{\"what\":\"refused\""), "{answer}");
            }
            // Too long: told so, and closed.
            let _ = stream.write_all(&vec![b'x'; REQUEST_BYTES_MAX]);
            let answer = answers.next().unwrap().unwrap();
            assert!(answer.contains("longer than 65536 bytes"), "{answer}");
            assert!(answers.next().is_none_or(|end| end.is_err()));
        });
        while !client.is_finished() {
            assert!(server.next(Duration::from_millis(5)).is_none());
        }
        client.join().unwrap();
    });
}
