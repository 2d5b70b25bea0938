//! Texts for the eyes of one recipient: age's format, version 1, with one X25519 recipient, in its ASCII form.
//!
//! Format: <https://age-encryption.org/v1>. Made here and nowhere read: `age --decrypt -i KEY` does that.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, Nonce};
use curve25519_dalek::montgomery::MontgomeryPoint;
use zeroize::Zeroizing;

use crate::Error;
use crate::hash::sha256;

type Key = Zeroizing<[u8; 32]>;

const LABEL: &[u8] = b"age-encryption.org/v1/X25519";
/// One chunk is enough for any key: 64 KiB.
const LONGEST: usize = 65_536;

/// Who alone can read a text: the public half of an X25519 key, `age1…`.
pub struct Recipient([u8; 32]);

/// Random bytes, each for one use.
pub struct Randomness {
    /// The ephemeral secret of X25519.
    pub ephemeral: Zeroizing<[u8; 32]>,
    /// The file key.
    pub file_key: Zeroizing<[u8; 16]>,
    /// Of the payload.
    pub nonce: [u8; 16],
}

impl Recipient {
    /// Reads the text form.
    ///
    /// # Errors
    /// [`Error::Format`] for anything else; a secret key is told apart and not shown.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bad = |what: &str| Error::Format(format!("no recipient: {what}"));
        if text.get(..14).is_some_and(|t| t.eq_ignore_ascii_case("AGE-SECRET-KEY")) {
            return Err(bad("this is a secret key; give its public half, age1…"));
        }
        let wrong = || bad("it begins with age1 and is copied whole, in one line");
        let checked =
            bech32::primitives::decode::CheckedHrpstring::new::<bech32::Bech32>(text).map_err(|_| wrong())?;
        let data: Vec<u8> = checked.byte_iter().collect();
        if checked.hrp().to_lowercase() != "age" {
            return Err(wrong());
        }
        data.try_into().map(Self).map_err(|_| wrong())
    }

    /// Encrypts a text of 64 KiB at most.
    ///
    /// # Errors
    /// [`Error::Format`] if the recipient is a point of low order, or the text is longer.
    pub fn encrypt(&self, text: &[u8], random: &Randomness) -> Result<String, Error> {
        if text.len() > LONGEST {
            return Err(Error::Format("too long to be encrypted for a recipient; write it to a file".into()));
        }
        let share = MontgomeryPoint::mul_base_clamped(*random.ephemeral).to_bytes();
        let shared = Zeroizing::new(MontgomeryPoint(self.0).mul_clamped(*random.ephemeral).to_bytes());
        if *shared == [0; 32] {
            return Err(Error::Format("no recipient: nobody can have the key of this one".into()));
        }
        let mut salt = [0; 64];
        salt[..32].copy_from_slice(&share);
        salt[32..].copy_from_slice(&self.0);
        let wrapped = seal(&hkdf(&salt, &shared[..], LABEL), [0; 12], &random.file_key[..])?;
        let mut header = format!(
            "age-encryption.org/v1\n-> X25519 {}\n{}\n---",
            STANDARD_NO_PAD.encode(share),
            STANDARD_NO_PAD.encode(&wrapped)
        );
        let mac = hmac(&block(&hkdf(&[0; 64], &random.file_key[..], b"header")[..]), &[header.as_bytes()]);
        header.push(' ');
        header.push_str(&STANDARD_NO_PAD.encode(mac));
        header.push('\n');
        let mut last = [0; 12];
        last[11] = 1; // the counter is 0, and no chunk follows
        let payload = seal(&hkdf(&block(&random.nonce), &random.file_key[..], b"payload"), last, text)?;
        Ok(armored(&[header.as_bytes(), &random.nonce, &payload].concat()))
    }
}

/// Base64 in lines of 64 letters between age's marks.
fn armored(data: &[u8]) -> String {
    let text = STANDARD.encode(data);
    let mut out = String::from("-----BEGIN AGE ENCRYPTED FILE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str("-----END AGE ENCRYPTED FILE-----\n");
    out
}

fn seal(key: &Key, nonce: [u8; 12], plain: &[u8]) -> Result<Vec<u8>, Error> {
    // Room for the tag, so that no plaintext is left behind by a reallocation.
    let mut buffer = Vec::with_capacity(plain.len() + 16);
    buffer.extend_from_slice(plain);
    ChaCha20Poly1305::new((&**key).into())
        .encrypt_in_place(&Nonce::from(nonce), b"", &mut buffer)
        .map_err(|_| Error::Custody("the cipher refused".into()))?;
    Ok(buffer)
}

/// HKDF-SHA256 (RFC 5869) of one block of output; the salt fills a block of the hash with zeros.
fn hkdf(salt: &[u8; 64], secret: &[u8], info: &[u8]) -> Key {
    let extracted = Zeroizing::new(hmac(salt, &[secret]));
    Zeroizing::new(hmac(&block(&extracted[..]), &[info, &[1]]))
}

/// A key of 64 bytes at most as HMAC pads it.
fn block(key: &[u8]) -> Zeroizing<[u8; 64]> {
    let mut padded = Zeroizing::new([0; 64]);
    padded[..key.len()].copy_from_slice(key);
    padded
}

/// HMAC-SHA256 (RFC 2104) with a key that fills a block.
fn hmac(key: &[u8; 64], parts: &[&[u8]]) -> [u8; 32] {
    let (inner, outer) =
        (Zeroizing::new(key.map(|byte| byte ^ 0x36)), Zeroizing::new(key.map(|byte| byte ^ 0x5c)));
    let within = sha256(&[&[&inner[..]], parts].concat());
    sha256(&[&outer[..], &within])
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 4231, test case 2; RFC 5869, test case 1 has 42 bytes of output, of which these are the first.
    #[test]
    fn the_primitives_are_those_of_the_rfcs() {
        let mac = hmac(&block(b"Jefe"), &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(hex::encode(mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let salt: Vec<u8> = (0..13).collect();
        let info: Vec<u8> = (0xf0..0xfa).collect();
        let key = hkdf(&block(&salt), &[11; 22], &info);
        assert_eq!(hex::encode(*key), "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
    }

    #[test]
    fn what_is_no_recipient_is_refused_and_a_secret_key_is_not_shown() {
        for text in ["", "age1", "tallypub1qqqq", "AGE-SECRET-KEY-1QQQ", "age1qqqqqqqqqqqqqqqqqqqqqqqqqqq"] {
            let said = Recipient::parse(text).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(said.starts_with("no recipient: ") && !said.contains("QQQ"), "{said}");
        }
        let random = Randomness {
            ephemeral: Zeroizing::new([7; 32]),
            file_key: Zeroizing::new([8; 16]),
            nonce: [9; 16],
        };
        assert!(Recipient([0; 32]).encrypt(b"key", &random).is_err());
    }
}
