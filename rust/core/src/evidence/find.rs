//! Finding what proves a line, without a key: the line, its epoch, its checkpoint, older opens.
//!
//! Files may be large and hold anything. What is kept of them is 64 bytes for a line of the epoch, the line
//! itself, and some statements.

use std::collections::{BTreeMap, BTreeSet};

use super::links::{Links, is_signed};
use super::parts::m_of;
use crate::Error;
use crate::hash::{Digest, leaf, line_hash};
use crate::line::canon::without_tally;
use crate::line::{self, Form, LogId, Position, Proof, Read, Seal, Sealed, form_of, parse_seal};
use crate::seal::statement::{Body, CertCache, Statement, control_text};

/// Statements that are kept as candidates. A log's own is the last of its epoch, so the last ones are kept.
const MOST_CHECKPOINTS: usize = 64;
/// Openings of one generation with different chain roots that are kept; an honest log has one.
const MOST_OPENS: usize = 16;
/// Copies of the line that are kept account of.
const MOST_SPOTS: usize = 1000;

/// Where a line stands: number of the file, line in it from 1, offset in bytes, length without line end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// Number of the file.
    pub file: u32,
    /// Line, from 1.
    pub line: u64,
    /// Offset of its first byte in the file.
    pub offset: u64,
    /// Its bytes, without what is blank at its end.
    pub length: u64,
    /// Bytes of it that stand before what was sealed.
    pub prefix: u64,
}

/// A line that is signed as a notice: the chain root that its keys lead to, and its leaves as a control line.
#[derive(Clone, Copy, PartialEq)]
struct Signed {
    root: Digest,
    leaves: [Option<Digest>; 2],
}

/// A line of the epoch: its leaf by its bytes, and by its RFC 8785 form.
#[derive(Clone, Default)]
pub(super) struct Line {
    leaves: [Option<Digest>; 2],
    /// Applications log what they like: it is a notice if the checkpoint has the same chain root.
    signed: Option<Signed>,
    pub(super) clash: Option<Spot>,
    pub(super) altered: Option<Spot>,
}

impl Line {
    pub(super) fn is_absent(&self) -> bool {
        self.leaves == [None; 2]
    }

    /// Its leaf in a form, in an epoch with that chain root.
    pub(super) fn leaf(&self, form: usize, root: &Digest) -> Option<Digest> {
        let leaves = match &self.signed {
            Some(signed) if signed.root == *root => &signed.leaves,
            _ => &self.leaves,
        };
        // A line without an RFC 8785 form stands there as it is.
        leaves[form].or(leaves[0])
    }

    /// Takes in another line with this position, which must be the same.
    fn take(&mut self, leaves: [Option<Digest>; 2], signed: Option<Signed>, spot: Spot) {
        if let Some(new) = signed {
            let old = self.signed.get_or_insert(new);
            for (own, other) in old.leaves.iter_mut().zip(new.leaves) {
                *own = own.or(other);
            }
        }
        let same = |own: &Digest| leaves.contains(&Some(*own));
        if !self.is_absent() && !self.leaves.iter().flatten().any(same) {
            self.clash = self.clash.or(Some(spot));
        }
        for (own, other) in self.leaves.iter_mut().zip(leaves) {
            *own = own.or(other);
        }
    }
}

/// The line itself, in both forms.
pub(super) struct Target {
    pub(super) seal: Seal,
    /// As its bytes are, and in RFC 8785 form; both `None` if it was redacted.
    pub(super) m: [Option<Vec<u8>>; 2],
    pub(super) raw: Vec<u8>,
}

impl Target {
    /// Is this the leaf of the line with this m, as an entry or as a control line?
    pub(super) fn has_leaf(&self, m: &[u8], found: Option<Digest>) -> bool {
        let Proof::Tag { tag, .. } = self.seal.proof else { return false };
        [2, 3].into_iter().any(|prefix| Some(leaf(&tag, &line_hash(prefix, m))) == found)
    }
}

/// Goes through files and keeps what proves one line.
pub struct Finder {
    pub(super) at: Position,
    pub(super) log: Option<LogId>,
    /// Was the log named, rather than found in the files?
    pub(super) named: bool,
    pub(super) others: BTreeSet<LogId>,
    pub(super) lines: Vec<Line>,
    pub(super) target: Option<Target>,
    pub(super) spots: Vec<Spot>,
    /// By index and hash.
    pub(super) checkpoints: BTreeMap<(u16, Digest), Vec<u8>>,
    /// Openings of older generations.
    pub(super) opens: BTreeMap<u32, Vec<Vec<u8>>>,
    pub(super) links: Links,
    pub(super) file: u32,
    pub(super) count: u64,
}

