//! The hot path of a scan: lines are read, hashed side by side and taken in by the batch.
//!
//! For each ordinary entry that costs: one look for the line end, one comparison of its seal with the expected one, its
//! tag's letters, the compressions of its text, with V one for its key and four for its tag, one for its leaf and two in
//! the tree. Sixteen go side by side where there are lanes ([`Wide`]), else two. All else is done once for a *run*:
//! entries that hold and follow each other in their epoch as they do in the file, while nothing waits to be told.
//! Whatever is not like that is judged line by line, which alone says what is right: [`take_run`](Scanner::take_run)
//! leaves what that would.

use super::collect::Scanner;
use super::entries::Entry;
use super::input::{Input, Mode};
use super::walk::{Line, Lines};
use crate::hash::lanes::LANES;
use crate::hash::lanes::wide::Wide;
use crate::hash::{Digest, Many, Text};
use crate::line::Position;
use crate::seal::epoch::Place;

/// Lines that are read before they are judged; among them are at most as many ordinary entries as lanes.
const BATCH: usize = 2 * LANES;

/// With fewer ordinary entries in a batch, lanes without one would cost more than the others gain.
const FEWEST: usize = 9;

/// Lines that were read and not judged yet.
struct Batch<'a> {
    lines: [Line<'a>; BATCH],
    entries: [Entry<'a>; BATCH],
    /// Of entries whose tag matches.
    leaves: [Option<Digest>; BATCH],
    count: usize,
    /// Ordinary entries among them, with the same kind of key.
    ordinary: usize,
    with_v: bool,
}

impl Batch<'_> {
    fn new() -> Self {
        Self {
            lines: [const { Line::NONE }; BATCH],
            entries: [const { Entry::NONE }; BATCH],
            leaves: [None; BATCH],
            count: 0,
            ordinary: 0,
            with_v: false,
        }
    }

    fn is_full(&self) -> bool {
        self.ordinary == LANES || self.count == BATCH
    }
}

impl<'k> Scanner<'k> {
    pub(super) fn run(&mut self, input: &Input<'k>) {
        self.run_with(Wide::here(), input);
    }

    /// Takes ordinary entries in lanes, or two by two.
    pub(super) fn run_with(&mut self, wide: Option<Wide>, input: &Input<'k>) {
        let (mut lines, mut many, mut batch) = (self.begin(input), Many::new(), Batch::new());
        while self.fill(&mut batch, &mut lines, wide.map(|_| &mut many)) {
            match wide {
                Some(wide) if batch.ordinary >= FEWEST => self.hash_many(wide, &many, &mut batch),
                _ => self.hash_pairs(&mut batch),
            }
            self.take_batch(&batch);
        }
    }

    /// Reads the next lines, and lays ordinary entries in lanes, if there are lanes; `false` at the end.
    fn fill(
        &mut self,
        batch: &mut Batch<'k>,
        lines: &mut Lines<'k>,
        mut many: Option<&mut Many<'k>>,
    ) -> bool {
        (batch.count, batch.ordinary) = (0, 0);
        while !batch.is_full() && lines.next(&mut batch.lines[batch.count]) {
            let (line, place) = (&batch.lines[batch.count], &mut batch.entries[batch.count]);
            *place = Entry::NONE;
            batch.leaves[batch.count] = None;
            batch.count += 1;
            let Some(entry) = self.entry(line.bytes, &line.read) else { continue };
            *place = entry;
            if batch.ordinary > 0 && entry.with_v != batch.with_v {
                continue;
            }
            place.ordinary = many.as_mut().is_none_or(|many| self.lay(many, batch.ordinary, place));
            if place.ordinary {
                batch.with_v = entry.with_v;
                batch.ordinary += 1;
            }
        }
        batch.count > 0
    }

