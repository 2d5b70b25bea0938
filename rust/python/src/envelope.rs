//! Lines out of their carriers' envelopes.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tallystick_core::Error;
use tallystick_core::line::envelope as core_envelope;

use crate::{OrRaise as _, py_bytes};

/// How a carrier wrapped lines.
#[pyclass(frozen, module = "tallystick._core")]
pub struct Envelope(pub(crate) core_envelope::Envelope);

#[pymethods]
impl Envelope {
    /// Reads the name of a kind, and for `json` the field; raises `FormatError`.
    #[new]
    #[pyo3(signature = (kind, field=None))]
    fn new(py: Python<'_>, kind: &str, field: Option<&str>) -> PyResult<Self> {
        core_envelope::Envelope::parse(kind, field).or_raise(py).map(Self)
    }

    /// Whether an `Unwrapper` undoes it; otherwise it is only a prefix.
    #[getter]
    fn unwraps(&self) -> bool {
        core_envelope::Unwrapper::new(&self.0).is_some()
    }

    /// Whether an `Unwrapper` takes pieces that end anywhere, not only whole lines.
    #[getter]
    fn takes_pieces(&self) -> bool {
        matches!(self.0, core_envelope::Envelope::JournalExport | core_envelope::Envelope::Field(_))
    }

    /// Is this what such a carrier puts before a line?
    fn is_prefix(&self, data: &[u8]) -> bool {
        self.0.is_prefix(data)
    }

    /// The line without its prefix and rsyslog's escapes; `None` if it has none of either.
    fn unescaped<'py>(&self, py: Python<'py>, line: &[u8]) -> Option<Bound<'py, PyBytes>> {
        self.0.unescaped(line).map(|line| py_bytes(py, &line))
    }
}

/// A stream's name, a letter that tells it from others of that name, and a text.
type Loose<'py> = (Bound<'py, PyBytes>, u8, Bound<'py, PyBytes>);

/// Do two parts make one sealed line?
#[pyfunction]
pub fn are_one(last: &[u8], first: &[u8]) -> bool {
    core_envelope::are_one(last, first)
}

/// Takes the lines of one file out of their envelopes, piece by piece.
#[pyclass(module = "tallystick._core")]
pub struct Unwrapper(core_envelope::Unwrapper);

#[pymethods]
impl Unwrapper {
    /// `carried` are parts from the end of another file; the last parts of the streams `goes_on` go on in another one.
    #[new]
    #[pyo3(signature = (envelope, carried = vec![], goes_on = vec![]))]
    fn new(
        py: Python<'_>,
        envelope: &Envelope,
        carried: Vec<(Vec<u8>, u8, Vec<u8>)>,
        goes_on: Vec<(Vec<u8>, u8)>,
    ) -> PyResult<Self> {
        let prefix = || Error::Format("this envelope is only a prefix: there is nothing to unwrap".into());
        let unwrapper = core_envelope::Unwrapper::new(&envelope.0).ok_or_else(prefix).or_raise(py)?;
        Ok(Self(unwrapper.between(carried, goes_on)))
    }

    /// What may belong to lines of other files: first records of streams, and parts that the end left waiting.
    fn loose<'py>(&self, py: Python<'py>) -> (Vec<Loose<'py>>, Vec<Loose<'py>>) {
        let shown = |all: &[core_envelope::Loose]| {
            all.iter().map(|(name, kind, text)| (py_bytes(py, name), *kind, py_bytes(py, text))).collect()
        };
        let (first, last) = self.0.loose();
        (shown(first), shown(last))
    }

    /// Takes the lines out of the first `end_of_data` bytes, whole physical lines; `last`: the file ends here.
    fn feed(&mut self, py: Python<'_>, data: &[u8], end_of_data: usize, last: bool) -> Unwrapped {
        let data = &data[..end_of_data.min(data.len())];
        Unwrapped(py.detach(|| self.0.feed(data, last)))
    }
}

/// Lines taken out of a piece.
#[pyclass(frozen, module = "tallystick._core")]
pub struct Unwrapped(pub(crate) core_envelope::Unwrapped);

#[pymethods]
impl Unwrapped {
    /// Physical lines in the piece.
    #[getter]
    fn lines(&self) -> u32 {
        self.0.lines
    }

    /// The lines, each ended by LF.
    fn text<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        py_bytes(py, &self.0.data)
    }

    /// Lines of which parts are missing: physical line in the piece, from 0, how they begin, and what is missing.
    fn lacking(&self) -> Vec<(u32, Vec<u8>, String)> {
        self.0.lacking.clone()
    }

    /// Of each line: physical line in the piece, from 0, its byte offset there, and whether it was wrapped.
    fn origins(&self) -> Vec<(u32, u64, bool)> {
        self.0.origins.iter().map(|origin| (origin.line, origin.offset, origin.wrapped)).collect()
    }
}
