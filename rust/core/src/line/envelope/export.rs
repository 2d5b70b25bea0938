//! systemd's Journal Export Format.
//!
//! An entry is fields, and an empty line behind them. A field is `NAME=value` on one line, or, for any bytes,
//! the name on a line, then the size as 64 bits, little-endian, then the data and an LF.
//! <https://systemd.io/JOURNAL_EXPORT_FORMATS/#journal-export-format>

use memchr::{memchr, memchr_iter};

use super::output::{MAX_RECORD, Parts, Unwrapped};
use super::records::Marks;

/// systemd reads no larger field.
const MAX_FIELD: u64 = 768 << 20;

/// Longest name of a field.
const MAX_NAME: usize = 64;

/// How much of the first field of an entry is told if it has no MESSAGE.
const MAX_TOLD: usize = 1024;

/// An entry that is being read.
#[derive(Debug, Default)]
pub(super) struct Export {
    /// MESSAGE, once it has begun; with an LF between, if there are several.
    message: Option<Vec<u8>>,
    marks: Marks<Vec<u8>>,
    /// The field with a size that has begun.
    field: Option<Field>,
    /// The begin of a text line whose end is still to come.
    held: Vec<u8>,
    /// The rest of a text line that is too long to be held: does it belong to MESSAGE?
    rest: Option<bool>,
    /// The begin of the entry's first field, to tell it by if there is no MESSAGE.
    first: Option<Vec<u8>>,
    /// The last piece ended inside a physical line.
    inside_line: bool,
}

/// A field with a size; its bytes may come in several pieces.
#[derive(Debug)]
struct Field {
    name: Vec<u8>,
    /// Bytes of the size, as far as they were read.
    size: Vec<u8>,
    /// Bytes of the data that are still to come, once the size is known.
    left: usize,
}

impl Export {
    pub fn feed(&mut self, piece: &[u8], out: &mut Unwrapped, parts: &mut Parts) {
        if !piece.is_empty() && !self.inside_line {
            out.begin_line(0);
        }
        self.inside_line = piece.last().map_or(self.inside_line, |last| *last != b'\n');
        let mut at = 0;
        while at < piece.len() {
            let size = self.step(&piece[at..], out, parts);
            for lf in memchr_iter(b'\n', &piece[at..at + size]) {
                if at + lf + 1 < piece.len() {
                    out.begin_line(at + lf + 1);
                }
            }
            at += size;
        }
    }

    /// Ends the entry that the end of the file leaves unfinished.
    pub fn finish(&mut self, out: &mut Unwrapped, parts: &mut Parts) {
        // What was begun and does not end must not be passed over in silence, nor what stands behind it.
        while let Some(field) = self.field.take() {
            if field.size.len() < 8 {
                self.lines_after_all(&field, out, parts);
            } else if field.left > 0 {
                self.first = None;
                out.push_raw(&field.name);
            }
        }
        if !self.held.is_empty() {
            let line = std::mem::take(&mut self.held);
            self.line(&line, out, parts);
        }
        self.end_entry(out, parts);
    }

    /// Reads on; gives how many bytes it took, one at least unless a field has just ended.
    fn step(&mut self, bytes: &[u8], out: &mut Unwrapped, parts: &mut Parts) -> usize {
        let Some(field) = &mut self.field else {
            return match self.rest {
                Some(of_message) => self.rest_of_line(bytes, of_message, out),
                None => self.text(bytes, out, parts),
            };
        };
        if field.size.len() < 8 {
            let taken = to_line_end(&bytes[..bytes.len().min(8 - field.size.len())]);
            field.size.extend_from_slice(&bytes[..taken]);
            self.size_known(out, parts);
            return taken;
        }
        if field.left > 0 {
            let mut taken = bytes.len().min(field.left);
            if self.message.as_ref().is_some_and(|text| text.len() + taken > MAX_RECORD) {
                taken = to_line_end(&bytes[..taken]);
            }
            field.left -= taken;
            // What the entry needs is short but for MESSAGE.
            match field.name.as_slice() {
                b"MESSAGE" => self.more_message(&bytes[..taken], out),
                name => mark(&mut self.marks, name, &bytes[..taken]),
            }
            return taken;
        }
        self.field = None;
        usize::from(bytes.first() == Some(&b'\n'))
    }

    /// Once the size was read: begins the data, or takes name and size for lines after all.
    fn size_known(&mut self, out: &mut Unwrapped, parts: &mut Parts) {
        let Some(field) = &mut self.field else { return };
        let Ok(size) = field.size.as_slice().try_into().map(u64::from_le_bytes) else { return };
        if let Some(size) = usize::try_from(size).ok().filter(|_| size <= MAX_FIELD) {
            field.left = size;
            if field.name == b"MESSAGE" {
                self.begin_message(out);
            }
            return;
        }
        if let Some(field) = self.field.take() {
            self.lines_after_all(&field, out, parts);
        }
    }

