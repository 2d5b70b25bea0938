//! From where to where a log is judged as a set: by its openings, by a head, by pins, by witnesses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::chain::{ChainFacts, after};
use super::facts::Facts;
use super::openings::{Extent, Openings};
use crate::hash::Digest;
use crate::line::Position;
use crate::scan::summary::LogNumber;
use crate::scan::{Keys, LogKeys};

/// What the caller knows of the ends of files and logs.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// Files whose last line ends in LF.
    pub(super) whole: BTreeSet<u32>,
    /// Positions of statements that were seen before.
    pins: Vec<(LogNumber, Position)>,
    /// Up to where receipts of witnesses say that lines were written.
    shown: Vec<(LogNumber, Position)>,
    /// The first chain that must be there, where the caller names one.
    start: Option<u32>,
    /// The last chain that must be there, where the caller names one.
    last: Option<u32>,
    /// Up to where heads count that hold, by log.
    counted: BTreeMap<LogNumber, Position>,
}

impl Expected {
    /// Takes the files whose last line ends in LF.
    #[must_use]
    pub fn new(whole: BTreeSet<u32>) -> Self {
        Self { whole, ..Self::default() }
    }

    /// Takes up to where heads count whose mac holds, and the positions of statements that were seen before.
    #[must_use]
    pub fn with_anchors(
        self,
        counted: BTreeMap<LogNumber, Position>,
        pins: Vec<(LogNumber, Position)>,
    ) -> Self {
        Self { pins, counted, ..self }
    }

    /// Takes the first and the last chain that must be there, as far as the caller names them.
    #[must_use]
    pub fn between(self, start: Option<u32>, last: Option<u32>) -> Self {
        Self { start, last, ..self }
    }

    /// Takes up to where receipts of witnesses say that lines were written.
    #[must_use]
    pub fn with_shown(self, shown: Vec<(LogNumber, Position)>) -> Self {
        Self { shown, ..self }
    }
}

/// The chains of a log, and up to where they were counted.
pub(super) struct Ends<'a> {
    facts: &'a Facts,
    pub(super) keys: &'a LogKeys,
    number: LogNumber,
    pub(super) chains: BTreeMap<u32, Arc<ChainFacts>>,
    pub(super) openings: Openings,
    /// The position up to which head or pins count lines, as far as they are judged.
    demanded: Option<Position>,
    /// The position up to which an authentic head counts lines.
    counted: Option<Position>,
    /// Nothing is said of what is absent before this position.
    floor: Position,
    /// Is something absent before the first line, and nobody named the start?
    begins_late: bool,
    /// The newest chain that is judged.
    newest_judged: u32,
}

impl<'a> Ends<'a> {
    /// Reads off the ends of each log.
    pub(super) fn of_all(facts: &'a Facts, keys: &'a Keys, expected: &Expected) -> Vec<Self> {
        (0..).zip(keys.logs()).map(|(number, keys)| Self::new(facts, keys, number, expected)).collect()
    }

    fn new(facts: &'a Facts, keys: &'a LogKeys, number: LogNumber, expected: &Expected) -> Self {
        let with_v = keys.secret.is_some();
        let chains: BTreeMap<u32, Arc<ChainFacts>> = facts.chains(number, with_v).collect();
        let counted = expected.counted.get(&number).copied();
        let openings = Openings::new(chains.values().filter_map(|chain| chain.open.as_ref()), with_v);
        let floor = Position::new(expected.start.unwrap_or(0), 0, 0);
        let mut ends = Self {
            facts,
            keys,
            number,
            chains,
            openings,
            demanded: None,
            counted,
            floor,
            begins_late: false,
            newest_judged: 0,
        };
        let marks = ends.marks(expected);
        if let Some((&chain, known)) = ends.chains.first_key_value() {
            let first = known.first.0;
            ends.begins_late = expected.start.is_none() && ends.begins_late(chain, first, &marks);
            ends.floor = match expected.start {
                Some(_) => first.min(floor),
                None if ends.begins_late => first,
                // A bad line may stand before the first one that is here.
                None => Position::new(chain, 0, 0),
            };
        }
        let ceiling = expected.last.unwrap_or(u32::MAX);
        let judged =
            |mark: &Position| (ends.chains.is_empty() || *mark > ends.floor) && mark.chain <= ceiling;
        ends.demanded = marks.iter().copied().filter(judged).max();
        let judged = ends.floor.chain..=ceiling;
        ends.newest_judged = ends.chains.keys().copied().rfind(|chain| judged.contains(chain)).unwrap_or(0);
        ends
    }

