// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's own description of its trace records, and reading a record by it.
//!
//! Offsets and sizes differ between kernels, so none is written down here.

use std::ops::Range;

use anyhow::{Context, Result, bail};

/// A field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where it begins and ends; a field of unknown length, such as `char buf[]`, has size 0.
    pub bytes: Range<usize>,
    /// The text lies elsewhere in the record, and the field says where (`__data_loc`).
    elsewhere: bool,
}

/// The layout of one kind of record: `events/…/format`, or `events/header_page`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Format {
    /// The number by which records of this kind are known; none in `header_page`.
    pub id: Option<u16>,
    fields: Vec<(String, Field)>,
}

impl Format {
    /// Read the text of a format file.
    pub fn parse(text: &str) -> Result<Self> {
        let mut format = Self::default();
        for line in text.lines().map(str::trim) {
            if let Some(id) = line.strip_prefix("ID:") {
                let id = id.trim().parse();
                format.id = Some(id.with_context(|| format!("'{line}' has no number"))?);
            } else if line.starts_with("field:") {
                let field = parse_field(line);
                format.fields.push(field.with_context(|| format!("'{line}' is no field"))?);
            }
        }
        Ok(format)
    }

    /// The field called `name`.
    pub fn field(&self, name: &str) -> Result<&Field> {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map(|(_, field)| field).with_context(|| format!("the format has no field {name}"))
    }
}

/// `field:TYPE NAME[N]; offset:O; size:S; signed:F;`
fn parse_field(line: &str) -> Option<(String, Field)> {
    let mut parts = line.split(';').map(str::trim);
    let declared = parts.next()?.strip_prefix("field:")?.trim();
    let number = |part: &str, key: &str| part.strip_prefix(key)?.trim().parse::<usize>().ok();
    let offset = number(parts.next()?, "offset:")?;
    let size = number(parts.next()?, "size:")?;
    let name = declared.rsplit(' ').next()?.split('[').next()?;
    let elsewhere = declared.starts_with("__data_loc");
    Some((name.to_string(), Field { bytes: offset..offset.checked_add(size)?, elsewhere }))
}

impl Field {
    /// The field as a whole number; one wider than 8 bytes is an error.
    pub fn number(&self, record: &[u8]) -> Result<i64> {
        let bytes = self.raw(record)?;
        Ok(match *bytes {
            [a] => i64::from(a),
            [a, b] => i64::from(u16::from_le_bytes([a, b])),
            [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => bail!("a field of {} bytes is no number", bytes.len()),
        })
    }

    /// The field as text, up to its first zero byte.
    pub fn text<'a>(&self, record: &'a [u8]) -> Result<&'a [u8]> {
        let bytes = if self.elsewhere {
            // The low half says where, the high half how many bytes.
            let place = self.number(record)? as u32;
            let (from, length) = ((place & 0xffff) as usize, (place >> 16) as usize);
            record.get(from..from + length)
        } else if self.bytes.is_empty() {
            record.get(self.bytes.start..)
        } else {
            record.get(self.bytes.clone())
        };
        let bytes = bytes.with_context(|| self.outside(record))?;
        Ok(bytes.split(|&byte| byte == 0).next().unwrap_or(bytes))
    }

    fn raw<'a>(&self, record: &'a [u8]) -> Result<&'a [u8]> {
        record.get(self.bytes.clone()).with_context(|| self.outside(record))
    }

    fn outside(&self, record: &[u8]) -> String {
        let Range { start, end } = self.bytes;
        format!("a field at bytes {start} to {end} lies outside a record of {}", record.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIGRATE: &str = "name: sched_migrate_task\nID: 309\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
        \tfield:__data_loc char[] comm;\toffset:8;\tsize:4;\tsigned:0;\n\
        \tfield:pid_t pid;\toffset:12;\tsize:4;\tsigned:1;\n\
        \tfield:char other[8];\toffset:16;\tsize:8;\tsigned:0;\n\
        \tfield:char rest[];\toffset:24;\tsize:0;\tsigned:0;\n\n\
        print fmt: \"comm=%s\", __get_str(comm)\n";

    #[test]
    fn fields_are_found_and_read() {
        let format = Format::parse(MIGRATE).expect("format");
        assert_eq!(format.id, Some(309));
        let mut record = vec![0u8; 32];
        record[8..12].copy_from_slice(&(24u32 | (6 << 16)).to_le_bytes());
        record[12..16].copy_from_slice(&(-7i32).to_le_bytes());
        record[16..24].copy_from_slice(b"12345678");
        record[24..30].copy_from_slice(b"hello\0");
        let field = |name| format.field(name).expect("field");
        assert_eq!(field("pid").number(&record).expect("pid"), -7);
        assert_eq!(field("comm").text(&record).expect("comm"), b"hello");
        assert_eq!(field("rest").text(&record).expect("rest"), b"hello");
        assert_eq!(field("other").text(&record).expect("other"), b"12345678");
    }

    #[test]
    fn what_does_not_fit_is_an_error_that_names_it() {
        let format = Format::parse(MIGRATE).expect("format");
        let error = format.field("prio").expect_err("no such field");
        assert_eq!(error.to_string(), "the format has no field prio");
        let error = format.field("pid").and_then(|field| field.number(&[0; 14]));
        assert!(error.expect_err("short").to_string().contains("bytes 12 to 16"));
        let error = Format::parse("field:pid_t pid; offset:x; size:4;").expect_err("offset");
        assert!(error.to_string().contains("offset:x"));
    }
}
