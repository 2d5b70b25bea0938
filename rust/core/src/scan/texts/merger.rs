//! Blocks of texts, put together in the order of positions.

use std::collections::BTreeMap;

use super::Block;
use crate::line::Position;

/// A block of which some lines were given.
struct Cursor {
    block: Block,
    next: usize,
}

impl Cursor {
    fn at(&self) -> Option<Position> {
        self.block.lines.get(self.next).map(|line| line.at)
    }
}

/// Chain and epoch.
type Epoch = (u32, u8);

/// Positions whose lines were given: of each epoch ranges of indices, sorted and apart.
#[derive(Default)]
struct Given {
    epochs: BTreeMap<Epoch, Vec<(u32, u32)>>,
    /// Those of the epoch that was asked for last are out of the map.
    last: Option<(Epoch, Vec<(u32, u32)>)>,
}

impl Given {
    /// Notes a position; `false` if it was noted before.
    fn add(&mut self, at: Position) -> bool {
        let epoch = (at.chain, at.epoch);
        if self.last.as_ref().is_none_or(|(known, _)| *known != epoch) {
            let ranges = self.epochs.remove(&epoch).unwrap_or_default();
            if let Some((known, ranges)) = self.last.replace((epoch, ranges)) {
                self.epochs.insert(known, ranges);
            }
        }
        let Some((_, ranges)) = &mut self.last else { return false };
        let index = u32::from(at.index);
        let after = ranges.partition_point(|(start, _)| *start <= index);
        if let Some((_, end)) = after.checked_sub(1).map(|before| &mut ranges[before]) {
            if *end > index {
                return false;
            }
            if *end == index {
                *end += 1;
                if ranges.get(after).is_some_and(|(start, _)| *start == index + 1) {
                    ranges[after - 1].1 = ranges.remove(after).1;
                }
                return true;
            }
        }
        match ranges.get_mut(after) {
            Some((start, _)) if *start == index + 1 => *start = index,
            _ => ranges.insert(after, (index, index + 1)),
        }
        true
    }
}

/// Puts blocks together: lines in the order of their positions, each position once.
#[derive(Default)]
pub struct Merger {
    cursors: Vec<Cursor>,
    given: Given,
}

impl Merger {
    /// Takes a block in.
    pub fn add(&mut self, block: Block) {
        self.cursors.push(Cursor { block, next: 0 });
        self.forget_empty();
    }

    /// Blocks of which lines are left.
    #[must_use]
    pub fn held(&self) -> usize {
        self.cursors.len()
    }

    /// Gives the lines before a position, or all; some bytes at a time, none at the end.
    pub fn take(&mut self, before: Option<Position>, most: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while out.len() < most {
            let Some((number, until)) = self.lowest(before) else { break };
            let (cursor, given) = (&mut self.cursors[number], &mut self.given);
            // Neighbours that are all given go out as one piece.
            let mut from = cursor.next;
            let mut piece = 0;
            while let Some(line) = cursor.block.lines.get(cursor.next)
                && until.is_none_or(|(until, beyond)| line.at < until || (!beyond && line.at == until))
                && out.len() + piece < most
            {
                if line.holds && !given.add(line.at) {
                    push(&cursor.block, from, cursor.next, &mut out);
                    (from, piece) = (cursor.next + 1, 0);
                } else {
                    piece += cursor.block.text_of(cursor.next).len();
                }
                cursor.next += 1;
            }
            push(&cursor.block, from, cursor.next, &mut out);
            self.forget_empty();
        }
        out
    }

