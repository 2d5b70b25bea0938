//! Bad lines that stood together.

use serde::{Deserialize, Serialize};

use super::kind::Kind;
use crate::hash::Digest;
use crate::line::{Position, trim};
use crate::seal::epoch::Place;

/// A log's number in [`crate::scan::Keys`].
pub type LogNumber = u32;

/// One epoch of one chain of one log.
pub type EpochId = (LogNumber, u32, u8);

/// The last line of a known log before a bad one, or the first one after it.
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
    /// The known line after it, if it is in the same chunk.
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
    pub(crate) fn join(&mut self, next: &Event) {
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

    /// Do the lines of another event, which come right after this one's, belong to the same group?
    #[must_use]
    pub fn goes_on(&self, kind: Kind, log: Option<LogNumber>, at: Option<Position>) -> bool {
        // A group stays within one epoch, so that it can be judged with it.
        let epoch = |at: Option<Position>| at.map(|p| (p.chain, p.epoch));
        (self.kind.grouped(), self.log, epoch(self.last)) == (kind.grouped(), log, epoch(at))
            && !matches!(kind, Kind::Redacted | Kind::Reordered)
    }
}
