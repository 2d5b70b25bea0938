//! What completes a receipt: a proof that its entry stands in the witness's own tree (C2SP `tlog-proof.md`, SPEC section
//! 11), with cosignatures of others and a time-stamp token where there are any.
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra <base64 of a time-stamp token>     where there is one
//! index <number of the entry>
//! <base64 of a hash>                       the inclusion proof, from the leaf up
//!
//! <origin>                                 the checkpoint: a signed note
//! <size>
//! <base64 of the root>
//!
//! — <name> <base64 of a signature>         of the witness, and of cosigners
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::note::{Note, NoteKey};
use crate::hash::{Digest, sha256};
use crate::seal::tree::climb;
use crate::text::{b64, num};

/// First line of a proof.
pub(super) const PROOF: &[u8] = b"c2sp.org/tlog-proof@v1";

/// Largest size of a tree.
const LARGEST: u64 = (1 << 53) - 1;

/// Hashes of the longest inclusion proof.
const MOST_HASHES: usize = 63;

/// A proof that was parsed; nothing in it is checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published<'a> {
    /// The time-stamp token over the text of the checkpoint, in DER; `None` where there is none.
    pub token: Option<Vec<u8>>,
    /// Number of the entry.
    pub index: u64,
    /// The checkpoint.
    pub checkpoint: Note<'a>,
    /// Size of the tree.
    pub size: u64,
    hashes: Vec<Digest>,
    origin: &'a [u8],
    root: Digest,
}

impl<'a> Published<'a> {
    /// Reads a proof; `None` for anything else.
    #[must_use]
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        let end = memchr::memmem::find(data, b"\n\n")?;
        let mut lines = data[..end].split(|b| *b == b'\n').peekable();
        if lines.next()? != PROOF {
            return None;
        }
        let token = match lines.peek()?.strip_prefix(b"extra ") {
            Some(token) => {
                lines.next();
                Some(STANDARD.decode(token).ok()?)
            }
            None => None,
        };
        let index = num(lines.next()?.strip_prefix(b"index ")?, LARGEST)?;
        let hashes: Vec<Digest> = lines.take(MOST_HASHES + 1).map(hash_of).collect::<Option<_>>()?;
        let checkpoint = Note::parse(&data[end + 2..])?;
        let mut lines = checkpoint.text.strip_suffix(b"\n")?.split(|b| *b == b'\n');
        let (origin, size) = (lines.next()?, num(lines.next()?, LARGEST)?);
        let root = hash_of(lines.next()?)?;
        let whole = lines.next().is_none() && hashes.len() <= MOST_HASHES;
        whole.then_some(Self { token, index, checkpoint, size, hashes, origin, root })
    }

    /// Is the entry of a text in the tree of a witness, which signed the checkpoint?
    #[must_use]
    pub fn holds(&self, entry: &[u8], witness: &NoteKey) -> bool {
        let (Ok(index), Ok(size)) = (usize::try_from(self.index), usize::try_from(self.size)) else {
            return false;
        };
        self.origin == witness.name.as_bytes()
            && climb(sha256(&[&[0], entry]), index, size, &self.hashes) == Some(self.root)
            && self.checkpoint.is_signed_by(witness)
    }
}

/// The entry of a text in a witness's tree: P and the text as their hashes, and the time of the receipt.
#[must_use]
pub fn entry(log: &Digest, text: &Digest, time: u64) -> Vec<u8> {
    let log = b64(&sha256(&[log]));
    format!("tallystick/v1 entry\nlog {log}\ntext {}\ntime {time}\n", b64(text)).into_bytes()
}

fn hash_of(text: &[u8]) -> Option<Digest> {
    STANDARD.decode(text).ok()?.try_into().ok()
}
