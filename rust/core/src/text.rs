//! Text forms of bytes and numbers: `b64`, `num`, Bech32m (SPEC sections 2 and 3).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bech32::primitives::checksum::Checksum;
use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Fe1024, Hrp};
use std::ops::RangeInclusive;
use zeroize::Zeroizing;

use crate::Error;

/// `b64(data)` as a string.
#[must_use]
pub fn b64(data: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(data)
}

/// The letters of `b64`.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The two letters of each 12 bits.
const TWO: [[u8; 2]; 4096] = {
    let (mut twos, mut bits) = ([[0; 2]; 4096], 0);
    while bits < 4096 {
        twos[bits] = [LETTERS[bits >> 6], LETTERS[bits & 63]];
        bits += 1;
    }
    twos
};

/// `b64` of a tag, as every line has one.
#[inline]
pub(crate) fn b64_tag(tag: &[u8; 16]) -> [u8; 22] {
    let (high, low) = tag.split_at(8);
    let [high, low] = [high, low].map(|half| u64::from_be_bytes(half.try_into().unwrap_or_default()));
    let two = |bits: u64| TWO[(bits & 0xfff) as usize];
    // 60 bits of the first half, then the 4 that are left of it with 56 of the other one; the last letter holds two.
    let mut text = [[0; 2]; 11];
    for i in 0..5 {
        text[i] = two(high >> (52 - 12 * i));
        text[5 + i] = two((high << 56 | low >> 8) >> (48 - 12 * i));
    }
    text[10] = two(low << 4);
    let mut out = [0; 22];
    out.copy_from_slice(text.as_flattened());
    out
}

/// Of four letters in a row, what each adds to their 24 bits.
const IN_FOUR: [[u32; 256]; 4] = {
    let mut places = [[NO_LETTER; 256]; 4];
    let mut value = 0u32;
    while value < 64 {
        let mut at = 0;
        while at < 4 {
            places[at][LETTERS[value as usize] as usize] = value << (18 - 6 * at);
            at += 1;
        }
        value += 1;
    }
    places
};
const NO_LETTER: u32 = 1 << 31;

/// Decodes a tag; refuses what [`b64_fixed`] refuses.
#[inline]
pub(crate) fn b64_tag_decode(text: &[u8]) -> Option<[u8; 16]> {
    let (fours, last) = text.as_chunks::<4>();
    let (fours, &[one, two]) = (<&[[u8; 4]; 5]>::try_from(fours).ok()?, last) else { return None };
    let join = |letters: [u8; 4]| {
        let values = letters.iter().zip(&IN_FOUR).map(|(letter, place)| place[usize::from(*letter)]);
        values.fold(0, |joined, value| joined | value)
    };
    // Two letters and, so to say, two zeros: 8 bits, and 16 that must be zero.
    let (parts, end) = (fours.map(join), join([one, two, b'A', b'A']));
    let bits = parts.iter().fold(0, |bits, part| bits << 24 | u128::from(*part)) << 8 | u128::from(end >> 16);
    let seen = parts.iter().fold(end, |seen, part| seen | part);
    (seen < NO_LETTER && end.trailing_zeros() >= 16).then_some(bits.to_be_bytes())
}

/// Decodes exactly `N` bytes; refuses padding, other letters, non-zero spare bits, other lengths.
pub(crate) fn b64_fixed<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != (N * 4).div_ceil(3) {
        return None;
    }
    let mut out = [0; N];
    (URL_SAFE_NO_PAD.decode_slice(text, &mut out).ok()? == N).then_some(out)
}

/// Decodes `b64` of any length up to the caller's patience.
pub(crate) fn b64_decode(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// `num`: decimal ASCII without leading zeros, at most `max`.
pub(crate) fn num(text: &[u8], max: u64) -> Option<u64> {
    let canonical = match text {
        [] => false,
        [b'0'] => true,
        [first, ..] => *first != b'0' && text.len() <= 16,
    };
    if !canonical {
        return None;
    }
    let mut value = 0u64;
    for &digit in text {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + u64::from(digit - b'0');
    }
    (value <= max).then_some(value)
}

/// Bech32m (BIP 350) without its limit on length.
enum LongBech32m {}

impl Checksum for LongBech32m {
    type MidstateRepr = u32;
    type CorrectionField = Fe1024;
    const ROOT_GENERATOR: Fe1024 = Bech32m::ROOT_GENERATOR;
    const ROOT_EXPONENTS: RangeInclusive<usize> = Bech32m::ROOT_EXPONENTS;
    const CODE_LENGTH: usize = usize::MAX;
    const CHECKSUM_LENGTH: usize = Bech32m::CHECKSUM_LENGTH;
    const GENERATOR_SH: [u32; 5] = Bech32m::GENERATOR_SH;
    const TARGET_RESIDUE: u32 = Bech32m::TARGET_RESIDUE;
}

/// Bech32m text of `data` under the human-readable part `hrp`, in memory that is wiped.
pub(crate) fn bech32m(hrp: &str, data: &[u8]) -> Result<Zeroizing<String>, Error> {
    let hrp = Hrp::parse(hrp).map_err(|_| Error::Format("bad human-readable part".into()))?;
    // Reserved once, so that no shorter copy is left behind by a reallocation.
    let mut out = Zeroizing::new(String::with_capacity(hrp.len() + 8 + data.len().div_ceil(5) * 8));
    bech32::encode_lower_to_fmt::<LongBech32m, _>(&mut *out, hrp, data)
        .map_err(|_| Error::Format("text too long".into()))?;
    Ok(out)
}

/// Decodes Bech32m text; the padding bits must be zero.
pub(crate) fn bech32m_decode(hrp: &str, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let checked = CheckedHrpstring::new::<LongBech32m>(text).ok()?;
    checked.validate_segwit_padding().ok()?;
    if checked.hrp().to_lowercase() != hrp {
        return None;
    }
    let mut out = Zeroizing::new(Vec::with_capacity(text.len() * 5 / 8 + 1));
    out.extend(checked.byte_iter());
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b64_refuses_padding_other_letters_and_spare_bits() {
        assert_eq!(b64_fixed::<1>(b"AA"), Some([0]));
        for bad in [&b"AB"[..], b"A=", b"A", b"AAA", b"A+", b"A\n", b"AA=="] {
            assert_eq!(b64_fixed::<1>(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_tag_is_written_and_read_as_b64_of_any_length_would() {
        for i in 0..=255u8 {
            let tag: [u8; 16] = std::array::from_fn(|at| i.wrapping_mul([31, 7, 3][at % 3]) ^ i);
            let text = b64(&tag);
            assert_eq!(b64_tag(&tag), text.as_bytes());
            for at in 0..22 {
                let mut other = text.clone().into_bytes();
                other[at] = i;
                assert_eq!(b64_tag_decode(&other), b64_fixed(&other), "{other:?}");
            }
        }
        let text = [b'A'; 23];
        assert_eq!(b64_tag_decode(&text[..22]), Some([0; 16]));
        assert_eq!((b64_tag_decode(&text[..21]), b64_tag_decode(&text)), (None, None));
    }

    #[test]
    fn num_refuses_what_is_not_canonical() {
        assert_eq!(num(b"0", 9), Some(0));
        assert_eq!(num(b"4294967295", u64::from(u32::MAX)), Some(4_294_967_295));
        for bad in
            [&b""[..], b"00", b"01", b"+1", b"-1", b" 1", b"1 ", b"4294967296", b"99999999999999999999999"]
        {
            assert_eq!(num(bad, u64::from(u32::MAX)), None, "{bad:?}");
        }
    }
}
