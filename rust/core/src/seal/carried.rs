//! C[c] of some chains on their way to one reader, in another process or on another machine.
//!
//! Nobody between can open them, whatever the way: they are encrypted for a key that the reader made and keeps to itself,
//! by X25519 (RFC 7748) and XChaCha20-Poly1305. Who the reader is, its connection must show.

use std::collections::BTreeMap;

use curve25519_dalek::montgomery::MontgomeryPoint;

use super::data_key::DataKey;
use super::keys::{PublicKey, VerificationKey};
use crate::Error;

use crate::secret::{ALL, Secret, clean};

/// Number of a log among those that are verified together.
type LogNumber = u32;

/// Bytes of one key in a message: number of the log, chain, and what the cipher makes.
const ENTRY: usize = 4 + 4 + 24 + 32 + 16;

/// What the keys of a message are derived for.
const LABEL: &[u8] = b"tallystick/v1 carried";

/// Somebody who waits for keys.
pub struct Reader {
    secret: Secret,
    public: [u8; 32],
}

impl Reader {
    /// Takes 32 random bytes, and wipes where they came from.
    #[must_use]
    pub fn take(random: &mut [u8; 32]) -> Self {
        let secret = Secret::take(random);
        let public = clean::<ALL, _>(|| MontgomeryPoint::mul_base_clamped(*secret.expose()).to_bytes());
        Self { secret, public }
    }

    /// What keys are encrypted for.
    #[must_use]
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// Opens a message: the key of each log of which it may hold chains, by number; of none, where it holds none.
    ///
    /// # Errors
    /// [`Error::Format`] for a message of another form, for another reader, or about other logs.
    pub fn open(
        &self,
        logs: &BTreeMap<LogNumber, PublicKey>,
        message: &[u8],
    ) -> Result<BTreeMap<LogNumber, VerificationKey>, Error> {
        let bad = || Error::Format("these keys are for another reader, or were changed".into());
        let (sender, rest) = message.split_first_chunk::<32>().ok_or_else(bad)?;
        let cipher = cipher(&self.secret, sender, [sender, &self.public]).ok_or_else(bad)?;
        let mut found: BTreeMap<LogNumber, BTreeMap<u32, Secret>> =
            logs.keys().map(|number| (*number, BTreeMap::new())).collect();
        let (entries, []) = rest.as_chunks::<ENTRY>() else { return Err(bad()) };
        for entry in entries {
            let word =
                |at: usize| u32::from_be_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]);
            let (number, chain) = (word(0), word(4));
            let log = logs.get(&number).ok_or_else(bad)?;
            let [key] = cipher.decrypt(&entry[8..], &about(log, number, chain)).map_err(|_| bad())?;
            found.entry(number).or_default().insert(chain, key);
        }
        let key = |(number, keys)| (number, VerificationKey::of_chains(logs[&number].clone(), keys));
        Ok(found.into_iter().map(key).collect())
    }
}

/// Encrypts C[c] of some chains for a reader.
///
/// `random` are 32 random bytes, which are wiped; `chains` name each a key and its number, and a chain that it covers.
///
/// # Errors
/// [`Error::Format`] for a chain that a key does not cover, and for a reader that is none; [`Error::Seal`] for keys that
/// must not be used, as those in memory that is not locked.
pub fn carry(
    reader: &[u8; 32],
    random: &mut [u8; 32],
    chains: &[(LogNumber, &VerificationKey, u32)],
) -> Result<Vec<u8>, Error> {
    let sender = Reader::take(random);
    let cipher = cipher(&sender.secret, reader, [&sender.public, reader])
        .ok_or_else(|| Error::Format("this is no reader of keys".into()))?;
    let mut message = sender.public.to_vec();
    for (place, (number, key, chain)) in (0_u64..).zip(chains) {
        let secret = key
            .chain(*chain)
            .ok_or_else(|| Error::Format(format!("the key does not cover chain {chain}")))?;
        // The cipher's key is that of one message, and each place in it is there once.
        let mut nonce = [0; 24];
        nonce[16..].copy_from_slice(&place.to_be_bytes());
        message.extend_from_slice(&number.to_be_bytes());
        message.extend_from_slice(&chain.to_be_bytes());
        message.extend_from_slice(&cipher.encrypt(
            &[&secret],
            &about(&key.public, *number, *chain),
            &nonce,
        )?);
    }
    Ok(message)
}

