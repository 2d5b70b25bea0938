//! Sealing states, locked and unlocked, and what of them is no secret.

use std::io::Read as _;

use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};
use tallystick_core::Error;
use tallystick_core::seal::data_key;
use tallystick_core::seal::head::Head;
use tallystick_core::seal::keys::{PublicKey, VerificationKey};
use tallystick_core::seal::public_state;
use tallystick_core::seal::state;
use tallystick_core::secret::Secret;
use zeroize::Zeroizing;

use crate::descriptor::{file, os_error};
use crate::keys::{DataKey, Handover, head_text, random, read_head, write_secret};
use crate::seal::Sealer;
use crate::{OrRaise as _, py_bytes};

/// The first lines of a sealing state, up to its version, are not longer than this.
const BEGINNING: usize = 256;

/// A log that was just set up.
#[pyclass(module = "tallystick._core")]
pub struct Setup {
    state: Option<state::SealingState>,
    key: VerificationKey,
    head: Head,
}

/// Sets a log up, perhaps one that follows another, whose public key is given as text; V and S are random, or given by
/// tests of the known answers.
#[pyfunction]
#[pyo3(signature = (name, seeds = None, follows = None))]
pub fn setup(
    py: Python<'_>,
    name: &str,
    seeds: Option<([u8; 32], [u8; 32])>,
    follows: Option<&str>,
) -> PyResult<Setup> {
    let (mut v, mut s) = match seeds {
        Some(seeds) => (zeroize::Zeroizing::new(seeds.0), zeroize::Zeroizing::new(seeds.1)),
        None => (random()?, random()?),
    };
    let follows = follows.map(PublicKey::parse).transpose().or_raise(py)?;
    let mut made =
        state::SealingState::setup(name, Secret::take(&mut v), Secret::take(&mut s)).or_raise(py)?;
    if let Some(log) = follows {
        made.state.note_follows(log);
    }
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
        let text = self.key.to_text().or_raise(py)?;
        write_secret(fd, &text)?;
        write_secret(fd, "\n")
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

    /// P (SPEC section 3).
    #[getter]
    fn root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        py_bytes(py, &self.key.public.root)
    }
}

/// The part of a sealing state that anybody may read.
#[pyclass(frozen, get_all, module = "tallystick._core")]
pub struct PublicState {
    name: String,
    log_id: String,
    public_key: String,
    root: Py<PyBytes>,
    public_file: String,
    next_chain: Option<u32>,
    version: u64,
    custody: String,
    wrapped: Py<PyBytes>,
    exposed: Option<String>,
    former: Option<(String, Py<PyBytes>)>,
    leaving: Option<String>,
    follows: Option<String>,
}

/// Reads the public part of a sealing state.
#[pyfunction]
pub fn read_state(py: Python<'_>, text: &[u8]) -> PyResult<PublicState> {
    let info = public_state::PublicState::parse(text).or_raise(py)?;
    Ok(PublicState {
        log_id: info.public.log_id().to_string(),
        public_key: info.public.to_text().or_raise(py)?,
        root: py_bytes(py, &info.public.root).unbind(),
        public_file: info.public_file().or_raise(py)?,
        name: info.public.name,
        next_chain: info.next,
        version: info.version,
        custody: info.custody,
        wrapped: py_bytes(py, &info.wrapped).unbind(),
        exposed: info.exposed,
        former: info.former.map(|(custody, wrapped)| (custody, py_bytes(py, &wrapped).unbind())),
        leaving: info.leaving,
        follows: info.follows.map(|log| log.to_text().or_raise(py)).transpose()?,
    })
}

/// An unlocked sealing state.
#[pyclass(module = "tallystick._core")]
pub struct SealingState(Option<state::SealingState>);

fn used_up() -> Error {
    Error::Seal("this sealing state was used up".into())
}

