//! Is a line authentic? With V its tag says so; with P only, it is taken at its word.

use zeroize::Zeroize;

use super::entry_keys::{Kept, KeyAt};
use super::walk::Scanner;
use super::{Mode, record, why};
use crate::hash::{self, Digest, LinePair, Mac, Many, Text, first16, hmac, leaf};
use crate::line::canon::without_tally;
use crate::line::{self, Form, Position, Proof, Read, Seal, Span, parse_seal};
use crate::scan::summary::{EpochId, Kind, LogNumber, Pending, Record, Roots, Why};
use crate::seal::statement::{Body, Statement, control_text, control_text_open};

/// What an authentic line adds to its epoch.
#[derive(Clone, Copy)]
enum Line<'a> {
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

/// An entry by the looks of it, with all that hashing it takes.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    id: EpochId,
    index: u16,
    tag: [u8; 16],
    text: Text<'a>,
    pub(super) with_v: bool,
    /// A carrier put something before it.
    pub(super) prefixed: bool,
    /// It has a lane of its own.
    pub(super) ordinary: bool,
    /// Steps of the key schedule that its key took.
    pub(super) cost: u64,
}

impl Entry<'_> {
    pub(super) const NONE: Self = Self {
        id: (0, 0, 0),
        index: 0,
        tag: [0; 16],
        text: Text::Whole(&[]),
        with_v: false,
        prefixed: false,
        ordinary: false,
        cost: 0,
    };
}

