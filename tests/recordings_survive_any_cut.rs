// SPDX-License-Identifier: GPL-2.0-only
//! A recording gives back what was recorded; cut or damaged anywhere it gives back what is in its
//! whole blocks, and says what is missing; and nothing at all makes the reader panic.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use scx_toll::control::wire::{Frame, Places};
use scx_toll::events::{Decision, Kind, Outcome, Question, Slice, Verdict, Who};
use scx_toll::model::decide::Migrate;
use scx_toll::recording::{Entry, Head, Missing, Recorder, Recording};
use scx_toll::topology::Level;

const NR_CPUS: u32 = 4;

fn who() -> impl Strategy<Value = Who> {
    (1..9u32, 1..9u32, 1..4u64, "[a-zé]{0,9}").prop_map(|(pid, tgid, cgroup, comm)| Who {
        pid,
        tgid,
        cgroup,
        comm,
    })
}

/// Times that grow, times that do not, and none.
fn time() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 1_000_000_000..3_000_000_000u64, 1 => Just(0), 1 => any::<u64>()]
}

fn question() -> impl Strategy<Value = Question> {
    (
        (time(), any::<i64>(), any::<i64>(), any::<u64>(), 0..9u64, any::<u32>(), any::<bool>()),
        (time(), time(), any::<i64>(), -9..9i64, any::<bool>(), 0..2048u32),
    )
        .prop_map(|((asked, gain, penalty, from, to, turns, reasked), more)| {
            let (since, seen, refill, remote, owed, price) = more;
            Question {
                asked_ns: asked,
                gain_ns: gain,
                penalty_ns: penalty,
                wait_from_ns: from,
                wait_to_ns: to,
                turns,
                hop_ns: 10_000,
                refill_ns: refill,
                remote_ns: remote,
                price_q10: price,
                refill_q10: 1024,
                warm_from_ns: from / 2,
                warm_to_ns: to,
                warm_most_ns: from,
                span_ns: 7,
                there_pm: 250,
                here_pm: 0,
                gate_since_ns: since,
                gate_seen_ns: seen,
                open_ns: 1,
                close_ns: 2,
                hold_ns: 3,
                reasked,
                owed,
                sent_home: owed && reasked,
                against_class: !owed,
                slower_pm: price,
                home_node: owed.then_some(turns),
                beside: owed && !reasked,
            }
        })
}

fn decision() -> impl Strategy<Value = Decision> {
    (
        (any::<u64>(), time(), proptest::option::of(who()), 0..3usize, 0..3usize, 0..7usize),
        (0..NR_CPUS, proptest::option::of(0..4u32), 0..4usize, proptest::option::of(question())),
    )
        .prop_map(
            |((seq, at_ns, who, kind, level, verdict), (cpu, place, migrate, question))| Decision {
                seq,
                at_ns,
                count: seq / 3,
                policy_version: 2,
                who,
                kind: Kind::ALL[kind],
                level: Level::ALL[level],
                verdict: Verdict::ALL[verdict],
                cpu,
                from_llc: place,
                to_llc: place.map(|llc| llc + 1),
                from_cpu: Some(cpu),
                to_cpu: place,
                waited_ns: seq % 1000,
                age_ns: 500_000_000,
                migrate: [Migrate::Toll, Migrate::Always, Migrate::Never, Migrate::Fixed][migrate],
                fixed_ns: 0,
                for_class: seq % 2 == 0,
                question,
            },
        )
}

fn frame() -> impl Strategy<Value = Frame> {
    let outcome = (any::<u64>(), time(), any::<i64>(), any::<Option<bool>>(), who(), 0..NR_CPUS);
    let outcome = outcome.prop_map(|(seq, at_ns, penalty_ns, paid, who, cpu)| Outcome {
        seq,
        at_ns,
        waited_ns: 5,
        wait_from_ns: 6,
        wait_to_ns: 7,
        penalty_ns,
        turns: 2,
        paid,
        who,
        cpu,
    });
    let slice =
        (0..NR_CPUS, 1_000_000_000..2_000_000_000u64, 0..200_000_000u64, who(), any::<bool>());
    let slice = slice.prop_map(|(cpu, from_ns, ns, who, more)| Slice {
        cpu,
        from_ns,
        to_ns: from_ns + ns,
        who,
        more,
    });
    prop_oneof![
        3 => decision().prop_map(|d| Frame::Decision(Box::new(d))),
        1 => outcome.prop_map(Frame::Outcome),
        4 => slice.prop_map(Frame::Slice),
        1 => (0..9u64, 0..9u64).prop_map(|(ring, queue)| Frame::Lost { ring, queue }),
    ]
}

fn head() -> Head {
    let cpu_llc = vec![Some(0), Some(0), Some(1), Some(1)];
    let places = Places { cpu_llc, llc_node: vec![0, 0], ..Places::default() };
    Head { program: "0.0.0".into(), began_unix: 1, places, ..Head::default() }
}

/// Frames, and behind which of them what came so far is written.
fn frames() -> impl Strategy<Value = Vec<(Frame, bool)>> {
    proptest::collection::vec((frame(), proptest::bool::weighted(0.2)), 1..60)
}

