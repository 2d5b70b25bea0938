//! What a scan leaves behind, and how two of them become one (SPEC section 7).
//!
//! Merging is associative and does not mind the order, so any number of threads or machines may scan
//! any pieces. A summary grows with findings, gaps and epochs, not with lines.

mod stored;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::hash::Digest;
use crate::line::{LogId, Position, trim};
use crate::seal::epoch::{Lines, Place};
use crate::seal::statement::Body;

/// A log's number in [`crate::scan::Keys`].
pub type LogNumber = u32;

/// One epoch of one chain of one log.
pub type EpochId = (LogNumber, u32, u8);

/// What is wrong with a line, or worth a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
}

impl Kind {
    /// One of each kind, whatever stands in it.
    pub const ALL: [Self; 8] = [
        Self::Unsealed,
        Self::Foreign(LogId::NONE),
        Self::Altered(Why::Tag),
        Self::BadStatement(Why::Stranger),
        Self::OlderOpenLacking,
        Self::Redacted,
        Self::RedactedFalse,
        Self::Reordered,
    ];

    /// The name of the kind.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unsealed => "unsealed",
            Self::Foreign(_) => "foreign",
            Self::Altered(_) => "altered",
            Self::BadStatement(_) => "bad statement",
            Self::OlderOpenLacking => "older open lacking",
            Self::Redacted => "redacted",
            Self::RedactedFalse => "redacted false",
            Self::Reordered => "reordered",
        }
    }

    /// The reason, if the kind has one.
    #[must_use]
    pub fn reason(self) -> Option<Why> {
        match self {
            Self::Altered(why) | Self::BadStatement(why) => Some(why),
            _ => None,
        }
    }

    /// The kind of a group: lines of any wrong length belong together.
    fn grouped(self) -> Self {
        match self {
            Self::Altered(Why::Length(_)) => Self::Altered(Why::Length(0)),
            other => other,
        }
    }

    /// The kind without what an attacker has the choice of, so that there are few of them.
    #[must_use]
    pub fn class(self) -> Self {
        match self {
            Self::Foreign(_) => Self::Foreign(LogId::NONE),
            Self::Altered(_) => Self::Altered(Why::Tag),
            Self::BadStatement(_) => Self::BadStatement(Why::Stranger),
            other => other,
        }
    }
}

/// The reason behind a [`Kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Why {
    /// The tag does not match the text.
    Tag,
    /// Bytes stand before what was sealed, which matches its tag.
    Prefix,
    /// The line is by so many bytes longer than its seal says.
    Length(i64),
    /// Something stands behind the seal, or the seal does not fit the line.
    Misfit,
    /// With P only: JSON that is not as it was sealed, and neither is its RFC 8785 form.
    Rewritten,
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

impl Why {
    /// Each reason, whatever stands in it.
    pub const ALL: [Self; 12] = [
        Self::Tag,
        Self::Prefix,
        Self::Length(0),
        Self::Misfit,
        Self::Rewritten,
        Self::Reach,
        Self::Effort,
        Self::Stranger,
        Self::Path,
        Self::Cert,
        Self::Signature,
        Self::NoOpen,
    ];

    /// The name of the reason.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Prefix => "prefix",
            Self::Length(_) => "length",
            Self::Misfit => "misfit",
            Self::Rewritten => "anew",
            Self::Reach => "reach",
            Self::Effort => "effort",
            Self::Stranger => "stranger",
            Self::Path => "path",
            Self::Cert => "cert",
            Self::Signature => "signature",
            Self::NoOpen => "no open",
        }
    }
}

/// The last line of a known log before a bad one, or the first one behind it.
pub type Neighbour = Option<(LogNumber, Position)>;

/// Bad lines that stood together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Beginnings of its lines, of the first few; none where the lines themselves were not at hand.
    pub texts: Vec<Box<[u8]>>,
    /// Bytes of the first line.
    pub length: u64,
    /// The first line holds U+FFFD: a carrier may have replaced bytes that were no UTF-8.
    pub replaced: bool,
    /// SHA-256 of the first line, if it has no seal of a known log.
    pub sha256: Option<Digest>,
}

