// SPDX-License-Identifier: GPL-2.0-only
//! A trace as it came from the guest: all events in the order of their times, and what is missing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

use super::container::{self, Section};
use super::event::{Decoder, Event, Pid, What};
use super::ring::Pages;

/// The events of one recording.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// All events, in the order of their times.
    pub events: Vec<Event>,
    /// Events that the kernel could not keep, by CPU; only CPUs that lost some.
    pub lost: BTreeMap<u32, u64>,
    /// The kernel's threads that lived when the recording was copied out.
    pub kernel_threads: BTreeSet<Pid>,
    /// The trace clock; `mono` is CLOCK_MONOTONIC.
    pub clock: String,
}

/// Take the traces out of a program's output: the text, with a line `@trace N` where trace N was, and
/// the traces.
pub fn split(output: &[u8]) -> Result<(String, Vec<Trace>)> {
    let found = container::split(output)?;
    let traces = found.traces.iter().enumerate().map(|(number, sections)| {
        Trace::read(sections).with_context(|| format!("trace {number} of the output"))
    });
    Ok((found.text, traces.collect::<Result<_>>()?))
}

impl Trace {
    /// Read the sections of a recording.
    pub fn read(sections: &[Section]) -> Result<Self> {
        let named = |name: &str| {
            let found = sections.iter().find(|section| section.name == name);
            let found = found.with_context(|| format!("the trace has no section {name}"))?;
            std::str::from_utf8(found.body).with_context(|| format!("section {name} is no text"))
        };
        let pages = Pages::parse(named("header_page")?)?;
        let decoder = Decoder::new(|event| named(&format!("format:{event}")))?;
        let mut trace = Self {
            clock: named("clock")?.trim().to_string(),
            kernel_threads: numbers(named("kernel_threads")?)?,
            ..Self::default()
        };
        for cpu in numbers::<u32>(named("cpus")?)? {
            let stats = Stats::parse(named(&format!("cpu{cpu}:stats"))?)?;
            let page = format!("cpu{cpu}:page");
            let bodies = sections.iter().filter(|s| s.name == page).map(|s| s.body);
            let missed = trace
                .read_cpu(cpu, bodies, &stats, &pages, &decoder)
                .with_context(|| format!("the events of CPU {cpu}"))?;
            let lost = stats.lost.max(u64::from(missed));
            if lost > 0 {
                trace.lost.insert(cpu, lost);
            }
        }
        trace.events.sort_by_key(|event| event.at_ns);
        Ok(trace)
    }

    /// Add the events of one CPU. True if its pages tell of losses.
    fn read_cpu<'a>(
        &mut self,
        cpu: u32,
        bodies: impl Iterator<Item = &'a [u8]>,
        stats: &Stats,
        pages: &Pages,
        decoder: &Decoder,
    ) -> Result<bool> {
        let (mut records, mut missed) = (0, false);
        for body in bodies {
            let page = pages.read(body, |at_ns, record| {
                if let Some(what) = decoder.decode(record)? {
                    self.events.push(Event { at_ns, cpu, what });
                }
                Ok(())
            })?;
            records += page.records;
            missed |= page.missed;
        }
        if records != stats.entries {
            bail!("{records} were read, but the kernel had {}", stats.entries);
        }
        Ok(missed)
    }

    /// A trace of `events`, in any order, that lost nothing.
    pub fn of(mut events: Vec<Event>) -> Self {
        events.sort_by_key(|event| event.at_ns);
        Self { events, clock: "mono".into(), ..Self::default() }
    }

    /// When `text` was first written to `trace_marker`, in ns.
    pub fn mark(&self, text: &str) -> Result<u64> {
        let is_mark = |event: &&Event| matches!(&event.what, What::Mark(mark) if mark == text);
        match self.events.iter().find(is_mark) {
            Some(event) => Ok(event.at_ns),
            None if self.lost() > 0 => bail!(
                "the trace has no mark '{text}'; {} events were lost, so record into larger buffers",
                self.lost()
            ),
            None => bail!("the trace has no mark '{text}'"),
        }
    }

    /// The events that the kernel could not keep.
    pub fn lost(&self) -> u64 {
        self.lost.values().sum()
    }
}

/// What the kernel says about the buffer of a CPU.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stats {
    entries: u64,
    lost: u64,
}

