//! Sixteen messages side by side with AVX-512.

use core::arch::x86_64::{
    __m256i, __m512i, _mm256_storeu_si256, _mm512_add_epi32, _mm512_castsi512_si256, _mm512_loadu_si512,
    _mm512_mask_add_epi32, _mm512_ror_epi32, _mm512_set1_epi32, _mm512_set4_epi32, _mm512_setzero_si512,
    _mm512_shuffle_epi8, _mm512_shuffle_i32x4, _mm512_srli_epi32, _mm512_storeu_si512,
    _mm512_ternarylogic_epi32, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32,
    _mm512_unpacklo_epi64,
};

use super::{K, LANES, Row};

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
    let mut w: [__m512i; 16] = core::array::from_fn(|i| _mm512_shuffle_epi8(load_bytes(blocks[i]), order));
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
