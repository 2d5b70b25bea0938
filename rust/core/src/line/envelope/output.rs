//! What comes out, and parts of records that wait for the rest.

use memchr::memchr_iter;

pub use super::numbered::Loose;
use super::numbered::{Line, MAX_LOOSE, Numbered, Part, Taken};
use crate::line::{self, MAX_ENTRY, Read};

/// Longest record that is put together from parts: the longest sealed line and room to spare.
pub(super) const MAX_RECORD: usize = MAX_ENTRY + (1 << 20);

/// Most bytes, and most streams, that wait for the rest of their records.
const MAX_WAITING: usize = 4 * MAX_RECORD;
const MAX_STREAMS: usize = 64;

/// Where a line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Number of the physical line in the piece, from 0, at which the record ends.
    pub line: u32,
    /// Byte offset of that physical line in the piece.
    pub offset: u64,
    /// Whether it was in the envelope's form; if not, it is given as it stood.
    pub wrapped: bool,
}

/// Lines taken out of a piece.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unwrapped {
    /// The lines, each ended by LF.
    pub data: Vec<u8>,
    /// Where each comes from.
    pub origins: Vec<Origin>,
    /// Physical lines in the piece.
    pub lines: u32,
    /// Lines of which parts are missing: the physical line at which they are given out, how they begin, and what is
    /// missing.
    pub lacking: Vec<(u32, Vec<u8>, String)>,
    /// Where the newest physical line begins.
    here: u64,
}

impl Unwrapped {
    pub(super) fn with_room_for(size: usize) -> Self {
        Self {
            data: Vec::with_capacity(size + 1),
            origins: Vec::with_capacity(size / 256),
            ..Self::default()
        }
    }

    /// A physical line begins at `offset`.
    #[inline]
    pub(super) fn begin_line(&mut self, offset: usize) {
        // A piece has fewer lines than bytes, and nobody feeds 4 GiB at once.
        self.lines = self.lines.saturating_add(1);
        self.here = offset as u64;
    }

    #[inline]
    fn origin(&self, wrapped: bool) -> Origin {
        Origin { line: self.lines.saturating_sub(1), offset: self.here, wrapped }
    }

    /// Takes lines in as they stand.
    pub(super) fn push_raw_lines(&mut self, lines: &[u8]) {
        lines.split(|byte| *byte == b'\n').for_each(|line| self.push_raw(line));
    }

    /// A physical line that is not in the envelope's form.
    #[inline]
    pub(super) fn push_raw(&mut self, line: &[u8]) {
        self.data.extend_from_slice(line);
        self.data.push(b'\n');
        self.origins.push(self.origin(false));
    }

    /// What was appended to `data` from `from` on is a record's whole text: several lines if it holds LF.
    #[inline]
    pub(super) fn end_record(&mut self, from: usize) {
        if self.data.len() == from || self.data.last() != Some(&b'\n') {
            self.data.push(b'\n');
        }
        let origin = self.origin(true);
        for _ in memchr_iter(b'\n', &self.data[from..]) {
            self.origins.push(origin);
        }
    }
}

