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
//! keys <b64>                                 chain public keys of this generation
//! open tallystick/v1 open payments …         one line for each finished generation
//! secret <b64(nonce || ciphertext)>          A[c] || B[c] under the data key
//! ```
//! Associated data of the encryption is every byte before the line `secret`.

use std::fmt::Write as _;

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::Error;
use crate::seal::head::{Head, Mark};
use crate::seal::keys::{
    FANOUT, PublicKey, SignKey, VerificationKey, epoch_keys, generation_keys, key_path, key_root,
    name_is_valid,
};
use crate::seal::sealer::{Sealer, check_time};
use crate::seal::statement::{Prev, Speaker};
use crate::secret::{ALL, Cell, Handover, LINE, Secret, check_usable, clean};
use crate::text::{b64, b64_decode, b64_fixed, num};

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
    pub fn hand_over(&self, page: &mut Handover) -> Result<(), Error> {
        page.put(&[&self.0])
    }

    /// Takes a key that [`hand_over`](Self::hand_over) put into a page.
    ///
    /// # Errors
    /// [`Error::Seal`] if there is none.
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
    fn encrypt(&self, plain: &[&Secret], aad: &[u8], nonce: &Nonce) -> Result<Vec<u8>, Error> {
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
    fn decrypt<const N: usize>(&self, text: &[u8], aad: &[u8]) -> Result<[Secret; N], Error> {
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

/// The part of the sealing state that anybody may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicState {
    /// P and name.
    pub public: PublicKey,
    /// Next chain number; `None` once the log has ended.
    pub next: Option<u32>,
    /// Grows with every replacement.
    pub version: u64,
    /// What wraps the data key.
    pub custody: String,
    /// The data key, wrapped.
    pub wrapped: Vec<u8>,
    /// A custody of before that may still open an older state, which no new secret came into since.
    pub exposed: Option<String>,
    /// The custody of before, and the wrapped key that it has to destroy before the next chain is opened.
    pub former: Option<(String, Vec<u8>)>,
    /// The key store that the log is being moved to, which may have a copy of this state.
    pub leaving: Option<String>,
    /// One `open` for each finished generation, oldest first.
    pub opens: Vec<String>,
    chain_keys: Vec<[u8; 32]>,
}

const FIRST_LINE: &str = "tallystick-state v1\n";

impl PublicState {
    fn head_text(&self) -> Result<String, Error> {
        let next = self.next.map_or("ended".to_string(), |c| c.to_string());
        let mut text = format!(
            "{FIRST_LINE}public {}\nchain {next}\nversion {}\ncustody {}\nwrapped {}\n",
            self.public.to_text()?,
            self.version,
            self.custody,
            b64(&self.wrapped),
        );
        if let Some(custody) = &self.exposed {
            let _ = writeln!(text, "exposed {custody}");
        }
        if let Some((custody, wrapped)) = &self.former {
            let _ = writeln!(text, "former {} {custody}", b64(wrapped));
        }
        if let Some(store) = &self.leaving {
            let _ = writeln!(text, "leaving {store}");
        }
        let _ = writeln!(text, "keys {}", b64(&self.chain_keys.concat()));
        for open in &self.opens {
            text.push_str("open ");
            text.push_str(open);
            text.push('\n');
        }
        Ok(text)
    }

    /// Reads the public part of a state.
    ///
    /// # Errors
    /// [`Error::Format`] if the text is no state.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        Ok(split(text)?.0)
    }

    /// The version of a state, from its first lines: those with what is encrypted are not looked at.
    ///
    /// # Errors
    /// [`Error::Format`] if this is not the beginning of a state.
    pub fn version_of(beginning: &[u8]) -> Result<u64, Error> {
        let found = || {
            let mut lines = beginning.strip_prefix(FIRST_LINE.as_bytes())?.split(|byte| *byte == b'\n');
            lines.next()?.strip_prefix(b"public ")?;
            lines.next()?.strip_prefix(b"chain ")?;
            let version = num(lines.next()?.strip_prefix(b"version ")?, 1 << 53);
            lines.next().and(version) // one that is cut short is another number
        };
        found().ok_or_else(|| Error::Format("no sealing state: bad version".into()))
    }

    /// The public file: `tallypub1…`, then one `open` a line of each finished generation.
    ///
    /// # Errors
    /// None for a valid name.
    pub fn public_file(&self) -> Result<String, Error> {
        let mut text = self.public.to_text()? + "\n";
        for open in &self.opens {
            text.push_str(open);
            text.push('\n');
        }
        Ok(text)
    }
}

