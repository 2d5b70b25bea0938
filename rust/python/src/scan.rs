//! Keys of logs, and the scan of some bytes with them.

use std::collections::BTreeSet;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tallystick_core::Error;
use tallystick_core::line::Position;
use tallystick_core::scan::summary;
use tallystick_core::scan::{self as core_scan, LogKeys};
use tallystick_core::seal::carried::{self, carry};
use tallystick_core::seal::keys::{PublicKey, VerificationKey};

use crate::envelope::{Envelope, Unwrapped};
use crate::holding::Holding;
use crate::keys::{At, random, read_head, read_secret, read_verification_key};
use crate::{OrRaise as _, py_bytes};

/// What a seal claims, if there is one: log and position; and the SHA-256 of the line.
type BadLine = (Option<(u32, At)>, [u8; 32]);

pub fn at(position: Position) -> At {
    (position.chain, position.epoch, position.index)
}

pub fn position(at: At) -> Position {
    Position::new(at.0, at.1, at.2)
}

/// The logs that are verified together. Filled first, then only read.
#[pyclass(module = "tallystick._core")]
pub struct Keys {
    pub inner: Arc<core_scan::Keys>,
    process: u32,
}

#[pymethods]
impl Keys {
    #[new]
    fn new() -> Self {
        Self { inner: Arc::default(), process: std::process::id() }
    }

    /// Adds the log of the verification key of a descriptor; gives its number.
    fn add_key(&mut self, py: Python<'_>, fd: i32) -> PyResult<usize> {
        let key = read_verification_key(py, fd)?;
        self.add(py, LogKeys::new(key.public.clone(), Some(key)))
    }

    /// Adds the log of a public file of a descriptor; gives its number.
    fn add_public(&mut self, py: Python<'_>, fd: i32) -> PyResult<usize> {
        let text = read_secret(fd)?;
        let mut lines = text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|l| !l.is_empty());
        let first = std::str::from_utf8(lines.next().unwrap_or_default()).unwrap_or_default();
        let public = PublicKey::parse(first).or_raise(py)?;
        let known = self.inner.logs().iter().position(|log| log.public == public);
        let number = match known {
            Some(number) => number,
            None => self.add(py, LogKeys::new(public, None))?,
        };
        for open in lines {
            self.inner.logs()[number].learn_open(open).or_raise(py)?;
        }
        Ok(number)
    }

    /// Names bad lines that are not reported: log and position that a seal claims, if there is one, and SHA-256.
    fn except_lines(&mut self, py: Python<'_>, lines: Vec<BadLine>) -> PyResult<()> {
        let at = |(log, (chain, epoch, index)): (u32, At)| (log, Position::new(chain, epoch, index));
        let lines = lines.into_iter().map(|(claim, hash)| (claim.map(at), hash));
        self.exclusive().or_raise(py)?.except(lines);
        Ok(())
    }

    /// Names members that a carrier added to JSON lines; raises `FormatError`.
    fn add_members(&mut self, py: Python<'_>, names: Vec<String>) -> PyResult<()> {
        self.exclusive().or_raise(py)?.add_members(names).or_raise(py)
    }

    /// Names a chain that a log has got to; what lies far beyond all such chains is not looked at.
    fn expect_chain(&mut self, py: Python<'_>, log: u32, chain: u32) -> PyResult<()> {
        self.exclusive().or_raise(py)?.expect_chain(log, chain);
        Ok(())
    }

    /// The text of the public key of each log, by number.
    fn public_keys(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.inner.logs().iter().map(|log| log.public.to_text().or_raise(py)).collect()
    }

    /// Name, log id, has a verification key, it is narrowed, first and last chain that it covers; by number.
    fn logs(&self) -> Vec<(String, String, bool, bool, u32, u32)> {
        let info = |log: &LogKeys| {
            let (first, last) = log.secret.as_ref().map_or((1, u32::MAX), |k| (k.first(), k.last()));
            let narrowed = log.secret.as_ref().is_some_and(VerificationKey::is_narrowed);
            (log.public.name.clone(), log.log_id().to_string(), log.secret.is_some(), narrowed, first, last)
        };
        self.inner.logs().iter().map(info).collect()
    }

    /// What vouches for something that a holder of these keys remembers, by its SHA-256.
    fn vouch<'py>(&self, py: Python<'py>, digest: [u8; 32]) -> PyResult<Bound<'py, PyBytes>> {
        self.own().or_raise(py)?;
        Ok(py_bytes(py, &self.inner.vouch(&digest)))
    }

    /// In whose names these keys vouch for partial results: log, and chain, or 0 for V.
    fn scope(&self) -> Vec<(u32, u32)> {
        self.inner.scope()
    }

    /// What vouches for a partial result in one of these names, by its SHA-256; `None` where the keys cannot.
    fn vouch_partial<'py>(
        &self,
        py: Python<'py>,
        digest: [u8; 32],
        name: (u32, u32),
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.own().or_raise(py)?;
        Ok(self.inner.vouch_partial(&digest, name).map(|mac| py_bytes(py, &mac)))
    }

    /// Encrypts the keys of some chains, each with the number of its log, for a reader of keys; raises `FormatError`.
    fn carry<'py>(
        &self,
        py: Python<'py>,
        reader: [u8; 32],
        chains: Vec<(u32, u32)>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        self.own().or_raise(py)?;
        let key = |number: u32| self.inner.logs().get(number as usize)?.secret.as_ref();
        let named = chains.into_iter().map(|(number, chain)| Some((number, key(number)?, chain)));
        let lacking = || Error::Format("there is no secret key of that log".into());
        let named = named.collect::<Option<Vec<_>>>().ok_or_else(lacking).or_raise(py)?;
        Ok(py_bytes(py, &carry(&reader, &mut *random()?, &named).or_raise(py)?))
    }

    /// Does the head's mac hold? `None` where the key cannot tell.
    fn head_holds(&self, py: Python<'_>, log: usize, head: &Bound<'_, PyAny>) -> PyResult<Option<bool>> {
        self.own().or_raise(py)?;
        let head = read_head(head)?;
        Ok(self.inner.logs().get(log).and_then(|log| head.holds(log.secret.as_ref()?)))
    }
}

