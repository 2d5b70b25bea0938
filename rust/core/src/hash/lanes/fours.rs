//! Sixteen messages as four times four, each four side by side in 128 bits.

use core::arch::wasm32::{
    i8x16_shuffle, i32x4_shuffle, i64x2_shuffle, u32x4, u32x4_add, u32x4_shl, u32x4_shr, v128, v128_and,
    v128_load32_splat, v128_or, v128_store, v128_xor,
};

use std::hint::black_box;

use super::{K, LANES, Row};

pub(super) fn compress(states: &mut [Row; 8], blocks: &[Row; 16], lanes: u16) {
    for four in 0..4 {
        let wanted = lanes >> (4 * four) & 0xf;
        if wanted != 0 {
            let [a, b, c, d] = [0, 1, 2, 3].map(|lane| if wanted >> lane & 1 == 1 { u32::MAX } else { 0 });
            compress_four(states, blocks, four, u32x4(a, b, c, d));
        }
    }
}

#[allow(clippy::many_single_char_names, reason = "they are those of FIPS 180-4")]
fn compress_four(states: &mut [Row; 8], blocks: &[Row; 16], four: usize, wanted: v128) {
    let mut words: [v128; 16] = core::array::from_fn(|i| load(&blocks[i], four));
    // A browser makes a constant of each round in three steps and finds no register for most words. So the compiler
    // must not know that both could be anything but memory: a load of either costs next to nothing.
    let (k, w) = black_box((&K, &mut words));
    let before: [v128; 8] = core::array::from_fn(|i| load(&states[i], four));
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = before;
    let mut last = v128_xor(b, c);
    for from in [0, 16, 32, 48] {
        // Sixteen at a time, so that each word keeps its place.
        for i in 0..16 {
            if from > 0 {
                let (second, late) = (w[(i + 1) % 16], w[(i + 14) % 16]);
                let s0 = xor3(rotated::<7>(second), rotated::<18>(second), u32x4_shr(second, 3));
                let s1 = xor3(rotated::<17>(late), rotated::<19>(late), u32x4_shr(late, 10));
                w[i] = u32x4_add(u32x4_add(w[i], s0), u32x4_add(w[(i + 9) % 16], s1));
            }
            let s1 = xor3(rotated::<6>(e), rotated::<11>(e), rotated::<25>(e));
            let choice = v128_xor(g, v128_and(e, v128_xor(f, g)));
            let known = u32x4_add(h, u32x4_add(w[i], all_four(&k[from + i])));
            let one = u32x4_add(known, u32x4_add(s1, choice));
            let s0 = xor3(rotated::<2>(a), rotated::<13>(a), rotated::<22>(a));
            // The majority of a, b and c; a and b differ where, a round later, b and c do.
            let differ = v128_xor(a, b);
            let majority = v128_xor(b, v128_and(differ, last));
            last = differ;
            (h, g, f, e) = (g, f, e, u32x4_add(d, one));
            (d, c, b, a) = (c, b, a, u32x4_add(one, u32x4_add(s0, majority)));
        }
    }
    for ((row, before), after) in states.iter_mut().zip(before).zip([a, b, c, d, e, f, g, h]) {
        store(row, four, u32x4_add(before, v128_and(after, wanted)));
    }
}

pub(super) fn words(blocks: &[&[u8; 64]; LANES], rows: &mut [Row; 16]) {
    for four in 0..4 {
        for at in [0, 4, 8, 12] {
            let lanes = core::array::from_fn(|lane| big_endian(quarter(blocks[4 * four + lane], at / 4)));
            for (row, words) in rows[at..at + 4].iter_mut().zip(transposed(lanes)) {
                store(row, four, words);
            }
        }
    }
}

pub(super) fn digests(states: &[Row; 8], digests: &mut [[u8; 32]; LANES]) {
    for four in 0..4 {
        for half in [0, 1] {
            let lanes = transposed(core::array::from_fn(|i| load(&states[4 * half + i], four)));
            for (digest, words) in digests[4 * four..4 * four + 4].iter_mut().zip(lanes) {
                let (halves, _) = digest.as_chunks_mut::<16>();
                store_bytes(&mut halves[half], big_endian(words));
            }
        }
    }
}

/// The same word in each lane.
#[inline]
fn all_four(word: &u32) -> v128 {
    // SAFETY: a word is four readable bytes, and this load takes them at any alignment.
    #[allow(unsafe_code)]
    unsafe {
        v128_load32_splat(word)
    }
}

#[inline]
fn rotated<const BY: u32>(words: v128) -> v128 {
    v128_or(u32x4_shr(words, BY), u32x4_shl(words, 32 - BY))
}

#[inline]
fn xor3(a: v128, b: v128, c: v128) -> v128 {
    v128_xor(a, v128_xor(b, c))
}

/// Puts the bytes of every word the other way round.
#[inline]
fn big_endian(words: v128) -> v128 {
    i8x16_shuffle::<3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12>(words, words)
}

/// Makes rows of columns.
#[inline]
fn transposed([a, b, c, d]: [v128; 4]) -> [v128; 4] {
    let (ab, cd) = (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<0, 4, 1, 5>(c, d));
    let (late_ab, late_cd) = (i32x4_shuffle::<2, 6, 3, 7>(a, b), i32x4_shuffle::<2, 6, 3, 7>(c, d));
    [
        i64x2_shuffle::<0, 2>(ab, cd),
        i64x2_shuffle::<1, 3>(ab, cd),
        i64x2_shuffle::<0, 2>(late_ab, late_cd),
        i64x2_shuffle::<1, 3>(late_ab, late_cd),
    ]
}

/// Four words of a row; the compiler makes one load of it.
#[inline]
fn load(row: &Row, four: usize) -> v128 {
    let (fours, _) = row.as_chunks::<4>();
    let [a, b, c, d] = fours[four];
    u32x4(a, b, c, d)
}

/// Sixteen bytes of a block as they stand.
#[inline]
fn quarter(block: &[u8; 64], number: usize) -> v128 {
    let (quarters, _) = block.as_chunks::<16>();
    let (words, _) = quarters[number].as_chunks::<4>();
    let [a, b, c, d] = [0, 1, 2, 3].map(|i| u32::from_le_bytes(words[i]));
    u32x4(a, b, c, d)
}

#[inline]
fn store(row: &mut Row, four: usize, words: v128) {
    let (fours, _) = row.as_chunks_mut::<4>();
    // SAFETY: four words are 16 writable bytes, and this store takes them at any alignment.
    #[allow(unsafe_code)]
    unsafe {
        v128_store(std::ptr::from_mut(&mut fours[four]).cast(), words);
    }
}

#[inline]
fn store_bytes(bytes: &mut [u8; 16], words: v128) {
    // SAFETY: these are 16 writable bytes, and this store takes them at any alignment.
    #[allow(unsafe_code)]
    unsafe {
        v128_store(std::ptr::from_mut(bytes).cast(), words);
    }
}
