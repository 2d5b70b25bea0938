//! Whether a summary that was read is one that a scan can leave.
//!
//! With P alone nobody vouches for what is read, and the code after it counts on what scans leave: numbers of logs that
//! exist, places in chunks that exist, runs that do not overlap, sums that do not overflow.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Chain, Chunk, Epoch, EpochId, Event, Log, LogNumber, MOST_NARROWED, Neighbour, Record, Strange, Summary,
};
use crate::line::Position;
use crate::scan::Keys;
use crate::seal::epoch::Place;
use crate::seal::keys::VerificationKey;
use crate::seal::statement::Body;

/// Lines or bytes of one input, at most: 2^20 inputs of so many do not overflow a sum.
const MOST: u64 = 1 << 43;

impl Summary {
    /// Could a scan with some keys have left this, and would it look at the chains that it has?
    #[must_use]
    pub fn is_within(&self, keys: &Keys) -> bool {
        let Self { logs, chunks, events, unlisted, unsealed, excepted, kin: _, details } = self;
        let known = Known { keys, chunks };
        let reached = logs.iter().all(|(number, log)| {
            keys.logs().get(*number as usize).is_some_and(|keys| {
                let newest = log.chains.keys().next_back().copied().unwrap_or(0);
                keys.secret.as_ref().is_none_or(VerificationKey::is_narrowed) || newest <= keys.reach
            })
        });
        let counted = |count: &u64| *count <= MOST;
        reached
            && details.is_empty()
            && logs.iter().all(|(number, log)| log.is_sound(*number, &known))
            && chunks.values().all(|chunk| chunk.is_sound(&known))
            && events.iter().all(|event| event.is_sound(&known))
            && unlisted.iter().all(|((_, log), count)| known.log(*log) && counted(count))
            && counted(unsealed)
            && excepted.iter().all(|(number, count)| keys.has_excepted(*number) && counted(count))
    }
}

/// What a summary may name.
struct Known<'a> {
    keys: &'a Keys,
    chunks: &'a BTreeMap<(u32, u32), Chunk>,
}

impl Known<'_> {
    fn log(&self, log: Option<LogNumber>) -> bool {
        log.is_none_or(|number| (number as usize) < self.keys.logs().len())
    }

    fn near(&self, one: Neighbour) -> bool {
        self.log(one.map(|(log, _)| log)) && one.is_none_or(|(_, at)| is_position(at))
    }

    fn place(&self, place: &Place) -> bool {
        self.chunks.get(&(place.file, place.chunk)).is_some_and(|chunk| u64::from(place.line) <= chunk.lines)
    }
}

fn is_position(at: Position) -> bool {
    at.chain > 0
}

impl Strange {
    fn is_sound(&self) -> bool {
        self.unsealed <= MOST && self.foreign <= MOST && self.by_id.values().all(|count| *count <= MOST)
    }
}

impl Chunk {
    fn is_sound(&self, known: &Known<'_>) -> bool {
        let Self { lines, bytes, counted, strange, beginnings, edges, first, last } = self;
        let counts = [*lines, *bytes, *counted].iter().all(|count| *count <= MOST);
        let beginnings = beginnings
            .iter()
            .all(|(log, (place, before))| known.log(Some(*log)) && known.place(place) && before.is_sound());
        let edges = edges.iter().all(|(log, edge)| {
            known.log(Some(*log))
                && edge.before_first.is_sound()
                && edge.before_last.is_sound()
                && known.place(&edge.first_place)
                && known.place(&edge.last_place)
                && [edge.first, edge.last, edge.low].into_iter().all(is_position)
        });
        counts && strange.is_sound() && beginnings && edges && known.near(*first) && known.near(*last)
    }
}

impl Event {
    fn is_sound(&self, known: &Known<'_>) -> bool {
        (1..=MOST).contains(&self.count)
            && known.log(self.log)
            && known.place(&self.place)
            && self.first.is_some() == self.last.is_some()
            && [self.first, self.last].into_iter().flatten().all(is_position)
            && known.near(self.before)
            && known.near(self.after)
    }
}

impl Log {
    fn is_sound(&self, number: LogNumber, known: &Known<'_>) -> bool {
        let Self { chains, pending, counts, notices, successor, narrowed } = self;
        let first_prefixed = counts.first_prefixed.iter().all(|place| known.place(place));
        let counts = [counts.sealed, counts.prefixed, counts.redacted, counts.narrowed, counts.notices];
        let notices = notices.iter().all(|((at, _), said)| {
            is_position(*at) && (1..=MOST).contains(&said.count) && known.place(&said.place)
        });
        counts.iter().all(|count| *count <= MOST)
            && first_prefixed
            && notices
            && narrowed.len() <= MOST_NARROWED
            && successor.as_ref().is_none_or(|(at, _)| is_position(*at))
            && chains.iter().all(|(c, chain)| *c > 0 && chain.is_sound((number, *c), known))
            && pending.iter().all(|one| is_position(one.at) && known.place(&one.place))
    }
}

impl Chain {
    fn is_sound(&self, (log, c): (LogNumber, u32), known: &Known<'_>) -> bool {
        let distinct = self.roots.iter().collect::<BTreeSet<_>>().len() == self.roots.len();
        distinct && self.epochs.iter().all(|(e, epoch)| epoch.is_sound((log, c, *e), known))
    }
}

impl Epoch {
    fn is_sound(&self, (log, c, e): EpochId, known: &Known<'_>) -> bool {
        let here =
            |record: &Record| (record.at.chain, record.at.epoch) == (c, e) && known.place(&record.place);
        let opens = |record: &Record| here(record) && matches!(record.body, Body::Open { .. });
        let within = |at: Position| (at.chain, at.epoch) == (c, e);
        let unread = |event: &Event| {
            event.log == Some(log)
                && event.is_sound(known)
                && event.first.is_some_and(within)
                && event.last.is_some_and(within)
        };
        self.lines.is_sound(&|place| known.place(place))
            && self.checkpoints.iter().all(|record| here(record) && record.tree().is_some())
            && self.opens.iter().all(opens)
            && self.claimed.iter().all(|(start, end)| start < end && *end <= 1 << 16)
            && self.unread.as_deref().is_none_or(unread)
            && self.reserialized <= MOST
            && self.first_reserialized.iter().all(|place| known.place(place))
    }
}
