//! The keys of an audit log: one for each line, each out of the one before.

use crate::hash::{hmac, ratchet, sha256};
use crate::secret::Secret;

/// The secret of an installation, from which every chain begins: whoever reads it can forge any log.
pub struct Key(Secret);

impl Key {
    /// Takes 32 bytes over and wipes where they came from.
    #[must_use]
    pub fn take(bytes: &mut [u8; 32]) -> Self {
        Self(Secret::take(bytes))
    }

    /// Where a chain begins.
    pub(crate) fn beginning(&self) -> Step {
        Step { key: ratchet(self.0.expose()), tag: None }
    }
}

/// Where in a chain the next line stands: its key, and the tag of the line before it.
#[derive(Clone, PartialEq, Eq)]
pub struct Step {
    key: [u8; 32],
    tag: Option<[u8; 32]>,
}

impl Step {
    /// The integrity of a line here, and where the next line stands.
    pub(crate) fn take(&self, data: &[u8]) -> ([u8; 32], Self) {
        let tag = match &self.tag {
            Some(before) => hmac(&self.key, &[data, before]),
            None => hmac(&self.key, &[data]),
        };
        (sha256(&[&tag]), Self { key: ratchet(&self.key), tag: Some(tag) })
    }

    /// What tells one chain from another: the tag of its last line, which covers all of them.
    pub(crate) fn tag(&self) -> [u8; 32] {
        self.tag.unwrap_or_default()
    }
}
