//! The key that a state at rest is encrypted with.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::Error;
#[cfg(unix)]
use crate::secret::Handover;
use crate::secret::{ALL, Cell, LINE, Secret, check_usable, clean};
use crate::text::{b64, b64_fixed};

/// A key that encrypts another key or the sealing state: 32 bytes, never shown.
pub struct DataKey(pub(crate) Secret);

/// A nonce of XChaCha20-Poly1305; random, never used twice.
pub type Nonce = [u8; 24];

impl DataKey {
    /// Takes the bytes over and wipes where they came from.
    #[must_use]
    pub fn take(bytes: &mut [u8; 32]) -> Self {
        Self(Secret::take(bytes))
    }

    /// Reads the text form: 43 characters of `b64`, an LF may follow.
    ///
    /// # Errors
    /// [`Error::Format`] for anything else, and for zeros, which somebody forgot to fill.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        clean::<LINE, _>(|| {
            b64_fixed(text).filter(|bytes| bytes != &[0; 32]).map(|mut bytes| Self::take(&mut bytes))
        })
        .ok_or_else(|| Error::Format("a key is 43 characters of base64url in one line".into()))
    }

    /// Text form with an LF, in memory that is wiped.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(b64(self.0.expose()));
        text.push('\n');
        text
    }

    /// Puts the key into a page that another process takes it from.
    ///
    /// # Errors
    /// [`Error::Seal`] if the key must not be used.
    #[cfg(unix)]
    pub fn hand_over(&self, page: &mut Handover) -> Result<(), Error> {
        page.put(&[&self.0])
    }

    /// Takes a key that [`hand_over`](Self::hand_over) put into a page.
    ///
    /// # Errors
    /// [`Error::Seal`] if there is none.
    #[cfg(unix)]
    pub fn take_from(page: &mut Handover) -> Result<Self, Error> {
        let [key] = page.take()?;
        Ok(Self(key))
    }

    /// Encrypts another key; `context` is authenticated with it.
    ///
    /// # Errors
    /// [`Error::Custody`] if the cipher refuses (never for these sizes).
    pub fn wrap(&self, inner: &DataKey, context: &[u8], nonce: &Nonce) -> Result<Vec<u8>, Error> {
        self.encrypt(&[&inner.0], context, nonce)
    }

    /// Decrypts a key that [`wrap`](Self::wrap) made.
    ///
    /// # Errors
    /// [`Error::Custody`] if the key is another, or context or text were changed.
    pub fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<DataKey, Error> {
        let [key] = self.decrypt(wrapped, context)?;
        Ok(Self(key))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.0.expose().into())
    }

    /// Encrypts one secret or two: nonce || ciphertext || tag.
    pub(super) fn encrypt(&self, plain: &[&Secret], aad: &[u8], nonce: &Nonce) -> Result<Vec<u8>, Error> {
        check_usable(plain)?;
        check_usable(&[&self.0])?;
        clean::<ALL, _>(|| {
            let mut cell = Cell::new();
            for (half, secret) in cell.halves_mut().iter_mut().zip(plain) {
                *half = *secret.expose();
            }
            let buffer = &mut cell.halves_mut().as_flattened_mut()[..32 * plain.len()];
            let tag = self
                .cipher()
                .encrypt_inout_detached(&XNonce::from(*nonce), aad, (&mut *buffer).into())
                .map_err(|_| Error::Custody("the cipher refused".into()))?;
            Ok([&nonce[..], buffer, &tag[..]].concat())
        })
    }

    /// Decrypts as many secrets as [`encrypt`](Self::encrypt) was given, in memory that is locked.
    pub(super) fn decrypt<const N: usize>(&self, text: &[u8], aad: &[u8]) -> Result<[Secret; N], Error> {
        check_usable(&[&self.0])?;
        clean::<ALL, _>(|| {
            let opened = || {
                let (nonce, text) = text.split_first_chunk::<24>()?;
                let (text, tag) = text.split_last_chunk::<16>()?;
                let mut cell = Cell::new();
                let buffer = &mut cell.halves_mut().as_flattened_mut()[..32 * N];
                (text.len() == buffer.len()).then(|| buffer.copy_from_slice(text))?;
                self.cipher()
                    .decrypt_inout_detached(&XNonce::from(*nonce), aad, buffer.into(), &Tag::from(*tag))
                    .ok()?;
                let secrets: Vec<Secret> = cell.halves_mut().iter_mut().take(N).map(Secret::take).collect();
                secrets.try_into().ok()
            };
            opened().ok_or_else(sealed_by_another_key)
        })
    }
}

fn sealed_by_another_key() -> Error {
    Error::Custody("the key does not open it: wrong key, or it was changed".into())
}
