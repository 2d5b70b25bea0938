//! Keys with which a verifier vouches for what it found, for its own later runs and for others with the same key.

use super::{Scope, VerificationKey, WHOLE};
use crate::secret::Secret;

impl VerificationKey {
    /// The key of a verifier's memory (SPEC section 7).
    pub(crate) fn memory(&self) -> Option<Secret> {
        let of = |secret: &Secret| secret.derive("memory");
        self.whole().map(of).or_else(|| self.chain(self.first()).as_ref().map(of))
    }

    /// What vouches for partial results (SPEC section 12): V, by [`WHOLE`], or each chain of a narrowed key.
    pub(crate) fn scope(&self) -> Vec<u32> {
        match &self.scope {
            Scope::All(_) => vec![WHOLE],
            Scope::Chains(keys) => keys.keys().copied().collect(),
        }
    }

    /// The key that vouches for partial results in the name of V or of a chain; `None` where this key cannot.
    pub(crate) fn partial(&self, chain: u32) -> Option<Secret> {
        let secret = if chain == WHOLE { self.whole().map(Secret::duplicate) } else { self.chain(chain) };
        secret.map(|secret| secret.derive("partial"))
    }
}
