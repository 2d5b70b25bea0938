//! Secrets: 32 bytes that stay where they are, are wiped when they go, and are never shown.
//!
//! A secret lives in one cell of locked memory from birth to end, so that moving its owner leaves no copy behind.
//! Its successor is written over it in place (SPEC section 3, Erasure). What computing with it leaves on the stack and
//! in registers is wiped by [`clean`].
//!
//! The feature `keep-traces` switches all erasure off: for the test that shows that a search through memory finds what
//! is not erased.

#[cfg(unix)]
mod handover;
mod memory;
mod page;
mod traces;
mod value;

#[cfg(unix)]
pub use handover::Handover;
pub use value::Secret;

pub(crate) use memory::Cell;
pub(crate) use traces::{ALL, LINE, clean};
pub(crate) use value::check_usable;
