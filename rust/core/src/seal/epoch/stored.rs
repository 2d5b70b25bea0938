//! The lines of an epoch in the form in which they are remembered: of one file, without what R says as well.

use std::collections::BTreeMap;

use super::{Lines, Piece, Place, Run};
use crate::hash::Digest;
use crate::seal::tree::Stretch;

impl Place {
    /// How far it stands after another one; one in a later chunk gives numbers that only [`after`](Self::after) reads.
    pub(crate) fn since(self, other: Self) -> Self {
        Self {
            file: self.file,
            chunk: self.chunk.wrapping_sub(other.chunk),
            line: self.line.wrapping_sub(other.line),
            offset: self.offset.wrapping_sub(other.offset),
        }
    }

    /// The place that stands so far after another one.
    pub(crate) fn after(self, other: Self) -> Self {
        Self {
            file: self.file,
            chunk: self.chunk.wrapping_add(other.chunk),
            line: self.line.wrapping_add(other.line),
            offset: self.offset.wrapping_add(other.offset),
        }
    }
}

impl Lines {
    /// Says that all of them were read in one file, by its number.
    pub(crate) fn in_file(&mut self, file: u32) {
        self.flush();
        let Self { current: _, seen, layers, crowded: _, apart, chunks } = self;
        let set = |piece: &mut Piece| (piece.first.file, piece.last.file) = (file, file);
        seen.values_mut().for_each(set);
        let runs = layers.iter_mut().flat_map(|layer| layer.values_mut());
        runs.flat_map(|run| &mut run.pieces).for_each(set);
        for lines in apart.iter_mut() {
            lines.in_file(file);
        }
        chunks.0 = file;
    }

    /// Leaves the tree over the indices `0 .. n` out, if there is nothing else and R covers it.
    pub(crate) fn pack(&mut self, n: u32, root: Digest) {
        self.flush();
        let is_plain = match self.layers.as_slice() {
            [layer] if self.apart.is_empty() && layer.len() == 1 => layer.get(&0).is_some_and(|run| {
                run.range() == (0, n) && run.tree.root() == Some(root) && self.seen.values().eq(&run.pieces)
            }),
            _ => false,
        };
        if is_plain {
            self.layers.clear();
        }
    }

    /// Puts R in the place of the tree that was left out.
    pub(crate) fn unpack(&mut self, n: u32, root: Digest) {
        if self.layers.is_empty() && !self.seen.is_empty() {
            let pieces = self.seen.values().copied().collect();
            let run = Run { tree: Stretch::of_root(n, root), pieces };
            self.layers.push(BTreeMap::from([(0, run)]));
        }
    }

    /// Was the tree over them left out? Gives them, if they stand in one piece.
    pub(crate) fn packed(&mut self) -> Option<&mut Piece> {
        let is_packed = self.layers.is_empty() && self.apart.is_empty() && self.seen.len() == 1;
        self.seen.values_mut().next().filter(|_| is_packed)
    }
}
