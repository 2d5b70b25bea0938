//! The lines of an epoch in the form in which they are remembered: of one file, without what R says as well.

use std::collections::BTreeMap;

use super::{Layer, Lines, MAX_LAYERS, Piece, Place, Run};
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

/// What other scans saw holds nothing that is apart from it: read like this, no bytes lead deeper than one level.
pub(super) mod apart {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Lines, Piece};
    use crate::seal::epoch::Layer;

    #[derive(Serialize, Deserialize)]
    struct Flat {
        seen: BTreeMap<u32, Piece>,
        layers: Vec<Layer>,
        crowded: bool,
        chunks: (u32, u32, u32),
    }

    pub fn serialize<S: Serializer>(apart: &[Lines], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(apart.iter().cloned().map(|lines| Flat {
            seen: lines.seen,
            layers: lines.layers,
            crowded: lines.crowded,
            chunks: lines.chunks,
        }))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Lines>, D::Error> {
        let flat: Vec<Flat> = Vec::deserialize(from)?;
        let lines = |Flat { seen, layers, crowded, chunks }| Lines {
            seen,
            layers,
            crowded,
            chunks,
            ..Lines::default()
        };
        Ok(flat.into_iter().map(lines).collect())
    }
}

/// Do stretches stand one after the other, each under its first index, within an epoch?
fn is_row(stretches: impl Iterator<Item = (u32, u32, u32)>) -> bool {
    let mut end = 0;
    for (key, start, next) in stretches {
        if key != start || start < end || next <= start || next > MOST {
            return false;
        }
        end = next;
    }
    true
}

/// Lines of an epoch, at most.
const MOST: u32 = 1 << 16;

impl Lines {
    /// Could a scan have left this, in places that are there? What was read may hold anything.
    pub(crate) fn is_sound(&self, is_there: &dyn Fn(&Place) -> bool) -> bool {
        let there = |piece: &Piece| is_there(&piece.first) && is_there(&piece.last);
        let sound = |run: &Run| {
            let pieces = run.pieces.iter().map(|piece| (piece.start, piece.start, piece.end));
            let edges =
                run.pieces.first().zip(run.pieces.last()).map(|(first, last)| (first.start, last.end));
            run.tree.is_sound(MOST)
                && run.pieces.iter().all(there)
                && is_row(pieces)
                && edges == Some(run.range())
        };
        let layer = |layer: &Layer| {
            is_row(layer.iter().map(|(key, run)| (*key, run.range().0, run.range().1)))
                && layer.values().all(sound)
        };
        self.layers.len() <= MAX_LAYERS
            && is_row(self.seen.iter().map(|(key, piece)| (*key, piece.start, piece.end)))
            && self.seen.values().all(there)
            && self.layers.iter().all(layer)
            && self.apart.iter().all(|lines| lines.is_sound(is_there))
    }

    /// Says that they were read elsewhere: changes each place.
    pub(crate) fn set_places(&mut self, set: &impl Fn(&mut Place)) {
        self.flush();
        let Self { current: _, seen, layers, crowded: _, apart, chunks } = self;
        let move_piece = |piece: &mut Piece| [&mut piece.first, &mut piece.last].into_iter().for_each(set);
        seen.values_mut().for_each(move_piece);
        let runs = layers.iter_mut().flat_map(|layer| layer.values_mut());
        runs.flat_map(|run| &mut run.pieces).for_each(move_piece);
        for lines in apart.iter_mut() {
            lines.set_places(set);
        }
        let mut ends = [chunks.1, chunks.2].map(|chunk| Place { file: chunks.0, chunk, line: 0, offset: 0 });
        ends.iter_mut().for_each(set);
        *chunks = (ends[0].file, ends[0].chunk, ends[1].chunk);
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