    /// From where on it is judged as a set.
    pub(super) fn extent(self) -> Extent {
        let (named, passed) = self.openings.into_parts();
        Extent { floor: self.floor, begins_late: self.begins_late, named, passed }
    }

    /// Up to where pins and an authentic head count lines.
    fn marks(&self, expected: &Expected) -> Vec<Position> {
        let (first, last) = self.keys.secret.as_ref().map_or((1, u32::MAX), |key| (key.first(), key.last()));
        let pins = expected.pins.iter().filter(|(log, _)| *log == self.number).map(|(_, at)| *at);
        let pins = pins.filter(|at| (first..=last).contains(&at.chain)).map(after);
        let shown = expected.shown.iter().filter(|(log, _)| *log == self.number).map(|(_, at)| *at);
        let shown = shown.filter(|at| (first..=last).contains(&at.chain));
        pins.chain(shown).chain(self.counted).collect()
    }

    /// Is something absent before the first line that is here, as far as nothing says that it never was?
    fn begins_late(&self, chain: u32, first: Position, marks: &[Position]) -> bool {
        let secret = self.keys.secret.as_ref();
        let covered_from = secret.map_or(1, crate::seal::keys::VerificationKey::first);
        if chain > covered_from {
            // An opening may say by right that nothing was counted before it.
            let counted = self.openings.named_chains().chain(marks.iter().map(|mark| mark.chain)).collect();
            if secret.is_none() || !self.openings.passes_over_all(covered_from, chain - 1, &counted) {
                return true;
            }
        }
        let gaps = self.facts.gaps(self.number, Position::new(chain, 0, 0), None);
        gaps.iter().any(|gap| gap.from < first)
    }

    /// The newest chain of which a line is here; 0 if there is none.
    pub(super) fn newest(&self) -> u32 {
        self.chains.last_key_value().map_or(0, |(chain, _)| *chain)
    }

    /// Was everything before a position of a chain that is here written, as far as the chain's last line tells?
    pub(super) fn reaches(&self, end: Position) -> bool {
        self.facts.reaches(self.number, end)
    }

    /// Is something absent after a line that head or pins count?
    pub(super) fn is_cut_after(&self, at: Position) -> bool {
        let newest = self.newest_judged;
        self.demanded.is_some_and(|end| {
            at < end && (end.chain > newest || (end.chain == newest && !self.reaches(end)))
        })
    }

    /// Is this the last line of a chain whose end is unclean, so that one broken line may stand after it?
    ///
    /// Where nothing follows in its file (`at_end`), more is asked; else the opening that follows vouches for the end.
    pub(super) fn may_be_torn(&self, at: Position, at_end: bool) -> bool {
        let Some(chain) = self.chains.get(&at.chain) else { return false };
        if chain.ending.is_some() || chain.last.0 != at {
            return false;
        }
        if !at_end {
            return true;
        }
        if at.chain == self.newest() {
            return !self.is_cut_after(at);
        }
        // The next chain went to another file.
        self.openings.passes_over(at.chain)
            || self.openings.named(at.chain).is_some_and(|end| self.reaches(end))
            || self.counted.is_some_and(|end| end.chain == at.chain && self.reaches(end))
    }

    /// Could an opening that is written now name this head, as far as the lines that are here tell?
    pub(super) fn may_be_named(&self, at: Position, hash: &Digest) -> bool {
        let first = self.chains.first_key_value().map(|(_, chain)| chain.first.0);
        if at.chain == 0 || first.is_none_or(|first| at < first) {
            return true;
        }
        let other = self.facts.statement_before(self.number, at).is_some_and(|found| found.hash != *hash);
        self.reaches(at) && !other
    }

    /// The position that comes after a line, as far as the lines here tell.
    pub(super) fn next_position(&self, at: Position) -> Position {
        if self.facts.continues_after(self.number, at) {
            return Position::new(at.chain, at.epoch.saturating_add(1), 0);
        }
        // No facts: the lines of the chain are statements that cannot be proved.
        if self.chains.get(&at.chain).is_none_or(|chain| chain.last.0 == at) {
            let next = self.chains.range(at.chain.saturating_add(1)..).next();
            return Position::new(next.map_or(at.chain, |(chain, _)| *chain), 0, 0);
        }
        after(at)
    }
}