    /// Hashes the ordinary entries of a batch in lanes, one for each.
    fn hash_many(&mut self, wide: Wide, many: &Many<'_>, batch: &mut Batch<'_>) {
        let hashes = many.hashes(wide, batch.ordinary);
        let good = if batch.with_v { many.authentic(wide, &hashes) } else { [true; LANES] };
        // Which texts hold is known of positions then, where tags tell what is authentic.
        let needed = !batch.with_v || self.texts.is_none();
        let leaves = if needed { many.leaves(wide, &hashes) } else { [[0; 32]; LANES] };
        let mut leaves = leaves.into_iter().zip(good);
        for (place, entry) in batch.leaves.iter_mut().zip(&batch.entries[..batch.count]) {
            if entry.ordinary
                && let Some((leaf, true)) = leaves.next()
            {
                *place = Some(leaf);
            }
        }
    }

    /// Hashes the ordinary entries of a batch in pairs; one that is left over is judged alone.
    fn hash_pairs(&mut self, batch: &mut Batch<'_>) {
        let mut before = None;
        for at in 0..batch.count {
            if !batch.entries[at].ordinary {
                continue;
            }
            let Some(one) = before.take() else {
                before = Some(at);
                continue;
            };
            if let Ok([a, b]) = batch.entries.get_disjoint_mut([one, at])
                && let Some(leaves) = self.leaves([a, b])
            {
                [batch.leaves[one], batch.leaves[at]] = leaves;
            }
        }
    }

    /// Takes in the lines of a batch, whose entries were hashed.
    fn take_batch(&mut self, batch: &Batch<'k>) {
        let mut at = 0;
        while at < batch.count {
            let run = self.run_length(&batch.entries[at..batch.count], &batch.leaves[at..]);
            if run > 0 {
                self.take_run(
                    &batch.lines[at..][..run],
                    &batch.entries[at..][..run],
                    &batch.leaves[at..][..run],
                );
                at += run;
            } else {
                self.take_in(&batch.lines[at], &batch.entries[at], batch.leaves[at]);
                at += 1;
            }
        }
    }

    /// How many of these entries are a run.
    fn run_length(&self, entries: &[Entry<'_>], leaves: &[Option<Digest>]) -> usize {
        let (Some(first), Some(Some(_))) = (entries.first(), leaves.first()) else { return 0 };
        let quiet = matches!(self.mode, Mode::All)
            && self.texts.is_none()
            && self.origins.is_empty()
            && self.group.is_none()
            && self.waiting == self.out.events.len();
        if !quiet || self.epoch_at != Some(first.id) || !self.epoch.lines.is_at(first.index, self.place.file)
        {
            return 0;
        }
        let Some(before) = first.index.checked_sub(1) else { return 0 };
        let before = Position::new(first.id.1, first.id.2, before);
        if self.chunk.edges.get(&first.id.0).is_none_or(|edge| edge.last != before) {
            return 0;
        }
        let in_run = |(at, (entry, leaf)): (usize, (&Entry<'_>, &Option<Digest>))| {
            leaf.is_some()
                && !entry.prefixed
                && entry.id == first.id
                && usize::from(entry.index) == usize::from(first.index) + at
        };
        entries.iter().zip(leaves).enumerate().take_while(|each| in_run(*each)).count()
    }

    /// Takes in a run: leaves what [`take_in`](Self::take_in) of each would.
    fn take_run(&mut self, lines: &[Line<'k>], entries: &[Entry<'_>], leaves: &[Option<Digest>]) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        let (id, at) = (last.id, Position::new(last.id.1, last.id.2, last.index));
        self.cache.earn();
        self.chunk.counted += entries.len() as u64;
        self.chunk.first = self.chunk.first.or(Some((id.0, Position { index: first.index, ..at })));
        self.chunk.last = Some((id.0, at));
        self.out.log(id.0).counts.sealed += entries.len() as u64;
        let to_last: usize = lines[..lines.len() - 1].iter().map(|line| line.bytes.len() + 1).sum();
        let before = u32::try_from(lines.len() - 1).unwrap_or(u32::MAX);
        self.place = Place {
            line: self.place.line.saturating_add(before),
            offset: self.place.offset + to_last as u64,
            ..self.place
        };
        self.in_order(id.0, at);
        self.epoch.lines.extend(leaves.iter().flatten(), self.place);
        self.epoch.json |= entries.iter().any(|entry| !entry.with_v && matches!(entry.text, Text::Open(_)));
        if let Some(line) = lines.last() {
            self.step(line);
        }
    }
}
