//! Sealed lines: how a seal is written and how it is read back (SPEC section 4).
//!
//! ```text
//! plain   user=alice action=login ok=true tally=oedhcsck.1.0.1.31.nlVE6ODUh8wL_0Qn_gqnEQ
//!         '------------- m -------------'       '-id---' | | |  |  '- b64(t), 16 bytes
//!                                                  chain-' | |  '- length of m
//!                                                    epoch-' '- index
//! JSON    {"a":1,"b":"x","tally":"oedhcsck.1.0.8.15.vPg5NFLaYwzmasR0A19JMA"}
//! ```
//!
//! ```
//! use tallystick_core::line::{Form, Read, read};
//! let line = b"user=alice action=login ok=true tally=oedhcsck.1.0.1.31.nlVE6ODUh8wL_0Qn_gqnEQ";
//! let Read::Sealed(sealed) = read(line) else { panic!() };
//! assert_eq!(sealed.m.as_bytes(line), Some(&b"user=alice action=login ok=true"[..]));
//! assert_eq!(sealed.seal.at.to_string(), "1.0.1");
//! ```

pub mod canon;
pub mod envelope;

use memchr::{memmem, memrchr};
use std::fmt;
use std::sync::LazyLock;

use crate::text::{b64_fixed, b64_tag, b64_tag_decode, num};

/// Longest m, in bytes.
pub const MAX_ENTRY: usize = 1 << 24;

/// The 8 characters of a log id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct LogId(pub [u8; 8]);

impl LogId {
    /// No log's.
    pub const NONE: Self = Self(*b"aaaaaaaa");

    /// Reads 8 characters of lower-case base32.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let id: [u8; 8] = text.try_into().ok()?;
        let good = |b: &u8| matches!(b, b'a'..=b'z' | b'2'..=b'7');
        id.iter().fold(true, |all, b| all & good(b)).then_some(Self(id))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("????????")
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `chain.epoch.index`: a line's address for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// Chain, from 1; 0 only in the set-up head.
    pub chain: u32,
    /// Epoch in the chain.
    pub epoch: u8,
    /// Index in the epoch.
    pub index: u16,
}

impl Position {
    /// A position.
    #[must_use]
    pub fn new(chain: u32, epoch: u8, index: u16) -> Self {
        Self { chain, epoch, index }
    }

    /// Reads `chain.epoch.index`; chain 0 only for the set-up head `0.0.0`.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = text.split(|b| *b == b'.');
        let at = Self::from_parts(parts.next()?, parts.next()?, parts.next()?)?;
        parts.next().is_none().then_some(at)
    }

    pub(crate) fn from_parts(chain: &[u8], epoch: &[u8], index: &[u8]) -> Option<Self> {
        let chain = u32::try_from(num(chain, u64::from(u32::MAX))?).ok()?;
        let epoch = u8::try_from(num(epoch, 255)?).ok()?;
        let index = u16::try_from(num(index, 65_535)?).ok()?;
        (chain > 0 || (epoch, index) == (0, 0)).then_some(Self { chain, epoch, index })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.chain, self.epoch, self.index)
    }
}

/// The form of a sealed line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// ` tally=…` behind the text.
    Plain,
    /// `,"tally":"…"` as the last member.
    Json,
}

/// What stands behind the position.
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
static TALLY_NAME: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"\"tally\""));

/// The JSON form iff m is braced and does not contain `"tally"` (SPEC section 4).
#[must_use]
pub fn form_of(m: &[u8]) -> Form {
    if m.len() >= 2 && m[0] == b'{' && m[m.len() - 1] == b'}' && TALLY_NAME.find(m).is_none() {
        Form::Json
    } else {
        Form::Plain
    }
}

fn blank(byte: u8) -> bool {
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

/// Reads a `num` of at most `max` with a dot behind it, and gives what follows.
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
const LONGEST_SEAL: usize = 8 + 11 + 4 + 6 + 45 + 23;

/// Where m stands in a line that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// Plain: m is `line[from..to]`.
    Plain(usize, usize),
    /// JSON: m is `line[from..to]` and `}`.
    Json(usize, usize),
}

impl Span {
    /// Where m begins; what stands before it is a prefix.
    #[must_use]
    pub fn start(&self) -> usize {
        match self {
            Self::Plain(from, _) | Self::Json(from, _) => *from,
        }
    }

    /// m, if it stands in the line as one piece (plain form).
    #[must_use]
    pub fn as_bytes<'a>(&self, line: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Self::Plain(from, to) => line.get(*from..*to),
            Self::Json(..) => None,
        }
    }
}

/// A line whose seal stands at its end and fits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// The seal.
    pub seal: Seal,
    /// Where m is.
    pub m: Span,
}

