//! Line by line through some bytes: places, neighbours, events.

use std::collections::BTreeMap;

use memchr::memmem;

use super::entry_keys::Kept;
use super::judge::Entry;
use super::{Input, Keys, Mode};
use crate::hash::lanes::wide::{LANES, Wide};
use crate::hash::{Digest, Many, sha256};
use crate::line::envelope::{Envelope, Origin};
use crate::line::{self, Position, Read, Seal};
use crate::scan::summary::{
    Chunk, Edge, Epoch, EpochId, Event, Kind, Log, LogNumber, MOST_LISTED, Occurrence, Seen, Summary, Why,
    earlier, note_seen,
};
use crate::seal::epoch::Place;
use crate::seal::statement::CertCache;

/// Lines that are read before they are judged; among them are at most as many ordinary entries as lanes.
const BATCH: usize = 2 * LANES;

/// With fewer ordinary entries in a batch, lanes without one would cost more than the others gain.
const FEWEST: usize = 9;

/// Epochs of a chunk that bad lines may claim before a good line of them comes.
const MOST_CLAIMED: usize = 4096;

/// Epochs whose lines are taken at their word, with P only; and one more for so many bytes.
///
/// No writer makes more in its chunk: each epoch ends with a checkpoint, which is longer.
const MOST_MET: usize = 256;
const BYTES_FOR_ONE: usize = 512;

/// Why a line does not fit its seal: it is longer or shorter, or else not what a writer makes of that seal.
fn wrong_length(line: &[u8]) -> Why {
    line::excess(line).filter(|excess| *excess != 0).map_or(Why::Misfit, Why::Length)
}

/// A line that was read.
struct Line<'a> {
    bytes: &'a [u8],
    read: Read,
    /// Only its beginning is here.
    cut: bool,
}

impl Line<'_> {
    const NONE: Self = Self { bytes: &[], read: Read::Nothing, cut: false };
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
        line.cut = self.cut && rest.is_empty();
        line.bytes = bytes;
        line.read = if line.cut { Read::Unsealed } else { line::read(bytes) };
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
    /// The line that is judged.
    line: &'k [u8],
    /// Only its beginning is here.
    cut: bool,
    /// It was wrapped in something by a carrier.
    wrapped: bool,
    /// It is taken in its RFC 8785 form, which is not what its bytes are.
    pub(super) in_other_form: bool,
    origins: &'k [Origin],
    envelope: Option<&'k Envelope>,
    begin: u64,
    chunk: Chunk,
    /// Group of bad lines that goes on as long as such lines follow.
    group: Option<Event>,
    told: BTreeMap<Kind, usize>,
    /// From here on, events wait for the known line behind them.
    waiting: usize,
    epoch_at: Option<EpochId>,
    epoch: Epoch,
    /// Epochs that a bad line claimed first.
    claimed: usize,
    /// Epochs that were met, and how many may be.
    met: usize,
    most_met: usize,
}

impl<'k> Scanner<'k> {
    pub(super) fn new(keys: &'k Keys, mode: &'k Mode, bytes: usize) -> Self {
        Self {
            keys,
            mode,
            out: Summary::default(),
            place: Place { file: 0, chunk: 0, line: 0, offset: 0 },
            kept: Kept::new(bytes),
            certs: CertCache::default(),
            line: &[],
            cut: false,
            wrapped: false,
            in_other_form: false,
            origins: &[],
            envelope: None,
            begin: 0,
            chunk: Chunk::default(),
            group: None,
            told: BTreeMap::new(),
            waiting: 0,
            epoch_at: None,
            epoch: Epoch::default(),
            claimed: 0,
            met: 0,
            most_met: MOST_MET + bytes / BYTES_FOR_ONE,
        }
    }

    pub(super) fn run(self, input: &Input<'k>) -> Summary {
        match Wide::here() {
            Some(wide) => self.run_many(wide, input),
            None => self.run_in_pairs(input),
        }
    }

