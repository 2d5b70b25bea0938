//! Statements: the signed text in control lines (SPEC section 5).
//!
//! ```text
//! tallystick/v1 open <name> <log id> <chain> <time> <prev> <cert> <sig>
//! tallystick/v1 checkpoint <name> <log id> <chain> <epoch> <n> <R> <prev> <time> <kind> <cert> <epoch pk> <path> <sig>
//! tallystick/v1 notice <name> <log id> <chain> <epoch> <index> <kind> <text> <cert> <epoch pk> <path> <sig>
//! tallystick/v1 head <name> <log id> <chain> <epoch> <n> <R> <newest> <time> <cert> <epoch pk> <path> <sig>
//! ```
//! The last one, a signed head, is for witnesses, and never a control line.
//!
//! A signature covers every byte before ` <sig>`; the cert's covers
//! `tallystick/v1 chain <name> <log id> <chain> <epoch root> <next chain root>`.

use crate::hash::{Digest, sha256};
use crate::line::{LogId, Position};
use crate::seal::head::Mark;
use crate::seal::keys::{PublicKey, key_climb, name_is_valid, signature_holds};
use crate::seal::notice::{self, Notice};
use crate::seal::tree::empty_root;
use crate::text::{b64_fixed, num};

/// Largest time: 2^53 - 1 ms.
pub const MAX_TIME: u64 = (1 << 53) - 1;

/// What comes after a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    /// Another epoch of the chain.
    Continues,
    /// Nothing more of this chain.
    Closed,
    /// No chain will follow: the log is decommissioned.
    Ended,
}

impl Kind {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Continues, Self::Closed, Self::Ended];

    /// The word in the statement.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Continues => "continues",
            Self::Closed => "closed",
            Self::Ended => "ended",
        }
    }
}

/// The previous head, as an `open` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Prev {
    /// What the head counted.
    pub mark: Mark,
    /// First 16 bytes of `HMAC(the head's mac, "open " || c)`.
    pub proof: [u8; 16],
}

/// The three kinds of statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Body {
    /// First line of a chain.
    Open {
        /// The head at this opening.
        prev: Prev,
    },
    /// Last line of an epoch.
    Checkpoint {
        /// The epoch that it ends.
        epoch: u8,
        /// Lines of the epoch, this one not counted.
        n: u16,
        /// MTH over them.
        root: Digest,
        /// Hash of the statement before it in the chain.
        prev: Digest,
        /// What comes after it.
        kind: Kind,
    },
    /// A line of an epoch in which the log itself says something; no other statement names it.
    Notice {
        /// Its epoch.
        epoch: u8,
        /// Its index.
        index: u16,
    },
    /// A signed head: how far a running epoch has come. It stands in no line.
    Head {
        /// Its epoch.
        epoch: u8,
        /// Lines of the epoch so far.
        n: u16,
        /// MTH over them.
        root: Digest,
        /// Hash of the newest statement before them.
        newest: Digest,
    },
}

/// A statement that was parsed; nothing in it is verified yet.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'a> {
    pub(crate) text: &'a [u8],
    name: &'a [u8],
    log: LogId,
    /// Chain that it speaks for.
    pub chain: u32,
    /// Claimed time, ms since 1970; 0 in a notice, which claims none.
    pub time: u64,
    /// Open, checkpoint or notice.
    pub body: Body,
    /// Kind and text of a notice, as they are written.
    said: Option<(&'a [u8], &'a [u8])>,
    cert: Cert<'a>,
    epoch_key: Option<([u8; 32], [u8; 256])>,
    sig: [u8; 64],
}

/// `<epoch root>.<next chain root>.<chain pk>.<path>.<sig>`.
#[derive(Debug, Clone, Copy)]
struct Cert<'a> {
    text: &'a [u8],
    roots: &'a [u8],
    epoch_root: Digest,
    next_root: Digest,
    pk: [u8; 32],
    path: [u8; 256],
    sig: [u8; 64],
}

impl<'a> Cert<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let mut parts = text.split(|b| *b == b'.');
        let (epoch_root, next_root) = (parts.next()?, parts.next()?);
        let cert = Self {
            text,
            roots: &text[..epoch_root.len() + 1 + next_root.len()],
            epoch_root: b64_fixed(epoch_root)?,
            next_root: b64_fixed(next_root)?,
            pk: b64_fixed(parts.next()?)?,
            path: b64_fixed(parts.next()?)?,
            sig: b64_fixed(parts.next()?)?,
        };
        parts.next().is_none().then_some(cert)
    }
}

/// Why a statement does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is no statement, or not of this log, name, chain or position.
    Stranger,
    /// Its path does not lead to the chain root or the epoch root.
    Path,
    /// The chain key did not sign the cert.
    Cert,
    /// The statement's own signature is wrong.
    Signature,
}

