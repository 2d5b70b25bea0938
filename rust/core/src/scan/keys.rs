//! The logs that are verified together, and what is known of their keys.

use std::sync::RwLock;

use crate::Error;
use crate::hash::{Digest, sha256};
use crate::line::envelope::added::without;
use crate::line::{LogId, Position};
use crate::scan::summary::LogNumber;
use crate::seal::keys::{AHEAD, PublicKey, REACH, VerificationKey};
use crate::seal::statement::{Body, CertCache, Statement};

/// A log that is to be verified.
pub struct LogKeys {
    /// P and name.
    pub public: PublicKey,
    /// V or a part of it, if at hand.
    pub secret: Option<VerificationKey>,
    pub(super) id: LogId,
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
        self.learn_root(statement.generation() + 1, statement.next_root());
    }

    /// Learns the chain root of a generation, if it is the first that is not known.
    pub(crate) fn learn_root(&self, generation: u32, root: Digest) {
        let mut roots = self.roots.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if roots.len() == generation as usize {
            roots.push(root);
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

/// A bad line that is not reported: log and position that its seal claims, if it has one, and its SHA-256.
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

    /// Names bad lines that are not reported.
    pub fn except(&mut self, lines: impl IntoIterator<Item = Excepted>) {
        self.excepted.extend(lines);
    }

    /// Is there an excepted line with a number?
    pub(super) fn has_excepted(&self, number: u32) -> bool {
        (number as usize) < self.excepted.len()
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
    pub(super) fn excepted(&self, line: &[u8], claim: Option<(LogNumber, Position)>) -> Option<u32> {
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

    /// What vouches for something that a holder of these keys remembers, by its digest: with V an HMAC of it. Without
    /// V anybody can make it.
    #[must_use]
    pub fn vouch(&self, digest: &Digest) -> Digest {
        let secrets = self.logs.iter().filter_map(|log| log.secret.as_ref()?.memory());
        let macs: Vec<Digest> = secrets.map(|secret| *secret.mac(digest).expose()).collect();
        sha256(&[b"tallystick memory", digest, &macs.concat()])
    }

    /// In whose names a holder of these keys vouches for partial results (SPEC section 12): log by log that of V
    /// ([`WHOLE`](crate::seal::keys::WHOLE)), or of each chain of a narrowed key. Without a secret key there is none.
    #[must_use]
    pub fn scope(&self) -> Vec<(LogNumber, u32)> {
        let of = |(number, log): (LogNumber, &LogKeys)| {
            let chains = log.secret.as_ref().map(VerificationKey::scope).unwrap_or_default();
            chains.into_iter().map(move |chain| (number, chain)).collect::<Vec<_>>()
        };
        (0..).zip(&self.logs).flat_map(of).collect()
    }

    /// What vouches for a partial result in the name of V of a log, or of one chain, by its digest; `None` where these
    /// keys cannot.
    #[must_use]
    pub fn vouch_partial(&self, digest: &Digest, (number, chain): (LogNumber, u32)) -> Option<Digest> {
        let key = self.logs.get(number as usize)?.secret.as_ref()?.partial(chain)?;
        Some(*key.mac(digest).expose())
    }

    /// The logs, by number.
    #[must_use]
    pub fn logs(&self) -> &[LogKeys] {
        &self.logs
    }

    #[inline]
    pub(super) fn find(&self, id: LogId) -> Option<LogNumber> {
        (0..).zip(&self.logs).find(|(_, log)| log.id == id).map(|(number, _)| number)
    }

    /// The log with a number that [`find`](Self::find) gave.
    #[inline]
    pub(super) fn log(&self, number: LogNumber) -> &LogKeys {
        &self.logs[number as usize]
    }
}
