//! Sixteen messages as two times eight, each eight side by side with AVX2.

use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_loadu_si256, _mm256_or_si256,
    _mm256_permute2x128_si256, _mm256_set_epi32, _mm256_set1_epi32, _mm256_setr_epi32, _mm256_shuffle_epi8,
    _mm256_slli_epi32, _mm256_srli_epi32, _mm256_storeu_si256, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64,
    _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256,
};

use super::{K, LANES, Row};

#[target_feature(enable = "avx2")]
pub(super) fn compress(states: &mut [Row; 8], blocks: &[Row; 16], lanes: u16) {
    for (eight, wanted) in lanes.to_le_bytes().into_iter().enumerate().filter(|(_, wanted)| *wanted != 0) {
        let lane = |at: u32| if wanted >> at & 1 == 1 { -1 } else { 0 };
        let wanted =
            _mm256_setr_epi32(lane(0), lane(1), lane(2), lane(3), lane(4), lane(5), lane(6), lane(7));
        compress_eight(states, blocks, eight, wanted);
    }
}

#[allow(clippy::many_single_char_names, reason = "they are those of FIPS 180-4")]
#[target_feature(enable = "avx2")]
fn compress_eight(states: &mut [Row; 8], blocks: &[Row; 16], eight: usize, wanted: __m256i) {
    let mut w: [__m256i; 16] = core::array::from_fn(|i| load(&blocks[i], eight));
    let before: [__m256i; 8] = core::array::from_fn(|i| load(&states[i], eight));
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = before;
    let mut last = _mm256_xor_si256(b, c);
    for from in [0, 16, 32, 48] {
        // Sixteen at a time, so that each word keeps its place.
        for i in 0..16 {
            if from > 0 {
                let (second, late) = (w[(i + 1) % 16], w[(i + 14) % 16]);
                let s0 =
                    xor3(rotated::<7, 25>(second), rotated::<18, 14>(second), _mm256_srli_epi32::<3>(second));
                let s1 =
                    xor3(rotated::<17, 15>(late), rotated::<19, 13>(late), _mm256_srli_epi32::<10>(late));
                let sum = _mm256_add_epi32(w[(i + 9) % 16], s1);
                w[i] = _mm256_add_epi32(_mm256_add_epi32(w[i], s0), sum);
            }
            let s1 = xor3(rotated::<6, 26>(e), rotated::<11, 21>(e), rotated::<25, 7>(e));
            let choice = _mm256_xor_si256(g, _mm256_and_si256(e, _mm256_xor_si256(f, g)));
            let constant = _mm256_set1_epi32(K[from + i].cast_signed());
            let known = _mm256_add_epi32(h, _mm256_add_epi32(w[i], constant));
            let one = _mm256_add_epi32(known, _mm256_add_epi32(s1, choice));
            let s0 = xor3(rotated::<2, 30>(a), rotated::<13, 19>(a), rotated::<22, 10>(a));
            // The majority of a, b and c; a and b differ where, a round later, b and c do.
            let differ = _mm256_xor_si256(a, b);
            let majority = _mm256_xor_si256(b, _mm256_and_si256(differ, last));
            last = differ;
            (h, g, f, e) = (g, f, e, _mm256_add_epi32(d, one));
            (d, c, b, a) = (c, b, a, _mm256_add_epi32(one, _mm256_add_epi32(s0, majority)));
        }
    }
    for ((row, before), after) in states.iter_mut().zip(before).zip([a, b, c, d, e, f, g, h]) {
        store(row, eight, _mm256_add_epi32(before, _mm256_and_si256(after, wanted)));
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn words(blocks: &[&[u8; 64]; LANES], rows: &mut [Row; 16]) {
    for eight in 0..2 {
        for half in 0..2 {
            let lanes = core::array::from_fn(|lane| {
                let (halves, _) = blocks[8 * eight + lane].as_chunks::<32>();
                big_endian(load_bytes(&halves[half]))
            });
            for (row, words) in rows[8 * half..8 * half + 8].iter_mut().zip(transposed(lanes)) {
                store(row, eight, words);
            }
        }
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn digests(states: &[Row; 8], digests: &mut [[u8; 32]; LANES]) {
    for eight in 0..2 {
        let lanes = transposed(core::array::from_fn(|i| load(&states[i], eight)));
        for (digest, words) in digests[8 * eight..8 * eight + 8].iter_mut().zip(lanes) {
            store_bytes(digest, big_endian(words));
        }
    }
}

/// To the right by so many bits; `LEFT` is what is missing to 32.
#[inline]
#[target_feature(enable = "avx2")]
fn rotated<const BY: i32, const LEFT: i32>(words: __m256i) -> __m256i {
    const { assert!(BY + LEFT == 32) };
    _mm256_or_si256(_mm256_srli_epi32::<BY>(words), _mm256_slli_epi32::<LEFT>(words))
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor3(a: __m256i, b: __m256i, c: __m256i) -> __m256i {
    _mm256_xor_si256(a, _mm256_xor_si256(b, c))
}

/// Puts the bytes of every word the other way round.
#[inline]
#[target_feature(enable = "avx2")]
fn big_endian(words: __m256i) -> __m256i {
    let [a, b, c, d] = [0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203];
    _mm256_shuffle_epi8(words, _mm256_set_epi32(a, b, c, d, a, b, c, d))
}

/// Makes rows of columns.
#[inline]
#[target_feature(enable = "avx2")]
fn transposed(r: [__m256i; 8]) -> [__m256i; 8] {
    let (mut t, mut u) = (r, r);
    for i in 0..4 {
        t[2 * i] = _mm256_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    for i in [0, 4] {
        u[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
        u[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
        u[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
        u[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for i in 0..4 {
        t[i] = _mm256_permute2x128_si256::<0x20>(u[i], u[i + 4]);
        t[i + 4] = _mm256_permute2x128_si256::<0x31>(u[i], u[i + 4]);
    }
    t
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(row: &Row, eight: usize) -> __m256i {
    let (eights, _) = row.as_chunks::<8>();
    // SAFETY: eight words are 32 readable bytes, and this load takes them at any alignment.
    #[allow(unsafe_code)]
    unsafe {
        _mm256_loadu_si256(std::ptr::from_ref(&eights[eight]).cast())
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_bytes(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: these are 32 readable bytes, and this load takes them at any alignment.
    #[allow(unsafe_code)]
    unsafe {
        _mm256_loadu_si256(std::ptr::from_ref(bytes).cast())
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(row: &mut Row, eight: usize, words: __m256i) {
    let (eights, _) = row.as_chunks_mut::<8>();
    // SAFETY: eight words are 32 writable bytes, and this store takes them at any alignment.
    #[allow(unsafe_code)]
    unsafe {
        _mm256_storeu_si256(std::ptr::from_mut(&mut eights[eight]).cast(), words);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_bytes(bytes: &mut [u8; 32], words: __m256i) {
    // SAFETY: these are 32 writable bytes, and this store takes them at any alignment.
    #[allow(unsafe_code)]
    unsafe {
        _mm256_storeu_si256(std::ptr::from_mut(bytes).cast(), words);
    }
}
