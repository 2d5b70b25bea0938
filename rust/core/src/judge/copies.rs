//! Copies that end in the middle of a line: the line stands whole in another file (SPEC section 9).
//!
//! Which files those are the core does not know; it says which line is sought, and the caller looks.

use super::ends::{Ends, Expected};
use super::facts::Facts;
use super::torn::rows;
use crate::line::Position;
use crate::scan::Keys;
use crate::scan::summary::{Event, LogNumber};
use crate::seal::epoch::Place;

/// Broken ends that are looked into: somebody may have made many of them, and each costs a few reads.
const MOST: usize = 64;

/// A bad line without LF at the end of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenEnd {
    /// Number of its event.
    pub event: usize,
    /// Where it stands.
    pub place: Place,
    /// Which line would stand there, by log; none where no line of a known log is before it in its file.
    pub sought: Vec<(LogNumber, Position)>,
}

/// The broken ends of files.
pub(super) fn broken_ends(facts: &Facts, keys: &Keys, expected: &Expected) -> Vec<BrokenEnd> {
    let at_end = |row: &super::torn::Row<'_>| row.after.is_none() && !expected.whole.contains(&row.file);
    let mut ends: Vec<_> =
        rows(facts).into_iter().filter(at_end).filter_map(|mut row| row.events.pop()).collect();
    ends.retain(|(_, event)| event.count == 1 && is_last(facts, event));
    ends.truncate(MOST);
    if ends.is_empty() {
        return Vec::new();
    }
    let logs = Ends::of_all(facts, keys, expected);
    let sought = |event: &Event| {
        let last = facts.last_lines(event.place.file).into_iter();
        last.filter_map(|(log, at)| Some((log, logs.get(log as usize)?.next_position(at)))).collect()
    };
    ends.into_iter()
        .map(|(number, event)| BrokenEnd { event: number, place: event.place, sought: sought(event) })
        .collect()
}

/// Is this the last line of its file?
fn is_last(facts: &Facts, event: &Event) -> bool {
    let Place { file, chunk, line, .. } = event.place;
    let mut rest = facts.chunks().range((file, chunk)..=(file, u32::MAX));
    rest.next().is_some_and(|(id, own)| id.1 == chunk && own.lines == u64::from(line) + 1)
        && rest.all(|(_, later)| later.lines == 0)
}
