//! SHA-256, HMAC and HKDF, block by block.

use sha2::block_api::compress256;
use zeroize::Zeroize as _;

use super::lanes::{compress_pair, compress_pairs};

/// A SHA-256 value.
pub type Digest = [u8; 32];

pub(super) const IV: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// Overwrites what held key material; a slice is wiped in wide stores, an array byte by byte.
#[inline]
pub(crate) fn wipe<T: zeroize::DefaultIsZeroes>(held: &mut [T]) {
    if cfg!(not(feature = "keep-traces")) {
        held.zeroize();
    }
}

#[inline]
pub(super) fn bytes(state: &[u32; 8]) -> Digest {
    let mut out = [0; 32];
    for (word, place) in state.iter().zip(out.chunks_exact_mut(4)) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    out
}

/// A hash under way: whole blocks go to the compression function straight from the input.
struct Hasher {
    state: [u32; 8],
    block: [u8; 64],
    filled: usize,
    length: u64,
}

impl Hasher {
    fn new() -> Self {
        Self { state: IV, block: [0; 64], filled: 0, length: 0 }
    }

    fn update(&mut self, mut data: &[u8]) {
        self.length += data.len() as u64;
        if self.filled > 0 {
            let take = data.len().min(64 - self.filled);
            self.block[self.filled..self.filled + take].copy_from_slice(&data[..take]);
            self.filled += take;
            data = &data[take..];
            if self.filled < 64 {
                return;
            }
            compress256(&mut self.state, std::slice::from_ref(&self.block));
        }
        let (blocks, rest) = data.as_chunks::<64>();
        compress256(&mut self.state, blocks);
        self.block[..rest.len()].copy_from_slice(rest);
        self.filled = rest.len();
    }

    fn finish(mut self) -> Digest {
        let bits = self.length * 8;
        self.block[self.filled] = 0x80;
        self.block[self.filled + 1..].fill(0);
        if self.filled >= 56 {
            compress256(&mut self.state, std::slice::from_ref(&self.block));
            self.block.fill(0);
        }
        self.block[56..].copy_from_slice(&bits.to_be_bytes());
        compress256(&mut self.state, std::slice::from_ref(&self.block));
        wipe(&mut self.block);
        let out = bytes(&self.state);
        wipe(&mut self.state);
        out
    }
}

/// SHA-256 of the parts, joined.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> Digest {
    let mut hasher = Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finish()
}

/// SHA-256 of one block that is already padded.
#[inline]
fn one_block(block: &[u8; 64]) -> Digest {
    let mut state = IV;
    compress256(&mut state, std::slice::from_ref(block));
    bytes(&state)
}

/// The second half of a block whose first half is a digest, after `bytes` bytes of message in all.
const fn padding(bytes: u16) -> [u8; 32] {
    let [high, low] = (bytes * 8).to_be_bytes();
    let mut half = [0; 32];
    half[0] = 0x80;
    half[30] = high;
    half[31] = low;
    half
}

/// A block from its halves. Whole halves are stored, so that the processor can hand them on to the
/// loads of the compression at once; after smaller pieces those would have to wait.
#[inline]
fn block_of(first: &[u8; 32], second: [u8; 32]) -> [u8; 64] {
    let mut block = [0; 64];
    block[..32].copy_from_slice(first);
    block[32..].copy_from_slice(&second);
    block
}

/// `H(key)`: the ratchet of entry keys (SPEC section 3), one compression.
#[inline]
pub(crate) fn ratchet(key: &[u8; 32]) -> Digest {
    let mut block = block_of(key, const { padding(32) });
    let next = one_block(&block);
    wipe(&mut block);
    next
}

#[inline]
fn leaf_block(tag: &[u8; 16], line_hash: &Digest) -> [u8; 64] {
    let mut block = [0; 64];
    block[1..17].copy_from_slice(tag);
    block[17..49].copy_from_slice(line_hash);
    block[49] = 0x80;
    block[62..].copy_from_slice(&392u16.to_be_bytes());
    block
}

/// `H(0x00 || t || l)`: the leaf of a line (SPEC section 5), one compression.
#[inline]
#[must_use]
pub fn leaf(tag: &[u8; 16], line_hash: &Digest) -> Digest {
    one_block(&leaf_block(tag, line_hash))
}

/// The leaves of two lines.
#[inline]
pub(crate) fn leaf_pair(tags: [&[u8; 16]; 2], line_hashes: &[Digest; 2]) -> [Digest; 2] {
    let (mut a, mut b) = (IV, IV);
    let [block_a, block_b] = [0, 1].map(|i| leaf_block(tags[i], &line_hashes[i]));
    compress_pair(&mut a, &block_a, &mut b, &block_b);
    [bytes(&a), bytes(&b)]
}

