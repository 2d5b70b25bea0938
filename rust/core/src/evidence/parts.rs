//! The parts of an evidence file, and of a line in it (SPEC section 10).

use zeroize::Zeroize;

use crate::hash::{self, Digest, first16, hmac};
use crate::line::{self, Read, Seal, Span};
use crate::secret::Secret;
use crate::text::{b64, b64_fixed};

/// First line of an evidence file.
pub const OPENING: &[u8] = b"tallystick/v1 evidence\n";

/// Hashes in the longest inclusion proof: an epoch has 65,535 lines at most.
const LONGEST_PROOF: usize = 16;

/// The parts of an evidence file; nothing in them is verified yet.
pub(super) struct Parts<'a> {
    pub(super) opens: Vec<&'a [u8]>,
    pub(super) checkpoint: &'a [u8],
    pub(super) proof: Vec<Digest>,
    pub(super) line: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Reads the parts; `None` if the bytes are not exactly evidence.
    pub(super) fn parse(data: &'a [u8]) -> Option<Self> {
        let mut lines = data.strip_prefix(OPENING)?.strip_suffix(b"\n")?.split(|b| *b == b'\n');
        let (mut opens, mut statement) = (Vec::new(), lines.next()?);
        while statement.starts_with(b"tallystick/v1 open ") {
            opens.push(statement);
            statement = lines.next()?;
        }
        let proof = match lines.next()?.strip_prefix(b"proof")? {
            [] => Vec::new(),
            hashes => hashes
                .strip_prefix(b" ")?
                .split(|b| *b == b' ')
                .take(LONGEST_PROOF + 1)
                .map(b64_fixed)
                .collect::<Option<_>>()?,
        };
        let line = lines.next()?.strip_prefix(b"line ")?;
        lines.next().is_none().then_some(Self { opens, checkpoint: statement, proof, line })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = OPENING.to_vec();
        for statement in self.opens.iter().chain([&self.checkpoint]) {
            out.extend_from_slice(statement);
            out.push(b'\n');
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
    use super::*;

    #[test]
    fn parts_are_read_as_they_are_written_and_nothing_else_is_read() {
        let parts = Parts {
            opens: vec![b"tallystick/v1 open x"],
            checkpoint: b"tallystick/v1 checkpoint y",
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
            other("proof A", "proof  A"),
            other("\nline ", " \nline "),
            other("\nline ", "\nline\t"),
            other("\nline ", "\nproof\nline "),
        ] {
            assert!(Parts::parse(&bad).is_none_or(|parts| parts.write() == bad && bad != text), "{bad:?}");
        }
    }
}
