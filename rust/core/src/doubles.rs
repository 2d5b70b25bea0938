//! Positions that were seen more than once: copies, forks, and with P only the lines that R does not cover.

use std::collections::{BTreeMap, BTreeSet};

use crate::epoch::{Place, Run};
use crate::hash::Digest;
use crate::line::Position;
use crate::scan::Keys;
use crate::statement::Body;
use crate::summary::{Epoch, EpochId, Event, Kind, LogNumber, Occurrence, Record, Seen, Summary, Why};
use crate::tree;

/// A position that was seen more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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
    /// Epochs in which some position was seen twice and that must be looked at line by line, with their lines.
    #[must_use]
    pub fn doubtful(&self) -> Vec<(EpochId, u64)> {
        self.epochs().filter(|(_, e)| e.is_doubtful()).map(|(id, e)| (id, e.lines.count())).collect()
    }

    /// Judges the epochs of which the details are here, and forgets those: they take as much memory as lines.
    ///
    /// With P only, the lines that R covers are picked out here, and the others become events.
    pub fn resolve(&mut self, keys: &Keys) {
        for (id, seen) in std::mem::take(&mut self.details) {
            let with_v = keys.logs().get(id.0 as usize).is_some_and(|log| log.secret.is_some());
            let losers = self.pick(id, &seen, with_v);
            self.resolved.extend(double_lines(id, &seen, &losers, with_v));
            self.looked_at.insert(id);
        }
    }

    /// Positions that were seen more than once; a doubtful epoch's from its details.
    pub fn doubles(&mut self, keys: &Keys) -> Vec<Double> {
        self.resolve(keys);
        let mut doubles = std::mem::take(&mut self.resolved);
        for (id, epoch) in self.epochs() {
            if !self.looked_at.contains(&id) {
                for run in epoch.lines.again() {
                    // Another run was looked at line by line, unless it is gone: never passed over in silence.
                    let base = same_run(epoch, run);
                    let told = double_run(id, base.unwrap_or(run), run);
                    doubles.extend(told.into_iter().map(|d| Double { fork: base.is_none(), ..d }));
                }
            }
            for records in [&epoch.opens, &epoch.checkpoints] {
                doubles.extend(double_records(id, records));
            }
        }
        doubles
    }

    /// Finds the lines of an epoch that R covers. With P only, it gives those that R does not cover.
    fn pick(
        &mut self,
        id: EpochId,
        seen: &BTreeMap<Occurrence, Seen>,
        with_v: bool,
    ) -> BTreeSet<(u16, Digest)> {
        let mut candidates: Vec<Vec<Digest>> = Vec::new();
        for occurrence in seen.keys() {
            let index = usize::from(occurrence.index);
            if candidates.len() <= index {
                candidates.resize(index + 1, Vec::new());
            }
            // Like leaves stand together in the order of occurrences.
            if candidates[index].last() != Some(&occurrence.leaf) {
                candidates[index].push(occurrence.leaf);
            }
        }
        let epoch = self.log(id.0).epoch(id.1, id.2);
        let Some((n, root)) = epoch.checkpoint().and_then(Record::tree) else { return BTreeSet::new() };
        candidates.truncate(usize::from(n));
        if candidates.len() < usize::from(n) || candidates.iter().any(Vec::is_empty) {
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
        epoch.picked = right.is_some() && !with_v;
        let Some(right) = right.filter(|_| !with_v) else {
            if !with_v {
                epoch.forget_reserialized(seen.iter());
            }
            return BTreeSet::new();
        };
        let lost = |at: &Occurrence| right.get(usize::from(at.index)) != Some(&at.leaf);
        epoch.forget_reserialized(seen.iter().filter(|(at, _)| lost(at)));
        let mut losers = BTreeSet::new();
        for (occurrence, seen) in seen {
            if !lost(occurrence) {
                continue;
            }
            losers.insert((occurrence.index, occurrence.leaf));
            let at = Some(Position::new(id.1, id.2, occurrence.index));
            let kind = Kind::Altered(Why::Tag);
            let (place, count) = (seen.first, seen.count);
            self.events.push(Event { count, ..Event::new(kind, Some(id.0), place, at) });
        }
        losers
    }
}

