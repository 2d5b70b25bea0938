//! The sealer: a pure function with a shrinking secret (SPEC sections 3 to 6).
//!
//! It holds K[i], the epoch key, E[e+1] and D[e+1] of one open chain, and nothing else. Each is wiped
//! when its use is over, before the line that it made leaves through `out`.
//!
//! ```ignore-windows
//! use tallystick_core::seal::{sealer::Format, state::{Opened, SealingState}};
//! use tallystick_core::secret::Secret;
//! # fn main() -> Result<(), tallystick_core::Error> {
//! let setup = SealingState::setup("payments", Secret::take(&mut [1; 32]), Secret::take(&mut [2; 32]))?;
//! let Opened { mut sealer, .. } = setup.state.open_chain(&setup.head, 1_795_401_650_000)?;
//! let mut out = Vec::new();
//! sealer.seal(b"user=7 action=login", 1_795_401_650_001, &mut out)?;
//! sealer.close(1_795_401_650_002, &mut out)?;
//! assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 3);        // open, the entry, the checkpoint
//! # Ok(()) }
//! ```

mod bulk;
mod reached;

use memchr::memchr;

use crate::Error;
use crate::hash::{Digest, leaf, line_hash, sha256};
use crate::line::{self, Form, LogId, Position, form_of};
use crate::seal::entry::entry_of;
use crate::seal::keys::{SignKey, key_path};
use crate::seal::notice::{self, Notice};
use crate::seal::shown::Shown;
use crate::seal::speaker::Speaker;
use crate::seal::statement::{Kind, MAX_TIME, control_m};
use crate::seal::tree::Growing;
use crate::secret::{Secret, check_usable};

/// Form of control lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// The form of the first line.
    #[default]
    Auto,
    /// The bare statement.
    Plain,
    /// `{"tallystick":"<statement>"}`.
    Json,
}

/// Lines of an epoch unless the caller says otherwise.
pub const EPOCH_LINES: u32 = 4096;

/// Seals one chain.
pub struct Sealer {
    speaker: Speaker,
    /// The `open` statement until it is emitted, right before the first line; and what the log says right after it.
    open: Option<(String, Option<Notice>)>,
    format: Format,
    epoch_lines: u32,
    epoch: u8,
    index: u32,
    /// Lines of the epochs before this one.
    before: u64,
    closed: bool,
    last_entry: Option<Position>,
    tree: Growing,
    newest: Digest,
    entry_key: Secret,
    epoch_key: Option<SignKey>,
    next_e: Secret,
    next_d: Secret,
    epoch_keys: Vec<[u8; 32]>,
    /// What witnesses are shown, if there are any.
    shown: Option<Shown>,
}

/// A claimed time must have the form of section 2.
pub(crate) fn check_time(time: u64) -> Result<(), Error> {
    if time > MAX_TIME {
        return Err(Error::Seal("the time is out of range".into()));
    }
    Ok(())
}

impl Sealer {
    pub(crate) fn new(
        speaker: Speaker,
        (open, first): (String, Option<Notice>),
        e: Secret,
        d: Secret,
        epoch_keys: Vec<[u8; 32]>,
    ) -> Self {
        let (mut next_e, mut next_d) = (e, d);
        let entry_key = next_e.derive("entry");
        let epoch_key = Some(SignKey::derive(&next_d, "epoch key"));
        next_e.advance("next");
        next_d.advance("next");
        Self {
            newest: sha256(&[open.as_bytes()]),
            speaker,
            open: Some((open, first)),
            format: Format::Auto,
            epoch_lines: EPOCH_LINES,
            epoch: 0,
            index: 0,
            before: 0,
            closed: false,
            last_entry: None,
            tree: Growing::at(0),
            entry_key,
            epoch_key,
            next_e,
            next_d,
            epoch_keys,
            shown: None,
        }
    }

    /// Sets the form of control lines; before the first line.
    pub fn set_format(&mut self, format: Format) {
        self.format = format;
    }

    /// Sets after how many lines an epoch ends, 1 to 65,534.
    ///
    /// # Errors
    /// [`Error::Seal`] for another number.
    pub fn set_epoch_lines(&mut self, lines: u32) -> Result<(), Error> {
        if !(1..=65_534).contains(&lines) {
            return Err(Error::Seal("an epoch has 1 to 65534 lines".into()));
        }
        self.epoch_lines = lines;
        Ok(())
    }

