//! What a merged summary says about each epoch and chain; the verdict on it is the caller's.
//!
//! Here stands what needs trees, statements and ranges. What needs heads, pins, exceptions or words
//! stands with the caller.

use std::collections::BTreeSet;

use crate::epoch::{Place, Run};
use crate::hash::Digest;
use crate::line::Position;
use crate::scan::{Keys, LogKeys, judge_pending, record};
use crate::statement::{Body, CertCache, Kind as Ending, Statement};
use crate::summary::{
    Chain, Epoch, EpochId, Event, Kind, Log, LogNumber, Occurrence, Pending, Record, Roots, Seen, Summary,
    Why,
};
use crate::tree;

/// Absent positions of one chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// First absent position.
    pub from: Position,
    /// Last absent position; `None` if nobody knows how many lines the epoch had.
    pub to: Option<Position>,
    /// Where the line before the gap stands.
    pub before: Option<Place>,
    /// Where the line behind it stands.
    pub after: Option<Place>,
}

/// Statements of a chain that contradict each other or the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clash {
    /// A checkpoint's prev is not the statement before it.
    Prev,
    /// A line stands behind `closed` or `ended`.
    AfterClosed,
    /// A line stands at or behind its epoch's checkpoint.
    AfterCheckpoint,
    /// Certs of one chain, or of one generation, disagree.
    Cert,
    /// Two different statements at one position.
    Fork,
}

/// What is known of one chain.
#[derive(Debug, Clone)]
pub struct ChainFacts {
    /// First position present and where.
    pub first: (Position, Place),
    /// Last position present and where.
    pub last: (Position, Place),
    /// Different positions present.
    pub lines: u64,
    /// Checkpointed epochs present.
    pub checkpoints: u64,
    /// Its `open`.
    pub open: Option<Record>,
    /// `closed` or `ended`, and where.
    pub ending: Option<(Ending, Record)>,
    /// Claimed times, first and last.
    pub times: Option<(u64, u64)>,
    /// Epochs whose R does not match their lines, with n.
    pub altered: Vec<(Record, u16)>,
    /// Lines in epochs that no R covers, by epoch.
    pub uncovered: Vec<(u8, u64, Place)>,
    /// Contradictions.
    pub clashes: Vec<(Clash, Position, Place)>,
}

/// A position that was seen more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Double {
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

impl Summary {
    /// Judges what had to wait for the whole input: late statements, then the tree of each epoch.
    pub fn settle(&mut self, keys: &Keys) {
        for (number, keys) in (0..).zip(keys.logs()) {
            let Some(log) = self.logs.get_mut(&number) else { continue };
            let mut waiting = std::mem::take(&mut log.pending);
            waiting.sort_by_key(|p| p.at);
            let mut cache = CertCache::default();
            // Chains come in order, so each generation is learned before the next one is asked for.
            for pending in waiting {
                let verdict = judge_pending(keys, &pending, &mut cache);
                let statement = Statement::parse(&pending.text);
                let (Some(statement), with_v) = (statement, keys.secret.is_some()) else { continue };
                let at = pending.at;
                match verdict {
                    Some(Ok(roots)) => {
                        log.control(record(keys, &statement, pending.place, true), roots, &pending)
                    }
                    Some(Err(why)) => {
                        let kind = Kind::BadStatement(if with_v { why } else { Why::NoOpen });
                        if with_v || (at.epoch, at.index) == (0, 0) {
                            self.events.push(event(kind, number, &pending));
                        }
                        log.epoch(at.chain, at.epoch).lines.add(at.index, pending.leaves[1], pending.place);
                    }
                    None => {
                        self.events.push(event(Kind::OlderOpenLacking, number, &pending));
                        if with_v {
                            let roots = Roots { epoch: statement.epoch_root(), next: statement.next_root() };
                            log.control(record(keys, &statement, pending.place, false), roots, &pending);
                        } else {
                            log.epoch(at.chain, at.epoch).claim(at.index);
                        }
                    }
                }
            }
            for epoch in log.chains.values_mut().flat_map(|c| c.epochs.values_mut()) {
                epoch.settle();
            }
            self.events.extend(log.disagreeing_roots(number, keys));
        }
    }

    /// Epochs to scan once more in the RFC 8785 form of their lines: with P only, where R does not match.
    #[must_use]
    pub fn rewritten(&self, keys: &Keys) -> BTreeSet<EpochId> {
        let with_p = |id: &EpochId| keys.logs().get(id.0 as usize).is_some_and(|log| log.secret.is_none());
        self.epochs()
            .filter(|(id, e)| with_p(id) && e.json && !e.checkpoints.is_empty() && e.covered != Some(true))
            .map(|(id, _)| id)
            .collect()
    }

