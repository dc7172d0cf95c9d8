// SPDX-License-Identifier: GPL-2.0-only
//! Blocks: what makes part of a file readable without the rest.

const MAGIC: &[u8; 4] = b"TBLK";
/// Magic, number, length, checksum.
const HEADER_BYTES: usize = 16;
/// Longest payload. A length beyond it was not written by us.
pub const PAYLOAD_MAX: usize = 1 << 20;

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
    pub at: usize,
    /// and where what follows it does.
    pub end: usize,
}

/// The block at `at`, if a whole one is there.
fn block_at(file: &[u8], at: usize) -> Option<Block<'_>> {
    let rest = file.get(at..)?.strip_prefix(MAGIC)?;
    let word = |i: usize| Some(u32::from_le_bytes(*rest.get(4 * i..)?.first_chunk()?));
    let (number, length, sum) = (word(0)?, word(1)?, word(2)?);
    if length as usize > PAYLOAD_MAX {
        return None;
    }
    let end = at + HEADER_BYTES + length as usize;
    let payload = file.get(at + HEADER_BYTES..end)?;
    let same = crc32(&[&number.to_le_bytes(), &length.to_le_bytes(), payload]) == sum;
    same.then_some(Block { number, payload, at, end })
}

/// The first whole block at `from` or behind it.
pub fn next(file: &[u8], from: usize) -> Option<Block<'_>> {
    if let Some(block) = block_at(file, from) {
        return Some(block);
    }
    let rest = file.get(from + 1..)?;
    let magics = rest.windows(MAGIC.len()).enumerate().filter(|(_, window)| window == MAGIC);
    magics.map(|(at, _)| from + 1 + at).find_map(|at| block_at(file, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_zip() {
        assert_eq!(crc32(&[b"1234", b"56789"]), 0xcbf4_3926);
    }

    #[test]
    fn only_whole_blocks_are_found() {
        let file = [seal(4, b"TBLK inside"), seal(5, b"")].concat();
        let first = next(&file, 0).expect("the first");
        assert_eq!((first.number, first.payload, first.at), (4, &b"TBLK inside"[..], 0));
        let second = next(&file, first.end).expect("the second");
        assert_eq!((second.number, second.end), (5, file.len()));
        assert_eq!(next(&file, second.end), None);
        for cut in 1..file.len() - first.end {
            assert_eq!(next(&file[..file.len() - cut], first.end), None, "{cut}");
        }
        for at in 0..first.end {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert_eq!(next(&damaged, 0).expect("the second").number, 5, "byte {at}");
        }
    }
}
