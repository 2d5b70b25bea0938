//! The compression function of SHA-256 for two messages at a time.
//!
//! With the SHA instructions of x86-64 a compression waits for itself at every step. Two that do not
//! depend on each other, woven together, fill each other's waits. Elsewhere they go one after the other.
//! With AVX-512 sixteen go side by side, with AVX2 eight, in WebAssembly four ([`wide`]).
//! All `unsafe` code in these modules is for those instructions; the rest of it is in [`secret`](crate::secret).

use sha2::block_api::compress256;

#[cfg(target_arch = "x86_64")]
mod eights;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod fours;
#[cfg(target_arch = "x86_64")]
mod sixteens;
pub(crate) mod wide;

/// Messages that go side by side.
pub(crate) const LANES: usize = 16;

/// A word of every message.
pub(crate) type Row = [u32; LANES];

/// Round constants (FIPS 180-4 section 4.2.2).
#[cfg(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128")))]
#[rustfmt::skip]
const K: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

/// Takes a block into either state.
#[inline]
pub(crate) fn compress_pair(a: &mut [u32; 8], block_a: &[u8; 64], b: &mut [u32; 8], block_b: &[u8; 64]) {
    compress_pairs(a, std::slice::from_ref(block_a), b, std::slice::from_ref(block_b));
}

/// Takes as many blocks into either state; what one has more than the other goes alone.
#[inline]
pub(crate) fn compress_pairs(
    a: &mut [u32; 8],
    blocks_a: &[[u8; 64]],
    b: &mut [u32; 8],
    blocks_b: &[[u8; 64]],
) {
    #[cfg(target_arch = "x86_64")]
    {
        let common = blocks_a.len().min(blocks_b.len());
        if x86::compress(a, &blocks_a[..common], b, &blocks_b[..common]) {
            return one_by_one(a, &blocks_a[common..], b, &blocks_b[common..]);
        }
    }
    one_by_one(a, blocks_a, b, blocks_b);
}