impl Stats {
    fn parse(text: &str) -> Result<Self> {
        let mut stats = Self::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
            let number = || {
                let number = value.trim().parse::<u64>();
                number.with_context(|| format!("expected a number, found '{key}:{value}'"))
            };
            match key {
                "entries" => stats.entries = number()?,
                "overrun" | "commit overrun" | "dropped events" => stats.lost += number()?,
                _ => {}
            }
        }
        Ok(stats)
    }
}

/// Numbers with white space between them.
fn numbers<T: std::str::FromStr + Ord>(text: &str) -> Result<BTreeSet<T>> {
    let number = |word: &str| {
        word.parse().ok().with_context(|| format!("expected a whole number, found '{word}'"))
    };
    text.split_whitespace().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::event::NEEDED;
    use crate::trace::ring::tests::HEADER_PAGE;

    const COMMON: &str = "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n";

    /// A recording of two CPUs; each is one page of markers given as (delta in ns, one letter).
    fn recording(stats: &str, pages: [&[(u32, u8)]; 2]) -> Vec<u8> {
        let mut bytes = b"text\n".to_vec();
        let mut writer = container::Writer::begin(&mut bytes).expect("begin");
        let mut put = |name: &str, body: &[u8]| writer.section(name, body).expect("section");
        put("clock", b"mono\n");
        put("kernel_threads", b"2 3\n");
        put("header_page", HEADER_PAGE.as_bytes());
        put("cpus", b"0 1\n");
        for (id, event) in NEEDED.iter().enumerate() {
            let mut format = format!("ID: {id}\n{COMMON}");
            for name in [
                "prev_pid",
                "prev_comm",
                "prev_state",
                "next_pid",
                "next_comm",
                "pid",
                "comm",
                "target_cpu",
                "orig_cpu",
                "dest_cpu",
                "buf",
            ] {
                format += &format!("\tfield:int {name};\toffset:4;\tsize:0;\tsigned:1;\n");
            }
            put(&format!("format:{event}"), format.as_bytes());
        }
        for (cpu, marks) in pages.iter().enumerate() {
            put(&format!("cpu{cpu}:stats"), stats.as_bytes());
            let mut page = 1000u64.to_le_bytes().to_vec();
            page.extend((12 * marks.len() as u64).to_le_bytes());
            for (delta, letter) in *marks {
                page.extend(((delta << 5) | 2).to_le_bytes());
                page.extend([4, 0, 0, 0, *letter, b'\n', 0, 0]);
            }
            put(&format!("cpu{cpu}:page"), &page);
        }
        writer.end().expect("end");
        bytes
    }

    #[test]
    fn events_of_all_cpus_come_in_the_order_of_time() {
        let bytes = recording(
            "entries: 2\noverrun: 0\n",
            [&[(1, b'a'), (9, b'd')], &[(5, b'b'), (2, b'c')]],
        );
        let (text, traces) = split(&bytes).expect("split");
        assert_eq!(text, "text\n@trace 0\n");
        let events: Vec<_> = traces[0].events.iter().map(|e| (e.at_ns, e.cpu, &e.what)).collect();
        let mark = |letter: &str| What::Mark(letter.into());
        assert_eq!(
            events,
            [
                (1001, 0, &mark("a")),
                (1005, 1, &mark("b")),
                (1007, 1, &mark("c")),
                (1010, 0, &mark("d")),
            ]
        );
        assert_eq!(traces[0].mark("c").expect("mark"), 1007);
        assert_eq!((traces[0].lost(), traces[0].kernel_threads.len()), (0, 2));
    }

    #[test]
    fn losses_are_told_and_explain_a_missing_mark() {
        let stats = "entries: 1\noverrun: 4\ncommit overrun: 1\ndropped events: 2\n";
        let (_, traces) = split(&recording(stats, [&[(1, b'a')], &[(1, b'b')]])).expect("split");
        assert_eq!(traces[0].lost, BTreeMap::from([(0, 7), (1, 7)]));
        let error = traces[0].mark("z").expect_err("no such mark").to_string();
        assert!(error.contains("'z'") && error.contains("14 events were lost"), "{error}");
    }

    #[test]
    fn a_page_that_did_not_arrive_is_an_error() {
        let bytes = recording("entries: 2\n", [&[(1, b'a'), (1, b'b')], &[(1, b'c')]]);
        let error = format!("{:#}", split(&bytes).expect_err("one is missing"));
        assert!(error.contains("CPU 1") && error.contains("1 were read"), "{error}");
    }
}
