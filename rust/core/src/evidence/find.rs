//! Finding what proves a line, without a key: the line, its epoch, its checkpoint, older opens.
//!
//! Files may be large and hold anything. What is kept of them is 64 bytes for a line of the epoch, the line
//! itself, and some statements.

use std::collections::{BTreeMap, BTreeSet};

use super::{Parts, check, m_of};
use crate::canon::without_tally;
use crate::hash::{Digest, leaf, line_hash};
use crate::keys::PublicKey;
use crate::line::{self, Form, LogId, Position, Proof, Read, Seal, Sealed, form_of, parse_seal};
use crate::scan::LogKeys;
use crate::statement::{Body, CertCache, Statement, control_text};
use crate::tree;

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

/// What was found, and proved from itself.
#[derive(Debug, Clone)]
pub struct Found {
    /// The evidence file.
    pub evidence: Vec<u8>,
    /// Name of the log, as its checkpoint says.
    pub name: String,
    /// The line's seal.
    pub seal: Seal,
    /// What was sealed; `None` if the line was redacted.
    pub m: Option<Vec<u8>>,
    /// Where the line stands; more than once if there are copies.
    pub spots: Vec<Spot>,
}

/// Why nothing can be proved, and where that shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What is wrong and what to do.
    pub what: String,
    /// The line that it is about, if it is about one.
    pub spot: Option<Spot>,
}

fn trouble<T>(what: String, spot: Option<Spot>) -> Result<T, Trouble> {
    Err(Trouble { what, spot })
}

/// A line of the epoch: its leaf by its bytes, and by its RFC 8785 form.
#[derive(Clone, Default)]
struct Line {
    leaves: [Option<Digest>; 2],
    clash: Option<Spot>,
    altered: Option<Spot>,
}

impl Line {
    fn is_absent(&self) -> bool {
        self.leaves == [None; 2]
    }