/// The leaf of a line, and the ratchet of a key.
#[inline]
pub(crate) fn leaf_and_ratchet(tag: &[u8; 16], line_hash: &Digest, key: &[u8; 32]) -> (Digest, Digest) {
    let (mut a, mut b) = (IV, IV);
    let mut block = block_of(key, const { padding(32) });
    compress_pair(&mut a, &leaf_block(tag, line_hash), &mut b, &block);
    wipe(&mut block);
    let next = bytes(&b);
    wipe(&mut b);
    (bytes(&a), next)
}

#[inline]
fn node_blocks(left: &Digest, right: &Digest) -> [[u8; 64]; 2] {
    let mut blocks = [[0; 64]; 2];
    blocks[0][0] = 1;
    blocks[0][1..33].copy_from_slice(left);
    blocks[0][33..].copy_from_slice(&right[..31]);
    blocks[1][0] = right[31];
    blocks[1][1] = 0x80;
    blocks[1][62..].copy_from_slice(&520u16.to_be_bytes());
    blocks
}

/// `H(0x01 || left || right)`: an inner node of a tree (RFC 6962 section 2.1), two compressions.
#[inline]
#[must_use]
pub fn node(left: &Digest, right: &Digest) -> Digest {
    let mut state = IV;
    compress256(&mut state, &node_blocks(left, right));
    bytes(&state)
}

/// Two inner nodes that stand next to each other.
#[inline]
pub(crate) fn node_pair(children: &[Digest; 4]) -> [Digest; 2] {
    let (mut a, mut b) = (IV, IV);
    let (blocks_a, blocks_b) =
        (node_blocks(&children[0], &children[1]), node_blocks(&children[2], &children[3]));
    compress_pairs(&mut a, &blocks_a, &mut b, &blocks_b);
    [bytes(&a), bytes(&b)]
}

/// What a key is padded with in the two halves of HMAC.
pub(super) const INNER: u8 = 0x36;
pub(super) const OUTER: u8 = 0x5c;

#[inline]
fn pad(key: &[u8; 32], with: u8) -> [u8; 64] {
    let mut block = [with; 64];
    for (place, byte) in block.iter_mut().zip(key) {
        *place ^= byte;
    }
    block
}

/// HMAC-SHA-256 under a 32-byte key (RFC 2104), the key's own block of either half after it.
///
/// That part is apart because it does not wait for the message.
pub(crate) struct Mac {
    pub(super) inner: [u32; 8],
    pub(super) outer: [u32; 8],
}

impl Mac {
    /// Takes the key in: two compressions, side by side.
    #[inline]
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let mut mac = Self { inner: IV, outer: IV };
        let (mut inner, mut outer) = (pad(key, INNER), pad(key, OUTER));
        compress_pair(&mut mac.inner, &inner, &mut mac.outer, &outer);
        wipe(&mut inner);
        wipe(&mut outer);
        mac
    }

    /// Takes in an entry key and the one after it; the key becomes the one after both.
    #[inline]
    pub(crate) fn new_pair(key: &mut [u8; 32]) -> [Self; 2] {
        let [mut first, mut second] = [(); 2].map(|()| Self { inner: IV, outer: IV });
        let mut state = IV;
        // A key's own hash and its two halves of HMAC do not wait for each other.
        let mut blocks = [block_of(key, const { padding(32) }), pad(key, INNER), pad(key, OUTER)];
        compress_pair(&mut state, &blocks[0], &mut first.inner, &blocks[1]);
        *key = bytes(&state);
        wipe(&mut state);
        state = IV;
        let mut others = [block_of(key, const { padding(32) }), pad(key, INNER), pad(key, OUTER)];
        compress_pair(&mut first.outer, &blocks[2], &mut second.outer, &others[2]);
        compress_pair(&mut state, &others[0], &mut second.inner, &others[1]);
        *key = bytes(&state);
        wipe(&mut state);
        wipe(blocks.as_flattened_mut());
        wipe(others.as_flattened_mut());
        [first, second]
    }

    /// The MAC of a digest: two compressions.
    #[inline]
    pub(crate) fn of_digest(&self, digest: &Digest) -> Digest {
        finish_half(self.outer, &finish_half(self.inner, digest))
    }

    /// The tag of a line: the first 16 bytes of `HMAC(key, l)` (SPEC section 4).
    #[inline]
    pub(crate) fn tag(&self, line_hash: &Digest) -> [u8; 16] {
        first16(&self.of_digest(line_hash))
    }

    /// The tags of two lines, each under its own key.
    #[inline]
    pub(crate) fn tag_pair(macs: [&Self; 2], line_hashes: &[Digest; 2]) -> [[u8; 16]; 2] {
        let inner = finish_half_pair([macs[0].inner, macs[1].inner], line_hashes);
        finish_half_pair([macs[0].outer, macs[1].outer], &inner).map(|mac| first16(&mac))
    }
}

