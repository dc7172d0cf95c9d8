// SPDX-License-Identifier: GPL-2.0-only
//! Lines of a stream in bounded memory: one buffer, from which lines are lent without a copy.

use std::io::{ErrorKind, Read, Result};

/// Longer lines are no lines of a trace; only their length is kept.
pub const LINE_MAX: usize = 16 << 10;
const BUFFER: usize = 1 << 20;

/// A line, or what is known of one.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Its bytes, without the line feed.
    Whole(&'a [u8]),
    /// It was longer than [`LINE_MAX`]; its beginning.
    TooLong(&'a [u8]),
}

/// Cuts a stream into lines.
#[derive(Debug)]
pub struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    /// What is read and not lent yet.
    start: usize,
    end: usize,
    at_end: bool,
    /// The rest of a line that is too long is still to come.
    skipping: bool,
    /// Bytes that were taken from the stream.
    pub bytes: u64,
}

impl<R: Read> Lines<R> {
    /// Of `source`.
    pub fn new(source: R) -> Lines<R> {
        Lines {
            source,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            at_end: false,
            skipping: false,
            bytes: 0,
        }
    }

    /// The first bytes of the stream, up to `most`; they are read again as lines.
    ///
    /// # Errors
    /// When the stream cannot be read.
    pub fn peek(&mut self, most: usize) -> Result<&[u8]> {
        while !self.at_end && self.end - self.start < most.min(BUFFER) {
            self.fill()?;
        }
        Ok(&self.buffer[self.start..self.end.min(self.start + most)])
    }

    /// The next line; `None` at the end. A last line without a line feed is one too.
    ///
    /// # Errors
    /// When the stream cannot be read.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>> {
        let mut searched = 0;
        loop {
            let unread = &self.buffer[self.start + searched..self.end];
            if let Some(at) = find(unread, b'\n') {
                let line = self.start..self.start + searched + at;
                self.start = line.end + 1;
                if std::mem::take(&mut self.skipping) {
                    searched = 0;
                    continue;
                }
                return Ok(Some(Line::Whole(&self.buffer[line])));
            }
            searched = self.end - self.start;
            if self.skipping {
                self.start = self.end;
                searched = 0;
            } else if searched > LINE_MAX {
                let line = self.start..self.start + LINE_MAX;
                self.start = self.end;
                self.skipping = true;
                return Ok(Some(Line::TooLong(&self.buffer[line])));
            }
            if self.at_end {
                let line = self.start..self.end;
                self.start = self.end;
                return Ok((!line.is_empty()).then_some(Line::Whole(&self.buffer[line])));
            }
            self.fill()?;
        }
    }

    /// Whatever is there next, wherever lines end; `None` at the end.
    ///
    /// # Errors
    /// When the stream cannot be read.
    pub fn next_chunk(&mut self) -> Result<Option<&[u8]>> {
        while self.start == self.end && !self.at_end {
            self.fill()?;
        }
        let chunk = self.start..self.end;
        self.start = self.end;
        Ok((!chunk.is_empty()).then_some(&self.buffer[chunk]))
    }

    /// Read more behind what is there.
    fn fill(&mut self) -> Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        match self.source.read(&mut self.buffer[self.end..]) {
            Ok(0) => self.at_end = true,
            Ok(len) => {
                self.end += len;
                self.bytes += len as u64;
            }
            Err(err) if err.kind() == ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
        Ok(())
    }
}

/// Where `byte` is.
pub fn find(bytes: &[u8], byte: u8) -> Option<usize> {
    memchr::memchr(byte, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
            let len = self.1.min(self.0.len()).min(buffer.len());
            buffer[..len].copy_from_slice(&self.0[..len]);
            self.0 = &self.0[len..];
            Ok(len)
        }
    }

    fn all(bytes: &[u8], step: usize) -> Vec<(bool, Vec<u8>)> {
        let mut lines = Lines::new(Drip(bytes, step));
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            found.push(match line {
                Line::Whole(line) => (true, line.to_vec()),
                Line::TooLong(line) => (false, line.to_vec()),
            });
        }
        found
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let text = b"one\n\ntwo words\nlast without end";
        for step in [1, 2, 7, 100] {
            let lines: Vec<_> = all(text, step).into_iter().map(|(_, line)| line).collect();
            assert_eq!(lines, [&b"one"[..], b"", b"two words", b"last without end"], "{step}");
        }
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let mut text = vec![b'x'; 5 << 20];
        text.extend(b"\nnext\n");
        let lines = all(&text, 100_000);
        assert_eq!(lines.len(), 2);
        assert!(!lines[0].0 && lines[0].1.len() == LINE_MAX);
        assert_eq!(lines[1], (true, b"next".to_vec()));
    }

    #[test]
    fn a_peek_takes_nothing_away() {
        let mut lines = Lines::new(Drip(b"ab\ncd\n", 1));
        assert_eq!(lines.peek(4).unwrap(), b"ab\nc");
        assert_eq!(lines.next_line().unwrap(), Some(Line::Whole(b"ab")));
    }
}
