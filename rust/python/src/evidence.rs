//! Evidence: found in files without a key, checked with one (spec section 10).

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::Arc;
use tallystick_core::Error;
use tallystick_core::evidence::{self as core, Doubt, Refusal};
use tallystick_core::line::{LogId, Position};
use tallystick_core::scan::{Keys as CoreKeys, LogKeys};
use tallystick_core::seal::keys::VerificationKey;

use crate::keys::{At, read_verification_key, write_secret};
use crate::note::{CosignKey, NoteKey};
use crate::scan::{Keys, at};
use crate::{OrRaise as _, py_bytes};

/// Where a line stands: file, line from 1, offset and length in bytes, and how many of them are a carrier's.
type Spot = (u32, u64, u64, u64, u64);

fn spot(spot: &core::Spot) -> Spot {
    (spot.file, spot.line, spot.offset, spot.length, spot.prefix)
}

/// Goes through files and keeps what proves one line.
#[pyclass(module = "tallystick._core")]
pub struct Finder(core::Finder);

#[pymethods]
impl Finder {
    /// Looks for the line at a position, of a log or of the only one in the files.
    #[new]
    fn new(py: Python<'_>, log: Option<&str>, at: At) -> PyResult<Self> {
        let bad =
            || Error::Format("a log id is 8 letters and digits, as `tallystick key show` prints it".into());
        let log = match log {
            Some(text) => Some(LogId::parse(text.as_bytes()).ok_or_else(bad).or_raise(py)?),
            None => None,
        };
        Ok(Self(core::Finder::new(log, Position::new(at.0, at.1, at.2))))
    }

    /// Takes the text of an opening from a public file.
    fn know(&mut self, open: &[u8]) {
        self.0.know(open);
    }

    /// Takes a file of receipts, before any line; raises `FormatError`.
    fn receive(&mut self, py: Python<'_>, receipts: &[u8]) -> PyResult<()> {
        py.detach(|| self.0.receive(receipts)).or_raise(py)
    }

    /// Goes through whole lines: the first `end` bytes of `data`.
    #[pyo3(signature = (data, end, *, file, offset, cut = false))]
    fn feed(&mut self, py: Python<'_>, data: &[u8], end: usize, file: u32, offset: u64, cut: bool) {
        let data = &data[..end.min(data.len())];
        py.detach(|| self.0.feed(data, file, offset, cut));
    }

    /// What was found, or why nothing can be proved.
    fn finish(&self, py: Python<'_>, keys: Option<&Keys>) -> Outcome {
        let log = keys.and_then(|keys| keys.inner.logs().first());
        match py.detach(|| self.0.finish(log)) {
            Ok(found) => Outcome::Found(Found(found)),
            Err(t) => Outcome::Trouble(Trouble { what: t.what, spot: t.spot.as_ref().map(spot) }),
        }
    }
}

#[derive(IntoPyObject)]
pub enum Outcome {
    Found(Found),
    Trouble(Trouble),
}

/// Why nothing can be proved, and where that shows.
#[pyclass(frozen, get_all, module = "tallystick._core")]
pub struct Trouble {
    what: String,
    spot: Option<Spot>,
}

/// What was found, and proved from itself.
#[pyclass(frozen, module = "tallystick._core")]
pub struct Found(core::Found);

#[pymethods]
impl Found {
    /// The evidence file.
    #[getter]
    fn evidence<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        py_bytes(py, &self.0.evidence)
    }

    /// Name of the log, as its checkpoint says.
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    /// The log id.
    #[getter]
    fn log_id(&self) -> String {
        self.0.seal.log.to_string()
    }

    /// Where the line stands; more than once if there are copies.
    #[getter]
    fn spots(&self) -> Vec<Spot> {
        self.0.spots.iter().map(spot).collect()
    }

    /// The redacted form of the line; `ValueError` says why there is none.
    fn redact<'py>(&self, py: Python<'py>, keys: &Keys) -> PyResult<Bound<'py, PyBytes>> {
        let refuse = |what: &str| PyValueError::new_err(what.to_string());
        let log = keys.inner.logs().iter().find(|log| log.log_id() == self.0.seal.log);
        let key =
            log.and_then(|log| log.secret.as_ref()).ok_or_else(|| refuse("the key is of another log"))?;
        let line = core::redact(key, &self.0).map_err(|refusal| {
            refuse(match refusal {
                Refusal::Control => "it is a control line of the log itself, and those are never redacted",
                Refusal::Again => "it is redacted already",
                Refusal::Key => "the key does not reach its chain; take a key that covers it",
                Refusal::Tag => "its tag does not match the key; look into it with `tallystick verify`",
            })
        })?;
        Ok(py_bytes(py, &line))
    }
}

/// What a check of evidence says.
#[pyclass(frozen, get_all, module = "tallystick._core")]
pub struct Checked {
    /// `ok`, `incomplete` or `failed`.
    verdict: &'static str,
    /// Why it is not ok.
    detail: String,
    line: Option<Shown>,
}

