//! What is found is collected: places, neighbours, bad lines, epochs.

use std::collections::BTreeMap;

use memchr::memmem;

use super::chains::earlier;
use super::entry_keys::KeyCache;
use super::input::Mode;
use super::keys::Keys;
use super::texts::Texts;
use crate::hash::{Digest, sha256};
use crate::line::Position;
use crate::line::envelope::{Envelope, Origin};
use crate::scan::summary::{
    Chunk, Edge, Epoch, EpochId, Event, Kind, Log, LogNumber, MOST_LISTED, Occurrence, Seen, Summary, Why,
    note_seen,
};
use crate::seal::epoch::Place;
use crate::seal::statement::CertCache;

/// Epochs of a chunk that bad lines may claim before a good line of them comes.
const MOST_CLAIMED: usize = 4096;

/// Epochs whose lines are taken at their word, with P only; and one more for so many bytes.
///
/// No writer makes more in its chunk: each epoch ends with a checkpoint, which is longer.
const MOST_MET: usize = 256;
const BYTES_FOR_ONE: usize = 512;

pub(super) struct Scanner<'k> {
    pub(super) keys: &'k Keys,
    pub(super) mode: &'k Mode,
    pub(super) out: Summary,
    pub(super) place: Place,
    pub(super) cache: KeyCache,
    pub(super) certs: CertCache,
    /// The line that is judged.
    pub(super) line: &'k [u8],
    /// Only its beginning is here.
    pub(super) cut: bool,
    /// It was wrapped in something by a carrier.
    pub(super) wrapped: bool,
    /// It is taken in its RFC 8785 form, which is not what its bytes are.
    pub(super) in_other_form: bool,
    pub(super) origins: &'k [Origin],
    pub(super) envelope: Option<&'k Envelope>,
    pub(super) begin: u64,
    pub(super) chunk: Chunk,
    /// Group of bad lines that goes on as long as such lines follow.
    pub(super) group: Option<Event>,
    pub(super) listed: BTreeMap<Kind, usize>,
    /// From here on, events wait for the known line after them.
    pub(super) waiting: usize,
    pub(super) epoch_at: Option<EpochId>,
    pub(super) epoch: Epoch,
    /// Epochs that a bad line claimed first.
    pub(super) claimed: usize,
    /// Epochs that were met, and how many may be.
    pub(super) met: usize,
    pub(super) most_met: usize,
    /// Takes the texts of lines, where those are asked for.
    pub(super) texts: Option<Texts<'k>>,
}

impl<'k> Scanner<'k> {
    pub(super) fn new(keys: &'k Keys, mode: &'k Mode, bytes: usize) -> Self {
        Self {
            keys,
            mode,
            out: Summary::default(),
            place: Place { file: 0, chunk: 0, line: 0, offset: 0 },
            cache: KeyCache::new(bytes),
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
            listed: BTreeMap::new(),
            waiting: 0,
            epoch_at: None,
            epoch: Epoch::default(),
            claimed: 0,
            met: 0,
            most_met: MOST_MET + bytes / BYTES_FOR_ONE,
            texts: Texts::new(mode),
        }
    }

    /// Is what stands before a line nothing, or what the caller said that a carrier puts there?
    #[inline]
    pub(super) fn is_prefix(&self, bytes: &[u8]) -> bool {
        bytes.is_empty() || self.envelope.is_some_and(|envelope| envelope.is_prefix(bytes))
    }

    /// Was the line taken out of an envelope?
    #[inline]
    pub(super) fn out_of_envelope(&self) -> bool {
        self.origins.first().is_some_and(|origin| origin.wrapped)
    }

