//! What a merged summary says about each chain; the verdict on it is the caller's.
//!
//! Here stands what needs trees, statements and ranges. What needs heads, pins, exceptions or words
//! stands with the caller.

use crate::line::Position;
use crate::scan::summary::{Chain, Epoch, Record};
use crate::seal::epoch::Place;
use crate::seal::statement::{Body, Kind as Ending};

/// Absent positions of one chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// First absent position.
    pub from: Position,
    /// Last absent position; `None` if nobody knows how many lines the epoch had.
    pub to: Option<Position>,
    /// Where the line before the gap stands.
    pub before: Option<Place>,
    /// Where the line after it stands.
    pub after: Option<Place>,
}

/// Statements of a chain that contradict each other or the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clash {
    /// A checkpoint's prev is not the statement before it.
    Prev,
    /// A line stands after `closed` or `ended`.
    AfterClosed,
    /// A line stands at or after its epoch's checkpoint.
    AfterCheckpoint,
    /// Certs of one chain, or of one generation, disagree.
    Cert,
    /// Two different statements at one position.
    Fork,
}

impl Clash {
    /// Each of them.
    pub const ALL: [Self; 5] = [Self::Prev, Self::AfterClosed, Self::AfterCheckpoint, Self::Cert, Self::Fork];

    /// Its name.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Prev => "prev",
            Self::AfterClosed => "after closed",
            Self::AfterCheckpoint => "after checkpoint",
            Self::Cert => "cert",
            Self::Fork => "fork",
        }
    }
}

/// Lines of one epoch that something is said of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Position of the first.
    pub first: Position,
    /// Position of the last.
    pub last: Position,
    /// How many they are; between them may be others.
    pub count: u64,
    /// Where the first stands, as far as that is known.
    pub place: Place,
}

impl Stretch {
    fn one(at: Position, place: Place) -> Self {
        Self { first: at, last: at, count: 1, place }
    }
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
    /// The latest that a checkpoint claims.
    pub checkpointed: Option<u64>,
    /// Epochs whose R does not match their lines, with n.
    pub altered: Vec<(Record, u16)>,
    /// Lines in epochs that no R covers, by epoch.
    pub uncovered: Vec<Stretch>,
    /// Contradictions.
    pub clashes: Vec<(Clash, Stretch)>,
    /// Each epoch present.
    pub epochs: Vec<EpochFacts>,
}

/// An epoch that is present: its number, lines, and of its checkpoint n and the claimed time.
pub type EpochFacts = (u8, u64, Option<(u16, u64)>);

/// Indices that are taken, from the first up to the one after the last, and where those two were read.
type Taken = (u32, u32, Option<(Place, Place)>);

impl Epoch {
    fn is_present(&self) -> bool {
        !self.lines.is_empty() || !self.checkpoints.is_empty()
    }

    /// Indices that are taken: by lines, the checkpoint, or bad lines, which have no place; sorted.
    fn occupied(&self) -> Vec<Taken> {
        let present =
            self.spans().into_iter().map(|(start, end, first, last)| (start, end, Some((first, last))));
        let mut all: Vec<_> =
            present.chain(self.claimed.iter().map(|(start, end)| (*start, *end, None))).collect();
        all.sort_unstable_by_key(|span| (span.0, span.1));
        all
    }

    /// Positions of it that are here, with P only those within the checkpoint's n; each counts once.
    fn count(&self) -> u64 {
        let mut next = 0;
        self.spans().into_iter().fold(0, |sum, (start, end, ..)| {
            let new = u64::from(end.saturating_sub(start.max(next)));
            next = next.max(end);
            sum + new
        })
    }

    /// What stands where: start, end, first and last place; sorted.
    fn spans(&self) -> Vec<(u32, u32, Place, Place)> {
        let within = self.bound.unwrap_or(u32::MAX);
        let pieces = self.lines.pieces().filter(|p| p.start < within);
        let records = self.checkpoints.iter().map(|r| {
            let index = u32::from(r.at.index);
            (index, index + 1, r.place, r.place)
        });
        let lines = pieces.map(|p| (p.start, p.end.min(within), p.first, p.last));
        let mut spans: Vec<_> = lines.chain(records).collect();
        spans.sort_unstable_by_key(|s| (s.0, s.1));
        spans
    }
}

impl Chain {
    /// Epochs of which a line was seen.
    fn present(&self) -> impl DoubleEndedIterator<Item = (u8, &Epoch)> {
        self.epochs.iter().filter(|(_, e)| e.is_present()).map(|(number, e)| (*number, &**e))
    }

