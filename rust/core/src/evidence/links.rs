//! From a receipt back to a line: signed texts name the `open` or checkpoint before them by its hash (SPEC section 10).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::Error;
use crate::hash::Digest;
use crate::line::{LogId, Position};
use crate::seal::keys::PublicKey;
use crate::seal::statement::{Body, CertCache, Statement};
use crate::witness::content::{Content, Verb, reached};
use crate::witness::shown::{Completed, Receipted, read_receipts};

/// Statements between a line and its receipts that are kept: eleven days of them at one a minute.
const MOST: usize = 16_384;

/// A receipt, and what completes it.
type Receipt = (Vec<u8>, Option<Vec<u8>>);

/// Receipts that were brought along, and the statements of the files that may lead from them to a line.
#[derive(Default)]
pub(super) struct Links {
    /// Texts that have receipts, by what they reach; with the receipts.
    texts: BTreeMap<(Position, Digest), (Vec<u8>, Vec<Receipt>)>,
    /// Opens and checkpoints after the line, by their hash; with the hash that each names.
    between: HashMap<Digest, (Position, Digest, Vec<u8>)>,
    cert: CertCache,
    pub(super) is_full: bool,
}

/// Statements between, with their positions.
type Between<'a> = Vec<(Position, &'a [u8])>;

/// Texts in order, each with receipts or none, the first of which covers a line.
pub(super) type Chosen<'a> = Vec<Receipted<'a>>;

impl Links {
    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Takes in a file of receipts; texts without any say nothing here.
    pub(super) fn take(&mut self, data: &[u8]) -> Result<(), Error> {
        for one in read_receipts(data)? {
            let Some(text) = Statement::parse_shown(one.text).filter(|_| !one.receipts.is_empty()) else {
                continue;
            };
            let place = self.texts.entry((reached(&text), text.hash()));
            let receipts = one.receipts.iter().map(|one| (one.note.to_vec(), one.proof.map(<[u8]>::to_vec)));
            place.or_insert_with(|| (one.text.to_vec(), Vec::new())).1.extend(receipts);
        }
        Ok(())
    }

    /// Could a statement at a position stand between a line and a receipt?
    pub(super) fn wants(&self, at: Position, line: Position) -> bool {
        (at.chain, at.epoch) > (line.chain, line.epoch)
            && self.texts.last_key_value().is_some_and(|((until, _), _)| at < *until)
    }

    /// Keeps a statement of the log, if it is signed.
    pub(super) fn keep(&mut self, statement: &Statement<'_>, text: &[u8]) {
        let Some(content) = Content::of(statement).filter(|content| content.verb != Verb::Head) else {
            return;
        };
        let hash = statement.hash();
        if self.between.contains_key(&hash) || !is_signed(statement, &mut self.cert) {
            return;
        }
        self.is_full |= self.between.len() >= MOST;
        if !self.is_full {
            self.between.insert(hash, (statement.position(), content.newest, text.to_vec()));
        }
    }