    /// Takes over those epochs of a second scan whose R matches in it.
    pub fn adopt(&mut self, other: Summary) {
        let Summary { logs, events, .. } = other;
        let mut adopted = BTreeSet::new();
        for (number, log) in logs {
            let mine = self.log(number);
            for (c, chain) in log.chains {
                for (e, mut epoch) in chain.epochs {
                    epoch.settle();
                    if epoch.covered == Some(true) {
                        epoch.opens.truncate(1);
                        epoch.checkpoints.truncate(1);
                        *mine.epoch(c, e) = epoch;
                        adopted.insert((number, c, e));
                    }
                }
            }
        }
        let id = |event: &Event| event.log.zip(event.first).map(|(log, at)| (log, at.chain, at.epoch));
        let ours = |event: &Event| id(event).is_some_and(|id| adopted.contains(&id));
        self.events.retain(|event| !(ours(event) && matches!(event.kind, Kind::Altered(_))));
        for event in events.into_iter().filter(ours) {
            if let (Kind::Reserialized, Some(log)) = (event.kind, event.log) {
                self.log(log).counts.reserialized += event.count;
            }
            self.events.push(event);
        }
    }

    /// Epochs in which some position was seen twice and that must be looked at line by line, with their lines.
    #[must_use]
    pub fn doubtful(&self) -> Vec<(EpochId, u64)> {
        let doubtful = |e: &Epoch| e.lines.crowded || e.lines.again().any(|run| same_run(e, run).is_none());
        self.epochs().filter(|(_, e)| doubtful(e)).map(|(id, e)| (id, e.lines.count())).collect()
    }

    /// Positions that were seen more than once; a doubtful epoch's from its details.
    ///
    /// With P only, the lines that R covers are picked out here, and the others become events.
    pub fn doubles(&mut self, keys: &Keys) -> Vec<Double> {
        let mut doubles = Vec::new();
        for (id, epoch) in self.epochs() {
            if !self.details.contains_key(&id) {
                for run in epoch.lines.again() {
                    if let Some(base) = same_run(epoch, run) {
                        doubles.extend(double_run(id, base, run));
                    }
                }
            }
            for records in [&epoch.opens, &epoch.checkpoints] {
                doubles.extend(double_records(id, records));
            }
        }
        for (id, seen) in std::mem::take(&mut self.details) {
            let with_v = keys.logs().get(id.0 as usize).is_some_and(|log| log.secret.is_some());
            let losers = if with_v { BTreeSet::new() } else { self.pick(id, &seen) };
            doubles.extend(double_lines(id, &seen, &losers, with_v));
        }
        doubles
    }

    /// With P only: finds the lines of an epoch that R covers, and gives those that it does not.
    fn pick(
        &mut self,
        id: EpochId,
        seen: &std::collections::BTreeMap<Occurrence, Seen>,
    ) -> BTreeSet<(u16, Digest)> {
        let mut candidates: Vec<Vec<Digest>> = Vec::new();
        for occurrence in seen.keys() {
            let index = usize::from(occurrence.index);
            if candidates.len() <= index {
                candidates.resize(index + 1, Vec::new());
            }
            if !candidates[index].contains(&occurrence.leaf) {
                candidates[index].push(occurrence.leaf);
            }
        }
        let epoch = self.log(id.0).epoch(id.1, id.2);
        let Some((n, root)) = epoch.checkpoint().and_then(|r| r.tree()) else { return BTreeSet::new() };
        candidates.truncate(usize::from(n));
        if candidates.len() < usize::from(n) {
            return BTreeSet::new();
        }
        // Few doubles: try each choice. A crowd of them is not worth the time; the epoch is altered then.
        let choices =
            candidates.iter().try_fold(1usize, |all, c| all.checked_mul(c.len()).filter(|m| *m <= 64));
        let mut right = None;
        for choice in 0..choices.unwrap_or(0) {
            let mut rest = choice;
            let leaves: Vec<Digest> = candidates
                .iter()
                .map(|c| {
                    let pick = rest % c.len();
                    rest /= c.len();
                    c[pick]
                })
                .collect();
            if tree::root(&leaves) == root {
                right = Some(leaves);
                break;
            }
        }
        epoch.covered = Some(right.is_some());
        let Some(right) = right else { return BTreeSet::new() };
        let mut losers = BTreeSet::new();
        for (occurrence, seen) in seen {
            if right.get(usize::from(occurrence.index)) == Some(&occurrence.leaf) {
                continue;
            }
            losers.insert((occurrence.index, occurrence.leaf));
            let at = Some(Position::new(id.1, id.2, occurrence.index));
            let kind = Kind::Altered(Why::Tag);
            let (place, count) = (seen.first, seen.count);
            let event =
                Event { kind, log: Some(id.0), place, count, first: at, last: at, before: None, after: None };
            self.events.push(event);
        }
        losers
    }