    /// A line without a seal of a known log.
    pub(super) fn unsealed(&mut self, kind: Kind) {
        // Nobody knows the hash of a line that is not all here.
        if !matches!(self.mode, Mode::Detail(..)) && !self.is_excepted(None) {
            self.out.unsealed += 1;
            self.chunk.strange.count(kind);
            if let (Kind::Foreign(id), Mode::All) = (kind, self.mode) {
                self.out.kin.note(id, self.line);
            }
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
    pub(super) fn is_excepted(&mut self, claim: Option<(LogNumber, Position)>) -> bool {
        // Nobody knows the hash of a line that is not all here.
        let number = if self.cut { None } else { self.keys.excepted(self.line, claim) };
        if let Some(number) = number {
            *self.out.excepted.entry(number).or_default() += 1;
        }
        number.is_some()
    }

    pub(super) fn wanted(&self, id: EpochId) -> bool {
        match self.mode {
            Mode::All | Mode::Texts { .. } => true,
            Mode::Canonical(epochs) | Mode::Detail(epochs, _) => epochs.contains(&id),
        }
    }

    /// Are lines of this epoch looked at in their RFC 8785 form?
    pub(super) fn canonical(&self, id: EpochId) -> bool {
        match self.mode {
            Mode::All => false,
            Mode::Canonical(_) => true,
            Mode::Detail(_, rewritten) => rewritten.contains(&id),
            Mode::Texts { holding, .. } => holding.rewritten.contains(&id),
        }
    }

    /// Adds a leaf, or in detail mode notes the line itself.
    pub(super) fn add(&mut self, id: EpochId, index: u16, leaf: Digest) {
        let place = self.place;
        if self.texts.is_some() {
            // What these lines are is known.
        } else if matches!(self.mode, Mode::Detail(..)) {
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

    pub(super) fn has_met(&self, id: EpochId) -> bool {
        let met = |log: &Log| log.chains.get(&id.1).is_some_and(|chain| chain.epochs.contains_key(&id.2));
        self.epoch_at == Some(id) || self.out.logs.get(&id.0).is_some_and(met)
    }

    /// May a line be taken at its word, with P only?
    #[inline]
    pub(super) fn affords(&self, id: EpochId) -> bool {
        self.met < self.most_met || !matches!(self.mode, Mode::All) || self.has_met(id)
    }

    pub(super) fn store_epoch(&mut self) {
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
    pub(super) fn neighbour(&mut self, number: LogNumber, at: Position) {
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

    /// Notes a position for the order in its file, reported where it stands after a higher one.
    pub(super) fn in_order(&mut self, number: LogNumber, at: Position) {
        let Chunk { edges, strange, .. } = &mut self.chunk;
        let edge = edges.entry(number).or_insert_with(|| Edge::of(at, self.place, strange));
        let last = std::mem::replace(&mut edge.last, at);
        edge.last_place = self.place;
        if edge.before_last.foreign != strange.foreign {
            edge.before_last.clone_from(strange);
        }
        edge.low = edge.low.min(at);
        if at < last && matches!(self.mode, Mode::All) {
            self.report(Event { last: Some(last), ..self.event(Kind::Reordered, Some(number), Some(at)) });
        }
    }

    pub(super) fn event(&self, kind: Kind, log: Option<LogNumber>, at: Option<Position>) -> Event {
        Event { before: self.chunk.last, ..Event::new(kind, log, self.place, at) }
    }

    /// Notes a line that is not as it should be, together with like ones right before it.
    pub(super) fn bad(&mut self, kind: Kind, log: Option<LogNumber>, at: Option<Position>) {
        let reported = match self.mode {
            Mode::All => true,
            Mode::Canonical(_) => {
                // What was taken in the first look was reported there already.
                matches!(kind, Kind::Altered(_) | Kind::Unsealed | Kind::Foreign(_))
                    || self.in_other_form && matches!(kind, Kind::BadStatement(_))
            }
            Mode::Detail(..) | Mode::Texts { .. } => false,
        };
        if !reported {
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
        if self.listed.get(&kind.class()).is_none_or(|listed| *listed < MOST_LISTED) {
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

    pub(super) fn end_group(&mut self, after: Option<(LogNumber, Position)>) {
        if let Some(group) = self.group.take() {
            self.report(Event { after, ..group });
        }
    }

    pub(super) fn report(&mut self, event: Event) {
        let class = event.kind.class();
        let listed = self.listed.entry(class).or_default();
        if *listed < MOST_LISTED {
            *listed += 1;
            self.out.events.push(event);
        } else {
            *self.out.unlisted.entry((class, event.log)).or_default() += event.count;
        }
    }
}
