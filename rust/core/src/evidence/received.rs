//! What witnesses say in evidence: since when a line stood there at the latest (SPEC sections 10 and 11).

use super::doubt::Doubt;
use crate::hash::Digest;
use crate::line::Position;
use crate::seal::statement::Statement;
use crate::witness::content::reached;
use crate::witness::cosignature::CosignKey;
use crate::witness::note::{Note, NoteKey};
use crate::witness::published::{Published, entry};
use crate::witness::receipt::Receipt;
use crate::witness::shown::{Completed, Receipted};

/// Whose word counts beside that of the log's keys: the caller names them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trusted<'k> {
    /// Witnesses.
    pub witnesses: &'k [NoteKey],
    /// Those who cosign the trees of witnesses.
    pub cosigners: &'k [CosignKey],
}

/// What one receipt says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Number of the witness among those that are trusted.
    pub witness: usize,
    /// Up to where the log reached in what it received.
    pub until: Position,
    /// When it received that, ms since 1970.
    pub time: u64,
    /// Does nothing prove that it contains what the witness had accepted before?
    pub gap: bool,
    /// What completes it.
    pub published: Option<InTree>,
}

/// A receipt's entry in the witness's own tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InTree {
    /// Number of the entry.
    pub index: u64,
    /// Size of the tree.
    pub size: u64,
    /// Text of the checkpoint, which a token is over.
    pub checkpoint: Vec<u8>,
    /// The time-stamp token; nothing of it is checked here.
    pub token: Option<Vec<u8>>,
    /// Numbers of the trusted cosigners that signed the checkpoint, and when, seconds since 1970.
    pub cosigned: Vec<(usize, u64)>,
}

/// Checks the receipts of trusted witnesses, and what completes them; and counts the other ones.
pub(super) fn received(
    texts: &[Receipted<'_>],
    log: &Digest,
    trusted: Trusted<'_>,
) -> Result<(Vec<Received>, usize), Doubt> {
    let (mut found, mut others) = (Vec::new(), 0);
    for one in texts {
        let text = Statement::parse_shown(one.text).ok_or(Doubt::Fails("a text is no signed text"))?;
        for receipt in &one.receipts {
            let before = found.len();
            for witness in 0..trusted.witnesses.len() {
                found.extend(said(receipt, &text, log, trusted, witness)?);
            }
            others += usize::from(found.len() == before);
        }
    }
    Ok((found, others))
}

/// What a receipt says, if it is of this witness.
fn said(
    receipt: &Completed<'_>,
    text: &Statement<'_>,
    log: &Digest,
    trusted: Trusted<'_>,
    witness: usize,
) -> Result<Option<Received>, Doubt> {
    let fails = Doubt::Fails("a receipt of a witness does not hold");
    let (note, key) = (Note::parse(receipt.note).ok_or(fails.clone())?, &trusted.witnesses[witness]);
    let Some(holds) = note.check(key) else { return Ok(None) };
    let said = Receipt::parse(note.text).filter(|said| holds && said.is_of(log, text)).ok_or(fails)?;
    let entry = entry(log, &said.text, said.time);
    let published = receipt.proof.map(|proof| in_tree(proof, &entry, key, trusted.cosigners)).transpose()?;
    Ok(Some(Received { witness, until: reached(text), time: said.time, gap: said.gap, published }))
}

fn in_tree(proof: &[u8], entry: &[u8], witness: &NoteKey, cosigners: &[CosignKey]) -> Result<InTree, Doubt> {
    let published = Published::parse(proof)
        .filter(|published| published.holds(entry, witness))
        .ok_or(Doubt::Fails("a receipt is not in the tree of its witness"))?;
    let mut cosigned = Vec::new();
    for (number, key) in cosigners.iter().enumerate() {
        let time = key.signed(&published.checkpoint);
        let time = time.map_err(|_| Doubt::Fails("a cosignature of the witness's tree does not hold"))?;
        cosigned.extend(time.map(|time| (number, time)));
    }
    let Published { token, index, size, checkpoint, .. } = published;
    Ok(InTree { index, size, checkpoint: checkpoint.text.to_vec(), token, cosigned })
}
