//! The key schedule and the text forms of keys (SPEC section 3).
//!
//! Tag side: V gives A[1], each A[c] gives C[c], each C[c] the epoch keys E[e], each E[e] the entry
//! keys K[i]. Signature side: S gives B[1], each B[c] a chain key and the epoch keys' seeds.

mod narrowing;
mod vouching;

use std::collections::BTreeMap;
use std::sync::Mutex;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use super::tree;
use crate::hash::Digest;
use crate::line::{LogId, Position};
use crate::secret::{ALL, Secret, clean};
use crate::text::{bech32m, bech32m_decode};
use crate::{Error, hash};

/// Chains in a generation, epochs in a chain.
pub const FANOUT: u32 = 256;

/// The farthest chain that a holder of V walks to (SPEC section 9): some seconds, for a head or a narrowed key.
pub const REACH: u32 = 1 << 24;

/// How far a scan walks for a line, beyond the chains that its caller names: 30 ms, once for all lines.
pub const AHEAD: u32 = 1 << 17;

/// The most chains that go into one narrowed key: its text has 3.4 MB then.
pub const MOST_NARROWED: u32 = 1 << 16;

/// In the place of a chain's number: V, which covers all.
pub const WHOLE: u32 = 0;

/// Is this a name that a log can have: 1 to 64 of `A-Za-z0-9._-`, first a letter or digit?
#[must_use]
pub fn name_is_valid(name: &str) -> bool {
    let bytes = name.as_bytes();
    matches!(bytes.first(), Some(b) if b.is_ascii_alphanumeric())
        && bytes.len() <= 64
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
}

/// Public key P with the name it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// P = chain root of generation 0.
    pub root: Digest,
    /// Name of the log.
    pub name: String,
}

impl PublicKey {
    /// The first 8 characters of lower-case RFC 4648 base32 of P.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        let first = self.root[..5].iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte));
        let letter =
            |place: u32| b"abcdefghijklmnopqrstuvwxyz234567"[(first >> (35 - 5 * place) & 31) as usize];
        LogId([0, 1, 2, 3, 4, 5, 6, 7].map(letter))
    }

    /// Text form `tallypub1…`.
    ///
    /// # Errors
    /// None for a valid name.
    pub fn to_text(&self) -> Result<String, Error> {
        Ok(bech32m("tallypub", &[&self.root[..], self.name.as_bytes()].concat())?.to_string())
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`Error::Format`] for anything else; a verification key is told apart.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.get(..11).is_some_and(|t| t.eq_ignore_ascii_case("tallysecret")) {
            return Err(Error::Format(
                "this is a verification key, which is secret; a public key (tallypub1…) is wanted here"
                    .into(),
            ));
        }
        let data = bech32m_decode("tallypub", text).ok_or_else(|| {
            Error::Format("no public key: it begins with tallypub1 and is copied whole, in one line".into())
        })?;
        let (root, name) =
            data.split_at_checked(32).ok_or_else(|| Error::Format("public key is cut short".into()))?;
        let mut p = [0; 32];
        p.copy_from_slice(root);
        Ok(Self { root: p, name: read_name(name)? })
    }
}

fn read_name(bytes: &[u8]) -> Result<String, Error> {
    match std::str::from_utf8(bytes) {
        Ok(name) if name_is_valid(name) => Ok(name.into()),
        _ => Err(Error::Format("key text holds no valid log name".into())),
    }
}

/// What a verification key covers.
enum Scope {
    /// V: all chains.
    All(Secret),
    /// C[c] of some chains.
    Chains(BTreeMap<u32, Secret>),
}

/// Verification key V, or the part of it for some chains. SECRET of the verifier.
pub struct VerificationKey {
    /// Whose key this is.
    pub public: PublicKey,
    scope: Scope,
    /// A[1 + 1024 k], as far as anybody has walked: reaching chain c costs at most 1,024 steps.
    ladder: Mutex<Vec<Secret>>,
}

const RUNG: u32 = 1024;

impl VerificationKey {
    /// The key of all chains.
    #[must_use]
    pub fn new(public: PublicKey, v: Secret) -> Self {
        Self { public, scope: Scope::All(v), ladder: Mutex::default() }
    }