/// Lines of a group whose beginnings are kept, and how much of each; of what may be an opening, all.
const TEXTS: usize = 8;
const TEXT: usize = 160;
const OPENING: usize = 1024;

impl Event {
    /// An event about one line, or about lines that are not at hand.
    #[must_use]
    pub fn new(kind: Kind, log: Option<LogNumber>, place: Place, at: Option<Position>) -> Self {
        Self {
            kind,
            log,
            place,
            count: 1,
            first: at,
            last: at,
            before: None,
            after: None,
            texts: Vec::new(),
            length: 0,
            replaced: false,
            sha256: None,
        }
    }

    /// Keeps the beginning of a line, if there is room; without the zeros at its end, which a power loss leaves.
    pub fn quote(&mut self, line: &[u8]) {
        let mut text = line;
        if trim(text).ends_with(b"\0") {
            text = &text[..text.iter().rposition(|byte| !b"\0 \t\r".contains(byte)).map_or(0, |at| at + 1)];
        }
        let opening =
            text.starts_with(b"tallystick/v1 open ") || text.starts_with(b"{\"tallystick\":\"tally");
        self.keep(&text[..text.len().min(if opening { OPENING } else { TEXT })]);
    }

    /// Takes in the lines of another event, which go on with this group.
    pub(crate) fn join(&mut self, next: Event) {
        self.count += next.count;
        self.last = next.last;
        self.after = next.after;
        next.texts.iter().for_each(|text| self.keep(text));
    }

    fn keep(&mut self, text: &[u8]) {
        if self.texts.len() < TEXTS {
            self.texts.push(text.into());
        }
    }

    /// Do the lines of another event, which come right behind this one's, belong to the same group?
    #[must_use]
    pub fn goes_on(&self, kind: Kind, log: Option<LogNumber>, at: Option<Position>) -> bool {
        // A group stays within one epoch, so that it can be judged with it.
        let epoch = |at: Option<Position>| at.map(|p| (p.chain, p.epoch));
        (self.kind.grouped(), self.log, epoch(self.last)) == (kind.grouped(), log, epoch(at))
            && !matches!(kind, Kind::Redacted | Kind::Reordered)
    }
}

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
            Body::Open { .. } => None,
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
    /// Indices that bad lines claim: they are told as bad, not once more as missing.
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
    /// Lines that R does not cover were told one by one.
    #[serde(skip)]
    pub picked: bool,
    /// Does the checkpoint's R match the lines? `None` where that cannot be told.
    #[serde(skip)]
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

    /// The checkpoint, the first that was read.
    pub(crate) fn checkpoint(&self) -> Option<&Record> {
        self.checkpoints.first()
    }

    fn merge(&mut self, other: Epoch) {
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

    /// Notes a line that a carrier wrote anew.
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
    fn is_claimed_only(&self) -> bool {
        let claimed = |e: &Epoch| {
            e.lines.is_empty() && e.checkpoints.is_empty() && e.opens.is_empty() && e.unread.is_none()
        };
        self.roots.is_empty() && self.epochs.values().all(|epoch| claimed(epoch))
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
}

/// What was seen of one log.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
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

    /// Lines that matched in their RFC 8785 form only, and where the first of them stands.
    #[must_use]
    pub fn reserialized(&self) -> (u64, Option<Place>) {
        let epochs = self.chains.values().flat_map(|chain| chain.epochs.values());
        epochs.fold((0, None), |(count, first), epoch| {
            (count + epoch.reserialized, earlier(first, epoch.first_reserialized))
        })
    }

    fn merge(&mut self, other: Log) {
        for (number, chain) in other.chains {
            // Forged lines can claim any number of chains; beyond so many, a gap there is told as well.
            if self.chains.len() >= MOST_CLAIMED
                && !self.chains.contains_key(&number)
                && chain.is_claimed_only()
            {
                continue;
            }
            let mine = self.chains.entry(number).or_default();
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
    }
}

/// The first and last line of a log in a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// Position of the first.
    pub first: Position,
    /// Where it stands.
    pub first_place: Place,
    /// Position of the last.
    pub last: Position,
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

/// The earlier of two places, if any.
pub(crate) fn earlier(one: Option<Place>, other: Option<Place>) -> Option<Place> {
    one.into_iter().chain(other).min()
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
