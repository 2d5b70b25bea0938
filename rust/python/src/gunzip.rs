//! gzip, taken apart as it comes, by a faster library than Python's: what `zlib.decompressobj` does, with the names that
//! the decompressors of the standard library share.

use flate2::{Decompress, DecompressError, FlushDecompress, Status};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::py_bytes;

/// Bytes of the window of gzip, as a power of two.
const WINDOW: u8 = 15;
/// Bytes of output that there is room for at first: most members of a file of many are small.
const ROOM: usize = 1 << 16;

/// One member of a gzip file.
#[pyclass(module = "tallystick._core")]
pub struct Gunzip {
    stream: Decompress,
    /// What came and was not used yet, but for the first `used`.
    held: Vec<u8>,
    used: usize,
    /// What was made of it by the last call, in its beginning.
    out: Vec<u8>,
    eof: bool,
}

#[pymethods]
impl Gunzip {
    #[new]
    fn new() -> Self {
        let stream = Decompress::new_gzip(WINDOW);
        Self { stream, held: Vec::new(), used: 0, out: Vec::new(), eof: false }
    }

    /// Decompresses what was left over, then new bytes; gives at most so many. Raises `ValueError` for what is no gzip.
    fn decompress<'py>(
        &mut self,
        py: Python<'py>,
        data: &[u8],
        max_length: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        if self.used == self.held.len() {
            self.held.clear();
            self.used = 0;
        }
        self.held.extend_from_slice(data);
        let made = py.detach(|| run(self, max_length)).map_err(|error| refused(&error))?;
        Ok(py_bytes(py, &self.out[..made]))
    }

    /// Is the member over, with the checks at its end?
    #[getter]
    fn eof(&self) -> bool {
        self.eof
    }

    /// Is there nothing left over to decompress?
    #[getter]
    fn needs_input(&self) -> bool {
        !self.eof && self.used == self.held.len()
    }

    /// What stands after the member; nothing before its end.
    #[getter]
    fn unused_data<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        py_bytes(py, if self.eof { &self.held[self.used..] } else { &[] })
    }
}

fn refused(error: &DecompressError) -> PyErr {
    PyValueError::new_err(format!("error while decompressing: {error}"))
}

/// Fills `out` until nothing is left over or it is full; gives how many bytes it holds then.
fn run(member: &mut Gunzip, max_length: usize) -> Result<usize, DecompressError> {
    let mut made = 0;
    while !member.eof && made < max_length {
        if made == member.out.len() {
            member.out.resize((2 * made).max(ROOM), 0);
        }
        let end = member.out.len().min(max_length);
        let (took, gave) = (member.stream.total_in(), member.stream.total_out());
        let (input, room) = (&member.held[member.used..], &mut member.out[made..end]);
        let status = member.stream.decompress(input, room, FlushDecompress::None)?;
        member.used += usize::try_from(member.stream.total_in() - took).unwrap_or_default();
        made += usize::try_from(member.stream.total_out() - gave).unwrap_or_default();
        member.eof = status == Status::StreamEnd;
        if made < end {
            break; // all of the input is used
        }
    }
    Ok(made)
}
