//! What a verification knows between two passes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::settled::{Settled, facts_of};
use crate::hash::Digest;
use crate::line::Position;
use crate::scan::Keys;
use crate::scan::summary::{Epoch, EpochId, LogNumber, Summary};
use crate::seal::epoch::Place;

/// A position that was seen more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duplicate {
    /// Whose.
    pub log: LogNumber,
    /// First position.
    pub from: Position,
    /// Last position.
    pub to: Position,
    /// Lines too many.
    pub count: u64,
    /// The same line twice in one file?
    pub one_file: bool,
    /// Two different lines at one position?
    pub fork: bool,
    /// Both authentic by themselves: with V, or as statements?
    pub proven: bool,
    /// Where the later one stands.
    pub place: Place,
}

/// The texts, and the trees over the first n lines of epochs, as far as those were read for them.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) texts: Vec<(LogNumber, Vec<u8>)>,
    /// Of lines that have an RFC 8785 form, also the tree over those forms (P only).
    pub(super) roots: BTreeMap<(EpochId, u16), Vec<Digest>>,
}

/// What is known so far.
pub(super) struct Known {
    pub(super) keys: Arc<Keys>,
    pub(super) summary: Summary,
    /// Duplicates and conflicts in the epochs that were looked at line by line.
    pub(super) duplicates: Vec<Duplicate>,
    /// Epochs that were looked at line by line.
    pub(super) looked_at: BTreeSet<EpochId>,
    /// Lines in them that a matching R does not cover (P only).
    pub(super) outside: BTreeMap<EpochId, BTreeSet<(u16, Digest)>>,
    /// Epochs whose lines are taken in their RFC 8785 form (P only).
    pub(super) rewritten: BTreeSet<EpochId>,
    /// Signed texts that the caller brings along.
    pub(super) shown: Shown,
    /// What was judged before.
    pub(super) settled: Option<Arc<Settled>>,
}

impl Known {
    /// Every epoch of every log, but those of chains that were judged before.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = (EpochId, &Epoch)> {
        let settled = self.settled.as_deref();
        self.summary.logs.iter().flat_map(move |(number, log)| {
            let chains = log.chains.iter();
            let chains = chains.filter(move |(c, chain)| facts_of(settled, *number, **c, chain).is_none());
            chains.flat_map(move |(c, chain)| {
                chain.epochs.iter().map(move |(e, epoch)| ((*number, *c, *e), &**epoch))
            })
        })
    }
}
