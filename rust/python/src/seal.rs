//! Set-up, sealing state and sealer.

use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyString};
use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};
use tallystick_core::Error;
use tallystick_core::line::MAX_ENTRY;
use tallystick_core::seal::head::Head;
use tallystick_core::seal::keys::VerificationKey;
use tallystick_core::seal::statement::MAX_TIME;
use tallystick_core::seal::{sealer, state};
use tallystick_core::secret::Secret;

use crate::keys::{At, DataKey, Handover, head_text, random, read_head, write_secret};
use crate::output::Output;
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
}

/// Reads the public part of a sealing state.
#[pyfunction]
pub fn read_state(py: Python<'_>, text: &[u8]) -> PyResult<PublicState> {
    let info = state::PublicState::parse(text).or_raise(py)?;
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
        Ok(Sealer { sealer: opened.sealer, process: std::process::id() })
    }

    /// The state of the next chain for later, under a key of its own; this becomes the state of the chain after it.
    ///
    /// `None`, and nothing is done, at the end of a generation.
    fn fetch_early(&mut self, py: Python<'_>) -> PyResult<Option<EarlyState>> {
        let key = state::DataKey::take(&mut *random()?);
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

/// Seals one chain, in the process that opened it and in no other.
#[pyclass(module = "tallystick._core")]
pub struct Sealer {
    sealer: sealer::Sealer,
    process: u32,
}

/// What a call that seals asks its caller to do; nothing: 0.
pub mod todo {
    /// Nothing was sealed: something has to be done first.
    pub const FIRST: u8 = 1;
    /// It was sealed, and something is to be done then: a statement was made, or bytes are kept.
    pub const THEN: u8 = 2;
}

/// Milliseconds since 1970; a clock before that says 0.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).min(MAX_TIME)
}

/// One line: without the line end behind it, and with those inside it written as `\n` and `\r`.
fn one_line(record: &[u8]) -> Cow<'_, [u8]> {
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    let record = record.strip_suffix(b"\r").unwrap_or(record);
    if memchr::memchr2(b'\n', b'\r', record).is_none() {
        return Cow::Borrowed(record);
    }
    let mut line = Vec::with_capacity(record.len() + 16);
    for byte in record {
        match byte {
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            _ => line.push(*byte),
        }
    }
    Cow::Owned(line)
}

impl Sealer {
    /// A forked child has a copy of the keys: used there, positions would be taken twice.
    ///
    /// Linux wipes them there, so as long as they are whole no system call is needed to know whose process this is.
    fn own(&mut self) -> Result<(), Error> {
        let whole = cfg!(target_os = "linux") && !self.sealer.is_wiped();
        if whole || self.process == std::process::id() {
            return Ok(());
        }
        self.sealer.erase();
        Err(Error::Seal(format!(
            "this log belongs to process {}; a forked child cannot write it: \
             open one log for each process, or let `tallystick run` seal the output of all",
            self.process
        )))
    }

    /// Seals into an output and hands it over to the operating system.
    ///
    /// Both in one call: nothing that a signal handler raises can come between them.
    fn emit(
        &mut self,
        py: Python<'_>,
        output: &mut Output,
        f: impl FnOnce(&mut sealer::Sealer, &mut Vec<u8>) -> Result<(), Error>,
    ) -> PyResult<u8> {
        self.own().or_raise(py)?;
        if self.sealer.is_closed() || output.kept() > 0 {
            return Ok(todo::FIRST);
        }
        let before = self.sealer.position();
        let sealed = f(&mut self.sealer, &mut output.bytes);
        output.push(py);
        sealed.or_raise(py)?;
        let after = self.sealer.position();
        let statement = before.index == 0 || before.epoch != after.epoch || self.sealer.is_closed();
        Ok(if statement || output.kept() > 0 { todo::THEN } else { 0 })
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
        self.sealer.set_format(format.or_raise(py)?);
        self.sealer.set_epoch_lines(epoch_lines).or_raise(py)
    }

