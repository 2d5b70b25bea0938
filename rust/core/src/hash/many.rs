//! Sixteen lines at a time: what they need is laid out word by word, a lane for each line.
//!
//! A digest is then the first half of a block as it stands, without a detour through bytes.

use sha2::block_api::compress256;

use super::lanes::wide::Wide;
use super::lanes::{LANES, Row};
use super::lines::{LineBlocks, Text};
use super::sha256::{Digest, INNER, IV, Mac, OUTER, ratchet, wipe};

/// All lanes.
const ALL: u16 = u16::MAX;

/// With fewer lines that still have blocks, the others' lanes are wasted on them.
pub(super) const FEWEST: u32 = 8;

/// Sixteen lines, laid out to be hashed.
pub(crate) struct ManyLines<'a>([LineBlocks<'a>; LANES]);

/// Sixteen entry keys, a lane for each; wiped when they go, and written over by others until then.
///
/// Each stands in the first half of a block, with zeros after it.
pub(crate) struct ManyKeys([[u8; 64]; LANES]);

/// Sixteen lines, and for each the tag that stands in it and the key that it should be under.
pub(crate) struct Many<'a> {
    lines: ManyLines<'a>,
    /// Word by word.
    tags: [Row; 4],
    keys: ManyKeys,
}

fn start() -> [Row; 8] {
    IV.map(|word| [word; LANES])
}

/// A block whose words after the given ones are padding, for a message of some bytes.
fn padded<const N: usize>(words: &[Row; N], bytes: u32) -> [Row; 16] {
    let mut block = [[0; LANES]; 16];
    block[..N].copy_from_slice(words);
    block[N] = [0x8000_0000; LANES];
    block[15] = [8 * bytes; LANES];
    block
}

/// Takes the blocks of a message for each lane into the states, so many in each lane; past its end, `block` gives any.
#[inline]
fn take_in<'b>(
    wide: Wide,
    states: &mut [Row; 8],
    counts: &[usize; LANES],
    block: impl Fn(usize, usize) -> &'b [u8; 64],
) {
    let (mut rows, mut at) = ([[0; LANES]; 16], 0);
    loop {
        let lanes = (0..LANES).fold(0, |lanes, i| lanes | u16::from(counts[i] > at) << i);
        if lanes.count_ones() < FEWEST {
            break;
        }
        wide.words(&std::array::from_fn(|i| block(i, at)), &mut rows);
        wide.compress(states, &rows, lanes);
        at += 1;
    }
    for lane in (0..LANES).filter(|lane| counts[*lane] > at) {
        let mut state = states.map(|row| row[lane]);
        for at in at..counts[lane] {
            compress256(&mut state, std::slice::from_ref(block(lane, at)));
        }
        for (row, word) in states.iter_mut().zip(state) {
            row[lane] = word;
        }
    }
}

/// The words of a message that is a byte and then these words; the last one's last byte is not in them.
fn after(byte: u32, words: &[Row], out: &mut [Row]) {
    let mut before = &[byte; LANES];
    for (word, place) in words.iter().zip(out) {
        for lane in 0..LANES {
            place[lane] = before[lane] << 24 | word[lane] >> 8;
        }
        before = word;
    }
}

impl<'a> ManyLines<'a> {
    /// No lines yet.
    pub(crate) fn new() -> Self {
        Self([const { LineBlocks::EMPTY }; LANES])
    }

    /// Lays out a line in its lane.
    #[inline]
    pub(crate) fn lay(&mut self, lane: usize, prefix: u8, text: Text<'a>) {
        self.0[lane].lay(prefix, text);
    }

    /// The hashes of the lines in the first lanes, word by word.
    pub(crate) fn hashes(&self, wide: Wide, lanes: usize) -> [Row; 8] {
        let mut counts = [0; LANES];
        for (count, line) in counts.iter_mut().zip(&self.0[..lanes]) {
            *count = line.count();
        }
        let mut states = start();
        take_in(wide, &mut states, &counts, |lane, at| self.0[lane].block(at));
        states
    }
}

impl ManyKeys {
    /// No keys yet.
    pub(crate) fn new() -> Self {
        Self([[0; 64]; LANES])
    }

    /// Puts a key in its lane.
    #[inline]
    pub(crate) fn put(&mut self, lane: usize, key: &[u8; 32]) {
        self.0[lane][..32].copy_from_slice(key);
    }

