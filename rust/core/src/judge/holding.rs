//! Which lines hold: those that nothing a verification found speaks against.
//!
//! With V these are all authentic lines but those in the place of, or after, what ended their epoch, their chain or the
//! log; those of an epoch whose R does not match; and positions that different lines claim. With P only they are those
//! that a matching R covers.

use super::facts::Facts;
use crate::scan::summary::{Chain, Epoch, EpochId, Log, Record};
use crate::scan::{Held, Holding, Keys};
use crate::seal::statement::{Body, Kind as Ending};

/// The end of a chain, if it has one: its epoch, and whether the log ended with it.
fn ending(chain: &Chain) -> Option<(u8, bool)> {
    let records = chain.epochs.values().flat_map(|epoch| &epoch.checkpoints);
    let ends = records.filter_map(|record| match record.body {
        Body::Checkpoint { kind, .. } if kind != Ending::Continues => {
            Some((record.at.epoch, kind == Ending::Ended))
        }
        _ => None,
    });
    ends.min_by_key(|(epoch, _)| *epoch)
}

/// The chain with which a log ended.
fn last_chain(log: &Log) -> Option<u32> {
    log.chains
        .iter()
        .find(|(_, chain)| ending(chain).is_some_and(|(_, ended)| ended))
        .map(|(number, _)| *number)
}

/// Which lines of an epoch hold; `None` if none do.
fn held(epoch: &Epoch, with_v: bool) -> Option<Held> {
    let trees: Vec<_> = epoch.checkpoints.iter().filter_map(Record::tree).collect();
    let covered = match epoch.covered {
        // Of two different checkpoints nobody knows which was the epoch's.
        Some(true) => with_v || trees.iter().all(|tree| *tree == trees[0]),
        Some(false) => false,
        None => with_v,
    };
    // Lines that a signed head covers hold, too, where no checkpoint tells.
    if !covered && epoch.covered.is_none() && epoch.shown > 0 {
        return Some(Held { below: epoch.shown, ..Held::default() });
    }
    let below = trees.iter().map(|(n, _)| u32::from(*n)).min().unwrap_or(u32::MAX);
    covered.then(|| Held { below, ..Held::default() })
}

impl Facts {
    /// Which lines hold; the keys are those of the verification.
    #[must_use]
    pub fn holding(&self, keys: &Keys) -> Holding {
        let mut holding = Holding { rewritten: self.rewritten.clone(), ..Holding::default() };
        for (number, known) in (0..).zip(keys.logs()) {
            let Some(log) = self.logs.get(&number) else { continue };
            let last = last_chain(log).unwrap_or(u32::MAX);
            for (c, chain) in log.chains.range(..=last) {
                let end = ending(chain).map_or(u8::MAX, |(epoch, _)| epoch);
                for (e, epoch) in chain.epochs.range(..=end) {
                    let Some(held) = held(epoch, known.secret.is_some()) else { continue };
                    let outside = self.outside.get(&(number, *c, *e)).cloned().unwrap_or_default();
                    holding.epochs.insert((number, *c, *e), Held { outside, ..held });
                }
            }
        }
        for conflict in self.duplicates().iter().filter(|found| found.fork) {
            let id: EpochId = (conflict.log, conflict.from.chain, conflict.from.epoch);
            if let Some(held) = holding.epochs.get_mut(&id) {
                held.conflicts.extend(conflict.from.index..=conflict.to.index);
            }
        }
        holding
    }
}