    /// Seals one record as one line; `FIRST` if nothing was sealed because the chain is closed, bytes are kept, the
    /// output has to be looked at, or the record is neither bytes nor text that UTF-8 can write.
    #[pyo3(signature = (record, output, time = None))]
    fn write(
        &mut self,
        py: Python<'_>,
        record: &Bound<'_, PyAny>,
        output: &mut Output,
        time: Option<u64>,
    ) -> PyResult<u8> {
        let time = time.unwrap_or_else(now);
        let record = if let Ok(text) = record.cast::<PyString>() {
            text.to_str().ok().map(str::as_bytes)
        } else {
            record.cast::<PyBytes>().ok().map(PyBytesMethods::as_bytes)
        };
        let Some(record) = record.filter(|_| !output.is_due(time)) else { return Ok(todo::FIRST) };
        let line = one_line(record);
        if line.len() > MAX_ENTRY {
            let said =
                format!("an entry has {MAX_ENTRY} bytes at most, this one has {}; split it", line.len());
            return Err(Error::Seal(said)).or_raise(py);
        }
        self.emit(py, output, |sealer, out| sealer.seal(&line, time, out))
    }

    /// Seals the complete lines of `data` from `start` on, until the chain is full; gives where it stopped.
    #[pyo3(signature = (data, start, output, time = None))]
    fn write_lines(
        &mut self,
        py: Python<'_>,
        data: &[u8],
        start: usize,
        output: &mut Output,
        time: Option<u64>,
    ) -> PyResult<(usize, u8)> {
        let input = data.get(start..).unwrap_or_default();
        let (time, mut used) = (time.unwrap_or_else(now), 0);
        let todo = self.emit(py, output, |sealer, out| {
            out.reserve(input.len() + input.len() / 2);
            used = py.detach(|| sealer.seal_lines(input, time, out))?;
            Ok(())
        })?;
        Ok((start + used, todo))
    }

    /// Emits `open` now and not right before the first line.
    fn start(&mut self, py: Python<'_>, output: &mut Output) -> PyResult<u8> {
        self.emit(py, output, |sealer, out| {
            sealer.start_now(out);
            Ok(())
        })
    }

    /// Ends the epoch with a checkpoint.
    #[pyo3(signature = (output, time = None))]
    fn checkpoint(&mut self, py: Python<'_>, output: &mut Output, time: Option<u64>) -> PyResult<u8> {
        self.emit(py, output, |sealer, out| sealer.checkpoint(time.unwrap_or_else(now), out))
    }

    /// Ends the chain.
    #[pyo3(signature = (output, time = None))]
    fn close(&mut self, py: Python<'_>, output: &mut Output, time: Option<u64>) -> PyResult<u8> {
        self.emit(py, output, |sealer, out| sealer.close(time.unwrap_or_else(now), out))
    }

    /// Ends the chain and the log.
    #[pyo3(signature = (output, time = None))]
    fn end(&mut self, py: Python<'_>, output: &mut Output, time: Option<u64>) -> PyResult<u8> {
        self.emit(py, output, |sealer, out| sealer.end(time.unwrap_or_else(now), out))
    }

    /// The head that counts every line emitted so far, to be wiped by its holder; `None` before `open` is emitted.
    fn head<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyByteArray>> {
        self.sealer.head().map(|head| head_text(py, &head))
    }

    /// Wipes every secret at once.
    fn erase(&mut self) {
        self.sealer.erase();
    }

    /// Number of the chain.
    #[getter]
    fn chain(&self) -> u32 {
        self.sealer.chain()
    }

    /// Position of the next line.
    #[getter]
    fn position(&self) -> At {
        let at = self.sealer.position();
        (at.chain, at.epoch, at.index)
    }

    /// How many lines the chain has so far, control lines included.
    #[getter]
    fn lines(&self) -> u64 {
        self.sealer.lines()
    }

    /// Is the chain closed?
    #[getter]
    fn closed(&self) -> bool {
        self.sealer.is_closed()
    }

    fn __repr__(&self) -> String {
        format!("Sealer(position={})", self.sealer.position())
    }
}
