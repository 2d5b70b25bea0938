//! Reads lines that come one after the other: mostly each has the next index of the same epoch.
//!
//! What a seal says before its length is then known, so it is compared, not parsed. For each such line: the length's
//! digits are read from the tag back, one comparison, the tag is decoded, and a JSON line is searched for `"tally"`.
//! Whatever does not fit is read by [`read`], which alone says what a line is.

use super::position::{LogId, Position};
use super::read::{Read, Sealed, Span, read};
use super::seal::{Form, Proof, Seal, TALLY_NAME, blank};
use super::stepping::Stepping;
use crate::text::b64_tag_decode;

/// What stands between m and the seal's text.
const PLAIN: &[u8] = b" tally=";
const JSON: &[u8] = b",\"tally\":\"";

/// What the next line's seal begins with, if it follows the last one.
pub(crate) struct Reader {
    log: LogId,
    at: Position,
    form: Form,
    /// The label and what follows it; nothing where nothing is expected.
    text: Option<Stepping>,
}

impl Reader {
    /// Expects nothing.
    pub(crate) fn new() -> Self {
        Self { log: LogId::NONE, at: Position::new(0, 0, 0), form: Form::Plain, text: None }
    }

    /// Reads one line (without its LF): exactly what [`read`] gives.
    #[inline]
    pub(crate) fn read(&mut self, line: &[u8]) -> Read {
        if let Some(sealed) = self.expected(line) {
            self.step();
            return Read::Sealed(sealed);
        }
        let read = read(line);
        if let Read::Sealed(sealed) = &read {
            self.follow(&sealed.seal, sealed.m);
        }
        read
    }

    /// The line, if it is the one that is expected and nothing about it needs a closer look.
    #[inline]
    fn expected(&self, line: &[u8]) -> Option<Sealed> {
        let body = match self.form {
            Form::Plain => line,
            Form::Json => line.strip_suffix(b"\"}")?,
        };
        let (before, tag) = body.split_last_chunk::<22>()?;
        let (length, end) = length_before(before)?;
        let expected = self.text.as_ref()?.bytes();
        let end = end.checked_sub(expected.len())?;
        if before[end..][..expected.len()] != *expected {
            return None;
        }
        let m = match self.form {
            Form::Plain => {
                let from = end.checked_sub(length as usize)?;
                if length == 0 || line[from] == b'{' {
                    return None;
                }
                Span::Plain(from, end)
            }
            Form::Json => {
                let from = end.checked_sub((length as usize).checked_sub(1)?)?;
                let open = &line[from..end];
                let [b'{', second, ..] = open else { return None };
                if blank(*second) || TALLY_NAME.find(open).is_some() {
                    return None;
                }
                Span::Json(from, end)
            }
        };
        let proof = Proof::Tag { length, tag: b64_tag_decode(tag)? };
        Some(Sealed { seal: Seal { log: self.log, at: self.at, proof }, m })
    }

    /// Expects the line after one with this seal.
    fn follow(&mut self, seal: &Seal, m: Span) {
        self.text = None;
        let Some(index) = seal.at.index.checked_add(1) else { return };
        (self.log, self.at) = (seal.log, Position { index, ..seal.at });
        self.form = if matches!(m, Span::Plain(..)) { Form::Plain } else { Form::Json };
        let label = if self.form == Form::Plain { PLAIN } else { JSON };
        self.text = Some(Stepping::new(label, self.log, self.at));
    }

    /// Expects the line after the one that was expected.
    #[inline]
    fn step(&mut self) {
        let Some(text) = &mut self.text else { return };
        if text.step() {
            self.at.index = text.index();
        } else {
            self.text = None;
        }
    }
}

/// The number that ends before the dot at the end, as a seal's length is written, and where it begins.
#[inline]
fn length_before(text: &[u8]) -> Option<(u32, usize)> {
    let (dot, digits) = text.split_last()?;
    let (mut value, mut scale, mut at) = (0u32, 1u32, digits.len());
    while at > 0 && digits.len() - at < 8 {
        let digit = digits[at - 1].wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value += u32::from(digit) * scale;
        scale = scale.wrapping_mul(10);
        at -= 1;
    }
    let first = *digits.get(at)?;
    let canonical = *dot == b'.' && (first != b'0' || digits.len() - at == 1);
    (canonical && value <= 1 << 24).then_some((value, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::seal::write;

    fn line(index: u16, m: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write(
            m,
            LogId(*b"abcdefgh"),
            Position::new(70_000, 3, index),
            &[index.to_be_bytes()[1]; 16],
            &mut out,
        );
        out
    }

    #[test]
    fn lines_in_order_are_read_as_each_is_alone() {
        let texts: [&[u8]; 9] = [
            b"a",
            b"",
            b"{\"a\":1}",
            b"{}",
            b"{ \"b\":2}",
            b"{x}y",
            b"{\"tally\":1}",
            b"tallystick/v1 x",
            b"a tally=abcdefgh.1.0.1.1.AAAAAAAAAAAAAAAAAAAAAA",
        ];
        let mut reader = Reader::new();
        for round in 0..texts.len() * texts.len() {
            // The same text several times, so that it is expected, then each after each.
            for (at, index) in
                (0..3).chain(8..12).chain(97..102).chain(998..1002).chain(9_998..10_001).enumerate()
            {
                let m = if at % 3 == 2 { texts[round / texts.len()] } else { texts[round % texts.len()] };
                let line = line(index, m);
                assert_eq!(reader.read(&line), read(&line), "{index} {}", String::from_utf8_lossy(&line));
            }
        }
    }

    #[test]
    fn the_last_index_is_followed_by_none() {
        let mut reader = Reader::new();
        for index in [65_533, 65_534, 65_535, 65_535, 0, 1] {
            let line = line(index, b"x");
            assert_eq!(reader.read(&line), read(&line));
        }
    }

    #[test]
    fn each_changed_byte_of_an_expected_line_is_read_as_it_is_alone() {
        for m in [&b"user=7 ok"[..], b"{\"user\":7}", b"{\"a\":\"\\\"}"] {
            let good = line(41, m);
            for at in 0..=good.len() {
                for byte in [b"09.= \t\r~\"{}Aw_+\0".as_slice(), &[0xff]].concat() {
                    let mut changed = good.clone();
                    match changed.get_mut(at) {
                        Some(old) => *old = byte,
                        None => changed.push(byte),
                    }
                    let mut inserted = good.clone();
                    inserted.insert(at, byte);
                    let mut removed = good.clone();
                    removed.truncate(at);
                    for doctored in [changed, inserted, removed] {
                        let mut reader = Reader::new();
                        for before in [39, 40] {
                            reader.read(&line(before, m));
                        }
                        assert_eq!(
                            reader.read(&doctored),
                            read(&doctored),
                            "{}",
                            String::from_utf8_lossy(&doctored)
                        );
                    }
                }
            }
        }
    }
}
