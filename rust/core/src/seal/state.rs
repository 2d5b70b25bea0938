//! Sealing state: what the sealing host keeps between two runs, and how it is encrypted (SPEC section 6).
//!
//! ```text
//! tallystick-state v1
//! public tallypub1…                          P and name
//! chain 5                                    next chain number, or `ended`
//! version 5                                  grows with every replacement
//! custody master-key:/etc/tallystick/…       what wraps the data key
//! wrapped <b64>                              the data key, wrapped by it
//! exposed tpm2:                              a custody of before that may still open an older state; or no such line
//! former <b64> master-key:/etc/…             the wrapped key that another custody has to destroy; or no such line
//! leaving file:/srv/there                    where the log is being moved to; or no such line
//! follows tallypub1…                         the log that this one follows, until a head counts a line that says so
//! keys <b64>                                 chain public keys of this generation
//! open tallystick/v1 open payments …         one line for each finished generation
//! secret <b64(nonce || ciphertext)>          A[c] || B[c] under the data key
//! ```
//! Associated data of the encryption is every byte before the line `secret`.

use super::data_key::{DataKey, Nonce};
#[cfg(unix)]
use super::public_state::FIRST_LINE;
use super::public_state::{PublicState, split};
use crate::Error;
use crate::seal::head::{Head, Mark};
use crate::seal::keys::{
    FANOUT, PublicKey, SignKey, VerificationKey, epoch_keys, generation_keys, key_path, key_root,
    name_is_valid,
};
use crate::seal::notice::Notice;
use crate::seal::sealer::{Sealer, check_time};
use crate::seal::speaker::Speaker;
use crate::seal::statement::Prev;
#[cfg(unix)]
use crate::secret::Handover;
use crate::secret::{Secret, check_usable};
use crate::text::b64;

/// The sealing state, unlocked: keys for chains not yet opened.
pub struct SealingState {
    info: PublicState,
    a: Secret,
    b: Secret,
}

/// What set-up gives.
pub struct Setup {
    /// Stays on the sealing host.
    pub state: SealingState,
    /// Goes to the verifier and is forgotten.
    pub key: VerificationKey,
    /// The set-up head.
    pub head: Head,
}

/// The state of a chain that will be opened later, encrypted under a key that only locked memory holds.
pub struct Early {
    info: PublicState,
    secret: Vec<u8>,
    key: DataKey,
}

impl Early {
    /// The state.
    ///
    /// # Errors
    /// [`Error::Seal`] where the key was wiped, as it is in a forked child.
    pub fn unlock(&self) -> Result<SealingState, Error> {
        let [a, b] = self.key.decrypt(&self.secret, &[])?;
        Ok(SealingState { info: self.info.clone(), a, b })
    }
}

/// What opening a chain gives.
pub struct Opened {
    /// Seals the chain.
    pub sealer: Sealer,
    /// To be stored before the sealer emits anything.
    pub next: SealingState,
}

impl SealingState {
    /// Sets a log up from V and S (SPEC section 3); S is used here and forgotten.
    ///
    /// # Errors
    /// [`Error::Format`] for a name that no log can have.
    pub fn setup(name: &str, v: Secret, s: Secret) -> Result<Setup, Error> {
        if !name_is_valid(name) {
            return Err(Error::Format(
                "a log name is 1 to 64 of A-Z a-z 0-9 . _ - and begins with a letter or digit".into(),
            ));
        }
        let (a, b) = (v.derive("chains"), s.derive("chains"));
        drop(s);
        check_usable(&[&v, &a, &b])?;
        let (chain_keys, _) = generation_keys(&b);
        let public = PublicKey { root: key_root(&chain_keys), name: name.into() };
        let head = Head::make(public.log_id(), Mark::setup(), &v);
        let info = PublicState {
            public: public.clone(),
            next: Some(1),
            version: 1,
            custody: String::new(),
            wrapped: Vec::new(),
            exposed: None,
            former: None,
            leaving: None,
            follows: None,
            opens: Vec::new(),
            chain_keys,
        };
        Ok(Setup { state: Self { info, a, b }, key: VerificationKey::new(public, v), head })
    }

