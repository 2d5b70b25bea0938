//! Set-up, sealing state and sealer.

use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};
use tallystick_core::head::Head;
use tallystick_core::keys::VerificationKey;
use tallystick_core::secret::Secret;
use tallystick_core::{Error, sealer, state};

use crate::keys::{At, DataKey, head_text, random, write_secret};
use crate::{OrRaise as _, py_bytes};

/// A log that was just set up.
#[pyclass(module = "tallystick._core")]
pub struct Setup {
    state: Option<state::SealingState>,
    key: VerificationKey,
    head: Head,
}

/// Sets a log up; V and S are random, or given by tests of the known answers.
#[pyfunction]
#[pyo3(signature = (name, seeds = None))]
pub fn setup(py: Python<'_>, name: &str, seeds: Option<([u8; 32], [u8; 32])>) -> PyResult<Setup> {
    let (mut v, mut s) = match seeds {
        Some(seeds) => (zeroize::Zeroizing::new(seeds.0), zeroize::Zeroizing::new(seeds.1)),
        None => (random()?, random()?),
    };
    let made = state::SealingState::setup(name, Secret::take(&mut v), Secret::take(&mut s)).or_raise(py)?;
    Ok(Setup { state: Some(made.state), key: made.key, head: made.head })
}

#[pymethods]
impl Setup {
    /// The sealing state; taken once.
    fn state(&mut self, py: Python<'_>) -> PyResult<SealingState> {
        let state = self.state.take().ok_or_else(|| Error::Seal("the state of this set-up was taken".into()));
        Ok(SealingState(Some(state.or_raise(py)?)))
    }

    /// The set-up head.
    fn head<'py>(&self, py: Python<'py>) -> Bound<'py, PyByteArray> {
        head_text(py, &self.head)
    }

    /// Writes the verification key and a line end to a file descriptor.
    fn write_key(&self, py: Python<'_>, fd: i32) -> PyResult<()> {
        let mut text = self.key.to_text().or_raise(py)?;
        text.push('\n');
        write_secret(fd, &text)
    }

    /// The log id.
    #[getter]
    fn log_id(&self) -> String {
        self.key.public.log_id().to_string()
    }

    /// The public key as text.
    #[getter]
    fn public_key(&self, py: Python<'_>) -> PyResult<String> {
        self.key.public.to_text().or_raise(py)
    }
}

/// The part of a sealing state that anybody may read.
#[pyclass(frozen, get_all, module = "tallystick._core")]
pub struct PublicState {
    name: String,
    log_id: String,
    public_key: String,
    public_file: String,
    next_chain: Option<u32>,
    version: u64,
    custody: String,
    wrapped: Py<PyBytes>,
}

/// Reads the public part of a sealing state.
#[pyfunction]
pub fn read_state(py: Python<'_>, text: &[u8]) -> PyResult<PublicState> {
    let info = state::PublicState::parse(text).or_raise(py)?;
    Ok(PublicState {
        log_id: info.public.log_id().to_string(),
        public_key: info.public.to_text().or_raise(py)?,
        public_file: info.public_file().or_raise(py)?,
        name: info.public.name,
        next_chain: info.next,
        version: info.version,
        custody: info.custody,
        wrapped: py_bytes(py, &info.wrapped).unbind(),
    })
}

/// An unlocked sealing state.
#[pyclass(module = "tallystick._core")]
pub struct SealingState(Option<state::SealingState>);

fn used_up() -> Error {
    Error::Seal("this sealing state was used up".into())
}

#[pymethods]
impl SealingState {
    /// Opens an encrypted state.
    #[staticmethod]
    fn unlock(py: Python<'_>, text: &[u8], key: &DataKey) -> PyResult<Self> {
        Ok(Self(Some(state::SealingState::unlock(text, &key.0).or_raise(py)?)))
    }

    /// Encrypts the state under a data key that `custody` wrapped.
    fn lock<'py>(
        &mut self,
        py: Python<'py>,
        key: &DataKey,
        custody: &str,
        wrapped: &[u8],
    ) -> PyResult<Bound<'py, PyBytes>> {
        let state = self.0.as_mut().ok_or_else(used_up).or_raise(py)?;
        let text = state.lock(&key.0, custody, wrapped, &*random()?).or_raise(py)?;
        Ok(py_bytes(py, &text))
    }

    /// Opens the next chain; this becomes the state of the chain after it, to be stored before anything is emitted.
    fn open_chain(&mut self, py: Python<'_>, head: &[u8], time: u64) -> PyResult<Sealer> {
        let head = Head::parse(head).or_raise(py)?;
        let state = self.0.take().ok_or_else(used_up).or_raise(py)?;
        let opened = state.open_chain(&head, time).or_raise(py)?;
        self.0 = Some(opened.next);
        Ok(Sealer(opened.sealer))
    }

    /// The state of a log that has ended; nothing secret is left.
    fn ended<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let state = self.0.take().ok_or_else(used_up).or_raise(py)?;
        Ok(py_bytes(py, &state.into_ended().or_raise(py)?))
    }

    #[allow(clippy::unused_self)] // a method, as Python wants it
    fn __repr__(&self) -> &'static str {
        "SealingState(redacted)"
    }
}