impl Keys {
    /// In a forked child secrets are zeros: no line would match its tag there.
    pub fn own(&self) -> Result<(), Error> {
        if self.process == std::process::id() {
            return Ok(());
        }
        Err(Error::Format("keys do not outlast a fork; read them in the process that verifies".into()))
    }

    /// The keys, to be changed, which a scan or a verification does not expect.
    fn exclusive(&mut self) -> Result<&mut core_scan::Keys, Error> {
        let busy = || Error::Format("keys cannot be changed while they are used to verify".into());
        Arc::get_mut(&mut self.inner).ok_or_else(busy)
    }

    fn add(&mut self, py: Python<'_>, log: LogKeys) -> PyResult<usize> {
        let keys = self.exclusive().or_raise(py)?;
        keys.add(log).or_raise(py)?;
        Ok(keys.logs().len() - 1)
    }
}

/// Somebody who waits for keys of some chains: with it their way is safe.
#[pyclass(frozen, module = "tallystick._core")]
pub struct KeyReader(carried::Reader);

#[pymethods]
impl KeyReader {
    #[new]
    fn new() -> PyResult<Self> {
        Ok(Self(carried::Reader::take(&mut *random()?)))
    }

    /// What keys are encrypted for.
    #[getter]
    fn public<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        py_bytes(py, self.0.public())
    }

    /// Opens what `Keys.carry` gave: keys of the same logs in the same order, of which some have a secret key elsewhere;
    /// without a message these cover no chain. Raises `FormatError`.
    #[pyo3(signature = (logs, message = None))]
    fn keys(&self, py: Python<'_>, logs: Vec<(String, bool)>, message: Option<&[u8]>) -> PyResult<Keys> {
        let mut publics = Vec::new();
        for (text, has_secret) in logs {
            publics.push((PublicKey::parse(&text).or_raise(py)?, has_secret));
        }
        let own = (0..).zip(&publics).filter(|(_, (_, has_secret))| *has_secret);
        let own = own.map(|(number, (public, _))| (number, public.clone())).collect();
        let none = [&self.0.public()[..]].concat();
        let mut opened = self.0.open(&own, message.unwrap_or(&none)).or_raise(py)?;
        let mut keys = Keys::new();
        for (number, (public, _)) in (0..).zip(publics) {
            keys.add(py, LogKeys::new(public, opened.remove(&number)))?;
        }
        Ok(keys)
    }
}

/// What a scan looks for.
#[pyclass(frozen, module = "tallystick._core")]
pub struct Mode {
    pub mode: Arc<core_scan::Mode>,
    pub files: Option<BTreeSet<u32>>,
}

#[pymethods]
impl Mode {
    /// Everything.
    #[staticmethod]
    fn all() -> Self {
        Self { mode: Arc::new(core_scan::Mode::All), files: None }
    }

    /// The texts of lines that hold; of others as well, with a mark before each line.
    #[staticmethod]
    fn texts(holding: &Holding, marked: bool) -> Self {
        let mode = core_scan::Mode::Texts { holding: holding.0.clone(), marked };
        Self { mode: Arc::new(mode), files: None }
    }

    /// Must what a summary is of be read for it?
    fn wants(&self, summary: &Summary) -> bool {
        summary.0.is_wanted(&self.mode)
    }

    /// Must a file be read for it?
    fn wants_file(&self, file: u32) -> bool {
        self.files.as_ref().is_none_or(|files| files.contains(&file))
    }
}