impl Drop for Mac {
    fn drop(&mut self) {
        wipe(&mut self.inner);
        wipe(&mut self.outer);
    }
}

/// Ends one half of HMAC, whose first block is done, with a digest as the message.
#[inline]
pub(super) fn finish_half(mut state: [u32; 8], message: &Digest) -> Digest {
    let block = block_of(message, const { padding(64 + 32) });
    compress256(&mut state, std::slice::from_ref(&block));
    bytes(&state)
}

#[inline]
fn finish_half_pair([mut a, mut b]: [[u32; 8]; 2], messages: &[Digest; 2]) -> [Digest; 2] {
    let [block_a, block_b] = [0, 1].map(|i| block_of(&messages[i], const { padding(64 + 32) }));
    compress_pair(&mut a, &block_a, &mut b, &block_b);
    [bytes(&a), bytes(&b)]
}

/// HMAC-SHA-256 of the parts, joined, under a 32-byte key (RFC 2104).
#[must_use]
pub fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> Digest {
    let mac = Mac::new(key);
    let mut hasher = Hasher { state: mac.inner, length: 64, ..Hasher::new() };
    for part in parts {
        hasher.update(part);
    }
    finish_half(mac.outer, &hasher.finish())
}

/// The tag of a line: the first 16 bytes of `HMAC(key, l)` (SPEC section 4), four compressions.
#[inline]
#[must_use]
pub fn tag(key: &[u8; 32], line_hash: &Digest) -> [u8; 16] {
    Mac::new(key).tag(line_hash)
}

/// The tag of a line; the key becomes the next one, whose hash is made side by side with the first half of HMAC.
#[inline]
pub(crate) fn tag_and_ratchet(key: &mut [u8; 32], line_hash: &Digest) -> [u8; 16] {
    let mut mac = Mac::new(key);
    let mut state = IV;
    let mut block = block_of(key, const { padding(32) });
    compress_pair(&mut mac.inner, &block_of(line_hash, const { padding(64 + 32) }), &mut state, &block);
    *key = bytes(&state);
    wipe(&mut state);
    wipe(&mut block);
    first16(&finish_half(mac.outer, &bytes(&mac.inner)))
}

/// The first 16 bytes of a digest.
#[inline]
#[must_use]
pub fn first16(digest: &Digest) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&digest[..16]);
    out
}

/// `derive(key, label)` = HKDF-Expand-SHA256 with L = 32 (RFC 5869, SPEC section 2), into `out`.
pub(crate) fn derive_into(key: &[u8; 32], label: &str, out: &mut [u8; 32]) {
    let mut okm = hmac(key, &[b"tallystick/v1 ", label.as_bytes(), &[1]]);
    out.copy_from_slice(&okm);
    wipe(&mut okm);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_equal_what_each_is_alone() {
        let d = [b"a", b"b", b"c", b"d"].map(|part| sha256(&[part]));
        let tags = [first16(&d[2]), first16(&d[3])];
        let leaves = [leaf(&tags[0], &d[0]), leaf(&tags[1], &d[1])];
        assert_eq!(leaf_pair([&tags[0], &tags[1]], &[d[0], d[1]]), leaves);
        assert_eq!(leaf_and_ratchet(&tags[0], &d[0], &d[1]), (leaves[0], ratchet(&d[1])));
        assert_eq!(node_pair(&d), [node(&d[0], &d[1]), node(&d[2], &d[3])]);
        let (mut key, next) = (d[0], ratchet(&d[0]));
        let macs = Mac::new_pair(&mut key);
        assert_eq!(key, ratchet(&next));
        assert_eq!(
            Mac::tag_pair([&macs[0], &macs[1]], &[d[2], d[3]]),
            [tag(&d[0], &d[2]), tag(&next, &d[3])]
        );
        key = d[0];
        assert_eq!((tag_and_ratchet(&mut key, &d[2]), key), (tag(&d[0], &d[2]), next));
    }

    #[test]
    fn fixed_layouts_equal_the_general_hash() {
        let (a, b) = (sha256(&[b"a"]), sha256(&[b"b"]));
        assert_eq!(ratchet(&a), sha256(&[&a]));
        assert_eq!(node(&a, &b), sha256(&[&[1], &a, &b]));
        assert_eq!(leaf(&first16(&b), &a), sha256(&[&[0], &b[..16], &a]));
        assert_eq!(tag(&a, &b), first16(&hmac(&a, &[&b])));
    }

    #[test]
    fn hmac_gives_the_known_answer_of_rfc_4231() {
        // RFC 4231 test case 2 has a short key; padded with zeros to 32 bytes it is the same HMAC key.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let mac = hmac(&key, &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(hex::encode(mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
