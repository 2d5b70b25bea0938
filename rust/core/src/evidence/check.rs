//! Does evidence hold? (SPEC section 10)

use std::collections::HashSet;

use super::doubt::Doubt;
use super::parts::{self, OPENING, Parts, seal_of};
use super::received::{Received, Trusted, received};
use crate::hash::{Digest, Mac, leaf, line_hash};
use crate::line::{LogId, Position, Proof, Seal};
use crate::scan::LogKeys;
use crate::seal::keys::VerificationKey;
use crate::seal::notice::Notice;
use crate::seal::statement::{Body, CertCache, Kind, Statement, control_text};
use crate::seal::tree;
use crate::witness::content::{Content, Verb};

/// What evidence that holds says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown<'a> {
    /// Whose line.
    pub log: LogId,
    /// Where in the log.
    pub at: Position,
    /// The line as it was sealed.
    pub line: &'a [u8],
    /// What was sealed; `None` if the line was redacted.
    pub m: Option<Vec<u8>>,
    /// Is it an `open` or a notice?
    pub control: bool,
    /// What the log itself says, if it is a notice.
    pub notice: Option<Notice>,
    /// Claimed time of the checkpoint or signed head that covers it, ms since 1970.
    pub time: u64,
    /// Lines of the epoch that this covers.
    pub n: u16,
    /// What comes after the checkpoint; `None` of a signed head.
    pub kind: Option<Kind>,
    /// Does a verification key vouch for the tag as well?
    pub tag: bool,
    /// What trusted witnesses say, in the order of the file.
    pub received: Vec<Received>,
    /// How many receipts are of witnesses whose keys were not given.
    pub others: usize,
}

/// The log that evidence says it is of; `None` if that cannot be read.
#[must_use]
pub fn claimed_log(data: &[u8]) -> Option<LogId> {
    Some(seal_of(Parts::parse(data)?.line)?.0.log)
}

/// Checks evidence with the keys of its log, and of witnesses (SPEC section 10).
///
/// # Errors
/// [`Doubt`] if it does not hold, or if that cannot be told.
pub fn check<'a>(data: &'a [u8], keys: &LogKeys, trusted: Trusted<'_>) -> Result<Shown<'a>, Doubt> {
    if !data.starts_with(OPENING) {
        return Err(Doubt::NoEvidence);
    }
    let parts =
        Parts::parse(data).ok_or(Doubt::Fails("the file is damaged: it is not laid out as evidence is"))?;
    let cover = Cover::of(&parts).ok_or(Doubt::Fails("no checkpoint or signed head covers the line"))?;
    let (seal, m) = seal_of(parts.line).ok_or(Doubt::Fails("the line is not as a writer seals it"))?;
    let covered = cover.text.position();
    if (seal.log, seal.at.chain, seal.at.epoch) != (cover.text.log(), covered.chain, covered.epoch) {
        return Err(Doubt::Fails("line and checkpoint are not of one epoch"));
    }
    if seal.log != keys.log_id() {
        return Err(Doubt::Unknown(format!(
            "this is evidence of log {}, and the key is of log {}; give the key of that log",
            seal.log,
            keys.log_id()
        )));
    }
    let mut trust = Trust { keys, roots: keys.known_roots(), certs: CertCache::default() };
    trust.older(&parts.opens, cover.text.generation())?;
    trust.holds(&cover.text, covered, "the checkpoint is not signed by this log")?;
    let no_open = "the first line of a chain must be its open, and this is another line";
    let (opening, mut notice) = ((seal.at.epoch, seal.at.index) == (0, 0), None);
    let leaf = match (&m, seal.proof) {
        (Some(m), Proof::Tag { tag, .. }) if opening => {
            let open =
                control_text(m).and_then(Statement::parse).filter(is_open).ok_or(Doubt::Fails(no_open))?;
            trust.holds(&open, seal.at, no_open)?;
            leaf(&tag, &line_hash(3, m))
        }
        (Some(m), Proof::Tag { tag, .. }) => {
            notice = trust.notice(m, seal.at);
            leaf(&tag, &line_hash(if notice.is_some() { 3 } else { 2 }, m))
        }
        (_, Proof::Redacted { leaf, .. }) if !opening => leaf,
        _ => return Err(Doubt::Fails(no_open)),
    };
    if tree::climb(leaf, usize::from(seal.at.index), usize::from(cover.n), &parts.proof) != Some(cover.root) {
        return Err(Doubt::Fails("the line is not the one that the checkpoint covers at its position"));
    }
    trust.later(&parts, &cover)?;
    let (received, others) = received(&parts.texts, &keys.public.root, trusted)?;
    let control = opening || notice.is_some();
    let tag = match &keys.secret {
        Some(key) => tag_holds(key, &seal, m.as_deref(), control)?,
        None => false,
    };
    let (log, at, line, time) = (seal.log, seal.at, parts.line, cover.text.time);
    let (n, kind) = (cover.n, cover.kind);
    Ok(Shown { log, at, line, m, control, notice, time, n, kind, tag, received, others })
}