    /// The checkpoints or heads of the line's epoch that receipts lead to, the best first, each with what leads there.
    ///
    /// `checkpoints` are those of the epoch, by their hash.
    pub(super) fn chosen<'a>(
        &'a self,
        log: LogId,
        line: Position,
        checkpoints: &BTreeMap<Digest, &'a [u8]>,
    ) -> Vec<Chosen<'a>> {
        let mut ways: BTreeMap<Digest, Way<'a>> = BTreeMap::new();
        let mut heads = Vec::new();
        for (text, receipts) in self.texts.values() {
            let Some(parsed) = Statement::parse_shown(text).filter(|one| one.log() == log) else { continue };
            if let Body::Head { n, .. } = parsed.body
                && (parsed.chain, parsed.position().epoch) == (line.chain, line.epoch)
            {
                if n > line.index {
                    heads.push(vec![with(text, receipts)]);
                }
                continue;
            }
            let Some((root, between)) = self.back(&parsed, checkpoints) else { continue };
            ways.entry(root).or_default().add(text, receipts, between);
        }
        let covered = |(root, way): (Digest, Way<'a>)| Some(way.texts(checkpoints.get(&root).copied()?));
        // Of heads the one whose receipts say the most, then the first.
        heads.sort_by_key(|head| std::cmp::Reverse(head[0].receipts.iter().map(level).max()));
        ways.into_iter().filter_map(covered).chain(heads).collect()
    }

    /// From a text back to a checkpoint of the line's epoch: its hash, and the statements between.
    fn back(
        &self,
        text: &Statement<'_>,
        checkpoints: &BTreeMap<Digest, &[u8]>,
    ) -> Option<(Digest, Between<'_>)> {
        if checkpoints.contains_key(&text.hash()) {
            return Some((text.hash(), Vec::new()));
        }
        let (mut hash, mut between) = (Content::of(text)?.newest, Vec::new());
        while !checkpoints.contains_key(&hash) {
            // What names what cannot go in circles, since these are hashes.
            let (at, before, text) = self.between.get(&hash)?;
            between.push((*at, text.as_slice()));
            hash = *before;
        }
        Some((hash, between))
    }
}

/// What leads to one checkpoint.
#[derive(Default)]
struct Way<'a> {
    /// Which witnesses are heard, and how much their receipts say.
    heard: BTreeSet<(&'a [u8], usize)>,
    texts: BTreeMap<Position, (&'a [u8], Vec<Completed<'a>>)>,
}

impl<'a> Way<'a> {
    /// Takes in a text whose receipts say more than those before it.
    fn add(&mut self, text: &'a [u8], receipts: &'a [Receipt], between: Between<'a>) {
        let mut says_more = false;
        let receipts = with(text, receipts);
        for one in &receipts.receipts {
            for step in 0..=level(one) {
                says_more |= self.heard.insert((signer(one.note), step));
            }
        }
        let Some(at) = Statement::parse_shown(text).filter(|_| says_more).map(|one| reached(&one)) else {
            return;
        };
        for (at, text) in between {
            let at = Statement::parse_shown(text).map_or(at, |one| reached(&one));
            self.texts.entry(at).or_insert((text, Vec::new()));
        }
        self.texts.entry(at).or_insert((text, Vec::new())).1.extend(receipts.receipts);
    }

    fn texts(self, cover: &'a [u8]) -> Chosen<'a> {
        let mut chosen = vec![Receipted { text: cover, receipts: Vec::new() }];
        for (text, receipts) in self.texts.into_values() {
            if text == cover {
                chosen[0].receipts = receipts;
            } else {
                chosen.push(Receipted { text, receipts });
            }
        }
        chosen
    }
}

fn with<'a>(text: &'a [u8], receipts: &'a [Receipt]) -> Receipted<'a> {
    let one = |(note, proof): &'a Receipt| Completed { note, proof: proof.as_deref() };
    Receipted { text, receipts: receipts.iter().map(one).collect() }
}

/// How much a receipt says: 0 alone, 1 with a proof, 2 with a time-stamp token.
fn level(receipt: &Completed<'_>) -> usize {
    let proof = receipt.proof.unwrap_or_default();
    usize::from(!proof.is_empty()) + usize::from(memchr::memmem::find(proof, b"\nextra ").is_some())
}

/// The line of the first signature up to the signature itself: the name of the witness.
fn signer(note: &[u8]) -> &[u8] {
    let line = &note[memchr::memmem::rfind(note, b"\n\n").map_or(0, |at| at + 2)..];
    line.rsplitn(2, |b| *b == b' ').nth(1).unwrap_or(line)
}

/// Does the statement hold under its own chain root, and does that give the log id where it is P?
pub(super) fn is_signed(statement: &Statement<'_>, cert: &mut CertCache) -> bool {
    let root = statement.chain_root();
    let names = |id| PublicKey { root, name: String::new() }.log_id() == id;
    (statement.generation() > 0 || names(statement.log())) && statement.check(&root, cert).is_ok()
}
