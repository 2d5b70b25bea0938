//! Slots: keys go between a file and wiped memory without becoming Python objects.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use tallystick_core::seal::slot;
use zeroize::Zeroizing;

use crate::keys::{DataKey, file, os_error, random};
use crate::py_bytes;

/// A key of one log beside a master key.
#[pyclass(frozen, module = "tallystick._core")]
pub struct Slot(slot::Slot);

/// The block at a place in a file, as far as the file goes.
fn read_block(fd: i32, at: u64) -> PyResult<Zeroizing<Vec<u8>>> {
    let read = || {
        let source = file(fd)?;
        let mut block = Zeroizing::new(vec![0; slot::BLOCK]);
        let mut length = 0;
        while length < block.len() {
            match source.read_at(&mut block[length..], at + length as u64) {
                Ok(0) => break,
                Ok(count) => length += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        block.truncate(length);
        Ok(block)
    };
    read().map_err(os_error)
}

#[pymethods]
impl Slot {
    /// A new random key of a log, with P as its `root`.
    #[staticmethod]
    fn fresh(root: &[u8], number: u64, after: u64) -> PyResult<Self> {
        let root = root.try_into().map_err(|_| PyValueError::new_err("P has 32 bytes"))?;
        Ok(Self(slot::Slot::take(root, number, after, &mut *random()?)))
    }

    /// Reads the block at a place in a file; `None` if no slot was written there whole.
    #[staticmethod]
    fn read(fd: i32, at: u64) -> PyResult<Option<Self>> {
        Ok(slot::Slot::parse(&read_block(fd, at)?).map(Self))
    }

    /// Whether there are nothing but zeros at a place in a file.
    #[staticmethod]
    fn is_blank(fd: i32, at: u64) -> PyResult<bool> {
        Ok(read_block(fd, at)?.iter().all(|byte| *byte == 0))
    }

    /// Writes the block over what is at a place in a file.
    fn write(&self, fd: i32, at: u64) -> PyResult<()> {
        file(fd).and_then(|file| file.write_all_at(&self.0.to_block(), at)).map_err(os_error)
    }

    /// The key that takes both, this slot and the master key.
    fn joined(&self, master: &DataKey) -> DataKey {
        DataKey(self.0.joined(&master.0))
    }

    /// P of the log.
    #[getter]
    fn root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        py_bytes(py, &self.0.root)
    }

    /// Grows with each key.
    #[getter]
    fn number(&self) -> u64 {
        self.0.number
    }

    /// Number of the key that it is made to replace; 0 where the log comes here.
    #[getter]
    fn after(&self) -> u64 {
        self.0.after
    }

    /// What tells this key from any other and says nothing about it.
    #[getter]
    fn digest<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        py_bytes(py, &self.0.digest())
    }

    #[allow(clippy::unused_self)] // a method, as Python wants it
    fn __repr__(&self) -> &'static str {
        "Slot(redacted)"
    }
}
