//! Passphrases: stretched by Argon2id (RFC 9106) into a key that encrypts data keys.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::Error;
use crate::seal::state::DataKey;
use crate::secret::{ALL, clean};

/// What somebody typed; wiped on drop.
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// Takes a line over, without its end.
    #[must_use]
    pub fn take(mut line: Zeroizing<Vec<u8>>) -> Self {
        while line.last().is_some_and(|&byte| byte == b'\n' || byte == b'\r') {
            line.pop();
        }
        Self(line)
    }

    /// How many bytes it has.
    #[must_use]
    pub fn length(&self) -> usize {
        self.0.len()
    }

    /// Whether both are the same, in a time that tells no more than their lengths.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// The key by Argon2id with one lane, so many KiB of memory and so many passes over it.
    ///
    /// # Errors
    /// [`Error::Custody`] for a salt of less than 8 bytes, or less than 8 KiB or more than 1 GiB of memory, or not 1 to
    /// 16 passes: these stand beside the state, and who changes them there must not make us busy for ever.
    pub fn stretch(&self, salt: &[u8], memory: u32, passes: u32) -> Result<DataKey, Error> {
        let refused = || Error::Custody("the costs of the passphrase are not within their bounds".into());
        if !(8..=1 << 20).contains(&memory) || !(1..=16).contains(&passes) {
            return Err(refused());
        }
        let params = Params::new(memory, passes, 1, Some(32)).map_err(|_| refused())?;
        let mut blocks = vec![Block::default(); params.block_count()];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        clean::<ALL, _>(|| {
            let mut key = [0; 32];
            let done = argon2.hash_password_into_with_memory(&self.0, salt, &mut key, &mut blocks);
            for block in &mut blocks {
                block.zeroize();
            }
            done.map_err(|_| refused())?;
            Ok(DataKey::take(&mut key))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::take(Zeroizing::new(text.as_bytes().to_vec()))
    }

    // Made with the reference program of Argon2: `echo -n password | argon2 somesalt -id -t 2 -m 8 -p 1 -l 32 -r`.
    #[test]
    fn argon2id_has_a_known_answer() {
        let key =
            passphrase("password\r\n").stretch(b"somesalt", 256, 2).map(|key| key.to_text().to_string());
        let known = hex::decode("9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe");
        assert_eq!(key.ok(), known.ok().map(|known| crate::text::b64(&known) + "\n"));
    }

    #[test]
    fn costs_out_of_bounds_are_refused() {
        for (memory, passes) in [(7, 3), ((1 << 20) + 1, 3), (64, 0), (64, 17), (u32::MAX, u32::MAX)] {
            assert!(passphrase("x").stretch(&[0; 16], memory, passes).is_err(), "{memory} {passes}");
        }
        assert!(passphrase("x").stretch(b"short", 64, 1).is_err());
    }

    #[test]
    fn passphrases_are_compared_without_their_line_ends() {
        assert!(passphrase("one\n").same(&passphrase("one")));
        assert!(!passphrase("one").same(&passphrase("onf")));
        assert!(!passphrase("one").same(&passphrase("ones")));
        assert_eq!(passphrase("\n").length(), 0);
    }
}
