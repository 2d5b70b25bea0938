//! Signed heads and statements that the caller brings along: how the lines here stand to them (SPEC sections 7 and 11).
//!
//! All heads of an epoch and its checkpoint are prefixes of one list, so a head is held against the checkpoint or, where
//! it ends before that, against the first n lines. Their tree is mostly at hand; else those lines are read once more.

use std::collections::{BTreeMap, BTreeSet};

use super::known::Known;
use crate::hash::Digest;
use crate::line::Position;
use crate::scan::summary::{Chain, Epoch, EpochId, LogNumber, Occurrence, Record, Seen};
use crate::seal::statement::{Body, CertCache, Kind, Statement};
use crate::seal::tree::{Growing, empty_root};
use crate::witness::content::{Content, Verb};

/// How the lines here stand to a signed text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// They are what it says.
    Met,
    /// Both are authentic, and only one of them can be true.
    Contradicts,
    /// They are not what it says, and nothing else vouches for them.
    Altered,
    /// Lines that it covers are not here, or not as they were written: nobody can tell.
    Unmet,
    /// Its chain root is not known: an older generation's `open` is lacking.
    Lacking,
    /// It is not a text of this log that holds.
    False,
}

impl Standing {
    /// Each of them.
    pub const ALL: [Self; 6] =
        [Self::Met, Self::Contradicts, Self::Altered, Self::Unmet, Self::Lacking, Self::False];

    /// Its name.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Contradicts => "contradicts",
            Self::Altered => "altered",
            Self::Unmet => "unmet",
            Self::Lacking => "lacking",
            Self::False => "false",
        }
    }
}

/// Epochs to read once more, and the files that hold their lines; `None` for all files.
pub(super) type Batch = (BTreeSet<EpochId>, Option<BTreeSet<u32>>);

impl Known {
    /// A text of a known log that holds, or what it is instead.
    fn shown(&self, (log, text): &(LogNumber, Vec<u8>)) -> Result<Content, Standing> {
        let keys = self.keys.logs().get(*log as usize).ok_or(Standing::False)?;
        let statement = Statement::parse_shown(text).ok_or(Standing::False)?;
        if !statement.agrees(&keys.public, keys.log_id(), statement.position()) {
            return Err(Standing::False);
        }
        let root = keys.root(statement.generation()).ok_or(Standing::Lacking)?;
        statement.check(&root, &mut CertCache::default()).map_err(|_| Standing::False)?;
        Content::of(&statement).ok_or(Standing::False)
    }

    fn chain(&self, log: LogNumber, chain: u32) -> Option<&Chain> {
        self.summary.logs.get(&log)?.chains.get(&chain).map(|chain| &**chain)
    }

    /// Epochs whose first lines must be read for some text, in batches of so many lines.
    ///
    /// With P only, a head that does not match the bytes of JSON lines may match their RFC 8785 forms: `rewritten`.
    pub(super) fn shown_batches(&self, most: u64, rewritten: bool) -> Vec<Batch> {
        let mut batches: Vec<Batch> = Vec::new();
        let mut lines = most;
        let mut wanted = BTreeSet::new();
        for one in &self.shown.texts {
            let Ok(content) = self.shown(one) else { continue };
            let id = (one.0, content.chain, content.epoch);
            let epoch = self.chain(one.0, content.chain).and_then(|chain| chain.epochs.get(&content.epoch));
            let wants = |epoch: &&Epoch| {
                epoch.can_be_read(&content) && self.is_unmatched(id, epoch, &content, rewritten)
            };
            let Some(epoch) = epoch.map(|epoch| &**epoch).filter(wants) else { continue };
            if !wanted.insert(id) {
                continue;
            }
            if lines >= most {
                batches.push((BTreeSet::new(), Some(BTreeSet::new())));
                lines = 0;
            }
            lines += epoch.lines.count();
            let Some((epochs, files)) = batches.last_mut() else { continue };
            epochs.insert(id);
            // Where a position was seen again, the other line may be the right one.
            if epoch.lines.again().next().is_some() {
                *files = None;
            }
            if let Some(files) = files {
                files.extend(epoch.lines.pieces().map(|piece| piece.first.file));
            }
        }
        batches
    }

    /// Takes the lines that were read for texts.
    pub(super) fn take_shown(&mut self) {
        // Once for all epochs: there may be many texts, and each takes several signatures.
        let mut wanted: BTreeMap<EpochId, BTreeSet<u16>> = BTreeMap::new();
        for one in &self.shown.texts {
            if let Ok(content) = self.shown(one) {
                wanted.entry((one.0, content.chain, content.epoch)).or_default().insert(content.n);
            }
        }
        for (id, seen) in std::mem::take(&mut self.summary.details) {
            let Some(wanted) = wanted.get(&id) else { continue };
            let outside = self.outside.get(&id);
            let right = |line: &Occurrence| outside.is_none_or(|out| !out.contains(&(line.index, line.leaf)));
            let roots = prefix_roots(seen.iter().filter(|(line, _)| right(line)), wanted);
            for (n, root) in roots {
                self.shown.roots.entry((id, n)).or_default().push(root);
            }
        }
    }

    /// Judges each text, and notes up to where heads cover the lines of an epoch.
    pub(super) fn judge_shown(&mut self) -> Vec<Standing> {
        let mut found = Vec::new();
        for one in std::mem::take(&mut self.shown.texts) {
            let hash = crate::hash::sha256(&[&one.1]);
            let content = self.shown(&one);
            let standing =
                content.as_ref().map_or_else(|why| *why, |content| self.standing(one.0, content, &hash));
            if let (Ok(content), Standing::Met) = (content, standing)
                && content.n > 0
            {
                let epoch = self.summary.log(one.0).epoch(content.chain, content.epoch);
                epoch.shown = epoch.shown.max(u32::from(content.n));
            }
            found.push(standing);
        }
        found
    }

