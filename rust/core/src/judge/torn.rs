//! Torn lines: what a writer left half-written when it was killed (SPEC sections 7 and 9).
//!
//! There is at most one at an unclean end, and where a chain's `open` broke off, the beginning of that. A torn line
//! says nothing: the position that a seal inside it claims is not taken for present.

use std::collections::{BTreeMap, BTreeSet};

use super::ends::{Ends, Expected};
use super::facts::{Facts, Torn};
use super::openings::prev_of;
use crate::line::Position;
use crate::scan::Keys;
use crate::scan::summary::{Event, Kind, Neighbour, Record, Why};

/// Lines in a row; as many crashes one after the other within the first line.
const MOST: u64 = 8;

/// Bad lines between two known lines, or at an end of a file.
pub(super) struct Row<'a> {
    pub(super) file: u32,
    before: Neighbour,
    pub(super) after: Neighbour,
    pub(super) events: Vec<(usize, &'a Event)>,
}

/// Rows of lines that a crash may have broken, in the order of the input.
pub(super) fn rows(facts: &Facts) -> Vec<Row<'_>> {
    let mut numbers = BTreeMap::new();
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (number, event) in facts.events().iter().enumerate().filter(|(_, event)| may_be_broken(event)) {
        let (before, after) = neighbours(facts, event);
        let file = event.place.file;
        let row = *numbers.entry((file, before, after)).or_insert(rows.len());
        if row == rows.len() {
            rows.push(Row { file, before, after, events: Vec::new() });
        }
        rows[row].events.push((number, event));
    }
    rows
}

/// Could a crash have left these lines? With P only, JSON that was written in another form is whole.
fn may_be_broken(event: &Event) -> bool {
    let kind = match event.kind {
        Kind::Unsealed | Kind::Foreign(_) => true,
        Kind::Altered(why) => why != Why::Rewritten,
        _ => false,
    };
    kind && !event.texts.is_empty()
}

/// The known lines around a bad one, which may stand in other chunks of its file.
fn neighbours(facts: &Facts, event: &Event) -> (Neighbour, Neighbour) {
    let (file, chunk) = (event.place.file, event.place.chunk);
    let mut earlier = facts.chunks().range((file, 0)..(file, chunk)).rev();
    let mut later = facts.chunks().range((file, chunk)..=(file, u32::MAX)).filter(|(id, _)| id.1 > chunk);
    let before = event.before.or_else(|| earlier.find_map(|(_, chunk)| chunk.last));
    (before, event.after.or_else(|| later.find_map(|(_, chunk)| chunk.first)))
}

/// Finds the torn lines; `copies` are the events that are the broken ends of copies.
pub(super) fn torn_lines(facts: &Facts, keys: &Keys, expected: &Expected, copies: &BTreeSet<usize>) -> Torn {
    let (rows, mut torn) = (rows(facts), Torn::default());
    if rows.is_empty() {
        return torn;
    }
    let logs = Ends::of_all(facts, keys, expected);
    for mut row in rows {
        row.pass_over_predecessors(facts);
        if let Some(end) = row.events.pop_if(|(number, _)| copies.contains(number)) {
            torn.take([end]);
        }
        let count: u64 = row.events.iter().map(|(_, event)| event.count).sum();
        let several = |event: &Event| matches!(event.kind, Kind::Altered(_)) && event.count > 1;
        if count > MOST || row.events.iter().any(|(_, event)| several(event)) {
            continue;
        }
        if row.is_torn(&logs, expected.whole.contains(&row.file)) {
            torn.take(row.events);
        }
    }
    torn
}

impl Row<'_> {
    /// Leaves out lines of the logs before the one that opens after them: their writers wrote them whole.
    fn pass_over_predecessors(&mut self, facts: &Facts) {
        if let (None, Some((log, _))) = (self.before, self.after) {
            let before = facts.kin(log).before;
            self.events.retain(|(_, event)| !matches!(event.kind, Kind::Foreign(id) if before.contains(&id)));
        }
    }

    fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.events.iter().flat_map(|(_, event)| event.texts.iter().map(|text| &**text))
    }

    /// Are these the lines that broken writers left between two known lines, or at the end of a file?
    fn is_torn(&self, logs: &[Ends<'_>], file_is_whole: bool) -> bool {
        let Some((log, _)) = self.after.or(self.before) else {
            // A file with nothing but the beginning of an opening: a writer was killed right there.
            return !file_is_whole && logs.iter().any(|log| begin_opens(log, self.texts(), 0, None));
        };
        let Some(log) = logs.get(log as usize) else { return false };
        let before = match self.before {
            Some((number, at)) if self.after.is_some_and(|(other, _)| other != number) => {
                // Before the first line of a log that follows another one, that one has ended.
                if !logs.get(number as usize).is_some_and(|other| has_ended_at(other, at)) {
                    return false;
                }
                None
            }
            before => before.map(|(_, at)| at),
        };
        let opening = match self.after {
            Some((_, at)) => match opening_at(log, at) {
                Some(opening) => Some(opening),
                None => return false,
            },
            None => None,
        };
        let Some(before) = before else { return begin_opens(log, self.texts(), 0, opening) };
        if opening.is_some_and(|opening| before.chain >= opening.at.chain) {
            return false;
        }
        if log.may_be_torn(before, opening.is_none()) {
            // The first is the last line of the chain before, whatever it holds.
            return begin_opens(log, self.texts().skip(1), before.chain, opening);
        }
        let at_end = opening.is_none();
        let closed = is_closed_at(log, before) && !(at_end && (file_is_whole || log.is_cut_after(before)));
        // The chain before is closed: only the beginnings of other chains may be broken.
        closed && begin_opens(log, self.texts(), before.chain, opening)
    }
}

