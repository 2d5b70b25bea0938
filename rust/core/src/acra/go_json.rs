//! JSON as Go's encoding/json writes it: what the integrity of a JSON line covers.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// The message of the line that ends a chain.
pub const LAST_WORDS: &str = "End of current audit log chain";

/// Stands around each key and value.
pub const DELIMITER: &[u8] = b"delimiter";
/// Stands between a value and the next name. A name that holds it swallows members: the same data is theirs, too.
const BETWEEN: &[u8] = b"delimiterdelimiter";

/// A line of JSON, taken apart.
#[derive(PartialEq, Eq, Debug)]
pub struct Parsed<'a> {
    /// The text of the member `integrity`.
    pub integrity: Option<Cow<'a, [u8]>>,
    /// These are not the bytes that Go writes for these members, or a name swallows some.
    pub rewritten: bool,
    /// The line begins a chain.
    pub new: bool,
    /// The line ends one.
    pub end: bool,
    /// The text of the member `unixTime`, else of `timestamp`.
    pub time: Option<Cow<'a, [u8]>>,
}

/// Takes a line apart, and adds what its integrity covers to `data`; `None` if it is no JSON object.
pub fn parse<'a>(line: &'a [u8], data: &mut Vec<u8>) -> Option<Parsed<'a>> {
    let before = data.len();
    plain(line, data).or_else(|| {
        data.truncate(before);
        any(line, data)
    })
}

/// A line as nearly all are: already the bytes that Go writes, flat, and without escapes. `None` says nothing, and leaves
/// any bytes in `data`.
pub fn plain<'a>(line: &'a [u8], data: &mut Vec<u8>) -> Option<Parsed<'a>> {
    if !is_plain(line) {
        return None;
    }
    let mut rest = line.strip_prefix(b"{\"")?;
    let (mut last, mut integrity, mut chain, mut message) = (None, None, None, None);
    let (mut time, mut stamp) = (None, None);
    loop {
        let name = &rest[..memchr::memchr(b'"', rest)?];
        let value = rest[name.len()..].strip_prefix(b"\":")?;
        if last.is_some_and(|last| !follows(name, last)) || swallows(name) {
            return None;
        }
        last = Some(name);
        let length = match value.first()? {
            b'"' => memchr::memchr(b'"', &value[1..])? + 2,
            b't' if value.starts_with(b"true") => 4,
            b'f' if value.starts_with(b"false") => 5,
            b'n' if value.starts_with(b"null") => 4,
            b'0' => 1,
            // Fewer digits than a float64 holds exactly; what follows them is looked at below.
            b'1'..=b'9' => value.iter().take(16).position(|byte| !byte.is_ascii_digit())?,
            _ => return None,
        };
        let (value, after) = value.split_at_checked(length)?;
        let text = value.strip_prefix(b"\"").map(|text| &text[..text.len() - 1]);
        let mut covered = true;
        match name {
            b"integrity" => (integrity, covered) = (text, false),
            b"chain" => (chain, covered) = (text, text != Some(b"new")),
            b"msg" => message = text,
            b"unixTime" => time = text,
            b"timestamp" => stamp = text,
            _ => {}
        }
        if covered {
            data.extend_from_slice(DELIMITER);
            data.extend_from_slice(name);
            data.extend_from_slice(DELIMITER);
            data.extend_from_slice(value);
            data.extend_from_slice(DELIMITER);
        }
        match after.split_first()? {
            (b'}', []) => break,
            (b',', after) => rest = after.strip_prefix(b"\"")?,
            _ => return None,
        }
    }
    let last_words = message == Some(LAST_WORDS.as_bytes());
    Some(Parsed {
        integrity: integrity.map(Cow::Borrowed),
        rewritten: false,
        new: chain == Some(b"new"),
        end: chain == Some(b"end") && last_words,
        time: time.or(stamp).map(Cow::Borrowed),
    })
}

/// Is a name after another one? Mostly the first letters tell.
fn follows(name: &[u8], last: &[u8]) -> bool {
    match (name.first(), last.first()) {
        (Some(first), Some(before)) if first != before => first > before,
        _ => name > last,
    }
}

/// Is this UTF-8 that Go writes as it is, wherever in a text it stands? Quotation marks are not looked at.
fn is_plain(line: &[u8]) -> bool {
    // No branch depends on a byte, so that many are looked at side by side.
    let (mut other, mut all) = (0, 0);
    for byte in line {
        other |= u8::from(*byte < b' ') | u8::from(*byte == b'\\') | u8::from(*byte == 0xe2);
        other |= u8::from(*byte == b'<') | u8::from(*byte == b'>') | u8::from(*byte == b'&');
        all |= byte;
    }
    other == 0 && (all.is_ascii() || std::str::from_utf8(line).is_ok())
}

