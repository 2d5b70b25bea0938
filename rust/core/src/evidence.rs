//! Evidence: one line, and what proves to a holder of P that it was sealed (SPEC section 10).
//!
//! ```text
//! tallystick/v1 evidence
//! tallystick/v1 open …          one for each older generation, oldest first; none in generation 0
//! tallystick/v1 checkpoint …    the statement that ends the line's epoch, or a signed head of it
//! <receipts of it, and later texts with receipts that lead to it>
//! proof <b64> <b64> …           inclusion proof of the line's leaf, from the leaf up
//! line <the line as it was sealed>
//! ```
//! Every line ends in LF, and nothing follows. The file comes from whoever wants to be believed: nothing in
//! it counts before a signature, the tree or a tag covers it.

mod check;
mod doubt;
mod find;
mod links;
mod parts;
mod prove;
mod received;
mod redact;

pub use check::{Shown, check, claimed_log};
pub use doubt::Doubt;
pub use find::{Finder, Spot};
pub use parts::OPENING;
pub use prove::{Found, Trouble};
pub use received::{InTree, Received, Trusted};
pub use redact::{Refusal, redact};
