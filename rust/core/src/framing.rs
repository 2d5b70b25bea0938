//! Messages of others, taken apart: from the bytes of a socket to lines that can be sealed (spec/agent.md).
//!
//! One message is one line. Line ends inside a message are written as `\n` and `\r`, as everywhere; what stands in a
//! stream of lines stays as it is. A message that is longer than the limit becomes several lines, and that is reported.
//!
//! ```
//! use tallystick_core::framing::{Framing, Lines, Stream};
//! let (mut stream, mut lines) = (Stream::new(Framing::Syslog, 1000), Lines::default());
//! stream.feed(b"11 <13>one\ntwo<14>thr", None, &mut lines);      // octets counted, then a line end to come
//! stream.feed(b"ee\n", None, &mut lines);
//! assert_eq!(lines.bytes, b"<13>one\\ntwo\n<14>three\n");
//! ```

pub mod conversation;
mod lines;
mod origin;
mod stream;

pub use lines::{Lines, one_line};
pub use origin::Stamp;
pub use stream::{Framing, Left, Split, Stream};