/// The cert that was found good last, so that a chain's later statements need one signature check only.
#[derive(Default)]
pub struct CertCache {
    good: Option<(u32, Digest, Vec<u8>)>,
}

impl<'a> Statement<'a> {
    /// Reads a statement of a control line; `None` if the bytes are not exactly one.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        Self::read(text).filter(|one| !matches!(one.body, Body::Head { .. }))
    }

    /// Reads what a witness takes: a signed head, an `open` or a `checkpoint` (SPEC section 11).
    #[must_use]
    pub fn parse_shown(text: &'a [u8]) -> Option<Self> {
        Self::read(text).filter(|one| !matches!(one.body, Body::Notice { .. }))
    }

    fn read(text: &'a [u8]) -> Option<Self> {
        let mut words = text.strip_prefix(b"tallystick/v1 ")?.split(|b| *b == b' ');
        let kind = words.next()?;
        let name = words.next().filter(|name| std::str::from_utf8(name).is_ok_and(name_is_valid))?;
        let log = LogId::parse(words.next()?)?;
        let chain = u32::try_from(num(words.next()?, u64::from(u32::MAX))?).ok().filter(|c| *c > 0)?;
        let mut said = None;
        let (time, body, cert, epoch_key) = match kind {
            b"open" => {
                let time = num(words.next()?, MAX_TIME)?;
                let prev = parse_prev(words.next()?)?;
                (time, Body::Open { prev }, Cert::parse(words.next()?)?, None)
            }
            b"checkpoint" => {
                let (time, body) = parse_checkpoint(&mut words)?;
                let cert = Cert::parse(words.next()?)?;
                (time, body, cert, Some((b64_fixed(words.next()?)?, b64_fixed(words.next()?)?)))
            }
            b"head" => {
                let (time, body) = parse_head(&mut words)?;
                let cert = Cert::parse(words.next()?)?;
                (time, body, cert, Some((b64_fixed(words.next()?)?, b64_fixed(words.next()?)?)))
            }
            b"notice" => {
                let epoch = u8::try_from(num(words.next()?, 255)?).ok()?;
                let index = u16::try_from(num(words.next()?, 65_535)?).ok()?;
                let (kind, text) = (words.next()?, words.next()?);
                let at = Position::new(chain, epoch, index);
                notice::decode(text)
                    .filter(|text| notice::is_kind(kind) && notice::may_stand(kind, text, at))?;
                said = Some((kind, text));
                let cert = Cert::parse(words.next()?)?;
                let key = (b64_fixed(words.next()?)?, b64_fixed(words.next()?)?);
                (0, Body::Notice { epoch, index }, cert, Some(key))
            }
            _ => return None,
        };
        let sig = b64_fixed(words.next()?)?;
        words.next().is_none().then_some(Self {
            text,
            name,
            log,
            chain,
            time,
            body,
            said,
            cert,
            epoch_key,
            sig,
        })
    }

    /// What a notice says; `None` for other statements.
    #[must_use]
    pub fn notice(&self) -> Option<Notice> {
        let (kind, text) = self.said?;
        let kind = std::str::from_utf8(kind).ok()?.to_owned();
        Some(Notice { kind, text: notice::decode(text)? })
    }

    /// Id of the log that it says it is of.
    #[must_use]
    pub fn log(&self) -> LogId {
        self.log
    }

    /// Name of the log that it says it is of.
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        self.name
    }

    /// Where the statement says that it stands.
    #[must_use]
    pub fn position(&self) -> Position {
        match self.body {
            Body::Open { .. } => Position::new(self.chain, 0, 0),
            Body::Checkpoint { epoch, n, .. } | Body::Head { epoch, n, .. } => {
                Position::new(self.chain, epoch, n)
            }
            Body::Notice { epoch, index } => Position::new(self.chain, epoch, index),
        }
    }

    /// `H(statement)`.
    #[must_use]
    pub fn hash(&self) -> Digest {
        sha256(&[self.text])
    }

    /// Generation of its chain.
    #[must_use]
    pub fn generation(&self) -> u32 {
        (self.chain - 1) / 256
    }

    /// The chain root of the next generation, as its cert says.
    #[must_use]
    pub fn next_root(&self) -> Digest {
        self.cert.next_root
    }

    /// The root over the chain's epoch keys, as its cert says.
    #[must_use]
    pub fn epoch_root(&self) -> Digest {
        self.cert.epoch_root
    }

    /// The chain root that its chain key leads to.
    #[must_use]
    pub fn chain_root(&self) -> Digest {
        key_climb(&self.cert.pk, (self.chain - 1).to_le_bytes()[0], &self.cert.path)
    }

    /// Is it this log's and does it speak for this position?
    #[must_use]
    pub fn agrees(&self, public: &PublicKey, log: LogId, at: Position) -> bool {
        self.log == log && self.name == public.name.as_bytes() && self.position() == at
    }

    /// Checks signature, paths and cert against the chain root of its generation.
    ///
    /// # Errors
    /// The first [`Fault`] found.
    pub fn check(&self, root: &Digest, cache: &mut CertCache) -> Result<(), Fault> {
        let known = cache
            .good
            .as_ref()
            .is_some_and(|(chain, r, cert)| *chain == self.chain && r == root && cert == self.cert.text);
        if !known {
            if self.chain_root() != *root {
                return Err(Fault::Path);
            }
            let message = cert_message(self.name, self.log, self.chain, self.cert.roots);
            if !signature_holds(&self.cert.pk, &message, &self.cert.sig) {
                return Err(Fault::Cert);
            }
            cache.good = Some((self.chain, *root, self.cert.text.to_vec()));
        }
        let signer = match (&self.epoch_key, self.body) {
            (
                Some((pk, path)),
                Body::Checkpoint { epoch, .. } | Body::Notice { epoch, .. } | Body::Head { epoch, .. },
            ) => {
                if key_climb(pk, epoch, path) != self.cert.epoch_root {
                    return Err(Fault::Path);
                }
                pk
            }
            _ => &self.cert.pk,
        };
        // b64 of 64 bytes is 86 characters; a blank stands before them.
        let covered = &self.text[..self.text.len() - 87];
        if signature_holds(signer, covered, &self.sig) { Ok(()) } else { Err(Fault::Signature) }
    }
}

