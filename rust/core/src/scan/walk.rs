//! Line by line through some bytes: places, neighbours, events.

use std::collections::BTreeMap;

use super::entry_keys::Kept;
use super::judge::Entry;
use super::{Input, Keys, Mode};
use crate::epoch::Place;
use crate::hash::{Digest, Many};
use crate::lanes::wide::{LANES, Wide};
use crate::line::{self, Position, Read};
use crate::statement::CertCache;
use crate::summary::{
    Chunk, Edge, Epoch, EpochId, Event, Kind, LogNumber, Occurrence, Seen, Summary, Why, note_seen,
};

/// Groups of lines of one kind that a chunk tells one by one; the others are counted.
fn most_told(kind: Kind) -> usize {
    if matches!(kind, Kind::Reserialized | Kind::Narrowed) { 1 } else { 1000 }
}

/// Lines that are read before they are judged; among them are at most as many ordinary entries as lanes.
const BATCH: usize = 2 * LANES;

/// With fewer ordinary entries in a batch, lanes without one would cost more than the others gain.
const FEWEST: usize = 9;

/// A line that was read.
struct Line<'a> {
    bytes: &'a [u8],
    read: Read,
}

impl Line<'_> {
    const NONE: Self = Self { bytes: &[], read: Read::Nothing };
}

/// The lines of an input.
struct Lines<'a> {
    rest: &'a [u8],
    cut: bool,
}

impl<'a> Lines<'a> {
    /// Reads the next line into its place; `false` at the end.
    #[inline]
    fn next(&mut self, line: &mut Line<'a>) -> bool {
        if self.rest.is_empty() {
            return false;
        }
        let (bytes, rest) = match memchr::memchr(b'\n', self.rest) {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, &self.rest[self.rest.len()..]),
        };
        self.rest = rest;
        let cut = self.cut && rest.is_empty();
        line.bytes = bytes;
        line.read = if cut { Read::Unsealed } else { line::read(bytes) };
        true
    }
}

pub(super) struct Scanner<'k> {
    pub(super) keys: &'k Keys,
    pub(super) mode: &'k Mode,
    pub(super) out: Summary,
    pub(super) place: Place,
    pub(super) kept: Kept,
    pub(super) certs: CertCache,
    chunk: Chunk,
    /// Group of bad lines that goes on as long as such lines follow.
    group: Option<Event>,
    told: BTreeMap<Kind, usize>,
    /// From here on, events wait for the known line behind them.
    waiting: usize,
    epoch_at: Option<EpochId>,
    epoch: Epoch,
}

impl<'k> Scanner<'k> {
    pub(super) fn new(keys: &'k Keys, mode: &'k Mode) -> Self {
        Self {
            keys,
            mode,
            out: Summary::default(),
            place: Place { file: 0, chunk: 0, line: 0, offset: 0 },
            kept: Kept::default(),
            certs: CertCache::default(),
            chunk: Chunk::default(),
            group: None,
            told: BTreeMap::new(),
            waiting: 0,
            epoch_at: None,
            epoch: Epoch::default(),
        }
    }

    pub(super) fn run(self, input: &Input<'_>) -> Summary {
        match Wide::here() {
            Some(wide) => self.run_many(wide, input),
            None => self.run_in_pairs(input),
        }
    }

    /// Takes ordinary entries by sixteen.
    fn run_many(mut self, wide: Wide, input: &Input<'_>) -> Summary {
        let (mut lines, mut many, mut with_v) = (self.begin(input), Many::new(), false);
        let mut batch = [const { Line::NONE }; BATCH];
        let mut entries = [const { Entry::NONE }; BATCH];
        let (mut count, mut taken) = (0, 0);
        while lines.next(&mut batch[count]) {
            let (line, place) = (&batch[count], &mut entries[count]);
            *place = Entry::NONE;
            if let Some(entry) = self.entry(line.bytes, &line.read) {
                *place = entry;
                place.ordinary = (taken == 0 || entry.with_v == with_v) && self.lay(&mut many, taken, place);
                if place.ordinary {
                    with_v = entry.with_v;
                    taken += 1;
                }
            }
            count += 1;
            if taken == LANES || count == BATCH {
                self.batch(wide, &many, &batch[..count], &entries[..count]);
                (count, taken) = (0, 0);
            }
        }
        self.batch(wide, &many, &batch[..count], &entries[..count]);
        self.finish(input)
    }

    /// Hashes the ordinary entries of a batch side by side, then takes in one line after the other.
    fn batch(&mut self, wide: Wide, many: &Many<'_>, lines: &[Line<'_>], entries: &[Entry<'_>]) {
        let mut ordinary = entries.iter().filter(|entry| entry.ordinary);
        let (taken, with_v) = (ordinary.clone().count(), ordinary.next().is_some_and(|entry| entry.with_v));
        if taken < FEWEST {
            return self.few(lines, entries);
        }
        let hashes = many.hashes(wide, taken);
        let good = if with_v { many.authentic(wide, &hashes) } else { [true; LANES] };
        let mut leaves = many.leaves(wide, &hashes).into_iter().zip(good);
        for (line, entry) in lines.iter().zip(entries) {
            let leaf = if entry.ordinary { leaves.next() } else { None };
            self.take_in(line, entry, leaf.and_then(|(leaf, good)| good.then_some(leaf)));
        }
    }

