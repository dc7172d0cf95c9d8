// SPDX-License-Identifier: GPL-2.0-only
//! Blocks: what makes part of a file readable without the rest.

use std::io::{Read, Result};
use std::ops::Range;

const MAGIC: &[u8; 4] = b"TBLK";
/// Magic, number, length, checksum.
const HEADER_BYTES: usize = 16;
/// Longest payload. A length beyond it was not written by us.
pub const PAYLOAD_MAX: usize = 1 << 20;
/// So many bytes are read at a time.
const CHUNK: usize = 64 << 10;

/// The reflected polynomial of CRC-32.
const POLYNOMIAL: u32 = 0xedb8_8320;
const CRC_TABLE: [u32; 256] = crc_table();

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 != 0 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// CRC-32 of `parts`, one after the other.
fn crc32(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    !bytes.fold(!0, |crc, &byte| crc >> 8 ^ CRC_TABLE[usize::from(crc as u8 ^ byte)])
}

/// Block `number` with this payload, which must not be longer than [`PAYLOAD_MAX`].
pub fn seal(number: u32, payload: &[u8]) -> Vec<u8> {
    let number = number.to_le_bytes();
    let length = (payload.len() as u32).to_le_bytes();
    let sum = crc32(&[&number, &length, payload]).to_le_bytes();
    [MAGIC, &number[..], &length, &sum, payload].concat()
}

/// A whole block in a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Block<'a> {
    pub number: u32,
    pub payload: &'a [u8],
    /// Where it begins,
    pub at: u64,
    /// and where what follows it does.
    pub end: u64,
}

/// Finds whole blocks in a stream. Of the stream no more is kept than one block may take, and no more
/// than has come in.
#[derive(Debug)]
pub struct Blocks<R> {
    source: R,
    buffer: Vec<u8>,
    /// Where in the buffer the next block may begin,
    start: usize,
    /// and where in the stream the buffer does.
    offset: u64,
    at_end: bool,
}

impl<R: Read> Blocks<R> {
    /// In `source`, which stands at `offset` of the file.
    pub fn new(source: R, offset: u64) -> Blocks<R> {
        Blocks { source, buffer: Vec::new(), start: 0, offset, at_end: false }
    }

    /// Where the search goes on; after the last block, where the stream ends.
    pub fn at(&self) -> u64 {
        self.offset + self.start as u64
    }

    /// The next whole block; `None` at the end of the stream.
    pub fn next(&mut self) -> Result<Option<Block<'_>>> {
        loop {
            if let Some((number, payload)) = self.here()? {
                let at = self.at();
                self.start = payload.end;
                let end = self.at();
                return Ok(Some(Block { number, payload: &self.buffer[payload], at, end }));
            }
            let rest = self.buffer.get(self.start + 1..).unwrap_or_default();
            match memchr::memmem::find(rest, MAGIC) {
                Some(at) => self.start += 1 + at,
                None if self.at_end => {
                    self.start = self.buffer.len();
                    return Ok(None);
                }
                // The beginning of a mark may stand at the end.
                None => {
                    let kept = self.buffer.len().saturating_sub(MAGIC.len() - 1);
                    self.start = kept.max((self.start + 1).min(self.buffer.len()));
                    self.have(MAGIC.len())?;
                }
            }
        }
    }

    /// The number and the payload, as a place in the buffer, of a whole block that begins here.
    fn here(&mut self) -> Result<Option<(u32, Range<usize>)>> {
        if !self.have(HEADER_BYTES)? || !self.buffer[self.start..].starts_with(MAGIC) {
            return Ok(None);
        }
        let word = |at: usize| {
            let bytes = self.buffer[self.start..].get(4 * at..)?.first_chunk()?;
            Some(u32::from_le_bytes(*bytes))
        };
        let (Some(number), Some(length), Some(sum)) = (word(1), word(2), word(3)) else {
            return Ok(None);
        };
        let len = length as usize;
        if len > PAYLOAD_MAX || !self.have(HEADER_BYTES + len)? {
            return Ok(None);
        }
        let begin = self.start + HEADER_BYTES;
        let payload = begin..begin + len;
        let parts =
            [&number.to_le_bytes()[..], &length.to_le_bytes(), &self.buffer[payload.clone()]];
        Ok((crc32(&parts) == sum).then_some((number, payload)))
    }

    /// Read until there are `len` bytes; false if the stream ends before.
    fn have(&mut self, len: usize) -> Result<bool> {
        while self.buffer.len() - self.start < len && !self.at_end {
            drop(self.buffer.drain(..self.start));
            self.offset += self.start as u64;
            self.start = 0;
            let more = (&mut self.source).take(CHUNK as u64).read_to_end(&mut self.buffer)?;
            self.at_end = more == 0;
        }
        Ok(self.buffer.len() - self.start >= len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_zip() {
        assert_eq!(crc32(&[b"1234", b"56789"]), 0xcbf4_3926);
    }

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

    /// Number, payload, beginning and end of all blocks.
    fn all(file: &[u8]) -> Vec<(u32, Vec<u8>, u64, u64)> {
        let read = |step: usize| {
            let mut blocks = Blocks::new(Drip(file, step), 0);
            let mut found = Vec::new();
            while let Some(block) = blocks.next().unwrap_or_else(|why| panic!("{why}")) {
                found.push((block.number, block.payload.to_vec(), block.at, block.end));
            }
            assert_eq!(blocks.at(), file.len() as u64, "all is looked at");
            found
        };
        let found = read(1 << 20);
        assert_eq!(read(1), found, "however it arrives");
        found
    }

    #[test]
    fn only_whole_blocks_are_found() {
        let (first, second) = (seal(4, b"TBLK inside"), seal(5, b""));
        let file = [&first[..], &second].concat();
        let (len, end) = (first.len() as u64, file.len() as u64);
        let two = [(4, b"TBLK inside".to_vec(), 0, len), (5, Vec::new(), len, end)];
        assert_eq!(all(&file), two);
        for cut in 1..second.len() {
            assert_eq!(all(&file[..file.len() - cut]), two[..1], "{cut}");
        }
        for at in 0..first.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert_eq!(all(&damaged), two[1..], "byte {at}");
        }
    }

    #[test]
    fn a_length_that_makes_no_sense_reserves_nothing() {
        let mut file = seal(1, b"");
        file[8..12].copy_from_slice(&(PAYLOAD_MAX as u32).to_le_bytes());
        let mut blocks = Blocks::new(&file[..], 0);
        assert_eq!(blocks.next().unwrap_or_else(|why| panic!("{why}")), None);
        assert!(blocks.buffer.capacity() < 1 << 10, "{}", blocks.buffer.capacity());
    }
}
