//! What was seen of a log: its chains, their epochs, and the statements in them.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::event::Event;
use crate::hash::Digest;
use crate::line::Position;
use crate::seal::epoch::{Lines, Place};
use crate::seal::notice::Notice;
use crate::seal::statement::{Body, Statement};

/// A statement that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its position.
    pub at: Position,
    /// `H(statement)`.
    pub hash: Digest,
    /// Claimed time, ms since 1970.
    pub time: u64,
    /// What it says.
    pub body: Body,
    /// Where it was read.
    pub place: Place,
    /// An open's proof of its prev: right, wrong, or `None` where the key cannot tell.
    pub proof: Option<bool>,
}

impl Record {
    /// n and R of a checkpoint.
    pub(crate) fn tree(&self) -> Option<(u16, Digest)> {
        match self.body {
            Body::Checkpoint { n, root, .. } => Some((n, root)),
            Body::Open { .. } | Body::Notice { .. } | Body::Head { .. } => None,
        }
    }
}

/// What a cert says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Roots {
    /// Root over the chain's epoch keys.
    pub epoch: Digest,
    /// Chain root of the next generation.
    pub next: Digest,
}

/// A control line that waits for the chain root of its generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Its statement.
    pub text: Vec<u8>,
    /// Its position.
    pub at: Position,
    /// Where it was read.
    pub place: Place,
    /// Its leaf as a control line, and as an entry.
    pub leaves: [Digest; 2],
}

/// What was seen of one epoch.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Epoch {
    /// Its lines but the checkpoint.
    pub lines: Lines,
    /// Its checkpoint; more than one record means that it was seen more than once.
    pub checkpoints: Vec<Record>,
    /// The `open` at its index 0.
    pub opens: Vec<Record>,
    /// Indices that bad lines claim: they are reported as bad, not once more as missing.
    pub claimed: Vec<(u32, u32)>,
    /// It has lines that may have an RFC 8785 form other than their bytes.
    pub json: bool,
    /// With P only: n of the checkpoint, beyond which nothing counts as present.
    #[serde(skip)]
    pub bound: Option<u32>,
    /// With P only: lines that may have an RFC 8785 form which R covers; else they are altered.
    pub unread: Option<Box<Event>>,
    /// Lines that matched in their RFC 8785 form only.
    pub reserialized: u64,
    /// Where the first of them stands.
    pub first_reserialized: Option<Place>,
    /// Lines that R does not cover were reported one by one.
    #[serde(skip)]
    pub picked: bool,
    /// Does the checkpoint's R match the lines? `None` where nobody knows.
    #[serde(skip)]
    pub covered: Option<bool>,
    /// So many of its first lines are what a signed head says.
    #[serde(skip)]
    pub shown: u32,
}

impl Epoch {
    /// Notes that a bad line claims an index.
    pub fn claim(&mut self, index: u16) {
        // A flood of forged claims must not grow without bound; beyond it a gap is reported as well.
        if self.claimed.len() > 4096 {
            return;
        }
        let index = u32::from(index);
        match self.claimed.last_mut() {
            Some((_, end)) if *end == index => *end += 1,
            Some((start, end)) if (*start..*end).contains(&index) => {}
            _ => self.claimed.push((index, index + 1)),
        }
    }

    /// Takes a claim back: a line that broke off says nothing of positions.
    pub fn unclaim(&mut self, index: u16) {
        let index = u32::from(index);
        let parts = |(start, end): (u32, u32)| [(start, end.min(index)), (start.max(index + 1), end)];
        self.claimed =
            self.claimed.iter().copied().flat_map(parts).filter(|(start, end)| start < end).collect();
    }

    /// The checkpoint, the first that was read.
    pub(crate) fn checkpoint(&self) -> Option<&Record> {
        self.checkpoints.first()
    }

    pub(super) fn merge(&mut self, other: Epoch) {
        self.lines.merge(other.lines);
        self.checkpoints.extend(other.checkpoints);
        self.opens.extend(other.opens);
        self.claimed.extend(other.claimed);
        self.json |= other.json;
        self.reserialized += other.reserialized;
        self.first_reserialized = earlier(self.first_reserialized, other.first_reserialized);
        if let Some(event) = other.unread {
            self.leave_unread(event);
        }
    }

    /// Notes a line that only its RFC 8785 form can still explain.
    pub(crate) fn leave_unread(&mut self, mut event: Box<Event>) {
        if let Some(mut other) = self.unread.take() {
            if other.place < event.place {
                std::mem::swap(&mut other, &mut event);
            }
            event.count += other.count;
            event.first = event.first.min(other.first);
            event.last = event.last.max(other.last);
        }
        self.unread = Some(event);
    }

    /// Notes a line that a carrier rewrote.
    pub(crate) fn note_reserialized(&mut self, place: Place) {
        self.reserialized += 1;
        self.first_reserialized = earlier(self.first_reserialized, Some(place));
    }
}

/// What was seen of one chain.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Chain {
    /// Its epochs.
    pub epochs: BTreeMap<u8, Box<Epoch>>,
    /// What its certs say; more than one means that they disagree.
    pub roots: Vec<Roots>,
}

/// With so many chains, those of which there is nothing but claims of bad lines are forgotten.
const MOST_CLAIMED: usize = 1 << 16;

impl Chain {
    /// Is nothing known of it but what bad lines claim?
    pub(super) fn is_claimed_only(&self) -> bool {
        let claimed = |e: &Epoch| {
            e.lines.is_empty() && e.checkpoints.is_empty() && e.opens.is_empty() && e.unread.is_none()
        };
        self.roots.is_empty() && self.epochs.values().all(|epoch| claimed(epoch))
    }