/// Public part of a state, the bytes that are associated data, and the encrypted part.
type Parts<'a> = (PublicState, &'a [u8], Option<Vec<u8>>);

/// Parses a state.
fn split(text: &[u8]) -> Result<Parts<'_>, Error> {
    let bad = |what: &str| Error::Format(format!("no sealing state: {what}"));
    let text = std::str::from_utf8(text).map_err(|_| bad("not text"))?;
    let mut rest =
        text.strip_prefix(FIRST_LINE).ok_or_else(|| bad("its first line is not `tallystick-state v1`"))?;
    let mut field = |name: &str| -> Result<&str, Error> {
        let (line, after) = rest.split_once('\n').ok_or_else(|| bad("cut short"))?;
        let value = line.strip_prefix(name).and_then(|v| v.strip_prefix(' '));
        let value = value.ok_or_else(|| bad(&format!("no line `{name}` where it should be")))?;
        rest = after;
        Ok(value)
    };
    let public = PublicKey::parse(field("public")?)?;
    let next = match field("chain")? {
        "ended" => None,
        number => {
            let number = num(number.as_bytes(), u64::from(u32::MAX)).and_then(|c| u32::try_from(c).ok());
            Some(number.filter(|c| *c > 0).ok_or_else(|| bad("bad chain number"))?)
        }
    };
    let version = num(field("version")?.as_bytes(), 1 << 53).ok_or_else(|| bad("bad version"))?;
    let custody = field("custody")?.to_string();
    let wrapped = b64_decode(field("wrapped")?.as_bytes()).ok_or_else(|| bad("bad wrapped key"))?;
    let exposed = field("exposed").ok().map(str::to_string);
    let former = match field("former").ok() {
        Some(former) => {
            let parts = former
                .split_once(' ')
                .and_then(|(wrapped, custody)| Some((custody.to_string(), b64_decode(wrapped.as_bytes())?)));
            Some(parts.ok_or_else(|| bad("bad former custody"))?)
        }
        None => None,
    };
    let leaving = field("leaving").ok().map(str::to_string);
    let keys = b64_decode(field("keys")?.as_bytes()).unwrap_or_default();
    let (chain_keys, over) = keys.as_chunks::<32>();
    if chain_keys.len() != FANOUT as usize || !over.is_empty() {
        return Err(bad("it must hold 256 chain keys"));
    }
    let chain_keys = chain_keys.to_vec();
    let mut opens = Vec::new();
    while let Some((line, after)) = rest.split_once('\n') {
        let Some(open) = line.strip_prefix("open ") else { break };
        opens.push(open.to_string());
        rest = after;
    }
    let aad = &text.as_bytes()[..text.len() - rest.len()];
    let secret = match rest.strip_prefix("secret ").and_then(|s| s.strip_suffix('\n')) {
        Some(secret) => Some(b64_decode(secret.as_bytes()).ok_or_else(|| bad("bad secret"))?),
        None if rest.is_empty() => None,
        None => return Err(bad("unknown line")),
    };
    Ok((
        PublicState { public, next, version, custody, wrapped, exposed, former, leaving, opens, chain_keys },
        aad,
        secret,
    ))
}

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

    /// Hands the state over to another process: A[c] and B[c] by the page, the rest as text without any wrapped key.
    ///
    /// # Errors
    /// [`Error::Seal`] if its keys must not be used.
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
        let prev = Prev { mark: head.mark, proof: head.proof(chain) };
        let open = speaker.open(time, &prev, &key);
        drop(key);
        if index + 1 == FANOUT {
            self.info.opens.push(open.clone());
            self.info.chain_keys = next_keys;
        }
        self.info.next = Some(after);
        self.info.version += 1;
        let sealer = Sealer::new(speaker, open, c.derive("epochs"), d, epoch_keys);
        sealer.check_usable()?;
        Ok(Opened { sealer, next: self })
    }
}