    /// Number of the chain.
    #[must_use]
    pub fn chain(&self) -> u32 {
        self.speaker.chain
    }

    /// Id of the log.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.speaker.log
    }

    /// Is the chain closed, so that the next line needs another one?
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The position of the entry that was sealed last.
    #[must_use]
    pub fn last_entry(&self) -> Option<Position> {
        self.last_entry
    }

    /// Seals one entry: appends its line, with `open` before it and a checkpoint after it where due.
    ///
    /// `m` may end in one CR, which is dropped. `time` is ms since 1970.
    ///
    /// # Errors
    /// [`Error::Seal`] if the chain is closed, m is too long or holds an LF.
    pub fn seal(&mut self, m: &[u8], time: u64, out: &mut Vec<u8>) -> Result<(), Error> {
        self.alive(time)?;
        let m = entry_of(m)?;
        if memchr(b'\n', m).is_some() {
            return Err(Error::Seal("an entry is one line; write a line end inside it as \\n".into()));
        }
        if self.open.is_some() {
            self.start(form_of(m), out)?;
        }
        self.entry(m, out);
        self.end_if_full(time, out)
    }

    /// Has the log itself say something: appends a signed notice, with `open` before it and a checkpoint after it where
    /// due. The text may be any bytes; one that is too long is cut.
    ///
    /// # Errors
    /// [`Error::Seal`] if the chain is closed, the kind is no word for one, or the text is empty or may not stand there.
    pub fn notice(&mut self, kind: &str, text: &[u8], time: u64, out: &mut Vec<u8>) -> Result<(), Error> {
        self.alive(time)?;
        let index = match &self.open {
            Some((_, first)) => 1 + u16::from(first.is_some()),
            None => self.position().index,
        };
        let text = notice::written(kind, text, Position { index, ..self.position() })?;
        if self.open.is_some() {
            self.start(Form::Plain, out)?;
        }
        self.say((kind, &text), out)?;
        self.end_if_full(time, out)
    }

    /// Emits a notice whose text is encoded already.
    fn say(&mut self, said: (&str, &str), out: &mut Vec<u8>) -> Result<(), Error> {
        let erased = || Error::Seal("the keys of this chain were erased".into());
        let key = self.epoch_key.as_ref().ok_or_else(erased)?;
        let path = key_path(&self.epoch_keys, usize::from(self.epoch));
        let statement = self.speaker.notice(self.position(), said, (key, &path));
        self.control(&statement, out);
        Ok(())
    }

    /// Ends the epoch with a checkpoint; after epoch 255 the chain is closed by it.
    ///
    /// # Errors
    /// [`Error::Seal`] if the chain is closed.
    pub fn checkpoint(&mut self, time: u64, out: &mut Vec<u8>) -> Result<(), Error> {
        self.finish_epoch(if self.epoch == 255 { Kind::Closed } else { Kind::Continues }, time, out)
    }

    /// Ends the chain.
    ///
    /// # Errors
    /// [`Error::Seal`] if it is closed already.
    pub fn close(&mut self, time: u64, out: &mut Vec<u8>) -> Result<(), Error> {
        self.finish_epoch(Kind::Closed, time, out)
    }

    /// Ends the chain and the log.
    ///
    /// # Errors
    /// [`Error::Seal`] if it is closed already.
    pub fn end(&mut self, time: u64, out: &mut Vec<u8>) -> Result<(), Error> {
        self.finish_epoch(Kind::Ended, time, out)
    }

    /// Wipes every secret at once: the sealer is of no use afterwards.
    pub fn erase(&mut self) {
        self.entry_key.erase();
        self.next_e.erase();
        self.next_d.erase();
        self.epoch_key = None;
        self.closed = true;
    }

    /// Was every secret wiped: by [`erase`](Self::erase), or by the kernel, as it does in each forked child?
    #[must_use]
    #[inline]
    pub fn is_wiped(&self) -> bool {
        self.entry_key.is_wiped()
    }

    /// Emits `open` now, in the form that was set, and not right before the first line.
    ///
    /// # Errors
    /// [`Error::Seal`] if the keys were erased.
    pub fn start_now(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.start(Form::Plain, out)
    }

    /// May something be sealed with the keys that this holds?
    pub(crate) fn check_usable(&self) -> Result<(), Error> {
        check_usable(&[&self.entry_key, &self.next_e, &self.next_d])?;
        self.epoch_key.as_ref().map_or(Ok(()), |key| check_usable(&[key.seed()]))
    }

    fn alive(&self, time: u64) -> Result<(), Error> {
        check_time(time)?;
        if self.closed {
            return Err(Error::Seal(format!("chain {} is closed", self.speaker.chain)));
        }
        Ok(())
    }

    /// Emits `open`, and in the same bytes what the log says right after it.
    fn start(&mut self, first: Form, out: &mut Vec<u8>) -> Result<(), Error> {
        if let Some((open, said)) = self.open.take() {
            if self.format == Format::Auto {
                self.format = if first == Form::Json { Format::Json } else { Format::Plain };
            }
            self.control(&open, out);
            if let Some(shown) = &mut self.shown {
                shown.speak(open);
            }
            if let Some(Notice { kind, text }) = said {
                let text = notice::written(&kind, &text, self.position())?;
                self.say((&kind, &text), out)?;
            }
        }
        Ok(())
    }

    /// A leaf of the running epoch.
    #[inline]
    fn grow(&mut self, leaf: Digest) {
        self.tree.push(leaf);
        if let Some(shown) = &mut self.shown {
            shown.grow(leaf);
        }
    }

    /// A control line that has a leaf.
    fn control(&mut self, statement: &str, out: &mut Vec<u8>) {
        let m = control_m(statement, self.format == Format::Json);
        let l = line_hash(3, &m);
        let t = self.line(&m, &l, out);
        self.grow(leaf(&t, &l));
    }

    fn entry(&mut self, m: &[u8], out: &mut Vec<u8>) {
        let l = line_hash(2, m);
        self.last_entry = Some(self.position());
        let t = self.line(m, &l, out);
        self.grow(leaf(&t, &l));
    }

    /// The checkpoint after the last line of an epoch.
    #[inline]
    fn end_if_full(&mut self, time: u64, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.index >= self.epoch_lines { self.checkpoint(time, out) } else { Ok(()) }
    }

    /// Tags a line, erases the key that made the tag, then lets the line out.
    fn line(&mut self, m: &[u8], l: &Digest, out: &mut Vec<u8>) -> [u8; 16] {
        let at = self.position();
        let t = self.entry_key.tag(l);
        self.index += 1;
        line::write(m, self.speaker.log, at, &t, out);
        out.push(b'\n');
        t
    }

    fn finish_epoch(&mut self, kind: Kind, time: u64, out: &mut Vec<u8>) -> Result<(), Error> {
        self.alive(time)?;
        if self.open.is_some() {
            self.start(Form::Plain, out)?;
        }
        let root = std::mem::take(&mut self.tree).finish().root().unwrap_or_default();
        let at = self.position();
        let Some(key) = self.epoch_key.take() else {
            return Err(Error::Seal("the keys of this chain were erased".into()));
        };
        let path = key_path(&self.epoch_keys, usize::from(self.epoch));
        let text =
            self.speaker.checkpoint((at.epoch, at.index), (&root, &self.newest), (time, kind), (&key, &path));
        drop(key);
        self.newest = sha256(&[text.as_bytes()]);
        if let Some(shown) = &mut self.shown {
            shown.end_epoch(text.clone());
        }
        let m = control_m(&text, self.format == Format::Json);
        let l = line_hash(3, &m);
        if kind == Kind::Continues {
            // The next epoch's keys stand before the checkpoint leaves; E[e], D[e] are gone by then.
            let t = self.entry_key.tag(&l);
            self.entry_key = self.next_e.derive("entry");
            self.epoch_key = Some(SignKey::derive(&self.next_d, "epoch key"));
            self.next_e.advance("next");
            self.next_d.advance("next");
            self.before += u64::from(self.index) + 1;
            self.epoch += 1;
            self.index = 0;
            line::write(&m, self.speaker.log, at, &t, out);
            out.push(b'\n');
        } else {
            self.next_e.erase();
            self.next_d.erase();
            self.closed = true;
            self.line(&m, &l, out);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::MAX_ENTRY;
    use crate::seal::entry::line_at;
    use crate::seal::state::{Opened, SealingState};

    const TIME: u64 = 1_795_401_650_000;

    fn sealer(epoch_lines: u32) -> Sealer {
        let (v, s) = (Secret::take(&mut [1; 32]), Secret::take(&mut [2; 32]));
        let Ok(setup) = SealingState::setup("payments", v, s) else { panic!() };
        let Ok(Opened { mut sealer, .. }) = setup.state.open_chain(&setup.head, TIME) else { panic!() };
        assert_eq!(sealer.set_epoch_lines(epoch_lines), Ok(()));
        sealer
    }

    /// Lines of all lengths and kinds, the last without its end.
    fn lines(count: usize) -> Vec<u8> {
        let mut data = Vec::new();
        for i in 0..count {
            let pad = "x".repeat(i * 37 % 290);
            let line = match i % 5 {
                0 => format!("{{\"n\":{i},\"pad\":\"{pad}\"}}\n"),
                1 => format!("n={i} {pad}\r\n"),
                2 => "\n".into(),
                3 => "{}\n".into(),
                _ => format!("{pad}{i}\n"),
            };
            data.extend_from_slice(line.as_bytes());
        }
        data.extend_from_slice(b"no end");
        data
    }

    /// The lines of `data` one by one; bytes used, and the error that stopped it.
    fn one_by_one(sealer: &mut Sealer, data: &[u8], out: &mut Vec<u8>) -> Result<usize, Error> {
        let mut used = 0;
        while !sealer.closed
            && let Some((line, end)) = line_at(data, used)
        {
            sealer.seal(line, TIME, out)?;
            used = end;
        }
        Ok(used)
    }

    #[test]
    #[cfg_attr(not(unix), ignore = "keys are in memory that is not locked")]
    fn lines_sealed_together_are_those_sealed_one_by_one_to_the_end_of_the_chain() {
        let data = lines(1000);
        for epoch_lines in [1, 2, 3, 4, 7, 64, 4096] {
            let (mut together, mut single) = (sealer(epoch_lines), sealer(epoch_lines));
            let (mut out, mut expected) = (Vec::new(), Vec::new());
            // In pieces, so that pairs begin at even and odd lines.
            let (mut from, mut piece) = (0, 1);
            while from < data.len() {
                let to = data.len().min(from + piece);
                let used = together.seal_lines(&data[from..to], TIME, &mut out);
                assert_eq!(used, one_by_one(&mut single, &data[from..to], &mut expected));
                assert_eq!(out, expected);
                assert_eq!(together.head().map(|h| h.to_text()), single.head().map(|h| h.to_text()));
                assert_eq!(together.position(), single.position());
                match used {
                    Ok(0) if to == data.len() || together.is_closed() => break,
                    Ok(used) => (from, piece) = (from + used, piece * 2),
                    Err(error) => panic!("{error}"),
                }
            }
            assert_eq!(together.is_closed(), epoch_lines <= 3);
        }
    }

    #[test]
    #[cfg_attr(not(unix), ignore = "keys are in memory that is not locked")]
    fn a_line_that_is_refused_leaves_what_came_before_it() {
        let long = vec![b'x'; MAX_ENTRY + 1];
        for before in 0..4 {
            let data = [b"line\n".repeat(before), long.clone(), b"\nnext\n".to_vec()].concat();
            let (mut together, mut single) = (sealer(3), sealer(3));
            let (mut out, mut expected) = (Vec::new(), Vec::new());
            let refused = together.seal_lines(&data, TIME, &mut out);
            assert_eq!(refused, one_by_one(&mut single, &data, &mut expected));
            assert!(refused.is_err());
            assert_eq!(out, expected);
        }
        let mut out = Vec::new();
        assert!(sealer(3).seal_lines(b"a\nb\nc\n", MAX_TIME + 1, &mut out).is_err());
        assert!(out.is_empty());
    }
}
