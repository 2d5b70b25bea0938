//! What a scan leaves behind, and how two of them become one (SPEC section 7).
//!
//! Merging is associative and does not mind the order, so any number of threads or machines may scan
//! any pieces. A summary grows with findings, gaps and epochs, not with lines.

use std::collections::BTreeMap;

use crate::epoch::{Lines, Place};
use crate::hash::Digest;
use crate::line::{LogId, Position};
use crate::statement::Body;

/// A log's number in [`crate::scan::Keys`].
pub type LogNumber = u32;

/// One epoch of one chain of one log.
pub type EpochId = (LogNumber, u32, u8);

/// What is wrong with a line, or worth a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// No well-formed seal anywhere.
    Unsealed,
    /// A seal of a log whose key is not at hand.
    Foreign(LogId),
    /// A seal that its bytes do not match.
    Altered(Why),
    /// Control by its tag, but no statement that holds.
    BadStatement(Why),
    /// A statement of a generation whose chain root is not known.
    OlderOpenLacking,
    /// A redacted line whose r holds, or cannot be checked.
    Redacted,
    /// A redacted line whose r is wrong.
    RedactedFalse,
    /// A line that stands behind one with a higher position.
    Reordered,
    /// A line that a carrier wrote anew.
    Reserialized,
    /// A line of a chain that the key does not cover.
    Narrowed,
}

/// The reason behind a [`Kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The tag does not match the text.
    Tag,
    /// Bytes stand before what was sealed.
    Prefix,
    /// Something stands behind the seal, or the seal does not fit the line.
    Misfit,
    /// The chain number is beyond what a verifier walks to.
    Reach,
    /// Forged lines before it cost too much.
    Effort,
    /// The control line holds no statement, or one of another log, chain or position.
    Stranger,
    /// A path does not lead to its root.
    Path,
    /// The chain key did not sign the cert.
    Cert,
    /// The statement's signature is wrong.
    Signature,
    /// The line at epoch 0, index 0 is no `open`.
    NoOpen,
}

/// The last line of a known log before a bad one, or the first one behind it.
pub type Neighbour = Option<(LogNumber, Position)>;

/// Bad lines that stood together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What is wrong.
    pub kind: Kind,
    /// Whose lines; `None` where no known log is concerned.
    pub log: Option<LogNumber>,
    /// Where the first of them stands.
    pub place: Place,
    /// Lines in the group.
    pub count: u64,
    /// Position that the first of them claims; for a reordered line its own.
    pub first: Option<Position>,
    /// Position that the last of them claims; for a reordered line that of the line before it.
    pub last: Option<Position>,
    /// The known line before the group, if it is in the same chunk.
    pub before: Neighbour,
    /// The known line behind it, if it is in the same chunk.
    pub after: Neighbour,
}

/// A statement that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// What a cert says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roots {
    /// Root over the chain's epoch keys.
    pub epoch: Digest,
    /// Chain root of the next generation.
    pub next: Digest,
}

/// A control line that waits for the chain root of its generation.
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, Default)]
pub struct Epoch {
    /// Its lines but the checkpoint.
    pub lines: Lines,
    /// Its checkpoint; more than one record means that it was seen more than once.
    pub checkpoints: Vec<Record>,
    /// The `open` at its index 0.
    pub opens: Vec<Record>,
    /// Indices that bad lines claim: they are told as bad, not once more as missing.
    pub claimed: Vec<(u32, u32)>,
    /// It has lines that may have an RFC 8785 form other than their bytes.
    pub json: bool,
    /// With P only: n of the checkpoint, beyond which nothing counts as present.
    pub bound: Option<u32>,
    /// Lines that R does not cover were told one by one.
    pub picked: bool,
    /// Does the checkpoint's R match the lines? `None` where that cannot be told.
    pub covered: Option<bool>,
}

impl Epoch {
    /// Notes that a bad line claims an index.
    pub fn claim(&mut self, index: u16) {
        // A flood of forged claims must not grow without bound; beyond it a gap is told as well.
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

    fn merge(&mut self, other: Epoch) {
        self.lines.merge(other.lines);
        self.checkpoints.extend(other.checkpoints);
        self.opens.extend(other.opens);
        self.claimed.extend(other.claimed);
        self.json |= other.json;
    }
}

/// What was seen of one chain.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    /// Its epochs.
    pub epochs: BTreeMap<u8, Epoch>,
    /// What its certs say; more than one means that they disagree.
    pub roots: Vec<Roots>,
}