/// What reading a line found. Nothing is authentic yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// A blank line or one of NULs: no line.
    Nothing,
    /// Seal and bytes fit together.
    Sealed(Sealed),
    /// The line is a redacted one, exactly.
    Redacted(Seal),
    /// There is a seal, but not at the end, or m and the seal written again are not what was read.
    Misfit(Seal),
    /// No well-formed seal anywhere.
    Unsealed,
}

/// The line without trailing blanks, tabs and CR.
#[must_use]
pub fn trim(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|b| !blank(*b) && *b != b'\r').map_or(0, |at| at + 1);
    &line[..end]
}

/// Reads one line (without its LF).
#[must_use]
pub fn read(line: &[u8]) -> Read {
    let line = trim(line);
    if line.iter().all(|b| *b == 0 || blank(*b) || *b == b'\r') {
        return Read::Nothing;
    }
    let Some((seal, form, start)) = seal_at_end(line) else { return seal_inside(line) };
    match seal.proof {
        Proof::Redacted { .. } => {
            let (before, after): (&[u8], &[u8]) = match form {
                Form::Plain => (b"[redacted] tally=", b""),
                Form::Json => (b"{\"redacted\":true,\"tally\":\"", b"\"}"),
            };
            let whole = start == before.len() && line.starts_with(before) && line.ends_with(after);
            if whole { Read::Redacted(seal) } else { Read::Misfit(seal) }
        }
        Proof::Tag { length, .. } => match span(line, form, start, length as usize) {
            Some(m) => Read::Sealed(Sealed { seal, m }),
            None => Read::Misfit(seal),
        },
    }
}

/// By how many bytes a line that ends in a seal is longer than that seal says; `None` if it has none at its end.
#[must_use]
pub fn excess(line: &[u8]) -> Option<i64> {
    let line = trim(line);
    let (seal, form, start) = seal_at_end(line)?;
    let Proof::Tag { length, .. } = seal.proof else { return None };
    let before = |label: usize, byte: u8| line.get(..label).is_some_and(|text| text.last() == Some(&byte));
    let here = match form {
        Form::Plain => {
            let label = start - b"tally=".len();
            label - usize::from(before(label, b' '))
        }
        Form::Json => {
            let label = start - b"\"tally\":\"".len();
            label - usize::from(before(label, b',')) + 1
        }
    };
    Some(i64::try_from(here).ok()? - i64::from(length))
}

/// The seal at the end of a trimmed line, its form, and where its text `s` begins.
#[inline]
fn seal_at_end(line: &[u8]) -> Option<(Seal, Form, usize)> {
    let (body, form) = match line.strip_suffix(b"\"}") {
        Some(body) => (body, Form::Json),
        None => (line, Form::Plain),
    };
    // No seal holds the byte that stands before it, so the last such byte is the one.
    let (label, before): (&[u8], u8) = match form {
        Form::Json => (b"\"tally\":\"", b'"'),
        Form::Plain => (b"tally=", b'='),
    };
    let from = body.len().saturating_sub(LONGEST_SEAL + 1);
    let start = from + memrchr(before, &body[from..])? + 1;
    if !body[..start].ends_with(label) {
        return None;
    }
    Some((parse_seal(&body[start..])?, form, start))
}

/// Where m stands, if m and the seal written again give the line from m on.
fn span(line: &[u8], form: Form, start: usize, length: usize) -> Option<Span> {
    match form {
        Form::Plain => {
            let label = start - b"tally=".len();
            if length == 0 {
                return Some(Span::Plain(label, label));
            }
            let end = label.checked_sub(1)?;
            let from = end.checked_sub(length)?;
            let m = &line[from..end];
            (line[end] == b' ' && form_of(m) == Form::Plain).then_some(Span::Plain(from, end))
        }
        Form::Json => {
            let label = start - b"\"tally\":\"".len();
            let comma = label.checked_sub(1).is_some_and(|at| line[at] == b',');
            let end = label - usize::from(comma);
            let from = end.checked_sub(length.checked_sub(1)?)?;
            let open = &line[from..end];
            let (first, inside) = open.split_first()?;
            let empty = inside.iter().all(|b| blank(*b));
            let fits = *first == b'{' && comma != empty && TALLY_NAME.find(open).is_none();
            fits.then_some(Span::Json(from, end))
        }
    }
}

/// Looks for a well-formed seal anywhere in a line that does not end in one.
///
/// The last one counts: a line that was glued to another, or had text put behind it, is told at its seal.
fn seal_inside(line: &[u8]) -> Read {
    for at in memmem::rfind_iter(line, b"tally") {
        let rest = &line[at + 5..];
        let s = match rest {
            [b'=', s @ ..] => s,
            [b'"', rest @ ..] => match skip_blanks(rest).split_first() {
                Some((b':', rest)) => match skip_blanks(rest).split_first() {
                    Some((b'"', s)) => s,
                    _ => continue,
                },
                _ => continue,
            },
            _ => continue,
        };
        // Its fifth dot and the 22 characters behind it end a seal, whatever follows.
        let dots = s.iter().take(LONGEST_SEAL).enumerate().filter(|(_, b)| **b == b'.');
        let seal = dots.map(|(at, _)| at + 23).nth(4).and_then(|end| parse_seal(s.get(..end)?));
        if let Some(seal) = seal {
            return Read::Misfit(seal);
        }
    }
    Read::Unsealed
}

