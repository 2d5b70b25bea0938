//! What a verification found: a value that nothing changes. The verdict on it is the caller's.
//!
//! Here stands what needs trees, statements and ranges. What needs pins, exceptions or words stands with the caller.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::chain::{ChainFacts, Gap, after};
use super::kin::{Toward, row};
use super::known::Duplicate;
use super::openings::Extent;
use super::settled::{Settled, facts_of};
use super::shown::Standing;
use crate::hash::Digest;
use crate::line::{LogId, Position};
use crate::scan::summary::{
    Chain, Chunk, Counts, EpochId, Event, Kin, Kind, Log, LogNumber, Record, Said, Summary,
};
use crate::seal::epoch::Place;
use crate::seal::head::Mark;
use crate::seal::statement::{Body, Kind as Ending};

/// The torn lines, and what they claim.
#[derive(Default)]
pub(super) struct Torn {
    /// Numbers of their events. Where they stand would say less: a carrier's record may hold several lines.
    pub(super) events: BTreeSet<usize>,
    pub(super) claims: Vec<(LogNumber, Position)>,
}

impl Torn {
    pub(super) fn take<'a>(&mut self, events: impl IntoIterator<Item = (usize, &'a Event)>) {
        for (number, event) in events {
            self.events.insert(number);
            if let (Kind::Altered(_), Some(log), Some(at)) = (event.kind, event.log, event.first) {
                self.claims.push((log, at));
            }
        }
    }
}

/// The logs before and after a log, in rows, the nearest first.
pub struct Named {
    /// Those before, each rekeyed into the next.
    pub before: Vec<LogId>,
    /// Those after.
    pub after: Vec<LogId>,
    /// Where the log says which one follows, if it does.
    pub since: Option<Position>,
}

/// What a verification found.
pub struct Facts {
    pub(super) logs: BTreeMap<LogNumber, Log>,
    chunks: BTreeMap<(u32, u32), Chunk>,
    events: Vec<Event>,
    unlisted: BTreeMap<(Kind, Option<LogNumber>), u64>,
    kin: Kin,
    unsealed: u64,
    excepted: BTreeMap<u32, u64>,
    duplicates: Vec<Duplicate>,
    torn: BTreeSet<usize>,
    pub(super) outside: BTreeMap<EpochId, BTreeSet<(u16, Digest)>>,
    pub(super) rewritten: BTreeSet<EpochId>,
    shown: Vec<Standing>,
    extents: Vec<Extent>,
    settled: Option<Arc<Settled>>,
}

impl Facts {
    pub(super) fn new(
        summary: Summary,
        duplicates: Vec<Duplicate>,
        outside: BTreeMap<EpochId, BTreeSet<(u16, Digest)>>,
        rewritten: BTreeSet<EpochId>,
    ) -> Self {
        let Summary { logs, chunks, events, unlisted, kin, unsealed, excepted, details: _ } = summary;
        let (torn, shown, extents, settled) = Default::default();
        Self {
            logs,
            chunks,
            events,
            unlisted,
            kin,
            unsealed,
            excepted,
            duplicates,
            torn,
            outside,
            rewritten,
            shown,
            extents,
            settled,
        }
    }

    pub(super) fn with_shown(self, shown: Vec<Standing>) -> Self {
        Self { shown, ..self }
    }

    pub(super) fn with_settled(self, settled: Option<Arc<Settled>>) -> Self {
        Self { settled, ..self }
    }

    /// How the lines stand to each signed text that the caller brought along, in the order of those.
    #[must_use]
    pub fn shown(&self) -> &[Standing] {
        &self.shown
    }

    /// Takes the claims of torn lines back: they say nothing.
    pub(super) fn with_torn(mut self, torn: Torn) -> Self {
        for (log, at) in torn.claims {
            let chain = self.logs.get_mut(&log).and_then(|log| log.chains.get_mut(&at.chain));
            if let Some(epoch) = chain.and_then(|chain| Arc::make_mut(chain).epochs.get_mut(&at.epoch)) {
                epoch.unclaim(at.index);
            }
        }
        self.torn = torn.events;
        self
    }

    pub(super) fn with_extents(self, extents: Vec<Extent>) -> Self {
        Self { extents, ..self }
    }

    /// From where on a log is judged as a set, by what the caller expects.
    #[must_use]
    pub fn extent(&self, log: LogNumber) -> Option<&Extent> {
        self.extents.get(log as usize)
    }

    /// Bad lines, in groups, in the order of the input.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Which of the events are torn lines, by number.
    #[must_use]
    pub fn torn(&self) -> &BTreeSet<usize> {
        &self.torn
    }

    /// Bad lines beyond those listed, by class and log.
    #[must_use]
    pub fn unlisted(&self) -> &BTreeMap<(Kind, Option<LogNumber>), u64> {
        &self.unlisted
    }

    /// Lines without a seal, all in all.
    #[must_use]
    pub fn unsealed(&self) -> u64 {
        self.unsealed
    }

    /// How often each excepted line was seen.
    #[must_use]
    pub fn excepted(&self) -> &BTreeMap<u32, u64> {
        &self.excepted
    }

    /// Chunks, by file and number.
    #[must_use]
    pub fn chunks(&self) -> &BTreeMap<(u32, u32), Chunk> {
        &self.chunks
    }

    /// Positions that were seen more than once.
    #[must_use]
    pub fn duplicates(&self) -> &[Duplicate] {
        &self.duplicates
    }

