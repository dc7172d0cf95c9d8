// SPDX-License-Identifier: GPL-2.0-only
//! Protocol buffers, as far as writing goes: fields one after the other, each with its number and
//! the kind of its value.

/// A message that is being written.
#[derive(Debug, Default)]
pub struct Message(Vec<u8>);

/// Kinds of values on the wire.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u32, kind: u64) {
        self.varint(u64::from(field) << 3 | kind);
    }

    /// A field of type uint32, uint64, bool or enum.
    pub fn uint(mut self, field: u32, value: u64) -> Message {
        self.key(field, VARINT);
        self.varint(value);
        self
    }

    /// A field of type int32 or int64.
    pub fn int(self, field: u32, value: i64) -> Message {
        self.uint(field, value as u64)
    }

    /// A field of type fixed64.
    pub fn fixed64(mut self, field: u32, value: u64) -> Message {
        self.key(field, FIXED64);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A field of type double.
    pub fn double(self, field: u32, value: f64) -> Message {
        self.fixed64(field, value.to_bits())
    }

    /// A field of type string or bytes.
    pub fn string(mut self, field: u32, value: &str) -> Message {
        self.bytes(field, value.as_bytes());
        self
    }

    /// A field that is a message itself.
    pub fn message(mut self, field: u32, value: Message) -> Message {
        self.bytes(field, &value.0);
        self
    }

    fn bytes(&mut self, field: u32, value: &[u8]) {
        self.key(field, BYTES);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// The message as it goes into a file.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the format's own documentation.
    #[test]
    fn messages_are_as_documented() {
        assert_eq!(Message::default().uint(1, 150).into_bytes(), [0x08, 0x96, 0x01]);
        let text = Message::default().string(2, "testing").into_bytes();
        assert_eq!(text, [&[0x12, 0x07][..], b"testing"].concat());
        let inner = Message::default().message(3, Message::default().uint(1, 150));
        assert_eq!(inner.into_bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let minus_two = Message::default().int(1, -2).into_bytes();
        assert_eq!(minus_two, [0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    }
}
