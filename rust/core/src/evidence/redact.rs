//! Redaction: a line's leaf stands for it, and r says that a holder of V did that (SPEC section 4).

use zeroize::Zeroize;

use super::Found;
use crate::hash::{self, Digest, Mac, first16, hmac, leaf, line_hash};
use crate::line::{Form, Proof, form_of};
use crate::seal::keys::VerificationKey;
use crate::secret::Secret;
use crate::text::b64;

/// Why a line is not redacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is an `open`.
    Control,
    /// It is redacted already.
    Again,
    /// The key does not reach its chain.
    Key,
    /// Its tag does not match.
    Tag,
}

/// First 16 bytes of `HMAC(derive(K[index], "redact"), leaf)`.
pub(super) fn r(entry_key: &Secret, leaf: &Digest) -> [u8; 16] {
    let mut key = [0; 32];
    hash::derive_into(entry_key.expose(), "redact", &mut key);
    let r = first16(&hmac(&key, &[leaf]));
    key.zeroize();
    r
}

/// The redacted form of a line whose epoch's checkpoint covers it.
///
/// # Errors
/// [`Refusal`], which says why there is none.
pub fn redact(key: &VerificationKey, found: &Found) -> Result<Vec<u8>, Refusal> {
    let (seal, at) = (&found.seal, found.seal.at);
    let (Some(m), Proof::Tag { tag, .. }) = (&found.m, seal.proof) else { return Err(Refusal::Again) };
    if (at.epoch, at.index) == (0, 0) {
        return Err(Refusal::Control);
    }
    let entry_key = key.entry_key(at).ok_or(Refusal::Key)?;
    let l = line_hash(2, m);
    if Mac::new(entry_key.expose()).tag(&l) != tag {
        return Err(Refusal::Tag);
    }
    let leaf = leaf(&tag, &l);
    let s = format!("{}.{at}.~{}.{}", seal.log, b64(&leaf), b64(&r(&entry_key, &leaf)));
    Ok(match form_of(m) {
        Form::Plain => format!("[redacted] tally={s}"),
        Form::Json => format!("{{\"redacted\":true,\"tally\":\"{s}\"}}"),
    }
    .into_bytes())
}