/// Seals one chain.
#[pyclass(module = "tallystick._core")]
pub struct Sealer(sealer::Sealer);

impl Sealer {
    fn emit<'py>(
        &mut self,
        py: Python<'py>,
        f: impl FnOnce(&mut sealer::Sealer, &mut Vec<u8>) -> Result<(), Error>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let mut out = Vec::with_capacity(512);
        f(&mut self.0, &mut out).or_raise(py)?;
        Ok(py_bytes(py, &out))
    }
}

#[pymethods]
impl Sealer {
    /// Sets the form of control lines (auto, plain, json) and the lines of an epoch; before the first line.
    fn configure(&mut self, py: Python<'_>, control: &str, epoch_lines: u32) -> PyResult<()> {
        let format = match control {
            "auto" => Ok(sealer::Format::Auto),
            "plain" => Ok(sealer::Format::Plain),
            "json" => Ok(sealer::Format::Json),
            _ => Err(Error::Seal("control lines are auto, plain or json".into())),
        };
        self.0.set_format(format.or_raise(py)?);
        self.0.set_epoch_lines(epoch_lines).or_raise(py)
    }

    /// Emits `open` now and not right before the first line.
    fn start<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let mut out = Vec::with_capacity(1024);
        self.0.start_now(&mut out);
        py_bytes(py, &out)
    }

    /// Seals one entry; gives its line with those that are due before and behind it.
    fn seal<'py>(&mut self, py: Python<'py>, m: &[u8], time: u64) -> PyResult<Bound<'py, PyBytes>> {
        let mut out = Vec::with_capacity(m.len() + 96);
        self.0.seal(m, time, &mut out).or_raise(py)?;
        Ok(py_bytes(py, &out))
    }

    /// Seals the complete lines of `data` from `start` on, until the chain is full; gives them and where it stopped.
    fn seal_lines<'py>(
        &mut self,
        py: Python<'py>,
        data: &[u8],
        start: usize,
        time: u64,
    ) -> PyResult<(Bound<'py, PyBytes>, usize)> {
        let input = data.get(start..).unwrap_or_default();
        let mut out = Vec::with_capacity(input.len() + input.len() / 2);
        let used = py.detach(|| self.0.seal_lines(input, time, &mut out)).or_raise(py)?;
        Ok((py_bytes(py, &out), start + used))
    }

    /// Ends the epoch with a checkpoint.
    fn checkpoint<'py>(&mut self, py: Python<'py>, time: u64) -> PyResult<Bound<'py, PyBytes>> {
        self.emit(py, |sealer, out| sealer.checkpoint(time, out))
    }

    /// Ends the chain.
    fn close<'py>(&mut self, py: Python<'py>, time: u64) -> PyResult<Bound<'py, PyBytes>> {
        self.emit(py, |sealer, out| sealer.close(time, out))
    }

    /// Ends the chain and the log.
    fn end<'py>(&mut self, py: Python<'py>, time: u64) -> PyResult<Bound<'py, PyBytes>> {
        self.emit(py, |sealer, out| sealer.end(time, out))
    }

    /// The head that counts every line emitted so far, to be wiped by its holder; `None` before `open` is emitted.
    fn head<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyByteArray>> {
        self.0.head().map(|head| head_text(py, &head))
    }

    /// Wipes every secret at once.
    fn erase(&mut self) {
        self.0.erase();
    }

    /// Number of the chain.
    #[getter]
    fn chain(&self) -> u32 {
        self.0.chain()
    }

    /// Position of the next line.
    #[getter]
    fn position(&self) -> At {
        let at = self.0.position();
        (at.chain, at.epoch, at.index)
    }

    /// Is the chain closed?
    #[getter]
    fn closed(&self) -> bool {
        self.0.is_closed()
    }

    fn __repr__(&self) -> String {
        format!("Sealer(position={})", self.0.position())
    }
}
