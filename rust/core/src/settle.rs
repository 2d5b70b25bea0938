//! Judging what had to wait for the whole input: late statements, trees, lines that a carrier wrote anew.

use std::collections::{BTreeMap, BTreeSet};

use crate::epoch::Place;
use crate::hash::Digest;
use crate::scan::{Keys, LogKeys, judge_pending, record};
use crate::statement::{Body, CertCache, Statement};
use crate::summary::{
    Chunk, Epoch, EpochId, Event, Kind, Log, LogNumber, Pending, Record, Roots, Summary, Why,
};
use crate::tree;

impl Summary {
    /// Judges what had to wait for the whole input: late statements, then the tree of each epoch.
    pub fn settle(&mut self, keys: &Keys) {
        for (number, keys) in (0..).zip(keys.logs()) {
            let Some(log) = self.logs.get_mut(&number) else { continue };
            for chain in log.chains.values_mut() {
                chain.roots.sort_unstable();
                chain.epochs.values_mut().for_each(|epoch| epoch.lines.gather());
            }
            let mut waiting = std::mem::take(&mut log.pending);
            waiting.sort_by_key(|p| (p.at, p.place));
            let mut cache = CertCache::default();
            // Chains come in order, so each generation is learned before the next one is asked for.
            for pending in waiting {
                let verdict = judge_pending(keys, &pending, &mut cache);
                let statement = Statement::parse(&pending.text);
                let (Some(statement), with_v) = (statement, keys.secret.is_some()) else { continue };
                let at = pending.at;
                match verdict {
                    Some(Ok(roots)) => {
                        log.control(record(keys, &statement, pending.place), roots, &pending);
                    }
                    Some(Err(why)) => {
                        let kind = Kind::BadStatement(if with_v { why } else { Why::NoOpen });
                        if with_v || (at.epoch, at.index) == (0, 0) {
                            self.events.push(event(kind, number, &pending));
                        }
                        log.epoch(at.chain, at.epoch).lines.add(at.index, pending.leaves[1], pending.place);
                    }
                    None => {
                        self.events.push(event(Kind::OlderOpenLacking, number, &pending));
                        if with_v {
                            let roots = Roots { epoch: statement.epoch_root(), next: statement.next_root() };
                            log.control(record(keys, &statement, pending.place), roots, &pending);
                        } else {
                            log.epoch(at.chain, at.epoch).claim(at.index);
                        }
                    }
                }
            }
            for epoch in log.chains.values_mut().flat_map(|c| c.epochs.values_mut()) {
                epoch.settle(keys.secret.is_some());
            }
            self.events.extend(log.disagreeing_roots(number, keys));
        }
    }

    /// Epochs to scan once more in the RFC 8785 form of their lines: with P only, where R does not match.
    #[must_use]
    pub fn rewritten(&self, keys: &Keys) -> BTreeSet<EpochId> {
        let with_p = |id: &EpochId| keys.logs().get(id.0 as usize).is_some_and(|log| log.secret.is_none());
        self.epochs()
            .filter(|(id, e)| with_p(id) && (e.unread.is_some() || e.is_json_outside_r()))
            .map(|(id, _)| id)
            .collect()
    }

    /// Takes over those epochs of a second scan that say more in it: whose R matches, or would if each line stood
    /// there once, or that no R covers in either, or of which only in it all lines are here.
    ///
    /// Gives those: a closer look at them must be one at the RFC 8785 forms, too, or lines would be lost.
    pub fn adopt(&mut self, other: Summary) -> BTreeSet<EpochId> {
        let Summary { logs, events, chunks, untold, .. } = other;
        self.adopt_neighbours(&events, &chunks);
        let whole = untold.is_empty();
        let (bad, told) = (altered_lines(&events), altered_lines(&self.events));
        let (mut adopted, mut again) = (BTreeSet::new(), BTreeSet::new());
        for (number, log) in logs {
            let mine = self.log(number);
            let waits: BTreeSet<_> = log.pending.iter().map(|p| (p.at.chain, p.at.epoch)).collect();
            for (c, chain) in log.chains {
                for (e, mut epoch) in chain.epochs {
                    epoch.settle(false);
                    let old = mine.epoch(c, e);
                    // Where no R can tell, lines are taken at their word, in this form as in the other.
                    let at_its_word = old.unread.is_some()
                        && epoch.covered.is_none()
                        && epoch.checkpoints.is_empty() == old.checkpoints.is_empty()
                        && !waits.contains(&(c, e));
                    let whole_now =
                        old.unread.is_some() && old.covered.is_none() && epoch.covered == Some(false);
                    let complete = epoch.is_complete_with_copies();
                    if (at_its_word || whole_now) && !complete {
                        // What no R covers does not match; statements, of which the first look told, do by themselves.
                        epoch.reserialized = old.reserialized;
                        epoch.first_reserialized = old.first_reserialized;
                    }
                    if epoch.covered == Some(true) || complete || at_its_word || whole_now {
                        // Lines that only this scan could read are sealed ones after all.
                        let unread = std::mem::replace(old, *epoch).unread.map_or(0, |event| event.count);
                        let bad = bad.get(&(number, c, e)).copied().unwrap_or(0);
                        mine.counts.sealed += unread.saturating_sub(bad);
                        adopted.insert((number, c, e));
                        again.insert((number, c, e));
                    } else if whole {
                        let lines =
                            |of: &BTreeMap<EpochId, u64>| of.get(&(number, c, e)).copied().unwrap_or(0);
                        if old.tell_unread(lines(&bad).saturating_sub(lines(&told))) {
                            again.insert((number, c, e));
                        }
                    }
                }
            }
        }
        let ours = |event: &Event| epoch_of(event).is_some_and(|id| again.contains(&id));
        self.events.retain(|event| !(ours(event) && matches!(event.kind, Kind::Altered(_))));
        self.events.extend(events.into_iter().filter(ours));
        adopted
    }

