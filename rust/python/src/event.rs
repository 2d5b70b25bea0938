//! Lines that are not as they should be.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tallystick_core::scan::summary::{self, Kind, Why};

use crate::keys::At;
use crate::kinds::{EVENT_KIND, REASON};
use crate::py_bytes;
use crate::scan::{Place, at};

/// Lines that are not as they should be and stood together.
#[pyclass(frozen, module = "tallystick._core")]
pub struct Event(pub(crate) summary::Event);

#[pymethods]
impl Event {
    #[getter]
    fn kind(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        EVENT_KIND.member(py, self.0.kind.word())
    }

    /// The reason, of altered lines and bad statements.
    #[getter]
    fn reason(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.0.kind.reason().map(|reason| REASON.member(py, reason.word())).transpose()
    }

    /// By how many bytes a line is longer than its seal says, if that is the reason.
    #[getter]
    fn excess(&self) -> Option<i64> {
        match self.0.kind.reason()? {
            Why::Length(excess) => Some(excess),
            _ => None,
        }
    }

    /// The log id that a foreign line claims.
    #[getter]
    fn log_id(&self) -> Option<String> {
        match self.0.kind {
            Kind::Foreign(id) => Some(id.to_string()),
            _ => None,
        }
    }

    #[getter]
    fn log(&self) -> Option<u32> {
        self.0.log
    }

    #[getter]
    fn place(&self) -> Place {
        self.0.place.into()
    }

    #[getter]
    fn count(&self) -> u64 {
        self.0.count
    }

    #[getter]
    fn first(&self) -> Option<At> {
        self.0.first.map(at)
    }

    #[getter]
    fn last(&self) -> Option<At> {
        self.0.last.map(at)
    }

    /// Beginnings of its first lines.
    #[getter]
    fn texts<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        self.0.texts.iter().map(|text| py_bytes(py, text)).collect()
    }

    /// Bytes of the first line; 0 if it was not at hand.
    #[getter]
    fn length(&self) -> u64 {
        self.0.length
    }

    /// The first line holds U+FFFD.
    #[getter]
    fn replaced(&self) -> bool {
        self.0.replaced
    }

    /// SHA-256 of the first line, if it has no seal of a known log.
    #[getter]
    fn sha256<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.0.sha256.map(|hash| py_bytes(py, &hash))
    }
}
