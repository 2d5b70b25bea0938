//! Signed texts with what follows them: files of receipts, and what a writer shows a witness (SPEC section 11).
//!
//! ```text
//! <text>
//! proof <b64> … <b64>          shown to a witness only, where the step takes one
//! <receipt>                    each a signed note
//! <proof of C2SP tlog-proof>   in files only: it completes the receipt before it
//! ```

use super::note::Note;
use super::published::{PROOF, Published};
use super::receipt::RECEIPT;
use crate::Error;
use crate::hash::Digest;
use crate::seal::statement::Statement;
use crate::text::b64_fixed;

/// A consistency proof between two trees of up to 65,535 leaves has so many hashes at most.
const MOST_HASHES: usize = 17;

/// A signed text, and receipts for it, as a file of receipts holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipted<'a> {
    /// The signed text.
    pub text: &'a [u8],
    /// Its receipts, none of them checked.
    pub receipts: Vec<Completed<'a>>,
}

/// A receipt, and what completes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completed<'a> {
    /// The signed note.
    pub note: &'a [u8],
    /// The proof that its entry stands in the witness's own tree.
    pub proof: Option<&'a [u8]>,
}

/// A signed text as it is shown to a witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brought<'a> {
    /// The text, and receipts of this witness that the writer has.
    pub receipted: Receipted<'a>,
    /// The consistency proof; empty where there is none.
    pub proof: Vec<Digest>,
}

/// Reads a file of receipts: signed texts, one a line, each with its receipts right after it, and what completes these;
/// blank lines between them say nothing.
///
/// # Errors
/// [`Error::Format`] with the number of the first line that belongs to none.
pub fn read_receipts(data: &[u8]) -> Result<Vec<Receipted<'_>>, Error> {
    let found = read("no file of receipts", data, &mut |_, _| false)?;
    Ok(found.into_iter().map(|one| one.receipted).collect())
}

/// Reads what a writer shows: signed texts, one a line, each with its proof and receipts right after it.
///
/// # Errors
/// [`Error::Format`] with the number of the first line that belongs to none.
pub fn read_shown(data: &[u8]) -> Result<Vec<Brought<'_>>, Error> {
    let what = "the texts that were shown cannot be read";
    let found = read(what, data, &mut |line, last| {
        let Some(proof) = proof_of(line).filter(|_| last.proof.is_empty()) else { return false };
        last.proof = proof;
        last.receipted.receipts.is_empty()
    })?;
    if found.iter().flat_map(|one| &one.receipted.receipts).any(|one| one.proof.is_some()) {
        return Err(Error::Format(format!(
            "{what}: a witness is shown receipts without what completes them"
        )));
    }
    Ok(found)
}

fn proof_of(line: &[u8]) -> Option<Vec<Digest>> {
    let hashes = line.strip_prefix(b"proof")?;
    if hashes.is_empty() {
        return Some(Vec::new());
    }
    let hashes = hashes.strip_prefix(b" ")?.split(|b| *b == b' ');
    let hashes: Vec<Digest> = hashes.map(b64_fixed).collect::<Option<_>>()?;
    (hashes.len() <= MOST_HASHES).then_some(hashes)
}

/// Reads texts and receipts; `more` takes another line that follows a text, if it may stand there.
fn read<'a>(
    what: &str,
    data: &'a [u8],
    more: &mut dyn FnMut(&[u8], &mut Brought<'a>) -> bool,
) -> Result<Vec<Brought<'a>>, Error> {
    let mut found: Vec<Brought<'a>> = Vec::new();
    let (mut at, mut number) = (0, 0);
    let bad = |number: usize, why: &str| Error::Format(format!("{what}: line {number} {why}"));
    while at < data.len() {
        let line = line_at(data, at);
        let end = at + line.len() + 1;
        number += 1;
        if line.trim_ascii().is_empty() {
            at = end;
        } else if line == RECEIPT {
            let end = note_end(data, at).ok_or_else(|| bad(number, "begins a receipt that is not whole"))?;
            let last =
                found.last_mut().ok_or_else(|| bad(number, "is a receipt without its text before it"))?;
            last.receipted.receipts.push(Completed { note: &data[at..end], proof: None });
            number += memchr::memchr_iter(b'\n', &data[at..end]).count() - 1;
            at = end;
        } else if line == PROOF {
            let end = proof_end(data, at).ok_or_else(|| bad(number, "begins a proof that is not whole"))?;
            let last = found.last_mut().and_then(|last| last.receipted.receipts.last_mut());
            let last = last.filter(|last| last.proof.is_none());
            let last = last.ok_or_else(|| bad(number, "is a proof without its receipt before it"))?;
            last.proof = Some(&data[at..end]);
            number += memchr::memchr_iter(b'\n', &data[at..end]).count() - 1;
            at = end;
        } else {
            let text = line.strip_suffix(b"\r").unwrap_or(line);
            at = end;
            if found.last_mut().is_some_and(|last| more(text, last)) {
                continue;
            }
            Statement::parse_shown(text)
                .ok_or_else(|| bad(number, "is no signed head, open or checkpoint"))?;
            found.push(Brought { receipted: Receipted { text, receipts: Vec::new() }, proof: Vec::new() });
        }
    }
    Ok(found)
}

fn line_at(data: &[u8], at: usize) -> &[u8] {
    let end = memchr::memchr(b'\n', &data[at..]).map_or(data.len(), |end| at + end);
    &data[at..end]
}

/// Where a note ends that begins somewhere: after the lines of its signatures.
fn note_end(data: &[u8], from: usize) -> Option<usize> {
    let mut at = from + memchr::memmem::find(&data[from..], b"\n\n")? + 2;
    let first = at;
    while data[at..].starts_with("—".as_bytes()) {
        at += memchr::memchr(b'\n', &data[at..])? + 1;
    }
    (at > first && Note::parse(&data[from..at]).is_some()).then_some(at)
}

/// Where a proof ends that begins somewhere: with the note of its checkpoint.
fn proof_end(data: &[u8], from: usize) -> Option<usize> {
    let checkpoint = from + memchr::memmem::find(&data[from..], b"\n\n")? + 2;
    let end = note_end(data, checkpoint)?;
    Published::parse(&data[from..end]).map(|_| end)
}
