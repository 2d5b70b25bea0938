//! Lines that wait to be sealed, and line ends inside them.

use std::borrow::Cow;

use super::origin::Stamp;

/// Lines that wait to be sealed, each with its line end.
#[derive(Debug, Default)]
pub struct Lines {
    /// The lines, one after the other.
    pub bytes: Vec<u8>,
    /// How many there are.
    pub count: u64,
}

impl Lines {
    /// Appends a line without its line end; it holds no LF. A CR at its end stays.
    pub fn put(&mut self, m: &[u8], stamp: Option<&Stamp>) {
        match stamp {
            Some(stamp) => stamp.write(m, &mut self.bytes),
            None => self.bytes.extend_from_slice(m),
        }
        if m.last() == Some(&b'\r') {
            self.bytes.push(b'\r'); // sealing drops one
        }
        self.bytes.push(b'\n');
        self.count += 1;
    }
}

/// One line: without the line end after it, and with those inside it written as `\n` and `\r`.
#[must_use]
pub fn one_line(record: &[u8]) -> Cow<'_, [u8]> {
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    escaped(record.strip_suffix(b"\r").unwrap_or(record))
}

/// The same bytes with each line end written as `\n`, and each CR as `\r`.
pub(super) fn escaped(record: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'\n', b'\r', record).is_none() {
        return Cow::Borrowed(record);
    }
    let mut line = Vec::with_capacity(record.len() + 16);
    for byte in record {
        match byte {
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            _ => line.push(*byte),
        }
    }
    Cow::Owned(line)
}
