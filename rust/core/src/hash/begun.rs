//! MACs whose message ends in a digest that is not known yet, such as the MAC before it: all else is hashed ahead.

use sha2::block_api::compress256;

use super::lanes::LANES;
use super::lanes::wide::Wide;
use super::many::{FEWEST, ManyKeys};
use super::sha256::{Digest, Mac, bytes, finish_half};

/// HMAC-SHA-256 of a message that a digest ends: the key and all whole blocks before that digest are taken in.
pub(crate) struct Begun {
    mac: Mac,
    /// What is left of the message, room for the digest, and the padding: one block or two.
    end: [[u8; 64]; 2],
    count: usize,
    /// Where the digest goes.
    at: usize,
}

impl Begun {
    /// Takes the MAC with the whole blocks of the message taken in, and the message.
    fn new(mac: Mac, message: &[u8]) -> Self {
        let (_, rest) = message.as_chunks::<64>();
        let mut end = [[0; 64]; 2];
        let room = end.as_flattened_mut();
        room[..rest.len()].copy_from_slice(rest);
        room[rest.len() + 32] = 0x80;
        let count = if rest.len() + 32 < 56 { 1 } else { 2 };
        let bits = 8 * (64 + message.len() as u64 + 32);
        end[count - 1][56..].copy_from_slice(&bits.to_be_bytes());
        Self { mac, end, count, at: rest.len() }
    }

    /// The MAC of the message and this digest after it.
    #[inline]
    pub(crate) fn end(&self, last: &Digest) -> Digest {
        let (mut blocks, mut state) = (self.end, self.mac.inner);
        blocks.as_flattened_mut()[self.at..self.at + 32].copy_from_slice(last);
        compress256(&mut state, &blocks[..self.count]);
        finish_half(self.mac.outer, &bytes(&state))
    }
}

/// Do several MACs gain by being begun together?
pub(crate) fn gains() -> bool {
    Wide::here().is_some()
}

/// Begins the MACs of as many messages as there are keys, at most [`LANES`].
pub(crate) fn begin(keys: &[Digest], messages: &[&[u8]], begun: &mut Vec<Begun>) {
    let few = keys.len() < FEWEST as usize;
    match Wide::here().filter(|_| !few) {
        Some(wide) => begin_wide(wide, keys, messages, begun),
        None => begun.extend(keys.iter().zip(messages).map(|(key, message)| {
            let mut mac = Mac::new(key);
            compress256(&mut mac.inner, message.as_chunks().0);
            Begun::new(mac, message)
        })),
    }
}

fn begin_wide(wide: Wide, keys: &[Digest], messages: &[&[u8]], begun: &mut Vec<Begun>) {
    let (mut many, mut blocks) = (ManyKeys::new(), [[].as_slice(); LANES]);
    for (lane, (key, message)) in keys.iter().zip(messages).enumerate() {
        many.put(lane, key);
        blocks[lane] = message.as_chunks().0;
    }
    let macs = many.macs(wide, &blocks);
    begun.extend(macs.into_iter().zip(messages).map(|(mac, message)| Begun::new(mac, message)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{hmac, sha256};

    #[test]
    fn a_mac_that_was_begun_ends_as_one_that_was_not() {
        let data: Vec<u8> = (0..3000u32).map(|i| (i * 11 % 251) as u8).collect();
        let keys: Vec<Digest> = (0..LANES).map(|i| sha256(&[&i.to_be_bytes()])).collect();
        for round in 0..300 {
            // Lengths close to each other, far from each other, and around the block edges.
            let messages: Vec<&[u8]> = (0..LANES)
                .map(|i| &data[..[round + i, (round * 7 + i * 731) % 3000, 20 + (round + i) % 64][round % 3]])
                .collect();
            let count = [LANES, 1 + round % LANES][round % 2];
            let mut all = vec![Vec::new()];
            begin(&keys[..count], &messages[..count], &mut all[0]);
            for wide in Wide::all() {
                all.push(Vec::new());
                begin_wide(
                    wide,
                    &keys[..count],
                    &messages[..count],
                    all.last_mut().unwrap_or(&mut Vec::new()),
                );
            }
            for begun in all {
                assert_eq!(begun.len(), count);
                for ((begun, key), message) in begun.iter().zip(&keys).zip(&messages) {
                    let last = sha256(&[key]);
                    assert_eq!(begun.end(&last), hmac(key, &[message, &last]), "{}", message.len());
                }
            }
        }
    }
}
