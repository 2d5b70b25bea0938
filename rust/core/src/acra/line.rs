//! A line of an audit log: what its integrity covers, and what it says of its chain.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::found::Form;
use super::go_json::{self, LAST_WORDS};

const FIELD: &[u8] = b" integrity=";
const NEW: &[u8] = b" chain=new";

/// What the integrity of a line covers.
enum Data {
    /// The first bytes of the line.
    First(usize),
    /// These of the bytes that were made of it and of others.
    Made(Range<usize>),
}

/// One line, taken apart.
pub struct Line {
    data: Data,
    /// None if the line has no well-formed one.
    pub integrity: Option<[u8; 32]>,
    /// It says that it begins a chain; nothing covers that.
    pub new: bool,
    /// Its JSON is not written as Acra writes it; the integrity does not cover that.
    pub rewritten: bool,
    /// It says that it ends one.
    pub end: bool,
    /// The time that it claims, ms since 1970, and whether it is finer than a second.
    pub time: Option<(i64, bool)>,
}

impl Line {
    /// What the integrity covers, of this line and of the bytes that were made of it.
    #[inline]
    pub fn data<'a>(&self, line: &'a [u8], made: &'a [u8]) -> &'a [u8] {
        match &self.data {
            Data::First(length) => &line[..*length],
            Data::Made(range) => &made[range.clone()],
        }
    }
}

/// Takes a line apart. CR and blanks at its end were put there by others.
///
/// What its integrity covers is added to `made` if it does not stand in the line.
pub fn parse(line: &[u8], form: Form, made: &mut Vec<u8>) -> Line {
    let line = line.trim_ascii_end();
    match form {
        Form::Json => json(line, made),
        Form::Auto if line.trim_ascii_start().starts_with(b"{") => json(line, made),
        Form::Text | Form::Auto => text(line),
    }
}

fn json(line: &[u8], made: &mut Vec<u8>) -> Line {
    let start = made.len();
    let Some(parsed) = go_json::parse(line, made) else {
        return Line {
            data: Data::First(line.len()),
            integrity: None,
            new: false,
            rewritten: false,
            end: false,
            time: None,
        };
    };
    Line {
        data: Data::Made(start..made.len()),
        integrity: parsed.integrity.as_deref().and_then(hex32),
        new: parsed.new,
        rewritten: parsed.rewritten,
        end: parsed.end,
        time: parsed.time.as_deref().and_then(moment),
    }
}

/// Plain text and CEF. The last field of that name counts: a message may hold another one.
fn text(line: &[u8]) -> Line {
    let (rest, new) = line.strip_suffix(NEW).map_or((line, false), |rest| (rest, true));
    let at = rest.len().checked_sub(FIELD.len() + 64);
    let split = at.map(|at| rest.split_at(at)).filter(|(_, field)| field.starts_with(FIELD));
    let (data, integrity) = match split {
        Some((data, field)) => (data, hex32(&field[FIELD.len()..])),
        None => (line, None),
    };
    Line {
        data: Data::First(data.len()),
        integrity,
        new: new && integrity.is_some(),
        // What the integrity of a line of JSON covers, with that integrity after it, is no line of text.
        rewritten: data.starts_with(go_json::DELIMITER),
        end: is_last(data),
        time: text_time(data),
    }
}

/// Does this line end a chain? A message, which others may choose, can hold the same words: the fields tell.
fn is_last(data: &[u8]) -> bool {
    static WORDS: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(LAST_WORDS));
    let Some(at) = WORDS.find(data) else { return false };
    if data.starts_with(b"CEF:") {
        // Inside of a field, `|` and `=` have a backslash before them.
        let name = data[..at].ends_with(b"|") && data[at + LAST_WORDS.len()..].starts_with(b"|");
        return name && data.split(|byte| b" |".contains(byte)).any(|field| field == b"chain=end");
    }
    let (mut quoted, mut escaped, mut words, mut end) = (false, false, false, false);
    let fields = data.split(|&byte| {
        quoted ^= byte == b'"' && !escaped;
        escaped = quoted && byte == b'\\' && !escaped;
        byte == b' ' && !quoted
    });
    for field in fields {
        let message = field.strip_prefix(b"msg=\"").and_then(|rest| rest.strip_suffix(b"\""));
        words |= message == Some(LAST_WORDS.as_bytes());
        end |= field == b"chain=end";
    }
    words && end
}

fn text_time(data: &[u8]) -> Option<(i64, bool)> {
    if let Some(rest) = data.strip_prefix(b"time=\"") {
        return moment(&rest[..memchr::memchr(b'"', rest)?]);
    }
    let ends_name = |at: &usize| data[..*at].ends_with(b"unixTime");
    let at = memchr::memrchr_iter(b'=', data).find(ends_name)? + 1;
    let rest = &data[at..];
    moment(&rest[..memchr::memchr(b' ', rest).unwrap_or(rest.len())])
}

