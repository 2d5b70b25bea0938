//! 32 secret bytes, and what may be computed with them.

use std::fmt;

use super::memory::Cell;
use super::traces::{LINE, LINES, clean};
use crate::Error;
use crate::hash::lanes::Row;
use crate::hash::lanes::wide::Wide;
use crate::hash::{self, Digest, ManyKeys, wipe};

/// 32 secret bytes; wiped on drop, not cloneable, redacted in debug output.
pub struct Secret(Cell);

impl Secret {
    /// Takes the bytes over and wipes where they came from.
    #[must_use]
    pub fn take(source: &mut [u8; 32]) -> Self {
        let secret = Self::copy(source);
        wipe(source);
        secret
    }

    /// Takes bytes out of a longer buffer whose owner wipes it.
    pub(crate) fn copy_from(source: &[u8]) -> Option<Self> {
        source.try_into().ok().map(Self::copy)
    }

    fn copy(source: &[u8; 32]) -> Self {
        let mut cell = Cell::new();
        cell.halves_mut()[0] = *source;
        Self(cell)
    }

    /// `derive(self, label)`, SPEC section 2.
    pub(crate) fn derive(&self, label: &str) -> Self {
        let mut secret = Self(Cell::new());
        clean::<LINE, _>(|| hash::derive_into(self.expose(), label, secret.expose_mut()));
        secret
    }

    /// `HMAC(self, message)`, where that is a secret itself.
    pub(crate) fn mac(&self, message: &[u8]) -> Self {
        let mut secret = Self(Cell::new());
        clean::<LINE, _>(|| *secret.expose_mut() = hash::hmac(self.expose(), &[message]));
        secret
    }

    /// Becomes `derive(self, label)`; the old value is overwritten.
    pub(crate) fn advance(&mut self, label: &str) {
        self.replace::<LINE, _>(|key| {
            let mut next = [0; 32];
            hash::derive_into(key, label, &mut next);
            *key = next;
        });
    }

    /// Becomes `H(self)`; the old value is overwritten.
    pub(crate) fn ratchet(&mut self) {
        self.replace::<LINE, _>(|key| *key = hash::ratchet(key));
    }

    /// The tag of a line under this entry key, which becomes the next one before the tag is given.
    pub(crate) fn tag(&mut self, l: &Digest) -> [u8; 16] {
        self.replace::<LINE, _>(|key| hash::tag_and_ratchet(key, l))
    }

    /// The tags of lines, in pairs side by side, as so many calls of [`tag`](Self::tag) would give them.
    pub(crate) fn tag_pairs(&mut self, ls: &[[Digest; 2]], tags: &mut [[[u8; 16]; 2]]) {
        self.replace::<LINE, _>(|key| {
            for (number, (ls, tags)) in ls.iter().zip(tags).enumerate() {
                Self::keep_trace_of(key, number);
                let [one, two] = hash::Mac::new_pair(key);
                *tags = hash::Mac::tag_pair([&one, &two], ls);
            }
        });
    }

    /// The tags of as many lines, side by side: of the first `count` lanes, word by word.
    pub(crate) fn tag_many(&mut self, wide: Wide, ls: &[Row; 8], count: usize) -> [Row; 4] {
        self.replace::<LINES, _>(|key| {
            let mut keys = ManyKeys::new();
            for lane in 0..count {
                Self::keep_trace_of(key, lane);
                keys.put(lane, key);
                *key = hash::ratchet(key);
            }
            keys.tags(wide, ls)
        })
    }

    /// Has the secret replaced by another one, in place, and what that leaves elsewhere wiped.
    #[inline]
    fn replace<const DEPTH: usize, R>(&mut self, work: impl FnOnce(&mut [u8; 32]) -> R) -> R {
        self.keep_trace();
        clean::<DEPTH, _>(|| work(self.expose_mut()))
    }

    /// Leaves a copy behind where erasure is switched off.
    #[inline]
    fn keep_trace(&self) {
        if cfg!(feature = "keep-traces") {
            std::mem::forget(self.duplicate());
        }
    }

    /// The same for a later key of a batch; `replace` saw to the first one.
    #[inline]
    fn keep_trace_of(key: &[u8; 32], number: usize) {
        if cfg!(feature = "keep-traces") && number > 0 {
            std::mem::forget(Self::copy(key));
        }
    }

    /// A second holder of the same secret: for the ladder of a verifier, and where one walks ahead.
    pub(crate) fn duplicate(&self) -> Self {
        Self::copy(self.expose())
    }

    /// The bytes, for a primitive that needs them.
    #[inline]
    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0.halves()[0]
    }

    #[inline]
    fn expose_mut(&mut self) -> &mut [u8; 32] {
        &mut self.0.halves_mut()[0]
    }

    /// Are its bytes zero, as they are once it was wiped?
    #[inline]
    pub(crate) fn is_wiped(&self) -> bool {
        self.expose() == &[0; 32]
    }

    /// Wipes the secret at once; what is left is 32 zero bytes.
    pub(crate) fn erase(&mut self) {
        wipe(self.0.halves_mut().as_flattened_mut());
    }
}

/// May something be sealed or encrypted with these secrets?
///
/// # Errors
/// [`Error::Seal`] if one is not in memory that is locked, left out of core dumps, and wiped where a child is forked, or
/// if it was wiped there or erased.
pub(crate) fn check_usable(secrets: &[&Secret]) -> Result<(), Error> {
    if !secrets.iter().all(|secret| secret.0.is_guarded()) {
        return Err(not_locked());
    }
    if secrets.iter().any(|secret| secret.is_wiped()) {
        return Err(Error::Seal("these keys were erased: they do not outlast a fork".into()));
    }
    Ok(())
}

/// What to say where memory for secrets cannot be locked.
pub(super) fn not_locked() -> Error {
    Error::Seal(
        "keys cannot be kept in locked memory: raise its limit (ulimit -l 64, for systemd LimitMEMLOCK=64K in the unit, \
         for Docker --ulimit memlock=65536, for Kubernetes LimitMEMLOCK=64K in the unit of the node's container \
         runtime), and allow mlock and madvise where system calls are filtered"
            .into(),
    )
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taking_a_secret_wipes_its_source_and_debug_shows_nothing() {
        let mut source = [7; 32];
        let secret = Secret::take(&mut source);
        assert_eq!(source, [0; 32]);
        assert_eq!(format!("{secret:?}"), "Secret(redacted)");
    }

    #[test]
    fn advancing_in_place_equals_deriving() {
        let secret = Secret::take(&mut [3; 32]);
        let mut advanced = secret.duplicate();
        advanced.advance("next");
        assert_eq!(advanced.expose(), secret.derive("next").expose());
        let mut ratcheted = secret.duplicate();
        ratcheted.ratchet();
        assert_eq!(ratcheted.expose(), &hash::sha256(&[secret.expose()]));
    }
}
