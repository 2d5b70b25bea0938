//! The map of the map and merge: bytes and keys in, a [`Summary`] out (SPEC section 7).
//!
//! With V every line stands on its own: its tag is recomputed. With P only, a line counts for what its
//! seal claims, and the tree over its epoch decides later. No allocation per line on the usual path,
//! and lines that follow each other are hashed side by side, by twos or by sixteens.

pub mod broken;
mod entry_keys;
mod judge;
pub mod summary;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeSet;
use std::sync::RwLock;

use crate::Error;
use crate::hash::{Digest, sha256};
use crate::line::envelope::added::without;
use crate::line::envelope::{Envelope, Origin};
use crate::line::{LogId, Position};
use crate::scan::summary::{EpochId, LogNumber, Pending, Record, Roots, Summary, Why};
use crate::seal::epoch::Place;
use crate::seal::head::Head;
use crate::seal::keys::{AHEAD, PublicKey, REACH, VerificationKey};
use crate::seal::statement::{Body, CertCache, Fault, Statement};

/// A log that is to be verified.
pub struct LogKeys {
    /// P and name.
    pub public: PublicKey,
    /// V or a part of it, if at hand.
    pub secret: Option<VerificationKey>,
    id: LogId,
    /// The farthest chain that a line may make the scan walk to.
    pub(crate) reach: u32,
    /// Chain root of each generation that is known so far; the first is P.
    roots: RwLock<Vec<Digest>>,
}

impl LogKeys {
    /// Keys of one log.
    #[must_use]
    pub fn new(public: PublicKey, secret: Option<VerificationKey>) -> Self {
        let (id, roots) = (public.log_id(), RwLock::new(vec![public.root]));
        Self { public, secret, id, reach: AHEAD, roots }
    }

    /// Id of the log.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.id
    }

    /// Chain root of a generation, if it is known.
    #[must_use]
    pub fn root(&self, generation: u32) -> Option<Digest> {
        let roots = self.roots.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        roots.get(generation as usize).copied()
    }

    /// Chain roots that are known, from generation 0 on.
    #[must_use]
    pub fn known_roots(&self) -> Vec<Digest> {
        self.roots.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Learns the chain root of the generation after a statement's from the statement, which holds.
    pub(crate) fn learn(&self, statement: &Statement<'_>) {
        let next = statement.generation() as usize + 1;
        let mut roots = self.roots.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if roots.len() == next {
            roots.push(statement.next_root());
        }
    }

    /// Learns from the `open` statements of a public file, oldest first (SPEC section 5).
    ///
    /// # Errors
    /// [`Error::Format`] at the first that does not hold.
    pub fn learn_open(&self, text: &[u8]) -> Result<(), Error> {
        let bad = |what| Error::Format(format!("public file of log {}: {what}", self.public.name));
        let statement = Statement::parse(text).ok_or_else(|| bad("a line is no statement"))?;
        let open = matches!(statement.body, Body::Open { .. });
        if !open || !statement.agrees(&self.public, self.id, statement.position()) {
            return Err(bad("an `open` is of another log"));
        }
        let root = self
            .root(statement.generation())
            .ok_or_else(|| bad("an older generation's `open` is lacking"))?;
        statement.check(&root, &mut CertCache::default()).map_err(|_| bad("an `open` does not hold"))?;
        self.learn(&statement);
        Ok(())
    }
}

/// A bad line that is not to be told: log and position that its seal claims, if it has one, and its SHA-256.
pub type Excepted = (Option<(LogNumber, Position)>, Digest);

/// The logs that are verified together.
#[derive(Default)]
pub struct Keys {
    logs: Vec<LogKeys>,
    excepted: Vec<Excepted>,
    added: Vec<Vec<u8>>,
}

impl Keys {
    /// Adds a log.
    ///
    /// # Errors
    /// [`Error::Format`] if another log with its id is there already.
    pub fn add(&mut self, log: LogKeys) -> Result<(), Error> {
        if self.find(log.id).is_some() {
            return Err(Error::Format(format!("two keys for log id {}: give one key for each log", log.id)));
        }
        self.logs.push(log);
        Ok(())
    }

    /// Names bad lines that are not to be told.
    pub fn except(&mut self, lines: impl IntoIterator<Item = Excepted>) {
        self.excepted.extend(lines);
    }

    /// Names members that a carrier added to JSON lines.
    ///
    /// # Errors
    /// [`Error::Format`] for a name that a seal or a statement stands in.
    pub fn add_members(&mut self, names: impl IntoIterator<Item = String>) -> Result<(), Error> {
        for name in names {
            if matches!(name.as_str(), "" | "tally" | "tallystick" | "redacted") {
                return Err(Error::Format(format!(
                    "a carrier cannot have added {name:?}: name another member"
                )));
            }
            self.added.push(name.into_bytes());
        }
        Ok(())
    }

