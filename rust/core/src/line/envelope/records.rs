//! Records that stand on one physical line each.

use memchr::memchr;

use super::json::{Found, Skim};
use super::numbered::Part;
pub(super) use super::output::Record;
use super::prefix::time;
use crate::text::num;

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
    Some(if part { Record::Part(stream, 0) } else { Record::Last(stream, 0) })
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
        [b'P'] | [b'P', b':', ..] => Record::Part(stream, 0),
        [b'F'] | [b'F', b':', ..] => Record::Last(stream, 0),
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

/// How records say that they are parts of one line.
///
/// journald breaks what a service writes at `LineMax` and then says so. Docker's journald and fluentd drivers number
/// the parts of a line, older ones and Podman's only mark them; the last part is not marked, or marked as the last.
/// Fluent Bit keeps CRI's tag. Vector marks parts by `_partial`, and says from which container or file they are.
#[derive(Debug, Default)]
pub(super) struct Marks<T> {
    pub stream_id: Option<T>,
    pub line_break: Option<T>,
    pub partial: Option<T>,
    pub id: Option<T>,
    pub ordinal: Option<T>,
    pub last: Option<T>,
    pub container: Option<T>,
    pub source: Option<T>,
    pub tag: Option<T>,
    pub file: Option<T>,
}

impl<T> Marks<T> {
    /// The place of a mark with a name; `None` if it is none.
    #[inline]
    pub fn place(&mut self, name: &[u8]) -> Option<&mut Option<T>> {
        Some(match name {
            b"_STREAM_ID" => &mut self.stream_id,
            b"_LINE_BREAK" => &mut self.line_break,
            b"CONTAINER_PARTIAL_MESSAGE"
            | b"container_partial_message"
            | b"partial_message"
            | b"_partial" => &mut self.partial,
            b"CONTAINER_PARTIAL_ORDINAL" | b"container_partial_ordinal" | b"partial_ordinal" => {
                &mut self.ordinal
            }
            b"file" => &mut self.file,
            b"CONTAINER_PARTIAL_ID" | b"container_partial_id" | b"partial_id" => &mut self.id,
            b"CONTAINER_PARTIAL_LAST" | b"container_partial_last" | b"partial_last" => &mut self.last,
            b"CONTAINER_ID_FULL" | b"container_id_full" | b"container_id" => &mut self.container,
            b"PRIORITY" | b"priority" | b"source" | b"stream" => &mut self.source,
            b"logtag" => &mut self.tag,
            _ => return None,
        })
    }
}

impl Marks<Vec<u8>> {
    pub fn borrowed(&self) -> Marks<&[u8]> {
        Marks {
            stream_id: self.stream_id.as_deref(),
            line_break: self.line_break.as_deref(),
            partial: self.partial.as_deref(),
            id: self.id.as_deref(),
            ordinal: self.ordinal.as_deref(),
            last: self.last.as_deref(),
            container: self.container.as_deref(),
            source: self.source.as_deref(),
            tag: self.tag.as_deref(),
            file: self.file.as_deref(),
        }
    }
}

impl<'a> Marks<&'a [u8]> {
    /// How the record goes on.
    pub fn record(&self) -> Record<'a> {
        let kind = self.source.and_then(<[u8]>::last).copied().unwrap_or(0);
        let marked = self.partial == Some(b"true");
        let place = self.container.or(self.file);
        let (more, stream, kind) = if let Some(id) = self.id {
            let more = marked && self.last != Some(b"true");
            let number = self.ordinal.and_then(|text| num(text, u64::from(u32::MAX)));
            if let Some(ordinal) = number.and_then(|number| u32::try_from(number).ok()).filter(|it| *it > 0) {
                return Record::Numbered(Part { id, ordinal, last: !more });
            }
            (more, id, 0)
        } else if let Some(tag) = self.tag {
            (tag.starts_with(b"P"), self.container.or(self.source).unwrap_or_default(), kind)
        } else if let Some(stream) = self.stream_id {
            (self.line_break == Some(b"line-max"), stream, 0)
        } else if marked || place.is_some() {
            (marked, place.unwrap_or_default(), kind)
        } else {
            return Record::Whole;
        };
        if more { Record::Part(stream, kind) } else { Record::Last(stream, kind) }
    }
}

