// SPDX-License-Identifier: GPL-2.0-only
//! Load series: CSV with a heading, or JSON objects, one after the other or in an array.
//!
//! ```text
//! time,cpu,runnable          {"time": 0.001, "cpu": 3, "runnable": 5}
//! 0.001,3,5
//! ```
//!
//! `time` is in seconds; `time_ms`, `time_us` and `time_ns` are what they say. Other columns and
//! fields may stand beside them.

use super::super::event::Sample;
use super::text::CPU_MAX;

/// More tasks than this on a CPU are taken for damage.
const RUNNABLE_MAX: f64 = 1e7;
/// Names of the time and the ns in one of its units.
const TIMES: [(&str, f64); 4] =
    [("time", 1e9), ("time_ms", 1e6), ("time_us", 1e3), ("time_ns", 1.0)];

/// Where the three numbers stand in a line of CSV.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Columns {
    time: usize,
    unit_ns: f64,
    cpu: usize,
    runnable: usize,
}

impl Columns {
    /// From the heading; `None` if it is no heading of a load series.
    pub fn from_heading(line: &[u8]) -> Option<Columns> {
        let line = std::str::from_utf8(line).ok()?;
        let names: Vec<String> = line
            .trim_start_matches('\u{feff}')
            .split(',')
            .map(|name| name.trim().to_lowercase())
            .collect();
        let at = |wanted: &str| names.iter().position(|name| name == wanted);
        let (time, unit_ns) = TIMES.iter().find_map(|(name, unit)| Some((at(name)?, *unit)))?;
        Some(Columns { time, unit_ns, cpu: at("cpu")?, runnable: at("runnable")? })
    }

    /// The sample in a line, or `None` if it has none.
    pub fn sample(&self, line: &[u8]) -> Option<Sample> {
        let line = std::str::from_utf8(line).ok()?;
        let (mut time, mut cpu, mut runnable) = (None, None, None);
        for (at, field) in line.split(',').enumerate() {
            let value = || field.trim().parse::<f64>().ok();
            match at {
                _ if at == self.time => time = value(),
                _ if at == self.cpu => cpu = value(),
                _ if at == self.runnable => runnable = value(),
                _ => {}
            }
        }
        sample(time? * self.unit_ns, cpu?, runnable?)
    }
}

/// The sample in one JSON object.
pub fn from_json(object: &[u8]) -> Option<Sample> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(object).ok()?;
    let value = |name: &str| object.get(name)?.as_f64();
    let time = TIMES.iter().find_map(|(name, unit)| Some(value(name)? * unit))?;
    sample(time, value("cpu")?, value("runnable")?)
}

fn sample(at_ns: f64, cpu: f64, runnable: f64) -> Option<Sample> {
    let fits = (0.0..4e18).contains(&at_ns)
        && (0.0..=CPU_MAX as f64).contains(&cpu)
        && cpu.fract() == 0.0
        && (0.0..=RUNNABLE_MAX).contains(&runnable);
    fits.then_some(Sample { at_ns: at_ns.round() as u64, cpu: cpu as u32, runnable })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name() {
        let columns = Columns::from_heading(b"host, CPU ,time_ms,runnable").unwrap();
        let found = columns.sample(b"a, 3 ,1.5,7").unwrap();
        assert_eq!(found, Sample { at_ns: 1_500_000, cpu: 3, runnable: 7.0 });
        assert_eq!(Columns::from_heading(b"time,cpu"), None);
        for broken in ["", "a,3", "a,3.5,1,1", "a,3,nan,1", "a,3,1,-1", "a,3,1,inf", "a,1e9,1,1"] {
            assert_eq!(columns.sample(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn json_objects_are_samples() {
        let found = from_json(br#"{"runnable": 2.5, "cpu": 1, "time": 0.25, "x": []}"#).unwrap();
        assert_eq!(found, Sample { at_ns: 250_000_000, cpu: 1, runnable: 2.5 });
        assert_eq!(from_json(br#"{"cpu": 1, "time": 0.25}"#), None);
        assert_eq!(from_json(b"[1]"), None);
    }
}
