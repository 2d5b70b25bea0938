//! Seals: how they are written and parsed.

use std::sync::LazyLock;

use memchr::memmem;

use super::position::{LogId, Position};
use crate::text::{b64_fixed, b64_tag, b64_tag_decode};

/// Longest m, in bytes.
pub const MAX_ENTRY: usize = 1 << 24;

/// The form of a sealed line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// ` tally=…` after the text.
    Plain,
    /// `,"tally":"…"` as the last member.
    Json,
}

/// What stands after the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Length of m and its tag t.
    Tag {
        /// Length of m in bytes; not covered by the tag.
        length: u32,
        /// First 16 bytes of `HMAC(K[index], l)`.
        tag: [u8; 16],
    },
    /// The line was redacted: its leaf and r stand for it.
    Redacted {
        /// `H(0x00 || t || l)`.
        leaf: [u8; 32],
        /// First 16 bytes of `HMAC(derive(K[index], "redact"), leaf)`.
        r: [u8; 16],
    },
}

/// A well-formed seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// Whose line.
    pub log: LogId,
    /// Where in the log.
    pub at: Position,
    /// What proves it.
    pub proof: Proof,
}

/// Finds the seven bytes that keep m out of the JSON form; built once, asked for every line.
pub(super) static TALLY_NAME: LazyLock<memmem::Finder<'static>> =
    LazyLock::new(|| memmem::Finder::new(b"\"tally\""));

/// The JSON form iff m is braced and does not contain `"tally"` (SPEC section 4).
#[must_use]
pub fn form_of(m: &[u8]) -> Form {
    if m.len() >= 2 && m[0] == b'{' && m[m.len() - 1] == b'}' && TALLY_NAME.find(m).is_none() {
        Form::Json
    } else {
        Form::Plain
    }
}

#[inline]
pub(super) fn blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Writes a number at `at`, and gives where it ends.
#[inline]
fn put_num(value: u32, text: &mut [u8; LONGEST_SEAL], at: usize) -> usize {
    let end = at + value.checked_ilog10().map_or(1, |log| log as usize + 1);
    let mut rest = value;
    for digit in text[at..end].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    end
}

fn push_seal(log: LogId, at: Position, length: u32, tag: &[u8; 16], out: &mut Vec<u8>) {
    // Put together first, because the output grows by one piece faster than by many.
    let mut text = [b'.'; LONGEST_SEAL];
    text[..8].copy_from_slice(&log.0);
    let mut end = 8;
    for number in [at.chain, u32::from(at.epoch), u32::from(at.index), length] {
        end = put_num(number, &mut text, end + 1);
    }
    text[end + 1..][..22].copy_from_slice(&b64_tag(tag));
    out.extend_from_slice(&text[..end + 23]);
}

/// Appends `id.chain.epoch.index.`, with which the text of a seal begins.
pub(super) fn push_position(log: LogId, at: Position, out: &mut Vec<u8>) {
    let mut text = [b'.'; LONGEST_SEAL];
    text[..8].copy_from_slice(&log.0);
    let mut end = 8;
    for number in [at.chain, u32::from(at.epoch), u32::from(at.index)] {
        end = put_num(number, &mut text, end + 1);
    }
    out.extend_from_slice(&text[..=end]);
}

/// Appends m with its seal, without a line end.
///
/// `m` is at most [`MAX_ENTRY`] bytes, so its length fits.
pub(crate) fn write(m: &[u8], log: LogId, at: Position, tag: &[u8; 16], out: &mut Vec<u8>) {
    let length = u32::try_from(m.len()).unwrap_or(u32::MAX);
    out.reserve(m.len() + LONGEST_SEAL + 16);
    match form_of(m) {
        Form::Plain => {
            out.extend_from_slice(m);
            out.extend_from_slice(if m.is_empty() { b"tally=" } else { b" tally=" });
            push_seal(log, at, length, tag, out);
        }
        Form::Json => {
            let open = &m[..m.len() - 1];
            out.extend_from_slice(open);
            out.extend_from_slice(if open[1..].iter().all(|b| blank(*b)) {
                b"\"tally\":\""
            } else {
                b",\"tally\":\""
            });
            push_seal(log, at, length, tag, out);
            out.extend_from_slice(b"\"}");
        }
    }
}

/// Reads `s`, the text of a seal.
#[inline]
#[must_use]
pub fn parse_seal(s: &[u8]) -> Option<Seal> {
    let (log, rest) = s.split_at_checked(8)?;
    let log = LogId::parse(log)?;
    let (chain, rest) = num_before_dot(rest.strip_prefix(b".")?, u32::MAX)?;
    let (epoch, rest) = num_before_dot(rest, 255)?;
    let (index, rest) = num_before_dot(rest, 65_535)?;
    let at = Position::new(chain, u8::try_from(epoch).ok()?, u16::try_from(index).ok()?);
    let proof = if let Some(redacted) = rest.strip_prefix(b"~") {
        let (leaf, r) = redacted.split_at_checked(43)?;
        Proof::Redacted { leaf: b64_fixed(leaf)?, r: b64_fixed(r.strip_prefix(b".")?)? }
    } else {
        let (length, tag) = num_before_dot(rest, 1 << 24)?;
        Proof::Tag { length, tag: b64_tag_decode(tag)? }
    };
    (chain > 0).then_some(Seal { log, at, proof })
}

/// Reads a `num` of at most `max` with a dot after it, and gives what follows.
///
/// One walk over the digits: this is done four times for every line.
#[inline]
fn num_before_dot(text: &[u8], max: u32) -> Option<(u32, &[u8])> {
    let mut value = 0u64;
    // The longest number has ten digits.
    for (at, byte) in text.iter().take(11).enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            let canonical = *byte == b'.' && (at == 1 || (at > 1 && text[0] != b'0'));
            let value = u32::try_from(value).ok()?;
            return (canonical && value <= max).then_some((value, &text[at + 1..]));
        }
        value = value * 10 + u64::from(digit);
    }
    None
}

/// Longest text of a seal: `id.4294967295.255.65535.~<43>.<22>`.
pub(super) const LONGEST_SEAL: usize = 8 + 11 + 4 + 6 + 45 + 23;