    /// Takes in lines two by two where both are ordinary entries.
    fn few(&mut self, mut lines: &[Line<'_>], mut entries: &[Entry<'_>]) {
        while let ([one, rest @ ..], [a, others @ ..]) = (lines, entries) {
            (lines, entries) = (rest, others);
            if let ([two, rest @ ..], [b, others @ ..]) = (lines, entries)
                && a.ordinary
                && b.ordinary
                && self.both([one, two], [&mut { *a }, &mut { *b }])
            {
                (lines, entries) = (rest, others);
            } else {
                self.take_in(one, a, None);
            }
        }
    }

    /// Takes ordinary entries two by two.
    pub(super) fn run_in_pairs(mut self, input: &Input<'_>) -> Summary {
        let (mut lines, mut one, mut two) = (self.begin(input), Line::NONE, Line::NONE);
        let mut more = lines.next(&mut one);
        while more {
            more = lines.next(&mut two);
            if more && self.pair(&one, &two) {
                more = lines.next(&mut one);
            } else {
                self.alone(&one);
                std::mem::swap(&mut one, &mut two);
            }
        }
        self.finish(input)
    }

    /// The same without pairs: what the tests compare with.
    #[cfg(test)]
    pub(super) fn run_one_by_one(mut self, input: &Input<'_>) -> Summary {
        let (mut lines, mut line) = (self.begin(input), Line::NONE);
        while lines.next(&mut line) {
            self.alone(&line);
        }
        self.finish(input)
    }

