//! Chains of which nothing is left to judge, judged once for many verifications.
//!
//! A service verifies the same log again and again, and little of it is new. What an earlier look found in files that
//! did not change is merged and judged once; later verifications share it. A chain of which one of them sees anything
//! more is copied when that is merged, so it is another one than the one that was judged, and is judged like any other.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chain::ChainFacts;
use super::resolve;
use crate::line::Position;
use crate::scan::summary::{Chain, Epoch, LogNumber, Summary};
use crate::scan::{Keys, LogKeys};

/// What was found in a part of the input, and what is known of its chains.
pub struct Settled {
    summary: Summary,
    /// Which logs have their verification key at hand.
    with_v: Vec<bool>,
    chains: BTreeMap<(LogNumber, u32), Judged>,
}

/// A chain of which nothing is left to judge.
struct Judged {
    /// As scans left it.
    found: Arc<Chain>,
    /// The same once it is resolved.
    resolved: Arc<Chain>,
    facts: Arc<ChainFacts>,
}

impl Settled {
    /// Judges what scans with some keys found in a part of the input.
    #[must_use]
    pub fn new(keys: &Keys, mut summary: Summary) -> Self {
        let mut chains = BTreeMap::new();
        for (number, keys) in (0..).zip(keys.logs()) {
            let Some(log) = summary.logs.get_mut(&number) else { continue };
            for (chain, found) in &mut log.chains {
                if let Some(judged) = Judged::of(*chain, found, keys) {
                    chains.insert((number, *chain), judged);
                }
            }
        }
        Self { summary, with_v: with_v(keys), chains }
    }

    /// What was found; its chains are shared.
    pub(super) fn summary(&self) -> Summary {
        self.summary.clone()
    }

    /// Was it judged with the same keys at hand?
    pub(super) fn is_of(&self, keys: &Keys) -> bool {
        self.with_v == with_v(keys)
    }

    /// Was it judged with the verification key of a log?
    pub(super) fn has_v(&self, log: LogNumber) -> bool {
        self.with_v.get(log as usize).copied().unwrap_or_default()
    }

    /// The same chain as it is once it is resolved, if it is as scans left it.
    pub(super) fn resolved(&self, log: LogNumber, number: u32, chain: &Arc<Chain>) -> Option<Arc<Chain>> {
        let judged = self.chains.get(&(log, number))?;
        Arc::ptr_eq(&judged.found, chain).then(|| judged.resolved.clone())
    }
}

/// What was known of a resolved chain before, if it is the same.
pub(super) fn facts_of<'a>(
    settled: Option<&'a Settled>,
    log: LogNumber,
    number: u32,
    chain: &Arc<Chain>,
) -> Option<&'a Arc<ChainFacts>> {
    let judged = settled?.chains.get(&(log, number))?;
    Arc::ptr_eq(&judged.resolved, chain).then_some(&judged.facts)
}

fn with_v(keys: &Keys) -> Vec<bool> {
    keys.logs().iter().map(|log| log.secret.is_some()).collect()
}

impl Judged {
    /// Judges a chain; `None` if something about it is not as it should be, or is not known yet.
    fn of(number: u32, found: &mut Arc<Chain>, keys: &LogKeys) -> Option<Self> {
        // What resolving adds to epochs is replaced when they are resolved again; only lines that were gathered are
        // others than before.
        let is_gathered = found.epochs.values().all(|epoch| epoch.lines.is_gathered());
        let mut resolved = if is_gathered { std::mem::take(found) } else { found.clone() };
        resolve::resolve_chain(Arc::make_mut(&mut resolved), keys);
        if is_gathered {
            *found = resolved.clone();
        }
        let is_settled = resolved.roots.len() <= 1
            && resolved.epochs.values().all(|epoch| epoch.is_settled())
            && resolved.gaps(number, Position::new(number, 0, 0), None).is_empty();
        let facts = resolved.facts(number, keys.secret.is_some()).filter(|_| is_settled)?;
        Some(Self { found: found.clone(), resolved, facts: Arc::new(facts) })
    }
}

impl Epoch {
    /// Is each of its lines here once, and is nothing about them that another pass or another epoch could explain?
    fn is_settled(&self) -> bool {
        let once =
            self.opens.len() <= 1 && self.checkpoints.len() <= 1 && self.lines.again().next().is_none();
        once && !self.is_doubtful()
            && !self.is_json_outside_r()
            && self.covered != Some(false)
            && self.claimed.is_empty()
            && self.unread.is_none()
            && (self.reserialized, self.first_reserialized) == (0, None)
    }
}