/// The file, and where it is after each write.
fn record(frames: &[(Frame, bool)]) -> (Vec<u8>, Vec<(usize, usize)>) {
    let mut file = Vec::new();
    let names = Box::new(|id: u64| (id != 3).then(|| format!("/group{id}")));
    let mut recorder = Recorder::new(&mut file, &head(), names).unwrap();
    let mut flushed = Vec::new();
    for (i, (frame, flush)) in frames.iter().enumerate() {
        recorder.add(frame.clone()).unwrap();
        if *flush {
            recorder.flush().unwrap();
            flushed.push(i + 1);
        }
    }
    let (_, amount) = recorder.finish().unwrap();
    assert_eq!(amount.bytes as usize, file.len());
    // The blocks begin with their mark; that it may also stand in one is what the cuts find out.
    let recording = Recording::new(file.clone()).unwrap();
    assert_eq!(recording.head, head());
    let ends = flushed.iter().enumerate().map(|(block, frames)| (block + 1, *frames)).collect();
    (file, ends)
}

fn replay(file: &[u8]) -> Option<(Vec<Frame>, Vec<Entry>, Missing)> {
    let recording = Recording::new(file.to_vec()).ok()?;
    let (mut frames, mut others) = (Vec::new(), Vec::new());
    let missing = recording
        .replay(&mut |entry| {
            match entry {
                Entry::Frame(frame) => frames.push(frame),
                other => others.push(other),
            }
            Ok(())
        })
        .expect("nothing fails here");
    Some((frames, others, missing))
}

#[test]
fn a_whole_recording_gives_back_what_was_recorded() {
    let mut runner = TestRunner::new(Config::with_cases(200));
    runner
        .run(&frames(), |recorded| {
            let (file, _) = record(&recorded);
            let (frames, others, missing) = replay(&file).expect("a recording");
            let expected: Vec<Frame> = recorded.into_iter().map(|(frame, _)| frame).collect();
            prop_assert_eq!(&frames, &expected);
            prop_assert!(!missing.cut && missing.bytes == 0 && missing.gaps == 0);
            prop_assert_eq!(others.last(), Some(&Entry::End));
            let ran = |frame: &Frame| match frame {
                Frame::Slice(slice) => slice.to_ns - slice.from_ns,
                _ => 0,
            };
            let busy: u64 = others
                .iter()
                .filter_map(|other| match other {
                    Entry::Load(load) => Some(load.busy_ns.iter().sum::<u64>()),
                    _ => None,
                })
                .sum();
            // What came more than 400 ms late is in no interval; nothing is in two.
            prop_assert!(busy <= frames.iter().map(ran).sum());
            Ok(())
        })
        .unwrap();
}

#[test]
fn cut_at_any_byte_it_gives_back_its_whole_blocks_and_says_so() {
    let mut runner = TestRunner::new(Config::with_cases(60));
    runner
        .run(&(frames(), any::<prop::sample::Index>()), |(recorded, first)| {
            let (file, ends) = record(&recorded);
            // Every byte of a short file, some hundred of a long one.
            let step = (file.len() / 300).max(1);
            for at in (first.index(step)..file.len()).step_by(step) {
                let Some((frames, _, missing)) = replay(&file[..at]) else { continue };
                prop_assert!(missing.cut, "cut at {} of {}", at, file.len());
                prop_assert!(missing.sentences()[0].contains("the recording was cut"));
                let whole = ends.iter().filter(|(block, _)| *block as u32 <= missing.blocks);
                let expected = whole.map(|(_, frames)| *frames).max().unwrap_or(0);
                prop_assert_eq!(frames.len(), expected, "cut at {}", at);
                prop_assert!(frames.iter().eq(recorded[..expected].iter().map(|(f, _)| f)));
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_damaged_byte_costs_one_block() {
    let mut runner = TestRunner::new(Config::with_cases(300));
    let input = (frames(), any::<prop::sample::Index>(), 1..=255u8);
    runner
        .run(&input, |(recorded, at, flip)| {
            let (mut file, _) = record(&recorded);
            let (all, _, before) = replay(&file).expect("a recording");
            let at = at.index(file.len());
            file[at] ^= flip;
            let Some((frames, _, missing)) = replay(&file) else {
                prop_assert!(at < 400, "byte {} is not in the first block", at);
                return Ok(());
            };
            prop_assert_eq!(missing.blocks + 1, before.blocks);
            prop_assert!(missing.bytes > 0 && (missing.gaps == 1 || missing.cut));
            prop_assert!(frames.len() <= all.len());
            Ok(())
        })
        .unwrap();
}

#[test]
fn what_is_no_recording_is_refused_and_nothing_panics() {
    let (file, _) = record(&[(Frame::Lost { ring: 1, queue: 2 }, true)]);
    let mut other = file.clone();
    other[7] = 9;
    for (bytes, sentence) in [
        (&b""[..], "this is no recording of scx_toll"),
        (b"tollrec", "the recording ends in its first bytes"),
        (b"{\"what\":\"report\"}", "this is no recording of scx_toll"),
        (&other, "the recording has version 9 of the format, expected 2"),
        (&file[..30], "the recording ends in its first block"),
    ] {
        assert_eq!(Recording::new(bytes.to_vec()).unwrap_err().to_string(), sentence);
    }
    let mut runner = TestRunner::new(Config::with_cases(500));
    let edits = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..9);
    runner
        .run(&(frames(), edits), |(recorded, edits)| {
            let (mut file, _) = record(&recorded);
            for (at, byte) in edits {
                let at = at.index(file.len());
                file[at] = byte;
            }
            replay(&file);
            Ok(())
        })
        .unwrap();
}
