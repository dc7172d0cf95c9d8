// SPDX-License-Identifier: GPL-2.0-only
//! What may be said to the control socket, the one sentence for everything else, and that
//! nothing that is said can do harm.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use scx_toll::control::change::{self, Changed};
use scx_toll::control::wire::{self, Answer, Request};
use scx_toll::events::filter::{Filter, Sieve};
use scx_toll::model::PenaltyTable;
use scx_toll::model::decide::Migrate;
use scx_toll::policy::Policy;
use scx_toll::policy::view::PolicyView;
use scx_toll::topology::{Level, Topology};
use scx_toll::units::Ns;
use std::time::{Duration, Instant};

fn machine() -> (Topology, Policy) {
    let topo = Topology::synthetic(2, 2, 2).unwrap();
    let policy = Policy::new(PenaltyTable::default(), "default".into(), &topo);
    (topo, policy)
}

fn set(assign: &[&str]) -> Result<(Policy, Vec<Changed>), String> {
    let (topo, policy) = machine();
    let assign: Vec<String> = assign.iter().map(|text| text.to_string()).collect();
    let mut changes = change::parse(&assign)?;
    for change in &mut changes {
        change.fetch()?;
    }
    change::apply(&changes, &policy, &topo)
}

fn changed(key: &str, old: &str, new: &str) -> Changed {
    Changed { key: key.into(), old: old.into(), new: new.into() }
}

#[test]
fn all_assignments_of_a_request_are_one_change_and_answered_with_old_and_new() {
    let (policy, changes) = set(&[
        "slice_us=5000",
        "migrate=fixed:12.5",
        "hysteresis_us.node=3000,1000,8000",
        "hysteresis_us.llc=100",
        "learn=off",
    ])
    .unwrap();
    assert_eq!(policy.slice, Ns::from_ms(5));
    assert_eq!((policy.migrate, policy.fixed), (Migrate::Fixed, Ns::new(12_500)));
    let node = policy.hysteresis[Level::Node.index()];
    assert_eq!(
        (node.open, node.close, node.hold),
        (Ns::from_ms(3), Ns::from_ms(1), Ns::from_ms(8))
    );
    assert_eq!(policy.hysteresis[Level::Llc.index()].open, Ns::from_us(100));
    assert_eq!(
        changes,
        [
            changed("slice_us", "20000", "5000"),
            changed("migrate", "toll", "fixed:12.5"),
            changed("hysteresis_us.node", "2000,500,4000", "3000,1000,8000"),
            changed("hysteresis_us.llc", "0,0,0", "100,0,0"),
            changed("learn", "on", "off"),
        ]
    );
}

#[test]
fn what_a_gate_leaves_out_stays() {
    let gate =
        |value: &str| set(&[&format!("hysteresis_us.node={value}")]).unwrap().1[0].new.clone();
    assert_eq!(gate("9000"), "9000,500,4000");
    assert_eq!(gate("9000,0"), "9000,0,4000");
    assert_eq!(gate("0,0,0.5"), "0,0,0.5");
}

#[test]
fn a_penalty_file_replaces_the_table_and_default_brings_it_back() {
    let (topo, before) = machine();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[[pair]]\nfrom = 0\nto = 3\nhop_us = 77\n").unwrap();
    let path = file.path().to_str().unwrap();
    let (policy, changes) = set(&[&format!("penalty={path}"), "slice_us=1000"]).unwrap();
    assert_eq!(changes[0], changed("penalty", "default", path));
    assert_eq!(policy.matrix.hop[0][3], Ns::from_us(77));
    assert_eq!(policy.slice, Ns::from_ms(1), "a new table leaves the rest alone");
    let back = change::parse(&["penalty=default".into()]).unwrap();
    let (policy, changes) = change::apply(&back, &policy, &topo).unwrap();
    assert_eq!(changes[0], changed("penalty", path, "default"));
    assert_eq!(policy.matrix, before.matrix);
}