    /// Takes ordinary entries by sixteen.
    fn run_many(mut self, wide: Wide, input: &Input<'k>) -> Summary {
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
    fn batch(&mut self, wide: Wide, many: &Many<'_>, lines: &[Line<'k>], entries: &[Entry<'_>]) {
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
    fn few(&mut self, mut lines: &[Line<'k>], mut entries: &[Entry<'_>]) {
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
    pub(super) fn run_in_pairs(mut self, input: &Input<'k>) -> Summary {
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
    pub(super) fn run_one_by_one(mut self, input: &Input<'k>) -> Summary {
        let (mut lines, mut line) = (self.begin(input), Line::NONE);
        while lines.next(&mut line) {
            self.alone(&line);
        }
        self.finish(input)
    }

    fn begin(&mut self, input: &Input<'k>) -> Lines<'k> {
        self.place = Place { file: input.file, chunk: input.chunk, line: 0, offset: input.offset };
        self.begin = input.offset;
        self.envelope = input.envelope;
        if let Some(origins) = input.origins {
            self.origins = origins.of;
            self.go_to_origin();
        }
        Lines { rest: input.data, cut: input.cut }
    }

    fn finish(mut self, input: &Input<'k>) -> Summary {
        self.end_group(None);
        self.store_epoch();
        self.chunk.lines = u64::from(input.origins.map_or(self.place.line, |origins| origins.lines));
        self.chunk.bytes = input.origins.map_or(input.data.len() as u64, |origins| origins.bytes);
        match self.mode {
            // In RFC 8785 forms other lines may be the first and the last known one.
            Mode::All | Mode::Canonical(_) => {
                self.out.chunks.insert((input.file, input.chunk), self.chunk);
            }
            // All else was noted when these lines were first seen.
            Mode::Detail(..) => self.out.logs.clear(),
        }
        self.out
    }

    /// Hashes two ordinary entries side by side, then takes in one after the other; `false` if they are not.
    #[inline]
    fn pair(&mut self, one: &Line<'k>, two: &Line<'k>) -> bool {
        let Some(mut a) = self.entry(one.bytes, &one.read) else { return false };
        let Some(mut b) = self.entry(two.bytes, &two.read) else { return false };
        self.both([one, two], [&mut a, &mut b])
    }

    /// The same for two that are.
    #[inline]
    fn both(&mut self, lines: [&Line<'k>; 2], [a, b]: [&mut Entry<'_>; 2]) -> bool {
        let Some(leaves) = self.leaves([a, b]) else { return false };
        for (i, entry) in [a, b].into_iter().enumerate() {
            self.take_in(lines[i], entry, leaves[i]);
        }
        true
    }

    /// Takes in an entry whose leaf was hashed; without one, the line is judged alone.
    #[inline]
    fn take_in(&mut self, line: &Line<'k>, entry: &Entry<'_>, leaf: Option<Digest>) {
        self.kept.spend(entry.cost);
        if let Some(leaf) = leaf {
            self.chunk.counted += 1;
            self.line = line.bytes;
            self.wrapped = self.out_of_envelope() || entry.prefixed;
            self.take_entry(entry, leaf);
            self.step(line);
        } else {
            self.alone(line);
        }
    }

    fn alone(&mut self, line: &Line<'k>) {
        self.line = line.bytes;
        self.cut = line.cut;
        self.wrapped = self.out_of_envelope();
        self.line(line.bytes, line.read);
        self.step(line);
    }

    /// Was the line taken out of an envelope?
    #[inline]
    fn out_of_envelope(&self) -> bool {
        self.origins.first().is_some_and(|origin| origin.wrapped)
    }

    /// Is what stands before a line nothing, or what the caller said that a carrier puts there?
    #[inline]
    pub(super) fn is_prefix(&self, bytes: &[u8]) -> bool {
        bytes.is_empty() || self.envelope.is_some_and(|envelope| envelope.is_prefix(bytes))
    }

    #[inline]
    fn step(&mut self, line: &Line<'_>) {
        if self.origins.is_empty() {
            self.place.line = self.place.line.saturating_add(1);
            self.place.offset += (line.bytes.len() + 1) as u64;
        } else {
            self.origins = &self.origins[1..];
            self.go_to_origin();
        }
    }

    /// Notes where the next line stood before it was taken out of its envelope.
    fn go_to_origin(&mut self) {
        if let Some(origin) = self.origins.first() {
            self.place.line = origin.line;
            self.place.offset = self.begin + origin.offset;
        }
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
            if self.without_added(line) {
                return;
            }
            // A seal may still be written with escapes that only a JSON parser sees.
            if !self.rewritten(line, None) {
                self.unsealed(Kind::Unsealed);
            }
            return;
        };
        let Some(number) = self.keys.find(seal.log) else {
            self.unsealed(Kind::Foreign(seal.log));
            return;
        };
        let id = (number, seal.at.chain, seal.at.epoch);
        if !self.wanted(id) {
            return self.pass_by(line, &read, number, &seal);
        }
        let done = match read {
            Read::Sealed(sealed) if self.is_prefix(&line[..sealed.m.start()]) => {
                self.wrapped |= sealed.m.start() > 0;
                self.sealed(line, number, &seal, sealed.m)
            }
            Read::Sealed(sealed) if self.fits(line, number, &seal, sealed.m) => Err(Why::Prefix),
            Read::Misfit(_) if self.is_redacted_behind_prefix(line) => {
                self.wrapped = true;
                self.redacted(number, &seal);
                Ok(())
            }
            Read::Redacted(_) => {
                self.redacted(number, &seal);
                Ok(())
            }
            _ => Err(wrong_length(line)),
        };
        if let Err(why) = done
            && !self.without_added(line)
            && !self.rewritten(line, Some(seal))
            && !self.unescaped(line, number)
        {
            let json = line::trim(line).ends_with(b"}");
            let rewritten = json && self.keys.log(number).secret.is_none() && self.affords(id);
            if rewritten && matches!(self.mode, Mode::All) {
                // There may be many, all of them good: a second look at their epoch will tell.
                let mut event = self.event(Kind::Altered(Why::Rewritten), Some(number), Some(seal.at));
                event.quote(line);
                event.length = line.len() as u64;
                self.end_group(None);
                self.in_order(number, seal.at);
                self.epoch(id).leave_unread(Box::new(event));
            } else {
                self.altered(why, number, seal.at);
            }
            self.claim(id, seal.at.index);
            if rewritten {
                self.epoch(id).json = true;
            }
        }
    }

    /// A line of an epoch that is not looked at in this pass: only a neighbour of others, or a bad line with neighbours.
    fn pass_by(&mut self, line: &[u8], read: &Read, number: LogNumber, seal: &Seal) {
        let good = match read {
            Read::Sealed(sealed) => self.is_prefix(&line[..sealed.m.start()]),
            Read::Misfit(_) => self.is_redacted_behind_prefix(line),
            Read::Redacted(_) => true,
            Read::Nothing | Read::Unsealed => false,
        };
        if good {
            self.neighbour(number, seal.at);
        } else if matches!(read, Read::Sealed(_)) || !self.without_added(line) && !self.rewritten(line, None)
        {
            // What a JSON parser sees may be another seal than the last one among the bytes.
            self.altered(wrong_length(line), number, seal.at);
        }
    }

    /// A JSON line to which a carrier added members that the caller names: is it authentic without them?
    fn without_added(&mut self, line: &[u8]) -> bool {
        let Some(text) = self.keys.without_added(line::trim(line)) else { return false };
        let wrapped = std::mem::replace(&mut self.wrapped, true);
        let done = match line::read(&text) {
            Read::Sealed(sealed) if sealed.m.start() == 0 => {
                let Position { chain, epoch, .. } = sealed.seal.at;
                self.keys.find(sealed.seal.log).is_some_and(|number| {
                    self.passed((number, chain, epoch), sealed.seal.at)
                        || self.sealed(&text, number, &sealed.seal, sealed.m).is_ok()
                        || self.rewritten(&text, Some(sealed.seal))
                })
            }
            Read::Redacted(seal) => self.keys.find(seal.log).is_some_and(|number| {
                self.redacted(number, &seal);
                true
            }),
            _ => self.rewritten(&text, None),
        };
        self.wrapped = wrapped || done;
        done
    }

    /// Is this a redacted line behind a carrier's prefix?
    fn is_redacted_behind_prefix(&self, line: &[u8]) -> bool {
        let line = line::trim(line);
        ["[redacted] tally=", "{\"redacted\":true,"].iter().any(|begin| {
            memmem::rfind(line, begin.as_bytes()).is_some_and(|at| {
                self.is_prefix(&line[..at]) && matches!(line::read(&line[at..]), Read::Redacted(_))
            })
        })
    }

    /// A line in which a carrier wrote control characters as escapes: tried once more with them undone.
    fn unescaped(&mut self, line: &[u8], number: LogNumber) -> bool {
        let Some(text) = self.envelope.and_then(|envelope| envelope.unescaped(line)) else { return false };
        let Read::Sealed(sealed) = line::read(&text) else { return false };
        self.wrapped = true;
        sealed.m.start() == 0 && self.sealed(&text, number, &sealed.seal, sealed.m).is_ok()
    }

    /// A line without a seal of a known log.
    fn unsealed(&mut self, kind: Kind) {
        // Nobody knows the hash of a line that is not all here.
        if !matches!(self.mode, Mode::Detail(..)) && !self.is_excepted(None) {
            self.out.unsealed += 1;
            self.bad(kind, None, None);
        }
    }

    /// A line whose seal does not hold. With P only an exception of one line means nothing: whole epochs are judged.
    pub(super) fn altered(&mut self, why: Why, number: LogNumber, at: Position) {
        let with_v = self.keys.log(number).secret.is_some();
        if !(with_v && matches!(self.mode, Mode::All) && self.is_excepted(Some((number, at)))) {
            self.bad(Kind::Altered(why), Some(number), Some(at));
        }
    }

    /// Is the line excepted, by all its bytes and by what its seal claims? Counts it then.
    fn is_excepted(&mut self, claim: Option<(LogNumber, Position)>) -> bool {
        // Nobody knows the hash of a line that is not all here.
        let number = if self.cut { None } else { self.keys.excepted(self.line, claim) };
        if let Some(number) = number {
            *self.out.excepted.entry(number).or_default() += 1;
        }
        number.is_some()
    }

    pub(super) fn wanted(&self, id: EpochId) -> bool {
        match self.mode {
            Mode::All => true,
            Mode::Canonical(epochs) | Mode::Detail(epochs, _) => epochs.contains(&id),
        }
    }

    /// Are lines of this epoch looked at in their RFC 8785 form?
    pub(super) fn canonical(&self, id: EpochId) -> bool {
        match self.mode {
            Mode::All => false,
            Mode::Canonical(_) => true,
            Mode::Detail(_, rewritten) => rewritten.contains(&id),
        }
    }

    /// Adds a leaf, or in detail mode notes the line itself.
    pub(super) fn add(&mut self, id: EpochId, index: u16, leaf: Digest) {
        let place = self.place;
        if matches!(self.mode, Mode::Detail(..)) {
            let seen = self.out.details.entry(id).or_default();
            note_seen(
                seen,
                Occurrence { index, leaf, file: place.file },
                Seen { count: 1, first: place, last: place, rewritten: u64::from(self.in_other_form) },
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
            self.met += usize::from(!self.has_met(id));
            self.epoch = std::mem::take(self.out.log(id.0).epoch(id.1, id.2));
            self.epoch_at = Some(id);
        }
        &mut self.epoch
    }

    /// Notes the position that a bad line claims. Of a flood of them, those of other epochs are forgotten.
    pub(super) fn claim(&mut self, id: EpochId, index: u16) {
        if self.has_met(id) {
            self.epoch(id).claim(index);
        } else if self.claimed < MOST_CLAIMED {
            self.claimed += 1;
            self.epoch(id).claim(index);
        }
    }

    fn has_met(&self, id: EpochId) -> bool {
        let met = |log: &Log| log.chains.get(&id.1).is_some_and(|chain| chain.epochs.contains_key(&id.2));
        self.epoch_at == Some(id) || self.out.logs.get(&id.0).is_some_and(met)
    }

    /// May a line be taken at its word, with P only?
    #[inline]
    pub(super) fn affords(&self, id: EpochId) -> bool {
        self.met < self.most_met || !matches!(self.mode, Mode::All) || self.has_met(id)
    }

    fn store_epoch(&mut self) {
        if let Some((log, chain, epoch)) = self.epoch_at.take() {
            self.epoch.lines.flush();
            *self.out.log(log).epoch(chain, epoch) = std::mem::take(&mut self.epoch);
        }
    }

    /// Is a line of an epoch that is not looked at in this pass? It is a neighbour of others all the same.
    pub(super) fn passed(&mut self, id: EpochId, at: Position) -> bool {
        let passed = !self.wanted(id);
        if passed {
            self.neighbour(id.0, at);
        }
        passed
    }

    /// Notes a line of a known log as the neighbour of bad lines.
    fn neighbour(&mut self, number: LogNumber, at: Position) {
        let here = Some((number, at));
        self.end_group(here);
        if self.waiting < self.out.events.len() {
            for event in &mut self.out.events[self.waiting..] {
                event.after = event.after.or(here);
            }
            self.waiting = self.out.events.len();
        }
        self.chunk.first = self.chunk.first.or(here);
        self.chunk.last = here;
    }

    /// Notes a line of a known log: order in its file, and the neighbours of bad lines.
    pub(super) fn seen_line(&mut self, number: LogNumber, at: Position) {
        self.neighbour(number, at);
        if let Mode::All = self.mode {
            let (wrapped, place) = (self.wrapped, self.place);
            let counts = &mut self.out.log(number).counts;
            counts.sealed += 1;
            if wrapped {
                counts.prefixed += 1;
                counts.first_prefixed = earlier(counts.first_prefixed, Some(place));
            }
        }
        self.in_order(number, at);
    }

    /// Notes a position for the order in its file, told where it stands behind a higher one.
    pub(super) fn in_order(&mut self, number: LogNumber, at: Position) {
        let edge = Edge { first: at, first_place: self.place, last: at };
        let edge = self.chunk.edges.entry(number).or_insert(edge);
        let last = std::mem::replace(&mut edge.last, at);
        if at < last && matches!(self.mode, Mode::All) {
            self.tell(Event { last: Some(last), ..self.event(Kind::Reordered, Some(number), Some(at)) });
        }
    }

    fn event(&self, kind: Kind, log: Option<LogNumber>, at: Option<Position>) -> Event {
        Event { before: self.chunk.last, ..Event::new(kind, log, self.place, at) }
    }

    /// Notes a line that is not as it should be, together with like ones right before it.
    pub(super) fn bad(&mut self, kind: Kind, log: Option<LogNumber>, at: Option<Position>) {
        let told = match self.mode {
            Mode::All => true,
            Mode::Canonical(_) => {
                // What was taken in the first look already was told there.
                matches!(kind, Kind::Altered(_) | Kind::Unsealed | Kind::Foreign(_))
                    || self.in_other_form && matches!(kind, Kind::BadStatement(_))
            }
            Mode::Detail(..) => false,
        };
        if !told {
            return;
        }
        if let Some(group) = &mut self.group
            && group.goes_on(kind, log, at)
            && u64::from(group.place.line) + group.count == u64::from(self.place.line)
        {
            group.count += 1;
            group.last = at;
            group.quote(self.line);
            return;
        }
        self.end_group(None);
        let mut group = self.event(kind, log, at);
        // What is only counted need not be looked at closer.
        if self.told.get(&kind.class()).is_none_or(|told| *told < MOST_LISTED) {
            group.quote(self.line);
            group.length = if self.cut { 0 } else { self.line.len() as u64 };
            group.replaced = memmem::find(self.line, "\u{fffd}".as_bytes()).is_some();
            let with_v = log.is_some_and(|log| self.keys.log(log).secret.is_some());
            let named_by_hash = match kind {
                Kind::Unsealed | Kind::Foreign(_) => true,
                Kind::Altered(_) => with_v,
                _ => false,
            };
            group.sha256 = (named_by_hash && !self.cut).then(|| sha256(&[self.line]));
        }
        self.group = Some(group);
    }

    fn end_group(&mut self, after: Option<(LogNumber, Position)>) {
        if let Some(group) = self.group.take() {
            self.tell(Event { after, ..group });
        }
    }

    fn tell(&mut self, event: Event) {
        let class = event.kind.class();
        let told = self.told.entry(class).or_default();
        if *told < MOST_LISTED {
            *told += 1;
            self.out.events.push(event);
        } else {
            *self.out.unlisted.entry((class, event.log)).or_default() += event.count;
        }
    }
}