/// The line that evidence shows.
#[pyclass(frozen, get_all, module = "tallystick._core")]
#[derive(Clone)]
pub struct Shown {
    name: String,
    log_id: String,
    at: At,
    line: Vec<u8>,
    text: Option<Vec<u8>>,
    control: bool,
    /// Kind and text, if it is a notice.
    notice: Option<(String, Vec<u8>)>,
    time: u64,
    n: u16,
    /// Does a checkpoint cover it, and no signed head?
    ended: bool,
    tag: bool,
    received: Vec<Received>,
    others: usize,
}

/// What a receipt of a trusted witness says; the witness by its number.
#[pyclass(frozen, get_all, module = "tallystick._core")]
#[derive(Clone)]
pub struct Received {
    witness: usize,
    until: At,
    time: u64,
    gap: bool,
    published: Option<InTree>,
}

/// A receipt's entry in the witness's own tree; cosigners by their numbers, with seconds since 1970.
#[pyclass(frozen, get_all, module = "tallystick._core")]
#[derive(Clone)]
pub struct InTree {
    index: u64,
    size: u64,
    checkpoint: Vec<u8>,
    token: Option<Vec<u8>>,
    cosigned: Vec<(usize, u64)>,
}

impl From<core::Received> for Received {
    fn from(said: core::Received) -> Self {
        let core::Received { witness, until, time, gap, published } = said;
        let published = published.map(|core::InTree { index, size, checkpoint, token, cosigned }| InTree {
            index,
            size,
            checkpoint,
            token,
            cosigned,
        });
        Self { witness, until: at(until), time, gap, published }
    }
}

/// Checks evidence with the key of its log, and those of witnesses and of cosigners of their trees.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)] // as Python hands them over
pub fn check_evidence(
    py: Python<'_>,
    keys: &Keys,
    data: &[u8],
    witnesses: Vec<NoteKey>,
    cosigners: Vec<CosignKey>,
) -> PyResult<Checked> {
    let keys = keys.inner.clone();
    let witnesses: Vec<_> = witnesses.into_iter().map(|key| key.0).collect();
    let cosigners: Vec<_> = cosigners.into_iter().map(|key| key.0).collect();
    let trusted = core::Trusted { witnesses: &witnesses, cosigners: &cosigners };
    let checked = py.detach(|| {
        let log = log_of(&keys, data)?;
        Some((core::check(data, log, trusted), log.public.name.clone()))
    });
    let lacking = || Error::Format("no key was given; give the public file or the verification key".into());
    let (checked, name) = checked.ok_or_else(lacking).or_raise(py)?;
    let (verdict, detail) = match checked {
        Ok(shown) => {
            let line = Shown {
                name,
                log_id: shown.log.to_string(),
                at: (shown.at.chain, shown.at.epoch, shown.at.index),
                line: shown.line.to_vec(),
                text: shown.m,
                control: shown.control,
                notice: shown.notice.map(|notice| (notice.kind, notice.text)),
                time: shown.time,
                n: shown.n,
                ended: shown.kind.is_some(),
                tag: shown.tag,
                received: shown.received.into_iter().map(Received::from).collect(),
                others: shown.others,
            };
            return Ok(Checked { verdict: "ok", detail: String::new(), line: Some(line) });
        }
        Err(Doubt::NoEvidence) => {
            let what = "this is no evidence file: it does not begin with `tallystick/v1 evidence`";
            return Err(Error::Format(what.into())).or_raise(py);
        }
        Err(Doubt::Fails(what)) => ("failed", what.to_string()),
        Err(Doubt::Unknown(what)) => ("incomplete", what),
    };
    Ok(Checked { verdict, detail, line: None })
}

/// The keys of the log that the evidence says it is of, or else the first ones.
fn log_of<'k>(keys: &'k Arc<CoreKeys>, data: &[u8]) -> Option<&'k LogKeys> {
    let claimed = core::claimed_log(data);
    keys.logs().iter().find(|log| Some(log.log_id()) == claimed).or(keys.logs().first())
}

/// A verification key for some chains only.
#[pyclass(frozen, module = "tallystick._core")]
pub struct NarrowedKey(VerificationKey);

#[pymethods]
impl NarrowedKey {
    /// Reads a verification key from a file descriptor, and keeps what covers some chains.
    #[staticmethod]
    fn read(py: Python<'_>, fd: i32, first: u32, last: u32) -> PyResult<Self> {
        let key = read_verification_key(py, fd)?;
        py.detach(|| key.narrow(first, last)).or_raise(py).map(Self)
    }

    /// Writes the text form and a line end to a file descriptor.
    fn write(&self, py: Python<'_>, fd: i32) -> PyResult<()> {
        let text = self.0.to_text().or_raise(py)?;
        write_secret(fd, &text)?;
        write_secret(fd, "\n")
    }

    #[allow(clippy::unused_self)] // a method, as Python wants it
    fn __repr__(&self) -> &'static str {
        "NarrowedKey(redacted)"
    }
}