impl Epoch {
    /// Takes lines that no R covers off those that match in their RFC 8785 form; an opening proves itself.
    fn forget_reserialized<'a>(&mut self, lines: impl Iterator<Item = (&'a Occurrence, &'a Seen)>) {
        let proven = !self.opens.is_empty();
        for (_, seen) in lines.filter(|(at, _)| !(proven && at.index == 0)) {
            self.reserialized = self.reserialized.saturating_sub(seen.anew);
            // Where the next one stands is not worth a look: the first line of the input names it as well as any.
            self.first_reserialized =
                self.first_reserialized.filter(|place| !(seen.first..=seen.last).contains(place));
        }
    }

    /// Was some position seen again, other than in one copy that is like the first, which needs no closer look?
    fn has_odd_copies(&self) -> bool {
        self.lines.many() || self.lines.again().any(|run| same_run(self, run).is_none())
    }

    fn is_doubtful(&self) -> bool {
        // Lines that touch the checkpoint's place spoil the tree, too.
        let n = self.checkpoint().and_then(Record::tree).map(|(n, _)| u32::from(n));
        let beyond = n.is_some_and(|n| self.lines.pieces().any(|piece| piece.start <= n && piece.end > n));
        beyond || self.has_odd_copies()
    }

    /// Is each line there that the checkpoint covers, but not only once?
    pub(crate) fn is_complete_with_copies(&self) -> bool {
        let n = self.checkpoint().and_then(Record::tree).map(|(n, _)| u32::from(n));
        let mut pieces = self.lines.pieces().map(|piece| (piece.start, piece.end));
        let mut next = 0;
        while let Some((start, end)) = pieces.next().filter(|(start, _)| *start == next) {
            debug_assert!(start < end);
            next = end;
        }
        self.has_odd_copies() && n.is_some_and(|n| next >= n)
    }
}

/// The run of the first layer that is the same as one that was seen again.
fn same_run<'a>(epoch: &'a Epoch, again: &Run) -> Option<&'a Run> {
    epoch.lines.run_at(again.range().0).filter(|run| run.range() == again.range() && run.tree == again.tree)
}

/// Doubles of a run that was seen again: in one file, or across files, each stretch by itself.
fn double_run(id: EpochId, base: &Run, again: &Run) -> Vec<Double> {
    let at = |index: u32| Position::new(id.1, id.2, u16::try_from(index).unwrap_or(u16::MAX));
    let mut doubles: Vec<Double> = Vec::new();
    for piece in &again.pieces {
        let first = doubles.len();
        for other in base.pieces.iter().filter(|b| b.start < piece.end && piece.start < b.end) {
            let (start, end) = (piece.start.max(other.start), piece.end.min(other.end));
            let one_file = other.first.file == piece.first.file;
            match doubles[first..].last_mut() {
                Some(last) if last.one_file == one_file => {
                    last.to = at(end - 1);
                    last.count += u64::from(end - start);
                }
                _ => doubles.push(Double {
                    log: id.0,
                    from: at(start),
                    to: at(end - 1),
                    count: u64::from(end - start),
                    one_file,
                    fork: false,
                    proven: false,
                    place: if start == piece.start { piece.first } else { other.first },
                }),
            }
        }
    }
    doubles
}

fn double_records(id: EpochId, records: &[Record]) -> Vec<Double> {
    let mut doubles = Vec::new();
    for (number, record) in records.iter().enumerate() {
        // An open is a line of its tree as well, where its doubles are told.
        let Some(first) =
            records.first().filter(|_| number > 0 && matches!(record.body, Body::Checkpoint { .. }))
        else {
            continue;
        };
        let twice = |other: &Record| other.hash == record.hash && other.place.file == record.place.file;
        doubles.push(Double {
            log: id.0,
            from: record.at,
            to: record.at,
            count: 1,
            one_file: records[..number].iter().any(twice),
            fork: record.hash != first.hash,
            proven: true,
            place: record.place,
        });
    }
    doubles
}

/// Doubles among the lines of an epoch that was looked at line by line.
fn double_lines(
    id: EpochId,
    seen: &BTreeMap<Occurrence, Seen>,
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