#[test]
fn every_bad_value_is_refused_with_one_sentence() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[class.llc]\nhop_us = -1\n").unwrap();
    let path = file.path().to_str().unwrap();
    let keys = "penalty, slice_us, migrate, learn, hysteresis_us.core, hysteresis_us.llc or \
                hysteresis_us.node";
    let time = "expected OPEN[,CLOSE[,HOLD]], each microseconds from 0 to 60000000";
    let cases: &[(&[&str], String)] = &[
        (&[], format!("nothing is assigned, expected KEY=VALUE with the key {keys}")),
        (&["slice_us"], "slice_us: expected KEY=VALUE".into()),
        (&["speed=1"], format!("speed=1: no such key, expected {keys}")),
        (&["=1"], format!("=1: no such key, expected {keys}")),
        (&["slice_us=5"], "slice_us=5: a turn lasts from 100 to 1000000 microseconds".into()),
        (&["slice_us=-5"], "slice_us=-5: expected a whole number of microseconds".into()),
        (&["slice_us="], "slice_us=: expected a whole number of microseconds".into()),
        (&["slice_us=1e3"], "slice_us=1e3: expected a whole number of microseconds".into()),
        (&["learn=maybe"], "learn=maybe: expected on or off".into()),
        (&["migrate=often"], "migrate=often: expected toll, always, never or fixed:US".into()),
        (&["migrate=fixed:x"], "migrate=fixed:x: \"x\" is not a number of microseconds".into()),
        (&["migrate=fixed:-1"], "migrate=fixed:-1: -1 is negative".into()),
        (&["migrate=fixed:nan"], "migrate=fixed:nan: NaN is not a finite number".into()),
        (&["migrate=fixed:1e99"], format!("migrate=fixed:1e99: 1{} is too large", "0".repeat(99))),
        (&["hysteresis_us.far=1"], format!("hysteresis_us.far=1: no such key, expected {keys}")),
        (&["hysteresis_us.llc="], format!("hysteresis_us.llc=: \"\" is no time, {time}")),
        (&["hysteresis_us.llc=1,x"], format!("hysteresis_us.llc=1,x: \"x\" is no time, {time}")),
        (&["hysteresis_us.llc=NaN"], format!("hysteresis_us.llc=NaN: \"NaN\" is no time, {time}")),
        (
            &["hysteresis_us.llc=6e7,0,7e7"],
            format!("hysteresis_us.llc=6e7,0,7e7: \"7e7\" is no time, {time}"),
        ),
        (
            &["hysteresis_us.llc=1,1,1,1"],
            "hysteresis_us.llc=1,1,1,1: expected OPEN[,CLOSE[,HOLD]] in microseconds".into(),
        ),
        (
            &["hysteresis_us.node=100"],
            "hysteresis_us.node: hysteresis closes at 500 µs and opens at 100 µs, expected close \
             <= open"
                .into(),
        ),
        (
            &["penalty=p.toml"],
            "penalty=p.toml: expected default or the absolute path of a penalty file".into(),
        ),
        (&["penalty=/nowhere"], "penalty=/nowhere: No such file or directory (os error 2)".into()),
        (&["penalty=/dev/zero"], "penalty=/dev/zero: expected a regular file".into()),
        (
            &[&format!("penalty={path}")],
            format!(
                "penalty={path}: class.llc.hop_us is -1, expected microseconds from 0 to 60000000"
            ),
        ),
        (&["slice_us=200", "slice_us=300"], "slice_us is assigned twice, expected once".into()),
        (
            &["migrate=never", "slice_us=5"],
            "slice_us=5: a turn lasts from 100 to 1000000 microseconds".into(),
        ),
    ];
    for (assign, sentence) in cases {
        let error = set(assign).expect_err(&format!("{assign:?}"));
        assert_eq!(&error, sentence, "{assign:?}");
    }
    let error = set(&[&format!("x\ny{}=1", "z".repeat(1000))]).expect_err("a refusal");
    assert!(error.len() < 200 && !error.contains('\n'), "{error:?}");
}

#[test]
fn an_answer_survives_the_way_to_the_client() {
    let (topo, policy) = machine();
    let view = PolicyView::new(&policy, &topo, 3);
    for answer in [
        Answer::Policy(Box::new(view)),
        Answer::Changed { version: 2, changes: vec![changed("migrate", "toll", "never")] },
        Answer::Refused { error: "slice_us=5: ...".into() },
    ] {
        let line = wire::encode(&answer).unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        assert_eq!(serde_json::from_str::<Answer>(&line).unwrap(), answer);
    }
}