    /// Takes the keys' own blocks into the two halves of HMAC.
    #[inline]
    fn take_into(&self, wide: Wide, inner: &mut [Row; 8], outer: &mut [Row; 8]) {
        let mut rows = [[0; LANES]; 16];
        wide.words(&self.0.each_ref(), &mut rows);
        for (state, pad) in [(inner, INNER), (outer, INNER ^ OUTER)] {
            let pad = u32::from_be_bytes([pad; 4]);
            rows.as_flattened_mut().iter_mut().for_each(|word| *word ^= pad);
            wide.compress(state, &rows, ALL);
        }
        wipe(rows.as_flattened_mut());
    }

    /// The MACs under these keys, with whole blocks of a message for each taken in.
    pub(super) fn macs(&self, wide: Wide, blocks: &[&[[u8; 64]]; LANES]) -> [Mac; LANES] {
        let (mut inner, mut outer) = (start(), start());
        self.take_into(wide, &mut inner, &mut outer);
        let counts = blocks.map(<[_]>::len);
        take_in(wide, &mut inner, &counts, |lane, at| blocks[lane].get(at).unwrap_or(&[0; 64]));
        let macs = std::array::from_fn(|lane| Mac {
            inner: inner.map(|row| row[lane]),
            outer: outer.map(|row| row[lane]),
        });
        wipe(inner.as_flattened_mut());
        wipe(outer.as_flattened_mut());
        macs
    }

    /// The tags of lines with these hashes under these keys, word by word.
    pub(crate) fn tags(&self, wide: Wide, hashes: &[Row; 8]) -> [Row; 4] {
        let (mut inner, mut outer) = (start(), start());
        self.take_into(wide, &mut inner, &mut outer);
        wide.compress(&mut inner, &padded(hashes, 64 + 32), ALL);
        wide.compress(&mut outer, &padded(&inner, 64 + 32), ALL);
        let tags = std::array::from_fn(|i| outer[i]);
        wipe(inner.as_flattened_mut());
        wipe(outer.as_flattened_mut());
        tags
    }
}

impl Drop for ManyKeys {
    fn drop(&mut self) {
        wipe(self.0.as_flattened_mut());
    }
}

impl<'a> Many<'a> {
    /// No lines yet.
    pub(crate) fn new() -> Self {
        Self { lines: ManyLines::new(), tags: [[0; LANES]; 4], keys: ManyKeys::new() }
    }

    /// Lays out a line in its lane.
    #[inline]
    pub(crate) fn lay(&mut self, lane: usize, prefix: u8, text: Text<'a>, tag: &[u8; 16]) {
        self.lines.lay(lane, prefix, text);
        for (row, word) in self.tags.iter_mut().zip(tag.as_chunks::<4>().0) {
            row[lane] = u32::from_be_bytes(*word);
        }
    }

    /// The key for the line in a lane.
    #[inline]
    pub(crate) fn key(&mut self, lane: usize, key: &[u8; 32]) {
        self.keys.put(lane, key);
    }

    /// The hashes of the lines in the first lanes, word by word.
    pub(crate) fn hashes(&self, wide: Wide, lanes: usize) -> [Row; 8] {
        self.lines.hashes(wide, lanes)
    }

    /// Which lines with these hashes have the tag that they should have?
    pub(crate) fn authentic(&self, wide: Wide, hashes: &[Row; 8]) -> [bool; LANES] {
        let mut tags = self.keys.tags(wide, hashes);
        let same = std::array::from_fn(|lane| (0..4).all(|i| tags[i][lane] == self.tags[i][lane]));
        wipe(tags.as_flattened_mut());
        same
    }

    /// The leaves of the lines with these hashes.
    pub(crate) fn leaves(&self, wide: Wide, hashes: &[Row; 8]) -> [Digest; LANES] {
        leaves(wide, &self.tags, hashes)
    }
}

/// The leaves of lines with these tags and hashes.
pub(crate) fn leaves(wide: Wide, tags: &[Row; 4], hashes: &[Row; 8]) -> [Digest; LANES] {
    let (mut states, mut words, mut digests) = (start(), [[0; LANES]; 13], [[0; 32]; LANES]);
    words[..4].copy_from_slice(tags);
    words[4..12].copy_from_slice(hashes);
    words[12] = [0x8000_0000; LANES];
    let mut block = [[0; LANES]; 16];
    after(0, &words, &mut block);
    block[15] = [392; LANES];
    wide.compress(&mut states, &block, ALL);
    wide.digests(&states, &mut digests);
    digests
}

