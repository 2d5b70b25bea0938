//! Keys and heads: secrets go from file descriptors to wiped memory without becoming Python objects.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};
use tallystick_core::seal::data_key;
use tallystick_core::seal::head::{Head, Pin};
use tallystick_core::seal::keys::{PublicKey, VerificationKey};
use tallystick_core::{Error, secret};
use zeroize::Zeroizing;

use crate::descriptor::{file, os_error};
use crate::{OrRaise as _, py_bytes, raise};

/// Longest secret text: a sealing state with one `open` for each finished generation.
const MAX_KEY_TEXT: u64 = 16 << 20;

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
    /// A new page; or that of a descriptor, which another process made.
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
pub struct DataKey(pub data_key::DataKey);

#[pymethods]
impl DataKey {
    /// A new random key.
    #[staticmethod]
    fn generate() -> PyResult<Self> {
        Ok(Self(data_key::DataKey::take(&mut *random()?)))
    }

    /// Reads the text form from a file descriptor.
    #[staticmethod]
    fn read(fd: i32) -> PyResult<Self> {
        let text = read_secret(fd)?;
        data_key::DataKey::parse(&text).map(Self).map_err(|e| PyValueError::new_err(e.to_string()))
    }

    /// Reads the text form from a string.
    #[staticmethod]
    fn parse(text: &str) -> PyResult<Self> {
        data_key::DataKey::parse(text.as_bytes()).map(Self).map_err(|e| PyValueError::new_err(e.to_string()))
    }

    /// Takes a key that another process put into a page.
    #[staticmethod]
    fn take_from(py: Python<'_>, page: &mut Handover) -> PyResult<Self> {
        data_key::DataKey::take_from(&mut page.0).map(Self).or_raise(py)
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

/// Says what the key text of a descriptor is.
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
    #[cfg(not(target_os = "linux"))]
    let _ = parent;
    Ok(())
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