/// What both sides get from their own secret and the other's public key; of a point of small order it is nothing.
fn cipher(own: &Secret, other: &[u8; 32], both: [&[u8; 32]; 2]) -> Option<DataKey> {
    let mut shared = clean::<ALL, _>(|| MontgomeryPoint(*other).mul_clamped(*own.expose()).to_bytes());
    let is_none = shared == [0; 32];
    let key = Secret::take(&mut shared).mac(&[LABEL, both[0], both[1]].concat());
    (!is_none).then_some(DataKey(key))
}

/// What is authenticated with a key.
fn about(log: &PublicKey, number: LogNumber, chain: u32) -> Vec<u8> {
    [LABEL, &log.root, &number.to_be_bytes(), &chain.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn key() -> VerificationKey {
        let public = PublicKey { root: [7; 32], name: "payments".into() };
        VerificationKey::new(public, Secret::take(&mut [9; 32]))
    }

    fn logs() -> BTreeMap<LogNumber, PublicKey> {
        [(3, key().public)].into()
    }

    fn message(reader: &Reader) -> Vec<u8> {
        let key = key();
        carry(reader.public(), &mut [2; 32], &[(3, &key, 5), (3, &key, 900)]).unwrap()
    }

    #[test]
    #[cfg_attr(not(unix), ignore = "keys are in memory that is not locked")]
    fn the_reader_gets_just_these_chains() {
        let reader = Reader::take(&mut [1; 32]);
        let opened = reader.open(&logs(), &message(&reader)).unwrap().remove(&3).unwrap();
        for chain in [1, 5, 6, 900, 901] {
            let (got, own) = (opened.chain(chain), key().chain(chain).unwrap());
            assert_eq!(got.is_some(), [5, 900].contains(&chain), "{chain}");
            assert!(got.is_none_or(|got| got.expose() == own.expose()), "{chain}");
        }
        assert!(opened.whole().is_none() && opened.to_text().is_err());
    }

    #[test]
    #[cfg_attr(not(unix), ignore = "keys are in memory that is not locked")]
    fn nobody_else_opens_it_and_no_byte_of_it_can_be_changed() {
        let reader = Reader::take(&mut [1; 32]);
        let message = message(&reader);
        assert!(Reader::take(&mut [3; 32]).open(&logs(), &message).is_err());
        // Of the sender's point the highest bit says nothing (RFC 7748, section 5), but it is derived from.
        for at in 0..message.len() {
            let mut changed = message.clone();
            changed[at] ^= 0x80;
            assert!(reader.open(&logs(), &changed).is_err(), "{at}");
        }
        assert!(reader.open(&logs(), &message[..message.len() - 1]).is_err());
        let other = PublicKey { root: [8; 32], name: "payments".into() };
        assert!(reader.open(&[(3, other)].into(), &message).is_err());
    }

    #[test]
    fn a_point_of_small_order_is_no_reader() {
        let key = key();
        for point in [[0; 32], {
            let mut one = [0; 32];
            one[0] = 1;
            one
        }] {
            assert!(carry(&point, &mut [2; 32], &[(0, &key, 1)]).is_err());
        }
    }

    #[test]
    fn a_chain_that_the_key_does_not_cover_is_refused() {
        let (reader, narrowed) = (Reader::take(&mut [1; 32]), key().narrow(2, 3).unwrap());
        assert!(carry(reader.public(), &mut [2; 32], &[(0, &narrowed, 4)]).is_err());
    }
}
