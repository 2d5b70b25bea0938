//! Line by line through some bytes: places, neighbours, events.

use super::collect::Scanner;
use super::entries::Entry;
use super::input::{Input, Mode};
use super::keys::Keys;
use super::texts::{Block, Texts};
use crate::hash::Digest;
use crate::line::{self, Read, Reader, Seal};
use crate::scan::summary::{Kind, LogNumber, Summary, Why};
use crate::seal::epoch::Place;

/// Why a line does not fit its seal: it is longer or shorter, or else not what a writer makes of that seal.
fn wrong_length(line: &[u8]) -> Why {
    line::excess(line).filter(|excess| *excess != 0).map_or(Why::Misfit, Why::Length)
}

/// A line that was read.
pub(super) struct Line<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) read: Read,
    /// Only its beginning is here.
    cut: bool,
}

impl Line<'_> {
    pub(super) const NONE: Self = Self { bytes: &[], read: Read::Nothing, cut: false };
}

/// The lines of an input.
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    cut: bool,
    reader: Reader,
}

impl<'a> Lines<'a> {
    /// Reads the next line into its place; `false` at the end.
    #[inline]
    pub(super) fn next(&mut self, line: &mut Line<'a>) -> bool {
        if self.rest.is_empty() {
            return false;
        }
        let (bytes, rest) = match memchr::memchr(b'\n', self.rest) {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, &self.rest[self.rest.len()..]),
        };
        self.rest = rest;
        line.cut = self.cut && rest.is_empty();
        line.bytes = bytes;
        line.read = if line.cut { Read::Unsealed } else { self.reader.read(bytes) };
        true
    }
}

impl<'k> Scanner<'k> {
    /// Takes one line after the other: what the tests compare with.
    #[cfg(test)]
    pub(super) fn run_one_by_one(&mut self, input: &Input<'k>) {
        let (mut lines, mut line) = (self.begin(input), Line::NONE);
        while lines.next(&mut line) {
            self.alone(&line);
        }
    }

