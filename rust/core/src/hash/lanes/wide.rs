//! The compression function of SHA-256 for sixteen messages at a time, a lane for each: sixteen side by side with
//! AVX-512, four with WebAssembly's 128 bits.

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use super::fours as lanes;
use super::{LANES, Row};
#[cfg(not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128"))))]
use alone as lanes;

/// Says that this processor has what sixteen lanes take; only [`here`](Self::here) makes one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wide(());

#[allow(clippy::unused_self, reason = "to have one is what allows the instructions")]
impl Wide {
    /// Has this processor what it takes? The library keeps the answer.
    #[inline]
    pub(crate) fn here() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        let usable = cfg!(not(feature = "two-lanes"))
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw");
        #[cfg(not(target_arch = "x86_64"))]
        let usable = cfg!(all(target_arch = "wasm32", target_feature = "simd128"));
        usable.then_some(Self(()))
    }

    /// Takes a block into the state of every lane whose bit is set.
    #[inline]
    pub(crate) fn compress(self, states: &mut [Row; 8], blocks: &[Row; 16], lanes: u16) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has the instructions, as `here` said; nothing else is asked for.
        #[allow(unsafe_code)]
        unsafe {
            x86::compress(states, blocks, lanes);
        }
        #[cfg(not(target_arch = "x86_64"))]
        lanes::compress(states, blocks, lanes);
    }

    /// The words of sixteen blocks.
    #[inline]
    pub(crate) fn words(self, blocks: &[&[u8; 64]; LANES], rows: &mut [Row; 16]) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has the instructions, as `here` said; nothing else is asked for.
        #[allow(unsafe_code)]
        unsafe {
            x86::words(blocks, rows);
        }
        #[cfg(not(target_arch = "x86_64"))]
        lanes::words(blocks, rows);
    }

    /// The digests that sixteen states stand for.
    #[inline]
    pub(crate) fn digests(self, states: &[Row; 8], digests: &mut [[u8; 32]; LANES]) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has the instructions, as `here` said; nothing else is asked for.
        #[allow(unsafe_code)]
        unsafe {
            x86::digests(states, digests);
        }
        #[cfg(not(target_arch = "x86_64"))]
        lanes::digests(states, digests);
    }
}

/// One after the other, as every processor can.
#[cfg(any(test, not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128")))))]
mod alone {
    use super::super::{LANES, Row};

    pub(super) fn compress(states: &mut [Row; 8], blocks: &[Row; 16], lanes: u16) {
        for lane in (0..LANES).filter(|lane| lanes >> lane & 1 == 1) {
            let mut block = [0; 64];
            for (place, row) in block.chunks_exact_mut(4).zip(blocks) {
                place.copy_from_slice(&row[lane].to_be_bytes());
            }
            let mut state = std::array::from_fn(|i| states[i][lane]);
            sha2::block_api::compress256(&mut state, &[block]);
            for (row, word) in states.iter_mut().zip(state) {
                row[lane] = word;
            }
        }
    }

    pub(super) fn words(blocks: &[&[u8; 64]; LANES], rows: &mut [Row; 16]) {
        for (lane, block) in blocks.iter().enumerate() {
            for (row, word) in rows.iter_mut().zip(block.as_chunks::<4>().0) {
                row[lane] = u32::from_be_bytes(*word);
            }
        }
    }

