//! Passphrases, read without being shown.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tallystick_core::seal::passphrase;
use zeroize::Zeroizing;

use crate::descriptor::{file, os_error};
use crate::keys::DataKey;

/// Longest line of a passphrase.
const MAX_PASSPHRASE: usize = 1024;

/// Reads one line, up to its end or that of the input, into memory that is wiped. Signals are heard meanwhile.
fn read_line(py: Python<'_>, source: &mut File) -> PyResult<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_PASSPHRASE));
    let mut byte = Zeroizing::new([0]);
    while line.len() < MAX_PASSPHRASE && line.last() != Some(&b'\n') {
        match py.detach(|| source.read(&mut byte[..])) {
            Ok(0) => break,
            Ok(_) => line.push(byte[0]),
            Err(error) if error.kind() == ErrorKind::Interrupted => py.check_signals()?,
            Err(error) => return Err(os_error(error)),
        }
    }
    Ok(line)
}

/// A terminal that shows nothing of what is typed; no signal can come between its end and what it showed before.
struct Silent<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Silent<'a> {
    fn new(terminal: &'a File) -> rustix::io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        // Where the terminal has gone there is nothing to be shown any more.
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// What somebody typed; kept in memory that is wiped.
#[pyclass(frozen, module = "tallystick._core")]
pub struct Passphrase(passphrase::Passphrase);

#[pymethods]
impl Passphrase {
    /// Reads a line from a file descriptor.
    #[staticmethod]
    fn read(py: Python<'_>, fd: i32) -> PyResult<Self> {
        let mut source = file(fd).map_err(os_error)?;
        Ok(Self(passphrase::Passphrase::take(read_line(py, &mut source)?)))
    }

    /// Asks for a line at a terminal, which shows nothing of it.
    #[staticmethod]
    fn ask(py: Python<'_>, terminal: i32, question: &str) -> PyResult<Self> {
        let terminal = file(terminal).map_err(os_error)?;
        let mut source = terminal.try_clone().map_err(os_error)?;
        let silent = Silent::new(&terminal).map_err(|error| os_error(error.into()))?;
        (&terminal).write_all(question.as_bytes()).map_err(os_error)?;
        let line = read_line(py, &mut source);
        drop(silent);
        (&terminal).write_all(b"\n").map_err(os_error)?;
        Ok(Self(passphrase::Passphrase::take(line?)))
    }

    /// How many bytes it has.
    #[getter]
    fn length(&self) -> usize {
        self.0.length()
    }

    /// Whether both are the same.
    fn same(&self, other: &Self) -> bool {
        self.0.same(&other.0)
    }

    /// The key by Argon2id, over so many KiB of memory so many times; `ValueError` for costs out of bounds.
    fn stretch(&self, py: Python<'_>, salt: &[u8], memory: u32, passes: u32) -> PyResult<DataKey> {
        let key = py.detach(|| self.0.stretch(salt, memory, passes));
        key.map(DataKey).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    #[allow(clippy::unused_self)] // a method, as Python wants it
    fn __repr__(&self) -> &'static str {
        "Passphrase(redacted)"
    }
}