    pub(super) fn begin(&mut self, input: &Input<'k>) -> Lines<'k> {
        self.place = Place { file: input.file, chunk: input.chunk, line: 0, offset: input.offset };
        self.begin = input.offset;
        self.envelope = input.envelope;
        if let Some(origins) = input.origins {
            self.origins = origins.of;
            self.go_to_origin();
        }
        Lines { rest: input.data, cut: input.cut, reader: Reader::new() }
    }

    pub(super) fn finish(mut self, input: &Input<'k>) -> Summary {
        self.end_group(None);
        self.store_epoch();
        for (number, chain) in std::mem::take(&mut self.cache.narrowed) {
            self.out.log(number).note_narrowed([chain]);
        }
        self.chunk.lines = u64::from(input.origins.map_or(self.place.line, |origins| origins.lines));
        self.chunk.bytes = input.origins.map_or(input.data.len() as u64, |origins| origins.bytes);
        match self.mode {
            // In RFC 8785 forms other lines may be the first and the last known one.
            Mode::All | Mode::Canonical(_) => {
                self.out.chunks.insert((input.file, input.chunk), self.chunk);
            }
            // All else was noted when these lines were first seen.
            Mode::Detail(..) | Mode::Texts { .. } => self.out.logs.clear(),
        }
        self.out
    }

    /// Takes in an entry whose leaf was hashed; without one, the line is judged alone.
    #[inline]
    pub(super) fn take_in(&mut self, line: &Line<'k>, entry: &Entry<'_>, leaf: Option<Digest>) {
        self.cache.spend(entry.cost);
        if let Some(leaf) = leaf {
            self.chunk.counted += 1;
            self.line = line.bytes;
            self.wrapped = self.out_of_envelope() || entry.prefixed;
            self.take_entry(entry, leaf);
            self.end_text(line);
            self.step(line);
        } else {
            self.alone(line);
        }
    }

    fn alone(&mut self, line: &Line<'k>) {
        self.line = line.bytes;
        self.cut = line.cut;
        self.wrapped = self.out_of_envelope();
        self.line(line.bytes, line.read);
        if line.read != Read::Nothing {
            self.end_text(line);
        }
        self.step(line);
    }

    #[inline]
    fn end_text(&mut self, line: &Line<'_>) {
        if let Some(texts) = &mut self.texts {
            texts.end(line.bytes);
        }
    }

    #[inline]
    pub(super) fn step(&mut self, line: &Line<'_>) {
        if self.origins.is_empty() {
            self.place.line = self.place.line.saturating_add(1);
            self.place.offset += (line.bytes.len() + 1) as u64;
        } else {
            self.origins = &self.origins[1..];
            self.go_to_origin();
        }
    }

    /// Notes where the next line stood before it was taken out of its envelope.
    fn go_to_origin(&mut self) {
        if let Some(origin) = self.origins.first() {
            self.place.line = origin.line;
            self.place.offset = self.begin + origin.offset;
        }
    }

    fn line(&mut self, line: &[u8], read: Read) {
        if read == Read::Nothing {
            return;
        }
        self.chunk.counted += 1;
        let seal = match read {
            Read::Sealed(ref sealed) => Some(sealed.seal),
            Read::Redacted(seal) | Read::Misfit(seal) => Some(seal),
            Read::Nothing | Read::Unsealed => None,
        };
        let Some(seal) = seal else {
            if self.without_added(line) {
                return;
            }
            // A seal may still be written with escapes that only a JSON parser sees.
            if !self.rewritten(line, None) {
                self.unsealed(Kind::Unsealed);
            }
            return;
        };
        let Some(number) = self.keys.find(seal.log) else {
            // A text like a seal may stand in a line that a carrier rewrote.
            let inside = matches!(read, Read::Misfit(_));
            if inside && (self.without_added(line) || self.rewritten(line, None)) {
                return;
            }
            match self.own_seal(line).filter(|_| inside).or_else(|| self.known_seal(line)) {
                Some((number, own)) if self.wanted((number, own.at.chain, own.at.epoch)) => {
                    self.unfit(line, number, &own, Why::Misfit);
                }
                Some((number, own)) => self.pass_by(line, &Read::Misfit(own), number, &own),
                None => self.unsealed(Kind::Foreign(seal.log)),
            }
            return;
        };
        let id = (number, seal.at.chain, seal.at.epoch);
        if !self.wanted(id) {
            return self.pass_by(line, &read, number, &seal);
        }
        let done = match read {
            Read::Sealed(sealed) if self.is_prefix(&line[..sealed.m.start()]) => {
                self.wrapped |= sealed.m.start() > 0;
                self.sealed(line, number, &seal, sealed.m)
            }
            Read::Sealed(sealed) if self.fits(line, number, &seal, sealed.m) => Err(Why::Prefix),
            Read::Misfit(_) if self.is_redacted_behind_prefix(line) => {
                self.wrapped = true;
                self.redacted(number, &seal);
                Ok(())
            }
            Read::Redacted(_) => {
                self.redacted(number, &seal);
                Ok(())
            }
            _ => Err(wrong_length(line)),
        };
        if let Err(why) = done {
            self.unfit(line, number, &seal, why);
        }
    }

    /// A line that does not fit its seal as it is: it may have been written in another form, or it is bad.
    fn unfit(&mut self, line: &[u8], number: LogNumber, seal: &Seal, why: Why) {
        if self.without_added(line) || self.rewritten(line, Some(*seal)) || self.unescaped(line, number) {
            return;
        }
        let id = (number, seal.at.chain, seal.at.epoch);
        let json = line::trim(line).ends_with(b"}");
        let rewritten = json && self.keys.log(number).secret.is_none() && self.affords(id);
        if rewritten && matches!(self.mode, Mode::All) {
            // There may be many, all of them good: a second look at their epoch will tell.
            let mut event = self.event(Kind::Altered(Why::Rewritten), Some(number), Some(seal.at));
            event.quote(line);
            event.length = line.len() as u64;
            self.end_group(None);
            self.in_order(number, seal.at);
            self.epoch(id).leave_unread(Box::new(event));
        } else {
            self.altered(why, number, seal.at);
        }
        self.claim(id, seal.at.index);
        if rewritten {
            self.epoch(id).json = true;
        }
    }

    /// A line of an epoch that is not looked at in this pass: only a neighbour of others, or a bad line with neighbours.
    fn pass_by(&mut self, line: &[u8], read: &Read, number: LogNumber, seal: &Seal) {
        let good = match read {
            Read::Sealed(sealed) => self.is_prefix(&line[..sealed.m.start()]),
            Read::Misfit(_) => self.is_redacted_behind_prefix(line),
            Read::Redacted(_) => true,
            Read::Nothing | Read::Unsealed => false,
        };
        if good {
            self.neighbour(number, seal.at);
        } else if matches!(read, Read::Sealed(_)) || !self.without_added(line) && !self.rewritten(line, None)
        {
            // What a JSON parser sees may be another seal than the last one among the bytes.
            self.altered(wrong_length(line), number, seal.at);
        }
    }
}

/// Scans some bytes.
#[must_use]
pub fn scan(keys: &Keys, input: &Input<'_>, mode: &Mode) -> Summary {
    let mut scanner = Scanner::new(keys, mode, input.data.len());
    scanner.run(input);
    scanner.finish(input)
}

/// Takes the texts of the lines of some bytes that hold; `mode` is one of texts, else there are none.
#[must_use]
pub fn take_texts(keys: &Keys, input: &Input<'_>, mode: &Mode) -> Block {
    let mut scanner = Scanner::new(keys, mode, input.data.len());
    scanner.run(input);
    scanner.texts.take().map(Texts::finish).unwrap_or_default()
}