impl Chain {
    pub(crate) fn note_roots(&mut self, roots: Roots) {
        if !self.roots.contains(&roots) {
            self.roots.push(roots);
        }
    }
}

/// Lines of a log, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines whose seal holds (with V), or fits (with P only).
    pub sealed: u64,
    /// Of these, matched in the RFC 8785 form only.
    pub reserialized: u64,
    /// Redacted lines.
    pub redacted: u64,
    /// Lines of chains that the key does not cover.
    pub narrowed: u64,
}

/// What was seen of one log.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// Its chains.
    pub chains: BTreeMap<u32, Chain>,
    /// Statements that wait for their chain root.
    pub pending: Vec<Pending>,
    /// Its lines, counted.
    pub counts: Counts,
}

impl Log {
    /// The epoch at a position, made if it is new.
    pub fn epoch(&mut self, chain: u32, epoch: u8) -> &mut Epoch {
        self.chains.entry(chain).or_default().epochs.entry(epoch).or_default()
    }

    fn merge(&mut self, other: Log) {
        for (number, chain) in other.chains {
            let mine = self.chains.entry(number).or_default();
            chain.roots.into_iter().for_each(|r| mine.note_roots(r));
            for (e, epoch) in chain.epochs {
                mine.epochs.entry(e).or_default().merge(epoch);
            }
        }
        self.pending.extend(other.pending);
        self.counts.sealed += other.counts.sealed;
        self.counts.reserialized += other.counts.reserialized;
        self.counts.redacted += other.counts.redacted;
        self.counts.narrowed += other.counts.narrowed;
    }
}

/// The first and last line of a log in a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Position of the first.
    pub first: Position,
    /// Where it stands.
    pub first_place: Place,
    /// Position of the last.
    pub last: Position,
}

/// One chunk of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Lines in it, for line numbers.
    pub lines: u64,
    /// Bytes in it.
    pub bytes: u64,
    /// Lines that are not blank.
    pub counted: u64,
    /// First and last line of each log.
    pub edges: BTreeMap<LogNumber, Edge>,
    /// First and last line of any known log.
    pub first: Neighbour,
    /// The last one.
    pub last: Neighbour,
}

/// One line of an epoch that is looked at line by line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occurrence {
    /// Its index.
    pub index: u16,
    /// Its leaf.
    pub leaf: Digest,
    /// Its file.
    pub file: u32,
}

/// How often an occurrence was seen, and where first and second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Times.
    pub count: u64,
    /// First place.
    pub first: Place,
    /// Last place.
    pub last: Place,
}

/// What a scan of some bytes found, or of many.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// By log.
    pub logs: BTreeMap<LogNumber, Log>,
    /// By file and chunk.
    pub chunks: BTreeMap<(u32, u32), Chunk>,
    /// Bad lines.
    pub events: Vec<Event>,
    /// Bad lines beyond those told one by one.
    pub untold: BTreeMap<Kind, u64>,
    /// Epochs looked at line by line.
    pub details: BTreeMap<EpochId, BTreeMap<Occurrence, Seen>>,
}

impl Summary {
    /// The log with a number, made if it is new.
    pub fn log(&mut self, number: LogNumber) -> &mut Log {
        self.logs.entry(number).or_default()
    }

    /// Takes in another summary.
    pub fn merge(&mut self, other: Summary) {
        for (number, log) in other.logs {
            self.log(number).merge(log);
        }
        self.chunks.extend(other.chunks);
        self.events.extend(other.events);
        for (kind, count) in other.untold {
            *self.untold.entry(kind).or_default() += count;
        }
        for (id, seen) in other.details {
            let mine = self.details.entry(id).or_default();
            for (occurrence, new) in seen {
                note_seen(mine, occurrence, new);
            }
        }
    }
}

/// Adds an occurrence to those of its epoch.
pub(crate) fn note_seen(seen: &mut BTreeMap<Occurrence, Seen>, occurrence: Occurrence, new: Seen) {
    seen.entry(occurrence)
        .and_modify(|old| {
            old.count += new.count;
            old.first = old.first.min(new.first);
            old.last = old.last.max(new.last);
        })
        .or_insert(new);
}
