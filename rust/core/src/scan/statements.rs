//! Statements that hold, and those that had to wait.

use super::keys::LogKeys;
use crate::scan::summary::{Pending, Record, Roots, Why};
use crate::seal::epoch::Place;
use crate::seal::head::Head;
use crate::seal::statement::{Body, CertCache, Fault, Statement};

pub(super) fn why(fault: Fault) -> Why {
    match fault {
        Fault::Stranger => Why::Stranger,
        Fault::Path => Why::Path,
        Fault::Cert => Why::Cert,
        Fault::Signature => Why::Signature,
    }
}

/// The record of a statement that holds; an open's prev is checked where the key allows it.
pub(crate) fn record(log: &LogKeys, statement: &Statement<'_>, place: Place) -> Record {
    let (at, body) = (statement.position(), statement.body);
    Record {
        at,
        hash: statement.hash(),
        time: statement.time,
        body,
        place,
        proof: proof(log, at.chain, body),
    }
}

/// Checks the prev of an open that was read where the key could not tell.
pub(crate) fn complete(log: &LogKeys, record: &mut Record) {
    record.proof = record.proof.or_else(|| proof(log, record.at.chain, record.body));
}

fn proof(log: &LogKeys, chain: u32, body: Body) -> Option<bool> {
    match (body, &log.secret) {
        // The chain before is not looked for behind this one: that could be a long way.
        (Body::Open { prev }, Some(_)) if prev.mark.at.chain >= chain => Some(false),
        (Body::Open { prev }, Some(key)) => {
            Head::at(log.id, prev.mark, key).map(|head| head.proof(chain) == prev.proof)
        }
        _ => None,
    }
}

/// Judges a statement that had to wait; `None` if its chain root is still unknown.
pub(crate) fn judge_pending(
    log: &LogKeys,
    pending: &Pending,
    cache: &mut CertCache,
) -> Option<Result<Roots, Why>> {
    let Some(statement) = Statement::parse(&pending.text) else { return Some(Err(Why::Stranger)) };
    let root = log.root(statement.generation())?;
    Some(match statement.check(&root, cache) {
        Ok(()) => {
            log.learn(&statement);
            Ok(Roots { epoch: statement.epoch_root(), next: statement.next_root() })
        }
        Err(fault) => Err(why(fault)),
    })
}