    /// Text form `tallysecret1…`, in memory that is wiped.
    ///
    /// # Errors
    /// [`Error::Format`] if the chains that it covers do not follow each other.
    pub fn to_text(&self) -> Result<Zeroizing<String>, Error> {
        let (first, last) = (self.first(), self.last());
        let (scope, keys): (u8, Vec<&Secret>) = match &self.scope {
            Scope::All(v) => (0, vec![v]),
            Scope::Chains(keys) if (first..=last).eq(keys.keys().copied()) && !keys.is_empty() => {
                (1, keys.values().collect())
            }
            Scope::Chains(_) => return Err(Error::Format("a key of chains with gaps has no text".into())),
        };
        let mut data = Zeroizing::new(Vec::with_capacity(41 + 32 * keys.len() + self.public.name.len()));
        data.push(scope);
        data.extend_from_slice(&self.public.root);
        data.extend_from_slice(&first.to_be_bytes());
        data.extend_from_slice(&last.to_be_bytes());
        for key in keys {
            data.extend_from_slice(key.expose());
        }
        data.extend_from_slice(self.public.name.as_bytes());
        bech32m("tallysecret", &data)
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`Error::Format`] for anything else; a public key is told apart.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bad = |what: &str| Error::Format(format!("no verification key: {what}"));
        if text.get(..8).is_some_and(|t| t.eq_ignore_ascii_case("tallypub")) {
            return Err(bad("this is a public key (tallypub1…); give it as the public file instead"));
        }
        let data = bech32m_decode("tallysecret", text)
            .ok_or_else(|| bad("it begins with tallysecret1 and is copied whole, in one line"))?;
        let cut = || bad("it is cut short");
        let (head, rest) = data.split_at_checked(41).ok_or_else(cut)?;
        let mut root = [0; 32];
        root.copy_from_slice(&head[1..33]);
        let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (first, last) = (word(33), word(37));
        let count = match head[0] {
            0 if (first, last) == (1, u32::MAX) => 1,
            1 if 1 <= first && first <= last => u64::from(last - first) + 1,
            _ => return Err(bad("unknown scope or range of chains")),
        };
        let size = usize::try_from(count * 32).map_err(|_| cut())?;
        let (keys, name) = rest.split_at_checked(size).ok_or_else(cut)?;
        let mut keys: Vec<Secret> = keys.chunks_exact(32).filter_map(Secret::copy_from).collect();
        let public = PublicKey { root, name: read_name(name)? };
        let scope = if head[0] == 0 {
            Scope::All(keys.remove(0))
        } else {
            Scope::Chains((first..=last).zip(keys).collect())
        };
        Ok(Self { public, scope, ladder: Mutex::default() })
    }

    /// First chain that the key covers.
    #[must_use]
    pub fn first(&self) -> u32 {
        match &self.scope {
            Scope::All(_) => 1,
            Scope::Chains(keys) => keys.keys().next().copied().unwrap_or(1),
        }
    }

    /// Last chain that the key covers.
    #[must_use]
    pub fn last(&self) -> u32 {
        match &self.scope {
            Scope::All(_) => u32::MAX,
            Scope::Chains(keys) => keys.keys().next_back().copied().unwrap_or(0),
        }
    }

    /// Does the key cover some chains only?
    #[must_use]
    pub fn is_narrowed(&self) -> bool {
        matches!(self.scope, Scope::Chains(_))
    }

    /// Does the key cover chain c?
    #[must_use]
    pub fn covers(&self, chain: u32) -> bool {
        match &self.scope {
            Scope::All(_) => chain > 0,
            Scope::Chains(keys) => keys.contains_key(&chain),
        }
    }

    /// C[c]; `None` where the key does not cover c or c is out of reach.
    pub(crate) fn chain(&self, chain: u32) -> Option<Secret> {
        match &self.scope {
            Scope::Chains(keys) => keys.get(&chain).map(Secret::duplicate),
            Scope::All(_) if chain == 0 || chain > REACH => None,
            Scope::All(v) => Some(self.link(v, chain).derive("chain")),
        }
    }

    /// A[c] of V; c is within reach.
    fn link(&self, v: &Secret, chain: u32) -> Secret {
        let rung = ((chain - 1) / RUNG) as usize;
        // A panic while the lock was held leaves whole rungs only.
        let mut ladder = self.ladder.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if ladder.is_empty() {
            ladder.push(v.derive("chains"));
        }
        while ladder.len() <= rung {
            let mut next = ladder[ladder.len() - 1].duplicate();
            for _ in 0..RUNG {
                next.advance("next");
            }
            ladder.push(next);
        }
        let mut a = ladder[rung].duplicate();
        drop(ladder);
        for _ in 0..(chain - 1) % RUNG {
            a.advance("next");
        }
        a
    }

    /// E[e] of chain c as the first entry key K[0].
    pub(crate) fn first_entry_key(&self, chain: u32, epoch: u8) -> Option<Secret> {
        let mut e = self.chain(chain)?.derive("epochs");
        for _ in 0..epoch {
            e.advance("next");
        }
        Some(e.derive("entry"))
    }

    /// K at any position.
    pub(crate) fn entry_key(&self, at: Position) -> Option<Secret> {
        let mut k = self.first_entry_key(at.chain, at.epoch)?;
        for _ in 0..at.index {
            k.ratchet();
        }
        Some(k)
    }

    /// V, for the set-up head; `None` in a narrowed key.
    pub(crate) fn whole(&self) -> Option<&Secret> {
        match &self.scope {
            Scope::All(v) => Some(v),
            Scope::Chains(_) => None,
        }
    }
}

