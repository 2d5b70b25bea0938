//! Records that stand on one physical line each.

use memchr::memchr;

use super::json::{Found, Skim};
pub(super) use super::output::Record;
use super::prefix::time;

/// What Docker reads at once: a record without a line end that is shorter is no part.
const DOCKER_PART: usize = 16 << 10;

/// `{"log":"…\n","stream":"stdout","attrs":{…},"time":"…"}`.
///
/// A long line comes in parts as long as the engine's buffer, without a line end. A shorter one without it is
/// where a program stopped in the middle of a line: what follows it is another run's.
#[inline]
pub(super) fn docker<'a>(line: &'a [u8], text: &mut Vec<u8>) -> Option<Record<'a>> {
    let (mut log, mut stream) = (None, None);
    let mut skim = Skim::new(line);
    skim.enter()?;
    while let Found::Text(name) = skim.name()? {
        if name.is(b"log") {
            once(&mut log, skim.string()?)?;
        } else if name.is(b"stream") {
            once(&mut stream, skim.string()?)?;
        } else if name.is_like(b"log") || name.is_like(b"stream") {
            return None; // the engine takes it for the same, and shows the last one
        } else {
            skim.value()?;
        }
    }
    skim.done()?;
    let stream = stream.and_then(|s| standard_stream(s.raw))?;
    let from = text.len();
    log?.append_to(text)?;
    let part = text.len() - from >= DOCKER_PART && text.last() != Some(&b'\n');
    Some(if part { Record::Part(stream) } else { Record::Last(stream) })
}

/// Keeps a value that may be there once: a viewer could show the other one.
fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

pub(super) fn standard_stream(name: &[u8]) -> Option<&'static [u8]> {
    [&b"stdout"[..], b"stderr"].into_iter().find(|known| *known == name)
}

/// `<time> <stdout|stderr> <tags> <content>`; the first tag says whether more follows.
#[inline]
pub(super) fn cri<'a>(line: &'a [u8], text: &mut Vec<u8>) -> Option<Record<'a>> {
    let (when, rest) = word(line)?;
    if time(when) != Some(when.len()) {
        return None;
    }
    let (stream, rest) = word(rest)?;
    let stream = standard_stream(stream)?;
    let (tags, content) = word(rest)?;
    let record = match tags {
        [b'P'] | [b'P', b':', ..] => Record::Part(stream),
        [b'F'] | [b'F', b':', ..] => Record::Last(stream),
        _ => return None,
    };
    text.extend_from_slice(content);
    Some(record)
}

/// Splits at the first blank, which must be near.
#[inline]
pub(super) fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let near = &text[..text.len().min(64)];
    let at = memchr(b' ', near)?;
    Some((&text[..at], &text[at + 1..]))
}

/// One object of `journalctl -o json`: MESSAGE is a string, or an array of byte values if it is not UTF-8.
///
/// journald breaks what a service writes at `LineMax` and then says so.
pub(super) fn journal_json<'a>(line: &'a [u8], text: &mut Vec<u8>) -> Option<Record<'a>> {
    let (mut message, mut line_break, mut stream) = (None, None, None);
    let mut skim = Skim::new(line);
    skim.enter()?;
    while let Found::Text(name) = skim.name()? {
        if name.is(b"MESSAGE") {
            if skim.peek()? == b'"' {
                once(&mut message, skim.string()?.append_to(text)?)?;
            } else {
                once(&mut message, skim.byte_values(text)?)?;
            }
        } else if name.is(b"_LINE_BREAK") {
            once(&mut line_break, skim.string_or_other()?)?;
        } else if name.is(b"_STREAM_ID") {
            once(&mut stream, skim.string_or_other()?)?;
        } else {
            skim.value()?;
        }
    }
    skim.done()?;
    message?;
    let raw = |found: Option<Found<'a>>| found.and_then(Found::text).map(|text| text.raw);
    Some(journal_record(raw(stream), raw(line_break)))
}

/// How an entry of the journal goes on.
pub(super) fn journal_record<'a>(stream: Option<&'a [u8]>, line_break: Option<&[u8]>) -> Record<'a> {
    match stream {
        Some(stream) if line_break == Some(b"line-max") => Record::Part(stream),
        Some(stream) => Record::Last(stream),
        None => Record::Whole,
    }
}

/// An object with the line in the field `path`.
pub(super) fn field<'a>(path: &[u8], line: &'a [u8], text: &mut Vec<u8>) -> Option<Record<'a>> {
    let mut skim = Skim::new(line);
    let found = member(path, &mut skim)?;
    skim.done()?;
    found.text()?.append_to(text)?;
    Some(Record::Whole)
}

/// What stands at `path` in the object that is next, if anything does; `None` if a viewer could show another one.
fn member<'a>(path: &[u8], skim: &mut Skim<'a>) -> Option<Found<'a>> {
    let dot = memchr(b'.', path);
    let (mut whole, mut inside) = (None, None);
    skim.enter()?;
    while let Found::Text(name) = skim.name()? {
        if name.is(path) {
            once(&mut whole, skim.string_or_other()?)?;
        } else if dot.is_some_and(|at| name.is(&path[..at])) {
            let below = &path[dot.map_or(0, |at| at + 1)..];
            let deeper = skim.peek()? == b'{';
            let found = if deeper { member(below, skim)? } else { skim.value().map(|()| Found::Nothing)? };
            once(&mut inside, found)?;
        } else {
            skim.value()?;
        }
    }
    match (whole, inside.filter(|found| !matches!(found, Found::Nothing))) {
        (Some(_), Some(_)) => None,
        (whole, inside) => Some(whole.or(inside).unwrap_or(Found::Nothing)),
    }
}
