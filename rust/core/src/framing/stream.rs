//! Streams of lines, and of syslog messages as RFC 6587 frames them.

use memchr::{memchr, memchr2};

use super::lines::{Lines, escaped, one_line};
use super::origin::Stamp;

/// How messages follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A line end after each; other bytes stay as they are.
    Lines,
    /// RFC 6587: octets counted, or a line end or NUL after each, as each message begins.
    Syslog,
    /// What the socket gives at once is one message.
    Packets,
}

/// A message that was too long and became several lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// Its length in bytes.
    pub bytes: u64,
    /// How many lines it became.
    pub parts: u64,
}

/// Most digits of a count of octets.
const DIGITS: usize = 9;
/// Capacity in bytes that may stay with a stream that is between two messages.
const SPARE: usize = 1 << 12;

/// Puts the pieces of one stream together.
#[derive(Debug)]
pub struct Stream {
    framing: Framing,
    limit: usize,
    /// What came of the message that has not ended, but for the parts that it became already.
    rest: Vec<u8>,
    /// Digits that may become a count of octets.
    digits: Vec<u8>,
    /// How many octets of a counted message are to come.
    due: Option<usize>,
    parts: u64,
    parted: u64,
    /// Messages that became several lines, for a report.
    pub splits: Vec<Split>,
}

/// What a stream holds between two pieces, so that it can go on elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// What came of the message that has not ended, but for the parts that it became already.
    pub rest: Vec<u8>,
    /// Digits that may become a count of octets.
    pub digits: Vec<u8>,
    /// How many octets of a counted message are to come.
    pub due: Option<usize>,
    /// How many lines the message became already.
    pub parts: u64,
    /// How many bytes those have.
    pub parted: u64,
}

enum Count {
    Of(usize, usize),
    Unfinished,
    Nothing,
}

