//! What a writer needs to seal, and a verifier to know what was sealed: keys, trees, statements, states, heads.

pub mod epoch;
pub mod head;
pub mod keys;
pub mod passphrase;
pub mod sealer;
pub mod slot;
pub mod state;
pub mod statement;
pub mod tree;
