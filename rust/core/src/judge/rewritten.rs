//! Lines that a carrier wrote in another form: with P only, the RFC 8785 form of them may be what R covers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::known::Known;
use super::resolve;
use crate::scan::summary::{Chunk, Epoch, EpochId, Event, Kind, Summary};
use crate::seal::epoch::Place;

/// Epochs to scan once more in the RFC 8785 form of their lines: with P only, where R does not match.
pub(super) fn candidates(known: &Known) -> BTreeSet<EpochId> {
    let keys = known.keys.logs();
    let with_p = |id: &EpochId| keys.get(id.0 as usize).is_some_and(|log| log.secret.is_none());
    let wanted = |epoch: &Epoch| epoch.unread.is_some() || epoch.is_json_outside_r();
    known.unsettled().filter(|(id, epoch)| with_p(id) && wanted(epoch)).map(|(id, _)| id).collect()
}

impl Epoch {
    /// Has it lines whose RFC 8785 form R may cover, if it does not cover them as they are?
    pub(super) fn is_json_outside_r(&self) -> bool {
        self.json && !self.checkpoints.is_empty() && self.covered != Some(true)
    }
}

/// Takes over those epochs of a second scan that say more in it: whose R matches, or would if each line stood
/// there once, or that no R covers in either, or of which only in it all lines are here.
///
/// Gives those: a closer look at them must be one at the RFC 8785 forms, too, or lines would be lost.
pub(super) fn adopt(summary: &mut Summary, other: Summary) -> BTreeSet<EpochId> {
    let Summary { logs, events, chunks, unlisted, .. } = other;
    adopt_neighbours(summary, &events, &chunks);
    let is_whole = unlisted.is_empty();
    let (bad, known) = (altered_lines(&events), altered_lines(&summary.events));
    let (mut adopted, mut again) = (BTreeSet::new(), BTreeSet::new());
    for (number, log) in logs {
        let mine = summary.log(number);
        let pending: BTreeSet<_> = log.pending.iter().map(|p| (p.at.chain, p.at.epoch)).collect();
        for (c, chain) in log.chains {
            for (e, mut epoch) in Arc::unwrap_or_clone(chain).epochs {
                let id = (number, c, e);
                let lines = |of: &BTreeMap<EpochId, u64>| of.get(&id).copied().unwrap_or(0);
                resolve::resolve_epoch(&mut epoch, false);
                let old = mine.epoch(c, e);
                if says_more(&mut epoch, old, pending.contains(&(c, e))) {
                    // Lines that only this scan could read are sealed ones after all.
                    let unread = std::mem::replace(old, *epoch).unread.map_or(0, |event| event.count);
                    mine.counts.sealed += unread.saturating_sub(lines(&bad));
                    adopted.insert(id);
                    again.insert(id);
                } else if is_whole && take_off_unread(old, lines(&bad).saturating_sub(lines(&known))) {
                    again.insert(id);
                }
            }
        }
    }
    let ours = |event: &Event| epoch_of(event).is_some_and(|id| again.contains(&id));
    summary.events.retain(|event| !(ours(event) && matches!(event.kind, Kind::Altered(_))));
    summary.events.extend(events.into_iter().filter(ours));
    adopted
}

/// Does an epoch say more in the RFC 8785 form of its lines than the old one does?
fn says_more(epoch: &mut Epoch, old: &Epoch, has_pending: bool) -> bool {
    // Where no R can tell, lines are taken at their word, in this form as in the other.
    let at_its_word = old.unread.is_some()
        && epoch.covered.is_none()
        && epoch.checkpoints.is_empty() == old.checkpoints.is_empty()
        && !has_pending;
    let whole_now = old.unread.is_some() && old.covered.is_none() && epoch.covered == Some(false);
    let complete = epoch.is_complete_with_copies();
    if (at_its_word || whole_now) && !complete {
        // What no R covers does not match; statements, which the first look reported, do by themselves.
        epoch.reserialized = old.reserialized;
        epoch.first_reserialized = old.first_reserialized;
    }
    epoch.covered == Some(true) || complete || at_its_word || whole_now
}

/// Takes over the neighbours of bad lines, among which lines in their RFC 8785 form count, too.
fn adopt_neighbours(summary: &mut Summary, events: &[Event], chunks: &BTreeMap<(u32, u32), Chunk>) {
    let known: BTreeMap<Place, &Event> = events.iter().map(|event| (event.place, event)).collect();
    for event in &mut summary.events {
        let stands = matches!(event.kind, Kind::Altered(_) | Kind::Unsealed | Kind::Foreign(_));
        if let Some(again) = known.get(&event.place).filter(|again| stands && again.count == event.count) {
            (event.before, event.after) = (again.before, again.after);
        }
    }
    for (number, chunk) in chunks {
        if let Some(mine) = summary.chunks.get_mut(number) {
            (mine.first, mine.last) = (chunk.first, chunk.last);
        }
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

/// Takes lines that fit in no form, listed one by one elsewhere, off those that were left unread; `false` if there
/// are not so many.
fn take_off_unread(epoch: &mut Epoch, count: u64) -> bool {
    match &mut epoch.unread {
        Some(event) if event.count > count && count > 0 => event.count -= count,
        Some(event) if event.count == count => epoch.unread = None,
        _ => return false,
    }
    true
}
