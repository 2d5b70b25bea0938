//! What a verifier remembers of a file: the summary of its first bytes, to be merged into those of a later run.
//!
//! It is good for a later run with the same keys wherever the same bytes stand first in a file.

use std::collections::{BTreeMap, BTreeSet};

use super::{Chunk, EpochId, Event, Log, Summary, Why};
use crate::Error;
use crate::scan::{Keys, Mode};
use crate::seal::epoch::Place;

impl Summary {
    /// Says that all of it was read in one file, by its number in this run.
    ///
    /// # Errors
    /// [`Error::Format`] if it is a summary of several files.
    pub fn in_file(&mut self, file: u32) -> Result<(), Error> {
        let files: BTreeSet<u32> = self.chunks.keys().map(|(file, _)| *file).collect();
        if files.len() > 1 || !self.details.is_empty() {
            return Err(Error::Format("this is not the summary of one file: scan again".into()));
        }
        let Self { logs, chunks, events, unlisted: _, unsealed: _, excepted: _, details: _ } = self;
        let set = |place: &mut Place| place.file = file;
        logs.values_mut().for_each(|log| log.in_file(file));
        let numbered = |((_, number), mut chunk): ((u32, u32), Chunk)| {
            chunk.edges.values_mut().for_each(|edge| set(&mut edge.first_place));
            ((file, number), chunk)
        };
        *chunks = std::mem::take(chunks).into_iter().map(numbered).collect::<BTreeMap<_, _>>();
        events.iter_mut().for_each(|event| set(&mut event.place));
        Ok(())
    }

    /// Keeps of each epoch that R covers whole no more than R, which takes the place of its tree.
    pub fn settle(&mut self) {
        let chains = self.logs.values_mut().flat_map(|log| log.chains.values_mut());
        for epoch in chains.flat_map(|chain| chain.epochs.values_mut()) {
            if let [only] = epoch.checkpoints.as_slice()
                && let Some((n, root)) = only.tree()
            {
                epoch.lines.settle(u32::from(n), root);
            }
        }
    }

    /// Would the same bytes always give the same? Not where it depended on how far the caller knew a log to reach, nor
    /// in a flood of bad lines, of which only some are listed.
    #[must_use]
    pub fn lasts(&self) -> bool {
        let fleeting = |event: &Event| matches!(event.kind.reason(), Some(Why::Reach | Why::Effort));
        self.unlisted.is_empty() && !self.events.iter().any(fleeting)
    }

    /// Are these logs of some keys, and chains that a scan with those would look at?
    #[must_use]
    pub fn is_within(&self, keys: &Keys) -> bool {
        self.logs.iter().all(|(number, log)| {
            keys.logs().get(*number as usize).is_some_and(|keys| {
                let newest = log.chains.keys().next_back().copied().unwrap_or(0);
                keys.secret.as_ref().is_none_or(|secret| secret.is_narrowed()) || newest <= keys.reach
            })
        })
    }

    /// Must what it is of be read for a pass?
    #[must_use]
    pub fn is_wanted(&self, mode: &Mode) -> bool {
        match mode {
            // In RFC 8785 forms other lines may be good ones.
            Mode::All | Mode::Canonical(_) => true,
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

impl Log {
    fn in_file(&mut self, file: u32) {
        let set = |place: &mut Place| place.file = file;
        for epoch in self.chains.values_mut().flat_map(|chain| chain.epochs.values_mut()) {
            epoch.lines.in_file(file);
            epoch.checkpoints.iter_mut().chain(&mut epoch.opens).for_each(|record| set(&mut record.place));
            epoch.unread.iter_mut().for_each(|event| set(&mut event.place));
            epoch.first_reserialized.iter_mut().for_each(set);
        }
        self.pending.iter_mut().for_each(|pending| set(&mut pending.place));
        self.counts.first_prefixed.iter_mut().for_each(set);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::line::Position;
    use crate::scan::summary::{Edge, Kind};

    fn place(file: u32) -> Place {
        Place { file, chunk: 0, line: 7, offset: 300 }
    }

    fn summary(file: u32, why: Why) -> Summary {
        let mut summary = Summary::default();
        let at = Position::new(1, 0, 3);
        let edge = Edge { first: at, first_place: place(file), last: at };
        summary.chunks.insert((file, 0), Chunk { edges: [(0, edge)].into(), ..Chunk::default() });
        summary.events.push(Event::new(Kind::Altered(why), Some(0), place(file), Some(at)));
        summary.log(0).epoch(1, 0).lines.add(3, [1; 32], place(file));
        summary
    }

    #[test]
    fn a_summary_in_another_file_is_that_of_the_same_bytes_there() {
        let (mut moved, mut there) = (summary(2, Why::Tag), summary(5, Why::Tag));
        moved.in_file(5).unwrap();
        there.in_file(5).unwrap();
        assert_eq!(moved.to_bytes().unwrap(), there.to_bytes().unwrap());
    }

    #[test]
    fn a_summary_of_two_files_is_of_none() {
        let mut both = summary(2, Why::Tag);
        both.merge(summary(3, Why::Tag));
        assert!(both.in_file(0).is_err());
    }

    #[test]
    fn what_reach_or_effort_decided_does_not_last() {
        assert!(summary(0, Why::Tag).lasts());
        assert!(!summary(0, Why::Reach).lasts());
        assert!(!summary(0, Why::Effort).lasts());
    }
}
