//! Parts of lines that their driver numbers: put into their order, however they come (SPEC section 9).
//!
//! Docker's journald and fluentd drivers give the parts of a line an id and numbers from 1. An export may hold them in
//! another order, or lack some: a line is put together only when all of them are here.

use std::collections::BTreeMap;

/// A part of a line whose other part stands in another file: a stream's name, a letter that tells it from others of
/// that name, and the text.
pub type Loose = (Vec<u8>, u8, Vec<u8>);

/// Longest part that is looked for in another file.
pub(super) const MAX_LOOSE: usize = 1 << 20;

/// Most lines of which parts wait, and most bytes of all of them.
const MAX_LINES: usize = 64;
const MAX_WAITING: usize = 64 << 20;

/// What a part takes beside its bytes.
const OVERHEAD: usize = 64;

/// Numbers that are named where parts are missing.
const NAMED: usize = 5;

/// A part of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// The line that it belongs to.
    pub id: &'a [u8],
    /// Its place in that line, from 1.
    pub ordinal: u32,
    /// No part comes after it.
    pub last: bool,
}

/// What comes of a part.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Others are still to come.
    Waits,
    /// The whole line.
    Whole(Vec<u8>),
    /// One with this number is here already: it stands alone.
    Again(Vec<u8>),
}

/// A line of which parts were read.
#[derive(Debug)]
pub(super) struct Line {
    id: Vec<u8>,
    parts: BTreeMap<u32, Vec<u8>>,
    /// The number of its last part, once that was read.
    end: Option<u32>,
}

impl Line {
    /// Its parts, one after the other.
    pub fn text(&self) -> Vec<u8> {
        self.parts.values().flatten().copied().collect()
    }

    /// What may go on in another file: its beginning, or its end, without a gap.
    pub fn loose(&self) -> Option<(Loose, bool)> {
        let (first, last) = (*self.parts.keys().next()?, *self.parts.keys().next_back()?);
        let gapless = u32::try_from(self.parts.len()).is_ok_and(|count| last - first + 1 == count);
        let begins = first == 1 && self.end.is_none();
        let text = self.text();
        let fits = gapless && (begins || self.end == Some(last)) && text.len() <= MAX_LOOSE;
        fits.then(|| ((self.id.clone(), 0, text), begins))
    }

    /// Which parts are missing, in words.
    pub fn lacking(&self) -> String {
        let highest = self.parts.keys().next_back().copied().unwrap_or(0);
        let absent: Vec<_> =
            (1..highest).filter(|number| !self.parts.contains_key(number)).take(NAMED + 1).collect();
        let mut named: Vec<_> = absent.iter().take(NAMED).map(u32::to_string).collect();
        if absent.len() > NAMED {
            named.push("others".into());
        }
        let named = named.join(", ");
        match (named.is_empty(), self.end) {
            (false, Some(end)) => {
                format!("of its {end} parts, by the numbers of the carrier, {named} is missing")
            }
            (false, None) => format!(
                "of its parts, by the numbers of the carrier, {named} and all after {highest} are missing"
            ),
            (true, _) => {
                format!("of its parts, by the numbers of the carrier, all after {highest} are missing")
            }
        }
    }

    fn is_whole(&self, begun: bool) -> bool {
        let (Some(end), Some(first)) = (self.end, self.parts.keys().next()) else { return false };
        let there = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        (begun || *first == 1) && self.parts.keys().next_back() == Some(&end) && end - first + 1 == there
    }
}

/// Lines of which parts were read, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Numbered {
    waiting: Vec<Line>,
    /// Their bytes in all.
    size: usize,
}

impl Numbered {
    /// Does any line wait?
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes a part; `begun` is what another file holds of the line, before its parts here.
    pub fn take(&mut self, part: Part<'_>, text: Vec<u8>, begun: Option<&[u8]>) -> Taken {
        let at = self.waiting.iter().position(|line| line.id == part.id).unwrap_or_else(|| {
            self.waiting.push(Line { id: part.id.to_vec(), parts: BTreeMap::new(), end: None });
            self.waiting.len() - 1
        });
        let line = &mut self.waiting[at];
        let odd = line.parts.contains_key(&part.ordinal)
            || line.end.is_some_and(|end| part.last || part.ordinal > end)
            || part.last && line.parts.keys().next_back().is_some_and(|highest| *highest > part.ordinal);
        if odd {
            return Taken::Again(text);
        }
        self.size += text.len() + OVERHEAD;
        line.parts.insert(part.ordinal, text);
        if part.last {
            line.end = Some(part.ordinal);
        }
        if !line.is_whole(begun.is_some()) {
            return Taken::Waits;
        }
        let line = self.remove(at);
        Taken::Whole([begun.unwrap_or_default(), &line.text()].concat())
    }

    /// The oldest line, where too many wait, or too much.
    pub fn too_many(&mut self) -> Option<Line> {
        (self.waiting.len() > MAX_LINES || self.size > MAX_WAITING).then(|| self.remove(0))
    }

    /// The oldest line.
    pub fn next(&mut self) -> Option<Line> {
        (!self.waiting.is_empty()).then(|| self.remove(0))
    }

    fn remove(&mut self, at: usize) -> Line {
        let line = self.waiting.remove(at);
        self.size -= line.parts.values().map(|text| text.len() + OVERHEAD).sum::<usize>();
        line
    }
}
