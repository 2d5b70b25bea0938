//! Secrets: 32 bytes that stay where they are, are wiped when they go, and are never shown.
//!
//! A secret lives in one heap cell from birth to end, so that moving its owner leaves no copy behind.
//! Its successor is written over it in place (SPEC section 3, Erasure).

use std::fmt;
use zeroize::Zeroize;

use crate::hash;

/// 32 secret bytes; wiped on drop, not cloneable, redacted in debug output.
pub struct Secret(Box<[u8; 32]>);

impl Secret {
    /// Takes the bytes over and wipes where they came from.
    #[must_use]
    pub fn take(source: &mut [u8; 32]) -> Self {
        let mut secret = Self(Box::new([0; 32]));
        secret.0.copy_from_slice(source);
        source.zeroize();
        secret
    }

    /// Takes bytes out of a longer buffer whose owner wipes it.
    pub(crate) fn copy_from(source: &[u8]) -> Option<Self> {
        let mut secret = Self(Box::new([0; 32]));
        if source.len() != 32 {
            return None;
        }
        secret.0.copy_from_slice(source);
        Some(secret)
    }

    /// `derive(self, label)`, SPEC section 2.
    pub(crate) fn derive(&self, label: &str) -> Self {
        let mut secret = Self(Box::new([0; 32]));
        hash::derive_into(&self.0, label, &mut secret.0);
        secret
    }

    /// Becomes `derive(self, label)`; the old value is overwritten.
    pub(crate) fn advance(&mut self, label: &str) {
        let mut next = [0; 32];
        hash::derive_into(&self.0, label, &mut next);
        self.0.copy_from_slice(&next);
        next[..].zeroize();
    }

    /// Becomes `H(self)`; the old value is overwritten.
    #[inline]
    pub(crate) fn ratchet(&mut self) {
        let mut next = hash::ratchet(&self.0);
        self.0.copy_from_slice(&next);
        next[..].zeroize();
    }

    /// The MACs under this secret and under `H(self)`; becomes `H(H(self))`, as two ratchets would do.
    #[inline]
    pub(crate) fn ratchet_twice(&mut self) -> [hash::Mac; 2] {
        hash::Mac::new_pair(&mut self.0)
    }

    /// A second holder of the same secret, for the ladder of a verifier only.
    pub(crate) fn duplicate(&self) -> Self {
        Self(Box::new(*self.0))
    }

    /// The bytes, for a primitive that needs them.
    #[inline]
    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Wipes the secret at once; what is left is 32 zero bytes.
    pub(crate) fn erase(&mut self) {
        self.0.zeroize();
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
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
