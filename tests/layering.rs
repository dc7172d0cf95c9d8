// SPDX-License-Identifier: GPL-2.0-only
//! Data flows one way: a module uses modules of earlier stages only.
//!
//! The test reads the sources, finds every path that begins at the crate's root (`crate::x`,
//! `scx_toll::x`, enough `super::` to get there), and compares it with the tables below.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

/// The stages in the order in which data flows. A stage sees itself and all before it.
const FLOW: [&str; 10] = [
    "units", "topology", "measure", "model", "policy", "events", "stats", "memory", "analysis",
    "ui",
];

/// Modules beside the flow, and what each may see besides itself. `EVERYTHING` sees all.
const BESIDE: [(&str, &[&str]); 16] = [
    // The BPF half as generated: types and the skeleton.
    ("bpf", &[]),
    ("fault", &[]),
    ("cgroups", &[]),
    ("ffi", &["units"]),
    ("preflight", &["fault"]),
    ("cli", &["units", "topology", "model", "fault"]),
    ("config", &["units", "topology", "model", "fault", "cli"]),
    // What subcommands do, and what the scheduler asks for at its start.
    ("command", EVERYTHING),
    // Reads and changes policies as values; the loop in sched puts them in force.
    (
        "control",
        &[
            "units", "topology", "model", "policy", "events", "ui", "fault", "cli", "config",
            "cgroups",
        ],
    ),
    // Files of what the scheduler sends to those that listen.
    ("recording", &["units", "topology", "model", "events", "control"]),
    // The rule in user space: pure, by values of the stages that it needs.
    ("user", &["units", "topology", "model", "policy", "events", "stats"]),
    // The BPF half on the host; it is set up by the same lines as in the kernel.
    (
        "sim",
        &[
            "units", "topology", "model", "policy", "bpf", "events", "stats", "analysis", "fault",
            "sched",
        ],
    ),
    ("bin", EVERYTHING),
    ("sched", EVERYTHING),
    ("main", EVERYTHING),
    ("lib", EVERYTHING),
];
const EVERYTHING: &[&str] = &["*"];

/// The stages that touch BPF memory; for all others the generated types do not exist.
const BPF_USERS: [&str; 4] = ["policy", "events", "stats", "memory"];

fn is_known(module: &str) -> bool {
    FLOW.contains(&module) || BESIDE.iter().any(|(name, _)| *name == module)
}

/// True when module `from` may use module `to`.
fn may_use(from: &str, to: &str) -> bool {
    if from == to {
        return true;
    }
    if let Some((_, seen)) = BESIDE.iter().find(|(name, _)| *name == from) {
        return *seen == EVERYTHING || seen.contains(&to);
    }
    let stage = |module: &str| FLOW.iter().position(|stage| *stage == module);
    match (stage(from), stage(to)) {
        (Some(from), Some(to)) => to < from,
        _ => to == "bpf" && BPF_USERS.contains(&from),
    }
}

// ---- reading Rust -------------------------------------------------------------------------------

/// Identifiers, `::`, and single characters; comments, strings and characters are left out.
fn tokens(source: &str) -> Vec<String> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let c = at(i);
        if c == '/' && at(i + 1) == '/' {
            i = end_of(&chars, i, "\n");
        } else if c == '/' && at(i + 1) == '*' {
            i = end_of_block_comment(&chars, i);
        } else if c == '"' {
            i = end_of_string(&chars, i);
        } else if c == '\'' {
            i = end_of_quote(&chars, i);
        } else if is_word(c) {
            let start = i;
            while is_word(at(i)) {
                i += 1;
            }
            let word: String = chars[start..i].iter().collect();
            let raw = ["r", "br", "cr"].contains(&word.as_str());
            let hashes = (i..).take_while(|&j| at(j) == '#').count();
            if raw && at(i + hashes) == '"' {
                i = end_of(&chars, i + hashes + 1, &format!("\"{}", "#".repeat(hashes)));
            } else if word == "r" && hashes == 1 && is_word(at(i + 1)) {
                i += 1; // r#name is the identifier that follows
            } else {
                tokens.push(word);
            }
        } else if c == ':' && at(i + 1) == ':' {
            tokens.push("::".into());
            i += 2;
        } else {
            if !c.is_whitespace() {
                tokens.push(c.into());
            }
            i += 1;
        }
    }
    tokens
}