    /// The newest statement before a position; `None` if it is not here for certain.
    #[must_use]
    pub fn statement_before(&self, at: Position) -> Option<&Record> {
        // Those of a later epoch are later.
        let found = self.epochs.range(..=at.epoch).rev().find_map(|(_, epoch)| {
            let records = epoch.checkpoints.iter().chain(&epoch.opens);
            records.filter(|r| r.at < at).max_by_key(|r| r.at)
        })?;
        // A statement may have stood where something is absent or bad.
        let certain = self.epochs.range(found.at.epoch..=at.epoch).all(|(_, e)| e.claimed.is_empty());
        (certain && !self.gaps(at.chain, found.at, Some(at)).iter().any(|g| g.from < at)).then_some(found)
    }

    /// The statement at a position.
    #[must_use]
    pub fn statement_at(&self, at: Position) -> Option<&Record> {
        let epoch = self.epochs.get(&at.epoch)?;
        epoch.checkpoints.iter().chain(&epoch.opens).find(|r| r.at == at)
    }

    /// Absent positions from `start` up to the last line present, or to `end` (not included) if that is later.
    ///
    /// A position that a bad line claims is not absent: it is reported as bad.
    #[must_use]
    pub fn gaps(&self, number: u32, start: Position, end: Option<Position>) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let last = self.present().next_back().map(|(e, _)| e);
        let Some(until) = last.into_iter().chain(end.map(|p| p.epoch)).max() else { return gaps };
        let nothing = Epoch::default();
        let mut before = None;
        for e in start.epoch..=until {
            let epoch = self.epochs.get(&e).map_or(&nothing, |epoch| &**epoch);
            let at = |index: u32| Position::new(number, e, u16::try_from(index).unwrap_or(u16::MAX));
            let mut next = if e == start.epoch { u32::from(start.index) } else { 0 };
            let end = end.filter(|p| p.epoch == e).map(|p| u32::from(p.index)).map(|i| (i, i, None));
            for (from, to, places) in epoch.occupied().into_iter().chain(end) {
                if from > next {
                    let after = places.map(|(first, _)| first);
                    gaps.push(Gap { from: at(next), to: Some(at(from - 1)), before, after });
                }
                if to > next {
                    next = to;
                    before = places.map(|(_, last)| last).or(before);
                }
            }
            // The last line of the epoch, or a bad one after it, may have been the checkpoint, reported as bad already.
            let reported = epoch.claimed.iter().any(|(_, past)| *past >= next);
            if e < until && epoch.checkpoints.is_empty() && !reported {
                gaps.push(Gap { from: at(next), to: None, before, after: None });
            }
        }
        gaps
    }

    /// Last position present and where; `None` if no line of the chain was seen.
    pub(super) fn last(&self, number: u32) -> Option<(Position, Place)> {
        let (epoch, last) = self.present().next_back()?;
        last.spans().iter().max_by_key(|s| s.1).map(|s| (position(number, epoch, s.1 - 1), s.3))
    }

    /// What is known of the chain; `None` if no line of it was seen.
    #[must_use]
    pub fn facts(&self, number: u32, with_v: bool) -> Option<ChainFacts> {
        let (first_epoch, first) = self.present().next()?;
        let spans = first.spans();
        let (start, .., place) = spans.first().map(|s| (s.0, s.1, s.2, s.2))?;
        let mut facts = ChainFacts {
            first: (position(number, first_epoch, start), place),
            last: self.last(number)?,
            lines: 0,
            checkpoints: 0,
            open: None,
            ending: None,
            times: None,
            checkpointed: None,
            altered: Vec::new(),
            uncovered: Vec::new(),
            clashes: Vec::new(),
            epochs: Vec::new(),
        };
        let mut previous = None;
        for (e, epoch) in self.present() {
            facts.add(e, epoch, previous, with_v, number);
            // Without this one's checkpoint, nobody knows what the next one should name.
            previous = epoch.checkpoint().copied().map(|record| (e, record));
        }
        if self.roots.len() > 1 {
            facts.clashes.push((Clash::Cert, Stretch::one(facts.first.0, facts.first.1)));
        }
        Some(facts)
    }
}

impl ChainFacts {
    /// Is it closed, and may other chains follow?
    pub(super) fn is_closed(&self) -> bool {
        self.ending.is_some_and(|(kind, _)| kind == Ending::Closed)
    }

