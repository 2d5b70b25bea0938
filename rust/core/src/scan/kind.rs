//! What is wrong with a line, and why.

use serde::{Deserialize, Serialize};

use crate::line::LogId;

/// What is wrong with a line, or worth a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// No well-formed seal anywhere.
    Unsealed,
    /// A seal of a log whose key is not at hand.
    Foreign(LogId),
    /// A seal that its bytes do not match.
    Altered(Why),
    /// Control by its tag, but no statement that holds.
    BadStatement(Why),
    /// A statement of a generation whose chain root is not known.
    OlderOpenLacking,
    /// A redacted line whose r holds, or cannot be checked.
    Redacted,
    /// A redacted line whose r is wrong.
    RedactedFalse,
    /// A line that stands after one with a higher position.
    Reordered,
}

impl Kind {
    /// One of each kind, whatever stands in it.
    pub const ALL: [Self; 8] = [
        Self::Unsealed,
        Self::Foreign(LogId::NONE),
        Self::Altered(Why::Tag),
        Self::BadStatement(Why::Stranger),
        Self::OlderOpenLacking,
        Self::Redacted,
        Self::RedactedFalse,
        Self::Reordered,
    ];

    /// The name of the kind.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unsealed => "unsealed",
            Self::Foreign(_) => "foreign",
            Self::Altered(_) => "altered",
            Self::BadStatement(_) => "bad statement",
            Self::OlderOpenLacking => "older open lacking",
            Self::Redacted => "redacted",
            Self::RedactedFalse => "redacted false",
            Self::Reordered => "reordered",
        }
    }

    /// The reason, if the kind has one.
    #[must_use]
    pub fn reason(self) -> Option<Why> {
        match self {
            Self::Altered(why) | Self::BadStatement(why) => Some(why),
            _ => None,
        }
    }

    /// The kind of a group: lines of any wrong length belong together.
    pub(super) fn grouped(self) -> Self {
        match self {
            Self::Altered(Why::Length(_)) => Self::Altered(Why::Length(0)),
            other => other,
        }
    }

    /// The kind without what an attacker has the choice of, so that there are few of them.
    #[must_use]
    pub fn class(self) -> Self {
        match self {
            Self::Foreign(_) => Self::Foreign(LogId::NONE),
            Self::Altered(_) => Self::Altered(Why::Tag),
            Self::BadStatement(_) => Self::BadStatement(Why::Stranger),
            other => other,
        }
    }
}

/// The reason for a [`Kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Why {
    /// The tag does not match the text.
    Tag,
    /// Bytes stand before what was sealed, which matches its tag.
    Prefix,
    /// The line is by so many bytes longer than its seal says.
    Length(i64),
    /// Something stands after the seal, or the seal does not fit the line.
    Misfit,
    /// With P only: JSON that is not as it was sealed, and neither is its RFC 8785 form.
    Rewritten,
    /// The chain number is beyond what a verifier walks to.
    Reach,
    /// Forged lines before it cost too much.
    Effort,
    /// The control line holds no statement, or one of another log, chain or position.
    Stranger,
    /// A path does not lead to its root.
    Path,
    /// The chain key did not sign the cert.
    Cert,
    /// The statement's signature is wrong.
    Signature,
    /// The line at epoch 0, index 0 is no `open`.
    NoOpen,
}

impl Why {
    /// Each reason, whatever stands in it.
    pub const ALL: [Self; 12] = [
        Self::Tag,
        Self::Prefix,
        Self::Length(0),
        Self::Misfit,
        Self::Rewritten,
        Self::Reach,
        Self::Effort,
        Self::Stranger,
        Self::Path,
        Self::Cert,
        Self::Signature,
        Self::NoOpen,
    ];

    /// The name of the reason.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Prefix => "prefix",
            Self::Length(_) => "length",
            Self::Misfit => "misfit",
            Self::Rewritten => "rewritten",
            Self::Reach => "reach",
            Self::Effort => "effort",
            Self::Stranger => "stranger",
            Self::Path => "path",
            Self::Cert => "cert",
            Self::Signature => "signature",
            Self::NoOpen => "no open",
        }
    }
}
