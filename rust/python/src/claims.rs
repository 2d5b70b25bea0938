//! What text claims before anything is verified (see `tallystick_core::claims`).

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tallystick_core::claims;

use crate::keys::At;
use crate::py_bytes;

/// Where the seal at the end of a line begins, and where log id, chain, epoch, index, length and tag stand in it.
#[pyfunction]
pub fn seal_text(line: &[u8]) -> Option<(usize, Vec<(usize, usize)>)> {
    let seal = claims::seal_text(line)?;
    Some((seal.start, seal.fields.iter().map(|field| (field.start, field.end)).collect()))
}

/// Log id and position that a line claims by the seal at its end.
#[pyfunction]
pub fn claimed_position(line: &[u8]) -> Option<(String, At)> {
    let (log, at) = claims::position(line)?;
    Some((log.to_string(), (at.chain, at.epoch, at.index)))
}

/// The words of the statement in a line that is a control line by all that can be seen.
#[pyfunction]
pub fn statement_words<'py>(py: Python<'py>, line: &[u8]) -> Option<Vec<Bound<'py, PyBytes>>> {
    Some(claims::statement_words(line)?.into_iter().map(|word| py_bytes(py, word)).collect())
}

/// The chain that the last mention of a log in some text claims; none for a text that is no log id.
#[pyfunction]
pub fn newest_chain(text: &[u8], log_id: &str) -> Option<u64> {
    claims::newest_chain(text, log_id.as_bytes().try_into().ok()?)
}

/// Log id, chain and time of the first opening in some text.
#[pyfunction]
pub fn first_opening(text: &[u8]) -> Option<(String, u64, u64)> {
    let (log, chain, time) = claims::first_opening(text)?;
    Some((log.to_string(), chain, time))
}
