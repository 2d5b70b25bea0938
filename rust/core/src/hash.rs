//! SHA-256, HMAC-SHA-256 and HKDF-Expand, shaped for short messages (SPEC section 2).
//!
//! The library's compression function does the work; this module lays out the blocks, because a
//! general hasher spends as long on buffering a 32-byte message as on hashing it. What several lines
//! need is also hashed two or sixteen at a time ([`lanes`]). Blocks that held a key are wiped
//! before they go.
//!
//! ```
//! use tallystick_core::hash::{hmac, sha256};
//! assert_eq!(sha256(&[b"abc"])[..4], [0xba, 0x78, 0x16, 0xbf]);
//! assert_eq!(hmac(&[0x0b; 32], &[b"Hi ", b"There"]), hmac(&[0x0b; 32], &[b"Hi There"]));
//! ```

mod begun;
pub(crate) mod lanes;
mod lines;
mod many;
mod sha256;

pub use lines::line_hash;
pub use sha256::{Digest, first16, hmac, leaf, node, sha256, tag};

pub(crate) use begun::{Begun, begin, gains};
pub(crate) use lanes::LANES;
pub(crate) use lines::{LinePair, Text};
pub(crate) use many::{Many, ManyKeys, ManyLines, leaves, nodes, ratchets, tag_in};
pub(crate) use sha256::{
    Mac, derive_into, leaf_and_ratchet, leaf_pair, node_pair, ratchet, tag_and_ratchet, wipe,
};