/// The keys after some entry keys, at most as many as there are lanes (SPEC section 3).
pub(crate) fn ratchets(keys: &mut [[u8; 32]]) {
    let Some(wide) = Wide::here().filter(|_| keys.len() > 1) else {
        for key in keys.iter_mut() {
            *key = ratchet(key);
        }
        return;
    };
    let (mut states, mut words) = (start(), [[0; LANES]; 8]);
    for (lane, key) in keys.iter().enumerate() {
        for (row, word) in words.iter_mut().zip(key.as_chunks::<4>().0) {
            row[lane] = u32::from_be_bytes(*word);
        }
    }
    let mut block = padded(&words, 32);
    wide.compress(&mut states, &block, ALL >> (LANES - keys.len()));
    for (lane, key) in keys.iter_mut().enumerate() {
        for (row, word) in states.iter().zip(key.as_chunks_mut::<4>().0) {
            *word = row[lane].to_be_bytes();
        }
    }
    wipe(words.as_flattened_mut());
    wipe(block[..8].as_flattened_mut());
    wipe(states.as_flattened_mut());
}

/// The tag that stands in a lane.
#[inline]
pub(crate) fn tag_in(tags: &[Row; 4], lane: usize) -> [u8; 16] {
    let mut tag = [0; 16];
    for (place, row) in tag.as_chunks_mut::<4>().0.iter_mut().zip(tags) {
        *place = row[lane].to_be_bytes();
    }
    tag
}

/// Sixteen inner nodes that stand next to each other.
pub(crate) fn nodes(wide: Wide, children: &[Digest; 2 * LANES]) -> [Digest; LANES] {
    let (mut states, mut words, mut digests) = (start(), [[0; LANES]; 16], [[0; 32]; LANES]);
    let (pairs, _) = children.as_flattened().as_chunks::<64>();
    wide.words(&std::array::from_fn(|i| &pairs[i]), &mut words);
    let mut block = [[0; LANES]; 16];
    after(1, &words, &mut block);
    wide.compress(&mut states, &block, ALL);
    block = [[0; LANES]; 16];
    after(0, &[[0x8000_0000; LANES]], &mut block);
    for (word, last) in block[0].iter_mut().zip(words[15]) {
        *word |= last << 24;
    }
    block[15] = [520; LANES];
    wide.compress(&mut states, &block, ALL);
    wide.digests(&states, &mut digests);
    digests
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{leaf, node, sha256, tag};

    #[test]
    fn sixteen_lines_of_any_lengths_give_what_each_gives_alone() {
        let data: Vec<u8> = (0..3000u32).map(|i| (i * 11 % 251) as u8).collect();
        let mut many = Many::new();
        for round in 0..300 {
            // Lengths close to each other, far from each other, and around the block edges.
            let texts: [Text<'_>; LANES] = std::array::from_fn(|i| {
                let length = [round + i, (round * 7 + i * 731) % 3000, 48 + (round + i) % 32][round % 3];
                if (round + i).is_multiple_of(2) {
                    Text::Whole(&data[..length])
                } else {
                    Text::Open(&data[..length])
                }
            });
            let prefix = if round % 5 == 0 { 3 } else { 2 };
            let hashes = texts.map(|text| text.hash(prefix));
            let keys = hashes.map(|hash| sha256(&[b"key", &hash]));
            let mut tags: [[u8; 16]; LANES] = std::array::from_fn(|i| tag(&keys[i], &hashes[i]));
            let altered = round % LANES;
            tags[altered][round % 16] ^= 1;
            for i in 0..LANES {
                many.lay(i, prefix, texts[i], &tags[i]);
                many.key(i, &keys[i]);
            }
            for wide in Wide::all() {
                let rows = many.hashes(wide, LANES);
                assert_eq!(many.authentic(wide, &rows), std::array::from_fn(|i| i != altered));
                assert_eq!(many.leaves(wide, &rows), std::array::from_fn(|i| leaf(&tags[i], &hashes[i])));
            }
        }
    }

    #[test]
    fn any_number_of_keys_go_on_as_each_does_alone() {
        for count in 0..=LANES {
            let mut keys: Vec<Digest> = (0..count).map(|i| sha256(&[&i.to_be_bytes()])).collect();
            let after: Vec<Digest> = keys.iter().map(ratchet).collect();
            ratchets(&mut keys);
            assert_eq!(keys, after);
        }
    }

    #[test]
    fn sixteen_nodes_are_what_each_is_alone() {
        let children: [Digest; 2 * LANES] = std::array::from_fn(|i| sha256(&[&i.to_be_bytes()]));
        let expected: [Digest; LANES] = std::array::from_fn(|i| node(&children[2 * i], &children[2 * i + 1]));
        for wide in Wide::all() {
            assert_eq!(nodes(wide, &children), expected, "{wide:?}");
        }
    }
}