impl Scanner<'_> {
    /// The line as an entry, if nothing about it is out of the ordinary.
    #[inline]
    pub(super) fn entry<'a>(&self, line: &'a [u8], read: &Read) -> Option<Entry<'a>> {
        let Read::Sealed(sealed) = read else { return None };
        let (seal, Proof::Tag { tag, .. }) = (&sealed.seal, sealed.seal.proof) else { return None };
        let number = self.keys.find(seal.log)?;
        let (id, text) = ((number, seal.at.chain, seal.at.epoch), text(line, sealed.m));
        let with_v = self.keys.log(number).secret.is_some();
        if !with_v && !self.affords(id) {
            return None;
        }
        let rewritten = !with_v && matches!(text, Text::Open(_)) && self.canonical(id);
        let start = sealed.m.start();
        let plain =
            self.is_prefix(&line[..start]) && self.wanted(id) && control(text).is_none() && !rewritten;
        let (index, prefixed) = (seal.at.index, start > 0);
        plain.then_some(Entry { id, index, tag, text, with_v, prefixed, ordinary: false, cost: 0 })
    }

    /// The leaves of two entries, hashed side by side; the leaf is missing where the tag does not match.
    ///
    /// `None` if they cannot be judged together.
    #[inline]
    pub(super) fn leaves(&mut self, [a, b]: [&mut Entry<'_>; 2]) -> Option<[Option<Digest>; 2]> {
        if a.with_v != b.with_v {
            return None;
        }
        let lines = LinePair::new([a.text, b.text], 2);
        if !a.with_v {
            let hashes = lines.hash();
            return Some(hash::leaf_pair([&a.tag, &b.tag], &hashes).map(Some));
        }
        let logs = [a.id, b.id].map(|id| self.keys.log(id.0));
        let [at_a, at_b] = self.kept.find_both(logs, [a.id, b.id])?;
        if !self.kept.affords(at_a, a.index) || !self.kept.affords(at_b, b.index) {
            return None;
        }
        let mac_a = Mac::new(self.kept.key(at_a, a.index));
        a.cost += self.kept.take_spent();
        let mac_b = Mac::new(self.kept.key(at_b, b.index));
        b.cost += self.kept.take_spent();
        let hashes = lines.hash();
        let tags = Mac::tag_pair([&mac_a, &mac_b], &hashes);
        let leaf_a = self.kept.leaf(at_a, a.index, &a.tag, &hashes[0]);
        let leaf_b = self.kept.leaf(at_b, b.index, &b.tag, &hashes[1]);
        Some([(tags[0] == a.tag).then_some(leaf_a), (tags[1] == b.tag).then_some(leaf_b)])
    }

    /// Puts an entry in a lane, with its key; `false` if that cannot be had.
    #[inline]
    pub(super) fn lay<'a>(&mut self, many: &mut Many<'a>, lane: usize, entry: &mut Entry<'a>) -> bool {
        if entry.with_v {
            let found = self.kept.find(self.keys.log(entry.id.0), entry.id);
            let known = match found {
                KeyAt::Epoch(slot) if self.kept.affords(slot, entry.index) => {
                    many.key(lane, self.kept.key(slot, entry.index));
                    true
                }
                _ => false,
            };
            entry.cost = self.kept.take_spent();
            if !known {
                return false;
            }
        }
        many.lay(lane, 2, entry.text, &entry.tag);
        true
    }

    /// Takes in an entry whose leaf [`leaves`](Self::leaves) gave.
    #[inline]
    pub(super) fn take_entry(&mut self, entry: &Entry<'_>, leaf: Digest) {
        let at = Position::new(entry.id.1, entry.id.2, entry.index);
        self.kept.earn();
        self.authentic(entry.id.0, at, leaf, Line::Entry);
        if let (Text::Open(_), false) = (entry.text, entry.with_v) {
            self.epoch(entry.id).json = true;
        }
    }

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
    fn with_v(&mut self, number: LogNumber, at: Position, tag: &[u8; 16], text: Text<'_>) -> Result<(), Why> {
        let log = self.keys.log(number);
        match self.kept.find(log, (number, at.chain, at.epoch)) {
            KeyAt::Epoch(slot) if !self.kept.affords(slot, at.index) => Err(Why::Effort),
            KeyAt::Epoch(slot) => {
                let mac = Mac::new(self.kept.key(slot, at.index));
                let statement = control(text);
                let prefixes = if statement.is_some() { [3, 2] } else { [2, 3] };
                for prefix in prefixes {
                    let l = text.hash(prefix);
                    let leaf = self.kept.leaf(slot, at.index, tag, &l);
                    if mac.tag(&l) != *tag {
                        continue;
                    }
                    let what =
                        if prefix == 3 { Line::Control(statement.unwrap_or_default()) } else { Line::Entry };
                    self.kept.earn();
                    self.authentic(number, at, leaf, what);
                    return Ok(());
                }
                self.kept.waste();
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
    fn narrowed(&mut self, number: LogNumber, at: Position) {
        self.out.log(number).counts.narrowed += 1;
        self.in_order(number, at);
    }

    /// Does m match the tag of its seal, whatever stands before it? Only V can tell.
    pub(super) fn fits(&mut self, line: &[u8], number: LogNumber, seal: &Seal, m: Span) -> bool {
        let (log, at, text) = (self.keys.log(number), seal.at, text(line, m));
        let (Some(_), Proof::Tag { tag, .. }) = (&log.secret, seal.proof) else { return false };
        let KeyAt::Epoch(slot) = self.kept.find(log, (number, at.chain, at.epoch)) else { return false };
        if !self.kept.affords(slot, at.index) {
            return false;
        }
        let mac = Mac::new(self.kept.key(slot, at.index));
        let holds = [2, 3].into_iter().any(|prefix| mac.tag(&text.hash(prefix)) == tag);
        self.kept.waste();
        holds
    }

    /// With P only, signature and paths say what is control; the tree says the rest.
    fn with_p(&mut self, number: LogNumber, at: Position, tag: &[u8; 16], text: Text<'_>) -> Result<(), Why> {
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
        self.authentic(number, at, leaf(tag, &text.hash(2)), Line::Entry);
        Ok(())
    }

    /// Takes in a line that is authentic (with V) or taken at its word (with P only).
    fn authentic(&mut self, number: LogNumber, at: Position, leaf: Digest, what: Line<'_>) {
        let log = self.keys.log(number);
        let id = (number, at.chain, at.epoch);
        let why = match what {
            Line::Entry if (at.epoch, at.index) == (0, 0) => Why::NoOpen,
            Line::Entry => {
                self.seen_line(number, at);
                self.add(id, at.index, leaf);
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

    fn control(&mut self, number: LogNumber, statement: &Statement<'_>, leaf: Digest) {
        let at = statement.position();
        self.seen_line(number, at);
        let record = self.record(number, statement);
        let roots = Roots { epoch: statement.epoch_root(), next: statement.next_root() };
        let id = (number, at.chain, at.epoch);
        self.out.log(id.0).chains.entry(at.chain).or_default().note_roots(roots);
        if let Body::Open { .. } = statement.body {
            self.epoch(id).opens.push(record);
            self.add(id, at.index, leaf);
        } else {
            self.epoch(id).checkpoints.push(record);
        }
    }

    /// The record of a statement that holds. A forged proof must not cost more than another forged line.
    fn record(&mut self, number: LogNumber, statement: &Statement<'_>) -> Record {
        let (at, place) = (statement.position(), self.place);
        let known = self.epoch((number, at.chain, at.epoch)).opens.last().copied();
        if let Some(known) = known.filter(|open| open.at == at && open.hash == statement.hash()) {
            return Record { place, ..known };
        }
        let record = record(self.keys.log(number), statement, place);
        if let (Body::Open { prev }, Some(false)) = (record.body, record.proof) {
            self.kept.spend(Kept::steps_to(prev.mark.at));
            self.kept.waste();
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
            match self.kept.find(self.keys.log(number), id) {
                KeyAt::Epoch(slot) if self.kept.affords(slot, seal.at.index) => {
                    let k = self.kept.key(slot, seal.at.index);
                    let mut redact = [0; 32];
                    hash::derive_into(k, "redact", &mut redact);
                    holds = first16(&hmac(&redact, &[&leaf])) == r;
                    redact.zeroize();
                    if holds {
                        self.kept.earn();
                    } else {
                        self.kept.waste();
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

    fn bad_redacted(&mut self, kind: Kind, id: EpochId, seal: &Seal) {
        match kind {
            Kind::Altered(why) => self.altered(why, id.0, seal.at),
            _ => self.bad(kind, Some(id.0), Some(seal.at)),
        }
        self.claim(id, seal.at.index);
    }

    /// JSON that a carrier wrote anew: tried once more with the RFC 8785 form of the rest (SPEC section 4).
    ///
    /// `seal` is the one that a first look found in the line, if it found one.
    pub(super) fn rewritten(&mut self, line: &[u8], seal: Option<Seal>) -> bool {
        let trimmed = line::trim(line);
        let line = trimmed.trim_ascii_start();
        if line.first() != Some(&b'{') || line.last() != Some(&b'}') {
            return false;
        }
        let Some((m, s)) = without_tally(line) else { return self.as_it_is(line) };
        let Some(seal) = parse_seal(s.as_bytes()).or(seal) else { return false };
        let (Some(number), Proof::Tag { tag, length }) = (self.keys.find(seal.log), seal.proof) else {
            return false;
        };
        let id = (number, seal.at.chain, seal.at.epoch);
        if !self.wanted(id) {
            // A statement of an epoch that needs no second look was taken in the first.
            return m.len() == length as usize
                && self.speaks(number, seal.at, &m)
                && self.passed(id, seal.at);
        }
        // A line that had another length, or another form, when it was written is no such line.
        if m.len() != length as usize || line::form_of(&m) != Form::Json {
            return self.as_it_is(line);
        }
        let text = Text::Whole(&m);
        // Of a line that the key does not cover nobody knows what it was.
        let covered = self.keys.log(number).secret.as_ref().is_none_or(|secret| secret.covers(id.1));
        let rewritten = covered
            && !matches!(line::read(trimmed), Read::Sealed(sealed) if sealed.m.start() == 0
                && matches!(sealed.m, Span::Json(0, to) if m.strip_suffix(b"}") == Some(&line[..to])));
        self.in_other_form = rewritten;
        let done = if self.keys.log(number).secret.is_some() {
            self.with_v(number, seal.at, &tag, text).is_ok()
        } else {
            (self.canonical(id) || self.speaks(number, seal.at, &m))
                && self.with_p(number, seal.at, &tag, text).is_ok()
        };
        self.in_other_form = false;
        if done && rewritten && !matches!(self.mode, Mode::Detail(..)) {
            let place = self.place;
            self.epoch(id).note_reserialized(place);
        }
        done
    }

    /// With P only: is m a statement of this log and position that holds, or may still turn out to?
    fn speaks(&mut self, number: LogNumber, at: Position, m: &[u8]) -> bool {
        let log = self.keys.log(number);
        let Some(statement) = control_text(m).and_then(Statement::parse) else { return false };
        statement.agrees(&log.public, log.id, at)
            && log
                .root(statement.generation())
                .is_none_or(|root| statement.check(&root, &mut self.certs).is_ok())
    }

    /// A line without an RFC 8785 form, where lines are looked at in those forms.
    fn as_it_is(&mut self, line: &[u8]) -> bool {
        let Read::Sealed(sealed) = line::read(line) else { return false };
        let (Some(number), Span::Json(0, to)) = (self.keys.find(sealed.seal.log), sealed.m) else {
            return false;
        };
        let (Proof::Tag { tag, .. }, at) = (sealed.seal.proof, sealed.seal.at) else { return false };
        let id = (number, at.chain, at.epoch);
        if !self.wanted(id) || !self.canonical(id) {
            return false;
        }
        self.with_p(number, at, &tag, Text::Open(&line[..to])).is_ok()
    }
}
