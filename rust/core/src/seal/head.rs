//! Heads and pins: positions that somebody vouches for (SPEC sections 1 and 6).
//!
//! ```text
//! tallyhead oedhcsck 1.0.3.gtu2Z7EdLrb0TUic6BgyQ4uoOMnahMis6priiiFANsg <b64(mac)>
//! tallypin  oedhcsck 1.0.0.gtu2Z7EdLrb0TUic6BgyQ4uoOMnahMis6priiiFANsg
//! ```

use zeroize::Zeroizing;

use crate::Error;
use crate::hash::{Digest, first16};
use crate::line::{LogId, Position};
use crate::seal::keys::VerificationKey;
use crate::secret::{LINE, Secret, clean};
use crate::text::{b64, b64_fixed};

/// A position and the hash of the newest statement before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mark {
    /// The next line to be written.
    pub at: Position,
    /// `H(newest statement)`; zeros before any line.
    pub hash: Digest,
}

impl Mark {
    /// The mark before any line.
    #[must_use]
    pub fn setup() -> Self {
        Self { at: Position::new(0, 0, 0), hash: [0; 32] }
    }

    /// `<chain>.<epoch>.<index>.<b64(hash)>`.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}.{}", self.at, b64(&self.hash))
    }

    /// Reads the text form; only `0.0.0` with a zero hash has epoch 0 and index 0.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let dot = text.iter().rposition(|b| *b == b'.')?;
        let mark = Self { at: Position::parse(&text[..dot])?, hash: b64_fixed(&text[dot + 1..])? };
        let first = (mark.at.epoch, mark.at.index) == (0, 0);
        (first == (mark == Self::setup())).then_some(mark)
    }
}

/// A head: a mark and its mac. The mac is dear: whoever keeps an old one can go back to it.
pub struct Head {
    /// Whose head.
    pub log: LogId,
    /// What it counts.
    pub mark: Mark,
    mac: Secret,
}

impl Head {
    /// The head at a mark; `key` is K at that position, or V for the set-up head.
    #[must_use]
    pub(crate) fn make(log: LogId, mark: Mark, key: &Secret) -> Self {
        Self { log, mark, mac: key.derive("head").mac(mark.to_text().as_bytes()) }
    }

    /// Text form, in memory that is wiped: whoever finds an old head can go back to it.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<Vec<u8>> {
        // Reserved once, so that no shorter copy is left behind.
        let mut text = Zeroizing::new(Vec::with_capacity(160));
        text.extend_from_slice(format!("tallyhead {} {} ", self.log, self.mark.to_text()).as_bytes());
        text.extend_from_slice(Zeroizing::new(b64(self.mac.expose())).as_bytes());
        text
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`Error::Format`] for anything else.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let read = || {
            let mut words = text.trim_ascii_end().split(|b| *b == b' ');
            let label = words.next()?;
            let log = LogId::parse(words.next()?)?;
            let (mark, mut mac) = (Mark::parse(words.next()?)?, b64_fixed(words.next()?)?);
            let mac = Secret::take(&mut mac);
            (label == b"tallyhead" && words.next().is_none()).then_some(Self { log, mark, mac })
        };
        clean::<LINE, _>(read)
            .ok_or_else(|| Error::Format("no head: it is one line that begins with tallyhead".into()))
    }

    /// The proof that an `open` of chain c carries: first 16 bytes of `HMAC(mac, "open " || c)`.
    #[must_use]
    pub fn proof(&self, chain: u32) -> [u8; 16] {
        first16(self.mac.mac(format!("open {chain}").as_bytes()).expose())
    }

    /// Does the mac hold? `None` where the key cannot tell.
    #[must_use]
    pub fn holds(&self, key: &VerificationKey) -> Option<bool> {
        let right = Self::at(self.log, self.mark, key)?;
        Some(subtle::ConstantTimeEq::ct_eq(&right.mac.expose()[..], &self.mac.expose()[..]).into())
    }

    /// The head that the holder of a verification key computes for a mark; `None` where the key cannot.
    #[must_use]
    pub fn at(log: LogId, mark: Mark, key: &VerificationKey) -> Option<Self> {
        if mark == Mark::setup() {
            return Some(Self::make(log, mark, key.whole()?));
        }
        Some(Self::make(log, mark, &key.entry_key(mark.at)?))
    }
}

/// A pin: the position and hash of a statement that was verified, or that a verifier got elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// Whose statement.
    pub log: LogId,
    /// The statement's own position.
    pub at: Position,
    /// Its hash.
    pub hash: Digest,
}

impl Pin {
    /// Text form.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("tallypin {} {}.{}", self.log, self.at, b64(&self.hash))
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`Error::Format`] for anything else.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let read = || {
            let mut words = text.trim_ascii_end().split(|b| *b == b' ');
            let label = words.next()?;
            let log = LogId::parse(words.next()?)?;
            let mark = words.next()?;
            let dot = mark.iter().rposition(|b| *b == b'.')?;
            let at = Position::parse(&mark[..dot])?;
            let hash = b64_fixed(&mark[dot + 1..])?;
            (label == b"tallypin" && words.next().is_none() && at.chain > 0).then_some(Self { log, at, hash })
        };
        read().ok_or_else(|| Error::Format("no pin: it is one line that begins with tallypin".into()))
    }
}