impl SealingState {
    fn state(&self, py: Python<'_>) -> PyResult<&state::SealingState> {
        self.0.as_ref().ok_or_else(used_up).or_raise(py)
    }
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
    fn open_chain(&mut self, py: Python<'_>, head: &Bound<'_, PyAny>, time: u64) -> PyResult<Sealer> {
        let head = read_head(head)?;
        let state = self.0.take().ok_or_else(used_up).or_raise(py)?;
        let opened = state.open_chain(&head, time).or_raise(py)?;
        self.0 = Some(opened.next);
        Ok(opened.sealer.into())
    }

    /// The state of the next chain for later, under a key of its own; this becomes the state of the chain after it.
    ///
    /// `None`, and nothing is done, at the end of a generation.
    fn fetch_early(&mut self, py: Python<'_>) -> PyResult<Option<EarlyState>> {
        let key = data_key::DataKey::take(&mut *random()?);
        let state = self.0.as_mut().ok_or_else(used_up).or_raise(py)?;
        Ok(state.fetch_early(key, &*random()?).or_raise(py)?.map(EarlyState))
    }

    /// Hands the state over to another process: its keys by the page, the rest as text.
    fn hand_over(&self, py: Python<'_>, page: &mut Handover) -> PyResult<String> {
        self.state(py)?.hand_over(&mut page.0).or_raise(py)
    }

    /// Takes a state that another process handed over.
    #[staticmethod]
    fn take_from(py: Python<'_>, page: &mut Handover, text: &str) -> PyResult<Self> {
        Ok(Self(Some(state::SealingState::take_from(&mut page.0, text).or_raise(py)?)))
    }

    /// Notes which custody of before may still open an older state, which wrapped key one has to destroy, and where the
    /// log is being moved to.
    fn note_move(
        &mut self,
        py: Python<'_>,
        exposed: Option<String>,
        former: Option<(String, Vec<u8>)>,
        leaving: Option<String>,
    ) -> PyResult<()> {
        self.0.as_mut().ok_or_else(used_up).or_raise(py)?.note_move(exposed, former, leaving);
        Ok(())
    }

    /// Name of the log.
    #[getter]
    fn name(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.state(py)?.info().public.name.clone())
    }

    /// The log id.
    #[getter]
    fn log_id(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.state(py)?.info().public.log_id().to_string())
    }

    /// The public key as text.
    #[getter]
    fn public_key(&self, py: Python<'_>) -> PyResult<String> {
        self.state(py)?.info().public.to_text().or_raise(py)
    }

    /// P (SPEC section 3).
    #[getter]
    fn root<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(py_bytes(py, &self.state(py)?.info().public.root))
    }

    /// Number of the chain that it opens; `None` once the log has ended.
    #[getter]
    fn next_chain(&self, py: Python<'_>) -> PyResult<Option<u32>> {
        Ok(self.state(py)?.info().next)
    }

    /// Grows with every replacement.
    #[getter]
    fn version(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.state(py)?.info().version)
    }

    /// The state of a log that has ended, or has `moved` and goes on elsewhere; nothing secret is left.
    #[pyo3(signature = (*, moved = false))]
    fn ended<'py>(&mut self, py: Python<'py>, moved: bool) -> PyResult<Bound<'py, PyBytes>> {
        let state = self.0.take().ok_or_else(used_up).or_raise(py)?;
        Ok(py_bytes(py, &state.into_ended(moved).or_raise(py)?))
    }

    #[allow(clippy::unused_self)] // a method, as Python wants it
    fn __repr__(&self) -> &'static str {
        "SealingState(redacted)"
    }
}

/// The state of a chain that will be opened later, under a key that only locked memory holds.
#[pyclass(frozen, module = "tallystick._core")]
pub struct EarlyState(state::Early);

#[pymethods]
impl EarlyState {
    /// The state.
    fn unlock(&self, py: Python<'_>) -> PyResult<SealingState> {
        Ok(SealingState(Some(self.0.unlock().or_raise(py)?)))
    }

    #[allow(clippy::unused_self)] // a method, as Python wants it
    fn __repr__(&self) -> &'static str {
        "EarlyState(redacted)"
    }
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
    public_state::PublicState::version_of(&beginning[..count]).or_raise(py)
}