    fn epochs(&self) -> impl Iterator<Item = (EpochId, &Epoch)> {
        self.logs.iter().flat_map(|(number, log)| {
            log.chains.iter().flat_map(move |(c, chain)| {
                chain.epochs.iter().map(move |(e, epoch)| ((*number, *c, *e), epoch))
            })
        })
    }
}

fn event(kind: Kind, log: LogNumber, pending: &Pending) -> Event {
    let at = Some(pending.at);
    Event {
        kind,
        log: Some(log),
        place: pending.place,
        count: 1,
        first: at,
        last: at,
        before: None,
        after: None,
    }
}

impl Record {
    /// n and R of a checkpoint.
    fn tree(&self) -> Option<(u16, Digest)> {
        match self.body {
            Body::Checkpoint { n, root, .. } => Some((n, root)),
            Body::Open { .. } => None,
        }
    }
}

impl Log {
    /// Chains of one generation whose certs name another next chain root than the first one's.
    fn disagreeing_roots(&self, number: LogNumber, keys: &LogKeys) -> Vec<Event> {
        let mut events = Vec::new();
        let mut known: Option<(u32, Digest)> = None;
        for (c, chain) in &self.chains {
            let generation = (c - 1) / 256;
            for roots in &chain.roots {
                let first = *known.get_or_insert((generation, roots.next));
                if first.0 != generation {
                    known = Some((generation, roots.next));
                }
                let known = keys.root(generation + 1).is_none_or(|root| root == roots.next);
                if (first.0 == generation && first.1 != roots.next || !known)
                    && let Some(record) =
                        chain.epochs.values().flat_map(|e| e.opens.iter().chain(&e.checkpoints)).next()
                {
                    let (at, kind) = (Some(record.at), Kind::BadStatement(Why::Path));
                    let place = record.place;
                    events.push(Event {
                        kind,
                        log: Some(number),
                        place,
                        count: 1,
                        first: at,
                        last: at,
                        before: None,
                        after: None,
                    });
                }
            }
        }
        events
    }

    fn control(&mut self, record: Record, roots: Roots, pending: &Pending) {
        let at = record.at;
        self.chains.entry(at.chain).or_default().note_roots(roots);
        let epoch = self.epoch(at.chain, at.epoch);
        if let Body::Open { .. } = record.body {
            epoch.opens.push(record);
            epoch.lines.add(at.index, pending.leaves[0], pending.place);
        } else {
            epoch.checkpoints.push(record);
        }
    }
}

impl Epoch {
    /// Sorts what came in any order, then holds R against the lines.
    fn settle(&mut self) {
        self.lines.flush();
        self.opens.sort_by_key(|r| r.place);
        self.checkpoints.sort_by_key(|r| r.place);
        self.covered = self.checkpoint().and_then(Record::tree).and_then(|(n, root)| {
            let right = if n == 0 { tree::empty_root() } else { self.lines.below(u32::from(n))?.root()? };
            Some(right == root)
        });
    }

    /// The checkpoint, the first that was read.
    fn checkpoint(&self) -> Option<&Record> {
        self.checkpoints.first()
    }

    fn is_present(&self) -> bool {
        !self.lines.is_empty() || !self.checkpoints.is_empty()
    }

    /// What stands where: start, end, first and last place; sorted.
    fn spans(&self) -> Vec<(u32, u32, Place, Place)> {
        let pieces = self.lines.runs().flat_map(|r| &r.pieces).map(|p| (p.start, p.end, p.first, p.last));
        let records = self.checkpoints.iter().map(|r| {
            let index = u32::from(r.at.index);
            (index, index + 1, r.place, r.place)
        });
        let mut spans: Vec<_> = pieces.chain(records).collect();
        spans.sort_unstable_by_key(|s| (s.0, s.1));
        spans
    }
}

impl Chain {
    /// Epochs of which a line was seen.
    fn present(&self) -> impl DoubleEndedIterator<Item = (u8, &Epoch)> {
        self.epochs.iter().filter(|(_, e)| e.is_present()).map(|(number, e)| (*number, e))
    }

