//! Ordinary entries, which are hashed side by side.

use super::authenticate::{Line, control, text};
use super::collect::Scanner;
use super::entry_keys::KeyAt;
use crate::hash::{self, Digest, LinePair, Mac, Many, Text};
use crate::line::{Position, Proof, Read};
use crate::scan::summary::EpochId;

/// An entry by the looks of it, with all that hashing it takes.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) id: EpochId,
    pub(super) index: u16,
    tag: [u8; 16],
    pub(super) text: Text<'a>,
    pub(super) with_v: bool,
    /// A carrier put something before it.
    pub(super) prefixed: bool,
    /// It is hashed beside others, with AVX-512 in a lane of its own.
    pub(super) ordinary: bool,
    /// Steps of the key schedule that its key took.
    pub(super) cost: u64,
}

impl Entry<'_> {
    pub(super) const NONE: Self = Self {
        id: (0, 0, 0),
        index: 0,
        tag: [0; 16],
        text: Text::Whole(&[]),
        with_v: false,
        prefixed: false,
        ordinary: false,
        cost: 0,
    };
}

impl Scanner<'_> {
    /// The line as an entry, if nothing about it is out of the ordinary.
    #[inline]
    pub(super) fn entry<'a>(&self, line: &'a [u8], read: &Read) -> Option<Entry<'a>> {
        let Read::Sealed(sealed) = read else { return None };
        let (seal, Proof::Tag { tag, .. }) = (&sealed.seal, sealed.seal.proof) else { return None };
        let number = self.keys.find(seal.log)?;
        let (id, text) = ((number, seal.at.chain, seal.at.epoch), text(line, sealed.m));
        let with_v = self.keys.log(number).secret.is_some();
        if !with_v && !self.affords(id) {
            return None;
        }
        let rewritten = !with_v && matches!(text, Text::Open(_)) && self.canonical(id);
        let start = sealed.m.start();
        let plain =
            self.is_prefix(&line[..start]) && self.wanted(id) && control(text).is_none() && !rewritten;
        let (index, prefixed) = (seal.at.index, start > 0);
        plain.then_some(Entry { id, index, tag, text, with_v, prefixed, ordinary: false, cost: 0 })
    }

    /// The leaves of two entries, hashed side by side; the leaf is missing where the tag does not match.
    ///
    /// `None` if they cannot be judged together.
    #[inline]
    pub(super) fn leaves(&mut self, [a, b]: [&mut Entry<'_>; 2]) -> Option<[Option<Digest>; 2]> {
        if a.with_v != b.with_v {
            return None;
        }
        let lines = LinePair::new([a.text, b.text], 2);
        if !a.with_v {
            let hashes = lines.hash();
            return Some(hash::leaf_pair([&a.tag, &b.tag], &hashes).map(Some));
        }
        let logs = [a.id, b.id].map(|id| self.keys.log(id.0));
        let [at_a, at_b] = self.cache.find_both(logs, [a.id, b.id])?;
        if !self.cache.affords(at_a, a.index) || !self.cache.affords(at_b, b.index) {
            return None;
        }
        let mac_a = Mac::new(self.cache.key(at_a, a.index));
        a.cost += self.cache.take_spent();
        let mac_b = Mac::new(self.cache.key(at_b, b.index));
        b.cost += self.cache.take_spent();
        let hashes = lines.hash();
        let tags = Mac::tag_pair([&mac_a, &mac_b], &hashes);
        let leaf_a = self.cache.leaf(at_a, a.index, &a.tag, &hashes[0]);
        let leaf_b = self.cache.leaf(at_b, b.index, &b.tag, &hashes[1]);
        Some([(tags[0] == a.tag).then_some(leaf_a), (tags[1] == b.tag).then_some(leaf_b)])
    }

    /// Puts an entry in a lane, with its key; `false` if that cannot be had.
    #[inline]
    pub(super) fn lay<'a>(&mut self, many: &mut Many<'a>, lane: usize, entry: &mut Entry<'a>) -> bool {
        if entry.with_v {
            let found = self.cache.find(self.keys.log(entry.id.0), entry.id);
            let known = match found {
                KeyAt::Epoch(slot) if self.cache.affords(slot, entry.index) => {
                    many.key(lane, self.cache.key(slot, entry.index));
                    true
                }
                _ => false,
            };
            entry.cost = self.cache.take_spent();
            if !known {
                return false;
            }
        }
        many.lay(lane, 2, entry.text, &entry.tag);
        true
    }

    /// Takes in an entry whose leaf [`leaves`](Self::leaves) gave.
    #[inline]
    pub(super) fn take_entry(&mut self, entry: &Entry<'_>, leaf: Digest) {
        let at = Position::new(entry.id.1, entry.id.2, entry.index);
        self.cache.earn();
        self.authentic(entry.id.0, at, leaf, Line::Entry, entry.text);
        if let (Text::Open(_), false) = (entry.text, entry.with_v) {
            self.epoch(entry.id).json = true;
        }
    }
}