impl Finder {
    /// Looks for the line at a position, of a log or of the only one in the files.
    #[must_use]
    pub fn new(log: Option<LogId>, at: Position) -> Self {
        Self {
            at,
            log,
            named: log.is_some(),
            others: BTreeSet::new(),
            lines: Vec::new(),
            target: None,
            spots: Vec::new(),
            checkpoints: BTreeMap::new(),
            opens: BTreeMap::new(),
            links: Links::default(),
            file: 0,
            count: 0,
        }
    }

    /// Takes an opening from a public file.
    pub fn know(&mut self, text: &[u8]) {
        if let Some(open) = Statement::parse(text) {
            self.keep_open(&open, text);
        }
    }

    /// Takes in a file of receipts, before any line: what leads from them to the line becomes part of the evidence.
    ///
    /// # Errors
    /// [`Error::Format`] for any other file.
    pub fn receive(&mut self, receipts: &[u8]) -> Result<(), Error> {
        self.links.take(receipts)
    }

    /// Goes through whole lines of a file; `offset` is where they begin. The files come one after the other.
    pub fn feed(&mut self, data: &[u8], file: u32, offset: u64, cut: bool) {
        if file != self.file {
            (self.file, self.count) = (file, 0);
        }
        let mut at = 0;
        while at < data.len() {
            let end = memchr::memchr(b'\n', &data[at..]).map_or(data.len(), |end| at + end);
            self.count += 1;
            // A line that was cut was too long to hold a seal.
            if !(cut && end + 1 >= data.len()) {
                let line = line::trim(&data[at..end]);
                let (offset, length) = (offset + at as u64, line.len() as u64);
                self.line(line, Spot { file, line: self.count, offset, length, prefix: 0 });
            }
            at = end + 1;
        }
    }

    fn line(&mut self, line: &[u8], mut spot: Spot) {
        match line::read(line) {
            Read::Nothing => {}
            Read::Sealed(sealed) => {
                spot.prefix = sealed.m.start() as u64;
                if self.is_ours(sealed.seal.log) && self.is_wanted(&sealed.seal) {
                    self.sealed(line, &sealed, spot);
                }
            }
            Read::Redacted(seal) => {
                if self.is_ours(seal.log) && self.is_of_epoch(&seal) {
                    self.redacted(line, seal, spot);
                }
            }
            // A line that a carrier rewrote may have its seal anywhere, or written with escapes.
            Read::Misfit(seal) => self.rewritten(line, Some(seal), spot),
            Read::Unsealed => self.rewritten(line, None, spot),
        }
    }

    /// Is it a line of the log that is meant? The first line says which one that is, if nobody did.
    fn is_ours(&mut self, log: LogId) -> bool {
        let ours = *self.log.get_or_insert(log) == log;
        if !ours && self.others.len() < 8 {
            self.others.insert(log);
        }
        ours
    }

    fn is_of_epoch(&self, seal: &Seal) -> bool {
        (seal.at.chain, seal.at.epoch) == (self.at.chain, self.at.epoch)
    }

    /// Is it of the epoch, or the opening of an older generation, or after the epoch where receipts lead back?
    fn is_wanted(&self, seal: &Seal) -> bool {
        let opens = (seal.at.epoch, seal.at.index) == (0, 0);
        self.is_of_epoch(seal)
            || opens && generation(seal.at.chain) < generation(self.at.chain)
            || self.links.wants(seal.at, self.at)
    }

    fn sealed(&mut self, line: &[u8], sealed: &Sealed, spot: Spot) {
        let Proof::Tag { tag, .. } = sealed.seal.proof else { return };
        let m = m_of(line, sealed.m);
        if self.links.wants(sealed.seal.at, self.at) {
            return self.later(&m, &sealed.seal);
        }
        let again = if form_of(&m) == Form::Json { canonical(line).map(|(_, m)| m) } else { None };
        self.take(line, sealed.seal, tag, [Some(m), again], spot);
    }

    /// A line whose bytes are not what was sealed: perhaps its RFC 8785 form is.
    fn rewritten(&mut self, line: &[u8], claim: Option<Seal>, spot: Spot) {
        if let Some((seal, m)) = canonical(line)
            && let Proof::Tag { tag, .. } = seal.proof
            && self.is_ours(seal.log)
        {
            if self.links.wants(seal.at, self.at) {
                self.later(&m, &seal);
            } else if self.is_wanted(&seal) {
                self.take(line, seal, tag, [None, Some(m)], spot);
            }
        } else if let Some(seal) = claim.filter(|seal| Some(seal.log) == self.log && self.is_of_epoch(seal)) {
            self.at_index(seal.at.index).altered.get_or_insert(spot);
        }
    }