    /// The newest statement before a position.
    #[must_use]
    pub fn statement_before(&self, at: Position) -> Option<&Record> {
        let records =
            self.epochs.range(..=at.epoch).rev().flat_map(|(_, e)| e.checkpoints.iter().chain(&e.opens));
        records.filter(|r| r.at < at).max_by_key(|r| r.at)
    }

    /// The statement at a position.
    #[must_use]
    pub fn statement_at(&self, at: Position) -> Option<&Record> {
        let epoch = self.epochs.get(&at.epoch)?;
        epoch.checkpoints.iter().chain(&epoch.opens).find(|r| r.at == at)
    }

    /// Absent positions from `start` up to the last line present, or to `end` (not included) if that is later.
    #[must_use]
    pub fn gaps(&self, number: u32, start: Position, end: Option<Position>) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let last_epoch = self.present().next_back().map(|(e, _)| e);
        let until = last_epoch.into_iter().chain(end.map(|p| p.epoch)).max();
        let Some(until) = until else { return gaps };
        let mut before = None;
        for e in start.epoch..=until {
            let nothing = Epoch::default();
            let epoch = self.epochs.get(&e).unwrap_or(&nothing);
            let at = |index: u32| Position::new(number, e, u16::try_from(index).unwrap_or(u16::MAX));
            let mut next = if e == start.epoch { u32::from(start.index) } else { 0 };
            let spans = epoch.spans();
            let claimed = |index: u32| {
                epoch.claimed.iter().filter(|(s, e)| (*s..*e).contains(&index)).map(|(_, e)| *e).max()
            };
            let mut fill = |from: u32, to: u32, before: Option<Place>, after: Option<Place>| {
                let mut from = from;
                while from < to {
                    if let Some(past) = claimed(from) {
                        from = past;
                        continue;
                    }
                    let stop = epoch
                        .claimed
                        .iter()
                        .map(|(s, _)| *s)
                        .filter(|s| *s > from)
                        .min()
                        .unwrap_or(to)
                        .min(to);
                    gaps.push(Gap { from: at(from), to: Some(at(stop - 1)), before, after });
                    from = stop;
                }
            };
            for (s, t, first, last) in spans {
                fill(next, s, before, Some(first));
                if t > next {
                    next = t;
                    before = Some(last);
                }
            }
            if let Some(end) = end.filter(|p| p.epoch == e) {
                fill(next, u32::from(end.index), before, None);
                next = next.max(u32::from(end.index));
            }
            let open_ended = e < until && epoch.checkpoints.is_empty();
            // A bad line behind the others may have been the checkpoint: it is told as bad already.
            if open_ended && !epoch.claimed.iter().any(|(_, past)| *past > next) {
                gaps.push(Gap { from: at(next), to: None, before, after: None });
            }
        }
        gaps
    }

    /// What is known of the chain; `None` if no line of it was seen.
    #[must_use]
    pub fn facts(&self, number: u32, with_v: bool) -> Option<ChainFacts> {
        let (first_epoch, first) = self.present().next()?;
        let (last_epoch, last) = self.present().next_back()?;
        let spans = first.spans();
        let (start, .., place) = spans.first().map(|s| (s.0, s.1, s.2, s.2))?;
        let at = |e: u8, index: u32| Position::new(number, e, u16::try_from(index).unwrap_or(u16::MAX));
        let first = (at(first_epoch, start), place);
        let last = last.spans().iter().max_by_key(|s| s.1).map(|s| (at(last_epoch, s.1 - 1), s.3))?;
        let mut facts = ChainFacts {
            first,
            last,
            lines: 0,
            checkpoints: 0,
            open: None,
            ending: None,
            times: None,
            altered: Vec::new(),
            uncovered: Vec::new(),
            clashes: Vec::new(),
        };
        let mut previous = None;
        for (e, epoch) in self.present() {
            facts.add(e, epoch, previous, with_v, number);
            // Without this one's checkpoint, nobody knows what the next one should name.
            previous = epoch.checkpoint().copied().map(|record| (e, record));
        }
        if self.roots.len() > 1 {
            facts.clashes.push((Clash::Cert, facts.first.0, facts.first.1));
        }
        Some(facts)
    }
}

