//! What names a line: its log and its position.

use std::fmt;

use crate::text::num;

/// The 8 characters of a log id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct LogId(pub [u8; 8]);

impl LogId {
    /// No log's.
    pub const NONE: Self = Self(*b"aaaaaaaa");

    /// Reads 8 characters of lower-case base32.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let id: [u8; 8] = text.try_into().ok()?;
        let good = |b: &u8| matches!(b, b'a'..=b'z' | b'2'..=b'7');
        id.iter().fold(true, |all, b| all & good(b)).then_some(Self(id))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("????????")
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `chain.epoch.index`: a line's address for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// Chain, from 1; 0 only in the set-up head.
    pub chain: u32,
    /// Epoch in the chain.
    pub epoch: u8,
    /// Index in the epoch.
    pub index: u16,
}

impl Position {
    /// A position.
    #[must_use]
    pub fn new(chain: u32, epoch: u8, index: u16) -> Self {
        Self { chain, epoch, index }
    }

    /// Reads `chain.epoch.index`; chain 0 only for the set-up head `0.0.0`.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = text.split(|b| *b == b'.');
        let at = Self::from_parts(parts.next()?, parts.next()?, parts.next()?)?;
        parts.next().is_none().then_some(at)
    }

    pub(crate) fn from_parts(chain: &[u8], epoch: &[u8], index: &[u8]) -> Option<Self> {
        let chain = u32::try_from(num(chain, u64::from(u32::MAX))?).ok()?;
        let epoch = u8::try_from(num(epoch, 255)?).ok()?;
        let index = u16::try_from(num(index, 65_535)?).ok()?;
        (chain > 0 || (epoch, index) == (0, 0)).then_some(Self { chain, epoch, index })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.chain, self.epoch, self.index)
    }
}
