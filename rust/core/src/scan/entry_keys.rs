//! The entry keys that a scan has at hand: K[i] of the epochs whose lines it has met.

use std::collections::BTreeSet;

use zeroize::Zeroize;

use super::keys::LogKeys;
use crate::hash::{self, Digest};
use crate::line::Position;
use crate::scan::summary::{EpochId, LogNumber, MOST_NARROWED};
use crate::secret::Secret;

/// Entry keys of an epoch, as far as they were needed.
struct EntryKeys {
    id: EpochId,
    keys: Vec<[u8; 32]>,
}

impl EntryKeys {
    fn new(id: EpochId, first: &Secret) -> Self {
        // An epoch of the usual length fits: 4,096 lines, the checkpoint, and the keys ahead.
        let mut keys = Vec::with_capacity(4097 + AHEAD);
        keys.push(*first.expose());
        Self { id, keys }
    }

    /// Becomes those of another epoch; what they were is overwritten, or wiped at the end.
    fn restart(&mut self, id: EpochId, first: &Secret) {
        self.id = id;
        self.keys.clear();
        self.keys.push(*first.expose());
    }

    #[inline]
    fn push(&mut self, key: [u8; 32]) {
        if self.keys.len() == self.keys.capacity() {
            self.grow();
        }
        self.keys.push(key);
    }

    /// Makes room without leaving a copy behind.
    #[cold]
    fn grow(&mut self) {
        let mut larger = Vec::with_capacity(2 * self.keys.capacity());
        larger.extend_from_slice(&self.keys);
        wipe(&mut std::mem::replace(&mut self.keys, larger));
    }
}

impl Drop for EntryKeys {
    fn drop(&mut self) {
        wipe(&mut self.keys);
    }
}

/// Wipes keys, and those of an earlier epoch that stand after them.
fn wipe(keys: &mut Vec<[u8; 32]>) {
    keys.clear();
    keys.spare_capacity_mut().zeroize();
}

/// Keys that are made before the line that needs them comes: two lines are hashed at a time.
const AHEAD: usize = 2;

/// Epochs in a row whose keys are made side by side: those of one wait for each other, those of several do not.
///
/// Four cost little more than one where four lanes are all there is. Elsewhere one key is made while a leaf is.
const BESIDE: usize =
    if cfg!(any(test, all(target_arch = "wasm32", target_feature = "simd128"))) { 4 } else { 1 };

/// Epochs whose entry keys are cached, for lines that come out of order.
const CACHED_EPOCHS: usize = 16 * BESIDE;

/// E of the epoch that was asked for last: the next one is one step away.
struct Cursor {
    id: EpochId,
    e: Secret,
}

/// The epochs that stand together with the one at a place, so many of them.
#[inline]
fn beside(epochs: &mut [EntryKeys], slot: usize, count: usize) -> &mut [EntryKeys] {
    &mut epochs[slot - slot % count..][..count]
}

/// Where the entry keys of an epoch are, or why they are not there.
#[derive(Clone, Copy)]
pub(super) enum KeyAt {
    Epoch(usize),
    Narrowed,
    OutOfReach,
    Spent,
}

/// Steps of the key schedule that lines may cost which then do not verify, in one chunk, and for each byte of it.
///
/// Without a bound, one forged line of 60 bytes costs as much as 65,000 honest ones. 50 ms are enough for what
/// accidents do to a file; 8 MiB of forged lines take a second.
const MOST_WASTED: u64 = 1 << 20;
const MOST_WASTED_PER_BYTE: u64 = 2;

/// Entry keys of some epochs.
pub(super) struct KeyCache {
    /// Those that are made side by side stand together.
    epochs: Vec<EntryKeys>,
    oldest: usize,
    /// The place that was asked for last.
    recent: usize,
    cursor: Option<Cursor>,
    /// Steps taken since a line was judged, and those that lines cost which did not verify.
    spent: u64,
    wasted: u64,
    most_wasted: u64,
    /// Chains that lines claim and the keys do not cover.
    pub(super) narrowed: BTreeSet<(LogNumber, u32)>,
}

