//! Groups of bad lines: what no second look explained is added, and groups that the cut between two chunks parted are
//! joined.

use std::collections::BTreeMap;

use super::known::Known;
use crate::scan::summary::Event;
use crate::seal::epoch::Place;

/// Ends the work on events: sorts and joins them, and counts those that are too many.
pub(super) fn join(known: &mut Known) {
    let unread: Vec<Event> = known.unsettled().filter_map(|(_, e)| e.unread.as_deref().cloned()).collect();
    let summary = &mut known.summary;
    summary.events.extend(unread);
    summary.count_unlisted();
    let mut joined: Vec<Event> = Vec::with_capacity(summary.events.len());
    // Where the last line of a chunk belongs to a group, the group that goes on in the next chunk is joined to it.
    let mut open: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for event in std::mem::take(&mut summary.events) {
        let Place { file, chunk, line, .. } = event.place;
        let ends = summary.chunks.get(&(file, chunk)).map(|c| c.lines) == Some(u64::from(line) + event.count);
        let before = chunk.checked_sub(1).and_then(|chunk| open.get(&(file, chunk)).copied());
        let number = match before.and_then(|number| Some((number, joined.get_mut(number)?))) {
            Some((number, group)) if line == 0 && group.goes_on(event.kind, event.log, event.first) => {
                group.join(&event);
                number
            }
            _ => {
                joined.push(event);
                joined.len() - 1
            }
        };
        if ends {
            open.insert((file, chunk), number);
        }
    }
    summary.events = joined;
}
