// SPDX-License-Identifier: GPL-2.0-only
//! Whatever bytes come in as a trace, `analyze` answers, with a report or with one sentence, and takes
//! no more than [`BOUND`] for it: no panic, and nothing reserved because a trace claims something.
//!
//! What a machine did is written in every form, damaged at random, and goes through everything that
//! follows a reader: verdicts, prices, correlation, text, JSON and page. Three seconds for each reader, and
//! five minutes each in the long run (`TOLL_LONG`); `TOLL_FUZZ_SECONDS` sets another time. The seed is
//! printed; `TOLL_SEED` repeats it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod counted_memory;
mod mutations;
mod trace_corpus;

use counted_memory::peak_of;
use mutations::{any, of_message, of_recording, of_text};
use scx_toll::analysis::assemble::analyse;
use scx_toll::analysis::layout::Layout;
use scx_toll::analysis::read::Format;
use scx_toll::analysis::report::Report;
use scx_toll::command::recorded;
use scx_toll::measure::chase::Rng;
use scx_toll::model::PenaltyTable;
use scx_toll::recording::Recording;
use scx_toll::topology::Topology;
use scx_toll::ui::analysis::{page, summary};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime};
use trace_corpus::recorded as pieces;

/// What reading and analysing may take beyond the input, in bytes.
const BOUND: usize = 64 << 20;

fn layout() -> Layout {
    Layout::new(Topology::synthetic(2, 3, 2).unwrap())
}

fn read_trace(bytes: &[u8]) -> anyhow::Result<Report> {
    analyse(bytes, "t", layout(), "2x3x2", &PenaltyTable::default(), &mut |_| {})
}

fn read_recording(bytes: &[u8]) -> anyhow::Result<Report> {
    let recording = Recording::new(bytes.to_vec())?;
    recorded::report(&recording, 1, "t", layout(), "2x3x2", &PenaltyTable::default())
}

/// True if a report came of it; whatever came of it is as it has to be.
fn looked_at(read: anyhow::Result<Report>, formats: &[Format]) -> bool {
    match read {
        Ok(report) => {
            let intake = &report.intake;
            assert!(formats.contains(&intake.format.unwrap()), "{intake:?}");
            assert!(intake.broken_lines.len() <= 5, "{intake:?}");
            let text = summary(&report);
            assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
            assert!(serde_json::to_string(&report).unwrap().ends_with('}'));
            assert!(page::page(&[report]).ends_with("</html>\n"));
            true
        }
        Err(error) => {
            let text = format!("{error:#}");
            assert!(!text.contains('\n') && text.len() < 1000, "{text:?}");
            false
        }
    }
}

type Damage = fn(&[u8], &[u8], &mut Rng) -> Vec<u8>;

