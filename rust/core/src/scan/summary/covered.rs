//! What a summary says of chains whose keys its scan had, and of those whose keys it had not.

use std::collections::BTreeSet;

use super::{Log, LogNumber, Summary};
use crate::line::Position;
use crate::scan::Keys;
use crate::seal::keys::WHOLE;

impl Summary {
    /// Chains that lines claim and no key covered, as far as they are noted.
    #[must_use]
    pub fn narrowed(&self) -> Vec<(LogNumber, u32)> {
        let of = |(number, log): (&LogNumber, &Log)| {
            let number = *number;
            log.narrowed.iter().map(move |chain| (number, *chain)).collect::<Vec<_>>()
        };
        self.logs.iter().flat_map(of).collect()
    }

    /// Chains of which there is a statement that holds.
    #[must_use]
    pub fn stated(&self) -> Vec<(LogNumber, u32)> {
        let of = |(number, log): (&LogNumber, &Log)| {
            let (number, chains) = (*number, log.chains.iter());
            let stated = chains.filter(|(_, chain)| !chain.roots.is_empty());
            stated.map(move |(chain, _)| (number, *chain)).collect::<Vec<_>>()
        };
        self.logs.iter().flat_map(of).collect()
    }

    /// Is all that it says of logs whose secret key is at hand said of chains of a scope (SPEC section 12)? Then no line
    /// was left unjudged for want of a key either, and a scan with the whole key leaves the same.
    #[must_use]
    pub fn is_of(&self, keys: &Keys, scope: &BTreeSet<(LogNumber, u32)>) -> bool {
        self.logs.iter().all(|(number, log)| {
            let is_public = keys.logs().get(*number as usize).is_some_and(|keys| keys.secret.is_none());
            let within = |chain: u32| scope.contains(&(*number, chain));
            is_public || within(WHOLE) || log.is_of(within)
        })
    }
}

impl Log {
    fn is_of(&self, within: impl Fn(u32) -> bool) -> bool {
        let Self { chains, pending, counts, notices, successor, narrowed } = self;
        let says = |at: Position| within(at.chain);
        narrowed.is_empty()
            && counts.narrowed == 0
            && chains.iter().all(|(number, chain)| within(*number) || chain.is_claimed_only())
            && pending.iter().all(|one| says(one.at))
            && notices.keys().all(|(at, _)| says(*at))
            && successor.as_ref().is_none_or(|(at, _)| says(*at))
    }
}