/// Bytes that are, or once were, a request.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let key = prop_oneof![
        Just("slice_us"),
        Just("migrate"),
        Just("learn"),
        Just("penalty"),
        Just("hysteresis_us.llc"),
        Just("hysteresis_us.node"),
        Just("hysteresis_us.core"),
        Just("x")
    ];
    let value = prop_oneof![
        "[0-9]{1,8}",
        "[0-9.,eE+-]{0,20}",
        "(toll|always|never|fixed:)[0-9.]{0,9}",
        "(on|off)",
        "(default|/[a-z]{0,3})",
        ".{0,20}"
    ];
    let assignment = (key, value).prop_map(|(key, value)| format!("{key}={value}"));
    let valid = proptest::collection::vec(assignment, 0..4)
        .prop_map(|assign| wire::encode(&Request::Set { assign }).unwrap().into_bytes());
    let watch = ("(place|push.llc|all|x)", any::<f64>(), any::<Option<u32>>()).prop_map(
        |(kind, rate, pid)| {
            let filter = Filter { kinds: vec![kind], rate, pid, ..Filter::default() };
            wire::encode(&Request::Watch { filter }).unwrap().into_bytes()
        },
    );
    let valid = prop_oneof![3 => valid, 1 => watch];
    let mutated = (
        valid,
        proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 0..4),
    )
        .prop_map(|(mut bytes, edits)| {
            for (at, byte, edit) in edits {
                let at = at.index(bytes.len().max(1));
                match edit {
                    0 if at < bytes.len() => bytes[at] = byte,
                    1 => bytes.insert(at.min(bytes.len()), byte),
                    _ if at < bytes.len() => {
                        bytes.remove(at);
                    }
                    _ => {}
                }
            }
            bytes
        });
    prop_oneof![4 => mutated, 1 => proptest::collection::vec(any::<u8>(), 0..300)]
}

/// One line through everything that a line goes through, except that no file is read.
fn listen_to(line: &[u8], topo: &Topology, policy: &Policy) -> Result<bool, TestCaseError> {
    let one_line = |error: &str| !error.contains('\n') && error.len() < 600;
    let assign = match wire::decode(line) {
        Ok(Request::Set { assign }) => assign,
        Ok(Request::Get {}) => return Ok(false),
        Ok(Request::Watch { filter }) => {
            let checked = Sieve::new(&filter, None);
            prop_assert!(checked.err().is_none_or(|error| !error.contains('\n')));
            return Ok(false);
        }
        Err(error) => {
            prop_assert!(one_line(&error), "{error:?}");
            return Ok(false);
        }
    };
    match change::parse(&assign).and_then(|changes| change::apply(&changes, policy, topo)) {
        Ok((next, changes)) => {
            prop_assert_eq!(changes.len(), assign.len());
            prop_assert!((Ns::from_us(100)..=Ns::from_ms(1000)).contains(&next.slice));
            for gate in next.hysteresis {
                prop_assert!(gate.close <= gate.open && gate.open <= Ns::from_ms(60_000));
            }
            // What is answered can be assigned again and changes nothing any more.
            let again: Vec<String> =
                changes.iter().map(|c| format!("{}={}", c.key, c.new)).collect();
            if !again.iter().any(|text| text.starts_with("penalty=/")) {
                let again = change::parse(&again).map_err(TestCaseError::fail)?;
                let (_, same) = change::apply(&again, &next, topo).map_err(TestCaseError::fail)?;
                prop_assert!(same.iter().all(|c| c.old == c.new), "{same:?}");
            }
            Ok(true)
        }
        Err(error) => {
            prop_assert!(one_line(&error), "{error:?}");
            Ok(false)
        }
    }
}

/// Two seconds; a minute in the long run.
#[test]
fn nothing_that_is_said_makes_it_panic_or_yields_a_bad_policy() {
    let seconds = if std::env::var_os("TOLL_LONG").is_some() { 60 } else { 2 };
    let until = Instant::now() + Duration::from_secs(seconds);
    let (topo, policy) = machine();
    let (mut lines, mut accepted) = (0u64, 0u64);
    while Instant::now() < until {
        let mut runner =
            TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
        let count = std::cell::Cell::new((0u64, 0u64));
        runner
            .run(&requests(), |line| {
                let good = listen_to(&line, &topo, &policy)?;
                let (all, ok) = count.get();
                count.set((all + 1, ok + u64::from(good)));
                Ok(())
            })
            .unwrap();
        lines += count.get().0;
        accepted += count.get().1;
    }
    eprintln!("{lines} lines, {accepted} accepted");
    assert!(accepted > 0 && accepted < lines, "{accepted} of {lines}");
}