/// One object of `journalctl -o json`: MESSAGE is a string, or an array of byte values if it is not UTF-8.
pub(super) fn journal_json<'a>(line: &'a [u8], text: &mut Vec<u8>) -> Option<Marks<&'a [u8]>> {
    let (mut message, mut marks) = (None, Marks::default());
    let mut skim = Skim::new(line);
    skim.enter()?;
    while let Found::Text(name) = skim.name()? {
        if name.is(b"MESSAGE") {
            if skim.peek()? == b'"' {
                once(&mut message, skim.string()?.append_to(text)?)?;
            } else {
                once(&mut message, skim.byte_values(text)?)?;
            }
        } else if let Some(place) = marks.place(name.raw) {
            once(place, skim.raw()?)?;
        } else {
            skim.value()?;
        }
    }
    skim.done()?;
    message.map(|()| marks)
}

/// A step of a path into JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A member; the dots of its name may lead into objects.
    Name(Vec<u8>),
    /// Each element of an array.
    Each,
    /// The element with this number.
    At(u32),
}

/// A record with the line where the steps lead to.
pub(super) fn field<'a>(steps: &[Step], line: &'a [u8], text: &mut Vec<u8>) -> Option<Marks<&'a [u8]>> {
    let (mut skim, mut marks) = (Skim::new(line), Marks::default());
    skim.blanks();
    let found = value_at(steps, &mut skim, &mut marks)?;
    skim.done()?;
    found.text()?.append_to(text)?;
    Some(marks)
}

/// What stands where steps lead to from the value that is next; `None` if a viewer could show something else.
fn value_at<'a>(steps: &[Step], skim: &mut Skim<'a>, marks: &mut Marks<&'a [u8]>) -> Option<Found<'a>> {
    match steps.split_first() {
        None => skim.string_or_other(),
        Some((Step::Name(path), rest)) => member(path, rest, skim, marks),
        Some((Step::Each, _)) => None,
        Some((Step::At(wanted), rest)) => {
            let (mut found, mut index) = (Found::Nothing, 0);
            while skim.element(index == 0)? {
                if index == *wanted {
                    found = value_at(rest, skim, marks)?;
                } else {
                    skim.value()?;
                }
                index = index.saturating_add(1);
            }
            Some(found)
        }
    }
}

/// What stands at `path` in the object that is next, if anything does; `None` if a viewer could show another one.
///
/// Marks are looked for beside the last name of the path.
fn member<'a>(
    path: &[u8],
    rest: &[Step],
    skim: &mut Skim<'a>,
    marks: &mut Marks<&'a [u8]>,
) -> Option<Found<'a>> {
    let dot = memchr(b'.', path);
    let (mut whole, mut inside) = (None, None);
    skim.enter()?;
    while let Found::Text(name) = skim.name()? {
        if name.is(path) {
            once(&mut whole, value_at(rest, skim, marks)?)?;
        } else if dot.is_some_and(|at| name.is(&path[..at])) {
            let below = &path[dot.map_or(0, |at| at + 1)..];
            let deeper = skim.peek()? == b'{';
            let found = if deeper {
                member(below, rest, skim, marks)?
            } else {
                skim.value().map(|()| Found::Nothing)?
            };
            once(&mut inside, found)?;
        } else if let Some(place) = marks.place(name.raw).filter(|_| dot.is_none()) {
            once(place, skim.raw()?)?;
        } else {
            skim.value()?;
        }
    }
    match (whole, inside.filter(|found| !matches!(found, Found::Nothing))) {
        (Some(_), Some(_)) => None,
        (whole, inside) => Some(whole.or(inside).unwrap_or(Found::Nothing)),
    }
}