    /// May the lines be what a text says, and does no tree that is at hand tell?
    fn is_unmatched(&self, id: EpochId, epoch: &Epoch, text: &Content, rewritten: bool) -> bool {
        let with_v = self.keys.logs()[id.0 as usize].secret.is_some();
        let mut roots = self.roots(id, epoch, text.n);
        if rewritten {
            !with_v && epoch.json && roots.all(|root| root != text.root)
        } else {
            roots.next().is_none()
        }
    }

    /// The trees over the first n lines of an epoch that are at hand.
    fn roots(&self, id: EpochId, epoch: &Epoch, n: u16) -> impl Iterator<Item = Digest> {
        let read = self.shown.roots.get(&(id, n)).into_iter().flatten().copied();
        epoch.tree_of(n).into_iter().chain(read)
    }

    fn standing(&self, log: LogNumber, text: &Content, hash: &Digest) -> Standing {
        let Some(chain) = self.chain(log, text.chain) else { return Standing::Unmet };
        let met = |holds: bool| if holds { Standing::Met } else { Standing::Contradicts };
        let nothing = Epoch::default();
        let epoch = chain.epochs.get(&text.epoch).map_or(&nothing, |epoch| &**epoch);
        let here = if text.verb == Verb::Open { epoch.opens.first() } else { epoch.checkpoint() };
        match (text.verb, here) {
            (Verb::Open, None) => return Standing::Unmet,
            (Verb::Open | Verb::Checkpoint, Some(record)) => return met(record.hash == *hash),
            (Verb::Checkpoint, None) | (Verb::Head, _) => {}
        }
        let before = before(chain, text.epoch);
        if before.is_some_and(|record| record.hash != text.newest || ends_chain(record)) {
            return Standing::Contradicts;
        }
        if let Some(Body::Checkpoint { n, root, prev, .. }) = here.map(|record| record.body)
            && (prev != text.newest || text.n >= n)
        {
            return met(prev == text.newest && text.n == n && text.root == root);
        }
        let id = (log, text.chain, text.epoch);
        let roots: Vec<Digest> = match text.n {
            0 => before.map(|_| empty_root()).into_iter().collect(),
            n => self.roots(id, epoch, n).collect(),
        };
        let with_v = self.keys.logs()[log as usize].secret.is_some();
        if roots.contains(&text.root) {
            // A line after a checkpoint that is not here contradicts it.
            return met(!(with_v && text.verb == Verb::Checkpoint && epoch.reaches_beyond(text.n)));
        }
        match roots.is_empty() {
            true => Standing::Unmet,
            false if with_v || epoch.covered == Some(true) => Standing::Contradicts,
            false => Standing::Altered,
        }
    }
}

/// The newest statement before the lines of an epoch.
fn before(chain: &Chain, epoch: u8) -> Option<&Record> {
    match epoch.checked_sub(1) {
        Some(before) => chain.epochs.get(&before)?.checkpoint(),
        None => chain.epochs.get(&0)?.opens.first(),
    }
}

fn ends_chain(record: &Record) -> bool {
    matches!(record.body, Body::Checkpoint { kind: Kind::Closed | Kind::Ended, .. })
}

impl Epoch {
    /// Are the first lines of it here that a text covers, and does nothing else tell?
    fn can_be_read(&self, text: &Content) -> bool {
        if text.verb == Verb::Open || text.n == 0 {
            return false;
        }
        let checkpoint = self.checkpoint().and_then(Record::tree);
        if checkpoint.is_some_and(|(n, _)| text.verb == Verb::Checkpoint || text.n >= n) {
            return false; // the checkpoint tells
        }
        let mut next = 0;
        for piece in self.lines.pieces() {
            if piece.start != next || next >= u32::from(text.n) {
                break;
            }
            next = piece.end;
        }
        next >= u32::from(text.n)
    }

    /// The root over the first n lines, if it is at hand.
    fn tree_of(&self, n: u16) -> Option<Digest> {
        if self.lines.again().next().is_some() {
            return None;
        }
        self.lines.below(u32::from(n)).filter(|_| n > 0)?.root()
    }

    fn reaches_beyond(&self, n: u16) -> bool {
        self.lines.pieces().any(|piece| piece.end > u32::from(n))
    }
}

/// The roots over the first n lines, for each n that is wanted and of which all lines are here. Of several lines at a
/// position, the first in the input counts.
fn prefix_roots<'a>(
    seen: impl Iterator<Item = (&'a Occurrence, &'a Seen)>,
    wanted: &BTreeSet<u16>,
) -> BTreeMap<u16, Digest> {
    let mut leaves: BTreeMap<u16, (crate::seal::epoch::Place, Digest)> = BTreeMap::new();
    for (line, seen) in seen {
        let new = (seen.first, line.leaf);
        leaves.entry(line.index).and_modify(|old| *old = (*old).min(new)).or_insert(new);
    }
    let (mut roots, mut tree) = (BTreeMap::new(), Growing::at(0));
    for ((index, (_, leaf)), at) in leaves.into_iter().zip(0..=u16::MAX) {
        if index != at {
            break;
        }
        tree.push(leaf);
        let n = at.saturating_add(1);
        if wanted.contains(&n)
            && let Some(root) = tree.clone().finish().root()
        {
            roots.insert(n, root);
        }
    }
    roots
}

/// Up to where a text says that lines were written.
#[must_use]
pub fn shown_until(text: &[u8]) -> Option<Position> {
    Statement::parse_shown(text).as_ref().map(crate::witness::content::reached)
}
