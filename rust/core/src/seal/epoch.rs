//! Which lines of one epoch were seen, where, and the tree over them.
//!
//! Lines come in any order and in any number of pieces. Neighbours are joined as soon as they touch,
//! so what an intact epoch takes does not depend on its number of lines.

mod stored;

use std::collections::BTreeMap;

use crate::hash::Digest;
use crate::seal::tree::{Growing, Stretch};

/// Where a line was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// Number of the file, as the caller counts.
    pub file: u32,
    /// Number of the chunk in its file.
    pub chunk: u32,
    /// Line in its chunk, from 0.
    pub line: u32,
    /// Byte offset of the line in its file.
    pub offset: u64,
}

/// Neighbouring lines of an epoch that stood in one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Piece {
    /// First index.
    pub start: u32,
    /// Index after the last.
    pub end: u32,
    /// Where the first index was read.
    pub first: Place,
    /// Where the last index was read.
    pub last: Place,
}

/// Neighbouring lines of an epoch with the tree over them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Run {
    /// Tree over the leaves.
    pub tree: Stretch,
    /// The run, file by file.
    pub pieces: Vec<Piece>,
}

impl Run {
    /// First index and the one after the last.
    #[must_use]
    pub fn range(&self) -> (u32, u32) {
        self.tree.range()
    }

    fn join(&mut self, next: Run) {
        self.tree.join(&next.tree);
        let mut rest = next.pieces.into_iter();
        // Pieces of one file grow together where they touch.
        if let (Some(last), Some(first)) = (self.pieces.last_mut(), rest.next()) {
            if last.first.file == first.first.file {
                last.end = first.end;
                last.last = first.last;
            } else {
                self.pieces.push(first);
            }
        }
        self.pieces.extend(rest);
    }
}

/// Neighbouring lines that come one after the other out of one file.
#[derive(Debug, Clone)]
struct Gathered {
    tree: Growing,
    piece: Piece,
}

/// Runs that do not overlap, by their first index.
pub type Layer = BTreeMap<u32, Run>;

/// A position seen more often than this is looked at line by line in a second pass.
const MAX_LAYERS: usize = 4;

/// The lines of one epoch that were seen.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Lines {
    /// Lines that came in order are gathered here before they go to a layer.
    #[serde(skip)]
    current: Option<Gathered>,
    /// Every position that was seen, once, by first index: what is present, whatever was seen twice.
    seen: BTreeMap<u32, Piece>,
    /// Trees. Runs that overlap stand in different layers; without copies there is one layer.
    layers: Vec<Layer>,
    /// Some position was seen more often than there are layers.
    crowded: bool,
    /// What other scans saw. Which of two copies counts as the first must not depend on who merged what when, so
    /// these are put together at the end, in the order of the input.
    #[serde(with = "stored::apart")]
    apart: Vec<Lines>,
    /// Which chunks they stood in: file, first chunk, last chunk.
    chunks: (u32, u32, u32),
}

impl Lines {
    /// Adds a line.
    #[inline]
    pub fn add(&mut self, index: u16, leaf: Digest, place: Place) {
        if let Some(Gathered { tree, piece }) = &mut self.current
            && piece.end == u32::from(index)
            && piece.first.file == place.file
        {
            tree.push(leaf);
            piece.end += 1;
            piece.last = place;
            return;
        }
        if self.is_empty() {
            self.chunks = (place.file, place.chunk, place.chunk);
        }
        self.flush();
        let start = u32::from(index);
        let mut tree = Growing::at(start);
        tree.push(leaf);
        self.current =
            Some(Gathered { tree, piece: Piece { start, end: start + 1, first: place, last: place } });
    }

    /// Is the line with an index of a file the one after those that are gathered?
    #[inline]
    pub(crate) fn is_at(&self, index: u16, file: u32) -> bool {
        let next = |gathered: &Gathered| (gathered.piece.end, gathered.piece.first.file);
        self.current.as_ref().map(next) == Some((u32::from(index), file))
    }