/// The seed of an Ed25519 key that signs: what comes of it is made for each signature, and wiped.
pub(crate) struct SignKey {
    seed: Secret,
    public: [u8; 32],
}

impl SignKey {
    /// The key whose seed is `derive(from, label)`.
    pub(crate) fn derive(from: &Secret, label: &str) -> Self {
        Self::of(from.derive(label))
    }

    /// The key of a seed.
    pub(crate) fn of(seed: Secret) -> Self {
        let public = clean::<ALL, _>(|| SigningKey::from_bytes(seed.expose()).verifying_key().to_bytes());
        Self { seed, public }
    }

    pub(crate) fn public(&self) -> [u8; 32] {
        self.public
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        clean::<ALL, _>(|| SigningKey::from_bytes(self.seed.expose()).sign(message).to_bytes())
    }

    pub(crate) fn seed(&self) -> &Secret {
        &self.seed
    }
}

/// RFC 8032 verification: S below L, R compared as bytes, no cofactor; no other spelling of the key or R, and none
/// of small order (SPEC section 2).
#[must_use]
pub fn signature_holds(pk: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let signature = Signature::from_bytes(signature);
    is_canonical(pk)
        && is_canonical(signature.r_bytes())
        && VerifyingKey::from_bytes(pk).is_ok_and(|pk| pk.verify_strict(message, &signature).is_ok())
}

/// Is y of an encoded point below p = 2^255 - 19? The library takes it modulo p.
fn is_canonical(point: &[u8; 32]) -> bool {
    point[0] < 0xed || point[1..31].iter().any(|byte| *byte != 0xff) || point[31] & 0x7f != 0x7f
}

/// Public keys of the 256 chains of the generation that begins with the chain that `b` belongs to.
///
/// Returns them and B of the next generation's first chain.
pub(crate) fn generation_keys(b: &Secret) -> (Vec<[u8; 32]>, Secret) {
    let mut b = b.duplicate();
    let mut keys = Vec::with_capacity(FANOUT as usize);
    for _ in 0..FANOUT {
        keys.push(SignKey::derive(&b, "chain key").public());
        b.advance("next");
    }
    (keys, b)
}

/// Public keys of the 256 epochs of a chain, D[0] given.
pub(crate) fn epoch_keys(d: &Secret) -> Vec<[u8; 32]> {
    let mut d = d.duplicate();
    let mut keys = Vec::with_capacity(FANOUT as usize);
    for _ in 0..FANOUT {
        keys.push(SignKey::derive(&d, "epoch key").public());
        d.advance("next");
    }
    keys
}

/// MTH over public keys.
#[must_use]
pub fn key_root(keys: &[[u8; 32]]) -> Digest {
    tree::root(&keys.iter().map(tree::key_leaf).collect::<Vec<_>>())
}

/// The path of key `index` in the tree over `keys`, joined.
pub(crate) fn key_path(keys: &[[u8; 32]], index: usize) -> Vec<u8> {
    let leaves: Vec<Digest> = keys.iter().map(tree::key_leaf).collect();
    tree::path(&leaves, index).concat()
}

/// The root that a path of 8 hashes leads to from a public key at `index` of 256.
pub(crate) fn key_climb(pk: &[u8; 32], index: u8, path: &[u8; 256]) -> Digest {
    let mut at = tree::key_leaf(pk);
    for (level, sibling) in path.as_chunks::<32>().0.iter().enumerate() {
        at = if index >> level & 1 == 0 { hash::node(&at, sibling) } else { hash::node(sibling, &at) };
    }
    at
}

#[cfg(test)]
mod tests {
    use super::is_canonical;

    #[test]
    fn a_point_has_one_spelling() {
        let p = |add: u8| {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (0xed_u8.wrapping_add(add), 0x7f);
            bytes
        };
        assert!(is_canonical(&p(0xff)) && is_canonical(&[0; 32]));
        let signed = |mut point: [u8; 32]| {
            point[31] |= 0x80;
            point
        };
        for more in 0..=0x12 {
            assert!(!is_canonical(&p(more)) && !is_canonical(&signed(p(more))), "p + {more}");
        }
        assert!(is_canonical(&signed(p(0xff))));
    }
}
