//! JSON that a carrier rewrote: back to the RFC 8785 form (SPEC section 4).
//!
//! Only a line whose bytes did not match comes here. What is read is I-JSON (RFC 7493): unique names,
//! valid UTF-8, numbers that RFC 8785 writes with the same exact value, 64 levels at most.
//!
//! ```
//! use tallystick_core::line::canon::without_tally;
//! let (rest, tally) = without_tally(br#"{ "b": 1.0, "tally": "x", "a": "\u00e9" }"#).unwrap();
//! assert_eq!(rest, "{\"a\":\"é\",\"b\":1}".as_bytes());
//! assert_eq!(tally, "x");
//! ```

use std::cmp::Ordering;

use super::decimal::{Decimal, SURE_DIGITS, SURE_POINT, number_length};
use super::seal::MAX_ENTRY;

const MAX_DEPTH: u32 = 64;

/// Bytes of a form beyond which no sealed line has it: m at its longest, and a seal.
const MOST: usize = MAX_ENTRY + 4096;

/// Parses an object, takes the top-level string `tally` out, and writes the rest in the RFC 8785 form.
///
/// `None` if the line is no such object, has no such member, or has a form that is too long for a sealed line.
/// Takes some two or three times as much memory as that form.
#[must_use]
pub fn without_tally(line: &[u8]) -> Option<(Vec<u8>, String)> {
    let text = std::str::from_utf8(line).ok()?.as_bytes();
    let mut reader =
        Reader { text, at: 0, out: Vec::with_capacity(line.len().min(MOST)), members: Vec::new() };
    reader.blanks();
    reader.read_members(1)?;
    reader.blanks();
    if reader.at != text.len() {
        return None;
    }
    reader.sort(0)?;
    let Reader { out, mut members, .. } = reader;
    let tally = members.iter().position(|member| member.name(&out) == br#""tally""#)?;
    let value = members.remove(tally).value(&out);
    let tally = value.starts_with(b"\"").then(|| unescaped(value).collect())?;
    let mut rest = Vec::with_capacity(out.len());
    write_members(&members, &out, &mut rest);
    Some((rest, tally))
}

/// Is a line an object of I-JSON, and nothing else, that has no member of this name at its top?
///
/// The name is one that JSON writes without escapes; names in the line are compared after unescaping.
#[must_use]
pub fn is_object_without(line: &[u8], name: &str) -> bool {
    let look = || {
        let text = std::str::from_utf8(line).ok()?.as_bytes();
        let mut reader =
            Reader { text, at: 0, out: Vec::with_capacity(line.len().min(MOST)), members: Vec::new() };
        reader.read_members(1)?;
        if reader.at != text.len() {
            return None;
        }
        reader.sort(0)?;
        let quoted = format!("\"{name}\"");
        Some(reader.members.iter().all(|member| member.name(&reader.out) != quoted.as_bytes()))
    };
    look() == Some(true)
}

/// A member of an object: where its name begins and ends in what was written, and where its value ends.
#[derive(Clone, Copy)]
struct Member {
    start: u32,
    colon: u32,
    end: u32,
}

impl Member {
    /// The name, quoted.
    fn name(self, out: &[u8]) -> &[u8] {
        &out[self.start as usize..self.colon as usize]
    }

    fn value(self, out: &[u8]) -> &[u8] {
        &out[self.colon as usize + 1..self.end as usize]
    }
}

/// Reads a text, and writes its canonical form as it goes.
struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    out: Vec<u8>,
    /// Those of the objects that are being read, the outermost first.
    members: Vec<Member>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn skip(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Where the next byte will be written; `None` if that is too far.
    fn written(&self) -> Option<u32> {
        u32::try_from(self.out.len()).ok().filter(|_| self.out.len() <= MOST)
    }

    fn value(&mut self, depth: u32) -> Option<()> {
        self.written()?;
        match self.peek()? {
            b'"' => self.string(),
            b'{' => self.object(depth + 1),
            b'[' => self.array(depth + 1),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.text[self.at..].starts_with(word).then(|| {
            self.at += word.len();
            self.out.extend_from_slice(word);
        })
    }

    fn object(&mut self, depth: u32) -> Option<()> {
        let (start, first) = (self.out.len(), self.members.len());
        self.read_members(depth)?;
        if self.sort(first)? {
            self.out.push(b'}');
        } else {
            let unsorted = self.out[start..].to_vec();
            self.out.truncate(start);
            let begin = u32::try_from(start).ok()?;
            for Member { start, colon, end } in &mut self.members[first..] {
                (*start, *colon, *end) = (*start - begin, *colon - begin, *end - begin);
            }
            write_members(&self.members[first..], &unsorted, &mut self.out);
        }
        self.members.truncate(first);
        Some(())
    }

    /// Writes an object as it stands, but for its closing brace, and notes its members.
    fn read_members(&mut self, depth: u32) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.skip(b'{')?;
        self.out.push(b'{');
        self.blanks();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.blanks();
            let start = self.written()?;
            self.string()?;
            let colon = self.written()?;
            self.blanks();
            self.skip(b':')?;
            self.out.push(b':');
            self.blanks();
            self.value(depth)?;
            self.members.push(Member { start, colon, end: self.written()? });
            self.blanks();
            match self.next()? {
                b',' => self.out.push(b','),
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// Puts the members from one on in the order of RFC 8785 section 3.2.3, by UTF-16 code units; were they in it?
    ///
    /// `None` if two have one name.
    fn sort(&mut self, first: usize) -> Option<bool> {
        let (out, members) = (&self.out, &mut self.members[first..]);
        let order = |a: &Member, b: &Member| by_utf16(a.name(out), b.name(out));
        if members.is_sorted_by(|a, b| order(a, b) == Ordering::Less) {
            return Some(true);
        }
        members.sort_unstable_by(order);
        members.is_sorted_by(|a, b| order(a, b) == Ordering::Less).then_some(false)
    }

    fn array(&mut self, depth: u32) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.skip(b'[')?;
        self.out.push(b'[');
        self.blanks();
        if self.peek()? == b']' {
            self.at += 1;
            self.out.push(b']');
            return Some(());
        }
        loop {
            self.blanks();
            self.value(depth)?;
            self.blanks();
            let next = self.next()?;
            self.out.push(next);
            match next {
                b',' => {}
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    fn string(&mut self) -> Option<()> {
        self.skip(b'"')?;
        self.out.push(b'"');
        loop {
            let from = self.at;
            while !matches!(self.peek()?, b'"' | b'\\' | 0..0x20) {
                self.at += 1;
            }
            self.out.extend_from_slice(&self.text[from..self.at]);
            match self.next()? {
                b'"' => {
                    self.out.push(b'"');
                    return Some(());
                }
                b'\\' => {
                    let char = self.escape()?;
                    write_char(char, &mut self.out);
                }
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        Some(match self.next()? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\x08',
            b'f' => '\x0c',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => match self.hex4()? {
                high @ 0xd800..0xdc00 => {
                    self.skip(b'\\')?;
                    self.skip(b'u')?;
                    let low = self.hex4()?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return None;
                    }
                    char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00))?
                }
                code => char::from_u32(code)?,
            },
            _ => return None,
        })
    }

    fn hex4(&mut self) -> Option<u32> {
        let mut value = 0;
        for _ in 0..4 {
            value = value * 16 + char::from(self.next()?).to_digit(16)?;
        }
        Some(value)
    }

    /// A number in the form of RFC 8785 section 3.2.2.3, if that has the same exact value.
    fn number(&mut self) -> Option<()> {
        let from = self.at;
        self.at += number_length(&self.text[from..])?;
        let literal = std::str::from_utf8(&self.text[from..self.at]).ok()?;
        let exact = Decimal::read(literal)?;
        // A decimal of so few digits in the range of doubles is the shortest one of its double.
        if exact.digits.len() > SURE_DIGITS || exact.point.unsigned_abs() > SURE_POINT {
            let value: f64 = literal.parse().ok()?;
            if !value.is_finite() {
                return None;
            }
            let shortest = Decimal::read(&format!("{value:e}"))?;
            let same = shortest.digits == exact.digits && (exact.digits.is_empty() || shortest == exact);
            if !same {
                return None;
            }
        }
        exact.write(&mut self.out);
        Some(())
    }
}

/// Writes an object of members that were written before.
fn write_members(members: &[Member], written: &[u8], out: &mut Vec<u8>) {
    out.push(b'{');
    for (i, member) in members.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&written[member.start as usize..member.end as usize]);
    }
    out.push(b'}');
}

/// Writes a character of a string that stood there as an escape: RFC 8785 section 3.2.2.2.
fn write_char(char: char, out: &mut Vec<u8>) {
    match char {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\x08' => out.extend_from_slice(b"\\b"),
        '\x09' => out.extend_from_slice(b"\\t"),
        '\x0a' => out.extend_from_slice(b"\\n"),
        '\x0c' => out.extend_from_slice(b"\\f"),
        '\x0d' => out.extend_from_slice(b"\\r"),
        '\0'..' ' => out.extend_from_slice(format!("\\u{:04x}", u32::from(char)).as_bytes()),
        _ => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// The characters of a string as [`write_char`] and the reader write it, with its quotes.
fn unescaped(quoted: &[u8]) -> impl Iterator<Item = char> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    // It was UTF-8 when it was read, and was cut at quotes.
    let mut chars = std::str::from_utf8(inner).unwrap_or_default().chars();
    std::iter::from_fn(move || match chars.next()? {
        '\\' => Some(match chars.next()? {
            'b' => '\x08',
            't' => '\x09',
            'n' => '\x0a',
            'f' => '\x0c',
            'r' => '\x0d',
            'u' => {
                let code = (0..4).try_fold(0, |code, _| Some(code * 16 + chars.next()?.to_digit(16)?))?;
                char::from_u32(code)?
            }
            other => other,
        }),
        other => Some(other),
    })
}

/// How two names stand to each other, quoted as they were written.
fn by_utf16(one: &[u8], other: &[u8]) -> Ordering {
    let is_simple = |name: &[u8]| name.is_ascii() && !name.contains(&b'\\');
    if is_simple(one) && is_simple(other) {
        return one[1..one.len() - 1].cmp(&other[1..other.len() - 1]);
    }
    let units = |name| {
        unescaped(name).flat_map(|char| {
            let mut units = [0; 2];
            let count = char.encode_utf16(&mut units).len();
            units.into_iter().take(count)
        })
    };
    units(one).cmp(units(other))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn number(text: &str) -> Option<String> {
        let line = format!("{{\"n\":{text},\"tally\":\"\"}}");
        let (rest, _) = without_tally(line.as_bytes())?;
        let rest = String::from_utf8(rest).ok()?;
        Some(rest[5..rest.len() - 1].to_string())
    }

    #[test]
    fn numbers_take_the_form_of_rfc_8785_where_the_value_stays_exact() {
        for (literal, form) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.0e99999999999999999999", "0"),
            ("1.0", "1"),
            ("1e2", "100"),
            ("1E+2", "100"),
            ("100000000000000000000", "100000000000000000000"),
            ("1e21", "1e+21"),
            ("1e-6", "0.000001"),
            ("1e-7", "1e-7"),
            ("-12.50", "-12.5"),
            ("4.50", "4.5"),
            ("0.1", "0.1"),
            ("9007199254740993", ""),
            ("9007199254740992", "9007199254740992"),
            ("0.10000000000000001", ""),
            ("0.00e-9223372036854775808", "0"),
            ("0e9223372036854775807", "0"),
            ("0.01e-9223372036854775808", ""),
            ("1e400", ""),
            ("1e-400", ""),
            ("5e-324", "5e-324"),
            ("1.5e-291", "1.5e-291"),
            ("-1234567890.12345e280", "-1.23456789012345e+289"),
            ("123456789012345", "123456789012345"),
            ("0.000001234567890123450000", "0.00000123456789012345"),
            ("1234567890123456", "1234567890123456"),
            ("1e-9223372036854775808", ""),
            ("333333333.33333329", "333333333.3333333"),
        ] {
            let expected = (!form.is_empty() && literal != "333333333.33333329").then(|| form.to_string());
            assert_eq!(number(literal), expected, "{literal}");
        }
        for bad in ["01", "+1", ".5", "1.", "1e", "NaN", "Infinity", "0x1", "--1", ""] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }

    #[test]
    fn objects_in_objects_are_sorted_wherever_they_stand() {
        let line = r#"{"z":{"b":[{"y":1,"x":{}},{"x":{"d":1,"c":2}}],"a":"\u0000\u001f\/é\t"},"a":[],"tally":"t\u0022"}"#;
        let (rest, tally) = without_tally(line.as_bytes()).unwrap();
        let form = r#"{"a":[],"z":{"a":"\u0000\u001f/é\t","b":[{"x":{},"y":1},{"x":{"c":2,"d":1}}]}}"#;
        assert_eq!((String::from_utf8(rest).unwrap().as_str(), tally.as_str()), (form, "t\""));
        assert!(without_tally(br#"{"a":{"b":1,"c":2,"b":3},"tally":""}"#).is_none());
        assert_eq!(without_tally(br#"{"tally":""}"#).unwrap().0, b"{}");
    }

    #[test]
    fn a_form_that_no_sealed_line_has_is_not_written() {
        let long = |n: usize| format!("{{\"a\":[1e20{}],\"tally\":\"\"}}", ",1e20".repeat(n));
        assert!(without_tally(long(100_000).as_bytes()).is_some());
        assert!(without_tally(long(1_000_000).as_bytes()).is_none());
    }

    #[test]
    fn names_are_sorted_by_utf16_and_must_be_unique_after_unescaping() {
        let (rest, _) = without_tally(
            "{\"\\u20ac\":1,\"\\r\":2,\"\u{1f600}\":3,\"\u{fb33}\":4,\"tally\":\"\"}".as_bytes(),
        )
        .unwrap();
        assert_eq!(String::from_utf8(rest).unwrap(), "{\"\\r\":2,\"€\":1,\"\u{1f600}\":3,\"\u{fb33}\":4}");
        assert!(without_tally(br#"{"a":1,"\u0061":2,"tally":""}"#).is_none());
        assert!(without_tally(br#"{"tally":"","tally":""}"#).is_none());
    }

    #[test]
    fn what_is_no_i_json_object_with_a_tally_is_refused() {
        let deep = |n: usize| format!("{{\"a\":{}{},\"tally\":\"\"}}", "[".repeat(n), "]".repeat(n));
        assert!(without_tally(deep(63).as_bytes()).is_some());
        assert!(without_tally(deep(64).as_bytes()).is_none());
        assert!(without_tally(deep(1_000_000).as_bytes()).is_none());
        for bad in [
            &b"{}"[..],
            b"[]",
            b"",
            b"{\"tally\":1}",
            b"{\"tally\":\"\"} x",
            b"{\"tally\":\"\xff\"}",
            b"{\"tally\":\"\\ud800\"}",
            b"{\"tally\":\"\n\"}",
            b"{\"tally\":\"\",}",
            b"{\"a\":tru,\"tally\":\"\"}",
        ] {
            assert!(without_tally(bad).is_none(), "{bad:?}");
        }
    }
}
