//! JSON that a carrier wrote anew: back to the RFC 8785 form (SPEC section 4).
//!
//! Only a line whose bytes did not match comes here. What is read is I-JSON (RFC 7493): unique names,
//! valid UTF-8, numbers that RFC 8785 writes with the same exact value, 64 levels at most.
//!
//! ```
//! use tallystick_core::canon::without_tally;
//! let (rest, tally) = without_tally(br#"{ "b": 1.0, "tally": "x", "a": "\u00e9" }"#).unwrap();
//! assert_eq!(rest, "{\"a\":\"é\",\"b\":1}".as_bytes());
//! assert_eq!(tally, "x");
//! ```

use std::collections::BTreeMap;

const MAX_DEPTH: u32 = 64;

/// Parses an object, takes the top-level string `tally` out, and writes the rest in the RFC 8785 form.
///
/// `None` if the line is no such object or has no such member.
#[must_use]
pub fn without_tally(line: &[u8]) -> Option<(Vec<u8>, String)> {
    let mut reader = Reader { text: std::str::from_utf8(line).ok()?.as_bytes(), at: 0 };
    reader.blanks();
    let mut members = reader.members(1)?;
    reader.blanks();
    if reader.at != reader.text.len() {
        return None;
    }
    let name: Vec<u16> = "tally".encode_utf16().collect();
    let Value { string: Some(tally), .. } = members.remove(&name)? else { return None };
    let mut out = Vec::with_capacity(line.len());
    write_members(&members, &mut out);
    Some((out, tally))
}

/// A value in its canonical form; a string also as it is.
struct Value {
    canonical: Vec<u8>,
    string: Option<String>,
}

