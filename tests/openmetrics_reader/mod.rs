// SPDX-License-Identifier: GPL-2.0-only
//! A strict reader of OpenMetrics text, by the specification and without our encoder: what it
//! does not know it refuses.

use std::collections::{BTreeMap, BTreeSet};

/// One sample: its name with its suffix, its labels and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// One family.
#[derive(Debug, Default)]
pub struct Family {
    pub kind: String,
    pub unit: String,
    pub help: String,
    pub samples: Vec<Sample>,
}

/// All families by name.
pub type Page = BTreeMap<String, Family>;

fn suffixes(kind: &str) -> &'static [&'static str] {
    match kind {
        "counter" => &["_total", "_created"],
        "gauge" => &[""],
        "histogram" => &["_bucket", "_count", "_sum", "_created"],
        _ => panic!("unexpected type {kind}"),
    }
}

fn is_name(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    !name.is_empty() && name.chars().all(word) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// The families of `text`. Panics with the line that is not as it has to be.
pub fn read(text: &str) -> Page {
    let body = text.strip_suffix("# EOF\n").expect("the text ends with # EOF");
    let mut page = Page::new();
    let mut current = String::new();
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (what, name) = (words.next().unwrap(), words.next().expect(line));
            let rest = words.next().unwrap_or("");
            assert!(is_name(name), "{line}");
            if name != current {
                assert!(!page.contains_key(name), "a family comes twice: {line}");
                current = name.into();
            }
            let family = page.entry(name.into()).or_default();
            assert!(family.samples.is_empty(), "a comment after the samples: {line}");
            let field = match what {
                "TYPE" => &mut family.kind,
                "HELP" => &mut family.help,
                "UNIT" => &mut family.unit,
                _ => panic!("neither TYPE nor HELP nor UNIT: {line}"),
            };
            assert!(field.is_empty() && !rest.is_empty(), "{line}");
            *field = rest.into();
        } else {
            let sample = sample(line);
            let family = page.get_mut(&current).unwrap_or_else(|| panic!("no family: {line}"));
            let suffix = sample.name.strip_prefix(&current).unwrap_or_else(|| panic!("{line}"));
            assert!(suffixes(&family.kind).contains(&suffix), "{line} in a {}", family.kind);
            let twin =
                |other: &Sample| (&other.name, &other.labels) == (&sample.name, &sample.labels);
            assert!(!family.samples.iter().any(twin), "a sample comes twice: {line}");
            family.samples.push(sample);
        }
    }
    page.iter().for_each(|(name, family)| check(name, family));
    page
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    let (name, labels) = match series.split_once('{') {
        None => (series, ""),
        Some((name, rest)) => (name, rest.strip_suffix('}').expect(line)),
    };
    assert!(is_name(name), "{line}");
    let mut pairs = BTreeMap::new();
    for pair in labels.split(',').filter(|pair| !pair.is_empty()) {
        let (label, quoted) = pair.split_once('=').expect(line);
        let value = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).expect(line);
        assert!(is_name(label) && !value.contains(['"', '\\']), "{line}");
        assert!(pairs.insert(label.into(), value.into()).is_none(), "a label twice: {line}");
    }
    let value = value.parse().unwrap_or_else(|_| panic!("{value} is no number: {line}"));
    Sample { name: name.into(), labels: pairs, value }
}

fn check(name: &str, family: &Family) {
    assert!(!family.help.is_empty(), "{name} is not explained");
    if !family.unit.is_empty() {
        assert!(name.ends_with(&format!("_{}", family.unit)), "{name} in {}", family.unit);
    }
    match family.kind.as_str() {
        "counter" => {
            assert!(family.samples.iter().all(|s| s.value >= 0.0), "{name} counts down");
        }
        "gauge" => {}
        "histogram" => check_histogram(name, family),
        kind => panic!("{name} is a {kind}"),
    }
    let names = |sample: &Sample| sample.labels.keys().cloned().collect::<BTreeSet<_>>();
    if family.kind != "histogram" {
        let all: BTreeSet<_> = family.samples.iter().map(names).collect();
        assert!(all.len() <= 1, "the samples of {name} have different labels");
    }
}

fn check_histogram(name: &str, family: &Family) {
    let buckets = buckets(family);
    assert!(buckets.is_sorted_by(|a, b| a.0 < b.0), "{name}: bounds do not rise: {buckets:?}");
    assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "{name} is not cumulative: {buckets:?}");
    let (bound, all) = *buckets.last().unwrap_or_else(|| panic!("{name} has no bucket"));
    assert_eq!(bound, f64::INFINITY, "{name}");
    assert_eq!(all, value(family, "_count"), "{name}");
    assert!(value(family, "_sum") >= 0.0, "{name}");
}

/// Bound and cumulative count of each bucket.
pub fn buckets(family: &Family) -> Vec<(f64, f64)> {
    let buckets = family.samples.iter().filter(|sample| sample.name.ends_with("_bucket"));
    buckets.map(|sample| (sample.labels["le"].parse().unwrap(), sample.value)).collect()
}

/// The value of the one sample whose name ends so.
pub fn value(family: &Family, suffix: &str) -> f64 {
    let found: Vec<_> = family.samples.iter().filter(|s| s.name.ends_with(suffix)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].value
}
