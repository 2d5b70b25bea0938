//! Judging what had to wait for the whole input: statements whose chain root came late, and the tree of each epoch.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::hash::Digest;
use crate::scan::summary::{Chain, Epoch, Event, Kind, Log, LogNumber, Pending, Record, Roots, Summary, Why};
use crate::scan::{Keys, LogKeys, complete, judge_pending, record};
use crate::seal::statement::{Body, CertCache, Statement};
use crate::seal::tree;

/// Judges what had to wait for the whole input: late statements, then the tree of each epoch.
///
/// `resolved` gives a chain as it is then, where that is known.
pub(super) fn resolve(
    summary: &mut Summary,
    keys: &Keys,
    resolved: impl Fn(LogNumber, u32, &Arc<Chain>) -> Option<Arc<Chain>>,
) {
    for (number, keys) in (0..).zip(keys.logs()) {
        let Some(log) = summary.logs.get_mut(&number) else { continue };
        let waited: BTreeSet<u32> = log.pending.iter().map(|pending| pending.at.chain).collect();
        for (c, chain) in &mut log.chains {
            if waited.contains(c) || resolved(number, *c, chain).is_none() {
                gather(Arc::make_mut(chain));
            }
        }
        let mut pending = std::mem::take(&mut log.pending);
        pending.sort_by_key(|p| (p.at, p.place));
        let mut cache = CertCache::default();
        let mut learned = 0;
        // Chains come in order, so each generation is learned before the next one is asked for.
        for one in pending {
            if learned != keys.known_roots().len() {
                learn_from(log, keys);
                learned = keys.known_roots().len();
            }
            summary.events.extend(resolve_pending(log, number, keys, &one, &mut cache));
        }
        for (c, chain) in &mut log.chains {
            match resolved(number, *c, chain) {
                Some(resolved) => *chain = resolved,
                None => resolve_chain(Arc::make_mut(chain), keys),
            }
        }
        summary.events.extend(disagreeing_roots(log, number, keys));
    }
}

/// Puts together what was merged.
fn gather(chain: &mut Chain) {
    chain.roots.sort_unstable();
    chain.epochs.values_mut().for_each(|epoch| epoch.lines.gather());
}

/// Learns the chain roots that statements name which hold: those in a summary that was remembered taught nobody yet.
fn learn_from(log: &Log, keys: &LogKeys) {
    for (number, chain) in &log.chains {
        chain.roots.iter().for_each(|roots| keys.learn_root((number - 1) / 256 + 1, roots.next));
    }
}

/// Judges a statement that had to wait; gives what is wrong with it.
fn resolve_pending(
    log: &mut Log,
    number: LogNumber,
    keys: &LogKeys,
    pending: &Pending,
    cache: &mut CertCache,
) -> Option<Event> {
    let verdict = judge_pending(keys, pending, cache);
    let (statement, with_v, at) = (Statement::parse(&pending.text)?, keys.secret.is_some(), pending.at);
    let event = |kind| Event::new(kind, Some(number), pending.place, Some(at));
    match verdict {
        Some(Ok(roots)) => {
            add_control(log, record(keys, &statement, pending.place), roots, pending);
            log.note_notice(&statement, pending.place);
            None
        }
        Some(Err(why)) => {
            log.epoch(at.chain, at.epoch).lines.add(at.index, pending.leaves[1], pending.place);
            let reported = with_v || (at.epoch, at.index) == (0, 0);
            reported.then(|| event(Kind::BadStatement(if with_v { why } else { Why::NoOpen })))
        }
        None => {
            if with_v {
                let roots = Roots { epoch: statement.epoch_root(), next: statement.next_root() };
                add_control(log, record(keys, &statement, pending.place), roots, pending);
            } else {
                log.epoch(at.chain, at.epoch).claim(at.index);
            }
            Some(event(Kind::OlderOpenLacking))
        }
    }
}

fn add_control(log: &mut Log, record: Record, roots: Roots, pending: &Pending) {
    let at = record.at;
    log.chain(at.chain).note_roots(roots);
    let epoch = log.epoch(at.chain, at.epoch);
    match record.body {
        Body::Open { .. } => epoch.opens.push(record),
        Body::Notice { .. } | Body::Head { .. } => {}
        Body::Checkpoint { .. } => {
            epoch.checkpoints.push(record);
            return;
        }
    }
    epoch.lines.add(at.index, pending.leaves[0], pending.place);
}

/// Chains of one generation whose certs name another next chain root than the first one's.
fn disagreeing_roots(log: &Log, number: LogNumber, keys: &LogKeys) -> Vec<Event> {
    let mut events = Vec::new();
    let mut known: Option<(u32, Digest)> = None;
    for (c, chain) in &log.chains {
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

/// Judges the epochs of a chain whose statements are all there.
pub(super) fn resolve_chain(chain: &mut Chain, keys: &LogKeys) {
    for epoch in chain.epochs.values_mut() {
        epoch.opens.iter_mut().for_each(|open| complete(keys, open));
        resolve_epoch(epoch, keys.secret.is_some());
    }
}

/// Sorts what came in any order, then holds R against the lines.
pub(super) fn resolve_epoch(epoch: &mut Epoch, with_v: bool) {
    epoch.lines.gather();
    epoch.opens.sort_by_key(|r| r.place);
    epoch.checkpoints.sort_by_key(|r| r.place);
    let n = epoch.checkpoint().and_then(Record::tree).map(|(n, _)| u32::from(n));
    epoch.bound = n.filter(|_| !with_v);
    epoch.covered = epoch.checkpoint().and_then(Record::tree).and_then(|(n, root)| {
        let right = if n == 0 { tree::empty_root() } else { epoch.lines.below(u32::from(n))?.root()? };
        Some(right == root)
    });
}
