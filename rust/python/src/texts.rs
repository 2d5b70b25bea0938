//! The texts of lines that hold, put together in the order of positions.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tallystick_core::scan::texts;

use crate::keys::At;
use crate::py_bytes;
use crate::scan::position;

/// Which lines hold, as a verification found.
#[pyclass(frozen, module = "tallystick._core")]
pub struct Holding(pub texts::Holding);

/// The texts of the lines of a piece of input; empty once a merger has taken it in.
#[pyclass(module = "tallystick._core")]
pub struct Block(pub Option<texts::Block>);

/// Puts blocks together: lines in the order of their positions, each position once.
#[pyclass(module = "tallystick._core")]
#[derive(Default)]
pub struct Merger(texts::Merger);

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
