//! Duplicates and conflicts: positions that were seen more than once, as copies or forks, and with P only the lines that R does not cover.

use std::collections::{BTreeMap, BTreeSet};

use super::known::{Duplicate, Known};
use crate::hash::Digest;
use crate::line::Position;
use crate::scan::summary::{Epoch, EpochId, Event, Kind, Occurrence, Record, Seen, Summary, Why};
use crate::seal::epoch::Run;
use crate::seal::statement::Body;
use crate::seal::tree;

/// Epochs in which some position was seen twice and that must be looked at line by line, with their lines.
pub(super) fn doubtful(known: &Known) -> Vec<(EpochId, u64)> {
    known.unsettled().filter(|(_, e)| e.is_doubtful()).map(|(id, e)| (id, e.lines.count())).collect()
}

/// Judges the epochs of which the lines are here, and forgets those: they take as much memory as the input.
///
/// With P only, the lines that R covers are picked out here, and the others become events.
pub(super) fn resolve(known: &mut Known) {
    for (id, seen) in std::mem::take(&mut known.summary.details) {
        let with_v = known.keys.logs().get(id.0 as usize).is_some_and(|log| log.secret.is_some());
        let outside = pick(&mut known.summary, id, &seen, with_v);
        known.duplicates.extend(among_lines(id, &seen, &outside, with_v));
        if !outside.is_empty() {
            known.outside.insert(id, outside);
        }
        known.looked_at.insert(id);
    }
}

/// Positions that were seen more than once; a doubtful epoch's from its lines.
pub(super) fn all(known: &mut Known) -> Vec<Duplicate> {
    resolve(known);
    let mut found = std::mem::take(&mut known.duplicates);
    for (id, epoch) in known.unsettled() {
        if !known.looked_at.contains(&id) {
            for run in epoch.lines.again() {
                // Another run was looked at line by line, unless it is gone: never passed over in silence.
                let base = same_run(epoch, run);
                let copies = of_run(id, base.unwrap_or(run), run);
                found.extend(copies.into_iter().map(|d| Duplicate { fork: base.is_none(), ..d }));
            }
        }
        for records in [&epoch.opens, &epoch.checkpoints] {
            found.extend(among_records(id, records));
        }
    }
    found
}

/// Finds the lines of an epoch that R covers. With P only, it gives those that R does not cover.
fn pick(
    summary: &mut Summary,
    id: EpochId,
    seen: &BTreeMap<Occurrence, Seen>,
    with_v: bool,
) -> BTreeSet<(u16, Digest)> {
    let epoch = summary.log(id.0).epoch(id.1, id.2);
    let Some((n, root)) = epoch.checkpoint().and_then(Record::tree) else { return BTreeSet::new() };
    let Some(candidates) = candidates(seen, usize::from(n)) else { return BTreeSet::new() };
    let covered = choose(&candidates, root);
    epoch.covered = Some(covered.is_some());
    epoch.picked = covered.is_some() && !with_v;
    let Some(covered) = covered.filter(|_| !with_v) else {
        if !with_v {
            forget_reserialized(epoch, seen.iter());
        }
        return BTreeSet::new();
    };
    let is_outside = |line: &Occurrence| covered.get(usize::from(line.index)) != Some(&line.leaf);
    forget_reserialized(epoch, seen.iter().filter(|(line, _)| is_outside(line)));
    let mut outside = BTreeSet::new();
    for (occurrence, seen) in seen {
        if !is_outside(occurrence) {
            continue;
        }
        outside.insert((occurrence.index, occurrence.leaf));
        let at = Some(Position::new(id.1, id.2, occurrence.index));
        let kind = Kind::Altered(Why::Tag);
        let (place, count) = (seen.first, seen.count);
        summary.events.push(Event { count, ..Event::new(kind, Some(id.0), place, at) });
    }
    outside
}

/// Takes lines that no R covers off those that match in their RFC 8785 form; an opening proves itself.
fn forget_reserialized<'a>(epoch: &mut Epoch, lines: impl Iterator<Item = (&'a Occurrence, &'a Seen)>) {
    let proven = !epoch.opens.is_empty();
    for (_, seen) in lines.filter(|(line, _)| !(proven && line.index == 0)) {
        epoch.reserialized = epoch.reserialized.saturating_sub(seen.rewritten);
        // Where the next one stands is not worth a look: the first line of the input names it as well as any.
        epoch.first_reserialized =
            epoch.first_reserialized.filter(|place| !(seen.first..=seen.last).contains(place));
    }
}

