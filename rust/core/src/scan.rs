//! The map of the map and merge: bytes and keys in, a [`Summary`] out (SPEC section 7).
//!
//! With V every line stands on its own: its tag is recomputed. With P only, a line counts for what its
//! seal claims, and the tree over its epoch decides later. No allocation per line on the usual path.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::RwLock;
use zeroize::Zeroize;

use crate::Error;
use crate::canon::without_tally;
use crate::epoch::Place;
use crate::hash::{self, Digest, Mac, first16, hmac, leaf, line_hash, line_hash_json};
use crate::head::Head;
use crate::keys::{PublicKey, VerificationKey};
use crate::line::{self, Form, LogId, Position, Proof, Read, Seal, Span, parse_seal};
use crate::secret::Secret;
use crate::statement::{Body, CertCache, Fault, Statement, control_text, control_text_open};
use crate::summary::{
    Chunk, Edge, Epoch, EpochId, Event, Kind, LogNumber, Occurrence, Pending, Record, Roots, Seen, Summary,
    Why, note_seen,
};

/// A log that is to be verified.
pub struct LogKeys {
    /// P and name.
    pub public: PublicKey,
    /// V or a part of it, if at hand.
    pub secret: Option<VerificationKey>,
    id: LogId,
    /// Chain root of each generation that is known so far; the first is P.
    roots: RwLock<Vec<Digest>>,
}

impl LogKeys {
    /// Keys of one log.
    #[must_use]
    pub fn new(public: PublicKey, secret: Option<VerificationKey>) -> Self {
        let (id, roots) = (public.log_id(), RwLock::new(vec![public.root]));
        Self { public, secret, id, roots }
    }

    /// Id of the log.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.id
    }

    /// Chain root of a generation, if it is known.
    #[must_use]
    pub fn root(&self, generation: u32) -> Option<Digest> {
        let roots = self.roots.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        roots.get(generation as usize).copied()
    }

    /// Chain roots that are known, from generation 0 on.
    #[must_use]
    pub fn known_roots(&self) -> Vec<Digest> {
        self.roots.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Learns the chain root of the generation after a statement's from the statement, which holds.
    pub(crate) fn learn(&self, statement: &Statement<'_>) {
        let next = statement.generation() as usize + 1;
        let mut roots = self.roots.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if roots.len() == next {
            roots.push(statement.next_root());
        }
    }

    /// Learns from the `open` statements of a public file, oldest first (SPEC section 5).
    ///
    /// # Errors
    /// [`Error::Format`] at the first that does not hold.
    pub fn learn_open(&self, text: &[u8]) -> Result<(), Error> {
        let bad = |what| Error::Format(format!("public file of log {}: {what}", self.public.name));
        let statement = Statement::parse(text).ok_or_else(|| bad("a line is no statement"))?;
        let open = matches!(statement.body, Body::Open { .. });
        if !open || !statement.agrees(&self.public, self.id, statement.position()) {
            return Err(bad("an `open` is of another log"));
        }
        let root = self
            .root(statement.generation())
            .ok_or_else(|| bad("an older generation's `open` is lacking"))?;
        statement.check(&root, &mut CertCache::default()).map_err(|_| bad("an `open` does not hold"))?;
        self.learn(&statement);
        Ok(())
    }
}

/// The logs that are verified together.
#[derive(Default)]
pub struct Keys {
    logs: Vec<LogKeys>,
}

impl Keys {
    /// Adds a log.
    ///
    /// # Errors
    /// [`Error::Format`] if another log with its id is there already.
    pub fn add(&mut self, log: LogKeys) -> Result<(), Error> {
        if self.find(log.id).is_some() {
            return Err(Error::Format(format!("two keys for log id {}: give one key for each log", log.id)));
        }
        self.logs.push(log);
        Ok(())
    }

    /// The logs, by number.
    #[must_use]
    pub fn logs(&self) -> &[LogKeys] {
        &self.logs
    }

    #[inline]
    fn find(&self, id: LogId) -> Option<LogNumber> {
        (0..).zip(&self.logs).find(|(_, log)| log.id == id).map(|(number, _)| number)
    }

    /// The log with a number that [`find`](Self::find) gave.
    #[inline]
    fn log(&self, number: LogNumber) -> &LogKeys {
        &self.logs[number as usize]
    }
}

