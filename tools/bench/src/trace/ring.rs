// SPDX-License-Identifier: GPL-2.0-only
//! Pages of the kernel's ring buffer → records with their times.
//!
//! A page begins with the time of its first record and the number of bytes in use. A record begins
//! with 5 bits of kind or length and 27 bits of time since the record before.

use anyhow::{Context, Result, bail};

use super::format::{Field, Format};

/// Bits of the field `commit` that hold a length; the kernel puts flags above them.
const COMMIT_LENGTH: u64 = 0xf_ffff;
/// Records were lost before this page.
const MISSED: u64 = 1 << 31;

/// Kinds of records that carry no data; smaller ones are lengths in words of 4 bytes.
const PADDING: u32 = 29;
const TIME_EXTEND: u32 = 30;
const TIME_STAMP: u32 = 31;
const DELTA_BITS: u32 = 27;
/// An absolute time is stored without its upper 5 bits, which change every 18 years.
const STAMP_BITS: u32 = 59;

/// The layout of a page.
#[derive(Clone, Debug)]
pub struct Pages {
    timestamp: Field,
    commit: Field,
    data: Field,
}

/// What a page held.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The number of records.
    pub records: u64,
    /// The kernel says that records before this page were lost.
    pub missed: bool,
}

impl Pages {
    /// Read the text of `events/header_page`.
    pub fn parse(text: &str) -> Result<Self> {
        let format = Format::parse(text).context("events/header_page")?;
        let field = |name| format.field(name).cloned().context("events/header_page");
        Ok(Self { timestamp: field("timestamp")?, commit: field("commit")?, data: field("data")? })
    }

    /// The size of a page, its header included.
    pub fn size(&self) -> usize {
        self.data.bytes.end
    }

    /// Hand each record of `page` to `take`, with its time in ns. Zeros at the page's end may be
    /// missing.
    pub fn read(
        &self,
        page: &[u8],
        mut take: impl FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<Page> {
        if page.len() > self.size() {
            bail!("a page of {} bytes, expected {} at most", page.len(), self.size());
        }
        let mut whole = page.to_vec();
        whole.resize(self.size(), 0);
        let mut at_ns = self.timestamp.number(&whole)? as u64;
        let commit = self.commit.number(&whole)? as u64;
        let length = (commit & COMMIT_LENGTH) as usize;
        let end = self.data.bytes.start + length;
        let data = whole.get(self.data.bytes.start..end);
        let data = data.with_context(|| format!("a page says that it holds {length} bytes"))?;

        let mut seen = Page { records: 0, missed: commit & MISSED != 0 };
        let mut from = 0;
        while from + 4 <= data.len() {
            let head = word(data, from)?;
            let (kind, delta) = (head & 31, u64::from(head >> 5));
            match kind {
                PADDING if delta == 0 => break,
                PADDING => from += 4 + word(data, from + 4)? as usize,
                TIME_EXTEND => {
                    at_ns += (u64::from(word(data, from + 4)?) << DELTA_BITS) + delta;
                    from += 8;
                    continue;
                }
                TIME_STAMP => {
                    let stamp = (u64::from(word(data, from + 4)?) << DELTA_BITS) + delta;
                    at_ns = (at_ns >> STAMP_BITS << STAMP_BITS) | stamp;
                    from += 8;
                    continue;
                }
                _ => {
                    let (start, end) = extent(data, from, kind)?;
                    let record = data.get(start..end);
                    let record = record.with_context(|| {
                        format!("a record at byte {from} leaves a page of {length} bytes")
                    })?;
                    take(at_ns + delta, record)?;
                    seen.records += 1;
                    from = end;
                }
            }
            at_ns += delta;
        }
        Ok(seen)
    }
}

/// Where the data of the record at `from` begin and end. Kind 0 has its length in a word of its own,
/// which counts itself.
fn extent(data: &[u8], from: usize, kind: u32) -> Result<(usize, usize)> {
    if kind != 0 {
        return Ok((from + 4, from + 4 + 4 * kind as usize));
    }
    let length = word(data, from + 4)? as usize;
    if length < 4 {
        bail!("a record at byte {from} says that it has {length} bytes");
    }
    Ok((from + 8, from + 4 + length.next_multiple_of(4)))
}

fn word(data: &[u8], from: usize) -> Result<u32> {
    match data.get(from..from + 4) {
        Some(&[a, b, c, d]) => Ok(u32::from_le_bytes([a, b, c, d])),
        _ => bail!("a record at byte {from} leaves a page of {} bytes", data.len()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a kernel on x86-64 says.
    pub const HEADER_PAGE: &str = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\
        \tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n\
        \tfield: char overwrite;\toffset:8;\tsize:1;\tsigned:0;\n\
        \tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;\n";

    fn page(at_ns: u64, flags: u64, words: &[u32]) -> Vec<u8> {
        let mut page = at_ns.to_le_bytes().to_vec();
        page.extend(((4 * words.len() as u64) | flags).to_le_bytes());
        words.iter().for_each(|word| page.extend(word.to_le_bytes()));
        page
    }

    type Records = Vec<(u64, Vec<u8>)>;

    fn read(page: &[u8]) -> Result<(Records, Page)> {
        let mut records = Vec::new();
        let seen = Pages::parse(HEADER_PAGE)?.read(page, |at, record| {
            records.push((at, record.to_vec()));
            Ok(())
        })?;
        Ok((records, seen))
    }

    #[test]
    fn all_kinds_of_records_are_read() {
        let words = [
            (10 << 5) | 2, // 8 bytes, 10 ns after the page's time
            1,
            2,
            (5 << 5) | TIME_EXTEND,
            3,
            1 << 5, // length in the next word: 4 for itself and 8 of data
            12,
            3,
            4,
            (2 << 5) | PADDING, // removed: 4 bytes for itself and 4 of nothing
            8,
            99,
            (1 << 5) | 1,
            5,
            (7 << 5) | TIME_STAMP,
            1 << 10,
            1,
            6,
            PADDING,
            77,
        ];
        let (records, seen) = read(&page(1000, 0, &words)).expect("page");
        let extended = 1010 + (3 << 27) + 5;
        let numbers: Vec<(u64, u8, usize)> =
            records.iter().map(|(at, record)| (*at, record[0], record.len())).collect();
        assert_eq!(
            numbers,
            [(1010, 1, 8), (extended + 1, 3, 8), (extended + 4, 5, 4), ((1 << 37) + 7, 6, 4),]
        );
        assert_eq!(seen, Page { records: 4, missed: false });
    }

    #[test]
    fn losses_are_told() {
        let (_, seen) = read(&page(0, MISSED, &[1, 1])).expect("page");
        assert_eq!(seen, Page { records: 1, missed: true });
    }

    #[test]
    fn a_page_that_makes_no_sense_is_an_error() {
        for words in [&[3][..], &[0], &[0, 2], &[0, 400], &[TIME_EXTEND], &[(1 << 5) | PADDING]] {
            assert!(read(&page(0, 0, words)).is_err(), "{words:?}");
        }
        let mut long = page(0, 0, &[]);
        long[8..16].copy_from_slice(&5000u64.to_le_bytes());
        assert!(read(&long).is_err());
        assert!(read(&vec![0; 4097]).is_err());
    }

    #[test]
    fn zeros_at_the_end_may_be_missing() {
        let full = page(7, 0, &[2, 1, 0]);
        let cut = full.iter().rposition(|&byte| byte != 0).expect("not all zero") + 1;
        assert!(cut < full.len());
        assert_eq!(read(&full[..cut]).expect("cut"), read(&full).expect("full"));
    }
}
