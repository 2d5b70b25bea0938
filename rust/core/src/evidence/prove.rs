//! From what a [`Finder`] kept to evidence: nothing leaves that would not hold elsewhere.

use super::check::check;
use super::doubt::Doubt;
use super::find::{Finder, Line, Spot};
use super::links::Chosen;
use super::parts::Parts;
use super::received::Trusted;
use crate::hash::Digest;
use crate::line::{self, LogId, Proof, Seal};
use crate::scan::LogKeys;
use crate::seal::keys::PublicKey;
use crate::seal::statement::Statement;
use crate::seal::tree;
use crate::witness::content::Content;
use crate::witness::shown::Receipted;

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

impl Finder {
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
        for texts in self.candidates(log)? {
            let Some(statement) = texts.first().and_then(|one| Statement::parse_shown(one.text)) else {
                continue;
            };
            match self.covered(&statement).and_then(|form| self.prove(&statement, texts, form, public)) {
                Ok(found) => return Ok(found),
                Err(trouble) => first = first.or(Some(trouble)),
            }
        }
        Err(first.unwrap_or_else(|| self.uncovered(log)))
    }

    /// What may cover the line, the likeliest first: each a checkpoint or signed head, and what leads from it to receipts.
    fn candidates(&self, log: LogId) -> Result<Vec<Chosen<'_>>, Trouble> {
        if self.links.is_empty() {
            // The last one is the likeliest.
            let texts = self.checkpoints.values().rev();
            return Ok(texts.map(|text| vec![Receipted { text, receipts: Vec::new() }]).collect());
        }
        let by_hash = self.checkpoints.iter().map(|((_, hash), text)| (*hash, text.as_slice())).collect();
        let found = self.links.chosen(log, self.at, &by_hash);
        if found.is_empty() && self.links.is_full {
            return trouble(
                "too many statements stand between the line and its receipts; take older receipts".into(),
                None,
            );
        }
        if found.is_empty() && self.is_here() {
            let what = format!(
                "no receipt leads to {}: they are of texts before it, or the files lack checkpoints that stand between; add the files up to the receipts, or take newer receipts",
                self.at
            );
            return trouble(what, None);
        }
        Ok(found)
    }

    fn is_here(&self) -> bool {
        self.lines.get(usize::from(self.at.index)).is_some_and(|line| !line.is_absent())
    }

    /// Why nothing covers the line.
    fn uncovered(&self, log: LogId) -> Trouble {
        let (at, chain, epoch) = (self.at, self.at.chain, self.at.epoch);
        let what = if self.is_here() {
            format!(
                "the checkpoint of epoch {chain}.{epoch} is not here, so no signature covers {at}; add the file that holds it, or wait until it is written"
            )
        } else {
            format!(
                "the line {at} of log {log} is not here; check the position, or add the files that hold it"
            )
        };
        let spot = self.lines.get(usize::from(at.index)).and_then(|line| line.altered);
        Trouble { what: if spot.is_some() { format!("the line {at} is altered") } else { what }, spot }
    }

    /// The form in which the lines give R: 0 for their bytes, 1 for RFC 8785.
    fn covered(&self, checkpoint: &Statement<'_>) -> Result<usize, Trouble> {
        let n = checkpoint.position().index;
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
        let root = Content::of(checkpoint).map(|content| content.root);
        for form in [0, 1] {
            if leaves(lines, form, &checkpoint.chain_root())
                .is_some_and(|leaves| Some(tree::root(&leaves)) == root)
            {
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
        texts: Chosen<'_>,
        form: usize,
        public: Option<&LogKeys>,
    ) -> Result<Found, Trouble> {
        let (at, index) = (self.at, usize::from(self.at.index));
        let n = usize::from(checkpoint.position().index);
        let leaves = leaves(&self.lines[..n], form, &checkpoint.chain_root());
        let (Some(leaves), Some(target)) = (leaves, &self.target) else {
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
        let covers = |m: &&Vec<u8>| target.has_leaf(m, Some(leaves[index]));
        let m = target.m.iter().flatten().find(covers).cloned();
        let line = match (&m, target.seal.proof) {
            (Some(m), Proof::Tag { tag, .. }) => {
                let mut line = Vec::new();
                line::write(m, target.seal.log, at, &tag, &mut line);
                line
            }
            _ => target.raw.clone(),
        };
        let parts = Parts { opens, texts, proof: tree::path(&leaves, index), line: &line };
        let evidence = parts.write();
        let name = String::from_utf8_lossy(checkpoint.name()).into_owned();
        let own = LogKeys::new(PublicKey { root, name: name.clone() }, None);
        // Nothing leaves that would not hold elsewhere.
        if let Err(doubt) = check(&evidence, public.unwrap_or(&own), Trusted::default()) {
            let what = match doubt {
                Doubt::Fails(what) => what.to_string(),
                Doubt::Unknown(what) => what,
                Doubt::NoEvidence => "it cannot be written".into(),
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

/// The leaves in one form, in an epoch with that chain root.
fn leaves(lines: &[Line], form: usize, root: &Digest) -> Option<Vec<Digest>> {
    lines.iter().map(|line| line.leaf(form, root)).collect()
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
