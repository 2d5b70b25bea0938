//! A log as its witness sees it: who signs for it, and what becomes of texts that are shown for it (SPEC section 11).

use super::accept::{Decision, Refusal, accept};
use crate::Error;
use crate::hash::Digest;
use crate::scan::LogKeys;
use crate::seal::keys::PublicKey;
use crate::seal::statement::{CertCache, Statement};

/// What a witness knows of the keys of a log.
pub struct WitnessedLog {
    keys: LogKeys,
    cert: CertCache,
}

/// A text that is shown, and the proof that it goes on from the one accepted last.
pub type Step<'a> = (&'a [u8], &'a [Digest]);

/// What became of a text, and the known text that it contradicts.
pub type Outcome<'a> = (Decision, Option<&'a [u8]>);

impl WitnessedLog {
    /// A log of which only its first public key is known.
    #[must_use]
    pub fn new(public: PublicKey) -> Self {
        Self { keys: LogKeys::new(public, None), cert: CertCache::default() }
    }

    /// Reads a public file (SPEC section 3).
    ///
    /// # Errors
    /// [`Error::Format`] for one that is invalid.
    pub fn parse(file: &[u8]) -> Result<Self, Error> {
        let mut lines = file.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
        let first = std::str::from_utf8(lines.next().unwrap_or_default()).unwrap_or_default();
        let log = Self::new(PublicKey::parse(first)?);
        lines.try_for_each(|open| log.keys.learn_open(open))?;
        Ok(log)
    }

    /// Its public key.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.keys.public
    }

    /// How many generations there are whose chain root is known.
    #[must_use]
    pub fn generations(&self) -> usize {
        self.keys.known_roots().len()
    }

    /// Goes through texts that are shown, until one is refused or is a fork: that one is the last in what is returned.
    ///
    /// `known` are the texts that no later one contains, in the order in which they were accepted, the newest last.
    pub fn show<'a>(&mut self, known: &[&'a [u8]], steps: &[Step<'a>]) -> Vec<Outcome<'a>> {
        let mut known: Vec<_> = known.iter().filter_map(|text| Statement::parse_shown(text)).collect();
        let mut outcomes = Vec::with_capacity(steps.len());
        for (text, proof) in steps {
            let decision = match self.holds(text) {
                Ok(statement) => {
                    let decision = accept(&known, &statement, proof);
                    match decision {
                        Decision::Newer | Decision::SignOfLife => {
                            known.pop();
                            known.push(statement);
                        }
                        Decision::Gap => known.push(statement),
                        _ => {}
                    }
                    decision
                }
                Err(refusal) => Decision::Refused(refusal),
            };
            let against = if let Decision::Fork(number) = decision {
                known.get(number).map(|one| one.text)
            } else {
                None
            };
            outcomes.push((decision, against));
            if matches!(decision, Decision::Fork(_) | Decision::Refused(_)) {
                break;
            }
        }
        outcomes
    }

    /// Reads a text, if it is of this log and its signatures, paths and cert hold; learns from it the chain root of the
    /// next generation.
    fn holds<'a>(&mut self, text: &'a [u8]) -> Result<Statement<'a>, Refusal> {
        let statement = Statement::parse_shown(text).ok_or(Refusal::NoText)?;
        if !statement.agrees(&self.keys.public, self.keys.log_id(), statement.position()) {
            return Err(Refusal::Invalid);
        }
        let root = self.keys.root(statement.generation()).ok_or(Refusal::NoRoot)?;
        statement.check(&root, &mut self.cert).map_err(|_| Refusal::Invalid)?;
        self.keys.learn(&statement);
        Ok(statement)
    }
}
