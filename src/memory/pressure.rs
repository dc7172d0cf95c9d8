// SPDX-License-Identifier: GPL-2.0-only
//! Is memory short? Then nothing is moved.

use std::fs;

/// Per cent of the last ten seconds in which some task waited for memory: pages do not move above
/// it. A guess.
const PRESSURE_PCT: f64 = 5.0;
/// A node keeps this part of its memory free, as a divisor.
const KEEP_FREE: u64 = 16;

/// True while tasks wait for memory; never on a kernel that does not tell.
pub fn is_high() -> bool {
    let text = fs::read_to_string("/proc/pressure/memory").unwrap_or_default();
    some_avg10(&text).is_some_and(|pct| pct > PRESSURE_PCT)
}

fn some_avg10(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with("some"))?;
    line.split_whitespace().find_map(|word| word.strip_prefix("avg10="))?.parse().ok()
}

/// True if the node with the kernel's number `node` can take `bytes` more and keep some free.
pub fn has_room(node: u32, bytes: u64) -> bool {
    let path = format!("/sys/devices/system/node/node{node}/meminfo");
    room(&fs::read_to_string(path).unwrap_or_default()).is_some_and(|room| room >= bytes)
}

/// Bytes beyond what a node keeps free.
fn room(text: &str) -> Option<u64> {
    let kib = |key: &str| -> Option<u64> {
        let line = text.lines().find(|line| line.contains(key))?;
        line.split_whitespace().rev().nth(1)?.parse().ok()
    };
    Some(kib("MemFree:")?.saturating_sub(kib("MemTotal:")? / KEEP_FREE) * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_are_read() {
        let text = "some avg10=7.25 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 total=0\n";
        assert_eq!(some_avg10(text), Some(7.25));
        assert_eq!(some_avg10(""), None);
        let text = "Node 0 MemTotal:  1600 kB\nNode 0 MemFree:  300 kB\nNode 0 MemUsed: 1 kB\n";
        assert_eq!(room(text), Some(200 * 1024));
        assert_eq!(room("Node 0 MemTotal:  1600 kB\n"), None);
    }
}
