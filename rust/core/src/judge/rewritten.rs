//! Lines that a carrier wrote in another form: with P only, the RFC 8785 form of them may be what R covers.

use std::collections::{BTreeMap, BTreeSet};

use super::resolve;
use crate::scan::Keys;
use crate::summary::{Epoch, EpochId, Event, Kind, Summary};

/// Epochs to scan once more in the RFC 8785 form of their lines: with P only, where R does not match.
pub(super) fn candidates(summary: &Summary, keys: &Keys) -> BTreeSet<EpochId> {
    let with_p = |id: &EpochId| keys.logs().get(id.0 as usize).is_some_and(|log| log.secret.is_none());
    summary
        .epochs()
        .filter(|(id, e)| with_p(id) && (e.unread.is_some() || is_json_outside_r(e)))
        .map(|(id, _)| id)
        .collect()
}

/// Has it lines whose RFC 8785 form R may cover, if it does not cover them as they are?
fn is_json_outside_r(epoch: &Epoch) -> bool {
    epoch.json && !epoch.checkpoints.is_empty() && epoch.covered != Some(true)
}

/// Takes over those epochs of a second scan that say more in it: whose R matches, or would if each line stood
/// there once, or that no R covers in either.
///
/// Gives those: a closer look at them must be one at the RFC 8785 forms, too, or lines would be lost.
pub(super) fn adopt(summary: &mut Summary, other: Summary) -> BTreeSet<EpochId> {
    let Summary { logs, events, .. } = other;
    let id = |event: &Event| event.log.zip(event.first).map(|(log, at)| (log, at.chain, at.epoch));
    let mut bad: BTreeMap<EpochId, u64> = BTreeMap::new();
    for (id, count) in events.iter().filter_map(|event| Some((id(event)?, event.count))) {
        *bad.entry(id).or_default() += count;
    }
    let mut adopted = BTreeSet::new();
    for (number, log) in logs {
        let mine = summary.log(number);
        let pending: BTreeSet<_> = log.pending.iter().map(|p| (p.at.chain, p.at.epoch)).collect();
        for (c, chain) in log.chains {
            for (e, mut epoch) in chain.epochs {
                resolve::resolve_epoch(&mut epoch, false);
                let old = mine.epoch(c, e);
                if !says_more(&epoch, old, pending.contains(&(c, e))) {
                    continue;
                }
                // Lines that only this scan could read are sealed ones after all.
                let unread = std::mem::replace(old, *epoch).unread.map_or(0, |event| event.count);
                let bad = bad.get(&(number, c, e)).copied().unwrap_or(0);
                mine.counts.sealed += unread.saturating_sub(bad);
                adopted.insert((number, c, e));
            }
        }
    }
    let ours = |event: &Event| id(event).is_some_and(|id| adopted.contains(&id));
    summary.events.retain(|event| !(ours(event) && matches!(event.kind, Kind::Altered(_))));
    summary.events.extend(events.into_iter().filter(ours));
    adopted
}

/// Does an epoch say more in the RFC 8785 form of its lines than the old one does?
fn says_more(epoch: &Epoch, old: &Epoch, has_pending: bool) -> bool {
    // Where no R can tell, lines are taken at their word, in this form as in the other.
    let at_its_word = old.unread.is_some()
        && epoch.covered.is_none()
        && epoch.checkpoints.is_empty() == old.checkpoints.is_empty()
        && !has_pending;
    epoch.covered == Some(true) || epoch.is_complete_with_copies() || at_its_word
}
