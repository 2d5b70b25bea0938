//! Audit logs of Acra, judged block by block.

use base64::Engine as _;
use pyo3::prelude::*;
use tallystick_core::Error;
use tallystick_core::acra::{self, Form, Judge, What};
use zeroize::Zeroizing;

use crate::OrRaise as _;
use crate::keys::read_secret;

/// The secret of an installation of Acra.
#[pyclass(frozen, module = "tallystick._core")]
pub struct AcraKey(acra::Key);

#[pymethods]
impl AcraKey {
    /// Reads a key from a descriptor: 32 bytes as they are, in hexadecimal or in base64.
    #[staticmethod]
    fn read(py: Python<'_>, fd: i32) -> PyResult<Self> {
        let text = read_secret(fd)?;
        let mut bytes = Zeroizing::new([0; 32]);
        if !decode(&text, &mut bytes) {
            let what = "no key of an audit log: it is 32 bytes, as they are, in hexadecimal or in base64";
            return Err(Error::Format(what.into())).or_raise(py);
        }
        Ok(Self(acra::Key::take(&mut bytes)))
    }

    #[allow(clippy::unused_self)] // a method, as Python wants it
    fn __repr__(&self) -> &'static str {
        "AcraKey(redacted)"
    }
}

fn decode(text: &[u8], out: &mut [u8; 32]) -> bool {
    if text.len() == 32 {
        out.copy_from_slice(text);
        return true;
    }
    let text = text.trim_ascii();
    if text.len() == 64 {
        let digit = |letter: u8| char::from(letter).to_digit(16).and_then(|value| u8::try_from(value).ok());
        return out.iter_mut().zip(text.chunks_exact(2)).all(|(byte, pair)| {
            match (digit(pair[0]), digit(pair[1])) {
                (Some(high), Some(low)) => {
                    *byte = high << 4 | low;
                    true
                }
                _ => false,
            }
        });
    }
    text.len() == 44
        && base64::engine::general_purpose::STANDARD.decode_slice(text, out).is_ok_and(|n| n == 32)
}

/// What is wrong with some lines: word, file, line, offset, count.
type EventFacts = (&'static str, u32, u64, u64, u64);

/// A chain: file, line, offset, lines, whether it is ended, its identity, times, whether these are fine.
type ChainFacts = (u32, u64, u64, u64, bool, [u8; 32], Option<(i64, i64)>, bool);

/// Judges one log.
#[pyclass(module = "tallystick._core")]
pub struct AcraJudge(Option<Judge>);

fn finished() -> Error {
    Error::Format("this log was judged to its end".into())
}

#[pymethods]
impl AcraJudge {
    #[new]
    fn new(key: &AcraKey, json: bool) -> Self {
        Self(Some(acra::judge(&key.0, if json { Form::Json } else { Form::Text })))
    }

    /// Takes the first `end` bytes, whole lines of a file; returns how many lines that were.
    #[allow(clippy::too_many_arguments)]
    fn feed(
        &mut self,
        py: Python<'_>,
        data: &[u8],
        end: usize,
        file: u32,
        line: u64,
        offset: u64,
        threads: usize,
    ) -> PyResult<u64> {
        let judge = self.0.as_mut().ok_or_else(finished).or_raise(py)?;
        let data = &data[..end.min(data.len())];
        Ok(py.detach(|| judge.feed(data, file, line, offset, threads)))
    }

    /// Returns events, chains, lines, and lines that fit.
    fn finish(&mut self, py: Python<'_>) -> PyResult<(Vec<EventFacts>, Vec<ChainFacts>, u64, u64)> {
        let found = self.0.take().ok_or_else(finished).or_raise(py)?.finish();
        let events = found.events.iter().map(|e| (word(e.what), e.file, e.line, e.offset, e.count)).collect();
        let chains = found
            .chains
            .iter()
            .map(|c| (c.file, c.line, c.offset, c.lines, c.ended, c.identity, c.times, c.fine))
            .collect();
        Ok((events, chains, found.lines, found.good))
    }
}

fn word(what: What) -> &'static str {
    match what {
        What::Altered => "altered",
        What::Field => "field",
        What::Inserted => "inserted",
        What::Reordered => "reordered",
        What::Unsealed => "unsealed",
        What::Stripped => "stripped",
        What::MarkerAdded => "marker added",
        What::MarkerGone => "marker gone",
        What::Rewritten => "rewritten",
        What::Unjudged => "unjudged",
        What::LateStart => "late start",
    }
}

/// The time that a line claims, ms since 1970.
#[pyfunction]
pub fn acra_time(line: &[u8], json: bool) -> Option<i64> {
    acra::time(line, if json { Form::Json } else { Form::Text })
}
