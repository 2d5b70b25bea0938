//! Is a line authentic? With V its tag says so; with P only, it is taken at its word.

use zeroize::Zeroize;

use super::collect::Scanner;
use super::entry_keys::{KeyAt, KeyCache};
use super::input::Mode;
use super::statements::{record, why};
use crate::hash::{self, Digest, Mac, Text, first16, hmac, leaf};
use crate::line::{Position, Proof, Seal, Span};
use crate::scan::summary::{EpochId, Kind, LogNumber, Pending, Record, Roots, Why};
use crate::seal::statement::{Body, Statement, control_text, control_text_open};

/// What an authentic line adds to its epoch.
#[derive(Clone, Copy)]
pub(super) enum Line<'a> {
    Entry,
    Control(&'a [u8]),
}

/// What stands in a line before its seal.
pub(super) fn text(line: &[u8], m: Span) -> Text<'_> {
    match m {
        Span::Plain(from, to) => Text::Whole(&line[from..to]),
        Span::Json(from, to) => Text::Open(&line[from..to]),
    }
}

/// The statement, if it may be a control line.
#[inline]
pub(super) fn control(text: Text<'_>) -> Option<&[u8]> {
    match text {
        Text::Whole(m) => control_text(m),
        Text::Open(m) => control_text_open(m),
    }
}