    /// Lines of a log, counted.
    #[must_use]
    pub fn counts(&self, log: LogNumber) -> Counts {
        self.logs.get(&log).map(|log| log.counts).unwrap_or_default()
    }

    /// Notices of a log that hold, by position: the first thousand.
    pub fn notices(&self, log: LogNumber) -> impl Iterator<Item = (Position, &Said)> {
        let notices = self.logs.get(&log).into_iter().flat_map(|log| &log.notices);
        notices.map(|((at, _), said)| (*at, said))
    }

    /// The logs before a log and after it, as it and they name each other, whose key need not be at hand.
    #[must_use]
    pub fn kin(&self, log: LogNumber) -> Named {
        let mut first = self.notices(log).filter(|(at, _)| self.is_first(log, at.chain));
        let first = first.find_map(|(at, said)| said.notice.predecessor(at));
        let last = self.logs.get(&log).and_then(|log| log.successor.clone());
        let follows = last.as_ref().and_then(|(_, notice)| notice.successor());
        Named {
            before: row(&self.kin, first, Toward::Predecessors),
            after: row(&self.kin, follows, Toward::Successors),
            since: last.map(|(at, _)| at),
        }
    }

    /// Does the opening of a chain say that no head counted a line before it?
    #[must_use]
    pub fn is_first(&self, log: LogNumber, chain: u32) -> bool {
        let open = self.statement_at(log, Position::new(chain, 0, 0));
        open.is_some_and(|open| {
            let counts_nothing = matches!(open.body, Body::Open { prev } if prev.mark == Mark::setup());
            counts_nothing && open.proof != Some(false)
        })
    }

    /// Lines of a log that matched in their RFC 8785 form only, and where the first of them stands.
    #[must_use]
    pub fn reserialized(&self, log: LogNumber) -> (u64, Option<Place>) {
        let chains = self.logs.get(&log).into_iter().flat_map(|log| &log.chains);
        // A chain of which there are such lines is not settled.
        let left = chains.filter(|(number, chain)| self.settled(log, **number, chain).is_none());
        left.fold((0, None), |(count, first), (_, chain)| {
            let (more, place) = chain.reserialized();
            (count + more, first.into_iter().chain(place).min())
        })
    }

    /// Chains of a log of which a line was seen, in order.
    pub fn chains(&self, log: LogNumber, with_v: bool) -> impl Iterator<Item = (u32, Arc<ChainFacts>)> {
        let chains = self.logs.get(&log).into_iter().flat_map(|log| &log.chains);
        chains.filter_map(move |(number, chain)| {
            let known = self.settled.as_ref().filter(|settled| settled.has_v(log) == with_v);
            let known = facts_of(known.map(|settled| &**settled), log, *number, chain);
            let facts = known.cloned().or_else(|| chain.facts(*number, with_v).map(Arc::new));
            Some((*number, facts?))
        })
    }

    /// Absent positions of a chain from `start` up to its last line, or to `end` (not included) if that is later.
    #[must_use]
    pub fn gaps(&self, log: LogNumber, start: Position, end: Option<Position>) -> Vec<Gap> {
        let Some(chain) = self.chain(log, start.chain) else { return Vec::new() };
        // Nothing is absent before the last line of a chain that is settled.
        let last = self.settled(log, start.chain, chain).map(|facts| after(facts.last.0));
        if last.is_some_and(|last| end.is_none_or(|end| end <= last)) {
            return Vec::new();
        }
        chain.gaps(start.chain, start, end)
    }

    /// The newest statement before a position of its chain; `None` if it is not here for certain.
    #[must_use]
    pub fn statement_before(&self, log: LogNumber, at: Position) -> Option<&Record> {
        self.chain(log, at.chain)?.statement_before(at)
    }

    /// The statement at a position.
    #[must_use]
    pub fn statement_at(&self, log: LogNumber, at: Position) -> Option<&Record> {
        self.chain(log, at.chain)?.statement_at(at)
    }

    /// Was everything before a position written, as far as the last line of its chain tells?
    #[must_use]
    pub fn reaches(&self, log: LogNumber, end: Position) -> bool {
        let chain = self.chain(log, end.chain);
        let Some((last, _)) = chain.and_then(|chain| chain.last(end.chain)) else { return false };
        let next_epoch = end.index == 0 && u16::from(end.epoch) == u16::from(last.epoch) + 1;
        after(last) >= end || (next_epoch && self.continues_after(log, last))
    }

    /// Is the line at a position a checkpoint that another epoch follows?
    pub(super) fn continues_after(&self, log: LogNumber, at: Position) -> bool {
        let statement = self.statement_at(log, at);
        statement.is_some_and(|s| matches!(s.body, Body::Checkpoint { kind: Ending::Continues, .. }))
    }

    /// The last line of each log in a file.
    pub(super) fn last_lines(&self, file: u32) -> BTreeMap<LogNumber, Position> {
        let chunks = self.chunks.range((file, 0)..=(file, u32::MAX));
        chunks.flat_map(|(_, chunk)| chunk.edges.iter().map(|(log, edge)| (*log, edge.last))).collect()
    }

    fn chain(&self, log: LogNumber, chain: u32) -> Option<&Arc<Chain>> {
        self.logs.get(&log)?.chains.get(&chain)
    }

    /// What was known of a chain before, if it is the same.
    fn settled(&self, log: LogNumber, number: u32, chain: &Arc<Chain>) -> Option<&Arc<ChainFacts>> {
        facts_of(self.settled.as_deref(), log, number, chain)
    }
}