/// The opening at a position, if its prev is authentic, and what that counts was written whole.
fn opening_at<'a>(log: &'a Ends<'_>, at: Position) -> Option<&'a Record> {
    let opening = log.chains.get(&at.chain)?.open.as_ref()?;
    if opening.at != at || !log.openings.vouches(opening) {
        return None;
    }
    // A broken line in the place of one that a head counted was broken later.
    let counted = prev_of(opening)?.at;
    (!log.chains.contains_key(&counted.chain) || log.reaches(counted)).then_some(opening)
}

/// Does a chain that its log goes on after end at a position, with `closed`?
fn is_closed_at(log: &Ends<'_>, at: Position) -> bool {
    // A chain of which nothing is known has statements that cannot be proved.
    log.chains.get(&at.chain).is_some_and(|chain| chain.last.0 == at && chain.is_closed())
}

/// Does a log end for ever at a position?
fn has_ended_at(log: &Ends<'_>, at: Position) -> bool {
    log.chains.get(&at.chain).is_some_and(|chain| chain.last.0 == at && chain.has_ended())
}

/// Is each line the beginning of an opening that the writer could have written there, and are they in order?
///
/// `before` is the chain before them, 0 if there is none; `opening` is the opening after them.
fn begin_opens<'a>(
    log: &Ends<'_>,
    texts: impl Iterator<Item = &'a [u8]>,
    before: u32,
    opening: Option<&Record>,
) -> bool {
    let most = u64::from(opening.map_or(u32::MAX, |opening| opening.at.chain - 1));
    let mut chain = u64::from(before);
    for text in texts {
        let Some(found) = log.keys.broken_opening(text) else { return false };
        if found.prev.is_some_and(|prev| !log.may_be_named(prev.at, &prev.hash)) {
            return false;
        }
        let ranges = match found.chain {
            Some(whole) => vec![(u64::from(whole), u64::from(whole))],
            None => numbers(&found.digits),
        };
        let free = |(low, high): (u64, u64)| lowest_free(log, low.max(chain + 1), high.min(most));
        let Some(lowest) = ranges.into_iter().filter_map(free).min() else { return false };
        chain = u64::from(lowest);
    }
    true
}

/// The ranges of chain numbers that begin with some digits: of 17 these are 17, 170 to 179, …
fn numbers(digits: &[u8]) -> Vec<(u64, u64)> {
    if digits.is_empty() {
        return vec![(1, u64::from(u32::MAX))];
    }
    let Some(longer) = 10usize.checked_sub(digits.len()) else { return Vec::new() };
    let number = digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    let scales = std::iter::successors(Some(1u64), |scale| Some(scale * 10));
    scales.take(longer + 1).map(|scale| (number * scale, (number + 1) * scale - 1)).collect()
}

/// The lowest chain of a range that was passed over, or is still to come, and of which no line is here.
fn lowest_free(log: &Ends<'_>, low: u64, high: u64) -> Option<u32> {
    let low = u32::try_from(low).ok()?;
    let high = u32::try_from(high.min(u64::from(u32::MAX))).ok()?;
    let newest = log.newest();
    let to_come = newest.checked_add(1).map(|next| (low.max(next), high));
    log.openings
        .passed(low, high.min(newest))
        .chain(to_come)
        .find_map(|(first, last)| (first..=last).find(|chain| !log.chains.contains_key(chain)))
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn numbers_that_begin_with_digits_are_ranges() {
        assert_eq!(numbers(b"17")[..3], [(17, 17), (170, 179), (1700, 1799)]);
        assert_eq!(numbers(b"4294967295"), [(4_294_967_295, 4_294_967_295)]);
        assert_eq!(numbers(b"42949672950"), []);
        assert_eq!(numbers(b""), [(1, 4_294_967_295)]);
    }
}
