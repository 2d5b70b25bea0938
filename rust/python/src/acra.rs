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

type EventFacts = (&'static str, u32, u64, u64, u64);

type ChainFacts = (u32, u64, u64, u64, bool, [u8; 32], [u8; 32], Option<(i64, i64)>, bool);

/// Judges one log.
#[pyclass(module = "tallystick._core")]
pub struct AcraJudge(Option<Judge>);

fn finished() -> Error {
    Error::Format("this log was judged to its end".into())
}

#[pymethods]
impl AcraJudge {
    #[new]
    fn new(key: &AcraKey, form: &str) -> Self {
        let form = match form {
            "json" => Form::Json,
            "plaintext" | "cef" => Form::Text,
            _ => Form::Auto,
        };
        Self(Some(acra::judge(&key.0, form)))
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

    /// Returns what was found in all.
    fn finish(&mut self, py: Python<'_>) -> PyResult<AcraFound> {
        Ok(AcraFound(self.0.take().ok_or_else(finished).or_raise(py)?.finish()))
    }
}

/// What was found. Its parts are handed out one by one: of a hostile log there may be as many as lines.
#[pyclass(frozen, module = "tallystick._core")]
pub struct AcraFound(acra::Judged);

#[pymethods]
impl AcraFound {
    /// Lines, blank ones not counted.
    #[getter]
    fn lines(&self) -> u64 {
        self.0.lines
    }

    /// Of these, lines that fit.
    #[getter]
    fn good(&self) -> u64 {
        self.0.good
    }

    /// Of these, lines without integrity.
    #[getter]
    fn unsealed(&self) -> u64 {
        let bare = |event: &&acra::Event| matches!(event.what, What::Unsealed | What::Stripped);
        self.0.events.iter().filter(bare).map(|event| event.count).sum()
    }

    /// What is wrong with some lines: word, file, line, offset, count; or None.
    fn event(&self, number: usize) -> Option<EventFacts> {
        let e = self.0.events.get(number)?;
        Some((word(e.what), e.file, e.line, e.offset, e.count))
    }

    /// A chain: file, line, offset, lines, whether it is ended, its beginning, its identity, times, whether these are
    /// fine; or None.
    fn chain(&self, number: usize) -> Option<ChainFacts> {
        let c = self.0.chains.get(number)?;
        Some((c.file, c.line, c.offset, c.lines, c.ended, c.beginning, c.identity, c.times, c.fine))
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
pub fn acra_time(line: &[u8]) -> Option<i64> {
    acra::time(line)
}