    /// A line after the epoch: its statement may lead from a receipt back to the line.
    fn later(&mut self, m: &[u8], seal: &Seal) {
        let Some(text) = control_text(m) else { return };
        if let Some(statement) =
            Statement::parse(text).filter(|s| s.log() == seal.log && s.position() == seal.at)
        {
            self.links.keep(&statement, text);
        }
    }

    fn take(&mut self, line: &[u8], seal: Seal, tag: [u8; 16], m: [Option<Vec<u8>>; 2], spot: Spot) {
        let (mut leaves, mut signed) = ([None; 2], None);
        for (form, m) in m.iter().enumerate() {
            let Some(m) = m else { continue };
            let spoken = control_text(m).and_then(|text| Some((text, Statement::parse(text)?)));
            let ours = spoken.filter(|(_, s)| s.log() == seal.log && s.position() == seal.at);
            let mut prefix = 2;
            if let Some((text, statement)) = ours {
                match statement.body {
                    Body::Open { .. } => {
                        prefix = 3;
                        self.keep_open(&statement, text);
                    }
                    Body::Notice { .. } if is_signed(&statement, &mut CertCache::default()) => {
                        let made = Signed { root: statement.chain_root(), leaves: [None; 2] };
                        signed.get_or_insert(made).leaves[form] = Some(leaf(&tag, &line_hash(3, m)));
                    }
                    Body::Notice { .. } | Body::Head { .. } => {}
                    // Applications log what they like: only R tells a checkpoint from an entry that looks like one.
                    Body::Checkpoint { .. } => self.keep_checkpoint(&statement, text),
                }
            }
            leaves[form] = Some(leaf(&tag, &line_hash(prefix, m)));
        }
        if !self.is_of_epoch(&seal) {
            return;
        }
        self.at_index(seal.at.index).take(leaves, signed, spot);
        if seal.at == self.at {
            self.keep_target(Target { seal, m, raw: line.to_vec() }, spot);
        }
    }

    fn redacted(&mut self, line: &[u8], seal: Seal, spot: Spot) {
        let Proof::Redacted { leaf, .. } = seal.proof else { return };
        self.at_index(seal.at.index).take([Some(leaf); 2], None, spot);
        if seal.at == self.at {
            self.keep_target(Target { seal, m: [None, None], raw: line.to_vec() }, spot);
        }
    }

    fn at_index(&mut self, index: u16) -> &mut Line {
        let index = usize::from(index);
        if self.lines.len() <= index {
            self.lines.resize(index + 1, Line::default());
        }
        &mut self.lines[index]
    }

    /// Keeps the line; of copies the one that says most.
    fn keep_target(&mut self, new: Target, spot: Spot) {
        if self.spots.len() < MOST_SPOTS {
            self.spots.push(spot);
        }
        let forms = |target: &Target| target.m.iter().flatten().count();
        if self.target.as_ref().is_none_or(|old| forms(old) < forms(&new)) {
            self.target = Some(new);
        }
    }

    fn keep_checkpoint(&mut self, statement: &Statement<'_>, text: &[u8]) {
        let id = (statement.position().index, statement.hash());
        if !self.checkpoints.contains_key(&id) && is_signed(statement, &mut CertCache::default()) {
            self.checkpoints.insert(id, text.to_vec());
            if self.checkpoints.len() > MOST_CHECKPOINTS {
                self.checkpoints.pop_first();
            }
        }
    }

    fn keep_open(&mut self, statement: &Statement<'_>, text: &[u8]) {
        if statement.generation() >= generation(self.at.chain) {
            return;
        }
        let links = |s: &Statement<'_>| (s.chain_root(), s.next_root());
        let kept = self.opens.entry(statement.generation()).or_default();
        let known =
            kept.iter().filter_map(|text| Statement::parse(text)).any(|s| links(&s) == links(statement));
        if !known && kept.len() < MOST_OPENS && is_signed(statement, &mut CertCache::default()) {
            kept.push(text.to_vec());
        }
    }
}

fn generation(chain: u32) -> u32 {
    chain.saturating_sub(1) / 256
}

/// Seal and RFC 8785 form of a JSON line, if it may have been sealed so (SPEC section 4).
fn canonical(line: &[u8]) -> Option<(Seal, Vec<u8>)> {
    let line = line.trim_ascii_start();
    if line.first() != Some(&b'{') || line.last() != Some(&b'}') {
        return None;
    }
    let (m, s) = without_tally(line)?;
    let seal = parse_seal(s.as_bytes())?;
    let Proof::Tag { length, .. } = seal.proof else { return None };
    (m.len() == length as usize && form_of(&m) == Form::Json).then_some((seal, m))
}
