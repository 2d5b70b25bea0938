//! Cosignatures of C2SP (`tlog-cosignature.md`), version 1: the signer has seen that a log's largest tree, at a time, has
//! this root.
//!
//! A cosignature is a signature line of the checkpoint's note, of a key of type 0x04: 8 bytes of time, seconds since
//! 1970, and an Ed25519 signature over `cosignature/v1`, `time <seconds>` and the text of the note, each line ended by LF.

use super::note::{Note, key_id, key_text, read_key};
use crate::Error;
use crate::hash::Digest;
use crate::seal::keys::signature_holds;

/// Type of a key that signs cosignatures.
const COSIGNATURE: u8 = 4;

/// The public key of a cosigner, and its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CosignKey {
    /// Its name.
    pub name: String,
    /// The key.
    pub public: Digest,
}

impl CosignKey {
    /// Reads the text form, `<name>+<key id in hexadecimal>+<base64 of 0x04 and the key>`.
    ///
    /// # Errors
    /// [`Error::Format`] for anything else.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (name, public) = read_key(text, COSIGNATURE).ok_or_else(|| {
            Error::Format("no key of a cosigner: it is NAME+ID+KEY, of the type cosignature/v1".into())
        })?;
        Ok(Self { name: name.to_owned(), public })
    }

    /// Text form.
    #[must_use]
    pub fn to_text(&self) -> String {
        key_text(&self.name, COSIGNATURE, &self.public)
    }

    /// When it signed a note, seconds since 1970; `None` where it did not.
    ///
    /// # Errors
    /// [`Spoiled`] where a signature of it does not hold.
    pub fn signed(&self, note: &Note<'_>) -> Result<Option<u64>, Spoiled> {
        let mut earliest = None;
        for signature in note.signatures_of(&self.name, key_id(&self.name, COSIGNATURE, &self.public)) {
            let time = self.time(signature, note.text).ok_or(Spoiled)?;
            earliest = Some(earliest.map_or(time, |known: u64| known.min(time)));
        }
        Ok(earliest)
    }

    /// The time in a signature of a text; `None` if it does not hold.
    fn time(&self, signature: &[u8], text: &[u8]) -> Option<u64> {
        let (time, signature) = signature.split_first_chunk::<8>()?;
        let (time, signature) = (u64::from_be_bytes(*time), signature.try_into().ok()?);
        let message = [format!("cosignature/v1\ntime {time}\n").as_bytes(), text].concat();
        (time < 1 << 63 && signature_holds(&self.public, &message, &signature)).then_some(time)
    }
}

/// A signature of a cosigner does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spoiled;