/// What a scan looks for.
pub enum Mode {
    /// Everything, with all bytes as they are.
    All,
    /// These epochs, in the RFC 8785 form of every line that has one (P only).
    Canonical(BTreeSet<EpochId>),
    /// Each line of these epochs, one by one.
    Detail(BTreeSet<EpochId>),
}

/// Bytes of a file, in whole lines.
pub struct Input<'a> {
    /// The bytes.
    pub data: &'a [u8],
    /// Number of the file.
    pub file: u32,
    /// Number of the chunk in the file.
    pub chunk: u32,
    /// Where the chunk begins in the file, in bytes.
    pub offset: u64,
    /// The last line was too long to be read whole, so it holds no seal.
    pub cut: bool,
}

/// Groups of lines of one kind that a chunk tells one by one; the others are counted.
fn most_told(kind: Kind) -> usize {
    if matches!(kind, Kind::Reserialized | Kind::Narrowed) { 1 } else { 1000 }
}

/// Scans some bytes.
#[must_use]
pub fn scan(keys: &Keys, input: &Input<'_>, mode: &Mode) -> Summary {
    let mut scanner = Scanner::new(keys, mode);
    scanner.run(input);
    scanner.out
}

/// Entry keys of an epoch, as far as they were needed.
struct EntryKeys {
    id: EpochId,
    keys: Vec<[u8; 32]>,
}

impl EntryKeys {
    fn new(id: EpochId, first: &Secret) -> Self {
        // An epoch of the usual length fits: 4,096 lines, the checkpoint, and one key ahead.
        let mut keys = Vec::with_capacity(4098);
        keys.push(*first.expose());
        Self { id, keys }
    }

    /// Becomes those of another epoch; what they were is overwritten, or wiped at the end.
    fn restart(&mut self, id: EpochId, first: &Secret) {
        self.id = id;
        self.keys.clear();
        self.keys.push(*first.expose());
    }

    /// K[index]. The one behind it is made as well: that does not wait for anything that a line needs.
    #[inline]
    fn at(&mut self, index: u16) -> &[u8; 32] {
        let index = usize::from(index);
        while self.keys.len() <= index + 1 {
            if self.keys.len() == self.keys.capacity() {
                self.grow();
            }
            self.keys.push(hash::ratchet(&self.keys[self.keys.len() - 1]));
        }
        &self.keys[index]
    }

    /// Makes room without leaving a copy behind.
    fn grow(&mut self) {
        let mut larger = Vec::with_capacity(2 * self.keys.capacity());
        larger.extend_from_slice(&self.keys);
        wipe(&mut std::mem::replace(&mut self.keys, larger));
    }
}

impl Drop for EntryKeys {
    fn drop(&mut self) {
        wipe(&mut self.keys);
    }
}

/// Wipes keys, and those of an earlier epoch that stand behind them.
fn wipe(keys: &mut Vec<[u8; 32]>) {
    keys.clear();
    keys.spare_capacity_mut().zeroize();
}

/// Epochs whose entry keys a scanner keeps, for lines that come out of order.
const KEPT_EPOCHS: usize = 16;

/// E of the epoch that was asked for last: the next one is one step away.
struct Cursor {
    id: EpochId,
    e: Secret,
}

/// What an authentic line adds to its epoch.
#[derive(Clone, Copy)]
enum Line<'a> {
    Entry,
    Control(&'a [u8]),
}

struct Scanner<'k> {
    keys: &'k Keys,
    mode: &'k Mode,
    out: Summary,
    chunk: Chunk,
    place: Place,
    entry_keys: Vec<EntryKeys>,
    oldest: usize,
    cursor: Option<Cursor>,
    certs: CertCache,
    /// Group of bad lines that goes on as long as such lines follow.
    group: Option<Event>,
    told: BTreeMap<Kind, usize>,
    bad_here: bool,
    epoch_at: Option<EpochId>,
    epoch: Epoch,
}

impl<'k> Scanner<'k> {
    fn new(keys: &'k Keys, mode: &'k Mode) -> Self {
        Self {
            keys,
            mode,
            out: Summary::default(),
            chunk: Chunk::default(),
            place: Place { file: 0, chunk: 0, line: 0, offset: 0 },
            entry_keys: Vec::new(),
            oldest: 0,
            cursor: None,
            certs: CertCache::default(),
            group: None,
            told: BTreeMap::new(),
            bad_here: false,
            epoch_at: None,
            epoch: Epoch::default(),
        }
    }

