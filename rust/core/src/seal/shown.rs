//! What a sealer keeps for witnesses: its statements, and the leaves of epochs of which it signed a head.
//!
//! Nothing of it is secret. An epoch's leaves are dropped with its end, unless a witness may know a part of it.

use crate::hash::Digest;
use crate::seal::tree::consistency::consistency;

/// The leaves of an epoch, for proofs that it goes on from one of its heads to another one, or to its checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EpochTree {
    leaves: Vec<Digest>,
}

impl EpochTree {
    /// The consistency proof from the first `from` lines to the first `to` lines; `None` if there are not so many.
    #[must_use]
    pub fn proof(&self, from: u16, to: u16) -> Option<Vec<Digest>> {
        let leaves = self.leaves.get(..usize::from(to)).filter(|_| from <= to)?;
        Some(consistency(leaves, usize::from(from)))
    }
}

/// A statement that a sealer made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoken {
    /// Its text.
    pub text: String,
    /// Of a checkpoint, the leaves of its epoch, if a head of it was signed before.
    pub tree: Option<EpochTree>,
}

/// What is kept.
#[derive(Default)]
pub(super) struct Shown {
    tree: EpochTree,
    has_head: bool,
    spoken: Vec<Spoken>,
}

impl Shown {
    #[inline]
    pub(super) fn grow(&mut self, leaf: Digest) {
        self.tree.leaves.push(leaf);
    }

    pub(super) fn tree(&self) -> &EpochTree {
        &self.tree
    }

    pub(super) fn note_head(&mut self) {
        self.has_head = true;
    }

    pub(super) fn speak(&mut self, text: String) {
        self.spoken.push(Spoken { text, tree: None });
    }

    /// Takes the checkpoint of the epoch that ends.
    pub(super) fn end_epoch(&mut self, text: String) {
        let known = std::mem::take(&mut self.has_head);
        let tree = known.then(|| std::mem::take(&mut self.tree));
        self.tree.leaves.clear();
        self.spoken.push(Spoken { text, tree });
    }

    pub(super) fn take(&mut self) -> Vec<Spoken> {
        std::mem::take(&mut self.spoken)
    }
}