    /// Opens an encrypted state.
    ///
    /// # Errors
    /// [`Error::Format`] if it is none, [`Error::Custody`] if the key is wrong or it was changed,
    /// [`Error::Seal`] if the log has ended.
    pub fn unlock(text: &[u8], key: &DataKey) -> Result<Self, Error> {
        let (info, aad, secret) = split(text)?;
        let Some(secret) = secret.filter(|_| info.next.is_some()) else {
            return Err(Error::Seal(format!("log {} has ended; start a new one", info.public.name)));
        };
        let [a, b] = key.decrypt(&secret, aad)?;
        check_usable(&[&a, &b])?;
        Ok(Self { info, a, b })
    }

    /// Encrypts the state under a data key that `custody` wrapped.
    ///
    /// # Errors
    /// [`Error::Custody`] if the cipher refuses; [`Error::Format`] if `custody` has a line end in it.
    pub fn lock(
        &mut self,
        key: &DataKey,
        custody: &str,
        wrapped: &[u8],
        nonce: &Nonce,
    ) -> Result<Vec<u8>, Error> {
        let former = self.info.former.as_ref().map(|(custody, _)| custody);
        let (exposed, leaving) = (self.info.exposed.as_ref(), self.info.leaving.as_ref());
        let noted = [Some(&custody.to_string()), exposed, former, leaving];
        if noted.into_iter().flatten().any(|url| url.contains(['\n', '\r'])) {
            return Err(Error::Format("a custody URL is one line".into()));
        }
        custody.clone_into(&mut self.info.custody);
        self.info.wrapped = wrapped.to_vec();
        let head = self.info.head_text()?;
        let secret = key.encrypt(&[&self.a, &self.b], head.as_bytes(), nonce)?;
        Ok(format!("{head}secret {}\n", b64(&secret)).into_bytes())
    }

    /// Notes that a custody may still open an older state, which wrapped key a custody has to destroy, and where the log
    /// is being moved to; this is a state of its own, with a version of its own.
    pub fn note_move(
        &mut self,
        exposed: Option<String>,
        former: Option<(String, Vec<u8>)>,
        leaving: Option<String>,
    ) {
        self.info.version += 1;
        self.info.exposed = exposed;
        self.info.former = former;
        self.info.leaving = leaving;
    }

    /// Notes the log that this one follows: its first lines will say so (SPEC section 5).
    pub fn note_follows(&mut self, log: PublicKey) {
        self.info.follows = Some(log);
    }

    /// Hands the state over to another process: A[c] and B[c] by the page, the rest as text without any wrapped key.
    ///
    /// # Errors
    /// [`Error::Seal`] if its keys must not be used.
    #[cfg(unix)]
    pub fn hand_over(&self, page: &mut Handover) -> Result<String, Error> {
        page.put(&[&self.a, &self.b])?;
        let info = PublicState { wrapped: Vec::new(), former: None, ..self.info.clone() };
        let text = info.head_text()?;
        Ok(text.strip_prefix(FIRST_LINE).unwrap_or(&text).to_string())
    }

    /// Takes a state that [`hand_over`](Self::hand_over) gave.
    ///
    /// # Errors
    /// [`Error::Format`] if the text is none, [`Error::Seal`] if no keys were handed over.
    #[cfg(unix)]
    pub fn take_from(page: &mut Handover, text: &str) -> Result<Self, Error> {
        let (info, ..) = split(format!("{FIRST_LINE}{text}").as_bytes())?;
        let [a, b] = page.take()?;
        Ok(Self { info, a, b })
    }

    /// The state of the next chain as it is now, for a writer that opens that chain later; this one moves on to the
    /// chain after it. `None`, and nothing is done, where the chain's own `open` belongs into the state: at the end of
    /// a generation.
    ///
    /// # Errors
    /// [`Error::Seal`] if the log has ended or used all its chains.
    pub fn fetch_early(&mut self, key: DataKey, nonce: &Nonce) -> Result<Option<Early>, Error> {
        let early =
            Early { info: self.info.clone(), secret: key.encrypt(&[&self.a, &self.b], &[], nonce)?, key };
        Ok(self.skip()?.then_some(early))
    }