impl Scanner<'_> {
    /// A line whose seal fits its bytes: is it authentic?
    pub(super) fn sealed(&mut self, line: &[u8], number: LogNumber, seal: &Seal, m: Span) -> Result<(), Why> {
        let Proof::Tag { tag, .. } = seal.proof else { return Err(Why::Misfit) };
        let (text, json) = (text(line, m), matches!(m, Span::Json(..)));
        if self.keys.log(number).secret.is_some() {
            self.with_v(number, seal.at, &tag, text)
        } else {
            if json && self.canonical((number, seal.at.chain, seal.at.epoch)) {
                return Err(Why::Misfit); // tried in its RFC 8785 form first, by the caller
            }
            self.with_p(number, seal.at, &tag, text)?;
            if json {
                self.epoch((number, seal.at.chain, seal.at.epoch)).json = true;
            }
            Ok(())
        }
    }

    /// With V the tag decides, and it says whether the line is control or an entry.
    pub(super) fn with_v(
        &mut self,
        number: LogNumber,
        at: Position,
        tag: &[u8; 16],
        text: Text<'_>,
    ) -> Result<(), Why> {
        let log = self.keys.log(number);
        match self.cache.find(log, (number, at.chain, at.epoch)) {
            KeyAt::Epoch(slot) if !self.cache.affords(slot, at.index) => Err(Why::Effort),
            KeyAt::Epoch(slot) => {
                let mac = Mac::new(self.cache.key(slot, at.index));
                let statement = control(text);
                let prefixes = if statement.is_some() { [3, 2] } else { [2, 3] };
                for prefix in prefixes {
                    let l = text.hash(prefix);
                    let leaf = self.cache.leaf(slot, at.index, tag, &l);
                    if mac.tag(&l) != *tag {
                        continue;
                    }
                    let what =
                        if prefix == 3 { Line::Control(statement.unwrap_or_default()) } else { Line::Entry };
                    self.cache.earn();
                    self.authentic(number, at, leaf, what, text);
                    return Ok(());
                }
                self.cache.waste();
                Err(Why::Tag)
            }
            KeyAt::Narrowed => {
                self.narrowed(number, at);
                Ok(())
            }
            KeyAt::OutOfReach => Err(Why::Reach),
            KeyAt::Spent => Err(Why::Effort),
        }
    }

    /// A line that the key does not cover. It stands where its chain stands, not among lines that are covered.
    pub(super) fn narrowed(&mut self, number: LogNumber, at: Position) {
        self.out.log(number).counts.narrowed += 1;
        self.in_order(number, at);
    }

    /// Does m match the tag of its seal, whatever stands before it? Only V can tell.
    pub(super) fn fits(&mut self, line: &[u8], number: LogNumber, seal: &Seal, m: Span) -> bool {
        let (log, at, text) = (self.keys.log(number), seal.at, text(line, m));
        let (Some(_), Proof::Tag { tag, .. }) = (&log.secret, seal.proof) else { return false };
        let KeyAt::Epoch(slot) = self.cache.find(log, (number, at.chain, at.epoch)) else { return false };
        if !self.cache.affords(slot, at.index) {
            return false;
        }
        let mac = Mac::new(self.cache.key(slot, at.index));
        let holds = [2, 3].into_iter().any(|prefix| mac.tag(&text.hash(prefix)) == tag);
        self.cache.waste();
        holds
    }

    /// With P only, signature and paths say what is control; the tree says the rest.
    pub(super) fn with_p(
        &mut self,
        number: LogNumber,
        at: Position,
        tag: &[u8; 16],
        text: Text<'_>,
    ) -> Result<(), Why> {
        let log = self.keys.log(number);
        if let Some(spoken) = control(text)
            && let Some(statement) = Statement::parse(spoken)
            && statement.agrees(&log.public, log.id, at)
        {
            let leaves = [leaf(tag, &text.hash(3)), leaf(tag, &text.hash(2))];
            match log.root(statement.generation()) {
                Some(root) if statement.check(&root, &mut self.certs).is_ok() => {
                    log.learn(&statement);
                    self.control(number, &statement, leaves[0]);
                    return Ok(());
                }
                Some(_) => {}
                None => {
                    self.seen_line(number, at);
                    self.out.log(number).pending.push(Pending {
                        text: spoken.to_vec(),
                        at,
                        place: self.place,
                        leaves,
                    });
                    return Ok(());
                }
            }
        }
        if !self.affords((number, at.chain, at.epoch)) {
            return Err(Why::Effort);
        }
        self.authentic(number, at, leaf(tag, &text.hash(2)), Line::Entry, text);
        Ok(())
    }

    /// Takes in a line that is authentic (with V) or taken at its word (with P only).
    pub(super) fn authentic(
        &mut self,
        number: LogNumber,
        at: Position,
        leaf: Digest,
        what: Line<'_>,
        text: Text<'_>,
    ) {
        let log = self.keys.log(number);
        let id = (number, at.chain, at.epoch);
        let why = match what {
            Line::Entry if (at.epoch, at.index) == (0, 0) => Why::NoOpen,
            Line::Entry => {
                self.seen_line(number, at);
                self.add(id, at.index, leaf);
                if let Some(texts) = &mut self.texts {
                    texts.take(id, at, &leaf, text);
                }
                return;
            }
            Line::Control(text) => match Statement::parse(text) {
                Some(statement) if statement.agrees(&log.public, log.id, at) => {
                    let Some(root) = log.root(statement.generation()) else {
                        self.seen_line(number, at);
                        let pending =
                            Pending { text: text.to_vec(), at, place: self.place, leaves: [leaf; 2] };
                        self.out.log(id.0).pending.push(pending);
                        return;
                    };
                    match statement.check(&root, &mut self.certs) {
                        Ok(()) => {
                            log.learn(&statement);
                            self.control(number, &statement, leaf);
                            return;
                        }
                        Err(fault) => why(fault),
                    }
                }
                _ => Why::Stranger,
            },
        };
        self.seen_line(number, at);
        self.bad(Kind::BadStatement(why), Some(id.0), Some(at));
        self.add(id, at.index, leaf);
        self.claim(id, at.index);
    }

    pub(super) fn control(&mut self, number: LogNumber, statement: &Statement<'_>, leaf: Digest) {
        let at = statement.position();
        self.seen_line(number, at);
        if let Some(texts) = &mut self.texts {
            texts.pass();
            return;
        }
        let roots = Roots { epoch: statement.epoch_root(), next: statement.next_root() };
        let id = (number, at.chain, at.epoch);
        self.out.log(id.0).chain(at.chain).note_roots(roots);
        if let Body::Notice { .. } = statement.body {
            if matches!(self.mode, Mode::All) {
                let place = self.place;
                self.out.log(number).note_notice(statement, place);
            }
            // In whichever form it is read, it proves itself: R needs not cover it to be as it was written.
            let in_other_form = std::mem::take(&mut self.in_other_form);
            self.add(id, at.index, leaf);
            self.in_other_form = in_other_form;
            return;
        }
        if let (Body::Open { .. }, 1) = (statement.body, at.chain) {
            self.chunk.beginnings.entry(number).or_insert_with(|| (self.place, self.chunk.strange.clone()));
        }
        let record = self.record(number, statement);
        if let Body::Open { .. } = statement.body {
            self.epoch(id).opens.push(record);
            self.add(id, at.index, leaf);
        } else {
            self.epoch(id).checkpoints.push(record);
        }
    }

    /// The record of a statement that holds. A forged proof must not cost more than another forged line.
    pub(super) fn record(&mut self, number: LogNumber, statement: &Statement<'_>) -> Record {
        let (at, place) = (statement.position(), self.place);
        let known = self.epoch((number, at.chain, at.epoch)).opens.last().copied();
        if let Some(known) = known.filter(|open| open.at == at && open.hash == statement.hash()) {
            return Record { place, ..known };
        }
        let record = record(self.keys.log(number), statement, place);
        if let (Body::Open { prev }, Some(false)) = (record.body, record.proof) {
            self.cache.spend(KeyCache::steps_to(prev.mark.at));
            self.cache.waste();
        }
        record
    }

    /// A line that was redacted: its leaf stands for it; with V, r says whether that was done by right.
    pub(super) fn redacted(&mut self, number: LogNumber, seal: &Seal) {
        let Proof::Redacted { leaf, r } = seal.proof else { return };
        let log = Some(number);
        let id = (number, seal.at.chain, seal.at.epoch);
        let mut holds = true;
        if self.keys.log(number).secret.is_some() {
            match self.cache.find(self.keys.log(number), id) {
                KeyAt::Epoch(slot) if self.cache.affords(slot, seal.at.index) => {
                    let k = self.cache.key(slot, seal.at.index);
                    let mut redact = [0; 32];
                    hash::derive_into(k, "redact", &mut redact);
                    holds = first16(&hmac(&redact, &[&leaf])) == r;
                    redact.zeroize();
                    if holds {
                        self.cache.earn();
                    } else {
                        self.cache.waste();
                    }
                }
                KeyAt::Narrowed => {
                    self.narrowed(number, seal.at);
                    return;
                }
                KeyAt::OutOfReach => return self.bad_redacted(Kind::Altered(Why::Reach), id, seal),
                KeyAt::Epoch(_) | KeyAt::Spent => {
                    return self.bad_redacted(Kind::Altered(Why::Effort), id, seal);
                }
            }
        } else if !self.affords(id) {
            return self.bad_redacted(Kind::Altered(Why::Effort), id, seal);
        }
        self.out.log(id.0).counts.redacted += 1;
        if holds {
            if (seal.at.epoch, seal.at.index) == (0, 0) {
                self.bad(Kind::BadStatement(Why::NoOpen), log, Some(seal.at));
            }
            self.seen_line(number, seal.at);
            self.bad(Kind::Redacted, log, Some(seal.at));
            self.add(id, seal.at.index, leaf);
        } else {
            self.bad_redacted(Kind::RedactedFalse, id, seal);
        }
    }

    pub(super) fn bad_redacted(&mut self, kind: Kind, id: EpochId, seal: &Seal) {
        match kind {
            Kind::Altered(why) => self.altered(why, id.0, seal.at),
            _ => self.bad(kind, Some(id.0), Some(seal.at)),
        }
        self.claim(id, seal.at.index);
    }
}
