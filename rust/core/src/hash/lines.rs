//! The hashes of lines (SPEC section 4), straight from where they stand.

use sha2::block_api::compress256;

use super::{Digest, IV, bytes};
use crate::hash::lanes::{compress_pairs, one_by_one};

/// m of a line, as it stands there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Text<'a> {
    /// m is these bytes.
    Whole(&'a [u8]),
    /// m is these bytes and `}`: in the JSON form the seal stands before the brace.
    Open(&'a [u8]),
}

impl Text<'_> {
    /// `H(prefix || m)`: the hash of a line (SPEC section 4).
    #[inline]
    pub(crate) fn hash(self, prefix: u8) -> Digest {
        let mut blocks = LineBlocks::EMPTY;
        blocks.lay(prefix, self);
        let mut state = IV;
        for part in blocks.parts() {
            compress256(&mut state, part);
        }
        bytes(&state)
    }
}

/// The hashes of two lines. They are laid out first and hashed later: a processor would have to wait for
/// bytes that it has only just put together.
pub(crate) struct LinePair<'a>([LineBlocks<'a>; 2]);

impl<'a> LinePair<'a> {
    /// Lays out the blocks of two lines.
    #[inline]
    pub(crate) fn new(texts: [Text<'a>; 2], prefix: u8) -> Self {
        let mut pair = Self([LineBlocks::EMPTY; 2]);
        for (blocks, text) in pair.0.iter_mut().zip(texts) {
            blocks.lay(prefix, text);
        }
        pair
    }

    /// Hashes them; the blocks that one has more than the other are hashed alone.
    #[inline]
    pub(crate) fn hash(&self) -> [Digest; 2] {
        let (mut a, mut b) = (IV, IV);
        let (mut parts_a, mut parts_b) = (self.0[0].parts(), self.0[1].parts());
        while let (Some(in_a), Some(in_b)) = (next_part(&mut parts_a), next_part(&mut parts_b)) {
            let common = in_a.len().min(in_b.len());
            compress_pairs(&mut a, &in_a[..common], &mut b, &in_b[..common]);
            (*in_a, *in_b) = (&in_a[common..], &in_b[common..]);
        }
        for (left_a, left_b) in parts_a.into_iter().zip(parts_b) {
            one_by_one(&mut a, left_a, &mut b, left_b);
        }
        [bytes(&a), bytes(&b)]
    }
}

/// The blocks to hash for a line.
pub(super) struct LineBlocks<'a> {
    /// The prefix and the first 63 bytes of m, if it has them.
    first: [[u8; 64]; 1],
    first_count: usize,
    /// What of m fills whole blocks behind them.
    inside: &'a [[u8; 64]],
    /// What does not fill a block, with the padding: one block or two.
    tail: [[u8; 64]; 2],
    tail_count: usize,
}

impl<'a> LineBlocks<'a> {
    pub(super) const EMPTY: Self =
        Self { first: [[0; 64]], first_count: 0, inside: &[], tail: [[0; 64]; 2], tail_count: 0 };

    /// Lays out a line in the place of another one.
    #[inline]
    pub(super) fn lay(&mut self, prefix: u8, text: Text<'a>) {
        self.tail = [[0; 64]; 2];
        let (m, last) = match text {
            Text::Whole(m) => (m, None),
            Text::Open(m) => (m, Some(b'}')),
        };
        let end = self.tail.as_flattened_mut();
        let (rest, mut filled) = if let Some((first, others)) = m.split_first_chunk::<63>() {
            let [block] = &mut self.first;
            block[0] = prefix;
            block[1..].copy_from_slice(first);
            self.first_count = 1;
            let (inside, rest) = others.as_chunks::<64>();
            self.inside = inside;
            (rest, 0)
        } else {
            self.first_count = 0;
            self.inside = &[];
            end[0] = prefix;
            (m, 1)
        };
        end[filled..filled + rest.len()].copy_from_slice(rest);
        filled += rest.len();
        if let Some(byte) = last {
            end[filled] = byte;
            filled += 1;
        }
        end[filled] = 0x80;
        self.tail_count = if filled < 56 { 1 } else { 2 };
        let length = m.len() as u64 + 1 + u64::from(last.is_some());
        self.tail[self.tail_count - 1][56..].copy_from_slice(&(length * 8).to_be_bytes());
    }

    /// How many blocks there are.
    #[inline]
    pub(super) fn count(&self) -> usize {
        self.first_count + self.inside.len() + self.tail_count
    }

    /// The block with a number; past the end, any.
    #[inline]
    pub(super) fn block(&self, at: usize) -> &[u8; 64] {
        let Some(behind) = at.checked_sub(self.first_count) else { return &self.first[0] };
        self.inside.get(behind).unwrap_or_else(|| &self.tail[usize::from(behind > self.inside.len())])
    }

    #[inline]
    fn parts(&self) -> [&[[u8; 64]]; 3] {
        [&self.first[..self.first_count], self.inside, &self.tail[..self.tail_count]]
    }
}

/// The first part that is not used up.
#[inline]
fn next_part<'p, 'a>(parts: &'p mut [&'a [[u8; 64]]; 3]) -> Option<&'p mut &'a [[u8; 64]]> {
    parts.iter_mut().find(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{line_hash, sha256};
    use sha2::{Digest as _, Sha256};

    #[test]
    fn every_length_around_the_block_edges_hashes_like_the_library() {
        let data: Vec<u8> = (0..400u32).map(|i| (i * 7 % 251) as u8).collect();
        for n in 0..data.len() {
            let m = &data[..n];
            let whole: Digest = Sha256::digest([&[2u8], m].concat()).into();
            assert_eq!(line_hash(2, m), whole, "line_hash of {n} bytes");
            assert_eq!(Text::Open(m).hash(2), sha256(&[&[2], m, b"}"]), "a JSON line of {n} bytes");
            for cut in [0, n / 3, n] {
                assert_eq!(sha256(&[&[2], &m[..cut], &m[cut..]]), whole, "sha256 of {n} bytes");
            }
        }
    }

    #[test]
    fn two_lines_of_any_lengths_hash_as_each_does_alone() {
        let data: Vec<u8> = (0..400u32).map(|i| (i * 11 % 251) as u8).collect();
        for n in (0..400).step_by(3) {
            for o in [0, 1, 54, 55, 62, 63, 64, 118, 119, 126, 127, 191, 255, 399] {
                let texts = [Text::Open(&data[..n]), Text::Whole(&data[..o])];
                assert_eq!(
                    LinePair::new(texts, 2).hash(),
                    texts.map(|text| text.hash(2)),
                    "{n} and {o} bytes"
                );
            }
        }
    }
}