/// Where a line was read: file, chunk, line in the chunk (from 0), byte offset in the file.
#[pyclass(frozen, get_all, module = "tallystick._core")]
#[derive(Clone, Copy)]
pub struct Place {
    file: u32,
    chunk: u32,
    line: u32,
    offset: u64,
}

impl From<tallystick_core::seal::epoch::Place> for Place {
    fn from(place: tallystick_core::seal::epoch::Place) -> Self {
        Self { file: place.file, chunk: place.chunk, line: place.line, offset: place.offset }
    }
}

/// What a scan of some bytes found, or of many: mergeable in any grouping.
#[pyclass(module = "tallystick._core")]
#[derive(Default)]
pub struct Summary(pub summary::Summary);

#[pymethods]
impl Summary {
    /// An empty one, or one in its stored form.
    #[new]
    #[pyo3(signature = (stored = None))]
    fn new(py: Python<'_>, stored: Option<&[u8]>) -> PyResult<Self> {
        let Some(bytes) = stored else { return Ok(Self::default()) };
        py.detach(|| summary::Summary::from_bytes(bytes)).map(Self).or_raise(py)
    }

    /// The stored form, which begins with a version.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(py_bytes(py, &py.detach(|| self.0.to_bytes()).or_raise(py)?))
    }

    fn __getnewargs__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyBytes>,)> {
        Ok((self.to_bytes(py)?,))
    }

    /// Takes in another summary, which is empty afterwards.
    fn merge(&mut self, py: Python<'_>, other: &mut Summary) {
        let other = std::mem::take(&mut other.0);
        py.detach(|| self.0.merge(other));
    }

    /// The form in which what was found in one file is remembered; raises `FormatError` if it is of several.
    #[allow(clippy::wrong_self_convention)] // it is as it was when this is done
    fn to_memory<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(py_bytes(py, &py.detach(|| self.0.to_memory()).or_raise(py)?))
    }

    /// Reads that form, as of a file with a number in this run, or of what stands in it after other chunks; raises
    /// `FormatError`.
    #[staticmethod]
    #[pyo3(signature = (stored, file, after = 0))]
    fn from_memory(py: Python<'_>, stored: &[u8], file: u32, after: u32) -> PyResult<Self> {
        py.detach(|| summary::Summary::from_memory(stored, file, after)).map(Self).or_raise(py)
    }

    /// Would the same bytes always give the same?
    fn lasts(&self) -> bool {
        self.0.lasts()
    }

    /// Are these logs of some keys, and chains that a scan with those would look at?
    fn is_within(&self, keys: &Keys) -> bool {
        self.0.is_within(&keys.inner)
    }

    /// Log and chain of lines that no key covered.
    fn narrowed(&self) -> Vec<(u32, u32)> {
        self.0.narrowed()
    }

    /// Log and chain of statements that hold.
    fn stated(&self) -> Vec<(u32, u32)> {
        self.0.stated()
    }

    /// Was no line left unjudged, and is all that it says of logs with a secret key said of these chains?
    #[allow(clippy::needless_pass_by_value)] // as Python hands it over
    fn is_of(&self, keys: &Keys, scope: BTreeSet<(u32, u32)>) -> bool {
        self.0.is_of(&keys.inner, &scope)
    }
}

/// Scans whole lines of a file: the first `end` bytes of `data`, or the lines that were taken out of them.
#[pyfunction]
#[pyo3(signature = (keys, mode, data, end, *, file, chunk, offset, cut = false, lines = None, envelope = None))]
#[allow(clippy::too_many_arguments)] // each says where the bytes stand; Python names them
pub fn scan(
    py: Python<'_>,
    keys: &Keys,
    mode: &Mode,
    data: &[u8],
    end: usize,
    file: u32,
    chunk: u32,
    offset: u64,
    cut: bool,
    lines: Option<&Unwrapped>,
    envelope: Option<&Envelope>,
) -> PyResult<Summary> {
    keys.own().or_raise(py)?;
    let keys = keys.inner.clone();
    let input = input(data, end, (file, chunk, offset, cut), lines, envelope);
    Ok(Summary(py.detach(|| core_scan::scan(&keys, &input, &mode.mode))))
}

/// What is scanned: the first `end` bytes of `data`, or the lines that were taken out of them.
pub fn input<'a>(
    data: &'a [u8],
    end: usize,
    (file, chunk, offset, cut): (u32, u32, u64, bool),
    lines: Option<&'a Unwrapped>,
    envelope: Option<&'a Envelope>,
) -> core_scan::Input<'a> {
    let data = &data[..end.min(data.len())];
    let bytes = data.len() as u64;
    let origins = lines.map(|l| core_scan::Origins { of: &l.0.origins, lines: l.0.lines, bytes });
    let data = lines.map_or(data, |l| &l.0.data);
    let envelope = envelope.map(|envelope| &envelope.0);
    core_scan::Input { data, file, chunk, offset, cut, origins, envelope }
}
