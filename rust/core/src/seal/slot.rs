//! A slot: one key of one log beside its master key, in a block of a file (SPEC section 6).
//!
//! ```text
//! 16  tallystick-slot1
//!  8  number, big-endian; each new key of the log has a greater one
//!  8  number of the key that it is made to replace; 0 where the log comes here
//! 32  P
//! 32  the key
//! 32  SHA-256 of all that
//!     zeros to the end of the block
//! ```
//! A slot is written over in place: that is how its key is destroyed. One whose writing was interrupted is no slot.

use zeroize::Zeroizing;

use crate::hash::{Digest, sha256};
use crate::seal::state::DataKey;
use crate::secret::{ALL, Secret, clean};

/// Size of a slot: a block of its own, so that writing one never touches another.
pub const BLOCK: usize = 4096;

/// The numbers end here: a greater one was not counted up to.
pub const MOST: u64 = 1 << 62;

const MAGIC: &[u8; 16] = b"tallystick-slot1";
const KEY: usize = MAGIC.len() + 8 + 8 + 32;
const SUM: usize = KEY + 32;
const END: usize = SUM + 32;

/// A key that encrypts one sealing state of one log, and is destroyed when a newer one is durable.
pub struct Slot {
    /// P of the log.
    pub root: Digest,
    /// Grows with each key.
    pub number: u64,
    /// Number of the key that it is made to replace; 0 where the log comes here.
    pub after: u64,
    key: Secret,
}

impl Slot {
    /// Takes the bytes of a fresh random key over and wipes where they came from.
    #[must_use]
    pub fn take(root: Digest, number: u64, after: u64, key: &mut [u8; 32]) -> Self {
        Self { root, number, after, key: Secret::take(key) }
    }

    /// Reads a block; `None` where no slot was written whole.
    #[must_use]
    pub fn parse(block: &[u8]) -> Option<Self> {
        let block: &[u8; BLOCK] = block.try_into().ok()?;
        let (head, rest) = block.split_at(END);
        let (text, sum) = head.split_at(SUM);
        let text = text.strip_prefix(MAGIC)?;
        let (number, text) = text.split_first_chunk::<8>()?;
        let (after, text) = text.split_first_chunk::<8>()?;
        let (root, key) = text.split_first_chunk::<32>()?;
        let (number, after) = (u64::from_be_bytes(*number), u64::from_be_bytes(*after));
        let sound = rest.iter().all(|byte| *byte == 0)
            && (1..MOST).contains(&number)
            && after < number
            && clean::<ALL, _>(|| sha256(&[&head[..SUM]]) == *sum);
        let key = sound.then(|| Secret::copy_from(key))??;
        (!key.is_wiped()).then_some(Self { root: *root, number, after, key })
    }

    /// The block that holds this slot, in memory that is wiped.
    #[must_use]
    pub fn to_block(&self) -> Zeroizing<Vec<u8>> {
        let mut block = Zeroizing::new(vec![0; BLOCK]);
        block[..16].copy_from_slice(MAGIC);
        block[16..24].copy_from_slice(&self.number.to_be_bytes());
        block[24..32].copy_from_slice(&self.after.to_be_bytes());
        block[32..KEY].copy_from_slice(&self.root);
        block[KEY..SUM].copy_from_slice(self.key.expose());
        let sum = clean::<ALL, _>(|| sha256(&[&block[..SUM]]));
        block[SUM..END].copy_from_slice(&sum);
        block
    }

    /// What tells this key from any other and says nothing about it.
    #[must_use]
    pub fn digest(&self) -> [u8; 16] {
        let mut digest = [0; 16];
        digest.copy_from_slice(&self.key.derive("slot").expose()[..16]);
        digest
    }

    /// The key that takes both, this slot and the master key: HMAC(slot, master key).
    #[must_use]
    pub fn joined(&self, master: &DataKey) -> DataKey {
        DataKey(self.key.mac(master.0.expose()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot() -> Slot {
        Slot::take([7; 32], 5, 4, &mut [9; 32])
    }

    #[test]
    fn a_block_gives_the_slot_again_and_no_changed_bit_does() {
        let block = slot().to_block();
        let again = Slot::parse(&block).map(|s| (s.root, s.number, s.after, s.digest()));
        assert_eq!(again, Some(([7; 32], 5, 4, slot().digest())));
        for at in (0..END).chain([END, BLOCK - 1]) {
            let mut changed = block.clone();
            changed[at] ^= 1;
            assert!(Slot::parse(&changed).is_none(), "{at}");
        }
        for cut in [0, 1, END, BLOCK - 1] {
            assert!(Slot::parse(&block[..cut]).is_none(), "{cut}");
        }
        assert!(Slot::parse(&[&block[..], &[0]].concat()).is_none());
    }

    #[test]
    fn what_no_writer_makes_is_no_slot() {
        let zeros = Slot { root: [7; 32], number: 5, after: 4, key: Secret::take(&mut [0; 32]) };
        assert!(Slot::parse(&zeros.to_block()).is_none(), "zeros are nobody's secret");
        let numbers =
            [(0, 0), (1, 0), (MOST - 1, 0), (MOST, 0), (u64::MAX, 0), (5, 4), (5, 5), (5, u64::MAX)];
        let found = numbers.map(|(number, after)| {
            Slot::parse(&Slot::take([7; 32], number, after, &mut [9; 32]).to_block()).is_some()
        });
        assert_eq!(found, [false, true, true, false, false, true, false, false]);
    }

    #[test]
    fn a_joined_key_needs_both() {
        let master = |byte| DataKey::take(&mut [byte; 32]);
        let other = Slot::take([7; 32], 5, 4, &mut [8; 32]);
        let text = |key: DataKey| key.to_text().to_string();
        let joined = text(slot().joined(&master(1)));
        assert_eq!(joined, text(slot().joined(&master(1))));
        assert_ne!(joined, text(slot().joined(&master(2))));
        assert_ne!(joined, text(other.joined(&master(1))));
        assert_ne!(slot().digest(), other.digest());
    }
}