/// The checkpoint or signed head that covers the line.
struct Cover<'a> {
    text: Statement<'a>,
    n: u16,
    root: Digest,
    kind: Option<Kind>,
}

impl<'a> Cover<'a> {
    fn of(parts: &Parts<'a>) -> Option<Self> {
        let text = Statement::parse_shown(parts.texts.first()?.text)?;
        let (n, root, kind) = match text.body {
            Body::Checkpoint { n, root, kind, .. } => (n, root, Some(kind)),
            Body::Head { n, root, .. } => (n, root, None),
            Body::Open { .. } | Body::Notice { .. } => return None,
        };
        Some(Self { text, n, root, kind })
    }
}

fn is_open(statement: &Statement<'_>) -> bool {
    matches!(statement.body, Body::Open { .. })
}

/// What is known of a log's signatures, from P on.
struct Trust<'k> {
    keys: &'k LogKeys,
    /// Chain roots, from generation 0 on.
    roots: Vec<Digest>,
    certs: CertCache,
}

impl Trust<'_> {
    /// Takes in the opens of generations below one.
    fn older(&mut self, opens: &[&[u8]], generation: u32) -> Result<(), Doubt> {
        let mut below = 0;
        for text in opens {
            let invalid = Doubt::Fails("the statement in the place of an older `open` is no `open`");
            let open = Statement::parse(text).filter(is_open).ok_or(invalid)?;
            if open.generation() < below || open.generation() >= generation {
                return Err(Doubt::Fails(
                    "the opens are not of older generations, one of each, oldest first",
                ));
            }
            below = open.generation() + 1;
            self.holds(&open, open.position(), "an older `open` is not signed by this log")?;
        }
        Ok(())
    }

    /// Checks the later texts, each of which names the checkpoint or one that stands before it by its hash.
    fn later(&mut self, parts: &Parts<'_>, cover: &Cover<'_>) -> Result<(), Doubt> {
        let mut known: HashSet<Digest> = cover.kind.iter().map(|_| cover.text.hash()).collect();
        for one in parts.texts.iter().skip(1) {
            let invalid = Doubt::Fails("a later text does not lead to the checkpoint that covers the line");
            let text = Statement::parse_shown(one.text).ok_or(invalid.clone())?;
            self.holds(&text, text.position(), "a later text is not signed by this log")?;
            let content =
                Content::of(&text).filter(|content| known.contains(&content.newest)).ok_or(invalid)?;
            if content.verb != Verb::Head {
                known.insert(text.hash());
            }
        }
        Ok(())
    }

    /// What a line says if it is a notice that holds; whatever else looks like one is an entry.
    fn notice(&mut self, m: &[u8], at: Position) -> Option<Notice> {
        let statement = control_text(m).and_then(Statement::parse)?;
        let notice = statement.notice()?;
        self.holds(&statement, at, "").ok().map(|()| notice)
    }

    /// Is the statement of this log and position, and signed? Learns the next generation's chain root from it.
    fn holds(&mut self, statement: &Statement<'_>, at: Position, wrong: &'static str) -> Result<(), Doubt> {
        let (generation, next) = (statement.generation() as usize, statement.generation() as usize + 1);
        let Some(root) = self.roots.get(generation) else {
            return Err(Doubt::Unknown(format!(
                "chain {} is of generation {generation}, and the `open` of an older one is lacking; give a \
                 public file that has it",
                statement.chain,
            )));
        };
        let agrees = statement.agrees(&self.keys.public, self.keys.log_id(), at);
        if !agrees || statement.check(root, &mut self.certs).is_err() {
            return Err(Doubt::Fails(wrong));
        }
        match self.roots.get(next) {
            Some(known) if *known == statement.next_root() => Ok(()),
            Some(_) => Err(Doubt::Fails("its certs name different chain roots for one generation")),
            None => {
                self.roots.push(statement.next_root());
                Ok(())
            }
        }
    }
}

/// Does the key vouch for the line as well?
fn tag_holds(key: &VerificationKey, seal: &Seal, m: Option<&[u8]>, control: bool) -> Result<bool, Doubt> {
    let Some(entry_key) = key.entry_key(seal.at) else {
        return Err(Doubt::Unknown(format!(
            "the signature holds, but the key does not reach chain {}, so the tag cannot be checked",
            seal.at.chain
        )));
    };
    match (seal.proof, m) {
        (Proof::Tag { tag, .. }, Some(m)) => {
            let l = line_hash(if control { 3 } else { 2 }, m);
            if Mac::new(entry_key.expose()).tag(&l) != tag {
                return Err(Doubt::Fails(
                    "the signature holds, but the tag does not: key and log do not fit",
                ));
            }
        }
        (Proof::Redacted { leaf, r }, _) => {
            if parts::r(&entry_key, &leaf) != r {
                return Err(Doubt::Fails("the line was redacted by somebody without the verification key"));
            }
        }
        _ => return Err(Doubt::Fails("the line is not as a writer seals it")),
    }
    Ok(true)
}
