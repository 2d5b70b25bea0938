//! The tallystick/v1 seal protocol: keys, lines, tree, statements, sealer, scan.
//!
//! `spec/seal.md` is the text that this crate implements; comments cite its sections. There is no
//! input or output here, no clock and no source of randomness: bytes, times and seeds are handed in.

#![deny(unsafe_code)]

use std::fmt;

pub mod acra;
pub mod claims;
pub mod evidence;
pub mod framing;
pub mod hash;
pub mod judge;
pub mod line;
pub mod scan;
pub mod seal;
pub mod secret;
pub mod text;
pub mod witness;

/// What can go wrong in the core; the binding turns each into one Python exception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A text that is not what it should be: key, head, state.
    Format(String),
    /// The sealing state cannot be opened with this key, or was changed.
    Custody(String),
    /// Sealing is refused: over, closed, or ahead of the state.
    Seal(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(text) | Self::Custody(text) | Self::Seal(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}