fn skip_blanks(text: &[u8]) -> &[u8] {
    // A carrier's JSON has a blank or two here; a longer run is no seal.
    let count = text.iter().take(16).take_while(|b| blank(**b)).count();
    &text[count..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(m: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write(m, LogId(*b"abcdefgh"), Position::new(1, 2, 3), &[9; 16], &mut out);
        out
    }

    #[test]
    fn every_m_that_is_written_is_read_back() {
        let cases: [&[u8]; 14] = [
            b"",
            b" ",
            b"x",
            b"{}",
            b"{ \t}",
            b"{\"a\":1}",
            b"{bad}",
            b"{\"tally\":1}",
            b"}{",
            b"{",
            b"}",
            b"ends with cr\r",
            b"\x00",
            b"a tally=abcdefgh.1.2.3.1.CQkJCQkJCQkJCQkJCQkJCQ",
        ];
        for m in cases {
            let line = sealed(m);
            let Read::Sealed(got) = read(&line) else { panic!("{m:?} not read: {line:?}") };
            match got.m {
                Span::Plain(from, to) => assert_eq!(&line[from..to], m),
                Span::Json(from, to) => assert_eq!([&line[from..to], b"}"].concat(), m),
            }
            assert_eq!(got.m.start(), 0);
        }
    }

    #[test]
    fn a_prefix_is_told_by_where_m_begins() {
        for m in [&b"x=1"[..], b"{\"a\":1}", b""] {
            let line = [b"Nov 23 host app: ", &sealed(m)[..]].concat();
            let Read::Sealed(got) = read(&line) else { panic!() };
            assert_eq!(got.m.start(), 17);
        }
    }

    #[test]
    fn trailing_blanks_tabs_and_cr_are_dropped_and_other_bytes_are_not() {
        let line = sealed(b"x");
        assert!(matches!(read(&[&line[..], b" \t\r"].concat()), Read::Sealed(_)));
        for tail in [&b"\x0b"[..], b".", b"\"}", b"\0", b"Jx=2"] {
            assert!(matches!(read(&[&line[..], tail].concat()), Read::Misfit(_)), "{tail:?}");
        }
    }

    #[test]
    fn what_is_not_canonical_is_no_seal() {
        for s in [
            "abcdefgh.01.2.3.1.CQkJCQkJCQkJCQkJCQkJCQ",
            "abcdefgh.0.0.0.1.CQkJCQkJCQkJCQkJCQkJCQ",
            "abcdefgh.1.256.3.1.CQkJCQkJCQkJCQkJCQkJCQ",
            "abcdefgh.1.2.65536.1.CQkJCQkJCQkJCQkJCQkJCQ",
            "abcdefgh.1.2.3.16777217.CQkJCQkJCQkJCQkJCQkJCQ",
            "abcdefgh.4294967296.2.3.1.CQkJCQkJCQkJCQkJCQkJCQ",
            "abcdefgh.1.2.3.1.CQkJCQkJCQkJCQkJCQkJCR",
            "abcdefgh.1.2.3.1.CQkJCQkJCQkJCQkJCQkJCQ==",
            "ABCDEFGH.1.2.3.1.CQkJCQkJCQkJCQkJCQkJCQ",
            "abcdefgh.1.2.3.1.CQkJCQkJCQkJCQkJCQkJCQ.x",
        ] {
            assert_eq!(parse_seal(s.as_bytes()), None, "{s}");
        }
    }

    #[test]
    fn a_line_is_longer_or_shorter_than_its_seal_says() {
        for m in [&b"user=7 amount=100"[..], b"{\"a\":1}", b"{}", b"", b"{\"tallystick\":\"x\"}"] {
            let line = sealed(m);
            assert_eq!(excess(&line), Some(0), "{m:?}");
            assert_eq!(excess(&[b"x", &line[..]].concat()).map(|by| by > 0), Some(true), "{m:?}");
            assert_eq!(excess(&line[..line.len() - 1]), None, "{m:?}");
        }
        let line = sealed(b"amount=100");
        assert_eq!(excess(&[b"amount=1000", &line[10..]].concat()), Some(1));
        assert_eq!(excess(&[b"amount=1", &line[10..], b" \r"].concat()), Some(-2));
        assert_eq!(excess(b"no seal"), None);
    }

    #[test]
    fn blank_lines_and_nuls_are_no_lines() {
        for line in [&b""[..], b" \t\r", b"\0\0\0", b" \0 \0\r"] {
            assert_eq!(read(line), Read::Nothing);
        }
        assert_eq!(read(b"x"), Read::Unsealed);
    }
}