    /// Adds lines right after those that are gathered; the last of them stands at a place.
    pub(crate) fn extend<'l>(&mut self, leaves: impl Iterator<Item = &'l Digest>, last: Place) {
        let Some(Gathered { tree, piece }) = &mut self.current else { return };
        for leaf in leaves {
            tree.push(*leaf);
            piece.end += 1;
        }
        piece.last = last;
    }

    /// Puts the gathered lines into their layer.
    pub fn flush(&mut self) {
        if let Some(Gathered { tree, piece }) = self.current.take() {
            self.see(piece);
            self.insert(Run { tree: tree.finish(), pieces: vec![piece] });
        }
    }

    /// Notes positions as present; those that are known already stay where they were seen first.
    fn see(&mut self, piece: Piece) {
        let mut from = piece.start;
        let known: Vec<(u32, u32)> = {
            let before = self.seen.range(..piece.start).next_back();
            let within = self.seen.range(piece.start..piece.end);
            before
                .into_iter()
                .chain(within)
                .map(|(start, p)| (*start, p.end))
                .filter(|k| k.1 > piece.start)
                .collect()
        };
        for (start, end) in known {
            if start > from {
                self.put(piece, from, start);
            }
            from = from.max(end);
        }
        if from < piece.end {
            self.put(piece, from, piece.end);
        }
    }

    /// Puts a part of a piece in, and joins it with its neighbours from the same file.
    fn put(&mut self, piece: Piece, start: u32, end: u32) {
        let first = if start == piece.start { piece.first } else { piece.last };
        let last = if end == piece.end { piece.last } else { piece.first };
        let mut new = Piece { start, end, first, last };
        if let Some(next) = self.seen.get(&end).copied()
            && next.first.file == first.file
        {
            self.seen.remove(&end);
            new.end = next.end;
            new.last = next.last;
        }
        if let Some((_, left)) = self.seen.range_mut(..start).next_back()
            && left.end == start
            && left.first.file == first.file
        {
            left.end = new.end;
            left.last = new.last;
        } else {
            self.seen.insert(start, new);
        }
    }

    fn insert(&mut self, mut run: Run) {
        let (start, end) = run.range();
        for layer in &mut self.layers {
            let before = layer.range(..=start).next_back().map(|(at, r)| (*at, r.range().1));
            let after = layer.range(start..).next().map(|(at, _)| *at);
            if before.is_some_and(|(_, e)| e > start) || after.is_some_and(|s| s < end) {
                continue;
            }
            if after == Some(end)
                && let Some(next) = layer.remove(&end)
            {
                run.join(next);
            }
            match before {
                Some((at, e)) if e == start => {
                    if let Some(left) = layer.get_mut(&at) {
                        left.join(run);
                    }
                }
                _ => {
                    layer.insert(start, run);
                }
            }
            return;
        }
        if self.layers.len() < MAX_LAYERS {
            self.layers.push(Layer::from([(start, run)]));
        } else {
            self.crowded = true;
        }
    }

    /// Takes in what another scan saw of the same epoch.
    pub fn merge(&mut self, mut other: Lines) {
        if self.is_empty() {
            *self = other;
            return;
        }
        let mut parts = std::mem::take(&mut self.apart);
        parts.append(&mut other.apart);
        parts.extend([std::mem::take(self), other]);
        parts.retain(|part| !part.is_empty());
        parts.iter_mut().for_each(Lines::flush);
        parts.sort_by_key(|part| part.chunks);
        let mut joined: Vec<Lines> = Vec::with_capacity(2);
        for part in parts {
            match joined.last_mut() {
                // Nobody can tell later which came first, and it does not matter.
                Some(last) if last.is_right_before(&part) && last.is_apart_from(&part) => last.take_in(part),
                _ => joined.push(part),
            }
        }
        let mut joined = joined.into_iter();
        if let Some(first) = joined.next() {
            *self = Self { apart: joined.collect(), ..first };
        }
    }

    fn is_right_before(&self, next: &Lines) -> bool {
        let ((file, _, last), (other, first, _)) = (self.chunks, next.chunks);
        file == other && last + 1 == first
    }

    /// Do they have no position in common?
    fn is_apart_from(&self, other: &Lines) -> bool {
        let (few, many) = if self.seen.len() < other.seen.len() { (self, other) } else { (other, self) };
        let meets = |piece: &Piece| {
            many.seen.range(..piece.end).next_back().is_some_and(|(_, before)| before.end > piece.start)
        };
        !few.seen.values().any(meets)
    }

    /// Puts together what was merged; nothing can be asked before.
    pub fn gather(&mut self) {
        self.flush();
        if self.apart.is_empty() {
            return;
        }
        let mut parts = std::mem::take(&mut self.apart);
        parts.push(std::mem::take(self));
        parts.iter_mut().for_each(Lines::flush);
        parts.sort_by_key(|part| part.chunks);
        for part in parts {
            self.take_in(part);
        }
    }

    /// Is it put together?
    #[must_use]
    pub fn is_gathered(&self) -> bool {
        self.current.is_none() && self.apart.is_empty()
    }

    fn take_in(&mut self, other: Lines) {
        if self.is_empty() {
            *self = other;
            return;
        }
        self.chunks.2 = other.chunks.2;
        self.crowded |= other.crowded;
        for piece in other.seen.into_values() {
            self.see(piece);
        }
        for layer in other.layers {
            for (_, run) in layer {
                self.insert(run);
            }
        }
    }

    /// Every position that was seen, once.
    #[must_use]
    pub fn pieces(&self) -> impl DoubleEndedIterator<Item = &Piece> {
        self.seen.values()
    }

    /// The trees of the first layer.
    fn runs(&self) -> impl DoubleEndedIterator<Item = &Run> {
        self.layers.first().into_iter().flat_map(BTreeMap::values)
    }

    /// The run of the first layer that begins at an index.
    #[must_use]
    pub fn run_at(&self, start: u32) -> Option<&Run> {
        self.layers.first()?.get(&start)
    }

    /// Runs of positions that were seen again.
    pub fn again(&self) -> impl Iterator<Item = &Run> {
        self.layers.iter().skip(1).flat_map(BTreeMap::values)
    }

    /// The tree over the indices `0 .. n`, if they are all there and no other line touches them.
    #[must_use]
    pub fn below(&self, n: u32) -> Option<&Stretch> {
        let first = self.runs().next()?;
        (first.range() == (0, n)).then_some(&first.tree)
    }

    /// Was some position seen more often than twice, so that copies must be told apart one by one?
    #[must_use]
    pub fn many(&self) -> bool {
        self.crowded || self.layers.len() > 2
    }

    /// Number of positions, each counted once.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.seen.values().map(|p| u64::from(p.end - p.start)).sum()
    }

    /// No line was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.current.is_none() && self.seen.is_empty() && self.apart.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::sha256;
    use crate::seal::tree;

    fn leaf(i: u16) -> Digest {
        sha256(&[&i.to_be_bytes()])
    }

    fn place(file: u32, line: u32) -> Place {
        Place { file, chunk: 0, line, offset: 0 }
    }

    #[test]
    fn lines_in_any_order_give_the_same_tree_and_one_run() {
        let n = 300u16;
        let expected = tree::root(&(0..n).map(leaf).collect::<Vec<_>>());
        for step in [1u16, 7, 131, 299] {
            let mut lines = Lines::default();
            for i in 0..n {
                let index = u16::try_from(u32::from(i) * u32::from(step) % u32::from(n)).unwrap_or(0);
                lines.add(index, leaf(index), place(0, u32::from(index)));
            }
            lines.flush();
            assert_eq!(lines.below(u32::from(n)).and_then(Stretch::root), Some(expected), "step {step}");
            let pieces: Vec<_> = lines.runs().flat_map(|r| &r.pieces).collect();
            assert_eq!(pieces.len(), 1);
            assert_eq!((pieces[0].first.line, pieces[0].last.line), (0, 299));
        }
    }

    #[test]
    fn overlapping_copies_in_any_order_leave_every_position_present_once() {
        let cuts = [(0u16, 5u16), (0, 9), (0, 12), (0, 15), (0, 40), (3, 20), (38, 60)];
        for turn in 0..cuts.len() {
            let mut lines = Lines::default();
            for (file, &(from, to)) in (0..).zip(cuts.iter().cycle().skip(turn).take(cuts.len())) {
                let mut copy = Lines::default();
                (from..to).for_each(|i| copy.add(i, leaf(i), place(file, u32::from(i))));
                lines.merge(copy);
            }
            lines.gather();
            assert_eq!(lines.count(), 60, "turn {turn}");
            let mut next = 0;
            for piece in lines.pieces() {
                assert_eq!(piece.start, next);
                next = piece.end;
            }
            assert!(lines.many());
        }
    }

    #[test]
    fn what_is_seen_again_goes_to_another_layer_and_memory_stays_bounded() {
        let mut lines = Lines::default();
        for round in 0..1000 {
            lines.add(5, leaf(5), place(0, round));
        }
        lines.flush();
        assert!(lines.crowded);
        assert_eq!(lines.count(), 1);
        assert_eq!(lines.again().count(), MAX_LAYERS - 1);
    }

    #[test]
    fn merging_is_the_same_in_any_grouping() {
        let part = |from: u16, to: u16, file: u32| {
            let mut lines = Lines::default();
            (from..to).for_each(|i| lines.add(i, leaf(i), place(file, u32::from(i))));
            lines
        };
        let mut left = part(0, 10, 0);
        left.merge(part(10, 20, 0));
        left.merge(part(20, 30, 1));
        let mut tail = part(20, 30, 1);
        tail.merge(part(10, 20, 0));
        let mut right = part(0, 10, 0);
        right.merge(tail);
        left.gather();
        right.gather();
        assert_eq!(left.layers, right.layers);
        assert_eq!(left.runs().next().map(|r| r.pieces.len()), Some(2));
    }
}