/// How a record goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// It stands alone, whatever else waits.
    Whole,
    /// More of it follows in this stream, which a letter may tell from others of that name.
    Part(&'a [u8], u8),
    /// It ends what waits in this stream, if anything does.
    Last(&'a [u8], u8),
    /// Its driver says of which line it is a part, and of which number.
    Numbered(Part<'a>),
}

/// Among how many of a file's first records a part is looked for that begins in another file.
const FIRST: usize = 64;

/// Bytes by which a line of which parts are missing is known again.
const BEGINNING: usize = 64;

/// Do two parts make one sealed line?
#[must_use]
pub fn are_one(last: &[u8], first: &[u8]) -> bool {
    let whole = [last, first].concat();
    matches!(line::read(whole.trim_ascii_end()), Read::Sealed(sealed) if sealed.m.start() == 0)
}

/// Records of which some parts were read; oldest first.
#[derive(Debug, Default)]
pub(super) struct Parts {
    waiting: Vec<Loose>,
    numbered: Numbered,
    /// Their bytes in all.
    size: usize,
    /// Records that were read, as far as it matters.
    count: usize,
    /// First records of a stream that hold no whole sealed line.
    pub first: Vec<Loose>,
    /// Parts that the end of the file left waiting.
    pub last: Vec<Loose>,
    /// The last part of this file in a stream goes on in another file.
    pub goes_on: Vec<(Vec<u8>, u8)>,
}

impl Parts {
    /// Takes the record whose text was appended to `out.data` from `from` on.
    #[inline]
    pub(super) fn take(&mut self, record: &Record<'_>, from: usize, out: &mut Unwrapped) {
        self.count = self.count.saturating_add(1);
        match record {
            Record::Last(stream, kind) if !self.waiting.is_empty() => self.end((stream, *kind), from, out),
            Record::Whole => out.end_record(from),
            Record::Last(stream, kind) => {
                if self.count <= FIRST {
                    self.note_first((stream, *kind), &out.data[from..]);
                }
                out.end_record(from);
            }
            Record::Part(stream, kind) => self.add((stream, *kind), from, out),
            Record::Numbered(Part { ordinal: 1, last: true, .. }) if self.numbered.is_empty() => {
                out.end_record(from);
            }
            Record::Numbered(part) => self.take_numbered(*part, from, out),
        }
    }

    fn take_numbered(&mut self, part: Part<'_>, from: usize, out: &mut Unwrapped) {
        let text = out.data.split_off(from);
        let begun = self.find((part.id, 0));
        match self.numbered.take(part, text, begun.map(|at| &*self.waiting[at].2)) {
            Taken::Waits => {}
            Taken::Whole(text) => {
                out.data.extend_from_slice(&text);
                out.end_record(from);
                begun.map(|at| self.remove(at));
            }
            Taken::Again(text) => {
                out.data.extend_from_slice(&text);
                out.end_record(from);
            }
        }
        while let Some(line) = self.numbered.too_many() {
            give_out_numbered(&line, out);
        }
    }

    /// Gives out lines of which parts are missing at the end of the file, unless another file has them.
    fn finish_numbered(&mut self, out: &mut Unwrapped) {
        while let Some(line) = self.numbered.next() {
            match line.loose() {
                Some((loose, true)) => {
                    let goes_on =
                        self.goes_on.iter().any(|(stream, kind)| *stream == loose.0 && *kind == loose.1);
                    self.last.push(loose);
                    if !goes_on {
                        give_out_numbered(&line, out);
                    }
                }
                Some((loose, false)) => {
                    if self.first.len() < FIRST {
                        self.first.push(loose);
                    }
                    give_out_numbered(&line, out);
                }
                None => give_out_numbered(&line, out),
            }
        }
    }

    /// Parts from the end of another file, which this one goes on with.
    pub(super) fn begin(&mut self, carried: Vec<Loose>) {
        self.size = carried.iter().map(|(name, _, text)| name.len() + text.len()).sum();
        self.waiting = carried;
    }

    /// Notes what may be the end of a line that began in another file.
    fn note_first(&mut self, stream: (&[u8], u8), text: &[u8]) {
        let known = self.first.iter().any(|(name, kind, _)| name == stream.0 && *kind == stream.1);
        if !known && text.len() <= MAX_LOOSE {
            let alone = matches!(line::read(text.trim_ascii_end()), Read::Sealed(s) if s.m.start() == 0);
            let text = if alone { Vec::new() } else { text.to_vec() };
            self.first.push((stream.0.to_vec(), stream.1, text));
        }
    }

    fn end(&mut self, stream: (&[u8], u8), from: usize, out: &mut Unwrapped) {
        if let Some(text) = self.find(stream).map(|at| self.remove(at)) {
            // A line as long as journald's limit ends with a part, because the empty rest is not logged.
            let more = !matches!(out.data[from..], [] | [b'\n']);
            let whole = more && matches!(line::read(&text), Read::Sealed(_) | Read::Redacted(_));
            let cut = text.len();
            out.data.splice(from..from, text);
            if self.count <= FIRST {
                self.note_first(stream, &out.data[from..]);
            }
            // A seal says where its line begins: what waits may be all that a crash left of another one.
            let begins = |read| matches!(read, Read::Sealed(sealed) if sealed.m.start() == cut);
            if whole || (more && begins(line::read(out.data[from..].trim_ascii_end()))) {
                out.data.insert(from + cut, b'\n');
            }
        }
        out.end_record(from);
    }

    fn add(&mut self, stream: (&[u8], u8), from: usize, out: &mut Unwrapped) {
        let size = out.data.len() - from;
        let at = self.find(stream).unwrap_or_else(|| {
            self.waiting.push((stream.0.to_vec(), stream.1, Vec::new()));
            self.waiting.len() - 1
        });
        let text = &mut self.waiting[at].2;
        text.extend_from_slice(&out.data[from..]);
        let full = text.len() > MAX_RECORD;
        out.data.truncate(from);
        self.size += size + stream.0.len();
        if full {
            self.give_out(at, out);
        }
        while self.size > MAX_WAITING || self.waiting.len() > MAX_STREAMS {
            self.give_out(0, out);
        }
    }

    /// Gives out what waits at the end of the file.
    pub(super) fn finish(&mut self, out: &mut Unwrapped) {
        self.finish_numbered(out);
        while let Some((name, kind, text)) = self.waiting.first() {
            if text.len() <= MAX_LOOSE {
                self.last.push((name.clone(), *kind, text.clone()));
            }
            if self.goes_on.iter().any(|(stream, letter)| stream == name && letter == kind) {
                self.remove(0);
            } else {
                self.give_out(0, out);
            }
        }
    }

    fn give_out(&mut self, at: usize, out: &mut Unwrapped) {
        let from = out.data.len();
        let text = self.remove(at);
        out.data.extend_from_slice(&text);
        out.end_record(from);
    }

    fn find(&self, (stream, kind): (&[u8], u8)) -> Option<usize> {
        self.waiting.iter().position(|(name, letter, _)| name == stream && *letter == kind)
    }

    fn remove(&mut self, at: usize) -> Vec<u8> {
        let (_, _, text) = self.waiting.remove(at);
        self.size = self.waiting.iter().map(|(name, _, text)| name.len() + text.len()).sum();
        text
    }
}

/// Gives out what is here of a line, and notes what is missing.
fn give_out_numbered(line: &Line, out: &mut Unwrapped) {
    let (from, text) = (out.data.len(), line.text());
    out.data.extend_from_slice(&text);
    out.end_record(from);
    let beginning = text[..text.len().min(BEGINNING)].to_vec();
    out.lacking.push((out.lines.saturating_sub(1), beginning, line.lacking()));
}
