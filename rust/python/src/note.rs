//! Signed notes: keys of witnesses and of cosigners.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tallystick_core::witness::cosignature;
use tallystick_core::witness::note::{self, Note};

use crate::keys::{random, read_secret, write_secret};
use crate::{OrRaise as _, py_bytes};

/// The public key of a witness, and its name.
#[pyclass(frozen, eq, hash, from_py_object, module = "tallystick._core")]
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct NoteKey(pub note::NoteKey);

#[pymethods]
impl NoteKey {
    /// Reads NAME+ID+KEY; raises `FormatError`.
    #[new]
    fn new(py: Python<'_>, text: &str) -> PyResult<Self> {
        note::NoteKey::parse(text).map(Self).or_raise(py)
    }

    /// Its name.
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    /// The key itself, 32 bytes.
    #[getter]
    fn public<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        py_bytes(py, &self.0.public)
    }

    fn __str__(&self) -> String {
        self.0.to_text()
    }

    fn __repr__(&self) -> String {
        format!("NoteKey({:?})", self.0.to_text())
    }
}

/// The public key of a cosigner, and its name.
#[pyclass(frozen, eq, hash, from_py_object, module = "tallystick._core")]
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CosignKey(pub cosignature::CosignKey);

#[pymethods]
impl CosignKey {
    /// Reads NAME+ID+KEY; raises `FormatError`.
    #[new]
    fn new(py: Python<'_>, text: &str) -> PyResult<Self> {
        cosignature::CosignKey::parse(text).map(Self).or_raise(py)
    }

    /// Its name.
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    /// The key itself, 32 bytes.
    #[getter]
    fn public<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        py_bytes(py, &self.0.public)
    }

    fn __str__(&self) -> String {
        self.0.to_text()
    }

    fn __repr__(&self) -> String {
        format!("CosignKey({:?})", self.0.to_text())
    }
}

/// The cosignature of a note's text among signature lines: its line, and its time in seconds since 1970. `None` where
/// there is none, or it does not hold.
#[pyfunction]
pub fn read_cosignature(text: &str, lines: &[u8], key: &CosignKey) -> Option<(String, u64)> {
    let note = [text.as_bytes(), b"\n", lines].concat();
    let note = Note::parse(&note).filter(|note| note.text == text.as_bytes())?;
    let time = key.0.signed(&note).ok()??;
    let mine = |line: &&str| {
        let alone = [text, "\n", *line].concat();
        Note::parse(alone.as_bytes()).is_some_and(|note| key.0.signed(&note) == Ok(Some(time)))
    };
    let line = std::str::from_utf8(lines).ok()?.split_inclusive('\n').find(mine)?;
    Some((line.to_owned(), time))
}

/// Signs notes; its secret never becomes a Python object.
#[pyclass(frozen, module = "tallystick._core")]
pub struct NoteSigner(pub note::NoteSigner);

#[pymethods]
impl NoteSigner {
    /// A new random key with a name.
    #[staticmethod]
    fn generate(py: Python<'_>, name: &str) -> PyResult<Self> {
        note::NoteSigner::new(name, &mut *random()?).map(Self).or_raise(py)
    }

    /// Reads the text form from a file descriptor; raises `FormatError`.
    #[staticmethod]
    fn read(py: Python<'_>, fd: i32) -> PyResult<Self> {
        note::NoteSigner::parse(&read_secret(fd)?).map(Self).or_raise(py)
    }

    /// Writes the text form and a line end to a file descriptor.
    fn write(&self, fd: i32) -> PyResult<()> {
        write_secret(fd, &self.0.to_text())
    }

    /// Its public key.
    #[getter]
    fn key(&self) -> NoteKey {
        NoteKey(self.0.key().clone())
    }

    /// The signed note of a text, which ends in LF.
    fn sign(&self, text: &str) -> String {
        self.0.sign(text)
    }

    fn __repr__(&self) -> String {
        format!("NoteSigner({:?}, redacted)", self.0.key().name)
    }
}