/// Where `end` that follows position `from` is over.
fn end_of(chars: &[char], from: usize, end: &str) -> usize {
    let end: Vec<char> = end.chars().collect();
    let found = chars[from..].windows(end.len()).position(|window| window == end);
    found.map_or(chars.len(), |at| from + at + end.len())
}

fn end_of_block_comment(chars: &[char], from: usize) -> usize {
    let mut depth = 0;
    let mut i = from;
    while i + 1 < chars.len() {
        match (chars[i], chars[i + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                i += 1;
                continue;
            }
        }
        i += 2;
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], from: usize) -> usize {
    let mut i = from + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// Behind a character literal, or behind the quote of a lifetime.
fn end_of_quote(chars: &[char], from: usize) -> usize {
    match (chars.get(from + 1), chars.get(from + 2)) {
        (Some('\\'), _) => end_of(chars, from + 3, "'"),
        (Some(_), Some('\'')) => from + 3,
        _ => from + 1,
    }
}

/// The modules below the crate's root that `source` names, where `home` is the path of the module
/// that it defines. What is not a module by name ("*", an item of the root) is given as it is.
fn references(home: &[String], source: &str) -> Vec<String> {
    let tokens = tokens(source);
    let token = |i: usize| tokens.get(i).map_or("", String::as_str);
    let mut found = Vec::new();
    let mut inline: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    let mut i = 0;
    while i < tokens.len() {
        let starts = i == 0 || token(i - 1) != "::";
        match token(i) {
            "mod" if token(i + 2) == "{" => inline.push((token(i + 1).into(), depth)),
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                inline.pop_if(|(_, opened)| *opened == depth);
            }
            "crate" if token(i + 1) == "as" => found.push("crate as".into()),
            "scx_toll" if token(i + 1) == "::" => found.extend(names_after(&tokens, i + 1)),
            "crate" if starts && token(i + 1) == "::" => found.extend(names_after(&tokens, i + 1)),
            "super" if starts && token(i + 1) == "::" => {
                let mut module: Vec<&str> = home.iter().map(String::as_str).collect();
                module.extend(inline.iter().map(|(name, _)| name.as_str()));
                while token(i) == "super" && token(i + 1) == "::" {
                    module.pop();
                    i += 2;
                }
                match module.first() {
                    Some(name) => found.push((*name).into()),
                    None => found.extend(names_after(&tokens, i - 1)),
                }
                continue;
            }
            _ => {}
        }
        i += 1;
    }
    found
}

