//! Up to where the lines of a log were counted: by its openings, by a head, by pins.

use std::collections::{BTreeMap, BTreeSet};

use super::chain::ChainFacts;
use super::facts::Facts;
use super::openings::Openings;
use crate::hash::Digest;
use crate::line::Position;
use crate::scan::summary::LogNumber;
use crate::scan::{Keys, LogKeys};
use crate::seal::head::Head;
use crate::seal::statement::{Body, Kind as Ending};

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
    /// Takes the files whose last line ends in LF, and the positions of statements that were seen before.
    #[must_use]
    pub fn new(whole: BTreeSet<u32>, pins: Vec<(LogNumber, Position)>) -> Self {
        Self { whole, pins, ..Self::default() }
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

    /// Takes a log's head; it counts nothing unless its mac holds, which only a verification key can tell.
    pub fn count(&mut self, keys: &Keys, log: LogNumber, head: &Head) {
        let key = keys.logs().get(log as usize).and_then(|log| log.secret.as_ref());
        if head.mark.at.chain > 0 && key.and_then(|key| head.holds(key)) == Some(true) {
            self.counted.insert(log, head.mark.at);
        }
    }
}

/// The chains of a log, and up to where they were counted.
pub(super) struct Ends<'a> {
    facts: &'a Facts,
    pub(super) keys: &'a LogKeys,
    number: LogNumber,
    pub(super) chains: BTreeMap<u32, ChainFacts>,
    pub(super) openings: Openings,
    /// The position up to which head or pins count lines, as far as they are judged.
    demanded: Option<Position>,
    /// The position up to which an authentic head counts lines.
    counted: Option<Position>,
    /// The newest chain that is judged.
    newest_judged: u32,
}

/// The position after a line, in its epoch; index 65,535 is the last that a seal can name.
pub(super) fn after(at: Position) -> Position {
    Position::new(at.chain, at.epoch, at.index.saturating_add(1))
}

impl<'a> Ends<'a> {
    /// Reads off the ends of each log.
    pub(super) fn of_all(facts: &'a Facts, keys: &'a Keys, expected: &Expected) -> Vec<Self> {
        (0..).zip(keys.logs()).map(|(number, keys)| Self::new(facts, keys, number, expected)).collect()
    }

    fn new(facts: &'a Facts, keys: &'a LogKeys, number: LogNumber, expected: &Expected) -> Self {
        let with_v = keys.secret.is_some();
        let chains: BTreeMap<u32, ChainFacts> = facts.chains(number, with_v).collect();
        let counted = expected.counted.get(&number).copied();
        let openings = Openings::new(chains.values().filter_map(|chain| chain.open.as_ref()), with_v);
        let mut ends =
            Self { facts, keys, number, chains, openings, demanded: None, counted, newest_judged: 0 };
        let marks = ends.marks(expected);
        let floor = ends.floor(&marks, expected.start);
        let ceiling = expected.last.unwrap_or(u32::MAX);
        let judged = |mark: &Position| {
            (ends.chains.is_empty() || floor.is_none_or(|floor| *mark > floor)) && mark.chain <= ceiling
        };
        let from = floor.map_or(0, |floor| floor.chain);
        ends.demanded = marks.iter().copied().filter(judged).max();
        ends.newest_judged = ends.chains.keys().copied().rfind(|c| (from..=ceiling).contains(c)).unwrap_or(0);
        ends
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

    /// Before this position, nothing is said of what is absent.
    fn floor(&self, marks: &[Position], start: Option<u32>) -> Option<Position> {
        let from_start = |chain| Position::new(chain, 0, 0);
        let Some((&chain, facts)) = self.chains.first_key_value() else { return start.map(from_start) };
        let first = facts.first.0;
        Some(match start {
            Some(start) => first.min(from_start(start)),
            None if self.begins_late(chain, first, marks) => first,
            // A bad line may stand before the first one that is here.
            None => from_start(chain),
        })
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
        let Some(chain) = self.chains.get(&end.chain) else { return false };
        let last = chain.last.0;
        let next_epoch = end.index == 0 && u16::from(end.epoch) == u16::from(last.epoch) + 1;
        after(last) >= end || (next_epoch && self.continues_after(last))
    }

    /// Is the line at a position a checkpoint that another epoch follows?
    fn continues_after(&self, at: Position) -> bool {
        let statement = self.facts.statement_at(self.number, at);
        statement.is_some_and(|s| matches!(s.body, Body::Checkpoint { kind: Ending::Continues, .. }))
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
        if self.continues_after(at) {
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
