//! From merged summaries to facts, in the one order that is right (SPEC section 7).
//!
//! A [`Verification`] is consumed step by step: it gives a [`Pass`] over the whole input, takes the summaries of
//! it in any grouping, and gives the next one, until it is [`Complete`]. That gives [`Facts`], which nothing
//! changes.
//!
//! ```
//! use std::sync::Arc;
//! use tallystick_core::judge::{Expected, Facts, Step, Verification};
//! use tallystick_core::scan::{Input, Keys, scan};
//!
//! fn facts(keys: &Arc<Keys>, inputs: &[Input<'_>]) -> Facts {
//!     let mut verification = Verification::new(keys.clone());
//!     loop {
//!         let mut pass = match verification.next_pass() {
//!             Step::Pass(pass) => pass,
//!             Step::Complete(complete) => return complete.finish(&Expected::default(), &[].into()),
//!         };
//!         for input in inputs {
//!             let part = scan(keys, input, pass.mode());
//!             pass.merge(part);
//!         }
//!         verification = pass.finish();
//!     }
//! }
//!
//! assert!(facts(&Arc::default(), &[]).events().is_empty());
//! ```
//!
//! What comes too late does not compile, here a summary for a pass that is over:
//!
//! ```compile_fail,E0382
//! # use tallystick_core::judge::Pass;
//! # use tallystick_core::scan::summary::Summary;
//! fn late(mut pass: Pass, part: Summary) {
//!     let _verification = pass.finish();
//!     pass.merge(part);
//! }
//! ```

mod chain;
mod copies;
mod duplicates;
mod ends;
mod facts;
mod groups;
mod holding;
mod kin;
mod known;
mod openings;
mod resolve;
mod rewritten;
mod settled;
mod shown;
mod torn;
mod verification;

pub use chain::{ChainFacts, Clash, EpochFacts, Gap, Stretch};
pub use copies::BrokenEnd;
pub use ends::Expected;
pub use facts::Facts;
pub use known::Duplicate;
pub use openings::Extent;
pub use settled::Settled;
pub use shown::{Standing, shown_until};
pub use verification::{Complete, Pass, Step, Verification};