/// Epoch and n.
fn parse_n<'a>(words: &mut impl Iterator<Item = &'a [u8]>) -> Option<(u8, u16)> {
    let epoch = u8::try_from(num(words.next()?, 255)?).ok()?;
    Some((epoch, u16::try_from(num(words.next()?, 65_535)?).ok()?))
}

/// What stands in a checkpoint before its cert.
fn parse_checkpoint<'a>(words: &mut impl Iterator<Item = &'a [u8]>) -> Option<(u64, Body)> {
    let (epoch, n) = parse_n(words)?;
    let (root, prev) = (b64_fixed(words.next()?)?, b64_fixed(words.next()?)?);
    let time = num(words.next()?, MAX_TIME)?;
    let word = words.next()?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.word().as_bytes() == word)?;
    Some((time, Body::Checkpoint { epoch, n, root, prev, kind }))
}

/// What stands in a signed head before its cert.
fn parse_head<'a>(words: &mut impl Iterator<Item = &'a [u8]>) -> Option<(u64, Body)> {
    let (epoch, n) = parse_n(words)?;
    let (root, newest) = (b64_fixed(words.next()?)?, b64_fixed(words.next()?)?);
    // `open` is the first line of a chain, and of nothing there is one tree.
    if (epoch, n) == (0, 0) || (n == 0 && root != empty_root()) {
        return None;
    }
    Some((num(words.next()?, MAX_TIME)?, Body::Head { epoch, n, root, newest }))
}

fn parse_prev(text: &[u8]) -> Option<Prev> {
    let dot = text.iter().rposition(|b| *b == b'.')?;
    Some(Prev { mark: Mark::parse(&text[..dot])?, proof: b64_fixed(&text[dot + 1..])? })
}

pub(crate) fn cert_message(name: &[u8], log: LogId, chain: u32, roots: &[u8]) -> Vec<u8> {
    // In the cert the roots are parted by a dot, in the signed text by a blank.
    let roots: Vec<u8> = roots.iter().map(|b| if *b == b'.' { b' ' } else { *b }).collect();
    [b"tallystick/v1 chain ", name, b" ", &log.0, format!(" {chain} ").as_bytes(), &roots].concat()
}

const JSON_OPEN: &[u8] = b"{\"tallystick\":\"";

/// m of a control line in either form.
pub(crate) fn control_m(statement: &str, json: bool) -> Vec<u8> {
    if json { [JSON_OPEN, statement.as_bytes(), b"\"}"].concat() } else { statement.as_bytes().to_vec() }
}

/// The statement's text if m could be a control line: exactly it, or exactly its JSON form.
#[must_use]
pub fn control_text(m: &[u8]) -> Option<&[u8]> {
    let text = match m.strip_prefix(JSON_OPEN) {
        Some(rest) => rest.strip_suffix(b"\"}")?,
        None => m,
    };
    text.starts_with(b"tallystick/v1 ").then_some(text)
}

/// The same for a line in the JSON form, whose m is `open` and a closing brace.
#[must_use]
pub fn control_text_open(open: &[u8]) -> Option<&[u8]> {
    let text = open.strip_prefix(JSON_OPEN)?.strip_suffix(b"\"")?;
    text.starts_with(b"tallystick/v1 ").then_some(text)
}