    /// Takes over the neighbours of bad lines, among which lines in their RFC 8785 form count, too.
    fn adopt_neighbours(&mut self, events: &[Event], chunks: &BTreeMap<(u32, u32), Chunk>) {
        let known: BTreeMap<Place, &Event> = events.iter().map(|event| (event.place, event)).collect();
        for event in &mut self.events {
            let stands = matches!(event.kind, Kind::Altered(_) | Kind::Unsealed | Kind::Foreign(_));
            if let Some(again) = known.get(&event.place).filter(|again| stands && again.count == event.count)
            {
                (event.before, event.after) = (again.before, again.after);
            }
        }
        for (number, chunk) in chunks {
            if let Some(mine) = self.chunks.get_mut(number) {
                (mine.first, mine.last) = (chunk.first, chunk.last);
            }
        }
    }

    /// Every epoch of every log.
    pub(crate) fn epochs(&self) -> impl Iterator<Item = (EpochId, &Epoch)> {
        self.logs.iter().flat_map(|(number, log)| {
            log.chains.iter().flat_map(move |(c, chain)| {
                chain.epochs.iter().map(move |(e, epoch)| ((*number, *c, *e), &**epoch))
            })
        })
    }
}

/// The epoch that the lines of an event claim.
fn epoch_of(event: &Event) -> Option<EpochId> {
    event.log.zip(event.first).map(|(log, at)| (log, at.chain, at.epoch))
}

/// Altered lines of each epoch.
fn altered_lines(events: &[Event]) -> BTreeMap<EpochId, u64> {
    let mut lines = BTreeMap::new();
    for event in events.iter().filter(|event| matches!(event.kind, Kind::Altered(_))) {
        if let Some(id) = epoch_of(event) {
            *lines.entry(id).or_default() += event.count;
        }
    }
    lines
}

fn event(kind: Kind, log: LogNumber, pending: &Pending) -> Event {
    Event::new(kind, Some(log), pending.place, Some(pending.at))
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

impl Log {
    /// Chains of one generation whose certs name another next chain root than the first one's.
    fn disagreeing_roots(&self, number: LogNumber, keys: &LogKeys) -> Vec<Event> {
        let mut events = Vec::new();
        let mut known: Option<(u32, Digest)> = None;
        for (c, chain) in &self.chains {
            let generation = (c - 1) / 256;
            for roots in &chain.roots {
                let first = *known.get_or_insert((generation, roots.next));
                if first.0 != generation {
                    known = Some((generation, roots.next));
                }
                let known = keys.root(generation + 1).is_none_or(|root| root == roots.next);
                if (first.0 == generation && first.1 != roots.next || !known)
                    && let Some(record) =
                        chain.epochs.values().flat_map(|e| e.opens.iter().chain(&e.checkpoints)).next()
                {
                    let kind = Kind::BadStatement(Why::Path);
                    events.push(Event::new(kind, Some(number), record.place, Some(record.at)));
                }
            }
        }
        events
    }

    fn control(&mut self, record: Record, roots: Roots, pending: &Pending) {
        let at = record.at;
        self.chains.entry(at.chain).or_default().note_roots(roots);
        let epoch = self.epoch(at.chain, at.epoch);
        if let Body::Open { .. } = record.body {
            epoch.opens.push(record);
            epoch.lines.add(at.index, pending.leaves[0], pending.place);
        } else {
            epoch.checkpoints.push(record);
        }
    }
}

impl Epoch {
    /// Takes lines that fit in no form, told one by one elsewhere, off those that were left unread; `false` if there are
    /// not so many.
    fn tell_unread(&mut self, count: u64) -> bool {
        match &mut self.unread {
            Some(event) if event.count > count && count > 0 => event.count -= count,
            Some(event) if event.count == count => self.unread = None,
            _ => return false,
        }
        true
    }

    /// Sorts what came in any order, then holds R against the lines.
    fn settle(&mut self, with_v: bool) {
        self.lines.gather();
        self.opens.sort_by_key(|r| r.place);
        self.checkpoints.sort_by_key(|r| r.place);
        let n = self.checkpoint().and_then(Record::tree).map(|(n, _)| u32::from(n));
        self.bound = n.filter(|_| !with_v);
        self.covered = self.checkpoint().and_then(Record::tree).and_then(|(n, root)| {
            let right = if n == 0 { tree::empty_root() } else { self.lines.below(u32::from(n))?.root()? };
            Some(right == root)
        });
    }

    /// Has it lines whose RFC 8785 form R may cover, if it does not cover them as they are?
    fn is_json_outside_r(&self) -> bool {
        self.json && !self.checkpoints.is_empty() && self.covered != Some(true)
    }

    /// The checkpoint, the first that was read.
    pub(crate) fn checkpoint(&self) -> Option<&Record> {
        self.checkpoints.first()
    }
}
