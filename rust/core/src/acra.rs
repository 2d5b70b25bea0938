//! Audit logs of Acra: their arithmetic, and nothing of Tallystick's own protocol.
//!
//! K1 = SHA-256(k) at the beginning of every chain, K[i+1] = SHA-256(K[i]), T[i] = HMAC-SHA-256(K[i], data[i] || T[i-1])
//! with T[0] empty; a line carries SHA-256(T[i]) in hexadecimal as `integrity`.

mod found;
mod go_json;
mod judge;
mod key;
mod line;
mod lines;

pub use found::{Chain, Event, Form, Judged, What};
pub use judge::{Judge, judge};
pub use key::{Key, Step};
pub use line::time;

#[cfg(test)]
mod tests;
