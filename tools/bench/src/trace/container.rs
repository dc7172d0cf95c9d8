// SPDX-License-Identifier: GPL-2.0-only
//! How a trace travels: sections with a name and a length, in the middle of a program's output.
//!
//! ```text
//! @tolltrace 1
//! @NAME LENGTH        any number of times; LENGTH bytes and a line feed follow
//! @end 0
//! ```
//!
//! The bytes of a section may be anything, so whoever looks for the next trace or for text goes on
//! behind the last section, never inside one. The reader of a stream that was cut short is told so.

use std::io::{self, Write};

use anyhow::{Context, Result, bail};

/// The line that opens a trace.
pub const HEAD: &[u8] = b"@tolltrace 1\n";
const END: &str = "end";

/// Writes one trace, section by section.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// Begin a trace on `out`.
    pub fn begin(mut out: W) -> io::Result<Self> {
        out.write_all(HEAD)?;
        Ok(Self { out })
    }

    /// Add a section. `name` has neither spaces nor line feeds.
    pub fn section(&mut self, name: &str, body: &[u8]) -> io::Result<()> {
        writeln!(self.out, "@{name} {}", body.len())?;
        self.out.write_all(body)?;
        self.out.write_all(b"\n")
    }

    /// End the trace.
    pub fn end(mut self) -> io::Result<()> {
        self.section(END, &[])?;
        self.out.flush()
    }
}

/// A part of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// What it is.
    pub name: &'a str,
    /// Its bytes.
    pub body: &'a [u8],
}

/// What a program printed: text, and traces between the text.
#[derive(Debug, PartialEq, Eq)]
pub struct Split<'a> {
    /// The text, each trace replaced by a line `@trace N`, where N counts from 0.
    pub text: String,
    /// The sections of each trace.
    pub traces: Vec<Vec<Section<'a>>>,
}

/// Take the traces out of a program's output.
pub fn split(mut bytes: &[u8]) -> Result<Split<'_>> {
    let mut found = Split { text: String::new(), traces: Vec::new() };
    loop {
        let head = bytes.windows(HEAD.len()).position(|window| window == HEAD);
        let text = &bytes[..head.unwrap_or(bytes.len())];
        found.text.push_str(&String::from_utf8_lossy(text));
        let Some(head) = head else { return Ok(found) };
        let number = found.traces.len();
        let (sections, rest) = sections(&bytes[head + HEAD.len()..])
            .with_context(|| format!("trace {number} of the output"))?;
        if !found.text.is_empty() && !found.text.ends_with('\n') {
            found.text.push('\n');
        }
        found.text.push_str(&format!("@trace {number}\n"));
        found.traces.push(sections);
        bytes = rest;
    }
}

/// The sections up to the end of the trace, and what follows it.
fn sections(mut rest: &[u8]) -> Result<(Vec<Section<'_>>, &[u8])> {
    let mut sections = Vec::new();
    loop {
        let (section, behind) =
            section(rest).with_context(|| format!("behind section {}", last_name(&sections)))?;
        rest = behind;
        if section.name == END {
            return Ok((sections, rest));
        }
        sections.push(section);
    }
}

fn last_name<'a>(sections: &[Section<'a>]) -> &'a str {
    sections.last().map_or("(none)", |section| section.name)
}

fn section(bytes: &[u8]) -> Result<(Section<'_>, &[u8])> {
    let Some(line) = bytes.iter().position(|&byte| byte == b'\n') else {
        bail!("the trace is cut short: expected @NAME LENGTH, found {} bytes", bytes.len());
    };
    let head = String::from_utf8_lossy(&bytes[..line]);
    let bad = || format!("expected @NAME LENGTH, found '{}'", head.escape_debug());
    let (name, length) = std::str::from_utf8(&bytes[..line])
        .ok()
        .and_then(|head| head.strip_prefix('@')?.split_once(' '))
        .with_context(bad)?;
    let length: usize = length.parse().with_context(bad)?;
    let body = &bytes[line + 1..];
    if body.len() <= length {
        bail!("the trace is cut short: section {name} has {length} bytes, {} are left", body.len());
    }
    if body[length] != b'\n' {
        bail!("section {name} does not end after its {length} bytes: the stream was damaged");
    }
    Ok((Section { name, body: &body[..length] }, &body[length + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(sections: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::begin(&mut bytes).expect("begin");
        for (name, body) in sections {
            writer.section(name, body).expect("section");
        }
        writer.end().expect("end");
        bytes
    }

    #[test]
    fn what_was_written_is_found_between_text() {
        // A body that looks like a trace of its own, and one with every byte there is.
        let every: Vec<u8> = (0..=255).collect();
        let trace = written(&[("a", b"@end 0\n@tolltrace 1\n"), ("b", &every), ("c", b"")]);
        let mut bytes = b"before\n".to_vec();
        bytes.extend(&trace);
        bytes.extend(b"between");
        bytes.extend(&trace);
        bytes.extend(b"after");
        let found = split(&bytes).expect("split");
        assert_eq!(found.text, "before\n@trace 0\nbetween\n@trace 1\nafter");
        assert_eq!(found.traces[0], found.traces[1]);
        let names: Vec<_> = found.traces[0].iter().map(|section| section.name).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(found.traces[0][1].body, every);
    }

    #[test]
    fn a_stream_cut_anywhere_is_noticed() {
        let bytes = written(&[("a", b"xyz"), ("b", b"")]);
        for cut in HEAD.len()..bytes.len() {
            let error = split(&bytes[..cut]).expect_err("cut");
            assert!(format!("{error:#}").contains("cut short"), "{cut}: {error:#}");
        }
    }

    #[test]
    fn added_carriage_returns_are_noticed() {
        let bytes = b"@tolltrace 1\n@a 3\nx\r\nz\n@end 0\n\n";
        let error = split(bytes).expect_err("damaged");
        assert!(format!("{error:#}").contains("damaged"), "{error:#}");
    }
}