/// The first components that follow the `::` at position `colons`: one, or those of a group.
fn names_after(tokens: &[String], colons: usize) -> Vec<String> {
    let token = |i: usize| tokens.get(i).map_or("", String::as_str);
    if token(colons + 1) != "{" {
        return vec![token(colons + 1).into()];
    }
    let mut names = Vec::new();
    let mut depth = 0;
    for i in colons + 1..tokens.len() {
        match token(i) {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        let begins = matches!(token(i - 1), "{" | ",") && !matches!(token(i), "{" | "}" | ",");
        if depth == 1 && begins {
            names.push(token(i).into());
        }
        if depth == 0 {
            break;
        }
    }
    names
}

// ---- the check ----------------------------------------------------------------------------------

/// The module path of a source file below `src`: `model/penalty.rs` is model::penalty, and the
/// two crate roots are the modules "lib" and "main" at the path of the root.
fn module_of(file: &str) -> (String, Vec<String>) {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    let parts: Vec<String> = path.split('/').map(String::from).collect();
    match path {
        "lib" | "main" => (path.into(), Vec::new()),
        _ => (parts[0].clone(), parts),
    }
}

/// What the tables forbid in one file, one line each.
fn violations(file: &str, source: &str) -> Vec<String> {
    let (module, home) = module_of(file);
    if !is_known(&module) {
        return vec![format!("{file}: module {module} is in no table of tests/layering.rs")];
    }
    let refused = |to: &String| match is_known(to) {
        true => !may_use(&module, to),
        // An item of the root could come from anywhere; name its module instead.
        false => !may_use(&module, "*"),
    };
    let used = references(&home, source);
    used.iter().filter(|to| refused(to)).map(|to| format!("{file}: uses {to}")).collect()
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_module_uses_earlier_stages_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let mut wrong = Vec::new();
    let mut seen = 0;
    for path in files {
        let file = path.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
        let source = fs::read_to_string(&path).unwrap();
        seen += references(&module_of(&file).1, &source).len();
        wrong.extend(violations(&file, &source));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen > 20, "only {seen} references were found: is the reader broken?");
}

#[test]
fn a_made_up_violation_is_found() {
    for (file, source, expected) in [
        ("model/penalty.rs", "use crate::policy::Policy;", "uses policy"),
        ("units.rs", "use super::topology::Topology;", "uses topology"),
        ("topology/sysfs.rs", "use super::super::stats;", "uses stats"),
        ("ui/text.rs", "use crate::{units::{Ns, Q10}, sched};", "uses sched"),
        ("ui/text.rs", "use crate::{\n    topology,\n    bpf::types,\n};", "uses bpf"),
        ("model/mod.rs", "fn f() -> crate::bpf::types::X { todo!() }", "uses bpf"),
        ("config.rs", "fn f() { scx_toll::sched::run() }", "uses sched"),
        ("config.rs", "use ::scx_toll::sched;", "uses sched"),
        ("events.rs", "mod tests { use super::super::ui; }", "uses ui"),
        ("stats.rs", "macro_rules! m { () => { $crate::ui::show() } }", "uses ui"),
        ("stats.rs", "fn f<'a>(c: &'a str) { let _ = '{'; crate::ui::show(c) }", "uses ui"),
        ("stats.rs", "const S: &str = r#\"\"#; use crate::ui;", "uses ui"),
        ("fault.rs", "use crate::units::Ns;", "uses units"),
        ("policy.rs", "use crate::r#stats::Delta;", "uses stats"),
        ("measure/refill.rs", "use crate::model;", "uses model"),
        ("stats.rs", "use crate::*;", "uses *"),
        ("stats.rs", "use crate as toll;", "uses crate as"),
        ("stats.rs", "fn f() { crate::run() }", "uses run"),
        ("extra.rs", "", "module extra is in no table of tests/layering.rs"),
    ] {
        let found = violations(file, source);
        assert_eq!(found, [format!("{file}: {expected}")], "{source}");
    }
}

#[test]
fn what_is_allowed_is_not_reported() {
    for (file, source) in [
        ("model/penalty.rs", "use crate::{topology::Topology, units::*};"),
        ("model/penalty.rs", "use super::warmth; use crate::model::file; use self::inner::X;"),
        (
            "model/penalty.rs",
            "mod tests { use super::*; mod deep { use super::super::super::x; } }",
        ),
        ("policy.rs", "use crate::bpf::types; use crate::model::Hysteresis;"),
        ("units.rs", "// crate::sched\n/* crate::ui /* nested */ crate::ui */ //! [`crate::ui`]"),
        ("units.rs", "const A: &str = \"crate::ui \\\" crate::ui\"; const B: char = '\"';"),
        (
            "units.rs",
            "const A: &str = r##\"crate::ui\"# crate::ui\"##; const B: &[u8] = b\"super::ui\";",
        ),
        (
            "units.rs",
            "pub(crate) fn f() {} pub(super) fn g() {} use other_crate::ui; use a::crate_::ui;",
        ),
        ("units.rs", "mod tests { use super::*; } fn after() { }"),
        ("sched.rs", "use crate::ui; use crate::bpf; use crate::cli;"),
        ("main.rs", "use scx_toll::sched; use scx_toll::anything;"),
    ] {
        assert_eq!(violations(file, source), Vec::<String>::new(), "{source}");
    }
}

/// An inline module ends with its brace, so `super` behind it counts from the file again.
#[test]
fn inline_modules_end() {
    let source = "mod a { fn f() { if x {} } } use super::ui;";
    assert_eq!(violations("units.rs", source), ["units.rs: uses ui"]);
}
