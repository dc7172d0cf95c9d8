// SPDX-License-Identifier: GPL-2.0-only
//! Pictures of traces written by hand: who ran is where it should be, and big traces stay small files.

use toll_bench::picture::bars::{Bar, Panel, Value, bars};
use toll_bench::picture::map::{MAX_BYTES, MapOptions, map};
use toll_bench::trace::event::{Comm, Event, Left, Pid, What};
use toll_bench::trace::timeline::Choice;
use toll_bench::trace::{Machine, Timeline, Trace};

fn switch(at_ns: u64, cpu: u32, prev: Pid, next: Pid) -> Event {
    let comm = |pid: Pid| Comm::new(format!("lw{pid}").as_bytes());
    let (prev_comm, next_comm) = (comm(prev), comm(next));
    let what = What::Switch { prev, prev_comm, left: Left::Runnable, next, next_comm };
    Event { at_ns, cpu, what }
}

fn migrate(at_ns: u64, pid: Pid, from: u32, to: u32) -> Event {
    let comm = Comm::new(format!("lw{pid}").as_bytes());
    Event { at_ns, cpu: 0, what: What::Migrate { pid, comm, from, to } }
}

fn drawn(events: Vec<Event>, machine: &Machine, end_ns: u64) -> String {
    let end = Event { at_ns: end_ns, cpu: 0, what: What::Mark("end".into()) };
    let line = Timeline::of(&Trace::of([events, vec![end]].concat()));
    let options = MapOptions {
        title: "a <title>".into(),
        window: line.start_ns..line.end_ns,
        choice: Choice::prefix("lw"),
    };
    map(&line, machine, &options)
}

/// The paths with `attribute`, as their data.
fn paths<'a>(svg: &'a str, attribute: &str) -> Vec<&'a str> {
    svg.lines()
        .filter(|line| line.starts_with("<path") && line.contains(attribute))
        .filter_map(|line| line.split_once(" d=\"")?.1.split_once('"'))
        .map(|(d, _)| d)
        .collect()
}

#[test]
fn runs_and_moves_are_where_they_belong() {
    let machine = Machine::regular(2, 1, 1);
    let events = vec![
        switch(0, 0, 0, 1),
        switch(0, 1, 9, 0),
        switch(500, 0, 1, 0),
        migrate(600, 1, 0, 1),
        switch(750, 1, 0, 1),
    ];
    let svg = drawn(events, &machine, 1000);
    assert!(svg.contains("a &lt;title&gt;"));
    // The map is 960 wide and begins at 118; rows are 18 high, the first at 54 and the second, behind
    // the gap between nodes, at 81. The task is on CPU 0 for the first half and on CPU 1 for the last
    // quarter.
    assert_eq!(paths(&svg, "stroke-width=\"16\""), ["m118 63h480m240 27h240"]);
    // The move: 118 + 0.6 × 960, from row to row, and a dot where it ends.
    assert_eq!(paths(&svg, "class=\"node\""), ["M694 63V90", "M694 90h0"]);
    assert!(paths(&svg, "class=\"llc\"").is_empty());
    assert!(svg.contains("0 moves between LLCs of a node, 1 between nodes<"));
    // Waiting from 500 to 750 while CPU 0, and until 750 CPU 1, was idle: one CPU's worth.
    let waste = paths(&svg, "class=\"waste\"");
    assert!(waste[0].contains("H598V") && waste[0].contains("H838V"), "{waste:?}");
}

#[test]
fn a_column_shows_who_ran_longest_and_is_paler_the_more_was_idle() {
    // In each of 960 columns of 100 ns: task 1 for 40, task 2 for 10, idle for 50.
    let mut events = vec![switch(0, 0, 0, 1)];
    for column in 0..960 {
        let at = 100 * column;
        events.push(switch(at + 40, 0, 1, 2));
        events.push(switch(at + 50, 0, 2, 0));
        events.push(switch(at + 100, 0, 0, 1));
    }
    let svg = drawn(events, &Machine::regular(1, 1, 1), 96_000);
    let runs = paths(&svg, "stroke-opacity=\".55\"");
    assert_eq!(runs, ["m118 63h960"]);
    assert!(paths(&svg, "stroke-opacity=\"1\"").is_empty());
}

#[test]
fn a_trace_of_64_cpus_and_many_short_runs_stays_a_small_file() {
    let machine = Machine::regular(4, 4, 4);
    let mut events = Vec::new();
    let mut noise = 1u64;
    let mut running = [0; 64];
    for at in 0..400_000u64 {
        noise =
            noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let cpu = (noise >> 33) as usize % 64;
        let next = (noise >> 40) as Pid % 300;
        if next != running[cpu] {
            events.push(switch(at * 1000, cpu as u32, running[cpu], next));
            running[cpu] = next;
        }
        if at % 50 == 0 {
            events.push(migrate(at * 1000, next.max(1), cpu as u32, (noise >> 50) as u32 % 64));
        }
    }
    let svg = drawn(events, &machine, 400_000_000);
    assert!(svg.len() < MAX_BYTES, "{} bytes", svg.len());
    assert!(svg.contains("too many to draw one by one"));
    if let Some(folder) = std::env::var_os("TOLL_PICTURES") {
        std::fs::write(std::path::Path::new(&folder).join("many.svg"), svg).expect("written");
    }
}

#[test]
fn bars_are_as_long_as_their_medians() {
    let bar = |scheduler: &str, median: f64, spread: f64| Bar {
        scheduler: scheduler.into(),
        value: Ok(Value { median, min: median - spread, max: median + spread }),
        own: scheduler.starts_with("toll"),
    };
    let panel = |figure: &str, higher_is_better, bars: Vec<Bar>| Panel {
        scenario: "open".into(),
        figure: figure.into(),
        higher_is_better,
        bound: Some(1.0),
        bars,
    };
    let mut late = bar("scx_gone", 0.0, 0.0);
    late.value = Err("did not attach".into());
    let panels = [
        panel("mean ÷ bound", false, vec![bar("eevdf", 2.0, 0.0), bar("toll", 1.5, 0.25)]),
        panel("makespan ÷ bound", false, vec![bar("eevdf", 9.0, 1.0), bar("toll", 1.25, 0.0)]),
        panel(
            "useful work",
            true,
            vec![bar("eevdf", 0.9, 0.0), bar("toll", 0.95, 0.0), late.clone()],
        ),
        panel("a second row", true, vec![bar("toll --migrate fixed:500", 0.5, 0.0), late]),
    ];
    let svg = bars("a <title>", &panels);
    // A panel is 352 wide: 104 for the names, 62 for the values, so 186 for bars; the first begins at
    // 14 + 104, and its longest value is 2.
    assert!(svg.contains(r#"<rect class="bar" x="118" y="89" width="186" height="11"/>"#), "{svg}");
    let own =
        format!(r#"<rect class="own" x="118" y="106" width="{}" height="11"/>"#, 186.0 * 0.75);
    assert!(svg.contains(&own), "{svg}");
    assert!(
        svg.contains("▸ 9.00") && svg.contains("did not attach") && svg.contains("&lt;title&gt;")
    );
    if let Some(folder) = std::env::var_os("TOLL_PICTURES") {
        std::fs::write(std::path::Path::new(&folder).join("bars.svg"), svg).expect("written");
    }
}
