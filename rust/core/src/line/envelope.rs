//! Lines as carriers deliver them: what was put around a sealed line, and how it comes off again.
//!
//! ```text
//! docker          {"log":"user=7 tally=…\n","stream":"stdout","time":"2026-11-23T08:15:45.1Z"}
//! cri             2026-11-23T08:15:45.1Z stdout F user=7 tally=…
//! journal-export  MESSAGE=user=7 tally=…          one field a line, an empty line after each entry
//! journal-json    {"MESSAGE":"user=7 tally=…","_PID":"12"}
//! json            {"_source":{"message":"user=7 tally=…"}}        with the field `_source.message`
//! rfc3164         Nov 23 08:15:45 host app[12]: user=7 tally=…
//! rfc5424         <13>1 2026-11-23T08:15:45Z host app 12 - - user=7 tally=…
//! prefix:any      whatever user=7 tally=…
//! ```
//!
//! The first five are undone before lines are read, by an [`Unwrapper`]; of the others the reader asks
//! whether what stands before a line is such a prefix. Everything here was written by strangers: time is
//! linear, memory is bounded, and what is not in the carrier's form is given as it stands, and told.
//!
//! ```
//! use tallystick_core::line::envelope::{Envelope, Unwrapper};
//! let envelope = Envelope::parse("docker", None).unwrap();
//! let mut unwrapper = Unwrapper::new(&envelope).unwrap();
//! let got = unwrapper.feed(b"{\"log\":\"a \\u003c b\\n\",\"stream\":\"stdout\"}\nraw\n", true);
//! assert_eq!(got.data, b"a < b\nraw\n");
//! assert_eq!(got.origins.iter().map(|o| (o.line, o.wrapped)).collect::<Vec<_>>(), [(0, true), (1, false)]);
//! ```

pub mod added;
mod bulk;
mod documents;
mod export;
mod form;
mod glued;
mod json;
mod json_text;
mod kind;
mod levels;
mod numbered;
mod output;
mod path;
mod prefix;
mod records;
#[cfg(test)]
mod tests;
mod unwrapper;

pub use kind::Envelope;
pub use output::{Loose, Origin, Unwrapped, are_one};
pub use path::Path;
pub use unwrapper::Unwrapper;