/// Takes blocks into the states, one state after the other.
#[inline]
pub(crate) fn one_by_one(a: &mut [u32; 8], blocks_a: &[[u8; 64]], b: &mut [u32; 8], blocks_b: &[[u8; 64]]) {
    for (state, blocks) in [(a, blocks_a), (b, blocks_b)] {
        if !blocks.is_empty() {
            compress256(state, blocks);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use core::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_loadu_si128, _mm_set_epi32,
        _mm_set_epi64x, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8,
        _mm_shuffle_epi32, _mm_storeu_si128,
    };

    use super::K;

    /// Has this processor what [`interleaved`] is compiled for? The library keeps the answer.
    #[inline]
    pub(super) fn usable() -> bool {
        is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("sse4.1")
            && is_x86_feature_detected!("ssse3")
    }

    /// Takes as many blocks into either state as both have; `false` if this processor cannot.
    #[inline]
    pub(super) fn compress(
        a: &mut [u32; 8],
        blocks_a: &[[u8; 64]],
        b: &mut [u32; 8],
        blocks_b: &[[u8; 64]],
    ) -> bool {
        if !usable() {
            return false;
        }
        // SAFETY: the processor has the instructions, as `usable` has just said; nothing else is asked for.
        #[allow(unsafe_code)]
        unsafe {
            interleaved(a, blocks_a, b, blocks_b);
        }
        true
    }

    /// One message under way: its state and 16 words of its schedule, as the instructions want them.
    #[derive(Clone, Copy)]
    struct Lane {
        abef: __m128i,
        cdgh: __m128i,
        w: [__m128i; 4],
    }

    #[target_feature(enable = "sha,sse4.1,ssse3")]
    fn interleaved(a: &mut [u32; 8], blocks_a: &[[u8; 64]], b: &mut [u32; 8], blocks_b: &[[u8; 64]]) {
        let (mut x, mut y) = (take_in(a), take_in(b));
        for (block_a, block_b) in blocks_a.iter().zip(blocks_b) {
            let (before_x, before_y) = (x, y);
            (x.w, y.w) = (words(block_a), words(block_b));
            for round in 0..4 {
                four_rounds(round, x.w[round], &mut x);
                four_rounds(round, y.w[round], &mut y);
            }
            // Four at a time, so that each word keeps its register.
            for rounds in [4, 8, 12] {
                for i in 0..4 {
                    schedule(i, &mut x);
                    schedule(i, &mut y);
                    four_rounds(rounds + i, x.w[i], &mut x);
                    four_rounds(rounds + i, y.w[i], &mut y);
                }
            }
            add(&mut x, &before_x);
            add(&mut y, &before_y);
        }
        (*a, *b) = (give_back(&x), give_back(&y));
    }

    /// The next four words of the message schedule, in the place of the oldest.
    #[inline]
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    fn schedule(oldest: usize, lane: &mut Lane) {
        let w = &mut lane.w;
        let [second, third, newest] = [1, 2, 3].map(|after| w[(oldest + after) % 4]);
        let sum = _mm_add_epi32(_mm_sha256msg1_epu32(w[oldest], second), _mm_alignr_epi8(newest, third, 4));
        w[oldest] = _mm_sha256msg2_epu32(sum, newest);
    }

    #[inline]
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    fn four_rounds(round: usize, words: __m128i, lane: &mut Lane) {
        let k = |at: usize| K[4 * round + at].cast_signed();
        let sum = _mm_add_epi32(words, _mm_set_epi32(k(3), k(2), k(1), k(0)));
        lane.cdgh = _mm_sha256rnds2_epu32(lane.cdgh, lane.abef, sum);
        lane.abef = _mm_sha256rnds2_epu32(lane.abef, lane.cdgh, _mm_shuffle_epi32(sum, 0x0e));
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn add(lane: &mut Lane, before: &Lane) {
        lane.abef = _mm_add_epi32(lane.abef, before.abef);
        lane.cdgh = _mm_add_epi32(lane.cdgh, before.cdgh);
    }

    /// The 16 words of a block.
    #[inline]
    #[target_feature(enable = "ssse3")]
    fn words(block: &[u8; 64]) -> [__m128i; 4] {
        let order = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
        let (quarters, _) = block.as_chunks::<16>();
        core::array::from_fn(|i| _mm_shuffle_epi8(load(&quarters[i]), order))
    }

    #[inline]
    #[target_feature(enable = "sse4.1,ssse3")]
    fn take_in(state: &[u32; 8]) -> Lane {
        let (halves, _) = state.as_chunks::<4>();
        let cdab = _mm_shuffle_epi32(load_words(&halves[0]), 0xb1);
        let efgh = _mm_shuffle_epi32(load_words(&halves[1]), 0x1b);
        let (abef, cdgh) = (_mm_alignr_epi8(cdab, efgh, 8), _mm_blend_epi16(efgh, cdab, 0xf0));
        Lane { abef, cdgh, w: [cdgh; 4] }
    }

    #[inline]
    #[target_feature(enable = "sse4.1,ssse3")]
    fn give_back(lane: &Lane) -> [u32; 8] {
        let feba = _mm_shuffle_epi32(lane.abef, 0x1b);
        let dchg = _mm_shuffle_epi32(lane.cdgh, 0xb1);
        let mut state = [0; 8];
        let (halves, _) = state.as_chunks_mut::<4>();
        store_words(&mut halves[0], _mm_blend_epi16(feba, dchg, 0xf0));
        store_words(&mut halves[1], _mm_alignr_epi8(dchg, feba, 8));
        state
    }

    /// Sixteen bytes as they stand; the compiler makes one load of it.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn load(bytes: &[u8; 16]) -> __m128i {
        let (halves, _) = bytes.as_chunks::<8>();
        let [low, high] = [0, 1].map(|i| i64::from_le_bytes(halves[i]));
        _mm_set_epi64x(high, low)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn load_words(words: &[u32; 4]) -> __m128i {
        // SAFETY: four words are 16 readable bytes, and this load takes them at any alignment.
        #[allow(unsafe_code)]
        unsafe {
            _mm_loadu_si128(std::ptr::from_ref(words).cast())
        }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn store_words(words: &mut [u32; 4], value: __m128i) {
        // SAFETY: four words are 16 writable bytes, and this store takes them at any alignment.
        #[allow(unsafe_code)]
        unsafe {
            _mm_storeu_si128(std::ptr::from_mut(words).cast(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that look random, the same in every run.
    fn noise(seed: &mut u64) -> u8 {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        seed.to_le_bytes()[4]
    }

    fn blocks(seed: &mut u64, count: usize) -> Vec<[u8; 64]> {
        (0..count).map(|_| std::array::from_fn(|_| noise(seed))).collect()
    }

    fn state(seed: &mut u64) -> [u32; 8] {
        std::array::from_fn(|_| u32::from_le_bytes(std::array::from_fn(|_| noise(seed))))
    }

    #[test]
    fn two_lanes_compress_like_the_library_with_and_without_the_instructions() {
        type Pairs = fn(&mut [u32; 8], &[[u8; 64]], &mut [u32; 8], &[[u8; 64]]);
        let mut seed = 0x9e37_79b9_7f4a_7c15;
        for (count_a, count_b) in [(0, 0), (1, 1), (1, 3), (4, 2), (5, 5), (0, 2)] {
            for _ in 0..200 {
                let (a, b) = (state(&mut seed), state(&mut seed));
                let (blocks_a, blocks_b) = (blocks(&mut seed, count_a), blocks(&mut seed, count_b));
                let (mut expected_a, mut expected_b) = (a, b);
                compress256(&mut expected_a, &blocks_a);
                compress256(&mut expected_b, &blocks_b);
                for pairs in [compress_pairs as Pairs, one_by_one] {
                    let (mut got_a, mut got_b) = (a, b);
                    pairs(&mut got_a, &blocks_a, &mut got_b, &blocks_b);
                    assert_eq!((got_a, got_b), (expected_a, expected_b));
                }
            }
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_instructions_are_used_where_the_library_uses_them() {
        assert_eq!(x86::usable(), is_x86_feature_detected!("sha"));
    }
}
