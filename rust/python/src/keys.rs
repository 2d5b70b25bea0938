//! Keys and heads: secrets go from file descriptors to wiped memory without becoming Python objects.

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use tallystick_core::seal::head::{Head, Pin};
use tallystick_core::seal::keys::{PublicKey, VerificationKey};
use tallystick_core::seal::{passphrase, state};
use tallystick_core::{Error, secret};
use zeroize::Zeroizing;

use crate::{OrRaise as _, py_bytes, raise};

/// The caller's file, through a duplicate of its descriptor.
#[allow(unsafe_code)]
pub fn file(fd: i32) -> std::io::Result<File> {
    if fd < 0 {
        return Err(std::io::Error::from_raw_os_error(9)); // EBADF
    }
    // SAFETY: the descriptor is open for as long as the Python caller holds its file, which is for the
    // whole call; a stale one makes the duplication fail and nothing else.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    Ok(File::from(borrowed.try_clone_to_owned()?))
}

/// An error of the operating system as Python makes it, with its number.
#[allow(clippy::needless_pass_by_value)] // for map_err
pub fn os_error(error: std::io::Error) -> PyErr {
    match error.raw_os_error() {
        Some(number) => {
            // The library puts the number behind the words, Python before them.
            let text = error.to_string();
            let words = text.split(" (os error").next().unwrap_or(&text).to_string();
            PyOSError::new_err((number, words))
        }
        None => PyOSError::new_err(error.to_string()),
    }
}

/// Longest line of a passphrase.
const MAX_PASSPHRASE: usize = 1024;

/// Longest secret text: a sealing state with one `open` for each finished generation.
const MAX_KEY_TEXT: u64 = 16 << 20;

/// The first lines of a sealing state, up to its version, are not longer than this.
const BEGINNING: usize = 256;

/// Reads a small secret text to its end, into memory that is wiped.
pub fn read_secret(fd: i32) -> PyResult<Zeroizing<Vec<u8>>> {
    read_text(fd).map_err(os_error)
}

fn read_text(fd: i32) -> std::io::Result<Zeroizing<Vec<u8>>> {
    // Reserved once, so that growing leaves no copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(4096));
    let mut source = file(fd)?.take(MAX_KEY_TEXT);
    let mut block = Zeroizing::new([0; 4096]);
    loop {
        let count = source.read(&mut block[..])?;
        if count == 0 {
            return Ok(text);
        }
        if text.len() + count > text.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(text.capacity() * 2));
            larger.extend_from_slice(&text);
            text = larger;
        }
        text.extend_from_slice(&block[..count]);
    }
}

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

/// Writes a secret text to a descriptor.
pub fn write_secret(fd: i32, text: &str) -> PyResult<()> {
    file(fd).and_then(|mut file| file.write_all(text.as_bytes())).map_err(os_error)
}

/// Reads a verification key text from a descriptor.
pub fn read_verification_key(py: Python<'_>, fd: i32) -> PyResult<VerificationKey> {
    let text = read_secret(fd)?;
    let bad =
        || Error::Format("no verification key: it begins with tallysecret1 and is one line of text".into());
    let text = std::str::from_utf8(&text).map_err(|_| bad()).or_raise(py)?;
    VerificationKey::parse(text.trim_ascii()).or_raise(py)
}

pub fn random<const N: usize>() -> PyResult<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut bytes[..]).map_err(|error| PyOSError::new_err(format!("no randomness: {error}")))?;
    Ok(bytes)
}

/// A page that two processes share, for secrets on their way from one to the other.
#[pyclass(module = "tallystick._core")]
pub struct Handover(pub secret::Handover);

#[pymethods]
impl Handover {
    /// A new page; or that behind a descriptor, which another process made.
    #[new]
    #[pyo3(signature = (fd = None))]
    fn new(py: Python<'_>, fd: Option<i32>) -> PyResult<Self> {
        match fd {
            None => secret::Handover::new(),
            Some(fd) => secret::Handover::at(file(fd).map_err(os_error)?.into()),
        }
        .map(Self)
        .or_raise(py)
    }