/// A line of any JSON.
pub fn any(line: &[u8], data: &mut Vec<u8>) -> Option<Parsed<'static>> {
    let (members, before): (Map<String, Value>, _) = (serde_json::from_slice(line).ok()?, data.len());
    let now = written(line, &members, false, data);
    // Go wrote backspace and form feed in six letters before 1.22; a line tells by itself.
    if now.rewritten && (contains(line, br"\u0008") || contains(line, br"\u000c")) {
        data.truncate(before);
        return Some(written(line, &members, true, data));
    }
    Some(now)
}

/// What Go writes for the members of a line.
fn written(line: &[u8], members: &Map<String, Value>, six: bool, data: &mut Vec<u8>) -> Parsed<'static> {
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let integrity = text("integrity").map(|text| Cow::Owned(text.as_bytes().to_vec()));
    let (new, end) = (text("chain") == Some("new"), text("chain") == Some("end"));
    let end = end && text("msg") == Some(LAST_WORDS);
    let time = text("unixTime").or_else(|| text("timestamp"));
    let (mut scratch, mut separator, mut rest) = (Vec::new(), b'{', Some(line));
    for (name, value) in members {
        rest = rest.filter(|_| !swallows(name.as_bytes()));
        scratch.clear();
        scratch.push(separator);
        write_string(name, six, &mut scratch);
        scratch.push(b':');
        rest = rest.and_then(|rest| rest.strip_prefix(&scratch[..]));
        separator = b',';
        if name == "integrity" || (new && name == "chain") {
            scratch.clear();
            write(value, six, &mut scratch);
            rest = rest.and_then(|rest| rest.strip_prefix(&scratch[..]));
            continue;
        }
        data.extend_from_slice(DELIMITER);
        data.extend_from_slice(name.as_bytes());
        data.extend_from_slice(DELIMITER);
        let at = data.len();
        write(value, six, data);
        rest = rest.and_then(|rest| rest.strip_prefix(&data[at..]));
        data.extend_from_slice(DELIMITER);
    }
    Parsed {
        integrity,
        rewritten: rest != Some(b"}"),
        new,
        end,
        time: time.map(|text| Cow::Owned(text.as_bytes().to_vec())),
    }
}

fn swallows(name: &[u8]) -> bool {
    name.len() > BETWEEN.len() && contains(name, BETWEEN)
}

fn contains(line: &[u8], what: &[u8]) -> bool {
    memchr::memmem::find(line, what).is_some()
}

fn write(value: &Value, six: bool, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => match number.as_u64() {
            Some(small) if small < 1 << 53 => write_digits(small, out),
            _ => write_number(number.as_f64().unwrap_or_default(), out),
        },
        Value::String(text) => write_string(text, six, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, six, out);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            out.push(b'{');
            for (index, (name, member)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(name, six, out);
                out.push(b':');
                write(member, six, out);
            }
            out.push(b'}');
        }
    }
}

/// A whole number that a float64 holds exactly, without the detour over one.
fn write_digits(number: u64, out: &mut Vec<u8>) {
    if number >= 10 {
        write_digits(number / 10, out);
    }
    out.push(b'0' + u8::try_from(number % 10).unwrap_or_default());
}

/// A float64: the shortest digits that read as the same number; with an exponent below 1e-6 and from 1e21 on.
fn write_number(number: f64, out: &mut Vec<u8>) {
    let size = number.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        out.extend_from_slice(number.to_string().as_bytes());
        return;
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    out.extend_from_slice(digits.as_bytes());
    out.push(b'e');
    if !exponent.starts_with('-') {
        out.push(b'+');
    }
    out.extend_from_slice(exponent.as_bytes());
}

fn write_string(text: &str, six: bool, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut done = 0;
    out.push(b'"');
    for (at, &byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 if !six => b'b',
            0x0c if !six => b'f',
            0..=0x1f | b'<' | b'>' | b'&' => 0,
            // U+2028 and U+2029, which are line ends for JavaScript.
            0xe2 if matches!(bytes.get(at + 1..at + 3), Some([0x80, 0xa8 | 0xa9])) => {
                out.extend_from_slice(&bytes[done..at]);
                out.extend_from_slice(if bytes[at + 2] == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                done = at + 3;
                continue;
            }
            _ => continue,
        };
        out.extend_from_slice(&bytes[done..at]);
        done = at + 1;
        if short == 0 {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        } else {
            out.extend_from_slice(&[b'\\', short]);
        }
    }
    out.extend_from_slice(&bytes[done..]);
    out.push(b'"');
}