    fn begin<'a>(&mut self, input: &Input<'a>) -> Lines<'a> {
        self.place = Place { file: input.file, chunk: input.chunk, line: 0, offset: input.offset };
        Lines { rest: input.data, cut: input.cut }
    }

    fn finish(mut self, input: &Input<'_>) -> Summary {
        self.end_group(None);
        self.store_epoch();
        self.chunk.lines = u64::from(self.place.line);
        self.chunk.bytes = input.data.len() as u64;
        match self.mode {
            Mode::All => {
                self.out.chunks.insert((input.file, input.chunk), self.chunk);
            }
            Mode::Canonical(_) => {}
            // All else was noted when these lines were first seen.
            Mode::Detail(_) => self.out.logs.clear(),
        }
        self.out
    }

    /// Hashes two ordinary entries side by side, then takes in one after the other; `false` if they are not.
    #[inline]
    fn pair(&mut self, one: &Line<'_>, two: &Line<'_>) -> bool {
        let Some(mut a) = self.entry(one.bytes, &one.read) else { return false };
        let Some(mut b) = self.entry(two.bytes, &two.read) else { return false };
        self.both([one, two], [&mut a, &mut b])
    }

    /// The same for two that are.
    #[inline]
    fn both(&mut self, lines: [&Line<'_>; 2], [a, b]: [&mut Entry<'_>; 2]) -> bool {
        let Some(leaves) = self.leaves([a, b]) else { return false };
        for (i, entry) in [a, b].into_iter().enumerate() {
            self.take_in(lines[i], entry, leaves[i]);
        }
        true
    }

    /// Takes in an entry whose leaf was hashed; without one, the line is judged alone.
    #[inline]
    fn take_in(&mut self, line: &Line<'_>, entry: &Entry<'_>, leaf: Option<Digest>) {
        self.kept.spend(entry.cost);
        if let Some(leaf) = leaf {
            self.chunk.counted += 1;
            self.take_entry(entry, leaf);
            self.step(line);
        } else {
            self.alone(line);
        }
    }

    fn alone(&mut self, line: &Line<'_>) {
        self.line(line.bytes, line.read);
        self.step(line);
    }

    #[inline]
    fn step(&mut self, line: &Line<'_>) {
        self.place.line = self.place.line.saturating_add(1);
        self.place.offset += (line.bytes.len() + 1) as u64;
    }

    fn line(&mut self, line: &[u8], read: Read) {
        if read == Read::Nothing {
            return;
        }
        self.chunk.counted += 1;
        let seal = match read {
            Read::Sealed(ref sealed) => Some(sealed.seal),
            Read::Redacted(seal) | Read::Misfit(seal) => Some(seal),
            Read::Nothing | Read::Unsealed => None,
        };
        let Some(seal) = seal else {
            // A seal may still be written with escapes that only a JSON parser sees.
            if !self.rewritten(line, None) {
                self.bad(Kind::Unsealed, None, None);
            }
            return;
        };
        let Some(number) = self.keys.find(seal.log) else {
            self.bad(Kind::Foreign(seal.log), None, None);
            return;
        };
        let id = (number, seal.at.chain, seal.at.epoch);
        if !self.wanted(id) {
            return;
        }
        let done = match read {
            Read::Sealed(sealed) if sealed.m.start() == 0 => self.sealed(line, number, &seal, sealed.m),
            Read::Sealed(_) => Err(Why::Prefix),
            Read::Redacted(_) => {
                self.redacted(number, &seal);
                Ok(())
            }
            _ => Err(Why::Misfit),
        };
        if let Err(why) = done
            && !self.rewritten(line, Some(seal))
        {
            self.bad(Kind::Altered(why), Some(number), Some(seal.at));
            let epoch = self.epoch(id);
            epoch.claim(seal.at.index);
            epoch.json |= line::trim(line).ends_with(b"}");
        }
    }

    pub(super) fn wanted(&self, id: EpochId) -> bool {
        match self.mode {
            Mode::All => true,
            Mode::Canonical(epochs) | Mode::Detail(epochs) => epochs.contains(&id),
        }
    }

    /// Adds a leaf, or in detail mode notes the line itself.
    pub(super) fn add(&mut self, id: EpochId, index: u16, leaf: Digest) {
        let place = self.place;
        if matches!(self.mode, Mode::Detail(_)) {
            let seen = self.out.details.entry(id).or_default();
            note_seen(
                seen,
                Occurrence { index, leaf, file: place.file },
                Seen { count: 1, first: place, last: place },
            );
        } else {
            self.epoch(id).lines.add(index, leaf, place);
        }
    }

    /// The epoch under work; the one before it is put into the summary.
    #[inline]
    pub(super) fn epoch(&mut self, id: EpochId) -> &mut Epoch {
        if self.epoch_at != Some(id) {
            self.store_epoch();
            self.epoch = std::mem::take(self.out.log(id.0).epoch(id.1, id.2));
            self.epoch_at = Some(id);
        }
        &mut self.epoch
    }

    fn store_epoch(&mut self) {
        if let Some((log, chain, epoch)) = self.epoch_at.take() {
            self.epoch.lines.flush();
            *self.out.log(log).epoch(chain, epoch) = std::mem::take(&mut self.epoch);
        }
    }

    /// Notes a line of a known log: order in its file, and the neighbours of bad lines.
    pub(super) fn seen_line(&mut self, number: LogNumber, at: Position) {
        let here = Some((number, at));
        self.end_group(here);
        if self.waiting < self.out.events.len() {
            for event in &mut self.out.events[self.waiting..] {
                event.after = event.after.or(here);
            }
            self.waiting = self.out.events.len();
        }
        if let Mode::All = self.mode {
            self.out.log(number).counts.sealed += 1;
        }
        self.chunk.first = self.chunk.first.or(here);
        self.chunk.last = here;
        let edge = Edge { first: at, first_place: self.place, last: at };
        let edge = self.chunk.edges.entry(number).or_insert(edge);
        let last = std::mem::replace(&mut edge.last, at);
        if at < last && matches!(self.mode, Mode::All) {
            self.tell(Event { last: Some(last), ..self.event(Kind::Reordered, Some(number), Some(at)) });
        }
    }

    fn event(&self, kind: Kind, log: Option<LogNumber>, at: Option<Position>) -> Event {
        let place = self.place;
        Event { kind, log, place, count: 1, first: at, last: at, before: self.chunk.last, after: None }
    }

    /// Notes a line that is not as it should be, together with like ones right before it.
    pub(super) fn bad(&mut self, kind: Kind, log: Option<LogNumber>, at: Option<Position>) {
        let told = match self.mode {
            Mode::All => true,
            Mode::Canonical(_) => matches!(kind, Kind::Altered(_) | Kind::Reserialized),
            Mode::Detail(_) => false,
        };
        if !told {
            return;
        }
        // A group stays within one epoch, so that it can be judged with it.
        let epoch = |at: Option<Position>| at.map(|p| (p.chain, p.epoch));
        if let Some(group) = &mut self.group
            && (group.kind, group.log, epoch(group.last)) == (kind, log, epoch(at))
            && kind != Kind::Redacted
            && u64::from(group.place.line) + group.count == u64::from(self.place.line)
        {
            group.count += 1;
            group.last = at;
            return;
        }
        self.end_group(None);
        self.group = Some(self.event(kind, log, at));
    }

    fn end_group(&mut self, after: Option<(LogNumber, Position)>) {
        if let Some(group) = self.group.take() {
            self.tell(Event { after, ..group });
        }
    }

    fn tell(&mut self, event: Event) {
        let told = self.told.entry(event.kind).or_default();
        if *told < most_told(event.kind) {
            *told += 1;
            self.out.events.push(event);
        } else {
            *self.out.untold.entry(event.kind).or_default() += event.count;
        }
    }
}
