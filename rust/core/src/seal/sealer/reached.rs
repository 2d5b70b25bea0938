//! How far a sealer has come: the head for the key store, and what witnesses are shown (SPEC sections 5, 6 and 11).

use super::{Sealer, check_time};
use crate::Error;
use crate::line::Position;
use crate::seal::head::{Head, Mark};
use crate::seal::keys::key_path;
use crate::seal::shown::{EpochTree, Shown, Spoken};

impl Sealer {
    /// The position of the next line; after `closed`, the one after the last.
    #[must_use]
    pub fn position(&self) -> Position {
        // An epoch has at most 65,534 lines and a checkpoint, so the index fits.
        Position::new(self.speaker.chain, self.epoch, u16::try_from(self.index).unwrap_or(u16::MAX))
    }

    /// How many lines the chain has so far, control lines included.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.before + u64::from(self.index)
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

    /// Keeps from here on what witnesses are shown: statements, and what proves that a tree goes on from another one.
    ///
    /// # Errors
    /// [`Error::Seal`] after the first line.
    pub fn show(&mut self) -> Result<(), Error> {
        if self.open.is_none() {
            return Err(Error::Seal("witnesses are named before the first line of a chain".into()));
        }
        self.shown = Some(Shown::default());
        Ok(())
    }

    /// A signed head of the running epoch, for witnesses; `None` where a chain has none: before `open` is emitted, after
    /// its end, and after erasure (SPEC section 11).
    ///
    /// # Errors
    /// [`Error::Seal`] if the time is out of range.
    pub fn signed_head(&mut self, time: u64) -> Result<Option<String>, Error> {
        check_time(time)?;
        let (false, true, Some(key)) = (self.closed, self.open.is_none(), &self.epoch_key) else {
            return Ok(None);
        };
        let root = self.tree.clone().finish().root().unwrap_or_default();
        let at = self.position();
        let path = key_path(&self.epoch_keys, usize::from(self.epoch));
        let head = self.speaker.head((at.epoch, at.index), (&root, &self.newest), time, (key, &path));
        if let Some(shown) = &mut self.shown {
            shown.note_head();
        }
        Ok(Some(head))
    }

    /// The statements since the last call, for witnesses; nothing where none are kept.
    pub fn take_spoken(&mut self) -> Vec<Spoken> {
        self.shown.as_mut().map(Shown::take).unwrap_or_default()
    }

    /// The leaves of the running epoch so far, for proofs; `None` where nothing is kept for witnesses.
    #[must_use]
    pub fn tree(&self) -> Option<EpochTree> {
        self.shown.as_ref().map(|shown| shown.tree().clone())
    }
}
