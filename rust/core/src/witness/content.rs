//! What a text that a witness takes says of the lines before it: what is compared, whatever the text.

use std::fmt;

use crate::hash::Digest;
use crate::line::Position;
use crate::seal::statement::{Body, Kind, Statement};
use crate::seal::tree::empty_root;
use crate::text::{b64, b64_fixed, num};

/// The kinds of texts that a witness takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// The first statement of a chain.
    Open,
    /// A signed head.
    Head,
    /// The statement that ends an epoch.
    Checkpoint,
}

impl Verb {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Open, Self::Head, Self::Checkpoint];

    /// The word in the text.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Head => "head",
            Self::Checkpoint => "checkpoint",
        }
    }
}

/// What a text says of the lines before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Head, open or checkpoint.
    pub verb: Verb,
    /// Chain.
    pub chain: u32,
    /// Epoch.
    pub epoch: u8,
    /// Lines of the epoch before it.
    pub n: u16,
    /// MTH over them.
    pub root: Digest,
    /// Hash of the newest statement before it.
    pub newest: Digest,
}

impl Content {
    /// What a text says; `None` for a notice, which says nothing of other lines.
    #[must_use]
    pub fn of(text: &Statement<'_>) -> Option<Self> {
        let chain = text.chain;
        Some(match text.body {
            Body::Open { prev } => {
                let (root, newest) = (empty_root(), prev.mark.hash);
                Self { verb: Verb::Open, chain, epoch: 0, n: 0, root, newest }
            }
            Body::Head { epoch, n, root, newest } => Self { verb: Verb::Head, chain, epoch, n, root, newest },
            Body::Checkpoint { epoch, n, root, prev, .. } => {
                Self { verb: Verb::Checkpoint, chain, epoch, n, root, newest: prev }
            }
            Body::Notice { .. } => return None,
        })
    }

    /// Reads what `Display` writes; `None` for anything else.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut words = text.split(|b| *b == b' ');
        let verb = match words.next()? {
            b"open" => Verb::Open,
            b"head" => Verb::Head,
            b"checkpoint" => Verb::Checkpoint,
            _ => return None,
        };
        let chain = u32::try_from(num(words.next()?, u64::from(u32::MAX))?).ok().filter(|c| *c > 0)?;
        let epoch = u8::try_from(num(words.next()?, 255)?).ok()?;
        let n = u16::try_from(num(words.next()?, 65_535)?).ok()?;
        let (root, newest) = (b64_fixed(words.next()?)?, b64_fixed(words.next()?)?);
        words.next().is_none().then_some(Self { verb, chain, epoch, n, root, newest })
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, chain, epoch, n, root, newest } = self;
        write!(f, "{} {chain} {epoch} {n} {} {}", verb.word(), b64(root), b64(newest))
    }
}

/// Up to where a text says that lines were written: what a head of the key store would count right after it.
#[must_use]
pub fn reached(text: &Statement<'_>) -> Position {
    let at = text.position();
    match text.body {
        Body::Checkpoint { kind: Kind::Continues, .. } => {
            Position::new(at.chain, at.epoch.saturating_add(1), 0)
        }
        Body::Open { .. } | Body::Checkpoint { .. } => {
            Position::new(at.chain, at.epoch, at.index.saturating_add(1))
        }
        Body::Head { .. } | Body::Notice { .. } => at,
    }
}

/// The newest statement that a head of the key store would name right after a text.
#[must_use]
pub fn newest_after(text: &Statement<'_>) -> Digest {
    match text.body {
        Body::Head { newest, .. } => newest,
        _ => text.hash(),
    }
}