    /// The state of a log that has ended: no key is left in it. It says what custody has to destroy, unless the log has
    /// `moved` and goes on elsewhere.
    ///
    /// # Errors
    /// None for a valid name.
    pub fn into_ended(mut self, moved: bool) -> Result<Vec<u8>, Error> {
        self.info.next = None;
        self.info.version += 1;
        if moved {
            self.info.wrapped.clear();
            self.info.former = None;
        }
        Ok(self.info.head_text()?.into_bytes())
    }

    /// The part that anybody may read.
    #[must_use]
    pub fn info(&self) -> &PublicState {
        &self.info
    }

    fn skip(&mut self) -> Result<bool, Error> {
        let name = &self.info.public.name;
        let chain =
            self.info.next.ok_or_else(|| Error::Seal(format!("log {name} has ended; start a new one")))?;
        let after =
            chain.checked_add(1).ok_or_else(|| Error::Seal(format!("log {name} has used all its chains")))?;
        if chain % FANOUT == 0 {
            return Ok(false);
        }
        self.a.advance("next");
        self.b.advance("next");
        self.info.next = Some(after);
        self.info.version += 1;
        Ok(true)
    }

    /// Opens the next chain: gives its sealer and the state of the chain after it (SPEC section 6).
    ///
    /// # Errors
    /// [`Error::Seal`] if the head is ahead of the state, as after a restored backup, or belongs to another log.
    pub fn open_chain(mut self, head: &Head, time: u64) -> Result<Opened, Error> {
        check_time(time)?;
        check_usable(&[&self.a, &self.b])?;
        let name = &self.info.public.name;
        let chain =
            self.info.next.ok_or_else(|| Error::Seal(format!("log {name} has ended; start a new one")))?;
        if head.log != self.info.public.log_id() {
            return Err(Error::Seal(format!("the head in the key store is not that of log {name}")));
        }
        if head.mark.at.chain >= chain {
            return Err(Error::Seal(format!(
                "the key store is older than the log {name}: its state would open chain {chain} again, but a head \
                 counts chain {}; a restored backup must not be sealed with: start a new log",
                head.mark.at.chain
            )));
        }
        let after =
            chain.checked_add(1).ok_or_else(|| Error::Seal(format!("log {name} has used all its chains")))?;
        let index = (chain - 1) % FANOUT;
        let key = SignKey::derive(&self.b, "chain key");
        if key.public() != self.info.chain_keys[index as usize] {
            return Err(Error::Custody(
                "the sealing state is damaged: a chain key is not where it should be".into(),
            ));
        }
        // B moves on to the chain after this one, then a scratch copy to the next generation.
        let (c, d) = (self.a.derive("chain"), self.b.derive("epochs"));
        self.a.advance("next");
        self.b.advance("next");
        let mut ahead = self.b.duplicate();
        for _ in index + 1..FANOUT {
            ahead.advance("next");
        }
        let (next_keys, _) = generation_keys(&ahead);
        let next_root = key_root(&next_keys);
        let epoch_keys = epoch_keys(&d);
        let path = key_path(&self.info.chain_keys, index as usize);
        let speaker =
            Speaker::new(&self.info.public, chain, &key, (&key_root(&epoch_keys), &next_root), &path);
        if head.mark != Mark::setup() {
            self.info.follows = None;
        }
        let prev = Prev { mark: head.mark, proof: head.proof(chain) };
        let open = speaker.open(time, &prev, &key);
        drop(key);
        if index + 1 == FANOUT {
            self.info.opens.push(open.clone());
            self.info.chain_keys = next_keys;
        }
        self.info.next = Some(after);
        self.info.version += 1;
        let follows = self.info.follows.as_ref().map(Notice::predecessor_of).transpose()?;
        let sealer = Sealer::new(speaker, (open, follows), c.derive("epochs"), d, epoch_keys);
        sealer.check_usable()?;
        Ok(Opened { sealer, next: self })
    }
}
