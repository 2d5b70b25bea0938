//! Witnesses: somebody outside remembers how long a log was, and when (SPEC section 11).
//!
//! Here stands what writer, witness and verifier must see alike: signed [notes](note), [receipts](receipt::Receipt) and
//! [answers](receipt::Answer), and by which rules a witness [accepts](accept::accept) what it is shown for a
//! [log](log::WitnessedLog). There is no network here, no store and no clock.

pub mod accept;
pub mod content;
pub mod cosignature;
pub mod log;
pub mod note;
pub mod published;
pub mod receipt;
pub mod shown;
