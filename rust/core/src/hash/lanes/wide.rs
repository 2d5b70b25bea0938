//! The compression function of SHA-256 for sixteen messages at a time, a lane for each: sixteen side by side with
//! AVX-512, eight with AVX2 where there are no SHA instructions, four with WebAssembly's 128 bits.

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use super::fours as lanes;
use super::{LANES, Row};
#[cfg(target_arch = "x86_64")]
use super::{eights, sixteens};
#[cfg(not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128"))))]
use alone as lanes;

/// What of this processor makes lanes gain; only [`here`](Wide::here) finds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wide(#[cfg(target_arch = "x86_64")] With, #[cfg(not(target_arch = "x86_64"))] ());

#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
enum With {
    Avx512,
    Avx2,
}

#[cfg(target_arch = "x86_64")]
impl With {
    /// Has this processor such instructions? The library keeps the answer.
    #[inline]
    fn is_here(self) -> bool {
        match self {
            Self::Avx512 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw"),
            Self::Avx2 => is_x86_feature_detected!("avx2"),
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Wide {
    /// The lanes that this processor gains by, if any: two messages with SHA instructions are faster than eight with AVX2.
    #[inline]
    pub(crate) fn here() -> Option<Self> {
        if cfg!(feature = "two-lanes") {
            return None;
        }
        let gains = |with: &With| {
            with.is_here() && (matches!(with, With::Avx512) || !is_x86_feature_detected!("sha"))
        };
        [With::Avx512, With::Avx2].into_iter().find(gains).map(Self)
    }

    /// Each kind of lanes that this processor has, whether it gains by them or not.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        [With::Avx512, With::Avx2].into_iter().filter(|with| with.is_here()).map(Self).collect()
    }

    /// Takes a block into the state of every lane whose bit is set.
    #[inline]
    pub(crate) fn compress(self, states: &mut [Row; 8], blocks: &[Row; 16], lanes: u16) {
        // SAFETY: the processor has these instructions, else there were no such `Wide`; nothing else is asked for.
        #[allow(unsafe_code)]
        match self.0 {
            With::Avx512 => unsafe { sixteens::compress(states, blocks, lanes) },
            With::Avx2 => unsafe { eights::compress(states, blocks, lanes) },
        }
    }

    /// The words of sixteen blocks.
    #[inline]
    pub(crate) fn words(self, blocks: &[&[u8; 64]; LANES], rows: &mut [Row; 16]) {
        // SAFETY: as for `compress`.
        #[allow(unsafe_code)]
        match self.0 {
            With::Avx512 => unsafe { sixteens::words(blocks, rows) },
            With::Avx2 => unsafe { eights::words(blocks, rows) },
        }
    }

    /// The digests that sixteen states stand for.
    #[inline]
    pub(crate) fn digests(self, states: &[Row; 8], digests: &mut [[u8; 32]; LANES]) {
        // SAFETY: as for `compress`.
        #[allow(unsafe_code)]
        match self.0 {
            With::Avx512 => unsafe { sixteens::digests(states, digests) },
            With::Avx2 => unsafe { eights::digests(states, digests) },
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[allow(clippy::unused_self, reason = "to have one is what says that lanes gain")]
impl Wide {
    /// The lanes that this processor gains by, if any.
    #[inline]
    pub(crate) fn here() -> Option<Self> {
        cfg!(all(target_arch = "wasm32", target_feature = "simd128")).then_some(Self(()))
    }

    /// Each kind of lanes that this processor has, whether it gains by them or not.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        vec![Self(())]
    }

    /// Takes a block into the state of every lane whose bit is set.
    #[inline]
    pub(crate) fn compress(self, states: &mut [Row; 8], blocks: &[Row; 16], lanes: u16) {
        lanes::compress(states, blocks, lanes);
    }

    /// The words of sixteen blocks.
    #[inline]
    pub(crate) fn words(self, blocks: &[&[u8; 64]; LANES], rows: &mut [Row; 16]) {
        lanes::words(blocks, rows);
    }

    /// The digests that sixteen states stand for.
    #[inline]
    pub(crate) fn digests(self, states: &[Row; 8], digests: &mut [[u8; 32]; LANES]) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_lanes_compress_like_the_library_with_each_kind_of_instructions() {
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
            let before: [Row; 8] = std::array::from_fn(|_| {
                std::array::from_fn(|_| u32::from_le_bytes(std::array::from_fn(|_| noise())))
            });
            let (mut expected_rows, mut expected, mut expected_digests) =
                ([[0; LANES]; 16], before, [[0; 32]; LANES]);
            alone::words(&blocks.each_ref(), &mut expected_rows);
            alone::compress(&mut expected, &expected_rows, lanes);
            alone::digests(&expected, &mut expected_digests);
            for wide in Wide::all() {
                let (mut states, mut rows, mut digests) = (before, [[0; LANES]; 16], [[0; 32]; LANES]);
                wide.words(&blocks.each_ref(), &mut rows);
                assert_eq!(rows, expected_rows, "{wide:?}");
                wide.compress(&mut states, &rows, lanes);
                assert_eq!(states, expected, "{wide:?}");
                wide.digests(&states, &mut digests);
                assert_eq!(digests, expected_digests, "{wide:?}");
            }
        }
    }
}
