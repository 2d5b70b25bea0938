//! A verification key that covers some chains only (SPEC section 3): C[c] of each of them, and nothing else.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::{MOST_NARROWED, PublicKey, REACH, Scope, VerificationKey};
use crate::Error;
use crate::secret::Secret;

impl VerificationKey {
    /// The key of some of its chains, which tells nothing of the others.
    ///
    /// # Errors
    /// [`Error::Format`] if it does not cover them, or if they are more than [`MOST_NARROWED`].
    pub fn narrow(&self, first: u32, last: u32) -> Result<Self, Error> {
        let bad = |what: String| Err(Error::Format(what));
        if first == 0 || first > last {
            return bad(format!("chains {first} to {last} are no range: chains are numbered from 1 on"));
        }
        if !self.covers(first) || !self.covers(last) {
            let (from, to) = (self.first(), self.last());
            return bad(format!("the key covers chains {from} to {to} only, and cannot be made wider"));
        }
        if last - first >= MOST_NARROWED {
            return bad(format!(
                "chains {first} to {last} are too many for one key; {MOST_NARROWED} at most go into one"
            ));
        }
        let keys = match &self.scope {
            Scope::Chains(keys) => keys.range(first..=last).map(|(c, key)| (*c, key.duplicate())).collect(),
            Scope::All(_) if last > REACH => {
                return bad(format!("chains above {REACH} are out of reach"));
            }
            Scope::All(v) => {
                let (mut keys, mut a) = (BTreeMap::new(), self.link(v, first));
                for chain in first..last {
                    keys.insert(chain, a.derive("chain"));
                    a.advance("next");
                }
                keys.insert(last, a.derive("chain"));
                keys
            }
        };
        Ok(Self::of_chains(self.public.clone(), keys))
    }

    /// The key that is C[c] of some chains: of none, too.
    pub(crate) fn of_chains(public: PublicKey, keys: BTreeMap<u32, Secret>) -> Self {
        Self { public, scope: Scope::Chains(keys), ladder: Mutex::default() }
    }
}
