//! What syslog puts before a line: heads of RFC 3164 and RFC 5424, and rsyslog's escapes.
//!
//! Each reader takes what it knows and gives what follows; none looks back.

use memchr::memchr;

/// Longest field of a head.
const MAX_FIELD: usize = 255;

/// Where a traditional head ends: `[<PRI>]TIME HOST TAG[PID]:`, the time as in RFC 3164 or RFC 3339.
pub(super) fn rfc3164(line: &[u8]) -> Option<usize> {
    let rest = if line.first() == Some(&b'<') { priority(line)? } else { line };
    let rest = match time(rest) {
        Some(end) => &rest[end..],
        None => old_time(rest)?,
    };
    let rest = field(blank(rest)?)?;
    let rest = tag(blank(rest)?)?;
    Some(line.len() - rest.len())
}

/// Where a head of RFC 5424 ends, octet count and byte order mark included:
/// `[COUNT ]<PRI>1 TIME HOST APP PROCID MSGID SD`.
pub(super) fn rfc5424(line: &[u8]) -> Option<usize> {
    let digits = run(line, u8::is_ascii_digit);
    let rest = if (1..=10).contains(&digits) { blank(&line[digits..])? } else { line };
    let rest = priority(rest)?.strip_prefix(b"1 ")?;
    let rest = match time(rest) {
        Some(end) => &rest[end..],
        None => rest.strip_prefix(b"-")?,
    };
    let mut rest = blank(rest)?;
    for _ in 0..4 {
        rest = blank(field(rest)?)?;
    }
    let rest = structured_data(rest)?;
    let rest = rest.strip_prefix(b" \xef\xbb\xbf").unwrap_or(rest);
    Some(line.len() - rest.len())
}

/// How many blanks stand behind a head.
pub(super) fn gap(rest: &[u8]) -> usize {
    run(rest, |b| *b == b' ')
}

/// Where a time of RFC 3339 at the begin of a text ends; older journalctl leaves the last colon out.
#[inline]
pub(super) fn time(text: &[u8]) -> Option<usize> {
    let shape = b"0000-00-00T00:00:00";
    let (start, mut rest) = text.split_at_checked(shape.len())?;
    let fits = |(byte, like): (&u8, &u8)| if *like == b'0' { byte.is_ascii_digit() } else { byte == like };
    if !start.iter().zip(shape).all(fits) {
        return None;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = run(fraction, u8::is_ascii_digit);
        if !(1..=9).contains(&digits) {
            return None;
        }
        rest = &fraction[digits..];
    }
    match rest {
        [b'Z', rest @ ..] => Some(text.len() - rest.len()),
        [b'+' | b'-', rest @ ..] => {
            let (hours, rest) = rest.split_at_checked(2)?;
            let (minutes, rest) = rest.strip_prefix(b":").unwrap_or(rest).split_at_checked(2)?;
            let digits = hours.iter().chain(minutes).all(u8::is_ascii_digit);
            digits.then_some(text.len() - rest.len())
        }
        _ => None,
    }
}

/// `Mmm dd hh:mm:ss`, the day with a blank or a zero before it.
fn old_time(text: &[u8]) -> Option<&[u8]> {
    let (time, rest) = text.split_first_chunk::<15>()?;
    let months = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = months.chunks(3).any(|month| time.starts_with(month));
    let fits = |(byte, like): (&u8, &u8)| match like {
        b'0' => byte.is_ascii_digit(),
        b'_' => byte.is_ascii_digit() || *byte == b' ',
        _ => byte == like,
    };
    (month && time[3..].iter().zip(b" _0 00:00:00").all(fits)).then_some(rest)
}

/// `<PRI>`, 0 to 191.
fn priority(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_prefix(b"<")?;
    let digits = run(text, u8::is_ascii_digit);
    let value = text.get(..digits).filter(|d| (1..=3).contains(&d.len()))?;
    let value = value.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    (value <= 191).then_some(text[digits..].strip_prefix(b">")?)
}

fn blank(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b" ")
}

/// A field of printable characters other than the blank; `-` is one.
fn field(text: &[u8]) -> Option<&[u8]> {
    let length = run(text, u8::is_ascii_graphic);
    (1..=MAX_FIELD).contains(&length).then(|| &text[length..])
}

/// `TAG:` or `TAG[PID]:`.
fn tag(text: &[u8]) -> Option<&[u8]> {
    let name = |b: &u8| b.is_ascii_graphic() && !matches!(b, b':' | b'[' | b']');
    let length = run(text, name);
    if !(1..=MAX_FIELD).contains(&length) {
        return None;
    }
    let mut rest = &text[length..];
    if let Some(inside) = rest.strip_prefix(b"[") {
        let length = run(inside, name);
        if length > MAX_FIELD {
            return None;
        }
        rest = inside[length..].strip_prefix(b"]")?;
    }
    rest.strip_prefix(b":")
}

/// `-`, or elements `[id name="value" …]` one behind the other.
fn structured_data(text: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = text.strip_prefix(b"-") {
        return Some(rest);
    }
    let mut rest = element(text)?;
    while rest.first() == Some(&b'[') {
        rest = element(rest)?;
    }
    Some(rest)
}

fn element(text: &[u8]) -> Option<&[u8]> {
    let mut rest = sd_name(text.strip_prefix(b"[")?)?;
    loop {
        match rest.split_first()? {
            (b']', behind) => return Some(behind),
            (b' ', parameter) => rest = quoted(sd_name(parameter)?.strip_prefix(b"=\"")?)?,
            _ => return None,
        }
    }
}

fn sd_name(text: &[u8]) -> Option<&[u8]> {
    let length = run(text, |b| b.is_ascii_graphic() && !matches!(b, b'=' | b']' | b'"'));
    (1..=MAX_FIELD).contains(&length).then(|| &text[length..])
}

/// What follows a quoted value; quotes, brackets and backslashes in it have a backslash before them.
fn quoted(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    loop {
        match rest.split_first()? {
            (b'"', behind) => return Some(behind),
            (b']', _) => return None,
            (b'\\', behind) => rest = behind.split_first()?.1,
            (_, behind) => rest = behind,
        }
    }
}

/// How many bytes at the begin are such.
#[inline]
fn run(text: &[u8], such: impl Fn(&u8) -> bool) -> usize {
    text.iter().position(|b| !such(b)).unwrap_or(text.len())
}

/// The text with every `#ooo` of a control character but LF undone; `None` if there is none.
pub(super) fn undo_escapes(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut rest, mut kept) = (text, 0);
    while let Some(at) = memchr(b'#', &rest[kept..]).map(|more| kept + more) {
        match control(&rest[at + 1..]) {
            Some(byte) => {
                out.extend_from_slice(&rest[..at]);
                out.push(byte);
                (rest, kept) = (&rest[at + 4..], 0);
            }
            None => kept = at + 1,
        }
    }
    if rest.len() == text.len() {
        return None;
    }
    out.extend_from_slice(rest);
    Some(out)
}

/// The control character that three octal digits stand for.
///
/// rsyslog 8 escapes those below 32, older ones DEL as well.
fn control(text: &[u8]) -> Option<u8> {
    let digits = text.get(..3)?;
    let value = digits.iter().try_fold(0u32, |value, digit| {
        matches!(digit, b'0'..=b'7').then(|| value * 8 + u32::from(digit - b'0'))
    })?;
    let byte = u8::try_from(value).ok()?;
    (byte.is_ascii_control() && byte != b'\n').then_some(byte)
}
