//! The keys of an audit log: one for each line, each out of the one before.

use crate::hash::{Begun, Digest, LANES, begin, hmac, ratchet};
use crate::secret::Secret;

/// The secret of an installation, from which every chain begins: whoever reads it can forge any log.
pub struct Key(Secret);

impl Key {
    /// Takes 32 bytes over and wipes where they came from.
    #[must_use]
    pub fn take(bytes: &mut [u8; 32]) -> Self {
        Self(Secret::take(bytes))
    }

    /// Where a chain begins.
    pub(crate) fn beginning(&self) -> Step {
        Step { key: ratchet(self.0.expose()), tag: None }
    }
}

/// Where in a chain the next line stands: its key, and the tag of the line before it.
#[derive(Clone, PartialEq, Eq)]
pub struct Step {
    key: [u8; 32],
    tag: Option<[u8; 32]>,
}

impl Step {
    /// The integrity of a line here, and where the next line stands.
    pub(crate) fn take(&self, data: &[u8]) -> ([u8; 32], Self) {
        let tag = match &self.tag {
            Some(before) => hmac(&self.key, &[data, before]),
            None => hmac(&self.key, &[data]),
        };
        Self::after(tag, ratchet(&self.key))
    }

    /// The same, of a line of which a part is hashed already: that counts only if it was hashed with the key of this step.
    pub(super) fn take_ready(&self, data: &[u8], ready: Option<Ready<'_>>) -> ([u8; 32], Self) {
        match (&self.tag, ready) {
            (Some(before), Some(ready)) if *ready.key == self.key => {
                Self::after(ready.begun.end(before), *ready.next)
            }
            _ => self.take(data),
        }
    }

    fn after(tag: [u8; 32], key: [u8; 32]) -> ([u8; 32], Self) {
        (ratchet(&tag), Self { key, tag: Some(tag) }) // what makes a key of a key is the hash of any 32 bytes
    }

    /// What tells one chain from another: the tag of its last line, which covers all of them.
    pub(crate) fn tag(&self) -> [u8; 32] {
        self.tag.unwrap_or_default()
    }
}

/// What can be hashed of a line before the line before it is judged.
#[derive(Clone, Copy)]
pub(super) struct Ready<'p> {
    key: &'p Digest,
    next: &'p Digest,
    begun: &'p Begun,
}

/// The keys that lines to come should have, if nothing was inserted or removed: they do not depend on lines.
pub(super) struct Keys {
    beginning: Digest,
    next: Option<Digest>,
}

impl Keys {
    /// Takes the step at which every chain begins, and that of the next line, if a chain is open.
    pub(super) fn new(beginning: &Step, next: Option<&Step>) -> Self {
        Self { beginning: beginning.key, next: next.map(|step| step.key) }
    }

    /// Goes on by a line that may begin a chain; gives its key and the next one, unless it begins a chain or none is open.
    pub(super) fn pass(&mut self, new: bool) -> Option<[Digest; 2]> {
        let key = if new { self.beginning } else { self.next? };
        let next = ratchet(&key);
        self.next = Some(next);
        (!new).then_some([key, next])
    }
}

/// Lines that are made ready: keys of them, and MACs that only lack the tag of the line before. Memory is used again.
#[derive(Default)]
pub(super) struct Prepared {
    keys: Vec<Digest>,
    next: Vec<Digest>,
    begun: Vec<Begun>,
}

impl Prepared {
    /// Makes lines ready, each with what it covers and whether it says that it begins a chain; calls back with the number
    /// of each that is.
    pub(super) fn fill<'l, L>(
        &mut self,
        keys: &mut Keys,
        lines: impl Iterator<Item = (L, &'l [u8], bool)>,
        mut ready: impl FnMut(L, usize),
    ) {
        let (mut group, mut count) = ([[].as_slice(); LANES], 0);
        for (line, data, new) in lines {
            let Some([key, next]) = keys.pass(new) else { continue };
            ready(line, self.keys.len());
            self.keys.push(key);
            self.next.push(next);
            group[count] = data;
            count += 1;
            if count == LANES {
                self.begin(&group);
                count = 0;
            }
        }
        self.begin(&group[..count]);
    }

    /// Is nothing ready?
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Makes room.
    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.next.clear();
        self.begun.clear();
    }

    fn begin(&mut self, group: &[&[u8]]) {
        begin(&self.keys[self.begun.len()..], group, &mut self.begun);
    }

    /// What is ready of a line.
    pub(super) fn at(&self, number: usize) -> Option<Ready<'_>> {
        let (key, next) = (self.keys.get(number)?, self.next.get(number)?);
        Some(Ready { key, next, begun: self.begun.get(number)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ready_counts_for_the_key_that_it_was_made_with_and_for_no_other() {
        let beginning = Key::take(&mut [7; 32]).beginning();
        let lines: Vec<Vec<u8>> = (0..40).map(|number| vec![b'a'; 5 * number]).collect();
        let mut prepared = Prepared::default();
        let (mut steps, mut numbers) = (vec![beginning.clone()], Vec::new());
        let given = lines.iter().enumerate().map(|(at, line)| (at, line.as_slice(), at % 25 == 0));
        prepared.fill(&mut Keys::new(&beginning, None), given, |at, number| numbers.push((at, number)));
        for (at, line) in lines.iter().enumerate() {
            let step = if at == 25 { &beginning } else { &steps[at] };
            steps.push(step.take(line).1);
        }
        assert_eq!(numbers.len(), 38); // a line that begins a chain waits for nothing
        for (at, number) in numbers {
            let ready = prepared.at(number);
            assert!(ready.is_some());
            assert!(steps[at].take_ready(b"other", ready) == steps[at].take(&lines[at]));
            for step in [&beginning, &steps[at - 1], &steps[at + 1]] {
                assert!(step.take_ready(b"other", ready) == step.take(b"other"));
            }
        }
        assert!(prepared.at(38).is_none());
    }
}