/// Feed damaged forms of `corpus` to `read`.
fn fuzz(
    name: &str,
    corpus: &[Vec<u8>],
    formats: &[Format],
    damage: Damage,
    read: fn(&[u8]) -> anyhow::Result<Report>,
) {
    let seed = std::env::var("TOLL_SEED").ok().map_or_else(
        || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
        |seed| seed.parse().expect("TOLL_SEED is a number"),
    );
    let long = std::env::var_os("TOLL_LONG").is_some();
    let given = std::env::var("TOLL_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let until = Duration::from_secs(given.unwrap_or(if long { 300 } else { 3 }));
    let until = Instant::now() + until;
    eprintln!("{name}: TOLL_SEED={seed}");
    for bytes in corpus {
        assert!(looked_at(read(bytes), formats), "{name}: the corpus is valid");
    }
    let corpus: Vec<&[u8]> = corpus.iter().map(Vec::as_slice).collect();
    // Damage may make one form of text another.
    let others =
        [formats, &[Format::Csv, Format::Json, Format::PerfScript, Format::Ftrace][..]].concat();
    let others = [others, vec![Format::Perfetto, Format::Recording]].concat();
    let mut rng = Rng(seed);
    let (mut all, mut valid, mut most, mut longest) = (0u64, 0u64, 0, Duration::ZERO);
    while Instant::now() < until {
        let bytes = damage(any(&corpus, &mut rng), any(&corpus, &mut rng), &mut rng);
        let began = Instant::now();
        let case = || peak_of(|| looked_at(read(&bytes), &others));
        let (good, peak) = catch_unwind(AssertUnwindSafe(case))
            .unwrap_or_else(|_| panic!("{name}: case {all}: {}", shown(&bytes)));
        assert!(peak <= BOUND, "{name}: case {all} takes {peak} bytes: {}", shown(&bytes));
        (all, valid, most) = (all + 1, valid + u64::from(good), most.max(peak));
        longest = longest.max(began.elapsed());
    }
    eprintln!(
        "{name}: {all} inputs, {valid} of them valid, no panic, at most {:.1} MiB and {longest:.1?} for one",
        most as f64 / f64::from(1 << 20)
    );
    assert!(0 < valid && valid < all, "{name}: {valid} of {all}");
}

/// The beginning of an input; the seed and the number of the case give all of it.
fn shown(bytes: &[u8]) -> String {
    format!("{} bytes, {}", bytes.len(), bytes[..bytes.len().min(3000)].escape_ascii())
}

#[test]
fn the_text_of_perf_script() {
    let corpus = pieces().map(|events| trace_corpus::perf(&events));
    fuzz("perf script", &corpus, &[Format::PerfScript], of_text, read_trace);
}

#[test]
fn the_text_of_ftrace_and_trace_cmd() {
    let [a, b, c] = pieces();
    let odd = b"# tracer: nop\nCPU:1 [LOST 12 EVENTS]\n b-77 ( 77) [001] d.s1. 12.3: sched_wakeup_new: comm=kid \
                pid=78 prio=120 target_cpu=001\nCPU:0 [9 EVENTS DROPPED]\n b-77 [001] ..... 12.5: \
                sched_swap_numa: src_pid=77 dst_pid=80\n";
    let corpus = [
        trace_corpus::ftrace(&a),
        trace_corpus::ftrace(&b),
        trace_corpus::trace_cmd(&a),
        trace_corpus::trace_cmd(&c),
        odd.to_vec(),
    ];
    fuzz("ftrace and trace-cmd", &corpus, &[Format::Ftrace], of_text, read_trace);
}

#[test]
fn traces_of_perfetto() {
    let [a, b, c] = pieces();
    let corpus = [
        trace_corpus::perfetto(&a),
        trace_corpus::perfetto(&b),
        trace_corpus::perfetto_columns(&b),
        trace_corpus::perfetto_columns(&c),
        include_bytes!("perfetto/single.perfetto-trace").to_vec(),
        include_bytes!("perfetto/columns.perfetto-trace").to_vec(),
    ];
    fuzz("Perfetto", &corpus, &[Format::Perfetto], of_message, read_trace);
}

#[test]
fn load_series() {
    let [a, b, _] = pieces();
    let corpus = [trace_corpus::series(&a), trace_corpus::series(&b)].concat();
    fuzz("load series", &corpus, &[Format::Csv, Format::Json], of_text, read_trace);
}

#[test]
fn own_recordings() {
    let [a, b, c] = pieces();
    let corpus = [a, b, c].map(|events| trace_corpus::scx_toll(&events));
    fuzz("recordings", &corpus, &[Format::Recording], of_recording, read_recording);
}

/// The bound would be noticed.
#[test]
fn what_is_reserved_is_counted() {
    let (kept, peak) = peak_of(|| vec![1u8; 3 << 20].len() + vec![2u8; 2 << 20].len());
    assert_eq!((kept, peak), (5 << 20, 5 << 20), "both live until the end of the statement");
    let (_, peak) = peak_of(|| (0..10).for_each(|_| drop(vec![1u8; 1 << 20])));
    assert_eq!(peak, 1 << 20, "one after the other");
    let other = peak_of(|| std::thread::spawn(|| vec![3u8; 8 << 20].len()).join().unwrap());
    assert!(other.1 < 1 << 20, "of this thread only");
    let (_, peak) = peak_of(|| {
        let mut grown = vec![0u64; 1];
        (0..1 << 20).for_each(|at| grown.push(at));
    });
    assert!((8 << 20..17 << 20).contains(&peak), "{peak}");
}