impl ChainFacts {
    fn add(&mut self, e: u8, epoch: &Epoch, previous: Option<(u8, Record)>, with_v: bool, number: u32) {
        let position = |index: u32| Position::new(number, e, u16::try_from(index).unwrap_or(u16::MAX));
        self.lines += epoch.lines.count() + u64::from(!epoch.checkpoints.is_empty());
        self.open = self.open.or(epoch.opens.first().copied());
        for record in epoch.opens.iter().chain(&epoch.checkpoints) {
            let (low, high) = self.times.unwrap_or((record.time, record.time));
            self.times = Some((low.min(record.time), high.max(record.time)));
        }
        if self.ending.is_some()
            && let Some((index, _, place, _)) = epoch.spans().first()
        {
            self.clashes.push((Clash::AfterClosed, position(*index), *place));
        }
        let Some(checkpoint) = epoch.checkpoint() else {
            self.leave_uncovered(e, epoch);
            return;
        };
        self.checkpoints += 1;
        let Body::Checkpoint { n, prev, kind, .. } = checkpoint.body else { return };
        let before =
            if e == 0 { self.open } else { previous.filter(|(b, _)| b + 1 == e).map(|(_, record)| record) };
        if before.is_some_and(|b| b.hash != prev) {
            self.clashes.push((Clash::Prev, checkpoint.at, checkpoint.place));
        }
        if kind != Ending::Continues && self.ending.is_none() {
            self.ending = Some((kind, *checkpoint));
        }
        let pieces = epoch.lines.runs().flat_map(|r| &r.pieces);
        for piece in pieces.filter(|p| p.end > u32::from(n)) {
            let clash = match kind {
                _ if piece.start <= u32::from(n) => Clash::Fork,
                Ending::Continues => Clash::AfterCheckpoint,
                Ending::Closed | Ending::Ended => Clash::AfterClosed,
            };
            self.clashes.push((clash, position(piece.start.max(u32::from(n))), piece.last));
        }
        match epoch.covered {
            Some(true) => {}
            Some(false) => self.altered.push((*checkpoint, n)),
            None if with_v => {}
            None => self.leave_uncovered(e, epoch),
        }
    }

    fn leave_uncovered(&mut self, e: u8, epoch: &Epoch) {
        if let Some(run) = epoch.lines.runs().next()
            && let Some(piece) = run.pieces.first()
        {
            self.uncovered.push((e, epoch.lines.count(), piece.first));
        }
    }
}

/// The run of the first layer that is the same as one that was seen again.
fn same_run<'a>(epoch: &'a Epoch, again: &Run) -> Option<&'a Run> {
    epoch.lines.runs().find(|run| run.range() == again.range() && run.tree == again.tree)
}

fn double_run(id: EpochId, base: &Run, again: &Run) -> Vec<Double> {
    let doubled = |piece: &crate::epoch::Piece| {
        let overlap = |b: &&crate::epoch::Piece| b.start < piece.end && piece.start < b.end;
        let one_file = base.pieces.iter().filter(overlap).any(|b| b.first.file == piece.first.file);
        let at = |index: u32| Position::new(id.1, id.2, u16::try_from(index).unwrap_or(u16::MAX));
        Double {
            log: id.0,
            from: at(piece.start),
            to: at(piece.end - 1),
            count: u64::from(piece.end - piece.start),
            one_file,
            fork: false,
            proven: false,
            place: piece.first,
        }
    };
    again.pieces.iter().map(doubled).collect()
}

fn double_records(id: EpochId, records: &[Record]) -> Vec<Double> {
    let Some((first, others)) = records.split_first() else { return Vec::new() };
    // An open is a line of its tree as well, where its doubles are told; forks are told there too.
    let twice = |r: &&Record| !matches!(r.body, Body::Open { .. });
    let double = |record: &Record| Double {
        log: id.0,
        from: record.at,
        to: record.at,
        count: 1,
        one_file: record.hash == first.hash && record.place.file == first.place.file,
        fork: record.hash != first.hash,
        proven: true,
        place: record.place,
    };
    others.iter().filter(twice).map(double).collect()
}

/// Doubles among the lines of an epoch that was looked at line by line.
fn double_lines(
    id: EpochId,
    seen: &std::collections::BTreeMap<Occurrence, Seen>,
    losers: &BTreeSet<(u16, Digest)>,
    with_v: bool,
) -> Vec<Double> {
    let mut doubles = Vec::new();
    let mut previous: Option<(&Occurrence, &Seen)> = None;
    for (occurrence, times) in seen {
        if losers.contains(&(occurrence.index, occurrence.leaf)) {
            continue;
        }
        let at = Position::new(id.1, id.2, occurrence.index);
        let mut tell = |count, one_file, fork| {
            let (log, place) = (id.0, times.last);
            doubles.push(Double { log, from: at, to: at, count, one_file, fork, proven: with_v, place });
        };
        if times.count > 1 {
            tell(times.count - 1, true, false);
        }
        if let Some((other, _)) = previous.filter(|(o, _)| o.index == occurrence.index) {
            tell(1, false, other.leaf != occurrence.leaf);
        }
        previous = Some((occurrence, times));
    }
    doubles
}
