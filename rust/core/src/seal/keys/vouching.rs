//! Keys with which a verifier vouches for what it found, for its own later runs and for others with the same key.

use super::{Scope, VerificationKey};
use crate::secret::Secret;

impl VerificationKey {
    /// The key of a verifier's memory (SPEC section 7).
    pub(crate) fn memory(&self) -> Option<Secret> {
        let of = |secret: &Secret| secret.derive("memory");
        self.whole().map(of).or_else(|| self.chain(self.first()).as_ref().map(of))
    }

    /// The keys that vouch for partial results (SPEC section 12): one of V, or one of each C[c] of a narrowed key.
    pub(crate) fn partials(&self) -> Vec<Secret> {
        let of = |secret: &Secret| secret.derive("partial");
        match &self.scope {
            Scope::All(v) => vec![of(v)],
            Scope::Chains(_, keys) => keys.iter().map(of).collect(),
        }
    }
}
