// SPDX-License-Identifier: GPL-2.0-only
//! Boot a virtual machine, run a script of `tests/guest` in it, read its output.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

/// Is this the long run (`tools/test --long`)?
pub fn long() -> bool {
    std::env::var_os("TOLL_LONG").is_some()
}

/// True where VM tests are switched off, which this says. They are switched off only by
/// `tools/test --no-vm`, and never when `CI` is set: a machine that cannot be booted is a failure.
pub fn skipped() -> bool {
    let off = std::env::var_os("TOLL_NO_VM").is_some() && std::env::var_os("CI").is_none();
    if off {
        eprintln!("skipped: TOLL_NO_VM is set, no virtual machine is booted");
    }
    off
}

/// A virtual machine to be booted: 2 nodes × 2 LLCs × 2 CPUs unless said otherwise.
pub struct Vm {
    options: Vec<String>,
}

impl Vm {
    /// A machine whose clock counts instructions: two runs give the same output.
    pub fn counted() -> Vm {
        Vm { options: vec!["--counted".into()] }
    }

    /// A machine in real time, for what has to run for a while.
    pub fn real_time() -> Vm {
        Vm { options: Vec::new() }
    }

    /// More options for `tools/vm`.
    pub fn with(mut self, options: &[&str]) -> Vm {
        self.options.extend(options.iter().map(|o| o.to_string()));
        self
    }

    /// Run `tests/guest/SCRIPT ARGS…`; `None` where VM tests are [`skipped`].
    pub fn run(self, script: &str, args: &[&str]) -> Option<Ran> {
        if skipped() {
            return None;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let guest = |name: &str| root.join("tests/guest").join(name).display().to_string();
        let output = Command::new(root.join("tools/vm"))
            .args(&self.options)
            .args(["--add", &root.join("tools/guest-lib.sh").display().to_string()])
            .args(["--add", &format!("{}:/root/test.sh", guest(script))])
            .args(["--", "sh", "/root/test.sh"])
            .args(args)
            .output()
            .expect("tools/vm can be started");
        Some(Ran::new(output))
    }
}

/// What a script printed and how it ended.
pub struct Ran {
    /// Exit status; 124 and 125 are `tools/vm`'s own.
    pub status: i32,
    /// Standard output.
    pub out: String,
    /// The same as it came, for what is not text.
    pub bytes: Vec<u8>,
    /// Standard error.
    pub err: String,
}

impl Ran {
    fn new(output: Output) -> Ran {
        Ran {
            status: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            bytes: output.stdout,
        }
    }

    /// Panic with everything that was printed unless the script ended with 0.
    pub fn expect_ok(self) -> Ran {
        assert_eq!(self.status, 0, "{}", self.all());
        self
    }

    /// Both streams, for a failure message.
    pub fn all(&self) -> String {
        format!("status {}\n--- out\n{}\n--- err\n{}", self.status, self.out, self.err)
    }

    /// The output between the lines `== NAME` and the next `==`.
    pub fn section(&self, name: &str) -> &str {
        let head = format!("== {name}\n");
        let start = self.out.find(&head).unwrap_or_else(|| panic!("no {name}: {}", self.all()));
        let rest = &self.out[start + head.len()..];
        rest.find("\n== ").map_or(rest, |end| &rest[..=end])
    }

    /// The value of the first line `KEY=VALUE` in section `name`.
    pub fn value(&self, name: &str, key: &str) -> &str {
        self.section(name)
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .unwrap_or_else(|| panic!("no {key}= in {name}: {}", self.all()))
    }

    /// The same as a number.
    pub fn number(&self, name: &str, key: &str) -> f64 {
        let value = self.value(name, key);
        value.parse().unwrap_or_else(|_| panic!("{key}={value} is no number"))
    }

    /// The last JSON object with `"what":"WHAT"` in section `name`.
    pub fn json(&self, name: &str, what: &str) -> serde_json::Value {
        self.section(name)
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .rfind(|value| value["what"] == what)
            .unwrap_or_else(|| panic!("no {what} in {name}: {}", self.all()))
    }
}

/// CPUs per LLC and LLCs per node of the machine that [`Vm`] boots by default.
const CPUS_PER_LLC: u32 = 2;
const LLCS_PER_NODE: u32 = 2;

/// The LLC of a CPU of that machine.
pub fn llc_of(cpu: u32) -> u32 {
    cpu / CPUS_PER_LLC
}

/// Moves that the kernel recorded, by how far they went.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Moves {
    /// Between CPUs of an LLC.
    pub core: u64,
    /// Between LLCs of a node.
    pub llc: u64,
    /// Between nodes.
    pub node: u64,
}

impl Moves {
    /// Between LLCs, of one node or of two.
    pub fn away(&self) -> u64 {
        self.llc + self.node
    }

    fn add(&mut self, from: u32, to: u32, count: u64) {
        let node = |cpu: u32| llc_of(cpu) / LLCS_PER_NODE;
        if node(from) != node(to) {
            self.node += count;
        } else if llc_of(from) != llc_of(to) {
            self.llc += count;
        } else {
            self.core += count;
        }
    }

    /// From the kernel's `hist` of `sched_migrate_task` by `orig_cpu,dest_cpu`.
    pub fn from_hist(text: &str) -> Moves {
        let mut moves = Moves::default();
        for line in text.lines().filter(|line| line.starts_with("{ orig_cpu:")) {
            let numbers: Vec<u64> = line
                .split(|c: char| !c.is_ascii_digit())
                .filter_map(|number| number.parse().ok())
                .collect();
            let [from, to, count] = numbers[..] else { panic!("not a hist line: {line}") };
            moves.add(from as u32, to as u32, count);
        }
        moves
    }

    /// From the kernel's trace of `sched_migrate_task`, between tollwork's marks
    /// `released` and `ended`.
    pub fn from_trace(text: &str) -> Moves {
        let start = text.find("tollwork: released").expect("a mark at the release");
        let end = text.find("tollwork: ended").expect("a mark at the end");
        let mut moves = Moves::default();
        for line in text[start..end].lines().filter(|line| line.contains("sched_migrate_task:")) {
            let field = |name: &str| -> u32 {
                let fields: BTreeMap<_, _> =
                    line.split_whitespace().filter_map(|word| word.split_once('=')).collect();
                fields[name].parse().expect("a CPU number")
            };
            moves.add(field("orig_cpu"), field("dest_cpu"), 1);
        }
        moves
    }
}

#[test]
fn moves_are_read_from_both_forms_of_the_trace() {
    let hist = "# event histogram\n{ orig_cpu:          0, dest_cpu:          1 } hitcount:   5\n\
                { orig_cpu:          1, dest_cpu:          2 } hitcount:          3\n\
                { orig_cpu:          7, dest_cpu:          0 } hitcount:          2\n";
    assert_eq!(Moves::from_hist(hist), Moves { core: 5, llc: 3, node: 2 });
    let line = "sched_migrate_task: comm=tollwork pid=9 prio=120 orig_cpu=1 dest_cpu=6";
    let trace = format!(
        "x {line}\ny tracing_mark_write: tollwork: released\nz {line}\nw tollwork: ended\n{line}\n"
    );
    assert_eq!(Moves::from_trace(&trace), Moves { core: 0, llc: 0, node: 1 });
}
