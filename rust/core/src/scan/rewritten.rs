//! Lines that a carrier wrote in another form: what they were may still be found in them.

use memchr::memmem;

use super::collect::Scanner;
use super::input::Mode;
use crate::hash::Text;
use crate::line::canon::without_tally;
use crate::line::{self, Form, Position, Proof, Read, Seal, Span, parse_seal};
use crate::scan::summary::LogNumber;
use crate::seal::statement::{Statement, control_text};

impl Scanner<'_> {
    /// JSON that a carrier rewrote: tried once more with the RFC 8785 form of the rest (SPEC section 4).
    ///
    /// `seal` is the one that a first look found in the line, if it found one.
    pub(super) fn rewritten(&mut self, line: &[u8], seal: Option<Seal>) -> bool {
        let trimmed = line::trim(line);
        let line = trimmed.trim_ascii_start();
        if line.first() != Some(&b'{') || line.last() != Some(&b'}') {
            return false;
        }
        let Some((m, s)) = without_tally(line) else { return self.as_it_is(line) };
        let Some(seal) = parse_seal(s.as_bytes()).or(seal) else { return false };
        let (Some(number), Proof::Tag { tag, length }) = (self.keys.find(seal.log), seal.proof) else {
            return false;
        };
        let id = (number, seal.at.chain, seal.at.epoch);
        if !self.wanted(id) {
            // A statement of an epoch that needs no second look was taken in the first.
            return m.len() == length as usize
                && self.speaks(number, seal.at, &m)
                && self.passed(id, seal.at);
        }
        // A line that had another length, or another form, when it was written is no such line.
        if m.len() != length as usize || line::form_of(&m) != Form::Json {
            return self.as_it_is(line);
        }
        let text = Text::Whole(&m);
        // Of a line that the key does not cover nobody knows what it was.
        let covered = self.keys.log(number).secret.as_ref().is_none_or(|secret| secret.covers(id.1));
        let rewritten = covered
            && !matches!(line::read(trimmed), Read::Sealed(sealed) if sealed.m.start() == 0
                && matches!(sealed.m, Span::Json(0, to) if m.strip_suffix(b"}") == Some(&line[..to])));
        self.in_other_form = rewritten;
        let done = if self.keys.log(number).secret.is_some() {
            self.with_v(number, seal.at, &tag, text).is_ok()
        } else {
            (self.canonical(id) || self.speaks(number, seal.at, &m))
                && self.with_p(number, seal.at, &tag, text).is_ok()
        };
        self.in_other_form = false;
        if done && rewritten && !matches!(self.mode, Mode::Detail(..)) {
            let place = self.place;
            self.epoch(id).note_reserialized(place);
        }
        done
    }

    /// The seal of a known log that a JSON parser sees, whatever text like a seal comes later in the line.
    pub(super) fn own_seal(&self, line: &[u8]) -> Option<(LogNumber, Seal)> {
        let line = line::trim(line).trim_ascii_start();
        if line.first() != Some(&b'{') || line.last() != Some(&b'}') {
            return None;
        }
        let seal = parse_seal(without_tally(line)?.1.as_bytes())?;
        Some((self.keys.find(seal.log)?, seal))
    }

    /// The last seal of a known log in a line that ends in another one's: that seal is not at the end.
    pub(super) fn known_seal(&self, line: &[u8]) -> Option<(LogNumber, Seal)> {
        line::seals_inside(line::trim(line)).find_map(|seal| Some((self.keys.find(seal.log)?, seal)))
    }

    /// With P only: is m a statement of this log and position that holds, or may still turn out to?
    fn speaks(&mut self, number: LogNumber, at: Position, m: &[u8]) -> bool {
        let log = self.keys.log(number);
        let Some(statement) = control_text(m).and_then(Statement::parse) else { return false };
        statement.agrees(&log.public, log.id, at)
            && log
                .root(statement.generation())
                .is_none_or(|root| statement.check(&root, &mut self.certs).is_ok())
    }

    /// A line without an RFC 8785 form, where lines are looked at in those forms.
    fn as_it_is(&mut self, line: &[u8]) -> bool {
        let Read::Sealed(sealed) = line::read(line) else { return false };
        let (Some(number), Span::Json(0, to)) = (self.keys.find(sealed.seal.log), sealed.m) else {
            return false;
        };
        let (Proof::Tag { tag, .. }, at) = (sealed.seal.proof, sealed.seal.at) else { return false };
        let id = (number, at.chain, at.epoch);
        if !self.wanted(id) || !self.canonical(id) {
            return false;
        }
        self.with_p(number, at, &tag, Text::Open(&line[..to])).is_ok()
    }

    /// A JSON line to which a carrier added members that the caller names: is it authentic without them?
    pub(super) fn without_added(&mut self, line: &[u8]) -> bool {
        let Some(text) = self.keys.without_added(line::trim(line)) else { return false };
        let wrapped = std::mem::replace(&mut self.wrapped, true);
        let done = match line::read(&text) {
            Read::Sealed(sealed) if sealed.m.start() == 0 => {
                let Position { chain, epoch, .. } = sealed.seal.at;
                self.keys.find(sealed.seal.log).is_some_and(|number| {
                    self.passed((number, chain, epoch), sealed.seal.at)
                        || self.sealed(&text, number, &sealed.seal, sealed.m).is_ok()
                        || self.rewritten(&text, Some(sealed.seal))
                })
            }
            Read::Redacted(seal) => self.keys.find(seal.log).is_some_and(|number| {
                self.redacted(number, &seal);
                true
            }),
            _ => self.rewritten(&text, None),
        };
        self.wrapped = wrapped || done;
        done
    }

    /// A line in which a carrier wrote control characters as escapes: tried once more with them undone.
    pub(super) fn unescaped(&mut self, line: &[u8], number: LogNumber) -> bool {
        let Some(text) = self.envelope.and_then(|envelope| envelope.unescaped(line)) else { return false };
        let Read::Sealed(sealed) = line::read(&text) else { return false };
        self.wrapped = true;
        sealed.m.start() == 0 && self.sealed(&text, number, &sealed.seal, sealed.m).is_ok()
    }

    /// Is this a redacted line after a carrier's prefix?
    pub(super) fn is_redacted_behind_prefix(&self, line: &[u8]) -> bool {
        let line = line::trim(line);
        ["[redacted] tally=", "{\"redacted\":true,"].iter().any(|begin| {
            memmem::rfind(line, begin.as_bytes()).is_some_and(|at| {
                self.is_prefix(&line[..at]) && matches!(line::read(&line[at..]), Read::Redacted(_))
            })
        })
    }
}
