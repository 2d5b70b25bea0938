//! The map of the map and merge: bytes and keys in, a [`Summary`] out (SPEC section 7).
//!
//! With V every line stands on its own: its tag is recomputed. With P only, a line counts for what its
//! seal claims, and the tree over its epoch decides later. No allocation per line on the usual path,
//! and lines that follow each other are hashed side by side, by twos or by sixteens.

mod authenticate;
mod batch;
pub mod broken;
mod chains;
mod collect;
mod entries;
mod entry_keys;
mod event;
mod holding;
mod input;
mod keys;
mod kind;
mod rewritten;
mod statements;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod texts;
mod walk;

pub use holding::Holding;
pub use input::{Input, Mode, Origins};

pub(crate) use holding::Held;
pub use keys::{Excepted, Keys, LogKeys};
pub use walk::{scan, take_texts};

pub(crate) use statements::{complete, judge_pending, record};
