// SPDX-License-Identifier: GPL-2.0-only
//! Requests and answers as lines of JSON. Pure: bytes in, values out.

use super::change::Changed;
use crate::events::filter::Filter;
use crate::events::{Decision, Event, Outcome, Slice};
use crate::policy::view::PolicyView;
use serde::{Deserialize, Serialize};

/// Longest request, its newline included.
pub const REQUEST_BYTES_MAX: usize = 64 << 10;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The policy in force.
    Get {},
    /// All of these changes at once, each `KEY=VALUE`.
    Set {
        /// The assignments.
        assign: Vec<String>,
    },
    /// Decisions as they are made: an answer, then [`Frame`]s without end.
    Watch {
        /// Which.
        #[serde(default)]
        filter: Filter,
    },
}

/// The machine that records come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// LLC of each CPU, by the kernel's number; none for one that is offline.
    pub cpu_llc: Vec<Option<u32>>,
    /// Node of each LLC.
    pub llc_node: Vec<u32>,
    /// Cache behind each LLC; parts of one cache share it.
    #[serde(default)]
    pub llc_cache: Vec<u32>,
    /// SLIT distances, from node to node.
    #[serde(default)]
    pub distance: Vec<Vec<u32>>,
}

/// A line after the answer to [`Request::Watch`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Frame {
    /// A decision.
    Decision(Box<Decision>),
    /// What became of a move that was a [`Frame::Decision`] before.
    Outcome(Outcome),
    /// What ran on a CPU.
    Slice(Slice),
    /// Records are missing here.
    Lost {
        /// So many found no room in the ring buffer, whoever wanted them.
        ring: u64,
        /// So many came faster than this client read.
        queue: u64,
    },
    /// The scheduler has ended.
    Ended {},
}

impl From<Event> for Frame {
    fn from(event: Event) -> Frame {
        match event {
            Event::Decision(decision) => Frame::Decision(decision),
            Event::Outcome(outcome) => Frame::Outcome(outcome),
            Event::Slice(slice) => Frame::Slice(slice),
        }
    }
}

/// What it is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Answer {
    /// The policy in force.
    Policy(Box<PolicyView>),
    /// Done: this version is in force.
    Changed {
        /// The version.
        version: u64,
        /// Old and new value of each assignment, in its order.
        changes: Vec<Changed>,
    },
    /// Frames follow.
    Watching {
        /// Where the records come from.
        places: Places,
    },
    /// The request makes no sense; nothing was changed.
    Refused {
        /// One sentence that names the value and what was expected.
        error: String,
    },
    /// The request makes sense but could not be carried out; nothing was changed.
    Failed {
        /// One sentence that says why.
        error: String,
    },
}

/// The request in `line`.
///
/// # Errors
/// One sentence that says what is wrong and what was expected.
pub fn decode(line: &[u8]) -> Result<Request, String> {
    if line.len() > REQUEST_BYTES_MAX {
        return Err(too_long());
    }
    serde_json::from_slice(line).map_err(|err| {
        format!(
            "the request is not understood ({}), expected {{\"what\":\"get\"}} or \
             {{\"what\":\"watch\"}} or {{\"what\":\"set\",\"assign\":[\"KEY=VALUE\"]}} on one \
             line",
            brief(&err.to_string(), 120)
        )
    })
}

/// The sentence for a request beyond [`REQUEST_BYTES_MAX`].
pub fn too_long() -> String {
    format!("the request is longer than {REQUEST_BYTES_MAX} bytes, expected one line of JSON")
}

/// `message` as a line.
pub fn encode<T: Serialize>(message: &T) -> Result<String, serde_json::Error> {
    serde_json::to_string(message).map(|text| text + "\n")
}

/// At most `most` characters of `text`, on one line.
pub(super) fn brief(text: &str, most: usize) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().take(most).map(plain).collect();
    if text.chars().nth(most).is_some() {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_and_written() {
        let set = Request::Set { assign: vec!["slice_us=5000".into()] };
        let line = encode(&set).unwrap();
        assert_eq!(line, "{\"what\":\"set\",\"assign\":[\"slice_us=5000\"]}\n");
        assert_eq!(decode(line.as_bytes()), Ok(set));
        assert_eq!(decode(b"{\"what\":\"get\"}"), Ok(Request::Get {}));
    }

    #[test]
    fn whatever_is_no_request_is_refused_with_one_sentence() {
        for (line, words) in [
            (&b""[..], "EOF while parsing"),
            (b"get", "expected value"),
            (b"[]", "expected"),
            (b"\xff\xfe", "expected value"),
            (b"{\"what\":\"stop\"}", "unknown variant `stop`"),
            (b"{\"what\":\"st\\nop\"}", "unknown variant `st op`"),
            (b"{\"what\":\"get\",\"x\":1}", "unknown field `x`"),
            (b"{\"what\":\"set\"}", "missing field `assign`"),
            (b"{\"what\":\"set\",\"assign\":\"slice_us=1\"}", "expected a sequence"),
            (b"{\"what\":\"set\",\"assign\":[1]}", "expected a string"),
            (b"{\"what\":\"get\"} {\"what\":\"get\"}", "trailing characters"),
        ] {
            let error = decode(line).expect_err("a refusal");
            assert!(error.contains(words), "{words:?} is not in: {error}");
            assert!(error.contains("expected {\"what\":\"get\"} or"), "{error}");
            assert!(!error.contains('\n'), "{error:?}");
        }
        let long = vec![b' '; REQUEST_BYTES_MAX + 1];
        assert_eq!(decode(&long), Err(too_long()));
        let deep = "[".repeat(10_000);
        assert!(decode(deep.as_bytes()).is_err());
    }
}