/// Acra writes small letters; others are no integrity, for nobody wrote them so.
fn hex32(text: &[u8]) -> Option<[u8; 32]> {
    let text: &[u8; 64] = text.try_into().ok()?;
    let (mut values, mut wrong, mut out) = ([0; 64], 0, [0; 32]);
    // No branch depends on a letter, so that many are looked at side by side.
    for (value, letter) in values.iter_mut().zip(text) {
        let (digit, small) = (letter.wrapping_sub(b'0'), letter.wrapping_sub(b'a'));
        *value = if digit < 10 { digit } else { small.wrapping_add(10) };
        wrong |= u8::from(digit > 9) & u8::from(small > 5);
    }
    for (byte, pair) in out.iter_mut().zip(values.as_chunks::<2>().0) {
        *byte = (pair[0] << 4) | pair[1];
    }
    (wrong == 0).then_some(out)
}

/// Seconds since 1970 with a fraction, or RFC 3339.
fn moment(text: &[u8]) -> Option<(i64, bool)> {
    plain_moment(text).or_else(|| any_moment(text))
}

/// RFC 3339 as most lines have it: in UTC, and whole seconds. `None` says nothing.
fn plain_moment(text: &[u8]) -> Option<(i64, bool)> {
    const LIKE: &[u8; 20] = b"0000-00-00T00:00:00Z";
    let text: &[u8; 20] = text.try_into().ok()?;
    let alike = |(byte, like): (&u8, &u8)| if *like == b'0' { byte.is_ascii_digit() } else { byte == like };
    if !text.iter().zip(LIKE).all(alike) {
        return None;
    }
    let number = |from: usize, to: usize| {
        text[from..to].iter().fold(0, |number, digit| 10 * number + i64::from(digit - b'0'))
    };
    let days = days(number(0, 4), number(5, 7), number(8, 10))?;
    Some((milliseconds(days, [number(11, 13), number(14, 16), number(17, 19)], 0), false))
}

fn any_moment(text: &[u8]) -> Option<(i64, bool)> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some((seconds, fraction)) = text.split_once('.').filter(|(seconds, _)| !seconds.contains('-')) {
        let fraction = fraction.get(..fraction.len().min(3))?;
        let thousandths: i64 = match fraction.len() {
            3 => fraction.parse().ok()?,
            _ => format!("{fraction:0<3}").parse().ok()?,
        };
        return Some((seconds.parse::<i64>().ok()?.checked_mul(1000)? + thousandths, true));
    }
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let days = days(number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let clock = [number(11, 13)?, number(14, 16)?, number(17, 19)?];
    let zone = match text.as_bytes().get(19..)? {
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), ..] => {
            let minutes = number(20, 22)? * 60 + number(23, 25)?;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    Some((milliseconds(days?, clock, zone), false))
}

/// Days since 1970 by the civil calendar, years beginning in March.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || year < 1970 {
        return None;
    }
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    Some(365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468)
}

fn milliseconds(days: i64, [hour, minute, second]: [i64; 3], zone: i64) -> i64 {
    ((days * 24 + hour) * 60 + minute - zone) * 60_000 + second * 1000
}

/// The time that a line claims, ms since 1970.
#[must_use]
pub fn time(line: &[u8]) -> Option<i64> {
    parse(line, Form::Auto, &mut Vec::new()).time.map(|(time, _)| time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_to_read_a_time_finds_what_the_long_one_does() {
        let mut compared = 0;
        for text in [b"2026-01-31T23:59:07Z", b"1970-12-01T00:00:00Z", b"9999-99-99T99:99:99Z"] {
            for at in 0..20 {
                for byte in 0..=255 {
                    let mut other = *text;
                    other[at] = byte;
                    if let Some(found) = plain_moment(&other) {
                        assert_eq!(Some(found), any_moment(&other), "{}", String::from_utf8_lossy(&other));
                        compared += 1;
                    }
                }
            }
        }
        assert!(compared > 200, "{compared}");
        assert_eq!(moment(b"2026-01-31T23:59:07Z"), Some((1_769_903_947_000, false)));
        assert_eq!(moment(b"2026-02-01T01:29:07+01:30"), moment(b"2026-01-31T23:59:07Z"));
    }

    #[test]
    fn only_64_small_hexadecimal_digits_are_an_integrity() {
        let text = "0123456789abcdef".repeat(4);
        for at in 0..64 {
            for byte in 0..=255 {
                let mut other = text.clone().into_bytes();
                other[at] = byte;
                let good = matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                let expected = good.then(|| hex::decode(&other).unwrap_or_default());
                assert_eq!(hex32(&other).map(|found| found.to_vec()), expected);
            }
        }
        assert_eq!((hex32(&text.as_bytes()[1..]), hex32(b"")), (None, None));
    }
}