    fn run(&mut self, input: &Input<'_>) {
        self.place = Place { file: input.file, chunk: input.chunk, line: 0, offset: input.offset };
        let mut rest = input.data;
        while !rest.is_empty() {
            let (line, next, whole) = match memchr::memchr(b'\n', rest) {
                Some(end) => (&rest[..end], &rest[end + 1..], true),
                None => (rest, &rest[rest.len()..], false),
            };
            let cut = input.cut && next.is_empty();
            let read = if cut { Read::Unsealed } else { line::read(line) };
            self.bad_here = false;
            self.line(line, read);
            if !whole && !cut && self.bad_here {
                self.chunk.fragment = Some((self.place.line, line[..line.len().min(256)].to_vec()));
            }
            self.place.line = self.place.line.saturating_add(1);
            self.place.offset += (line.len() + 1) as u64;
            rest = next;
        }
        self.end_group(None);
        self.store_epoch();
        self.chunk.lines = u64::from(self.place.line);
        self.chunk.bytes = input.data.len() as u64;
        match self.mode {
            Mode::All => {
                self.out.chunks.insert((input.file, input.chunk), std::mem::take(&mut self.chunk));
            }
            Mode::Canonical(_) => {}
            // All else was noted when these lines were first seen.
            Mode::Detail(_) => self.out.logs.clear(),
        }
    }

    fn line(&mut self, line: &[u8], read: Read) {
        if read == Read::Nothing {
            return;
        }
        self.chunk.counted += 1;
        let seal = match read {
            Read::Sealed(ref sealed) => Some(sealed.seal),
            Read::Redacted(seal) | Read::Misfit(seal) => Some(seal),
            Read::Nothing | Read::Unsealed => None,
        };
        let Some(seal) = seal else {
            // A seal may still be written with escapes that only a JSON parser sees.
            if !self.rewritten(line, None) {
                self.bad(Kind::Unsealed, None, None);
            }
            return;
        };
        let Some(number) = self.keys.find(seal.log) else {
            self.bad(Kind::Foreign(seal.log), None, None);
            return;
        };
        let id = (number, seal.at.chain, seal.at.epoch);
        if !self.wanted(id) {
            return;
        }
        let done = match read {
            Read::Sealed(sealed) if sealed.m.start() == 0 => self.sealed(line, number, &seal, sealed.m),
            Read::Sealed(_) => Err(Why::Prefix),
            Read::Redacted(_) => {
                self.redacted(number, &seal);
                Ok(())
            }
            _ => Err(Why::Misfit),
        };
        if let Err(why) = done
            && !self.rewritten(line, Some(seal))
        {
            self.bad(Kind::Altered(why), Some(number), Some(seal.at));
            let epoch = self.epoch(id);
            epoch.claim(seal.at.index);
            epoch.json |= line::trim(line).ends_with(b"}");
        }
    }

    fn wanted(&self, id: EpochId) -> bool {
        match self.mode {
            Mode::All => true,
            Mode::Canonical(epochs) | Mode::Detail(epochs) => epochs.contains(&id),
        }
    }

    /// A line whose seal fits its bytes: is it authentic?
    fn sealed(&mut self, line: &[u8], number: LogNumber, seal: &Seal, m: Span) -> Result<(), Why> {
        let Proof::Tag { tag, .. } = seal.proof else { return Err(Why::Misfit) };
        let (body, json) = match m {
            Span::Plain(from, to) => (&line[from..to], false),
            Span::Json(from, to) => (&line[from..to], true),
        };
        let hashed = |prefix| if json { line_hash_json(prefix, body) } else { line_hash(prefix, body) };
        let text = if json { control_text_open(body) } else { control_text(body) };
        if self.keys.log(number).secret.is_some() {
            self.with_v(number, seal.at, &tag, text, hashed)
        } else {
            if json && matches!(self.mode, Mode::Canonical(_)) {
                return Err(Why::Misfit); // tried in its RFC 8785 form first, by the caller
            }
            self.with_p(number, seal.at, &tag, text, hashed);
            if json {
                self.epoch((number, seal.at.chain, seal.at.epoch)).json = true;
            }
            Ok(())
        }
    }

