//! Which lines hold: what a verification found, for a scan that takes their texts.

use std::collections::{BTreeMap, BTreeSet};

use crate::hash::Digest;
use crate::scan::summary::EpochId;

/// Which lines of an epoch hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    /// Only those below this index.
    pub(crate) below: u32,
    /// Not these: different lines claim the position, and each of them is authentic.
    pub(crate) conflicts: BTreeSet<u16>,
    /// Not these leaves, which R does not cover.
    pub(crate) outside: BTreeSet<(u16, Digest)>,
}

impl Held {
    pub(super) fn holds(&self, index: u16, leaf: &Digest) -> bool {
        u32::from(index) < self.below
            && !self.conflicts.contains(&index)
            && !self.outside.contains(&(index, *leaf))
    }
}

/// Which lines hold, as a verification found: what is named here and authentic.
#[derive(Debug, Clone, Default)]
pub struct Holding {
    pub(crate) epochs: BTreeMap<EpochId, Held>,
    /// Epochs whose lines are looked at in their RFC 8785 form (P only).
    pub(crate) rewritten: BTreeSet<EpochId>,
}
