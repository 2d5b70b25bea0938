//! The Merkle tree of RFC 6962 section 2.1 over leaf hashes (SPEC sections 2, 3 and 5).
//!
//! ```
//! use tallystick_core::{hash::sha256, seal::tree};
//! let leaves: Vec<_> = (0..3u32).map(|i| sha256(&[&[0], &i.to_be_bytes()])).collect();
//! let path = tree::path(&leaves, 1);
//! assert_eq!(tree::climb(leaves[1], 1, 3, &path), Some(tree::root(&leaves)));
//! ```

pub mod consistency;

use crate::hash::lanes::LANES;
use crate::hash::lanes::wide::Wide;
use crate::hash::{Digest, node, node_pair, nodes, sha256};

/// Leaf hash of a public key: `H(0x00 || pk)`.
#[must_use]
pub fn key_leaf(pk: &[u8; 32]) -> Digest {
    sha256(&[&[0], pk])
}

/// Root of the tree of nothing: `H("")`.
#[must_use]
pub fn empty_root() -> Digest {
    sha256(&[])
}

/// A stretch `[start, end)` of leaves, kept as the fewest aligned subtrees that cover it.
///
/// Two stretches that touch can be joined in any order, which is what makes a scan mergeable.
/// The stretch `[0, n)` folds to MTH of n leaves.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Stretch {
    start: u32,
    end: u32,
    nodes: Vec<Digest>,
}

impl Stretch {
    /// An empty stretch that begins at leaf `start`.
    #[must_use]
    pub fn at(start: u32) -> Self {
        Self { start, end: start, nodes: Vec::new() }
    }

    /// First leaf and the one after the last.
    #[must_use]
    pub fn range(&self) -> (u32, u32) {
        (self.start, self.end)
    }

    /// Adds the leaf with number `end`.
    #[inline]
    pub fn push(&mut self, leaf: Digest) {
        self.push_subtree(0, leaf);
    }

    /// Adds a subtree of `2^level` leaves that begins at `end`, a multiple of its size.
    fn push_subtree(&mut self, mut level: u32, mut hash: Digest) {
        let begin = self.end;
        self.end += 1 << level;
        // A right child whose left sibling lies inside the stretch is the last node's partner.
        while (begin >> level) & 1 == 1 && ((begin >> level) - 1) << level >= self.start {
            let Some(left) = self.nodes.pop() else { break };
            hash = node(&left, &hash);
            level += 1;
        }
        self.nodes.push(hash);
    }

    /// Adds [`GROUP`] leaves; `end` is a multiple of that.
    fn push_group(&mut self, mut leaves: [Digest; GROUP]) {
        let mut count = GROUP;
        while let (Some(wide), true) = (Wide::here(), count >= 2 * LANES) {
            for from in (0..count).step_by(2 * LANES) {
                let children = std::array::from_fn(|i| leaves[from + i]);
                leaves[from / 2..][..LANES].copy_from_slice(&nodes(wide, &children));
            }
            count /= 2;
        }
        while count > 2 {
            // The nodes of one level do not wait for each other.
            for four in 0..count / 4 {
                let children = std::array::from_fn(|i| leaves[4 * four + i]);
                leaves[2 * four..][..2].copy_from_slice(&node_pair(&children));
            }
            count /= 2;
        }
        self.push_subtree(LEVEL, node(&leaves[0], &leaves[1]));
    }

    /// Appends a stretch that begins where this one ends.
    pub fn join(&mut self, next: &Stretch) {
        debug_assert_eq!(self.end, next.start);
        let mut at = next.start;
        for hash in &next.nodes {
            let level = subtree_level(at, next.end);
            self.push_subtree(level, *hash);
            at += 1 << level;
        }
    }

    /// MTH over leaves 0 to `end`; `None` if the stretch does not begin at 0.
    #[must_use]
    pub fn root(&self) -> Option<Digest> {
        if self.start != 0 {
            return None;
        }
        let mut nodes = self.nodes.iter().rev();
        let Some(last) = nodes.next() else { return Some(empty_root()) };
        Some(nodes.fold(*last, |right, left| node(left, &right)))
    }

    /// The tree over the leaves `0 .. end`, of which only the root is known. What is appended to it gives a wrong
    /// tree, which no R matches.
    pub(crate) fn of_root(end: u32, root: Digest) -> Self {
        Self { start: 0, end, nodes: vec![root] }
    }

    /// Has it as many nodes as its leaves take, none of them at or beyond `most`? One that was read may hold anything.
    pub(crate) fn is_sound(&self, most: u32) -> bool {
        if self.start > self.end || self.end > most {
            return false;
        }
        let (mut at, mut count) = (self.start, 0);
        while at < self.end {
            at += 1 << subtree_level(at, self.end);
            count += 1;
        }
        let is_root = self.start == 0 && self.nodes.len() == 1;
        self.nodes.len() == count || (count > 0 && is_root)
    }

    /// Is this the tree over the same leaves, whichever of the two is known by its root only?
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let whole = || self.root().is_some_and(|root| other.root() == Some(root));
        self.range() == other.range() && (self.nodes == other.nodes || whole())
    }
}

/// Level of the subtrees whose leaves are hashed together, and the number of those leaves.
const LEVEL: u32 = 9;
const GROUP: usize = 1 << LEVEL;