    /// With V the tag decides, and it says whether the line is control or an entry.
    fn with_v(
        &mut self,
        number: LogNumber,
        at: Position,
        tag: &[u8; 16],
        text: Option<&[u8]>,
        hashed: impl Fn(u8) -> Digest,
    ) -> Result<(), Why> {
        match self.entry_key(number, at) {
            KeyAt::Epoch(slot) => {
                let mac = Mac::new(self.entry_keys[slot].at(at.index));
                let prefixes = if text.is_some() { [3, 2] } else { [2, 3] };
                for prefix in prefixes {
                    let l = hashed(prefix);
                    let leaf = leaf(tag, &l);
                    if mac.tag(&l) != *tag {
                        continue;
                    }
                    let what =
                        if prefix == 3 { Line::Control(text.unwrap_or_default()) } else { Line::Entry };
                    self.authentic(number, at, leaf, what);
                    return Ok(());
                }
                Err(Why::Tag)
            }
            KeyAt::Narrowed => {
                self.out.log(number).counts.narrowed += 1;
                self.bad(Kind::Narrowed, Some(number), Some(at));
                Ok(())
            }
            KeyAt::OutOfReach => Err(Why::Reach),
        }
    }

    /// With P only, signature and paths say what is control; the tree says the rest.
    fn with_p(
        &mut self,
        number: LogNumber,
        at: Position,
        tag: &[u8; 16],
        text: Option<&[u8]>,
        hashed: impl Fn(u8) -> Digest,
    ) {
        let log = self.keys.log(number);
        if let Some(text) = text
            && let Some(statement) = Statement::parse(text)
            && statement.agrees(&log.public, log.id, at)
        {
            let leaves = [leaf(tag, &hashed(3)), leaf(tag, &hashed(2))];
            match log.root(statement.generation()) {
                Some(root) if statement.check(&root, &mut self.certs).is_ok() => {
                    log.learn(&statement);
                    self.control(number, &statement, leaves[0]);
                    return;
                }
                Some(_) => {}
                None => {
                    self.seen_line(number, at);
                    self.out.log(number).pending.push(Pending {
                        text: text.to_vec(),
                        at,
                        place: self.place,
                        leaves,
                    });
                    return;
                }
            }
        }
        self.authentic(number, at, leaf(tag, &hashed(2)), Line::Entry);
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
        self.epoch(id).claim(at.index);
    }