    pub(super) fn digests(states: &[Row; 8], digests: &mut [[u8; 32]; LANES]) {
        for (lane, digest) in digests.iter_mut().enumerate() {
            for (row, place) in states.iter().zip(digest.as_chunks_mut::<4>().0) {
                *place = row[lane].to_be_bytes();
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use core::arch::x86_64::{
        __m256i, __m512i, _mm256_storeu_si256, _mm512_add_epi32, _mm512_castsi512_si256, _mm512_loadu_si512,
        _mm512_mask_add_epi32, _mm512_ror_epi32, _mm512_set1_epi32, _mm512_set4_epi32, _mm512_setzero_si512,
        _mm512_shuffle_epi8, _mm512_shuffle_i32x4, _mm512_srli_epi32, _mm512_storeu_si512,
        _mm512_ternarylogic_epi32, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32,
        _mm512_unpacklo_epi64,
    };

    use super::super::{K, LANES, Row};

    /// One of three, and which of two, as truth tables.
    const XOR: i32 = 0x96;
    const CHOICE: i32 = 0xca;
    const MAJORITY: i32 = 0xe8;

    #[allow(clippy::many_single_char_names, reason = "they are those of FIPS 180-4")]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn compress(states: &mut [Row; 8], blocks: &[Row; 16], lanes: u16) {
        let mut w: [__m512i; 16] = core::array::from_fn(|i| load(&blocks[i]));
        let before: [__m512i; 8] = core::array::from_fn(|i| load(&states[i]));
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = before;
        for from in [0, 16, 32, 48] {
            // Sixteen at a time, so that each word keeps its register.
            for i in 0..16 {
                if from > 0 {
                    let (second, late) = (w[(i + 1) % 16], w[(i + 14) % 16]);
                    let s0 = _mm512_ternarylogic_epi32::<XOR>(
                        _mm512_ror_epi32::<7>(second),
                        _mm512_ror_epi32::<18>(second),
                        _mm512_srli_epi32::<3>(second),
                    );
                    let s1 = _mm512_ternarylogic_epi32::<XOR>(
                        _mm512_ror_epi32::<17>(late),
                        _mm512_ror_epi32::<19>(late),
                        _mm512_srli_epi32::<10>(late),
                    );
                    let sum = _mm512_add_epi32(w[(i + 9) % 16], s1);
                    w[i] = _mm512_add_epi32(_mm512_add_epi32(w[i], s0), sum);
                }
                let s1 = _mm512_ternarylogic_epi32::<XOR>(
                    _mm512_ror_epi32::<6>(e),
                    _mm512_ror_epi32::<11>(e),
                    _mm512_ror_epi32::<25>(e),
                );
                let choice = _mm512_ternarylogic_epi32::<CHOICE>(e, f, g);
                let constant = _mm512_set1_epi32(K[from + i].cast_signed());
                let known = _mm512_add_epi32(h, _mm512_add_epi32(w[i], constant));
                let one = _mm512_add_epi32(known, _mm512_add_epi32(s1, choice));
                let s0 = _mm512_ternarylogic_epi32::<XOR>(
                    _mm512_ror_epi32::<2>(a),
                    _mm512_ror_epi32::<13>(a),
                    _mm512_ror_epi32::<22>(a),
                );
                let two = _mm512_add_epi32(s0, _mm512_ternarylogic_epi32::<MAJORITY>(a, b, c));
                (h, g, f, e) = (g, f, e, _mm512_add_epi32(d, one));
                (d, c, b, a) = (c, b, a, _mm512_add_epi32(one, two));
            }
        }
        for ((row, before), after) in states.iter_mut().zip(before).zip([a, b, c, d, e, f, g, h]) {
            store(row, _mm512_mask_add_epi32(before, lanes, before, after));
        }
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn words(blocks: &[&[u8; 64]; LANES], rows: &mut [Row; 16]) {
        let order = big_endian();
        let mut w: [__m512i; 16] =
            core::array::from_fn(|i| _mm512_shuffle_epi8(load_bytes(blocks[i]), order));
        transpose(&mut w);
        for (row, words) in rows.iter_mut().zip(w) {
            store(row, words);
        }
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn digests(states: &[Row; 8], digests: &mut [[u8; 32]; LANES]) {
        let mut s = [_mm512_setzero_si512(); 16];
        for (words, row) in s.iter_mut().zip(states) {
            *words = load(row);
        }
        transpose(&mut s);
        let order = big_endian();
        for (digest, words) in digests.iter_mut().zip(s) {
            store_half(digest, _mm512_castsi512_si256(_mm512_shuffle_epi8(words, order)));
        }
    }

    /// Puts the bytes of every word the other way round.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn big_endian() -> __m512i {
        _mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203)
    }

    /// Makes rows of columns.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn transpose(r: &mut [__m512i; 16]) {
        let (mut t, mut u) = (*r, *r);
        for i in 0..8 {
            t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
            t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
        }
        for i in [0, 4, 8, 12] {
            u[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
            u[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
            u[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
            u[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
        }
        for i in 0..4 {
            let even = [0, 8].map(|at| _mm512_shuffle_i32x4::<0x88>(u[at + i], u[at + 4 + i]));
            let odd = [0, 8].map(|at| _mm512_shuffle_i32x4::<0xdd>(u[at + i], u[at + 4 + i]));
            r[i] = _mm512_shuffle_i32x4::<0x88>(even[0], even[1]);
            r[8 + i] = _mm512_shuffle_i32x4::<0xdd>(even[0], even[1]);
            r[4 + i] = _mm512_shuffle_i32x4::<0x88>(odd[0], odd[1]);
            r[12 + i] = _mm512_shuffle_i32x4::<0xdd>(odd[0], odd[1]);
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load(row: &Row) -> __m512i {
        // SAFETY: a row is 64 readable bytes, and this load takes them at any alignment.
        #[allow(unsafe_code)]
        unsafe {
            _mm512_loadu_si512(std::ptr::from_ref(row).cast())
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load_bytes(block: &[u8; 64]) -> __m512i {
        // SAFETY: a block is 64 readable bytes, and this load takes them at any alignment.
        #[allow(unsafe_code)]
        unsafe {
            _mm512_loadu_si512(std::ptr::from_ref(block).cast())
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store(row: &mut Row, words: __m512i) {
        // SAFETY: a row is 64 writable bytes, and this store takes them at any alignment.
        #[allow(unsafe_code)]
        unsafe {
            _mm512_storeu_si512(std::ptr::from_mut(row).cast(), words);
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store_half(digest: &mut [u8; 32], words: __m256i) {
        // SAFETY: a digest is 32 writable bytes, and this store takes them at any alignment.
        #[allow(unsafe_code)]
        unsafe {
            _mm256_storeu_si256(std::ptr::from_mut(digest).cast(), words);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_lanes_compress_like_the_library() {
        let Some(wide) = Wide::here() else { return };
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut noise = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed.to_le_bytes()[4]
        };
        for _ in 0..200 {
            let blocks: [[u8; 64]; LANES] = std::array::from_fn(|_| std::array::from_fn(|_| noise()));
            let lanes = u16::from_le_bytes([noise(), noise()]);
            let mut states: [Row; 8] = std::array::from_fn(|_| {
                std::array::from_fn(|_| u32::from_le_bytes(std::array::from_fn(|_| noise())))
            });
            let (mut rows, mut expected_rows, mut expected) = ([[0; LANES]; 16], [[0; LANES]; 16], states);
            wide.words(&blocks.each_ref(), &mut rows);
            alone::words(&blocks.each_ref(), &mut expected_rows);
            assert_eq!(rows, expected_rows);
            wide.compress(&mut states, &rows, lanes);
            alone::compress(&mut expected, &rows, lanes);
            assert_eq!(states, expected);
            let (mut digests, mut expected_digests) = ([[0; 32]; LANES], [[0; 32]; LANES]);
            wide.digests(&states, &mut digests);
            alone::digests(&states, &mut expected_digests);
            assert_eq!(digests, expected_digests);
        }
    }
}
