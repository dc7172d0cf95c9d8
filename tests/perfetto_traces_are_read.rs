// SPDX-License-Identifier: GPL-2.0-only
//! Traces that Perfetto's own definitions have written (`tests/perfetto/make.py`) say what they say as
//! text; cut or damaged they say less, and nothing wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scx_toll::analysis::event::{Comm, Event, Left, Sample, What};
use scx_toll::analysis::read::{Format, Intake, Sink, read};

const SINGLE: &[u8] = include_bytes!("perfetto/single.perfetto-trace");
const COLUMNS: &[u8] = include_bytes!("perfetto/columns.perfetto-trace");

#[derive(Default)]
struct Kept(Vec<Event>);

impl Sink for Kept {
    fn event(&mut self, event: &Event) {
        self.0.push(*event);
    }
    fn sample(&mut self, _: &Sample) {}
}

fn kept(bytes: &[u8]) -> Option<(Vec<Event>, Intake)> {
    let mut kept = Kept::default();
    let intake = read(bytes, &mut kept, &mut |_| {}).ok()?;
    Some((kept.0, intake))
}

#[test]
fn bundles_of_cpus_are_merged_by_time() {
    let (events, intake) = kept(SINGLE).unwrap();
    let (make, odd, kid) = (Comm::new(b"make"), Comm::new(b"a b=[2] c"), Comm::new(b"kid"));
    let whats: Vec<What> = events.iter().map(|event| event.what).collect();
    assert_eq!(
        whats,
        [
            What::Switch {
                prev: 1234,
                prev_comm: make,
                left: Left::Asleep,
                next: 77,
                next_comm: odd
            },
            What::Wakeup { pid: 1234, comm: make, cpu: 3, new: false },
            What::Wakeup { pid: 78, comm: kid, cpu: 1, new: true },
            What::Migrate { pid: 78, comm: kid, from: 1, to: 3 },
        ]
    );
    let at: Vec<u64> = events.iter().map(|event| event.at_ns - 12_000_000_000).collect();
    assert_eq!(at, [1000, 2500, 3000, 4000]);
    let by: Vec<_> = events.iter().map(|event| (event.cpu, event.current)).collect();
    assert_eq!(by, [(1, 1234), (0, 0), (1, 77), (3, 9)]);
    assert_eq!(events[2].current_comm, odd, "known from the switch");
    assert_eq!((intake.format, intake.broken), (Some(Format::Perfetto), 0), "{intake:?}");
    assert_eq!(intake.other, 2, "a clock snapshot and an event of another kind: {intake:?}");
}

#[test]
fn columns_are_read_and_a_waking_counts_where_its_task_is_moved() {
    let (events, intake) = kept(COLUMNS).unwrap();
    let (make, sh) = (Comm::new(b"make"), Comm::new(b"sh"));
    let none = Comm::default();
    let expected = [
        What::Switch {
            prev: 0,
            prev_comm: none,
            left: Left::Runnable,
            next: 1234,
            next_comm: make,
        },
        What::Migrate { pid: 77, comm: sh, from: 1, to: 2 },
        What::Wakeup { pid: 77, comm: sh, cpu: 2, new: false },
        What::Switch {
            prev: 1234,
            prev_comm: make,
            left: Left::Asleep,
            next: 0,
            next_comm: Comm::new(b"swapper"),
        },
        What::Lost(None),
        What::Exit { pid: 77 },
    ];
    assert_eq!(events.iter().map(|event| event.what).collect::<Vec<_>>(), expected);
    assert_eq!((intake.gaps, intake.broken), (1, 0), "{intake:?}");
}

#[test]
fn a_cut_trace_says_what_is_before_the_cut() {
    let (all, _) = kept(SINGLE).unwrap();
    let mut most = 0;
    for cut in 0..SINGLE.len() {
        let Some((events, intake)) = kept(&SINGLE[..cut]) else { continue };
        assert!(events.iter().all(|event| all.contains(event)), "cut at {cut}: {events:?}");
        assert!(intake.broken <= 1, "cut at {cut}: {intake:?}");
        most = most.max(events.len());
    }
    assert!(most >= 2, "the last cuts leave the first packets");
}

#[test]
fn garbage_between_packets_is_counted_and_passed_over() {
    let mut bytes = SINGLE.to_vec();
    bytes.extend([0xff; 40]);
    bytes.extend(SINGLE);
    let (events, intake) = kept(&bytes).unwrap();
    assert_eq!(events.len(), 8, "{intake:?}");
    assert_eq!(intake.broken, 1, "{intake:?}");
    assert!(kept(&[0xff; 100]).is_none(), "nothing but garbage is no trace");
    assert!(kept(b"\n\n\nhello\n").is_none());
}

/// Bundles that arrive a second apart, as Perfetto writes them, and far more than are held back.
#[test]
fn memory_is_bounded_and_order_is_kept_over_many_packets() {
    struct Last(u64, u64);
    impl Sink for Last {
        fn event(&mut self, event: &Event) {
            assert!(event.at_ns >= self.0);
            *self = Last(event.at_ns, self.1 + 1);
        }
        fn sample(&mut self, _: &Sample) {}
    }
    let varint = |mut value: u64, out: &mut Vec<u8>| {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    };
    let nested = |field: u64, body: &[u8], out: &mut Vec<u8>| {
        varint(field << 3 | 2, out);
        varint(body.len() as u64, out);
        out.extend(body);
    };
    let mut trace = Vec::new();
    for second in 0..30u64 {
        for cpu in 0..4u64 {
            let mut bundle = vec![0x08, cpu as u8];
            for at in 0..4000u64 {
                let mut exit = vec![0x10];
                varint(at + 1, &mut exit);
                let mut event = vec![0x08];
                varint(second * 1_000_000_000 + at * 200_000 + cpu, &mut event);
                nested(238, &exit, &mut event);
                nested(2, &event, &mut bundle);
            }
            let mut packet = Vec::new();
            nested(1, &bundle, &mut packet);
            nested(1, &packet, &mut trace);
        }
    }
    let mut last = Last(0, 0);
    let intake = read(&trace[..], &mut last, &mut |_| {}).unwrap();
    assert_eq!((last.1, intake.steps_back, intake.broken), (480_000, 0, 0), "{intake:?}");
}