    /// Its descriptor, for the other process; it is closed with this object.
    fn fileno(&self) -> i32 {
        self.0.as_fd().as_raw_fd()
    }

    /// Puts a head into the page, and wipes where it came from.
    fn put_head(&mut self, py: Python<'_>, head: &Bound<'_, PyByteArray>) -> PyResult<()> {
        let mut text = Zeroizing::new(head.to_vec());
        self.0.put_text(&mut text).or_raise(py)?;
        let zeros = vec![0; head.len()];
        head.set_item(pyo3::types::PySlice::full(py), PyByteArray::new(py, &zeros))
    }

    /// Takes a head out of the page.
    fn take_head<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyByteArray> {
        let text = Zeroizing::new(self.0.take_text());
        PyByteArray::new(py, &text)
    }

    /// Wipes the page, for both processes.
    fn wipe(&mut self) {
        self.0.wipe();
    }
}

/// A key that encrypts another key or the sealing state.
#[pyclass(frozen, module = "tallystick._core")]
pub struct DataKey(pub state::DataKey);

#[pymethods]
impl DataKey {
    /// A new random key.
    #[staticmethod]
    fn generate() -> PyResult<Self> {
        Ok(Self(state::DataKey::take(&mut *random()?)))
    }

    /// Reads the text form from a file descriptor.
    #[staticmethod]
    fn read(fd: i32) -> PyResult<Self> {
        let text = read_secret(fd)?;
        state::DataKey::parse(&text).map(Self).map_err(|e| PyValueError::new_err(e.to_string()))
    }

    /// Reads the text form from a string.
    #[staticmethod]
    fn parse(text: &str) -> PyResult<Self> {
        state::DataKey::parse(text.as_bytes()).map(Self).map_err(|e| PyValueError::new_err(e.to_string()))
    }

    /// Takes a key that another process put into a page.
    #[staticmethod]
    fn take_from(py: Python<'_>, page: &mut Handover) -> PyResult<Self> {
        state::DataKey::take_from(&mut page.0).map(Self).or_raise(py)
    }

    /// Puts the key into a page that another process takes it from.
    fn hand_over(&self, py: Python<'_>, page: &mut Handover) -> PyResult<()> {
        self.0.hand_over(&mut page.0).or_raise(py)
    }

    /// Writes the text form and a line end to a file descriptor.
    fn write(&self, fd: i32) -> PyResult<()> {
        write_secret(fd, &self.0.to_text())
    }

    /// Encrypts another key; `context` is authenticated with it.
    fn wrap<'py>(&self, py: Python<'py>, inner: &DataKey, context: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let wrapped = self.0.wrap(&inner.0, context, &*random()?).or_raise(py)?;
        Ok(py_bytes(py, &wrapped))
    }

    /// Decrypts a key; `ValueError` if this key, the text or the context is not the right one.
    fn unwrap(&self, py: Python<'_>, wrapped: &[u8], context: &[u8]) -> PyResult<Self> {
        self.0.unwrap(wrapped, context).map(Self).map_err(|error| match error {
            Error::Custody(said) => PyValueError::new_err(said),
            other => raise(py, &other),
        })
    }

    #[allow(clippy::unused_self)] // a method, as Python wants it
    fn __repr__(&self) -> &'static str {
        "DataKey(redacted)"
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

/// What a key text is, without showing it.
#[pyclass(frozen, get_all, module = "tallystick._core")]
pub struct KeyInfo {
    secret: bool,
    name: String,
    log_id: String,
    public_key: String,
    first_chain: u32,
    last_chain: u32,
    narrowed: bool,
}

