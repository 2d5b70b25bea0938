//! What a verifier remembers of a file: the summary of its first bytes, to be merged into those of a later run.
//!
//! It is good for a later run with the same keys wherever the same bytes stand first in a file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Chain, Chunk, Epoch, EpochId, Event, Log, Summary, Why};
use crate::Error;
use crate::hash::Digest;
use crate::scan::Mode;
use crate::seal::epoch::Place;

impl Summary {
    /// Says that all of it was read in one file, by its number in this run, and after so many other chunks of it.
    ///
    /// # Errors
    /// [`Error::Format`] if it is a summary of several files.
    fn in_file(&mut self, file: u32, after: u32) -> Result<(), Error> {
        let files: BTreeSet<u32> = self.chunks.keys().map(|(file, _)| *file).collect();
        if files.len() > 1 || !self.details.is_empty() {
            return Err(Error::Format("this is not the summary of one file: scan again".into()));
        }
        let Self { logs, chunks, events, unlisted: _, kin: _, unsealed: _, excepted: _, details: _ } = self;
        let set = |place: &mut Place| (place.file, place.chunk) = (file, place.chunk.saturating_add(after));
        for log in logs.values_mut() {
            log.set_places(&set);
        }
        let numbered = |((_, number), mut chunk): ((u32, u32), Chunk)| {
            for edge in chunk.edges.values_mut() {
                set(&mut edge.first_place);
                set(&mut edge.last_place);
            }
            chunk.beginnings.values_mut().for_each(|(place, _)| set(place));
            ((file, number.saturating_add(after)), chunk)
        };
        *chunks = std::mem::take(chunks).into_iter().map(numbered).collect::<BTreeMap<_, _>>();
        for event in events.iter_mut() {
            set(&mut event.place);
        }
        Ok(())
    }

    /// The form in which it is remembered: that of the first file, without what can be told from the rest.
    ///
    /// # Errors
    /// [`Error::Format`] if it is a summary of several files.
    pub fn to_memory(&mut self) -> Result<Vec<u8>, Error> {
        let file = self.chunks.keys().next().map_or(0, |(file, _)| *file);
        self.in_file(0, 0)?;
        self.chains_mut().for_each(Chain::pack);
        let bytes = self.to_bytes();
        self.chains_mut().for_each(Chain::unpack);
        self.in_file(file, 0)?;
        bytes
    }

    /// Reads the form in which it is remembered, as the summary of a file of this run, or of what stands in it after so
    /// many other chunks.
    ///
    /// # Errors
    /// [`Error::Format`] for anything else.
    pub fn from_memory(bytes: &[u8], file: u32, after: u32) -> Result<Self, Error> {
        let mut summary = Self::from_bytes(bytes)?;
        summary.chains_mut().for_each(Chain::unpack);
        summary.in_file(file, after)?;
        Ok(summary)
    }

    fn chains_mut(&mut self) -> impl Iterator<Item = &mut Chain> {
        self.logs.values_mut().flat_map(|log| log.chains.values_mut()).map(Arc::make_mut)
    }

    /// Would the same bytes always give the same? Not where it depended on how far the caller knew a log to reach, nor
    /// in a flood of bad lines, of which only some are listed.
    #[must_use]
    pub fn lasts(&self) -> bool {
        let fleeting = |event: &Event| matches!(event.kind.reason(), Some(Why::Reach | Why::Effort));
        self.unlisted.is_empty() && !self.events.iter().any(fleeting)
    }

    /// Must what it is of be read for a pass?
    #[must_use]
    pub fn is_wanted(&self, mode: &Mode) -> bool {
        match mode {
            // In RFC 8785 forms other lines may be good ones, and texts are not remembered.
            Mode::All | Mode::Canonical(_) | Mode::Texts { .. } => true,
            Mode::Detail(epochs, rewritten) => {
                let pending = self.logs.iter().flat_map(|(number, log)| {
                    log.pending.iter().map(|one| (*number, one.at.chain, one.at.epoch))
                });
                let mut held = self.epochs().map(|(id, _)| id).chain(pending);
                !rewritten.is_empty() || held.any(|id: EpochId| epochs.contains(&id))
            }
        }
    }
}

impl Epoch {
    /// n and R, if there is one checkpoint.
    fn covering(&self) -> Option<(u32, Digest)> {
        let [only] = self.checkpoints.as_slice() else { return None };
        only.tree().map(|(n, root)| (u32::from(n), root))
    }

    /// Where its lines and its checkpoint stand, if the tree over them was left out.
    fn places(&mut self) -> Option<[&mut Place; 3]> {
        let [only] = self.checkpoints.as_mut_slice() else { return None };
        self.lines.packed().map(|piece| [&mut piece.first, &mut piece.last, &mut only.place])
    }
}

