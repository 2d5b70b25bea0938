//! What the openings of a log say of chains before them (SPEC sections 5 and 7).
//!
//! An opening names the head as the key store held it: so far the log had come, and the chains between that head's
//! chain and its own had no line that a head counted.

use std::collections::{BTreeMap, BTreeSet};

use crate::line::Position;
use crate::scan::summary::Record;
use crate::seal::head::Mark;
use crate::seal::statement::Body;

/// Numbers of chains, first and last.
pub(super) type Range = (u32, u32);

/// From where on a log is judged as a set, and what its openings say of chains before them (SPEC sections 5 and 7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Nothing is said of positions that are absent before this one.
    pub floor: Position,
    /// Is something absent before the first line, and nobody named the start?
    pub begins_late: bool,
    /// Up to where the chains that openings name were counted, in order.
    pub named: Vec<Position>,
    /// Chains that openings pass over: first and last ones, sorted, without overlaps.
    pub passed: Vec<Range>,
}

/// What follows from the openings whose prev is authentic as far as the key can tell.
pub(super) struct Openings {
    with_v: bool,
    /// Up to where the chains that openings name were counted.
    named: BTreeMap<u32, Position>,
    /// Chains that openings pass over: sorted, without overlaps.
    passed: Vec<Range>,
}

/// The head that an opening names.
pub(super) fn prev_of(opening: &Record) -> Option<Mark> {
    match opening.body {
        Body::Open { prev } => Some(prev.mark),
        Body::Checkpoint { .. } | Body::Notice { .. } | Body::Head { .. } => None,
    }
}

impl Openings {
    /// Takes the openings of a log.
    pub(super) fn new<'a>(openings: impl Iterator<Item = &'a Record>, with_v: bool) -> Self {
        let mut found = Self { with_v, named: BTreeMap::new(), passed: Vec::new() };
        for opening in openings {
            let Some(prev) = prev_of(opening).filter(|_| found.vouches(opening)) else { continue };
            let (at, chain) = (prev.at, opening.at.chain);
            found.named.entry(at.chain).and_modify(|old| *old = at.max(*old)).or_insert(at);
            // It names a head before its own chain, so neither number overflows.
            if at.chain + 1 < chain {
                found.passed.push((at.chain + 1, chain - 1));
            }
        }
        found.passed = merged(std::mem::take(&mut found.passed));
        found
    }

    /// Is the prev of an opening authentic, as far as the key can tell?
    pub(super) fn vouches(&self, opening: &Record) -> bool {
        prev_of(opening).is_some_and(|prev| prev.at.chain < opening.at.chain)
            && (opening.proof == Some(true) || !self.with_v)
    }

    /// Up to where the chains that openings name were counted, and those that they pass over.
    pub(super) fn into_parts(self) -> (Vec<Position>, Vec<Range>) {
        (self.named.into_values().collect(), self.passed)
    }

    /// Up to where a chain was counted that some opening names.
    pub(super) fn named(&self, chain: u32) -> Option<Position> {
        self.named.get(&chain).copied()
    }

    /// The chains that openings name; of a log's first head there is none.
    pub(super) fn named_chains(&self) -> impl Iterator<Item = u32> {
        self.named.keys().copied().filter(|chain| *chain > 0)
    }

    /// Does an opening say that no line of a chain was counted by a head?
    pub(super) fn passes_over(&self, chain: u32) -> bool {
        self.passed(chain, chain).next().is_some()
    }

    /// The chains of a range that an opening passes over, in order.
    pub(super) fn passed(&self, low: u32, high: u32) -> impl Iterator<Item = Range> {
        let from = self.passed.partition_point(|(_, last)| *last < low);
        let ranges = self.passed[from..].iter().take_while(move |(first, _)| *first <= high);
        let clipped = ranges.map(move |(first, last)| (low.max(*first), high.min(*last)));
        clipped.filter(|(first, last)| first <= last)
    }

    /// Is each chain of a range passed over, but for those of which lines were counted, whoever passes over them?
    pub(super) fn passes_over_all(&self, low: u32, high: u32, counted: &BTreeSet<u32>) -> bool {
        let mut next = low;
        for (first, last) in self.passed(low, high) {
            if first > next {
                return false;
            }
            next = last.saturating_add(1);
        }
        next > high && !counted.iter().any(|chain| (low..=high).contains(chain))
    }
}

fn merged(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut merged: Vec<Range> = Vec::new();
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
}