/// Names in the order of RFC 8785 section 3.2.3: by UTF-16 code units.
type Members = BTreeMap<Vec<u16>, Value>;

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
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

    fn value(&mut self, depth: u32) -> Option<Value> {
        let canonical = match self.peek()? {
            b'"' => {
                let text = self.string()?;
                let mut canonical = Vec::with_capacity(text.len() + 2);
                write_string(&text, &mut canonical);
                return Some(Value { canonical, string: Some(text) });
            }
            b'{' => {
                let members = self.members(depth + 1)?;
                let mut out = Vec::new();
                write_members(&members, &mut out);
                out
            }
            b'[' => self.array(depth + 1)?,
            b't' => self.word(b"true")?,
            b'f' => self.word(b"false")?,
            b'n' => self.word(b"null")?,
            _ => self.number()?.into_bytes(),
        };
        Some(Value { canonical, string: None })
    }

    fn word(&mut self, word: &[u8]) -> Option<Vec<u8>> {
        self.text[self.at..].starts_with(word).then(|| {
            self.at += word.len();
            word.to_vec()
        })
    }

    fn members(&mut self, depth: u32) -> Option<Members> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.skip(b'{')?;
        let mut members = Members::new();
        self.blanks();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(members);
        }
        loop {
            self.blanks();
            let name: Vec<u16> = self.string()?.encode_utf16().collect();
            self.blanks();
            self.skip(b':')?;
            self.blanks();
            if members.insert(name, self.value(depth)?).is_some() {
                return None;
            }
            self.blanks();
            match self.next()? {
                b',' => {}
                b'}' => return Some(members),
                _ => return None,
            }
        }
    }

    fn array(&mut self, depth: u32) -> Option<Vec<u8>> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.skip(b'[')?;
        let mut out = vec![b'['];
        self.blanks();
        if self.peek()? == b']' {
            self.at += 1;
            return Some(b"[]".to_vec());
        }
        loop {
            self.blanks();
            out.extend(self.value(depth)?.canonical);
            self.blanks();
            match self.next()? {
                b',' => out.push(b','),
                b']' => {
                    out.push(b']');
                    return Some(out);
                }
                _ => return None,
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        self.skip(b'"')?;
        let mut out = String::new();
        loop {
            let from = self.at;
            while !matches!(self.peek()?, b'"' | b'\\' | 0..0x20) {
                self.at += 1;
            }
            // The text is UTF-8 and both ends stand at ASCII bytes.
            out.push_str(std::str::from_utf8(&self.text[from..self.at]).ok()?);
            match self.next()? {
                b'"' => return Some(out),
                b'\\' => out.push(self.escape()?),
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
    fn number(&mut self) -> Option<String> {
        let from = self.at;
        self.at += number_length(&self.text[from..])?;
        let literal = std::str::from_utf8(&self.text[from..self.at]).ok()?;
        let value: f64 = literal.parse().ok()?;
        if !value.is_finite() {
            return None;
        }
        let shortest = Decimal::read(&format!("{value:e}"))?;
        let exact = Decimal::read(literal)?;
        let same = shortest.digits == exact.digits && (exact.digits.is_empty() || shortest == exact);
        same.then(|| shortest.to_ecmascript())
    }
}

/// How many bytes the number takes that a text begins with (RFC 8259 section 6).
pub(crate) fn number_length(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| from + text[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    at = match text.get(at)? {
        b'0' => at + 1,
        b'1'..=b'9' => digits(at),
        _ => return None,
    };
    if text.get(at) == Some(&b'.') {
        let from = at + 1;
        at = Some(digits(from)).filter(|end| *end > from)?;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let from = at + 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        at = Some(digits(from)).filter(|end| *end > from)?;
    }
    Some(at)
}

/// `0.digits * 10^point`, digits without zeros at either end; empty for zero.
#[derive(PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    point: i64,
}

impl Decimal {
    fn read(literal: &str) -> Option<Self> {
        let (negative, unsigned) = match literal.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, literal),
        };
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        // An exponent that does not fit belongs to a zero or to no double at all.
        let exponent: i64 = exponent.parse().unwrap_or(i64::from(i32::MAX));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let stripped = all.trim_start_matches('0');
        let zeros = i64::try_from(all.len() - stripped.len()).ok()?;
        // The exponent is whatever the line says, up to the last i64: -2^63 with zeros before it must not overflow.
        let point = (i64::try_from(whole.len()).ok()? - zeros).saturating_add(exponent);
        Some(Self { negative, digits: stripped.trim_end_matches('0').into(), point })
    }

    /// ECMAScript's `Number::toString`, radix 10.
    fn to_ecmascript(&self) -> String {
        let digits = self.digits.as_str();
        let count = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        let zeros = |n: i64| "0".repeat(usize::try_from(n).unwrap_or(0));
        let sign = if self.negative && !digits.is_empty() { "-" } else { "" };
        let body = match self.point {
            _ if digits.is_empty() => "0".into(),
            n if count <= n && n <= 21 => format!("{digits}{}", zeros(n - count)),
            n if 0 < n && n <= 21 => {
                let (whole, fraction) = digits.split_at(usize::try_from(n).unwrap_or(0));
                format!("{whole}.{fraction}")
            }
            n if -6 < n && n <= 0 => format!("0.{}{digits}", zeros(-n)),
            n => {
                let (first, rest) = digits.split_at(1);
                let dot = if rest.is_empty() { "" } else { "." };
                let plus = if n > 0 { "+" } else { "" };
                format!("{first}{dot}{rest}e{plus}{}", n - 1)
            }
        };
        format!("{sign}{body}")
    }
}

fn write_members(members: &Members, out: &mut Vec<u8>) {
    out.push(b'{');
    for (i, (name, value)) in members.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        // The name came from a str, so nothing is lossy here.
        write_string(&String::from_utf16_lossy(name), out);
        out.push(b':');
        out.extend_from_slice(&value.canonical);
    }
    out.push(b'}');
}

/// RFC 8785 section 3.2.2.2.
fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x09 => out.extend_from_slice(b"\\t"),
            0x0a => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            0x0d => out.extend_from_slice(b"\\r"),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
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
