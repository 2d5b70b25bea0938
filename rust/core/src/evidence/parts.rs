//! The parts of an evidence file, and of a line in it (SPEC section 10).

use zeroize::Zeroize;

use crate::hash::{self, Digest, first16, hmac};
use crate::line::{self, Read, Seal, Span};
use crate::secret::Secret;
use crate::text::{b64, b64_fixed};
use crate::witness::shown::{Receipted, read_receipts};

/// First line of an evidence file.
pub const OPENING: &[u8] = b"tallystick/v1 evidence\n";

/// Hashes in the longest inclusion proof: an epoch has 65,535 lines at most.
const LONGEST_PROOF: usize = 16;

/// The parts of an evidence file; nothing in them is verified yet.
pub(super) struct Parts<'a> {
    pub(super) opens: Vec<&'a [u8]>,
    /// The checkpoint or signed head that covers the line, and later texts that lead to it; with receipts.
    pub(super) texts: Vec<Receipted<'a>>,
    pub(super) proof: Vec<Digest>,
    pub(super) line: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Reads the parts; `None` if the bytes are not exactly evidence.
    pub(super) fn parse(data: &'a [u8]) -> Option<Self> {
        let (rest, line) = cut_line(data)?;
        let (mut rest, proof) = cut_line(rest)?;
        let line = line.strip_prefix(b"line ")?;
        let proof = match proof.strip_prefix(b"proof")? {
            [] => Vec::new(),
            hashes => hashes
                .strip_prefix(b" ")?
                .split(|b| *b == b' ')
                .take(LONGEST_PROOF + 1)
                .map(b64_fixed)
                .collect::<Option<_>>()?,
        };
        rest = rest.strip_prefix(OPENING)?;
        let mut opens = Vec::new();
        while rest.starts_with(b"tallystick/v1 open ") {
            let (open, later) = rest.split_at(memchr::memchr(b'\n', rest)?);
            opens.push(open);
            rest = &later[1..];
        }
        let parts = Self { opens, texts: read_receipts(rest).ok()?, proof, line };
        // Blank lines and the like, which a file of receipts may hold, are no evidence.
        (!parts.texts.is_empty() && parts.write() == data).then_some(parts)
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = OPENING.to_vec();
        for open in &self.opens {
            out.extend_from_slice(open);
            out.push(b'\n');
        }
        for one in &self.texts {
            out.extend_from_slice(one.text);
            out.push(b'\n');
            for receipt in &one.receipts {
                out.extend_from_slice(receipt.note);
                out.extend_from_slice(receipt.proof.unwrap_or_default());
            }
        }
        out.extend_from_slice(b"proof");
        for hash in &self.proof {
            out.push(b' ');
            out.extend_from_slice(b64(hash).as_bytes());
        }
        out.extend_from_slice(b"\nline ");
        out.extend_from_slice(self.line);
        out.push(b'\n');
        out
    }
}

/// Parts the last line, without its end, from what stands before it.
fn cut_line(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let whole = data.strip_suffix(b"\n")?;
    Some(whole.split_at(memchr::memrchr(b'\n', whole)? + 1))
}

/// Seal and m of a line that is exactly what a writer makes; no m in a redacted one.
pub(super) fn seal_of(line: &[u8]) -> Option<(Seal, Option<Vec<u8>>)> {
    if line::trim(line).len() != line.len() {
        return None;
    }
    match line::read(line) {
        Read::Sealed(sealed) if sealed.m.start() == 0 => Some((sealed.seal, Some(m_of(line, sealed.m)))),
        Read::Redacted(seal) => Some((seal, None)),
        _ => None,
    }
}

/// m as it was before it was sealed.
pub(super) fn m_of(line: &[u8], m: Span) -> Vec<u8> {
    match m {
        Span::Plain(from, to) => line[from..to].to_vec(),
        Span::Json(from, to) => [&line[from..to], b"}"].concat(),
    }
}

/// First 16 bytes of `HMAC(derive(K[index], "redact"), leaf)`.
pub(super) fn r(entry_key: &Secret, leaf: &Digest) -> [u8; 16] {
    let mut key = [0; 32];
    hash::derive_into(entry_key.expose(), "redact", &mut key);
    let r = first16(&hmac(&key, &[leaf]));
    key.zeroize();
    r
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::seal::statement::Statement;

    const LOG: &[u8] = include_bytes!("../../../../spec/vectors/plain.log");

    /// The first statement of this verb; entries that look like one are none.
    fn statement(verb: &[u8]) -> &'static [u8] {
        let lines = LOG.split(|b| *b == b'\n').filter(|line| line.starts_with(verb));
        let mut texts = lines.filter_map(|line| Some(&line[..memchr::memmem::find(line, b" tally=")?]));
        texts.find(|text| Statement::parse(text).is_some()).unwrap()
    }

    #[test]
    fn parts_are_read_as_they_are_written_and_nothing_else_is_read() {
        let text = statement(b"tallystick/v1 checkpoint ");
        let parts = Parts {
            opens: vec![statement(b"tallystick/v1 open ")],
            texts: vec![Receipted { text, receipts: Vec::new() }],
            proof: vec![[1; 32], [2; 32]],
            line: b"line proof  tally=",
        };
        let text = parts.write();
        let read = Parts::parse(&text).map(|parts| parts.write());
        assert_eq!(read, Some(text.clone()));
        let other = |from: &str, to: &str| String::from_utf8_lossy(&text).replacen(from, to, 1).into_bytes();
        for bad in [
            text[..text.len() - 1].to_vec(),
            [&text[..], b"\n"].concat(),
            [b"\n", &text[..]].concat(),
            other("\nproof", "\r\nproof"),
            other("\nproof", "\n\nproof"),
            other("\nproof A", "\nproof  A"),
            other("\nline ", " \nline "),
            other("\nline ", "\nline\t"),
            other("\nline ", "\nproof\nline "),
            other("\ntallystick/v1 checkpoint ", "\ntallystick/v1 notice "),
        ] {
            assert!(Parts::parse(&bad).is_none(), "{}", String::from_utf8_lossy(&bad));
        }
    }
}
