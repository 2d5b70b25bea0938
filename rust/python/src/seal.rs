//! Set-up, sealing state and sealer.

use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyString};
use tallystick_core::Error;
use tallystick_core::framing::one_line;
use tallystick_core::line::MAX_ENTRY;
use tallystick_core::seal::sealer;
use tallystick_core::seal::statement::MAX_TIME;

use crate::OrRaise as _;
use crate::keys::{At, head_text};
use crate::output::Output;
use crate::py_bytes;
use crate::witness::EpochTree;

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
    /// It was sealed, and something is to be done then: a statement was made, or bytes are pending.
    pub const THEN: u8 = 2;
}

/// Milliseconds since 1970; a clock before that says 0.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).min(MAX_TIME)
}

impl From<sealer::Sealer> for Sealer {
    fn from(sealer: sealer::Sealer) -> Self {
        Self { sealer, process: std::process::id() }
    }
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
        if self.sealer.is_closed() || output.pending() > 0 {
            return Ok(todo::FIRST);
        }
        let before = self.sealer.position();
        let sealed = f(&mut self.sealer, &mut output.bytes);
        output.push(py);
        sealed.or_raise(py)?;
        let after = self.sealer.position();
        let statement = before.index == 0 || before.epoch != after.epoch || self.sealer.is_closed();
        Ok(if statement || output.pending() > 0 { todo::THEN } else { 0 })
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

    /// Seals one record as one line; `FIRST` if nothing was sealed because the chain is closed, bytes are pending, the
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

    /// Has the log itself say something: a signed notice, whose text is cut where it is too long.
    #[pyo3(signature = (kind, text, output, time = None))]
    fn notice(
        &mut self,
        py: Python<'_>,
        kind: &str,
        text: &[u8],
        output: &mut Output,
        time: Option<u64>,
    ) -> PyResult<u8> {
        self.emit(py, output, |sealer, out| sealer.notice(kind, text, time.unwrap_or_else(now), out))
    }

    /// Emits `open` now and not right before the first line.
    fn start(&mut self, py: Python<'_>, output: &mut Output) -> PyResult<u8> {
        self.emit(py, output, sealer::Sealer::start_now)
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

    /// Keeps from here on what witnesses are shown; before the first line.
    fn show(&mut self, py: Python<'_>) -> PyResult<()> {
        self.sealer.show().or_raise(py)
    }

    /// A signed head of the running epoch, for witnesses; `None` before `open` is emitted and after the chain's end.
    #[pyo3(signature = (time = None))]
    fn signed_head<'py>(
        &mut self,
        py: Python<'py>,
        time: Option<u64>,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.own().or_raise(py)?;
        let head = self.sealer.signed_head(time.unwrap_or_else(now)).or_raise(py)?;
        Ok(head.map(|head| py_bytes(py, head.as_bytes())))
    }

    /// Opens and checkpoints since the last call, for witnesses; of a checkpoint the leaves, if a head was signed before.
    fn take_spoken<'py>(&mut self, py: Python<'py>) -> Vec<(Bound<'py, PyBytes>, Option<EpochTree>)> {
        let spoken = self.sealer.take_spoken().into_iter();
        spoken.map(|one| (py_bytes(py, one.text.as_bytes()), one.tree.map(EpochTree))).collect()
    }

    /// The leaves of the running epoch so far, for proofs; `None` where nothing is kept for witnesses.
    fn tree(&self) -> Option<EpochTree> {
        self.sealer.tree().map(EpochTree)
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

    /// Position of the entry that was sealed last; `None` before the first.
    #[getter]
    fn last_entry(&self) -> Option<At> {
        self.sealer.last_entry().map(|at| (at.chain, at.epoch, at.index))
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