impl KeyCache {
    /// None yet, for a scan of so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let most_wasted = MOST_WASTED + MOST_WASTED_PER_BYTE * bytes as u64;
        let (epochs, narrowed) = Default::default();
        Self { epochs, oldest: 0, recent: 0, cursor: None, spent: 0, wasted: 0, most_wasted, narrowed }
    }

    /// The place of an epoch's keys; it holds until another epoch is asked for.
    #[inline]
    pub(super) fn find(&mut self, log: &LogKeys, id: EpochId) -> KeyAt {
        if self.epochs.get(self.recent).is_some_and(|kept| kept.id == id) {
            return KeyAt::Epoch(self.recent);
        }
        self.find_other(log, id)
    }

    fn find_other(&mut self, log: &LogKeys, id: EpochId) -> KeyAt {
        let found = match self.epochs.iter().position(|kept| kept.id == id) {
            Some(slot) => slot,
            None if self.wasted > self.most_wasted => return KeyAt::Spent,
            None => match self.first(log, id) {
                Ok(key) => self.keep_with_next(log, id, &key),
                Err(why) => return why,
            },
        };
        self.recent = found;
        KeyAt::Epoch(found)
    }

    /// The places of two epochs' keys, if both are there.
    #[inline]
    pub(super) fn find_both(&mut self, logs: [&LogKeys; 2], ids: [EpochId; 2]) -> Option<[usize; 2]> {
        let KeyAt::Epoch(one) = self.find(logs[0], ids[0]) else { return None };
        if ids[0] == ids[1] {
            return Some([one, one]);
        }
        let KeyAt::Epoch(two) = self.find(logs[1], ids[1]) else { return None };
        // The second may have taken the place of the first.
        (self.epochs[one].id == ids[0]).then_some([one, two])
    }

    /// May K[index] be derived, after what was wasted so far?
    #[inline]
    pub(super) fn affords(&self, slot: usize, index: u16) -> bool {
        self.wasted <= self.most_wasted || usize::from(index) < self.epochs[slot].keys.len() + 4096
    }

    /// A line verified: its keys were worth their steps.
    #[inline]
    pub(super) fn earn(&mut self) {
        self.spent = 0;
    }

    /// The steps taken since a line was judged, which are then another's to account for.
    #[inline]
    pub(super) fn take_spent(&mut self) -> u64 {
        std::mem::take(&mut self.spent)
    }

    /// Steps that a key at a position takes at most, all in all.
    pub(super) fn steps_to(at: Position) -> u64 {
        4 * (1024 + u64::from(at.epoch)) + u64::from(at.index)
    }

    /// The steps that the line took which is judged next.
    #[inline]
    pub(super) fn spend(&mut self, steps: u64) {
        self.spent += steps;
    }

    /// A line did not verify.
    pub(super) fn waste(&mut self) {
        self.wasted += std::mem::take(&mut self.spent);
    }

    /// K[index] of the epoch at a place.
    #[inline]
    pub(super) fn key(&mut self, slot: usize, index: u16) -> &[u8; 32] {
        while self.epochs[slot].keys.len() <= usize::from(index) {
            self.spent += 1;
            self.step(slot);
        }
        &self.epochs[slot].keys[usize::from(index)]
    }

    /// Makes the next key of the epoch at a place, and of those beside it that have not more.
    #[inline]
    fn step(&mut self, slot: usize) {
        let reached = self.epochs[slot].keys.len();
        let beside = beside(&mut self.epochs, slot, BESIDE);
        let (mut next, mut count) = ([[0; 32]; BESIDE], 0);
        for keys in beside.iter().map(|epoch| &epoch.keys).filter(|keys| keys.len() <= reached) {
            next[count] = keys[keys.len() - 1];
            count += 1;
        }
        hash::ratchets(&mut next[..count]);
        let behind = beside.iter_mut().filter(|epoch| epoch.keys.len() <= reached);
        behind.zip(&next).for_each(|(epoch, key)| epoch.push(*key));
        hash::wipe(next.as_flattened_mut());
    }

    /// The leaf of the line at an index, whose key is there, and next to it a key for a line to come.
    #[inline]
    pub(super) fn leaf(&mut self, slot: usize, index: u16, tag: &[u8; 16], l: &Digest) -> Digest {
        let epoch = &mut self.epochs[slot];
        if epoch.keys.len() > usize::from(index) + 1 + AHEAD {
            return hash::leaf(tag, l);
        }
        let (leaf, next) = hash::leaf_and_ratchet(tag, l, &epoch.keys[epoch.keys.len() - 1]);
        epoch.push(next);
        leaf
    }

    /// Keeps the first key of an epoch and those of the ones after it, which are likely to be needed next.
    fn keep_with_next(&mut self, log: &LogKeys, id: EpochId, first: &Secret) -> usize {
        let slot = self.keep(id, first);
        for after in (1..).take(BESIDE - 1) {
            let next = id.2.checked_add(after).map(|number| (id.0, id.1, number));
            match next.map(|next| (next, self.first(log, next))) {
                Some((next, Ok(key))) => self.keep(next, &key),
                _ => self.keep(id, first), // the last epoch of its chain: there is none beside it
            };
        }
        slot
    }

    fn keep(&mut self, id: EpochId, first: &Secret) -> usize {
        if self.epochs.len() < CACHED_EPOCHS {
            self.epochs.push(EntryKeys::new(id, first));
            return self.epochs.len() - 1;
        }
        let slot = self.oldest;
        self.oldest = (slot + 1) % CACHED_EPOCHS;
        self.epochs[slot].restart(id, first);
        slot
    }

    /// K[0] of an epoch.
    fn first(&mut self, log: &LogKeys, id: EpochId) -> Result<Secret, KeyAt> {
        let Some(secret) = &log.secret else { return Err(KeyAt::OutOfReach) };
        if let Some(cursor) = &mut self.cursor
            && (cursor.id.0, cursor.id.1) == (id.0, id.1)
            && cursor.id.2 <= id.2
        {
            for _ in cursor.id.2..id.2 {
                cursor.e.advance("next");
            }
            cursor.id = id;
            return Ok(cursor.e.derive("entry"));
        }
        if !secret.covers(id.1) {
            if self.narrowed.len() < MOST_NARROWED {
                self.narrowed.insert((id.0, id.1));
            }
            return Err(KeyAt::Narrowed);
        }
        if !secret.is_narrowed() && id.1 > log.reach {
            return Err(KeyAt::OutOfReach);
        }
        // Up to 1,024 chains, then the epochs before; each takes an HMAC.
        self.spent += Self::steps_to(Position::new(id.1, id.2, 0));
        let mut e = secret.chain(id.1).ok_or(KeyAt::OutOfReach)?.derive("epochs");
        for _ in 0..id.2 {
            e.advance("next");
        }
        let key = e.derive("entry");
        self.cursor = Some(Cursor { id, e });
        Ok(key)
    }
}