    /// The line without what a carrier added to it, if it added anything.
    pub(crate) fn without_added(&self, line: &[u8]) -> Option<Vec<u8>> {
        if self.added.is_empty() { None } else { without(line, &self.added) }
    }

    /// The number of an excepted line, by its bytes and what its seal claims.
    fn excepted(&self, line: &[u8], claim: Option<(LogNumber, Position)>) -> Option<u32> {
        if !self.excepted.iter().any(|(of, _)| *of == claim) {
            return None;
        }
        let line = (claim, sha256(&[line]));
        (0..).zip(&self.excepted).find(|(_, excepted)| **excepted == line).map(|(number, _)| number)
    }

    /// Names a chain that a log has got to, as the caller knows: chains not far beyond it are looked at, too.
    pub fn expect_chain(&mut self, number: LogNumber, chain: u32) {
        if let Some(log) = self.logs.get_mut(number as usize) {
            log.reach = log.reach.max(chain.saturating_add(AHEAD)).min(REACH);
        }
    }

    /// The logs, by number.
    #[must_use]
    pub fn logs(&self) -> &[LogKeys] {
        &self.logs
    }

    #[inline]
    fn find(&self, id: LogId) -> Option<LogNumber> {
        (0..).zip(&self.logs).find(|(_, log)| log.id == id).map(|(number, _)| number)
    }

    /// The log with a number that [`find`](Self::find) gave.
    #[inline]
    fn log(&self, number: LogNumber) -> &LogKeys {
        &self.logs[number as usize]
    }
}

/// What a scan looks for.
pub enum Mode {
    /// Everything, with all bytes as they are.
    All,
    /// These epochs, in the RFC 8785 form of every line that has one (P only).
    Canonical(BTreeSet<EpochId>),
    /// Each line of these epochs, one by one; of the second ones in its RFC 8785 form.
    Detail(BTreeSet<EpochId>, BTreeSet<EpochId>),
}

/// Bytes of a file, in whole lines.
pub struct Input<'a> {
    /// The bytes.
    pub data: &'a [u8],
    /// Number of the file.
    pub file: u32,
    /// Number of the chunk in the file.
    pub chunk: u32,
    /// Where the chunk begins in the file, in bytes.
    pub offset: u64,
    /// The last line was too long to be read whole, so it holds no seal.
    pub cut: bool,
    /// Where each line stood, if they were taken out of a carrier's envelopes.
    pub origins: Option<Origins<'a>>,
    /// What a carrier put before the lines.
    pub envelope: Option<&'a Envelope>,
}

/// Where lines stood that were taken out of envelopes.
#[derive(Clone, Copy)]
pub struct Origins<'a> {
    /// One for each line.
    pub of: &'a [Origin],
    /// Lines of the chunk as the carrier wrote them.
    pub lines: u32,
    /// Bytes of the chunk as the carrier wrote them.
    pub bytes: u64,
}

/// Scans some bytes.
#[must_use]
pub fn scan(keys: &Keys, input: &Input<'_>, mode: &Mode) -> Summary {
    walk::Scanner::new(keys, mode, input.data.len()).run(input)
}

fn why(fault: Fault) -> Why {
    match fault {
        Fault::Stranger => Why::Stranger,
        Fault::Path => Why::Path,
        Fault::Cert => Why::Cert,
        Fault::Signature => Why::Signature,
    }
}

/// The record of a statement that holds; an open's prev is checked where the key allows it.
pub(crate) fn record(log: &LogKeys, statement: &Statement<'_>, place: Place) -> Record {
    let proof = match (statement.body, &log.secret) {
        // The chain before is not looked for behind this one: that could be a long way.
        (Body::Open { prev }, Some(_)) if prev.mark.at.chain >= statement.chain => Some(false),
        (Body::Open { prev }, Some(key)) => {
            Head::at(log.id, prev.mark, key).map(|head| head.proof(statement.chain) == prev.proof)
        }
        _ => None,
    };
    Record {
        at: statement.position(),
        hash: statement.hash(),
        time: statement.time,
        body: statement.body,
        place,
        proof,
    }
}

/// Judges a statement that had to wait; `None` if its chain root is still unknown.
pub(crate) fn judge_pending(
    log: &LogKeys,
    pending: &Pending,
    cache: &mut CertCache,
) -> Option<Result<Roots, Why>> {
    let Some(statement) = Statement::parse(&pending.text) else { return Some(Err(Why::Stranger)) };
    let root = log.root(statement.generation())?;
    Some(match statement.check(&root, cache) {
        Ok(()) => {
            log.learn(&statement);
            Ok(Roots { epoch: statement.epoch_root(), next: statement.next_root() })
        }
        Err(fault) => Err(why(fault)),
    })
}