/// The count of octets that a message begins with, and how many bytes it takes with its blank.
fn count(data: &[u8]) -> Count {
    let digits = data.iter().take(DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
    match data.get(digits) {
        None if digits <= DIGITS => Count::Unfinished,
        Some(b' ') if (1..=DIGITS).contains(&digits) && data[0] != b'0' => {
            let value = data[..digits].iter().fold(0, |value, digit| value * 10 + usize::from(digit - b'0'));
            Count::Of(value, digits + 1)
        }
        _ => Count::Nothing,
    }
}

impl Stream {
    /// Begins; a message of more than `limit` bytes becomes several lines.
    #[must_use]
    pub fn new(framing: Framing, limit: usize) -> Self {
        let (rest, digits) = (Vec::new(), Vec::new());
        Self {
            framing,
            limit: limit.max(1),
            rest,
            digits,
            due: None,
            parts: 0,
            parted: 0,
            splits: Vec::new(),
        }
    }

    /// Goes on where another stream was.
    #[must_use]
    pub fn resume(framing: Framing, limit: usize, left: Left) -> Self {
        let Left { rest, digits, due, parts, parted } = left;
        Self { rest, digits, due, parts, parted, ..Self::new(framing, limit) }
    }

    /// What is to be handed on for another stream to go on here.
    #[must_use]
    pub fn left(&self) -> Left {
        let (rest, digits) = (self.rest.clone(), self.digits.clone());
        Left { rest, digits, due: self.due, parts: self.parts, parted: self.parted }
    }

    /// How many bytes of a message that has not ended are here.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.rest.len() + self.digits.len()
    }

    /// Takes the next piece.
    pub fn feed(&mut self, data: &[u8], stamp: Option<&Stamp>, out: &mut Lines) {
        match self.framing {
            Framing::Lines => self.feed_lines(data, stamp, out),
            Framing::Packets => self.end(data, stamp, out),
            Framing::Syslog if self.digits.is_empty() => self.feed_syslog(data, stamp, out),
            Framing::Syslog => {
                let joined = [&std::mem::take(&mut self.digits), data].concat();
                self.feed_syslog(&joined, stamp, out);
            }
        }
    }

    /// Takes the end of the stream: what stands there is a message, too. Was it cut off?
    pub fn finish(&mut self, stamp: Option<&Stamp>, out: &mut Lines) -> bool {
        let cut = self.due.take().is_some();
        let digits = std::mem::take(&mut self.digits);
        if self.is_between() && digits.is_empty() {
            return cut;
        }
        self.end(&digits, stamp, out);
        cut
    }

    fn feed_lines(&mut self, mut data: &[u8], stamp: Option<&Stamp>, out: &mut Lines) {
        while let Some(end) = memchr(b'\n', data) {
            self.end(&data[..end], stamp, out);
            data = &data[end + 1..];
        }
        self.more(data, stamp, out);
    }

    fn feed_syslog(&mut self, mut data: &[u8], stamp: Option<&Stamp>, out: &mut Lines) {
        while !data.is_empty() {
            if let Some(due) = self.due {
                let (here, later) = data.split_at(due.min(data.len()));
                self.due = (here.len() < due).then_some(due - here.len());
                if self.due.is_some() {
                    self.more(here, stamp, out);
                } else {
                    self.end(here, stamp, out);
                }
                data = later;
                continue;
            }
            if self.is_between() {
                if b"\n\r\0".contains(&data[0]) {
                    data = &data[1..]; // the end of a message of which nothing is left
                    continue;
                }
                match count(data) {
                    Count::Of(due, used) => {
                        self.due = Some(due);
                        data = &data[used..];
                        continue;
                    }
                    Count::Unfinished => {
                        self.digits = data.to_vec();
                        return;
                    }
                    Count::Nothing => {}
                }
            }
            let Some(end) = memchr2(b'\n', 0, data) else { return self.more(data, stamp, out) };
            self.end(&data[..end], stamp, out);
            data = &data[end + 1..];
        }
    }

    fn is_between(&self) -> bool {
        self.rest.is_empty() && self.parts == 0
    }

    /// Takes bytes of a message that goes on.
    fn more(&mut self, data: &[u8], stamp: Option<&Stamp>, out: &mut Lines) {
        self.rest.extend_from_slice(data);
        let mut done = 0;
        while self.rest.len() - done > self.limit {
            let part = &self.rest[done..done + self.limit];
            let raw = self.framing == Framing::Lines;
            out.put(&if raw { part.into() } else { escaped(part) }, stamp);
            done += self.limit;
            self.parts += 1;
        }
        self.parted += done as u64;
        self.rest.drain(..done);
    }

    /// Takes the last bytes of a message.
    fn end(&mut self, data: &[u8], stamp: Option<&Stamp>, out: &mut Lines) {
        if self.is_between() && data.len() <= self.limit {
            self.whole(data, stamp, out);
            return;
        }
        self.more(data, stamp, out);
        let mut rest = std::mem::take(&mut self.rest);
        self.whole(&rest, stamp, out);
        if self.parts > 0 {
            self.splits.push(Split { bytes: self.parted + rest.len() as u64, parts: self.parts + 1 });
            (self.parts, self.parted) = (0, 0);
        }
        rest.clear();
        rest.shrink_to(SPARE);
        self.rest = rest;
    }

    fn whole(&self, m: &[u8], stamp: Option<&Stamp>, out: &mut Lines) {
        if self.framing == Framing::Lines {
            out.put(m.strip_suffix(b"\r").unwrap_or(m), stamp);
        } else {
            out.put(&one_line(m), stamp);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(framing: Framing, limit: usize, data: &[u8], piece: usize) -> (Vec<u8>, Vec<Split>) {
        let (mut stream, mut lines) = (Stream::new(framing, limit), Lines::default());
        for part in data.chunks(piece) {
            stream.feed(part, None, &mut lines);
        }
        stream.finish(None, &mut lines);
        assert_eq!(stream.pending(), 0);
        (lines.bytes, stream.splits)
    }

    #[test]
    fn pieces_of_any_size_make_the_same_lines() {
        let cases: [(Framing, &[u8], &[u8]); 7] = [
            (Framing::Lines, b"one\r\ntwo\n\nth\rree", b"one\ntwo\n\nth\rree\n"),
            (Framing::Syslog, b"5 <1>ab3 <2>7 <3>a\r\nb", b"<1>ab\n<2>\n<3>a\\r\\nb\n"),
            (Framing::Syslog, b"<1>one\n<2>two\r\n<3>three\0<4>", b"<1>one\n<2>two\n<3>three\n<4>\n"),
            (Framing::Syslog, b"4 <1>\n\n3 <2><3>\n", b"<1>\n<2>\n<3>\n"),
            (Framing::Syslog, b"12345678901 a\n0 b\n7", b"12345678901 a\n0 b\n7\n"),
            (Framing::Syslog, b"999999999 <1>half", b"<1>half\n"),
            (Framing::Syslog, b"", b""),
        ];
        for (framing, data, expected) in cases {
            for piece in 1..=data.len().max(1) {
                let (found, splits) = cut(framing, 100, data, piece);
                assert_eq!(found, expected, "{:?} by {piece}", String::from_utf8_lossy(data));
                assert!(splits.is_empty());
            }
        }
    }

    #[test]
    fn a_message_that_is_too_long_becomes_several_lines_and_no_byte_is_lost() {
        for piece in 1..20 {
            let (found, splits) = cut(Framing::Lines, 4, b"abc\rdefghij\nkl\n", piece);
            assert_eq!(found, b"abc\r\r\ndefg\nhij\nkl\n");
            assert_eq!(splits, [Split { bytes: 11, parts: 3 }]);
            let (found, splits) = cut(Framing::Syslog, 4, b"9 <1>\ndefgh2 kl", piece);
            assert_eq!(found, b"<1>\\n\ndefg\nh\nkl\n");
            assert_eq!(splits, [Split { bytes: 9, parts: 3 }]);
        }
        assert_eq!(cut(Framing::Packets, 4, b"abc\ndefgh", 9).0, b"abc\\n\ndefg\nh\n");
    }
}
