//! The texts of lines that hold, put together in the order of positions.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tallystick_core::scan as core_scan;

use crate::envelope::{Envelope, Unwrapped};
use crate::holding::Block;
use crate::keys::At;
use crate::scan::{Keys, Mode, input, position};
use crate::{OrRaise as _, py_bytes};

/// Puts blocks together: lines in the order of their positions, each position once.
#[pyclass(module = "tallystick._core")]
#[derive(Default)]
pub struct Merger(core_scan::texts::Merger);

#[pymethods]
impl Merger {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Takes a block in, which is empty afterwards.
    fn add(&mut self, block: &mut Block) {
        self.0.add(block.0.take().unwrap_or_default());
    }

    /// Blocks of which lines are left.
    #[getter]
    fn held(&self) -> usize {
        self.0.held()
    }

    /// The lines before a position, or all: about so many bytes at a time, none at the end.
    #[pyo3(signature = (before, most))]
    fn take<'py>(&mut self, py: Python<'py>, before: Option<At>, most: usize) -> Bound<'py, PyBytes> {
        let text = py.detach(|| self.0.take(before.map(position), most));
        py_bytes(py, &text)
    }
}

/// Takes the texts of lines as `scan` takes them in; the mode is one of texts.
#[pyfunction]
#[pyo3(signature = (keys, mode, data, end, *, file, chunk, offset, cut = false, lines = None, envelope = None))]
#[allow(clippy::too_many_arguments)] // those of `scan`
pub fn take_texts(
    py: Python<'_>,
    keys: &Keys,
    mode: &Mode,
    data: &[u8],
    end: usize,
    file: u32,
    chunk: u32,
    offset: u64,
    cut: bool,
    lines: Option<&Unwrapped>,
    envelope: Option<&Envelope>,
) -> PyResult<Block> {
    keys.own().or_raise(py)?;
    let keys = keys.inner.clone();
    let input = input(data, end, (file, chunk, offset, cut), lines, envelope);
    Ok(Block(Some(py.detach(|| core_scan::take_texts(&keys, &input, &mode.mode)))))
}
