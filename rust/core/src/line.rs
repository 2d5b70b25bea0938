//! Sealed lines: how a seal is written and how it is read back (SPEC section 4).
//!
//! ```text
//! plain   user=alice action=login ok=true tally=oedhcsck.1.0.1.31.nlVE6ODUh8wL_0Qn_gqnEQ
//!         '------------- m -------------'       '-id---' | | |  |  '- b64(t), 16 bytes
//!                                                  chain-' | |  '- length of m
//!                                                    epoch-' '- index
//! JSON    {"a":1,"b":"x","tally":"oedhcsck.1.0.8.15.vPg5NFLaYwzmasR0A19JMA"}
//! ```
//!
//! ```
//! use tallystick_core::line::{Form, Read, read};
//! let line = b"user=alice action=login ok=true tally=oedhcsck.1.0.1.31.nlVE6ODUh8wL_0Qn_gqnEQ";
//! let Read::Sealed(sealed) = read(line) else { panic!() };
//! assert_eq!(sealed.m.as_bytes(line), Some(&b"user=alice action=login ok=true"[..]));
//! assert_eq!(sealed.seal.at.to_string(), "1.0.1");
//! ```

pub mod canon;
mod decimal;
pub mod envelope;
mod next;
mod position;
mod read;
mod seal;
mod seals;
mod stepping;
#[cfg(test)]
mod tests;

pub use position::{LogId, Position};
pub use read::{Read, Sealed, Span, excess, read, seals_inside, trim};
pub use seal::{Form, MAX_ENTRY, Proof, Seal, form_of, parse_seal};

pub(crate) use next::Reader;
pub(crate) use read::seal_at_end;
pub(crate) use seal::write;
pub(crate) use seals::Seals;