const NOWHERE: Place = Place { file: 0, chunk: 0, line: 0, offset: 0 };

impl Chain {
    /// Leaves trees out that R covers, and says of places how far after each other they stand.
    fn pack(&mut self) {
        let mut before = NOWHERE;
        for epoch in self.epochs.values_mut() {
            if let Some((n, root)) = epoch.covering() {
                epoch.lines.pack(n, root);
            }
            if let Some([first, last, end]) = epoch.places() {
                let next = *end;
                (*end, *last, *first) = (end.since(*last), last.since(*first), first.since(before));
                before = next;
            }
        }
    }

    /// Undoes it; R is in the place of trees.
    fn unpack(&mut self) {
        let mut before = NOWHERE;
        for epoch in self.epochs.values_mut() {
            if let Some([first, last, end]) = epoch.places() {
                *first = first.after(before);
                *last = last.after(*first);
                *end = end.after(*last);
                before = *end;
            }
            if let Some((n, root)) = epoch.covering() {
                epoch.lines.unpack(n, root);
            }
        }
    }
}

impl Log {
    fn set_places(&mut self, set: &impl Fn(&mut Place)) {
        for epoch in self.chains.values_mut().flat_map(|chain| Arc::make_mut(chain).epochs.values_mut()) {
            epoch.lines.set_places(set);
            epoch.checkpoints.iter_mut().chain(&mut epoch.opens).for_each(|record| set(&mut record.place));
            epoch.unread.iter_mut().for_each(|event| set(&mut event.place));
            epoch.first_reserialized.iter_mut().for_each(set);
        }
        self.notices.values_mut().for_each(|said| set(&mut said.place));
        self.pending.iter_mut().for_each(|pending| set(&mut pending.place));
        self.counts.first_prefixed.iter_mut().for_each(set);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::line::Position;
    use crate::scan::summary::{Edge, Kind, Strange};

    fn place(file: u32) -> Place {
        Place { file, chunk: 0, line: 7, offset: 300 }
    }

    fn summary(file: u32, why: Why) -> Summary {
        let mut summary = Summary::default();
        let at = Position::new(1, 0, 3);
        let edge = Edge::of(at, place(file), &Strange::default());
        summary.chunks.insert((file, 0), Chunk { edges: [(0, edge)].into(), ..Chunk::default() });
        summary.events.push(Event::new(Kind::Altered(why), Some(0), place(file), Some(at)));
        summary.log(0).epoch(1, 0).lines.add(3, [1; 32], place(file));
        summary
    }

    #[test]
    fn what_is_remembered_is_the_same_in_another_file() {
        let stored = summary(2, Why::Tag).to_memory().unwrap();
        assert_eq!(stored, summary(5, Why::Tag).to_memory().unwrap());
        let mut back = Summary::from_memory(&stored, 5, 0).unwrap();
        assert_eq!(back.chunks, summary(5, Why::Tag).chunks);
        assert_eq!(back.events, summary(5, Why::Tag).events);
        assert_eq!(back.to_memory().unwrap(), stored);
    }

    #[test]
    fn a_tree_that_r_covers_is_left_out_and_r_takes_its_place() {
        let leaves = [[1; 32], [2; 32], [3; 32]];
        let root = crate::seal::tree::root(&leaves);
        let mut lines = crate::seal::epoch::Lines::default();
        (0..3).zip(leaves).for_each(|(index, leaf)| lines.add(index, leaf, place(0)));
        lines.flush();
        let whole = lines.clone();
        lines.pack(3, [9; 32]);
        assert_eq!(lines.below(3), whole.below(3));
        lines.pack(3, root);
        assert_eq!(lines.below(3), None);
        lines.unpack(3, root);
        assert!(lines.below(3).unwrap().is_same(whole.below(3).unwrap()));
        assert_ne!(lines.below(3), whole.below(3));
    }

    #[test]
    fn places_that_are_said_after_each_other_come_back() {
        let places = [place(0), Place { chunk: 1, line: 0, ..place(0) }, Place { offset: 2, ..place(0) }];
        for (one, other) in places.iter().flat_map(|one| places.map(|other| (*one, other))) {
            assert_eq!(one.since(other).after(other), one);
        }
    }

    #[test]
    fn a_summary_of_two_files_is_of_none() {
        let mut both = summary(2, Why::Tag);
        both.merge(summary(3, Why::Tag));
        assert!(both.to_memory().is_err());
    }

    #[test]
    fn what_reach_or_effort_decided_does_not_last() {
        assert!(summary(0, Why::Tag).lasts());
        assert!(!summary(0, Why::Reach).lasts());
        assert!(!summary(0, Why::Effort).lasts());
    }
}