/// The different leaves that were seen at each of the first n indices; `None` where one has none.
fn candidates(seen: &BTreeMap<Occurrence, Seen>, n: usize) -> Option<Vec<Vec<Digest>>> {
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
    candidates.truncate(n);
    (candidates.len() == n && candidates.iter().all(|leaves| !leaves.is_empty())).then_some(candidates)
}

/// The leaves, one of the candidates for each index, whose tree has a root.
///
/// Few duplicates: each choice is tried. A crowd of them is not worth the time; the epoch is altered then.
fn choose(candidates: &[Vec<Digest>], root: Digest) -> Option<Vec<Digest>> {
    let choices = candidates.iter().try_fold(1usize, |all, c| all.checked_mul(c.len()).filter(|m| *m <= 64));
    (0..choices.unwrap_or(0)).find_map(|mut rest| {
        let pick = |leaves: &Vec<Digest>| {
            let leaf = leaves[rest % leaves.len()];
            rest /= leaves.len();
            leaf
        };
        let leaves: Vec<Digest> = candidates.iter().map(pick).collect();
        (tree::root(&leaves) == root).then_some(leaves)
    })
}

impl Epoch {
    /// Was some position seen again, other than in one copy that is like the first, which needs no closer look?
    fn has_odd_copies(&self) -> bool {
        self.lines.many() || self.lines.again().any(|run| same_run(self, run).is_none())
    }

    pub(super) fn is_doubtful(&self) -> bool {
        // Lines that touch the checkpoint's place spoil the tree, too.
        let n = self.checkpoint().and_then(Record::tree).map(|(n, _)| u32::from(n));
        let beyond = n.is_some_and(|n| self.lines.pieces().any(|piece| piece.start <= n && piece.end > n));
        beyond || self.has_odd_copies()
    }

    /// Is each line there that the checkpoint covers, but not only once?
    pub(super) fn is_complete_with_copies(&self) -> bool {
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
    epoch.lines.run_at(again.range().0).filter(|run| run.tree.is_same(&again.tree))
}

/// Duplicates in a run that was seen again: in one file, or across files, each stretch by itself.
fn of_run(id: EpochId, base: &Run, again: &Run) -> Vec<Duplicate> {
    let at = |index: u32| Position::new(id.1, id.2, u16::try_from(index).unwrap_or(u16::MAX));
    let mut found: Vec<Duplicate> = Vec::new();
    for piece in &again.pieces {
        let first = found.len();
        for other in base.pieces.iter().filter(|b| b.start < piece.end && piece.start < b.end) {
            let (start, end) = (piece.start.max(other.start), piece.end.min(other.end));
            let one_file = other.first.file == piece.first.file;
            match found[first..].last_mut() {
                Some(last) if last.one_file == one_file => {
                    last.to = at(end - 1);
                    last.count += u64::from(end - start);
                }
                _ => found.push(Duplicate {
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
    found
}

fn among_records(id: EpochId, records: &[Record]) -> Vec<Duplicate> {
    let mut found = Vec::new();
    for (number, record) in records.iter().enumerate() {
        // An open is a line of its tree as well, where its duplicates are found.
        let Some(first) =
            records.first().filter(|_| number > 0 && matches!(record.body, Body::Checkpoint { .. }))
        else {
            continue;
        };
        let twice = |other: &Record| other.hash == record.hash && other.place.file == record.place.file;
        found.push(Duplicate {
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
    found
}

/// Duplicates among the lines of an epoch that was looked at line by line.
fn among_lines(
    id: EpochId,
    seen: &BTreeMap<Occurrence, Seen>,
    outside: &BTreeSet<(u16, Digest)>,
    with_v: bool,
) -> Vec<Duplicate> {
    let mut found = Vec::new();
    let mut previous: Option<(&Occurrence, &Seen)> = None;
    for (occurrence, times) in seen {
        if outside.contains(&(occurrence.index, occurrence.leaf)) {
            continue;
        }
        let at = Position::new(id.1, id.2, occurrence.index);
        let mut note = |count, one_file, fork| {
            let (log, place) = (id.0, times.last);
            found.push(Duplicate { log, from: at, to: at, count, one_file, fork, proven: with_v, place });
        };
        if times.count > 1 {
            note(times.count - 1, true, false);
        }
        if let Some((other, _)) = previous.filter(|(o, _)| o.index == occurrence.index) {
            note(1, false, other.leaf != occurrence.leaf);
        }
        previous = Some((occurrence, times));
    }
    found
}
