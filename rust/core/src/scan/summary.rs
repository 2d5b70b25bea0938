//! What a scan leaves behind, and how two of them become one (SPEC section 7).
//!
//! Merging is associative and does not mind the order, so any number of threads or machines may scan
//! any pieces. A summary grows with findings, gaps and epochs, not with lines.

mod covered;
mod kin;
mod remembered;
mod sound;
mod stored;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::chains::{Chain, Counts, Epoch, Log, MOST_NARROWED, Pending, Record, Roots, Said};
pub use super::event::{EpochId, Event, LogNumber, Neighbour};
pub use super::kind::{Kind, Why};
use crate::hash::Digest;
use crate::line::{LogId, Position};
use crate::seal::epoch::Place;
pub use kin::Kin;
pub(crate) use kin::{Claims, MOST_LOGS};

/// The first and last line of a log in a chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// Position of the first.
    pub first: Position,
    /// Where it stands.
    pub first_place: Place,
    /// Lines of no known log before it.
    pub before_first: Strange,
    /// Position of the last.
    pub last: Position,
    /// Where it stands.
    pub last_place: Place,
    /// Lines of no known log before it.
    pub before_last: Strange,
    /// The lowest.
    pub low: Position,
}

impl Edge {
    /// One line, and what stands before it.
    pub(super) fn of(at: Position, place: Place, before: &Strange) -> Self {
        Self {
            first: at,
            first_place: place,
            before_first: before.clone(),
            last: at,
            last_place: place,
            before_last: before.clone(),
            low: at,
        }
    }
}

/// Lines that are of no known log, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strange {
    /// Those without a seal.
    pub unsealed: u64,
    /// Those of logs whose key is not at hand.
    pub foreign: u64,
    /// The same by log id, for the first few of them: a flood of ids must cost no memory.
    pub by_id: BTreeMap<LogId, u64>,
}

/// Log ids whose lines are counted by themselves.
const MOST_IDS: usize = 16;

impl Strange {
    pub(super) fn count(&mut self, kind: Kind) {
        let Kind::Foreign(id) = kind else {
            self.unsealed += 1;
            return;
        };
        self.foreign += 1;
        if self.by_id.len() < MOST_IDS || self.by_id.contains_key(&id) {
            *self.by_id.entry(id).or_default() += 1;
        }
    }
}

/// One chunk of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Lines in it, for line numbers.
    pub lines: u64,
    /// Bytes in it.
    pub bytes: u64,
    /// Lines that are not blank.
    pub counted: u64,
    /// Of these, lines that are of no known log.
    pub strange: Strange,
    /// Where the first opening of a log's first chain stands, and such lines before it.
    pub beginnings: BTreeMap<LogNumber, (Place, Strange)>,
    /// First and last line of each log.
    pub edges: BTreeMap<LogNumber, Edge>,
    /// First and last line of any known log.
    pub first: Neighbour,
    /// The last one.
    pub last: Neighbour,
}

/// One line of an epoch that is looked at line by line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Occurrence {
    /// Its index.
    pub index: u16,
    /// Its leaf.
    pub leaf: Digest,
    /// Its file.
    pub file: u32,
}

/// How often an occurrence was seen, and where first and second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Times.
    pub count: u64,
    /// First place.
    pub first: Place,
    /// Last place.
    pub last: Place,
    /// Times that it was only its RFC 8785 form.
    pub rewritten: u64,
}

/// What a scan of some bytes found, or of many.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Summary {
    /// By log.
    pub(crate) logs: BTreeMap<LogNumber, Log>,
    /// By file and chunk.
    pub(crate) chunks: BTreeMap<(u32, u32), Chunk>,
    /// Bad lines.
    pub(crate) events: Vec<Event>,
    /// Bad lines beyond those listed, by class and log.
    pub(crate) unlisted: BTreeMap<(Kind, Option<LogNumber>), u64>,
    /// What logs whose key is not at hand say of each other.
    pub(crate) kin: Kin,
    /// Lines without a seal, all in all.
    pub(crate) unsealed: u64,
    /// How often each excepted line was seen.
    pub(crate) excepted: BTreeMap<u32, u64>,
    /// Lines of epochs that are looked at line by line.
    pub(crate) details: BTreeMap<EpochId, BTreeMap<Occurrence, Seen>>,
}

impl Summary {
    /// The log with a number, made if it is new.
    pub fn log(&mut self, number: LogNumber) -> &mut Log {
        self.logs.entry(number).or_default()
    }

    /// Every epoch of every log.
    pub(crate) fn epochs(&self) -> impl Iterator<Item = (EpochId, &Epoch)> {
        self.logs.iter().flat_map(|(number, log)| {
            log.chains.iter().flat_map(move |(c, chain)| {
                chain.epochs.iter().map(move |(e, epoch)| ((*number, *c, *e), &**epoch))
            })
        })
    }

    /// Takes in another summary.
    pub fn merge(&mut self, other: Summary) {
        for (number, log) in other.logs {
            self.log(number).merge(log);
        }
        self.chunks.extend(other.chunks);
        for (class, count) in other.unlisted {
            *self.unlisted.entry(class).or_default() += count;
        }
        self.kin.merge(other.kin);
        self.unsealed += other.unsealed;
        for (number, count) in other.excepted {
            *self.excepted.entry(number).or_default() += count;
        }
        self.events.extend(other.events);
        if self.events.len() > 4 * MOST_LISTED {
            self.count_unlisted();
        }
        for (id, seen) in other.details {
            let mine = self.details.entry(id).or_default();
            for (occurrence, new) in seen {
                note_seen(mine, occurrence, new);
            }
        }
    }
}

/// Groups of bad lines of one class that are listed, the first in the input; the others are counted.
///
/// So a flood of them costs no memory, and what is reported does not depend on how the input was cut.
pub const MOST_LISTED: usize = 1000;

impl Summary {
    /// Sorts the events, and counts those that are too many.
    pub(crate) fn count_unlisted(&mut self) {
        self.events.sort_by_key(|event| (event.place, event.kind, event.log, event.first));
        let mut listed: BTreeMap<Kind, usize> = BTreeMap::new();
        for event in std::mem::take(&mut self.events) {
            let listed = listed.entry(event.kind.class()).or_default();
            *listed += 1;
            if *listed <= MOST_LISTED {
                self.events.push(event);
            } else {
                *self.unlisted.entry((event.kind.class(), event.log)).or_default() += event.count;
            }
        }
    }
}

/// Adds an occurrence to those of its epoch.
pub(crate) fn note_seen(seen: &mut BTreeMap<Occurrence, Seen>, occurrence: Occurrence, new: Seen) {
    seen.entry(occurrence)
        .and_modify(|old| {
            old.count += new.count;
            old.rewritten += new.rewritten;
            old.first = old.first.min(new.first);
            old.last = old.last.max(new.last);
        })
        .or_insert(new);
}
