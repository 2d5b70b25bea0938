//! Whether a summary that was read is one that a scan can leave.
//!
//! With P alone nobody vouches for what is read, and the code after it counts on what scans leave: numbers of logs that
//! exist, runs that do not overlap, sums that do not overflow.

use super::{Chain, Chunk, Epoch, Event, Log, LogNumber, Neighbour, Pending, Record, Strange, Summary};
use crate::scan::Keys;
use crate::seal::keys::VerificationKey;
use crate::seal::statement::Body;

/// Lines or bytes of one input, at most: 2^20 inputs of so many do not overflow a sum.
const MOST: u64 = 1 << 43;

impl Summary {
    /// Could a scan with some keys have left this, and would it look at the chains that it has?
    #[must_use]
    pub fn is_within(&self, keys: &Keys) -> bool {
        let Self { logs, chunks, events, unlisted, unsealed, excepted, kin: _, details } = self;
        let logs = logs.iter().all(|(number, log)| {
            keys.logs().get(*number as usize).is_some_and(|keys| {
                let newest = log.chains.keys().next_back().copied().unwrap_or(0);
                let known =
                    keys.secret.as_ref().is_none_or(VerificationKey::is_narrowed) || newest <= keys.reach;
                known && log.is_sound(*number)
            })
        });
        logs && details.is_empty()
            && chunks.values().all(|chunk| chunk.is_sound(keys))
            && events.iter().all(|event| event.is_sound(keys))
            && unlisted.iter().all(|((_, log), count)| is_known(*log, keys) && *count <= MOST)
            && *unsealed <= MOST
            && excepted.iter().all(|(number, count)| keys.has_excepted(*number) && *count <= MOST)
    }
}

fn is_known(log: Option<LogNumber>, keys: &Keys) -> bool {
    log.is_none_or(|number| (number as usize) < keys.logs().len())
}

fn is_near(one: Neighbour, keys: &Keys) -> bool {
    is_known(one.map(|(log, _)| log), keys) && one.is_none_or(|(_, at)| at.chain > 0)
}

impl Strange {
    fn is_sound(&self) -> bool {
        self.unsealed <= MOST && self.foreign <= MOST && self.by_id.values().all(|count| *count <= MOST)
    }
}

impl Chunk {
    fn is_sound(&self, keys: &Keys) -> bool {
        let Self { lines, bytes, counted, strange, beginnings, edges, first, last } = self;
        let counts = [*lines, *bytes, *counted].iter().all(|count| *count <= MOST);
        counts
            && strange.is_sound()
            && beginnings.iter().all(|(log, (_, before))| is_known(Some(*log), keys) && before.is_sound())
            && edges.iter().all(|(log, edge)| {
                is_known(Some(*log), keys)
                    && edge.before_last.is_sound()
                    && [edge.first, edge.last, edge.low].iter().all(|at| at.chain > 0)
            })
            && is_near(*first, keys)
            && is_near(*last, keys)
    }
}

impl Event {
    fn is_sound(&self, keys: &Keys) -> bool {
        (1..=MOST).contains(&self.count)
            && is_known(self.log, keys)
            && self.first.is_some() == self.last.is_some()
            && [self.first, self.last].iter().flatten().all(|at| at.chain > 0)
            && is_near(self.before, keys)
            && is_near(self.after, keys)
    }
}

impl Log {
    fn is_sound(&self, number: LogNumber) -> bool {
        let Self { chains, pending, counts, notices, successor } = self;
        let counts = [counts.sealed, counts.prefixed, counts.redacted, counts.narrowed, counts.notices];
        let waits = |one: &Pending| one.at.chain > 0;
        counts.iter().all(|count| *count <= MOST)
            && chains.iter().all(|(c, chain)| *c > 0 && chain.is_sound(number, *c))
            && pending.iter().all(waits)
            && successor.as_ref().is_none_or(|(at, _)| at.chain > 0)
            && notices.iter().all(|((at, _), said)| at.chain > 0 && (1..=MOST).contains(&said.count))
    }
}

impl Chain {
    fn is_sound(&self, log: LogNumber, c: u32) -> bool {
        self.epochs.iter().all(|(e, epoch)| epoch.is_sound((log, c, *e)))
    }
}

impl Epoch {
    fn is_sound(&self, (log, c, e): (LogNumber, u32, u8)) -> bool {
        let here = |record: &Record| (record.at.chain, record.at.epoch) == (c, e);
        let opens = |record: &Record| here(record) && matches!(record.body, Body::Open { .. });
        let unread = |event: &Event| {
            let there = |at: crate::line::Position| (at.chain, at.epoch) == (c, e);
            event.log == Some(log)
                && (1..=MOST).contains(&event.count)
                && event.first.is_some_and(there)
                && event.last.is_some_and(there)
        };
        self.lines.is_sound()
            && self.checkpoints.iter().all(|record| here(record) && record.tree().is_some())
            && self.opens.iter().all(opens)
            && self.claimed.iter().all(|(start, end)| start < end && *end <= 1 << 16)
            && self.unread.as_deref().is_none_or(unread)
            && self.reserialized <= MOST
    }
}