    /// Takes in another line with this position, which must be the same.
    fn take(&mut self, leaves: [Option<Digest>; 2], spot: Spot) {
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
struct Target {
    seal: Seal,
    /// As its bytes are, and in RFC 8785 form; both `None` if it was redacted.
    m: [Option<Vec<u8>>; 2],
    raw: Vec<u8>,
}

impl Target {
    /// The leaf of the line with this m.
    fn leaf(&self, m: &[u8]) -> Option<Digest> {
        let Proof::Tag { tag, .. } = self.seal.proof else { return None };
        let opening = (self.seal.at.epoch, self.seal.at.index) == (0, 0);
        Some(leaf(&tag, &line_hash(if opening { 3 } else { 2 }, m)))
    }
}

/// Goes through files and keeps what proves one line.
pub struct Finder {
    at: Position,
    log: Option<LogId>,
    /// Was the log named, rather than found in the files?
    named: bool,
    others: BTreeSet<LogId>,
    lines: Vec<Line>,
    target: Option<Target>,
    spots: Vec<Spot>,
    /// By index and hash.
    checkpoints: BTreeMap<(u16, Digest), Vec<u8>>,
    /// Openings of older generations.
    opens: BTreeMap<u32, Vec<Vec<u8>>>,
    file: u32,
    count: u64,
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
            // What a carrier wrote anew may have its seal anywhere, or written with escapes.
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

    /// Is it of the epoch, or the opening of an older generation?
    fn is_wanted(&self, seal: &Seal) -> bool {
        let opens = (seal.at.epoch, seal.at.index) == (0, 0);
        self.is_of_epoch(seal) || opens && generation(seal.at.chain) < generation(self.at.chain)
    }

    fn sealed(&mut self, line: &[u8], sealed: &Sealed, spot: Spot) {
        let Proof::Tag { tag, .. } = sealed.seal.proof else { return };
        let m = m_of(line, sealed.m);
        let again = if form_of(&m) == Form::Json { canonical(line).map(|(_, m)| m) } else { None };
        self.take(line, sealed.seal, tag, [Some(m), again], spot);
    }

    /// A line whose bytes are not what was sealed: perhaps its RFC 8785 form is.
    fn rewritten(&mut self, line: &[u8], claim: Option<Seal>, spot: Spot) {
        if let Some((seal, m)) = canonical(line)
            && let Proof::Tag { tag, .. } = seal.proof
            && self.is_ours(seal.log)
        {
            if self.is_wanted(&seal) {
                self.take(line, seal, tag, [None, Some(m)], spot);
            }
        } else if let Some(seal) = claim.filter(|seal| Some(seal.log) == self.log && self.is_of_epoch(seal)) {
            self.at_index(seal.at.index).altered.get_or_insert(spot);
        }
    }

    fn take(&mut self, line: &[u8], seal: Seal, tag: [u8; 16], m: [Option<Vec<u8>>; 2], spot: Spot) {
        let mut leaves = [None; 2];
        for (own, m) in leaves.iter_mut().zip(&m) {
            let Some(m) = m else { continue };
            let spoken = control_text(m).and_then(|text| Some((text, Statement::parse(text)?)));
            let ours = spoken.filter(|(_, s)| s.log() == seal.log && s.position() == seal.at);
            let mut prefix = 2;
            if let Some((text, statement)) = ours {
                if let Body::Open { .. } = statement.body {
                    prefix = 3;
                    self.keep_open(&statement, text);
                } else {
                    // Applications log what they like: only R tells a checkpoint from an entry that looks like one.
                    self.keep_checkpoint(&statement, text);
                }
            }
            *own = Some(leaf(&tag, &line_hash(prefix, m)));
        }
        if !self.is_of_epoch(&seal) {
            return;
        }
        self.at_index(seal.at.index).take(leaves, spot);
        if seal.at == self.at {
            self.keep_target(Target { seal, m, raw: line.to_vec() }, spot);
        }
    }

    fn redacted(&mut self, line: &[u8], seal: Seal, spot: Spot) {
        let Proof::Redacted { leaf, .. } = seal.proof else { return };
        self.at_index(seal.at.index).take([Some(leaf); 2], spot);
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
        if statement.check(&statement.chain_root(), &mut CertCache::default()).is_ok() {
            self.checkpoints.insert((statement.position().index, statement.hash()), text.to_vec());
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
        if !known
            && kept.len() < MOST_OPENS
            && statement.check(&statement.chain_root(), &mut CertCache::default()).is_ok()
        {
            kept.push(text.to_vec());
        }
    }

    /// Puts the evidence together and proves it, with the public key or from itself.
    ///
    /// # Errors
    /// [`Trouble`], which says what is absent or wrong.
    pub fn finish(&self, public: Option<&LogKeys>) -> Result<Found, Trouble> {
        let at = self.at;
        if !self.named && !self.others.is_empty() {
            let logs: Vec<String> = self.log.iter().chain(&self.others).map(ToString::to_string).collect();
            let what = format!(
                "the files hold lines of the logs {}; put the one you mean before the position, as in {}.{at}",
                logs.join(", "),
                logs[0]
            );
            return trouble(what, None);
        }
        let Some(log) = self.log else {
            return trouble("no sealed line is here; name sealed files".into(), None);
        };
        if let Some(public) = public.filter(|public| public.log_id() != log) {
            let what = format!("the lines are of log {log}, the public file is of log {}", public.log_id());
            return trouble(what, None);
        }
        let mut first = None;
        // The last one is the likeliest.
        for ((index, _), text) in self.checkpoints.iter().rev() {
            let Some(statement) = Statement::parse(text) else { continue };
            let found =
                self.covered(*index, &statement).and_then(|form| self.prove(&statement, text, form, public));
            match found {
                Ok(found) => return Ok(found),
                Err(trouble) => first = first.or(Some(trouble)),
            }
        }
        Err(first.unwrap_or_else(|| {
            let (chain, epoch) = (at.chain, at.epoch);
            let here = self.lines.get(usize::from(at.index)).is_some_and(|line| !line.is_absent());
            let what = if here {
                format!("the checkpoint of epoch {chain}.{epoch} is not here, so no signature covers {at}; add the file that holds it, or wait until it is written")
            } else {
                format!("the line {at} of log {log} is not here; check the position, or add the files that hold it")
            };
            let spot = self.lines.get(usize::from(at.index)).and_then(|line| line.altered);
            Trouble { what: if spot.is_some() { format!("the line {at} is altered") } else { what }, spot }
        }))
    }

    /// The form in which the lines give R: 0 for their bytes, 1 for RFC 8785.
    fn covered(&self, n: u16, checkpoint: &Statement<'_>) -> Result<usize, Trouble> {
        let (at, epoch) = (self.at, format!("{}.{}", self.at.chain, self.at.epoch));
        if at.index == n {
            return trouble(
                format!(
                    "{at} is the checkpoint of its epoch: its own signature proves it, and the evidence of any line of the epoch holds it"
                ),
                None,
            );
        }
        if at.index > n {
            return trouble(
                format!("there is no line {at}: its epoch ended with the checkpoint {epoch}.{n}"),
                None,
            );
        }
        let lines = self.lines.get(..usize::from(n)).unwrap_or(&self.lines);
        if let Some((index, line)) = (0..).zip(lines).find(|(_, line)| line.clash.is_some()) {
            let (index, spot): (u32, _) = (index, line.clash);
            return trouble(
                format!("another line that is at {epoch}.{index} as well says something else"),
                spot,
            );
        }
        if let Some((index, line)) =
            (0..).zip(lines).find(|(_, line)| line.is_absent() && line.altered.is_some())
        {
            let (index, spot): (u32, _) = (index, line.altered);
            return trouble(
                format!("the line {epoch}.{index} is altered, so its epoch cannot be proved"),
                spot,
            );
        }
        let absent = (0..n).filter(|i| self.lines.get(usize::from(*i)).is_none_or(Line::is_absent));
        let absent = ranges(absent);
        if !absent.is_empty() {
            return trouble(
                format!(
                    "lines of epoch {epoch} are absent, and all {n} are needed: {}; add the files that hold them",
                    words(&absent)
                ),
                None,
            );
        }
        let Body::Checkpoint { root, .. } = checkpoint.body else {
            return trouble("no checkpoint".into(), None);
        };
        for form in [0, 1] {
            if leaves(lines, form).is_some_and(|leaves| tree::root(&leaves) == root) {
                return Ok(form);
            }
        }
        trouble(
            format!(
                "one or more lines of epoch {epoch} are altered: they do not match its checkpoint; `tallystick verify` with the verification key says which"
            ),
            None,
        )
    }

    fn prove(
        &self,
        checkpoint: &Statement<'_>,
        text: &[u8],
        form: usize,
        public: Option<&LogKeys>,
    ) -> Result<Found, Trouble> {
        let (at, index) = (self.at, usize::from(self.at.index));
        let n = usize::from(checkpoint.position().index);
        let (Some(leaves), Some(target)) = (leaves(&self.lines[..n], form), &self.target) else {
            return trouble(format!("the line {at} is not here"), None);
        };
        let Some((root, opens)) = self.link(checkpoint.chain_root(), checkpoint) else {
            return trouble(
                format!(
                    "the chain {} is of generation {}, and the `open` of an older one is not here; add the files that hold it, or the log's public file",
                    at.chain,
                    checkpoint.generation()
                ),
                None,
            );
        };
        // Of the two forms, that which the tree covers is what was sealed.
        let covers = |m: &&Vec<u8>| target.leaf(m) == Some(leaves[index]);
        let m = target.m.iter().flatten().find(covers).cloned();
        let line = match (&m, target.seal.proof) {
            (Some(m), Proof::Tag { tag, .. }) => {
                let mut line = Vec::new();
                line::write(m, target.seal.log, at, &tag, &mut line);
                line
            }
            _ => target.raw.clone(),
        };
        let parts = Parts { opens, checkpoint: text, proof: tree::path(&leaves, index), line: &line };
        let evidence = parts.write();
        let name = String::from_utf8_lossy(checkpoint.name()).into_owned();
        let own = LogKeys::new(PublicKey { root, name: name.clone() }, None);
        // Nothing leaves that would not hold elsewhere.
        if let Err(doubt) = check(&evidence, public.unwrap_or(&own)) {
            let what = match doubt {
                super::Doubt::Fails(what) => what.to_string(),
                super::Doubt::Unknown(what) => what,
                super::Doubt::NoEvidence => "it cannot be written".into(),
            };
            return trouble(format!("no evidence for {at}: {what}"), None);
        }
        Ok(Found { evidence, name, seal: target.seal, m, spots: self.spots.clone() })
    }

    /// From a chain root down to that of generation 0: it, and the opens that lead there, oldest first.
    fn link(&self, from: Digest, checkpoint: &Statement<'_>) -> Option<(Digest, Vec<&[u8]>)> {
        let (mut root, mut opens) = (from, Vec::new());
        for generation in (0..checkpoint.generation()).rev() {
            let leads = |text: &&Vec<u8>| Statement::parse(text).is_some_and(|s| s.next_root() == root);
            let text = self.opens.get(&generation)?.iter().find(leads)?;
            root = Statement::parse(text)?.chain_root();
            opens.push(text.as_slice());
        }
        opens.reverse();
        Some((root, opens))
    }
}

fn generation(chain: u32) -> u32 {
    chain.saturating_sub(1) / 256
}

/// The leaves in one form; a line without an RFC 8785 form stands there as it is.
fn leaves(lines: &[Line], form: usize) -> Option<Vec<Digest>> {
    lines.iter().map(|line| line.leaves[form].or(if form == 1 { line.leaves[0] } else { None })).collect()
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

/// Numbers that follow each other, as ranges.
fn ranges(numbers: impl Iterator<Item = u16>) -> Vec<(u16, u16)> {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}

fn words(ranges: &[(u16, u16)]) -> String {
    let word = |(a, b): &(u16, u16)| if a == b { a.to_string() } else { format!("{a} to {b}") };
    let shown: Vec<String> = ranges.iter().take(10).map(word).collect();
    let more = if ranges.len() > 10 { ", …" } else { "" };
    format!(
        "{} {}{more}",
        if ranges.len() == 1 && ranges[0].0 == ranges[0].1 { "index" } else { "indices" },
        shown.join(", ")
    )
}
