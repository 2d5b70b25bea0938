//! The sealer: a pure function with a shrinking secret (SPEC sections 3 to 6).
//!
//! It holds K[i], the epoch key, E[e+1] and D[e+1] of one open chain, and nothing else. Each is wiped
//! when its use is over, before the line that it made leaves through `out`.
//!
//! ```
//! use tallystick_core::{sealer::Format, secret::Secret, state::{Opened, SealingState}};
//! # fn main() -> Result<(), tallystick_core::Error> {
//! let setup = SealingState::setup("payments", Secret::take(&mut [1; 32]), Secret::take(&mut [2; 32]))?;
//! let Opened { mut sealer, .. } = setup.state.open_chain(&setup.head, 1_795_401_650_000)?;
//! let mut out = Vec::new();
//! sealer.seal(b"user=7 action=login", 1_795_401_650_001, &mut out)?;
//! sealer.close(1_795_401_650_002, &mut out)?;
//! assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 3);        // open, the entry, the checkpoint
//! # Ok(()) }
//! ```

use memchr::memchr;

use crate::Error;
use crate::hash::{Digest, leaf, line_hash, sha256, tag};
use crate::head::{Head, Mark};
use crate::keys::{SignKey, key_path};
use crate::line::{self, Form, LogId, MAX_ENTRY, Position, form_of};
use crate::secret::Secret;
use crate::statement::{Kind, MAX_TIME, Speaker, control_m};
use crate::tree::Stretch;

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
    /// The `open` statement until it is emitted, right before the first line.
    open: Option<String>,
    format: Format,
    epoch_lines: u32,
    epoch: u8,
    index: u32,
    closed: bool,
    tree: Stretch,
    newest: Digest,
    entry_key: Secret,
    epoch_key: Option<Box<SignKey>>,
    next_e: Secret,
    next_d: Secret,
    epoch_keys: Vec<[u8; 32]>,
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
        open: String,
        e: Secret,
        d: Secret,
        epoch_keys: Vec<[u8; 32]>,
    ) -> Self {
        let (mut next_e, mut next_d) = (e, d);
        let entry_key = next_e.derive("entry");
        let epoch_key = Some(Box::new(SignKey::derive(&next_d, "epoch key")));
        next_e.advance("next");
        next_d.advance("next");
        Self {
            newest: sha256(&[open.as_bytes()]),
            speaker,
            open: Some(open),
            format: Format::Auto,
            epoch_lines: EPOCH_LINES,
            epoch: 0,
            index: 0,
            closed: false,
            tree: Stretch::at(0),
            entry_key,
            epoch_key,
            next_e,
            next_d,
            epoch_keys,
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

    /// Lines of the running epoch so far.
    #[must_use]
    pub fn lines_in_epoch(&self) -> u32 {
        self.index
    }

    /// The position of the next line; after `closed`, the one behind the last.
    #[must_use]
    pub fn position(&self) -> Position {
        // An epoch has at most 65,534 lines and a checkpoint, so the index fits.
        Position::new(self.speaker.chain, self.epoch, u16::try_from(self.index).unwrap_or(u16::MAX))
    }

    /// Seals one entry: appends its line, with `open` before it and a checkpoint behind it where due.
    ///
    /// `m` may end in one CR, which is dropped. `time` is ms since 1970.
    ///
    /// # Errors
    /// [`Error::Seal`] if the chain is closed, m is too long or holds an LF.
    pub fn seal(&mut self, m: &[u8], time: u64, out: &mut Vec<u8>) -> Result<(), Error> {
        self.alive(time)?;
        let m = m.strip_suffix(b"\r").unwrap_or(m);
        if m.len() > MAX_ENTRY {
            return Err(Error::Seal(format!("an entry has {MAX_ENTRY} bytes at most")));
        }
        if memchr(b'\n', m).is_some() {
            return Err(Error::Seal("an entry is one line; write a line end inside it as \\n".into()));
        }
        if self.open.is_some() {
            self.start(form_of(m), out);
        }
        self.entry(m, out);
        if self.index >= self.epoch_lines { self.checkpoint(time, out) } else { Ok(()) }
    }

    /// Seals the complete lines of `data` until the chain is full; gives the number of bytes used.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn seal_lines(&mut self, data: &[u8], time: u64, out: &mut Vec<u8>) -> Result<usize, Error> {
        let mut used = 0;
        while !self.closed
            && let Some(end) = memchr(b'\n', &data[used..])
        {
            self.seal(&data[used..used + end], time, out)?;
            used += end + 1;
        }
        Ok(used)
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

    /// The head that counts every line emitted so far; `None` before `open` is emitted or after erasure.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        if self.open.is_some() || self.entry_key.expose() == &[0; 32] {
            return None;
        }
        let mark = Mark { at: self.position(), hash: self.newest };
        Some(Head::make(self.speaker.log, mark, &self.entry_key))
    }

    /// Wipes every secret at once: the sealer is of no use afterwards.
    pub fn erase(&mut self) {
        self.entry_key.erase();
        self.next_e.erase();
        self.next_d.erase();
        self.epoch_key = None;
        self.closed = true;
    }

    /// Emits `open` now, in the form that was set, and not right before the first line.
    pub fn start_now(&mut self, out: &mut Vec<u8>) {
        self.start(Form::Plain, out);
    }

    fn alive(&self, time: u64) -> Result<(), Error> {
        check_time(time)?;
        if self.closed {
            return Err(Error::Seal(format!("chain {} is closed", self.speaker.chain)));
        }
        Ok(())
    }

    /// Emits `open`.
    fn start(&mut self, first: Form, out: &mut Vec<u8>) {
        if let Some(open) = self.open.take() {
            if self.format == Format::Auto {
                self.format = if first == Form::Json { Format::Json } else { Format::Plain };
            }
            let m = control_m(&open, self.format == Format::Json);
            let l = line_hash(3, &m);
            let t = self.line(&m, &l, out);
            self.tree.push(leaf(&t, &l));
        }
    }

    fn entry(&mut self, m: &[u8], out: &mut Vec<u8>) {
        let l = line_hash(2, m);
        let t = self.line(m, &l, out);
        self.tree.push(leaf(&t, &l));
    }

    /// Tags a line, erases the key that made the tag, then lets the line out.
    fn line(&mut self, m: &[u8], l: &Digest, out: &mut Vec<u8>) -> [u8; 16] {
        let at = self.position();
        let t = tag(self.entry_key.expose(), l);
        self.entry_key.ratchet();
        self.index += 1;
        line::write(m, self.speaker.log, at, &t, out);
        out.push(b'\n');
        t
    }

    fn finish_epoch(&mut self, kind: Kind, time: u64, out: &mut Vec<u8>) -> Result<(), Error> {
        self.alive(time)?;
        if self.open.is_some() {
            self.start(Form::Plain, out);
        }
        let root = std::mem::replace(&mut self.tree, Stretch::at(0)).root().unwrap_or_default();
        let at = self.position();
        let Some(key) = self.epoch_key.take() else {
            return Err(Error::Seal("the keys of this chain were erased".into()));
        };
        let path = key_path(&self.epoch_keys, usize::from(self.epoch));
        let text =
            self.speaker.checkpoint((at.epoch, at.index), (&root, &self.newest), (time, kind), (&key, &path));
        drop(key);
        self.newest = sha256(&[text.as_bytes()]);
        let m = control_m(&text, self.format == Format::Json);
        let l = line_hash(3, &m);
        if kind == Kind::Continues {
            // The next epoch's keys stand before the checkpoint leaves; E[e], D[e] are gone by then.
            let t = tag(self.entry_key.expose(), &l);
            self.entry_key = self.next_e.derive("entry");
            self.epoch_key = Some(Box::new(SignKey::derive(&self.next_d, "epoch key")));
            self.next_e.advance("next");
            self.next_d.advance("next");
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
