//! Redaction: a line's leaf stands for it, and r says that a holder of V did that (SPEC section 4).

use super::parts::r;
use super::prove::Found;
use crate::hash::{Mac, leaf, line_hash};
use crate::line::{Form, Proof, form_of};
use crate::seal::keys::VerificationKey;
use crate::text::b64;

/// Why a line is not redacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is a control line.
    Control,
    /// It is redacted already.
    Again,
    /// The key does not reach its chain.
    Key,
    /// Its tag does not match.
    Tag,
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
    let (l, mac) = (line_hash(2, m), Mac::new(entry_key.expose()));
    if mac.tag(&l) != tag {
        let control = mac.tag(&line_hash(3, m)) == tag;
        return Err(if control { Refusal::Control } else { Refusal::Tag });
    }
    let leaf = leaf(&tag, &l);
    let s = format!("{}.{at}.~{}.{}", seal.log, b64(&leaf), b64(&r(&entry_key, &leaf)));
    Ok(match form_of(m) {
        Form::Plain => format!("[redacted] tally={s}"),
        Form::Json => format!("{{\"redacted\":true,\"tally\":\"{s}\"}}"),
    }
    .into_bytes())
}
