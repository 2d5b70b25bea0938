//! SHA-256, HMAC-SHA-256 and HKDF-Expand, shaped for short messages (SPEC section 2).
//!
//! The library's compression function does the work; this module lays out the blocks, because a
//! general hasher spends as long on buffering a 32-byte message as on hashing it.
//! Blocks that held a key are wiped before they go.
//!
//! ```
//! use tallystick_core::hash::{hmac, sha256};
//! assert_eq!(sha256(&[b"abc"])[..4], [0xba, 0x78, 0x16, 0xbf]);
//! assert_eq!(hmac(&[0x0b; 32], &[b"Hi ", b"There"]), hmac(&[0x0b; 32], &[b"Hi There"]));
//! ```

use sha2::block_api::compress256;
use zeroize::Zeroize;

/// A SHA-256 value.
pub type Digest = [u8; 32];

const IV: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

#[inline]
fn bytes(state: &[u32; 8]) -> Digest {
    let mut out = [0; 32];
    for (word, place) in state.iter().zip(out.chunks_exact_mut(4)) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    out
}

/// Wipes what held key material; a slice is wiped in wide stores, an array byte by byte.
#[inline]
fn wipe<T: zeroize::DefaultIsZeroes>(held: &mut [T]) {
    held.zeroize();
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

/// `H(0x00 || t || l)`: the leaf of a line (SPEC section 5), one compression.
#[inline]
#[must_use]
pub fn leaf(tag: &[u8; 16], line_hash: &Digest) -> Digest {
    let mut block = [0; 64];
    block[1..17].copy_from_slice(tag);
    block[17..49].copy_from_slice(line_hash);
    block[49] = 0x80;
    block[62..].copy_from_slice(&392u16.to_be_bytes());
    one_block(&block)
}

/// `H(0x01 || left || right)`: an inner node of a tree (RFC 6962 section 2.1), two compressions.
#[inline]
#[must_use]
pub fn node(left: &Digest, right: &Digest) -> Digest {
    let mut blocks = [[0; 64]; 2];
    blocks[0][0] = 1;
    blocks[0][1..33].copy_from_slice(left);
    blocks[0][33..].copy_from_slice(&right[..31]);
    blocks[1][0] = right[31];
    blocks[1][1] = 0x80;
    blocks[1][62..].copy_from_slice(&520u16.to_be_bytes());
    let mut state = IV;
    compress256(&mut state, &blocks);
    bytes(&state)
}

/// `H(prefix || m)`: the hash of a line (SPEC section 4).
#[inline]
#[must_use]
pub fn line_hash(prefix: u8, m: &[u8]) -> Digest {
    hash_line(prefix, m, None)
}

/// `H(prefix || open || "}")`: the same for a line in the JSON form, whose m stands in two places.
#[inline]
#[must_use]
pub fn line_hash_json(prefix: u8, open: &[u8]) -> Digest {
    hash_line(prefix, open, Some(b'}'))
}

#[inline]
fn hash_line(prefix: u8, m: &[u8], last: Option<u8>) -> Digest {
    let (first, blocks, rest) = match m.split_first_chunk::<63>() {
        None => (None, &[][..], m),
        Some((first, others)) => {
            let (blocks, rest) = others.as_chunks::<64>();
            (Some(first), blocks, rest)
        }
    };
    // What does not fill a block, with the padding: one block or two, laid out before the others are hashed.
    let mut tail = [[0; 64]; 2];
    let end = tail.as_flattened_mut();
    let mut filled = 0;
    if first.is_none() {
        end[0] = prefix;
        filled = 1;
    }
    end[filled..filled + rest.len()].copy_from_slice(rest);
    filled += rest.len();
    if let Some(byte) = last {
        end[filled] = byte;
        filled += 1;
    }
    end[filled] = 0x80;
    let count = if filled < 56 { 1 } else { 2 };
    let length = m.len() as u64 + 1 + u64::from(last.is_some());
    tail[count - 1][56..].copy_from_slice(&(length * 8).to_be_bytes());

    let mut state = IV;
    if let Some(first) = first {
        let mut block = [prefix; 64];
        block[1..].copy_from_slice(first);
        compress256(&mut state, std::slice::from_ref(&block));
        compress256(&mut state, blocks);
    }
    compress256(&mut state, &tail[..count]);
    bytes(&state)
}

#[inline]
fn pad(key: &[u8; 32], with: u8) -> [u8; 64] {
    let mut block = [with; 64];
    for (place, byte) in block.iter_mut().zip(key) {
        *place ^= byte;
    }
    block
}

/// HMAC-SHA-256 under a 32-byte key (RFC 2104), the key's own block of either half behind it.
///
/// That part is apart because it does not wait for the message: next to the hash of a line and to the
/// ratchet, a processor works on several compressions at once.
pub(crate) struct Mac {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl Mac {
    /// Takes the key in: two compressions.
    #[inline]
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let half = |with| {
            let (mut block, mut state) = (pad(key, with), IV);
            compress256(&mut state, std::slice::from_ref(&block));
            wipe(&mut block);
            state
        };
        Self { inner: half(0x36), outer: half(0x5c) }
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
}

impl Drop for Mac {
    fn drop(&mut self) {
        wipe(&mut self.inner);
        wipe(&mut self.outer);
    }
}

/// Ends one half of HMAC, whose first block is done, with a digest as the message.
#[inline]
fn finish_half(mut state: [u32; 8], message: &Digest) -> Digest {
    let block = block_of(message, const { padding(64 + 32) });
    compress256(&mut state, std::slice::from_ref(&block));
    bytes(&state)
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
    use sha2::{Digest as _, Sha256};

    #[test]
    fn every_length_around_the_block_edges_hashes_like_the_library() {
        let data: Vec<u8> = (0..400u32).map(|i| (i * 7 % 251) as u8).collect();
        for n in 0..data.len() {
            let m = &data[..n];
            let whole: Digest = Sha256::digest([&[2u8], m].concat()).into();
            assert_eq!(line_hash(2, m), whole, "line_hash of {n} bytes");
            assert_eq!(line_hash_json(2, m), sha256(&[&[2], m, b"}"]), "line_hash_json of {n} bytes");
            for cut in [0, n / 3, n] {
                assert_eq!(sha256(&[&[2], &m[..cut], &m[cut..]]), whole, "sha256 of {n} bytes");
            }
        }
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