    /// The block with the lowest line before a position, and up to where its lines come before all others; that
    /// position itself is beyond it where the caller named it.
    fn lowest(&self, before: Option<Position>) -> Option<(usize, Option<(Position, bool)>)> {
        let mut heads: Vec<_> = self
            .cursors
            .iter()
            .enumerate()
            .filter_map(|(number, cursor)| Some((cursor.at()?, number)))
            .collect();
        heads.sort_unstable();
        let (at, number) = *heads.first()?;
        if before.is_some_and(|before| at >= before) {
            return None;
        }
        let other = heads.get(1).map(|(at, _)| (*at, false));
        let bound = before.map(|at| (at, true));
        let until = match (other, bound) {
            (Some(other), Some(bound)) if other.0 < bound.0 => Some(other),
            (other, None) => other,
            (_, bound) => bound,
        };
        Some((number, until))
    }

    fn forget_empty(&mut self) {
        self.cursors.retain(|cursor| cursor.at().is_some());
    }
}

/// Gives some lines of a block.
fn push(block: &Block, from: usize, to: usize, out: &mut Vec<u8>) {
    let end = |line: usize| line.checked_sub(1).map_or(0, |before| block.lines[before].end);
    if from < to {
        out.extend_from_slice(&block.text[end(from)..end(to)]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Line;
    use super::*;

    fn block(lines: &[(u32, u16, &str)]) -> Block {
        let mut block = Block::default();
        for (chain, index, text) in lines {
            block.text.extend_from_slice(text.as_bytes());
            let at = Position::new(*chain, 0, *index);
            block.lines.push(Line { at, end: block.text.len(), holds: *text != "!" });
        }
        block.sort();
        block
    }

    fn all(merger: &mut Merger, most: usize) -> String {
        let mut out = Vec::new();
        loop {
            let piece = merger.take(None, most);
            if piece.is_empty() {
                return String::from_utf8_lossy(&out).into_owned();
            }
            out.extend(piece);
        }
    }

    #[test]
    fn lines_come_by_position_and_each_position_once_whatever_the_pieces() {
        for most in [1, 2, 100] {
            let mut merger = Merger::default();
            merger.add(block(&[(1, 5, "e"), (1, 1, "a"), (1, 3, "c"), (1, 3, "c")]));
            merger.add(block(&[(1, 2, "b"), (1, 3, "c"), (1, 4, "d"), (2, 1, "g")]));
            merger.add(block(&[(1, 6, "f")]));
            merger.add(block(&[]));
            assert_eq!(merger.held(), 3);
            assert_eq!(all(&mut merger, most), "abcdefg", "{most}");
            assert_eq!(merger.held(), 0);
            merger.add(block(&[(1, 1, "a"), (1, 7, "h"), (2, 1, "g")]));
            assert_eq!(all(&mut merger, most), "h");
        }
    }

    #[test]
    fn what_comes_at_a_position_or_after_it_stays() {
        let mut merger = Merger::default();
        merger.add(block(&[(1, 1, "a"), (1, 2, "b"), (1, 4, "d")]));
        assert_eq!(merger.take(Some(Position::new(1, 0, 2)), 100), b"a");
        merger.add(block(&[(1, 2, "b"), (1, 3, "c")]));
        assert_eq!(merger.take(Some(Position::new(1, 0, 4)), 100), b"bc");
        assert_eq!(merger.take(None, 100), b"d");
    }

    #[test]
    fn a_line_that_does_not_hold_stays_after_the_one_before_it_and_takes_no_position() {
        let mut merger = Merger::default();
        merger.add(block(&[(1, 3, "c"), (1, 1, "a"), (1, 1, "!"), (1, 2, "b")]));
        merger.add(block(&[(1, 1, "!")]));
        assert_eq!(all(&mut merger, 100), "a!!bc");
    }

    #[test]
    fn positions_are_given_once_in_any_order() {
        for step in [1u16, 7, 131, 299] {
            let mut given = Given::default();
            for round in 0..2 {
                for i in 0..300u32 {
                    let index = u16::try_from(i * u32::from(step) % 300).unwrap_or(0);
                    assert_eq!(given.add(Position::new(1, 0, index)), round == 0);
                }
            }
            assert_eq!(given.last, Some(((1, 0), vec![(0, 300)])));
        }
    }
}
