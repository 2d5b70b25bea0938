//! What a writer needs to seal, and a verifier to know what was sealed: keys, trees, statements, states, heads.

pub mod carried;
pub mod data_key;
mod entry;
pub mod epoch;
pub mod head;
pub mod keys;
pub mod notice;
pub mod passphrase;
pub mod public_state;
pub mod sealer;
pub mod shown;
pub mod slot;
mod speaker;
pub mod state;
pub mod statement;
pub mod tree;