    /// Lines that matched in their RFC 8785 form only, and where the first of them stands.
    #[must_use]
    pub fn reserialized(&self) -> (u64, Option<Place>) {
        self.epochs.values().fold((0, None), |(count, first), epoch| {
            (count + epoch.reserialized, earlier(first, epoch.first_reserialized))
        })
    }

    pub(crate) fn note_roots(&mut self, roots: Roots) {
        if !self.roots.contains(&roots) {
            self.roots.push(roots);
        }
    }
}

/// Lines of a log, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Lines whose seal holds (with V), or fits (with P only).
    pub sealed: u64,
    /// Of these, lines that a carrier wrapped in something.
    pub prefixed: u64,
    /// Where the first of them stands.
    pub first_prefixed: Option<Place>,
    /// Redacted lines.
    pub redacted: u64,
    /// Lines of chains that the key does not cover.
    pub narrowed: u64,
    /// Notices that hold.
    pub notices: u64,
}

/// A notice that holds, and where and how often it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// What it says.
    pub notice: Notice,
    /// Where it stands first.
    pub place: Place,
    /// How often it is here.
    pub count: u64,
}

/// Chains of a log that are noted as not covered.
pub const MOST_NARROWED: usize = 4096;

/// Notices of a log that are listed, the first by their positions; the others are counted.
const MOST_NOTICES: usize = 1000;

/// What was seen of one log.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Log {
    /// Its chains. Summaries share them until one of them changes; what was stored is shared with nothing.
    pub chains: BTreeMap<u32, Arc<Chain>>,
    /// Statements that wait for their chain root.
    pub pending: Vec<Pending>,
    /// Its lines, counted.
    pub counts: Counts,
    /// The first of its notices, by position and hash.
    pub notices: BTreeMap<(Position, Digest), Said>,
    /// Chains that its lines claim and the key does not cover, as far as they are noted.
    pub narrowed: BTreeSet<u32>,
    /// The last notice that names a log which follows.
    pub successor: Option<(Position, Notice)>,
}

impl Log {
    /// Notes a notice that holds.
    pub(crate) fn note_notice(&mut self, statement: &Statement<'_>, place: Place) {
        if let Some(notice) = statement.notice() {
            self.counts.notices += 1;
            if notice.successor().is_some() {
                self.take_successor(Some((statement.position(), notice.clone())));
            }
            self.list((statement.position(), statement.hash()), Said { notice, place, count: 1 });
        }
    }

    /// Keeps the last notice that names a successor.
    fn take_successor(&mut self, said: Option<(Position, Notice)>) {
        let order = |said: &Option<(Position, Notice)>| said.as_ref().map(|(at, n)| (*at, n.text.clone()));
        if order(&said) > order(&self.successor) {
            self.successor = said;
        }
    }

    /// Lists a notice, as long as it is among the first: whatever is merged when, they are the same.
    fn list(&mut self, id: (Position, Digest), said: Said) {
        self.notices
            .entry(id)
            .and_modify(|old| {
                old.count += said.count;
                old.place = old.place.min(said.place);
            })
            .or_insert(said);
        if self.notices.len() > MOST_NOTICES {
            self.notices.pop_last();
        }
    }

    /// Notes chains that the key does not cover: as many as show that there are some, and which.
    pub(super) fn note_narrowed(&mut self, chains: impl IntoIterator<Item = u32>) {
        let room = MOST_NARROWED.saturating_sub(self.narrowed.len());
        self.narrowed.extend(chains.into_iter().take(room));
    }

    /// The chain with a number, made if it is new, to be changed.
    pub fn chain(&mut self, chain: u32) -> &mut Chain {
        Arc::make_mut(self.chains.entry(chain).or_default())
    }

    /// The epoch at a position, made if it is new, to be changed.
    pub fn epoch(&mut self, chain: u32, epoch: u8) -> &mut Epoch {
        self.chain(chain).epochs.entry(epoch).or_default()
    }

    pub(super) fn merge(&mut self, other: Log) {
        for (number, chain) in other.chains {
            // Forged lines can claim any number of chains; beyond so many, a gap there is reported as well.
            if self.chains.len() >= MOST_CLAIMED
                && !self.chains.contains_key(&number)
                && chain.is_claimed_only()
            {
                continue;
            }
            let Entry::Occupied(mut mine) = self.chains.entry(number) else {
                self.chains.insert(number, chain);
                continue;
            };
            let (mine, chain) = (Arc::make_mut(mine.get_mut()), Arc::unwrap_or_clone(chain));
            chain.roots.into_iter().for_each(|r| mine.note_roots(r));
            for (e, epoch) in chain.epochs {
                mine.epochs.entry(e).or_default().merge(*epoch);
            }
        }
        self.pending.extend(other.pending);
        self.counts.sealed += other.counts.sealed;
        self.counts.prefixed += other.counts.prefixed;
        self.counts.first_prefixed = earlier(self.counts.first_prefixed, other.counts.first_prefixed);
        self.counts.redacted += other.counts.redacted;
        self.counts.narrowed += other.counts.narrowed;
        self.counts.notices += other.counts.notices;
        self.take_successor(other.successor);
        self.note_narrowed(other.narrowed);
        other.notices.into_iter().for_each(|(id, said)| self.list(id, said));
    }
}

/// The earlier of two places, if any.
pub(crate) fn earlier(one: Option<Place>, other: Option<Place>) -> Option<Place> {
    one.into_iter().chain(other).min()
}