    fn control(&mut self, number: LogNumber, statement: &Statement<'_>, leaf: Digest) {
        let at = statement.position();
        self.seen_line(number, at);
        let record = record(self.keys.log(number), statement, self.place, true);
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

    /// Adds a leaf, or in detail mode notes the line itself.
    fn add(&mut self, id: EpochId, index: u16, leaf: Digest) {
        let place = self.place;
        if matches!(self.mode, Mode::Detail(_)) {
            let seen = self.out.details.entry(id).or_default();
            note_seen(
                seen,
                Occurrence { index, leaf, file: place.file },
                Seen { count: 1, first: place, last: place },
            );
        } else {
            self.epoch(id).lines.add(index, leaf, place);
        }
    }

    /// The epoch under work; the one before it is put into the summary.
    #[inline]
    fn epoch(&mut self, id: EpochId) -> &mut Epoch {
        if self.epoch_at != Some(id) {
            self.store_epoch();
            self.epoch = std::mem::take(self.out.log(id.0).epoch(id.1, id.2));
            self.epoch_at = Some(id);
        }
        &mut self.epoch
    }

    fn store_epoch(&mut self) {
        if let Some((log, chain, epoch)) = self.epoch_at.take() {
            self.epoch.lines.flush();
            *self.out.log(log).epoch(chain, epoch) = std::mem::take(&mut self.epoch);
        }
    }

    /// A line that was redacted: its leaf stands for it; with V, r says whether that was done by right.
    fn redacted(&mut self, number: LogNumber, seal: &Seal) {
        let Proof::Redacted { leaf, r } = seal.proof else { return };
        let log = Some(number);
        let id = (number, seal.at.chain, seal.at.epoch);
        let mut holds = true;
        if self.keys.log(number).secret.is_some() {
            match self.entry_key(number, seal.at) {
                KeyAt::Epoch(slot) => {
                    let k = self.entry_keys[slot].at(seal.at.index);
                    let mut redact = [0; 32];
                    hash::derive_into(k, "redact", &mut redact);
                    holds = first16(&hmac(&redact, &[&leaf])) == r;
                    redact.zeroize();
                }
                KeyAt::Narrowed => {
                    self.out.log(id.0).counts.narrowed += 1;
                    self.bad(Kind::Narrowed, log, Some(seal.at));
                    return;
                }
                KeyAt::OutOfReach => holds = false,
            }
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
            self.bad(Kind::RedactedFalse, log, Some(seal.at));
            self.epoch(id).claim(seal.at.index);
        }
    }

    /// JSON that a carrier wrote anew: tried once more with the RFC 8785 form of the rest (SPEC section 4).
    ///
    /// `seal` is the one that a first look found in the line, if it found one.
    fn rewritten(&mut self, line: &[u8], seal: Option<Seal>) -> bool {
        let line = line::trim(line).trim_ascii_start();
        if line.first() != Some(&b'{') || line.last() != Some(&b'}') {
            return false;
        }
        let canonical = matches!(self.mode, Mode::Canonical(_));
        let Some((m, s)) = without_tally(line) else {
            return canonical && self.as_it_is(line);
        };
        let Some(seal) = parse_seal(s.as_bytes()).or(seal) else { return false };
        let (Some(number), Proof::Tag { tag, length }) = (self.keys.find(seal.log), seal.proof) else {
            return false;
        };
        let id = (number, seal.at.chain, seal.at.epoch);
        if !self.wanted(id) {
            return true;
        }
        // A line that had another length, or another form, when it was written is no such line.
        if m.len() != length as usize || line::form_of(&m) != Form::Json {
            return canonical && self.as_it_is(line);
        }
        let hashed = |prefix| line_hash(prefix, &m);
        if self.keys.log(number).secret.is_some() {
            if self.with_v(number, seal.at, &tag, control_text(&m), hashed).is_err() {
                return false;
            }
        } else if canonical {
            self.with_p(number, seal.at, &tag, control_text(&m), hashed);
        } else {
            return false;
        }
        let as_it_was = matches!(line::read(line), Read::Sealed(sealed) if sealed.m.start() == 0
            && matches!(sealed.m, Span::Json(0, to) if m.strip_suffix(b"}") == Some(&line[..to])));
        if !as_it_was {
            self.out.log(id.0).counts.reserialized += 1;
            self.bad(Kind::Reserialized, Some(id.0), Some(seal.at));
        }
        true
    }

    /// A line without an RFC 8785 form, in a scan for those forms.
    fn as_it_is(&mut self, line: &[u8]) -> bool {
        let Read::Sealed(sealed) = line::read(line) else { return false };
        let (Some(number), Span::Json(0, to)) = (self.keys.find(sealed.seal.log), sealed.m) else {
            return false;
        };
        let Proof::Tag { tag, .. } = sealed.seal.proof else { return false };
        let hashed = |prefix| line_hash_json(prefix, &line[..to]);
        self.with_p(number, sealed.seal.at, &tag, control_text_open(&line[..to]), hashed);
        true
    }

    /// K at a position, kept for the lines that follow.
    fn entry_key(&mut self, number: LogNumber, at: Position) -> KeyAt {
        let id = (number, at.chain, at.epoch);
        let slot = match self.entry_keys.iter().position(|kept| kept.id == id) {
            Some(slot) => slot,
            None => match self.first_entry_key(id) {
                Ok(key) => self.keep(id, &key),
                Err(why) => return why,
            },
        };
        KeyAt::Epoch(slot)
    }

    fn keep(&mut self, id: EpochId, first: &Secret) -> usize {
        if self.entry_keys.len() < KEPT_EPOCHS {
            self.entry_keys.push(EntryKeys::new(id, first));
            return self.entry_keys.len() - 1;
        }
        let slot = self.oldest;
        self.oldest = (slot + 1) % KEPT_EPOCHS;
        self.entry_keys[slot].restart(id, first);
        slot
    }

    fn first_entry_key(&mut self, id: EpochId) -> Result<Secret, KeyAt> {
        let Some(secret) = &self.keys.log(id.0).secret else { return Err(KeyAt::OutOfReach) };
        if let Some(cursor) = &mut self.cursor
            && (cursor.id.0, cursor.id.1) == (id.0, id.1)
            && cursor.id.2 <= id.2
        {
            for _ in cursor.id.2..id.2 {
                cursor.e.advance("next");
            }
            cursor.id = id;
            return Ok(cursor.e.derive("entry"));
        }
        if !secret.covers(id.1) {
            return Err(KeyAt::Narrowed);
        }
        let mut e = secret.chain(id.1).ok_or(KeyAt::OutOfReach)?.derive("epochs");
        for _ in 0..id.2 {
            e.advance("next");
        }
        let key = e.derive("entry");
        self.cursor = Some(Cursor { id, e });
        Ok(key)
    }

    /// Notes a line of a known log: order in its file, and the neighbours of bad lines.
    fn seen_line(&mut self, number: LogNumber, at: Position) {
        let here = Some((number, at));
        self.end_group(here);
        if let Mode::All = self.mode {
            self.out.log(number).counts.sealed += 1;
        }
        self.chunk.first = self.chunk.first.or(here);
        self.chunk.last = here;
        let edge = Edge { first: at, first_place: self.place, last: at };
        let edge = self.chunk.edges.entry(number).or_insert(edge);
        let last = std::mem::replace(&mut edge.last, at);
        if at < last && matches!(self.mode, Mode::All) {
            self.tell(Event { last: Some(last), ..self.event(Kind::Reordered, Some(number), Some(at)) });
        }
    }

    fn event(&self, kind: Kind, log: Option<LogNumber>, at: Option<Position>) -> Event {
        let place = self.place;
        Event { kind, log, place, count: 1, first: at, last: at, before: self.chunk.last, after: None }
    }

    /// Notes a line that is not as it should be, together with like ones right before it.
    fn bad(&mut self, kind: Kind, log: Option<LogNumber>, at: Option<Position>) {
        self.bad_here |= matches!(kind, Kind::Unsealed | Kind::Foreign(_) | Kind::Altered(_));
        let told = match self.mode {
            Mode::All => true,
            Mode::Canonical(_) => matches!(kind, Kind::Altered(_) | Kind::Reserialized),
            Mode::Detail(_) => false,
        };
        if !told {
            return;
        }
        // A group stays within one epoch, so that it can be judged with it.
        let epoch = |at: Option<Position>| at.map(|p| (p.chain, p.epoch));
        if let Some(group) = &mut self.group
            && (group.kind, group.log, epoch(group.last)) == (kind, log, epoch(at))
            && kind != Kind::Redacted
            && u64::from(group.place.line) + group.count == u64::from(self.place.line)
        {
            group.count += 1;
            group.last = at;
            return;
        }
        self.end_group(None);
        self.group = Some(self.event(kind, log, at));
    }

    fn end_group(&mut self, after: Option<(LogNumber, Position)>) {
        if let Some(group) = self.group.take() {
            self.tell(Event { after, ..group });
        }
    }

    fn tell(&mut self, event: Event) {
        let told = self.told.entry(event.kind).or_default();
        if *told < most_told(event.kind) {
            *told += 1;
            self.out.events.push(event);
        } else {
            *self.out.untold.entry(event.kind).or_default() += event.count;
        }
    }
}

/// Where a scanner has the entry keys of an epoch, or why it has not.
enum KeyAt {
    Epoch(usize),
    Narrowed,
    OutOfReach,
}

fn why(fault: Fault) -> Why {
    match fault {
        Fault::Stranger => Why::Stranger,
        Fault::Path => Why::Path,
        Fault::Cert => Why::Cert,
        Fault::Signature => Why::Signature,
    }
}

/// The record of a statement that holds; an open's prev is checked where the key allows it.
pub(crate) fn record(log: &LogKeys, statement: &Statement<'_>, place: Place, proved: bool) -> Record {
    let proof = match (statement.body, &log.secret) {
        (Body::Open { prev }, Some(key)) => {
            Head::at(log.id, prev.mark, key).map(|head| head.proof(statement.chain) == prev.proof)
        }
        _ => None,
    };
    Record {
        at: statement.position(),
        hash: statement.hash(),
        time: statement.time,
        body: statement.body,
        place,
        proof,
        proved,
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