    /// Takes a name and what was read of its size for lines. They hold no other name with a whole size, so
    /// this goes no deeper.
    fn lines_after_all(&mut self, field: &Field, out: &mut Unwrapped, parts: &mut Parts) {
        self.first = None;
        out.push_raw(&field.name);
        let mut rest = field.size.as_slice();
        while !rest.is_empty() {
            rest = &rest[self.step(rest, out, parts)..];
        }
    }

    /// Reads a text line as far as it is there.
    fn text(&mut self, bytes: &[u8], out: &mut Unwrapped, parts: &mut Parts) -> usize {
        let Some(end) = memchr(b'\n', bytes) else {
            self.held.extend_from_slice(bytes);
            if self.held.len() > MAX_RECORD {
                let line = std::mem::take(&mut self.held);
                self.rest = Some(line.starts_with(b"MESSAGE="));
                self.line(&line, out, parts);
            }
            return bytes.len();
        };
        if self.held.is_empty() {
            self.line(&bytes[..end], out, parts);
        } else {
            self.held.extend_from_slice(&bytes[..end]);
            let line = std::mem::take(&mut self.held);
            self.line(&line, out, parts);
        }
        end + 1
    }

    /// Reads on in a text line that is too long to be held.
    fn rest_of_line(&mut self, bytes: &[u8], of_message: bool, out: &mut Unwrapped) -> usize {
        let taken = to_line_end(bytes);
        let text = bytes[..taken].strip_suffix(b"\n");
        if text.is_some() {
            self.rest = None;
        }
        if of_message {
            self.more_message(text.unwrap_or(bytes), out);
        }
        taken
    }

    fn line(&mut self, line: &[u8], out: &mut Unwrapped, parts: &mut Parts) {
        if line.is_empty() {
            return self.end_entry(out, parts);
        }
        let near = &line[..line.len().min(MAX_NAME + 1)];
        let name = &line[..memchr(b'=', near).unwrap_or(line.len())];
        if !is_name(name) {
            return out.push_raw(line);
        }
        self.first.get_or_insert_with(|| line[..line.len().min(MAX_TOLD)].to_vec());
        let Some(value) = line.get(name.len() + 1..) else {
            self.field = Some(Field { name: name.to_vec(), size: Vec::new(), left: 0 });
            return;
        };
        match name {
            b"MESSAGE" => {
                self.begin_message(out);
                self.more_message(value, out);
            }
            name => mark(&mut self.marks, name, value),
        }
    }

    fn begin_message(&mut self, out: &mut Unwrapped) {
        if self.message.is_none() {
            self.message = Some(Vec::new());
        } else {
            // Both are given: whichever a viewer shows, it is looked at.
            self.more_message(b"\n", out);
        }
    }

    fn more_message(&mut self, mut data: &[u8], out: &mut Unwrapped) {
        let Some(text) = &mut self.message else { return };
        while text.len() + data.len() > MAX_RECORD {
            let (now, later) = data.split_at(MAX_RECORD.saturating_sub(text.len()));
            let from = out.data.len();
            out.data.append(text);
            out.data.extend_from_slice(now);
            out.end_record(from);
            data = later;
        }
        text.extend_from_slice(data);
    }

    fn end_entry(&mut self, out: &mut Unwrapped, parts: &mut Parts) {
        if let Some(text) = self.message.take() {
            let from = out.data.len();
            out.data.extend_from_slice(&text);
            parts.take(&self.marks.borrowed().record(), from, out);
        } else if let Some(first) = &self.first {
            out.push_raw(first);
        }
        self.first = None;
        self.marks = Marks::default();
    }
}

/// How many bytes there are up to the end of the physical line, so that each line is told where it ends.
fn to_line_end(bytes: &[u8]) -> usize {
    memchr(b'\n', bytes).map_or(bytes.len(), |lf| lf + 1)
}

/// Field names as the journal has them; a sealed line that stands bare is none.
fn is_name(name: &[u8]) -> bool {
    name.len() <= MAX_NAME
        && name.first().is_some_and(|b| !b.is_ascii_digit())
        && name.iter().all(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
}

/// Notes a mark, which is short by nature; what is longer can only be somebody's invention, and is cut.
fn mark(marks: &mut Marks<Vec<u8>>, name: &[u8], more: &[u8]) {
    if let Some(place) = marks.place(name) {
        let text = place.get_or_insert_default();
        let room = 64usize.saturating_sub(text.len());
        text.extend_from_slice(&more[..more.len().min(room)]);
    }
}
