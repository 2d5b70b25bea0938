//! Writes lines that come one after the other in one epoch.
//!
//! What a seal says before its length is then known but for the index, which mostly differs in one digit from the one
//! before. [`write`](super::write) alone says how a line is written; this gives the same bytes, faster.

use super::position::{LogId, Position};
use super::seal::{Form, blank, form_of, write};
use super::stepping::Stepping;
use crate::text::b64_tag;

/// The seals of lines to come.
pub(crate) struct Seals {
    log: LogId,
    next: Position,
    text: Stepping,
}

impl Seals {
    /// Those that are kept, if the next of them stands at a position; else new ones, which are kept then.
    #[inline]
    pub(crate) fn at(kept: &mut Option<Self>, log: LogId, next: Position) -> &mut Self {
        if !kept.as_ref().is_some_and(|seals| seals.log == log && seals.next == next) {
            *kept = None;
        }
        kept.get_or_insert_with(|| Self { log, next, text: Stepping::new(b"", log, next) })
    }

    /// Appends m with its seal and a line end.
    #[inline]
    pub(crate) fn write(&mut self, m: &[u8], tag: &[u8; 16], out: &mut Vec<u8>) {
        let ordinary = match m {
            [b'{', second, .., last] => *last == b'}' && !blank(*second) && form_of(m) == Form::Json,
            [first, ..] => *first != b'{',
            [] => false,
        };
        if ordinary {
            self.write_ordinary(m, tag, out);
        } else {
            write(m, self.log, self.next, tag, out);
            out.push(b'\n');
        }
        self.text.step();
        self.next.index = self.text.index();
    }

    #[inline]
    fn write_ordinary(&mut self, m: &[u8], tag: &[u8; 16], out: &mut Vec<u8>) {
        let json = m[0] == b'{';
        let (label, open): (&[u8], _) =
            if json { (b",\"tally\":\"", &m[..m.len() - 1]) } else { (b" tally=", m) };
        // The length's digits end before the dot; it is 2^24 at most.
        let mut rest = *b"--------.----------------------\"}\n";
        let (mut from, mut left) = (8, u32::try_from(m.len()).unwrap_or(u32::MAX));
        while from == 8 || left > 0 {
            from -= 1;
            rest[from] = b'0' + (left % 10) as u8;
            left /= 10;
        }
        rest[9..31].copy_from_slice(&b64_tag(tag));
        if !json {
            rest[31] = b'\n';
        }
        let rest = &rest[from..if json { 34 } else { 32 }];
        out.reserve(open.len() + label.len() + self.text.bytes().len() + rest.len());
        out.extend_from_slice(open);
        out.extend_from_slice(label);
        out.extend_from_slice(self.text.bytes());
        out.extend_from_slice(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_written_as_it_is_alone_at_every_index_and_length() {
        let log = LogId(*b"abcdefgh");
        let texts: [&[u8]; 12] = [
            b"",
            b"x",
            b"user=7",
            b"{",
            b"}",
            b"{}",
            b"{ }",
            b"{\t}",
            b"{\"a\":1}",
            b"{ \"a\":1}",
            b"{x",
            b"{\"tally\"}",
        ];
        let (mut kept, mut written, mut expected) = (None, Vec::new(), Vec::new());
        for index in (0..1100).chain(9_990..10_010).chain(65_530..=65_535) {
            let at = Position::new(7, 3, index);
            let tag = std::array::from_fn(|i| u8::try_from(i * 7).unwrap_or(0) ^ index.to_le_bytes()[0]);
            let pad = "y".repeat(usize::from(index));
            let json = format!("{{\"{pad}\":0}}");
            let m = [texts[usize::from(index) % texts.len()], pad.as_bytes(), json.as_bytes()];
            let m = m[usize::from(index) / 7 % 3];
            Seals::at(&mut kept, log, at).write(m, &tag, &mut written);
            write(m, log, at, &tag, &mut expected);
            expected.push(b'\n');
        }
        assert_eq!(written, expected);
    }
}
