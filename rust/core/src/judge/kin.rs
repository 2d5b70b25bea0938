//! Logs in a row, each rekeyed into the next, of which some keys are not at hand (SPEC section 9).
//!
//! A log that is known names its neighbour by its public key. With that the neighbour's own notices can be checked,
//! which name the next one. So lines are known for what they are along the row.

use crate::line::{LogId, Position};
use crate::scan::LogKeys;
use crate::scan::summary::{Claims, Kin, MOST_LOGS};
use crate::seal::keys::PublicKey;
use crate::seal::notice::Notice;
use crate::seal::statement::{CertCache, Statement};

/// In which direction a row of logs is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Toward {
    /// To those before.
    Predecessors,
    /// To those after.
    Successors,
}

impl Toward {
    fn named(self, notice: &Notice, at: Position) -> Option<PublicKey> {
        match self {
            Self::Predecessors => notice.predecessor(at),
            Self::Successors => notice.successor(),
        }
    }
}

/// The logs in a row from one that a log names, the nearest first.
pub(super) fn row(kin: &Kin, named: Option<PublicKey>, toward: Toward) -> Vec<LogId> {
    let (mut row, mut next) = (Vec::new(), named);
    while let Some(key) = next.filter(|key| !row.contains(&key.log_id()) && row.len() <= MOST_LOGS) {
        row.push(key.log_id());
        next = kin.0.get(&key.log_id()).and_then(|claims| next_of(claims, key, toward));
    }
    row
}

/// The log that one names which made these claims: of notices that hold the first one says which log was before it, the
/// last one which comes after it.
fn next_of(claims: &Claims, key: PublicKey, toward: Toward) -> Option<PublicKey> {
    let keys = LogKeys::new(key, None);
    // Beyond the first that does not hold, no generation can be checked.
    let _ = claims.opens.values().try_for_each(|(_, text)| keys.learn_open(text));
    let named = |(at, text): &(Position, Vec<u8>)| {
        let statement = Statement::parse(text).filter(|s| s.agrees(&keys.public, keys.log_id(), *at))?;
        let named = toward.named(&statement.notice()?, *at)?;
        let root = keys.root(statement.generation())?;
        statement.check(&root, &mut CertCache::default()).ok().map(|()| named)
    };
    match toward {
        Toward::Predecessors => claims.notices.iter().find_map(named),
        Toward::Successors => claims.notices.iter().rev().find_map(named),
    }
}
