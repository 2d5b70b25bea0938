//! Where sealed lines go: bytes that the operating system did not take are pending, and go first.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::fs::File;
use std::io::Write as _;

use crate::descriptor::{file, os_error};
use crate::py_bytes;

/// Milliseconds of writing after which the output is looked at again.
const LOOK_AFTER: u64 = 5;
/// Capacity in bytes that may stay with an output that keeps nothing.
const SPARE: usize = 1 << 20;

/// Sealed bytes on their way to a file descriptor, or, without one, to whoever takes them by `peek` and `drop`.
#[pyclass(module = "tallystick._core")]
pub struct Output {
    file: Option<File>,
    /// Sealed bytes that nobody has taken yet, but for the first `done`.
    pub bytes: Vec<u8>,
    done: usize,
    /// Bytes that the file has taken, and from how many on it has to be looked at.
    written: u64,
    limit: u64,
    looked: u64,
}

impl Output {
    /// How many sealed bytes nobody has taken yet.
    pub fn pending(&self) -> usize {
        self.bytes.len() - self.done
    }

    /// Has the output to be looked at before the next line, at this time in ms since 1970?
    pub fn is_due(&self, time: u64) -> bool {
        self.is_stale(time) || self.file.is_some() && self.written >= self.limit
    }

    /// Hands bytes over until the operating system takes no more; gives its error's number, or 0.
    pub fn push(&mut self, py: Python<'_>) -> i32 {
        let Some(file) = &mut self.file else { return 0 };
        let (bytes, done) = (&self.bytes, &mut self.done);
        let from = *done;
        let number = py.detach(|| {
            while *done < bytes.len() {
                match file.write(&bytes[*done..]) {
                    Ok(0) => return 5, // EIO: nothing was taken, and nobody says why
                    Ok(count) => *done += count,
                    Err(error) => return error.raw_os_error().unwrap_or(5),
                }
            }
            0
        });
        self.written += (self.done - from) as u64;
        self.forget();
        number
    }

    fn forget(&mut self) {
        if self.pending() == 0 {
            self.bytes.clear();
            self.bytes.shrink_to(SPARE);
            self.done = 0;
        }
    }
}

#[pymethods]
impl Output {
    /// Takes a duplicate of a file descriptor, or none.
    #[new]
    #[pyo3(signature = (fd = None))]
    fn new(fd: Option<i32>) -> PyResult<Self> {
        let file = fd.map(file).transpose().map_err(os_error)?;
        Ok(Self { file, bytes: Vec::new(), done: 0, written: 0, limit: u64::MAX, looked: 0 })
    }

    /// Goes on with another file; pending bytes go there.
    fn turn(&mut self, fd: i32) -> PyResult<()> {
        self.file = Some(file(fd).map_err(os_error)?);
        self.written = 0;
        self.limit = u64::MAX;
        Ok(())
    }

    /// Was the output looked at too long ago for another line, at this time in ms since 1970?
    fn is_stale(&self, time: u64) -> bool {
        self.file.is_some() && time.abs_diff(self.looked) >= LOOK_AFTER
    }

    /// Notes that the output was looked at, at a time in ms since 1970, and after how many more bytes it is due again.
    #[pyo3(signature = (time, room = None))]
    fn looked_at(&mut self, time: u64, room: Option<u64>) {
        self.looked = time;
        self.limit = room.map_or(u64::MAX, |room| self.written.saturating_add(room));
    }

    /// Puts bytes that were not sealed in front of the next line, such as a line end.
    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Hands over pending bytes; gives the number of the operating system's error, or 0.
    #[pyo3(name = "push")]
    fn push_pending(&mut self, py: Python<'_>) -> i32 {
        self.push(py)
    }

    /// How many sealed bytes nobody has taken yet.
    #[getter(pending)]
    fn pending_bytes(&self) -> usize {
        self.pending()
    }

    /// How many bytes the file has taken since it was turned to.
    #[getter]
    fn written(&self) -> u64 {
        self.written
    }

    /// The pending bytes.
    fn peek<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        py_bytes(py, &self.bytes[self.done..])
    }

    /// Forgets so many of the pending bytes: somebody took them.
    fn drop(&mut self, count: usize) {
        self.done = self.bytes.len().min(self.done.saturating_add(count));
        self.forget();
    }

    /// Lets go of the file; pending bytes stay.
    fn close(&mut self) {
        self.file = None;
    }
}
