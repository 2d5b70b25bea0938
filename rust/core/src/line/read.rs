//! How a line is read back: its seal, and what stands before it.

use memchr::{memmem, memrchr};

use super::seal::{Form, LONGEST_SEAL, Proof, Seal, TALLY_NAME, blank, form_of, parse_seal};

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
pub(crate) fn seal_at_end(line: &[u8]) -> Option<(Seal, Form, usize)> {
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
/// The last one counts: a line that was glued to another, or had text put after it, is reported at its seal.
fn seal_inside(line: &[u8]) -> Read {
    seals_inside(line).next().map_or(Read::Unsealed, Read::Misfit)
}

/// The well-formed seals anywhere in a line, the last one first.
pub fn seals_inside(line: &[u8]) -> impl Iterator<Item = Seal> {
    memmem::rfind_iter(line, b"tally").filter_map(|at| seal_behind(&line[at + 5..]))
}

/// The seal behind the word `tally`, in plain or in JSON form.
fn seal_behind(rest: &[u8]) -> Option<Seal> {
    let s = match rest {
        [b'=', s @ ..] => s,
        [b'"', rest @ ..] => {
            let rest = skip_blanks(rest).strip_prefix(b":")?;
            skip_blanks(rest).strip_prefix(b"\"")?
        }
        _ => return None,
    };
    // Its fifth dot and the 22 characters after it end a seal, whatever follows.
    let dots = s.iter().take(LONGEST_SEAL).enumerate().filter(|(_, b)| **b == b'.');
    dots.map(|(at, _)| at + 23).nth(4).and_then(|end| parse_seal(s.get(..end)?))
}

fn skip_blanks(text: &[u8]) -> &[u8] {
    // A carrier's JSON has a blank or two here; a longer run is no seal.
    let count = text.iter().take(16).take_while(|b| blank(**b)).count();
    &text[count..]
}