    /// Does it end the log?
    pub(super) fn has_ended(&self) -> bool {
        self.ending.is_some_and(|(kind, _)| kind == Ending::Ended)
    }

    fn add(&mut self, e: u8, epoch: &Epoch, previous: Option<(u8, Record)>, with_v: bool, number: u32) {
        let lines = epoch.count();
        self.lines += lines;
        let checkpoint = epoch.checkpoint().and_then(|c| c.tree().map(|(n, _)| (n, c.time)));
        self.epochs.push((e, lines, checkpoint));
        self.checkpointed = self.checkpointed.max(checkpoint.map(|(_, time)| time));
        self.open = self.open.or(epoch.opens.first().copied());
        for record in epoch.opens.iter().chain(&epoch.checkpoints) {
            let (low, high) = self.times.unwrap_or((record.time, record.time));
            self.times = Some((low.min(record.time), high.max(record.time)));
        }
        if self.ending.is_some() {
            let after =
                stretch(number, e, epoch.spans().into_iter().map(|(from, to, place, _)| (from, to, place)));
            self.clashes
                .extend(after.map(|stretch| (Clash::AfterClosed, Stretch { count: lines, ..stretch })));
        }
        let Some(checkpoint) = epoch.checkpoint() else {
            self.leave_uncovered(number, e, epoch);
            return;
        };
        self.checkpoints += 1;
        let Body::Checkpoint { n, prev, kind, .. } = checkpoint.body else { return };
        let before =
            if e == 0 { self.open } else { previous.filter(|(b, _)| b + 1 == e).map(|(_, record)| record) };
        if before.is_some_and(|b| b.hash != prev) {
            self.clashes.push((Clash::Prev, Stretch::one(checkpoint.at, checkpoint.place)));
        }
        if kind != Ending::Continues && self.ending.is_none() {
            self.ending = Some((kind, *checkpoint));
        }
        if !epoch.picked {
            self.clash_beyond(number, e, epoch, u32::from(n));
        }
        match epoch.covered {
            Some(true) => {}
            Some(false) => self.altered.push((*checkpoint, n)),
            None if with_v => {}
            None => self.leave_uncovered(number, e, epoch),
        }
    }

    /// Lines in the place of an epoch's checkpoint, and after it.
    fn clash_beyond(&mut self, number: u32, e: u8, epoch: &Epoch, n: u32) {
        for piece in epoch.lines.pieces().filter(|piece| piece.end > n) {
            // Of lines that begin before the checkpoint's place, only the last one's place is known.
            let place = if piece.start >= n { piece.first } else { piece.last };
            if piece.start <= n {
                self.clashes.push((Clash::Fork, Stretch::one(position(number, e, n), place)));
            }
            let after = stretch(number, e, [(piece.start.max(n + 1), piece.end, place)]);
            self.clashes.extend(after.map(|stretch| (Clash::AfterCheckpoint, stretch)));
        }
    }

    fn leave_uncovered(&mut self, number: u32, e: u8, epoch: &Epoch) {
        let within = epoch.bound.unwrap_or(u32::MAX);
        let pieces = epoch.lines.pieces().map(|piece| {
            // Of lines that begin before those that no head covers, only the last one's place is known.
            let place = if piece.start >= epoch.shown { piece.first } else { piece.last };
            (piece.start.max(epoch.shown), piece.end.min(within), place)
        });
        self.uncovered.extend(stretch(number, e, pieces));
    }
}

/// The position after a line, in its epoch; index 65,535 is the last that a seal can name.
pub(super) fn after(at: Position) -> Position {
    Position::new(at.chain, at.epoch, at.index.saturating_add(1))
}

fn position(number: u32, e: u8, index: u32) -> Position {
    Position::new(number, e, u16::try_from(index).unwrap_or(u16::MAX))
}

/// What lies in some ranges of indices, given with the index after the last and the place of the first; sorted.
fn stretch(number: u32, e: u8, ranges: impl IntoIterator<Item = (u32, u32, Place)>) -> Option<Stretch> {
    ranges.into_iter().filter(|(start, end, _)| start < end).fold(None, |found, (start, end, place)| {
        let (last, count) = (position(number, e, end - 1), u64::from(end - start));
        let first = found.unwrap_or(Stretch { first: position(number, e, start), last, count: 0, place });
        Some(Stretch { last, count: first.count + count, ..first })
    })
}