/// Tells what the key text behind a descriptor is.
#[pyfunction]
pub fn key_info(py: Python<'_>, fd: i32) -> PyResult<KeyInfo> {
    let text = read_secret(fd)?;
    let text = std::str::from_utf8(&text).unwrap_or_default();
    let first = text.lines().next().unwrap_or_default().trim_ascii();
    let public = if first.get(..8).is_some_and(|t| t.eq_ignore_ascii_case("tallypub")) {
        PublicKey::parse(first).or_raise(py)?
    } else {
        let key = VerificationKey::parse(text.trim_ascii()).or_raise(py)?;
        return Ok(KeyInfo {
            secret: true,
            name: key.public.name.clone(),
            log_id: key.public.log_id().to_string(),
            public_key: key.public.to_text().or_raise(py)?,
            first_chain: key.first(),
            last_chain: key.last(),
            narrowed: key.is_narrowed(),
        });
    };
    Ok(KeyInfo {
        secret: false,
        log_id: public.log_id().to_string(),
        public_key: public.to_text().or_raise(py)?,
        name: public.name,
        first_chain: 1,
        last_chain: u32::MAX,
        narrowed: false,
    })
}

/// A position as Python sees it: chain, epoch, index.
pub type At = (u32, u8, u16);

/// A head from its text, bytes or a bytearray.
pub fn read_head(text: &Bound<'_, PyAny>) -> PyResult<Head> {
    let read = match text.cast::<PyByteArray>() {
        Ok(array) => array.to_vec(),
        Err(_) => text.cast::<PyBytes>()?.as_bytes().to_vec(),
    };
    Head::parse(&Zeroizing::new(read)).or_raise(text.py())
}

/// Keeps other users' debuggers, and core dumps, away from this process's memory (prctl `PR_SET_DUMPABLE`).
#[pyfunction]
pub fn refuse_dumps() -> PyResult<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(|error| os_error(error.into()))?;
    Ok(())
}

/// Has the operating system end this process with the one that started it, which may have ended already.
#[pyfunction]
pub fn end_with_parent(parent: u32) -> PyResult<()> {
    #[cfg(target_os = "linux")]
    {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
            .map_err(|error| os_error(error.into()))?;
        if std::os::unix::process::parent_id() != parent {
            return Err(PyOSError::new_err("the process that started this one has ended"));
        }
    }
    Ok(())
}

/// The version of the sealing state in a file. The rest of it stays there: a writer's memory must not hold it.
#[pyfunction]
pub fn state_version(py: Python<'_>, fd: i32) -> PyResult<u64> {
    let mut beginning = Zeroizing::new([0; BEGINNING]);
    let (mut source, mut count) = (file(fd).map_err(os_error)?, 0);
    while count < BEGINNING {
        match source.read(&mut beginning[count..]).map_err(os_error)? {
            0 => break,
            more => count += more,
        }
    }
    state::PublicState::version_of(&beginning[..count]).or_raise(py)
}

/// Reads a head text: log id, position, hash of its statement. Its mac is not shown.
#[pyfunction]
pub fn parse_head<'py>(
    py: Python<'py>,
    text: &Bound<'py, PyAny>,
) -> PyResult<(String, At, Bound<'py, PyBytes>)> {
    let head = read_head(text)?;
    let at = head.mark.at;
    Ok((head.log.to_string(), (at.chain, at.epoch, at.index), py_bytes(py, &head.mark.hash)))
}

/// Reads a pin text: log id, position, hash of its statement.
#[pyfunction]
pub fn parse_pin<'py>(py: Python<'py>, text: &[u8]) -> PyResult<(String, At, Bound<'py, PyBytes>)> {
    let pin = Pin::parse(text).or_raise(py)?;
    Ok((pin.log.to_string(), (pin.at.chain, pin.at.epoch, pin.at.index), py_bytes(py, &pin.hash)))
}

/// A head text as a bytearray, which its holder wipes after use.
pub fn head_text<'py>(py: Python<'py>, head: &Head) -> Bound<'py, PyByteArray> {
    PyByteArray::new(py, &head.to_text())
}