/// A stretch under construction, leaf by leaf; the tree over them is hashed a group at a time.
#[derive(Debug, Clone, Default)]
pub struct Growing {
    stretch: Stretch,
    /// Leaves after the stretch, fewer than a group; the first stands at a multiple of [`GROUP`].
    waiting: Vec<Digest>,
}

impl Growing {
    /// An empty stretch that begins at leaf `start`.
    #[must_use]
    pub fn at(start: u32) -> Self {
        Self { stretch: Stretch::at(start), waiting: Vec::new() }
    }

    /// Adds a leaf.
    #[inline]
    pub fn push(&mut self, leaf: Digest) {
        if self.waiting.is_empty() {
            if self.stretch.end.trailing_zeros() < LEVEL {
                self.stretch.push(leaf);
                return;
            }
            self.waiting.reserve_exact(GROUP);
        }
        self.waiting.push(leaf);
        if let Ok(group) = self.waiting.as_slice().try_into() {
            self.stretch.push_group(group);
            self.waiting.clear();
        }
    }

    /// The stretch of all leaves so far.
    #[must_use]
    pub fn finish(self) -> Stretch {
        let mut stretch = self.stretch;
        self.waiting.into_iter().for_each(|leaf| stretch.push(leaf));
        stretch
    }
}

/// Level of the subtree that stands at leaf `at` in the cover of a stretch that ends at `end`.
fn subtree_level(at: u32, end: u32) -> u32 {
    let fits = (end - at).ilog2();
    if at == 0 { fits } else { fits.min(at.trailing_zeros()) }
}

/// MTH over leaf hashes.
#[must_use]
pub fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => empty_root(),
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node(&root(left), &root(right))
        }
    }
}

/// Largest power of two below `n` (n at least 2).
fn split(n: usize) -> usize {
    1 << (n - 1).ilog2()
}

/// Inclusion proof of leaf `index`: sibling hashes from the leaf up.
#[must_use]
pub fn path(leaves: &[Digest], index: usize) -> Vec<Digest> {
    if leaves.len() < 2 || index >= leaves.len() {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    if index < left.len() {
        let mut up = path(left, index);
        up.push(root(right));
        up
    } else {
        let mut up = path(right, index - left.len());
        up.push(root(left));
        up
    }
}

/// The root that a proof leads to from leaf `index` of `n`; `None` if its length is wrong.
#[must_use]
pub fn climb(leaf: Digest, index: usize, n: usize, path: &[Digest]) -> Option<Digest> {
    if index >= n {
        return None;
    }
    if n == 1 {
        return path.is_empty().then_some(leaf);
    }
    let (sibling, below) = path.split_last()?;
    let half = split(n);
    if index < half {
        Some(node(&climb(leaf, index, half, below)?, sibling))
    } else {
        Some(node(sibling, &climb(leaf, index - half, n - half, below)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(n: u32) -> Vec<Digest> {
        (0..n).map(|i| sha256(&[&[0], &i.to_be_bytes()])).collect()
    }

    fn stretch(leaves: &[Digest], from: u32, to: u32) -> Stretch {
        let mut out = Stretch::at(from);
        for leaf in &leaves[from as usize..to as usize] {
            out.push(*leaf);
        }
        out
    }

    #[test]
    fn a_stretch_from_zero_folds_to_the_root_for_every_size() {
        let all = leaves(70);
        for n in 0..=70 {
            assert_eq!(stretch(&all, 0, n).root(), Some(root(&all[..n as usize])), "{n} leaves");
        }
    }

    #[test]
    fn a_growing_stretch_is_the_stretch_in_one_go_wherever_it_begins() {
        let all = leaves(140);
        for from in 0..70 {
            let mut growing = Growing::at(from);
            for to in from..140 {
                assert_eq!(growing.clone().finish(), stretch(&all, from, to), "{from} to {to}");
                growing.push(all[to as usize]);
            }
        }
    }

    #[test]
    fn stretches_joined_in_any_grouping_are_the_stretch_in_one_go() {
        let all = leaves(64);
        for a in 0..64 {
            for b in a..=64 {
                for c in [b, u32::midpoint(b, 64), 64] {
                    let (left, mid, right) = (stretch(&all, a, b), stretch(&all, b, c), stretch(&all, c, 64));
                    let mut one = left.clone();
                    one.join(&mid);
                    one.join(&right);
                    let mut tail = mid.clone();
                    tail.join(&right);
                    let mut two = left.clone();
                    two.join(&tail);
                    assert_eq!(one, stretch(&all, a, 64));
                    assert_eq!(one, two);
                }
            }
        }
    }

    #[test]
    fn a_proof_climbs_to_the_root_and_a_wrong_one_does_not() {
        for n in 1..20usize {
            let all = leaves(20)[..n].to_vec();
            for i in 0..n {
                let good = path(&all, i);
                assert_eq!(climb(all[i], i, n, &good), Some(root(&all)));
                let mut long = good.clone();
                long.push(all[0]);
                assert_eq!(climb(all[i], i, n, &long), None);
                if !good.is_empty() {
                    assert_eq!(climb(all[i], i, n, &good[1..]), None);
                    assert_ne!(climb(all[i], (i + 1) % n, n, &good), Some(root(&all)));
                }
            }
        }
    }
}
