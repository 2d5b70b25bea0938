//! Scan, merge and what the merged summary says.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::Arc;
use tallystick_core::head::Pin;
use tallystick_core::keys::PublicKey;
use tallystick_core::line::{LogId, Position};
use tallystick_core::scan::{self as core_scan, LogKeys};
use tallystick_core::statement::{Body, Kind as Ending};
use tallystick_core::summary::{self, Kind, Neighbour, Record, Why};
use tallystick_core::{doubles, facts};

use crate::envelope::{Envelope, Unwrapped};
use crate::keys::{At, read_head, read_secret, read_verification_key};
use crate::{OrRaise as _, py_bytes};

/// What a seal claims, if there is one: log and position; and the SHA-256 of the line.
type BadLine = (Option<(u32, At)>, [u8; 32]);

fn at(position: Position) -> At {
    (position.chain, position.epoch, position.index)
}

fn position(at: At) -> Position {
    Position::new(at.0, at.1, at.2)
}

/// The logs that are verified together. Filled first, then only read.
#[pyclass(module = "tallystick._core")]
pub struct Keys {
    pub inner: Arc<core_scan::Keys>,
    process: u32,
}

/// Digits of a chain's number, the number, and position and hash of a head.
type BrokenOpening<'py> = (Bound<'py, PyBytes>, Option<u32>, Option<(At, Bound<'py, PyBytes>)>);

#[pymethods]
impl Keys {
    #[new]
    fn new() -> Self {
        Self { inner: Arc::default(), process: std::process::id() }
    }

    /// Adds the log of the verification key behind a descriptor; gives its number.
    fn add_key(&mut self, py: Python<'_>, fd: i32) -> PyResult<usize> {
        let key = read_verification_key(py, fd)?;
        self.add(py, LogKeys::new(key.public.clone(), Some(key)))
    }

    /// Adds the log of a public file behind a descriptor; gives its number.
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

    /// Names bad lines that are not to be told: log and position that a seal claims, if there is one, and SHA-256.
    fn except_lines(&mut self, py: Python<'_>, lines: Vec<BadLine>) -> PyResult<()> {
        let busy = || tallystick_core::Error::Format("keys cannot be changed while a scan runs".into());
        let at = |(log, (chain, epoch, index)): (u32, At)| (log, Position::new(chain, epoch, index));
        let lines = lines.into_iter().map(|(claim, hash)| (claim.map(at), hash));
        Arc::get_mut(&mut self.inner).ok_or_else(busy).or_raise(py)?.except(lines);
        Ok(())
    }

    /// Names members that a carrier added to JSON lines; raises `FormatError`.
    fn add_members(&mut self, py: Python<'_>, names: Vec<String>) -> PyResult<()> {
        let busy = || tallystick_core::Error::Format("keys cannot be changed while a scan runs".into());
        Arc::get_mut(&mut self.inner).ok_or_else(busy).or_raise(py)?.add_members(names).or_raise(py)
    }

    /// Names a chain that a log has got to; what lies far beyond all such chains is not looked at.
    fn expect_chain(&mut self, py: Python<'_>, log: u32, chain: u32) -> PyResult<()> {
        let busy = || tallystick_core::Error::Format("keys cannot be changed while a scan runs".into());
        Arc::get_mut(&mut self.inner).ok_or_else(busy).or_raise(py)?.expect_chain(log, chain);
        Ok(())
    }

    /// Name, log id, has a verification key, it is narrowed, first and last chain that it covers; by number.
    fn logs(&self) -> Vec<(String, String, bool, bool, u32, u32)> {
        let info = |log: &LogKeys| {
            let (first, last) = log.secret.as_ref().map_or((1, u32::MAX), |k| (k.first(), k.last()));
            let narrowed =
                log.secret.as_ref().is_some_and(tallystick_core::keys::VerificationKey::is_narrowed);
            (log.public.name.clone(), log.log_id().to_string(), log.secret.is_some(), narrowed, first, last)
        };
        self.inner.logs().iter().map(info).collect()
    }

    /// The text of the public key of each log, by number.
    fn public_keys(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.inner.logs().iter().map(|log| log.public.to_text().or_raise(py)).collect()
    }

    /// What is whole of a line that is the beginning of an `open` of a log: digits of its chain's number, the number,
    /// the head that it names; `None` if it is none, or not broken.
    fn broken_opening<'py>(
        &self,
        py: Python<'py>,
        log: usize,
        line: &[u8],
    ) -> PyResult<Option<BrokenOpening<'py>>> {
        self.own().or_raise(py)?;
        let broken = self.inner.logs().get(log).and_then(|log| log.broken_opening(line));
        Ok(broken.map(|found| {
            let prev = found.prev.map(|mark| (at(mark.at), py_bytes(py, &mark.hash)));
            (py_bytes(py, &found.digits), found.chain, prev)
        }))
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
    fn own(&self) -> Result<(), tallystick_core::Error> {
        if self.process == std::process::id() {
            return Ok(());
        }
        Err(tallystick_core::Error::Format(
            "keys do not outlast a fork; read them in the process that verifies".into(),
        ))
    }

    fn add(&mut self, py: Python<'_>, log: LogKeys) -> PyResult<usize> {
        let busy = || tallystick_core::Error::Format("keys cannot be added while a scan runs".into());
        let keys = Arc::get_mut(&mut self.inner).ok_or_else(busy).or_raise(py)?;
        keys.add(log).or_raise(py)?;
        Ok(keys.logs().len() - 1)
    }
}

/// An epoch as Python sees it: log number, chain, epoch.
type Epoch = (u32, u32, u8);

/// What a scan looks for.
#[pyclass(frozen, module = "tallystick._core")]
pub struct Mode(core_scan::Mode);

#[pymethods]
impl Mode {
    /// Everything.
    #[staticmethod]
    fn all() -> Self {
        Self(core_scan::Mode::All)
    }

    /// These epochs, in the RFC 8785 form of their lines.
    #[staticmethod]
    fn canonical(epochs: Vec<Epoch>) -> Self {
        Self(core_scan::Mode::Canonical(epochs.into_iter().collect()))
    }

    /// Each line of these epochs; of the second ones in its RFC 8785 form.
    #[staticmethod]
    fn detail(epochs: Vec<Epoch>, rewritten: Vec<Epoch>) -> Self {
        Self(core_scan::Mode::Detail(epochs.into_iter().collect(), rewritten.into_iter().collect()))
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

impl From<tallystick_core::epoch::Place> for Place {
    fn from(place: tallystick_core::epoch::Place) -> Self {
        Self { file: place.file, chunk: place.chunk, line: place.line, offset: place.offset }
    }
}

/// Lines that are not as they should be and stood together.
#[pyclass(frozen, get_all, module = "tallystick._core")]
pub struct Event {
    kind: &'static str,
    why: String,
    log: Option<u32>,
    place: Place,
    count: u64,
    first: Option<At>,
    last: Option<At>,
    before: Option<(u32, At)>,
    after: Option<(u32, At)>,
    /// Beginnings of its first lines.
    texts: Vec<Vec<u8>>,
    /// Bytes of the first line; 0 if it was not at hand.
    length: u64,
    /// The first line holds U+FFFD.
    replaced: bool,
    /// SHA-256 of the first line, if it has no seal of a known log.
    sha256: Option<Vec<u8>>,
}

fn kind_name(kind: &Kind) -> (&'static str, String) {
    let word = |why: &Why| {
        match why {
            Why::Tag => "tag",
            Why::Prefix => "prefix",
            Why::Length(excess) => return format!("length {excess}"),
            Why::Misfit => "misfit",
            Why::Anew => "anew",
            Why::Reach => "reach",
            Why::Effort => "effort",
            Why::Stranger => "stranger",
            Why::Path => "path",
            Why::Cert => "cert",
            Why::Signature => "signature",
            Why::NoOpen => "no open",
        }
        .to_string()
    };
    match kind {
        Kind::Unsealed => ("unsealed", String::new()),
        Kind::Foreign(id) => ("foreign", id.to_string()),
        Kind::Altered(why) => ("altered", word(why)),
        Kind::BadStatement(why) => ("bad statement", word(why)),
        Kind::OlderOpenLacking => ("older open lacking", String::new()),
        Kind::Redacted => ("redacted", String::new()),
        Kind::RedactedFalse => ("redacted false", String::new()),
        Kind::Reordered => ("reordered", String::new()),
    }
}

fn neighbour(n: Neighbour) -> Option<(u32, At)> {
    n.map(|(log, p)| (log, at(p)))
}

/// A statement that holds.
#[pyclass(frozen, get_all, module = "tallystick._core")]
pub struct Statement {
    at: At,
    hash: Py<PyBytes>,
    time: u64,
    place: Place,
    /// An open's prev: position, hash, and whether its proof is right (`None`: cannot be told).
    prev: Option<(At, Py<PyBytes>, Option<bool>)>,
    /// `continues`, `closed`, `ended`; `None` for an open.
    ending: Option<&'static str>,
}

#[pymethods]
impl Statement {
    /// The statement as a pin of a log.
    fn pin(&self, py: Python<'_>, log_id: &str) -> PyResult<String> {
        let bad = || tallystick_core::Error::Format(format!("{log_id:?} is no log id"));
        let log = LogId::parse(log_id.as_bytes()).ok_or_else(bad).or_raise(py)?;
        let hash: [u8; 32] = self.hash.bind(py).extract()?;
        Ok(Pin { log, at: position(self.at), hash }.to_text())
    }
}

fn statement(py: Python<'_>, record: &Record) -> Statement {
    let (prev, ending) = match record.body {
        Body::Open { prev } => {
            (Some((at(prev.mark.at), py_bytes(py, &prev.mark.hash).unbind(), record.proof)), None)
        }
        Body::Checkpoint { kind, .. } => (None, Some(kind.word())),
    };
    Statement {
        at: at(record.at),
        hash: py_bytes(py, &record.hash).unbind(),
        time: record.time,
        place: record.place.into(),
        prev,
        ending,
    }
}

/// First and last position, how many lines, place of the first.
type Stretch = (At, At, u64, Place);

/// What is known of one chain.
#[pyclass(frozen, get_all, module = "tallystick._core")]
pub struct ChainFacts {
    first: At,
    first_place: Place,
    last: At,
    last_place: Place,
    lines: u64,
    checkpoints: u64,
    open: Option<Py<Statement>>,
    ending: Option<Py<Statement>>,
    times: Option<(u64, u64)>,
    /// Epochs whose R does not match: epoch, n, place of the checkpoint.
    altered: Vec<(u8, u16, Place)>,
    /// Epochs that no R covers: first and last line, how many, place of the first.
    uncovered: Vec<Stretch>,
    /// Contradictions: kind, and the same of their lines.
    clashes: Vec<(&'static str, Stretch)>,
    /// Epochs: number, lines, and of the checkpoint n and its claimed time.
    epochs: Vec<facts::EpochFacts>,
}

/// Lines of a log, counted.
#[pyclass(frozen, get_all, module = "tallystick._core")]
pub struct Counts {
    sealed: u64,
    prefixed: u64,
    first_prefixed: Option<Place>,
    reserialized: u64,
    first_reserialized: Option<Place>,
    redacted: u64,
    narrowed: u64,
}

/// Absent positions of one chain; `to` is `None` if nobody knows how many lines the epoch had.
#[pyclass(frozen, get_all, module = "tallystick._core")]
pub struct Gap {
    start: At,
    to: Option<At>,
    before: Option<Place>,
    after: Option<Place>,
}

/// A position that was seen more than once.
#[pyclass(frozen, get_all, module = "tallystick._core")]
pub struct Double {
    log: u32,
    start: At,
    to: At,
    count: u64,
    one_file: bool,
    fork: bool,
    proven: bool,
    place: Place,
}

/// One chunk of a file.
#[pyclass(frozen, get_all, module = "tallystick._core")]
#[allow(clippy::struct_field_names)] // the number of the chunk is its `chunk` everywhere
pub struct Chunk {
    file: u32,
    chunk: u32,
    lines: u64,
    counted: u64,
    size: u64,
    /// Log number, first position and its place, last position; by log.
    edges: Vec<(u32, At, Place, At)>,
    first: Option<(u32, At)>,
    last: Option<(u32, At)>,
}

/// What a scan of some bytes found, or of many.
#[pyclass(module = "tallystick._core")]
pub struct Summary(summary::Summary);

#[pymethods]
impl Summary {
    /// An empty one, or one that was pickled.
    #[new]
    #[pyo3(signature = (pickled = None))]
    fn new(py: Python<'_>, pickled: Option<&[u8]>) -> PyResult<Self> {
        let Some(bytes) = pickled else { return Ok(Self(summary::Summary::default())) };
        let bad = |_| tallystick_core::Error::Format("this is no summary of this version".into());
        postcard::from_bytes(bytes).map(Self).map_err(bad).or_raise(py)
    }

    fn __getnewargs__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyBytes>,)> {
        let bad = |error: postcard::Error| tallystick_core::Error::Format(error.to_string());
        let bytes = py.detach(|| postcard::to_allocvec(&self.0)).map_err(bad).or_raise(py)?;
        Ok((py_bytes(py, &bytes),))
    }

    /// Takes in another summary, which is empty afterwards.
    fn merge(&mut self, py: Python<'_>, other: &mut Summary) {
        let other = std::mem::take(&mut other.0);
        py.detach(|| self.0.merge(other));
    }

    /// Judges what had to wait for the whole input.
    fn settle(&mut self, py: Python<'_>, keys: &Keys) {
        let keys = keys.inner.clone();
        py.detach(|| self.0.settle(&keys));
    }

    /// Epochs to scan once more in the RFC 8785 form of their lines.
    fn rewritten(&self, keys: &Keys) -> Vec<Epoch> {
        self.0.rewritten(&keys.inner).into_iter().collect()
    }

    /// Takes over those epochs of a second scan that say more in it; gives them.
    fn adopt(&mut self, other: &mut Summary) -> Vec<Epoch> {
        self.0.adopt(std::mem::take(&mut other.0)).into_iter().collect()
    }

    /// Epochs that must be looked at line by line, with their number of lines.
    fn doubtful(&self) -> Vec<(Epoch, u64)> {
        self.0.doubtful()
    }

    /// Judges the epochs that were looked at line by line, and forgets their lines.
    fn resolve(&mut self, py: Python<'_>, keys: &Keys) {
        let keys = keys.inner.clone();
        py.detach(|| self.0.resolve(&keys));
    }

    /// Positions that were seen more than once.
    fn doubles(&mut self, keys: &Keys) -> Vec<Double> {
        let double = |d: doubles::Double| Double {
            log: d.log,
            start: at(d.from),
            to: at(d.to),
            count: d.count,
            one_file: d.one_file,
            fork: d.fork,
            proven: d.proven,
            place: d.place.into(),
        };
        self.0.doubles(&keys.inner).into_iter().map(double).collect()
    }

    /// Ends the work on events: sorts and joins them, and counts those that are too many.
    fn finish(&mut self, py: Python<'_>) {
        py.detach(|| self.0.finish());
    }

    /// Bad lines, in groups.
    fn events(&self) -> Vec<Event> {
        let event = |e: &summary::Event| {
            let (kind, why) = kind_name(&e.kind);
            Event {
                kind,
                why,
                log: e.log,
                place: e.place.into(),
                count: e.count,
                first: e.first.map(at),
                last: e.last.map(at),
                before: neighbour(e.before),
                after: neighbour(e.after),
                texts: e.texts.iter().map(|text| text.to_vec()).collect(),
                length: e.length,
                replaced: e.replaced,
                sha256: e.sha256.map(|hash| hash.to_vec()),
            }
        };
        self.0.events.iter().map(event).collect()
    }

    /// Bad lines beyond those told one by one: kind, log, lines.
    fn untold(&self) -> Vec<(&'static str, Option<u32>, u64)> {
        let untold = |((kind, log), count): (&(Kind, Option<u32>), &u64)| (kind_name(kind).0, *log, *count);
        self.0.untold.iter().map(untold).collect()
    }

    /// Lines without a seal of a known log.
    #[getter]
    fn unsealed(&self) -> u64 {
        self.0.unsealed
    }

    /// How often each excepted line was seen, by the number of its hash.
    #[getter]
    fn excepted(&self) -> std::collections::BTreeMap<u32, u64> {
        self.0.excepted.clone()
    }

    /// Chunks, by file and number.
    fn chunks(&self) -> Vec<Chunk> {
        let chunk = |(id, c): (&(u32, u32), &summary::Chunk)| Chunk {
            file: id.0,
            chunk: id.1,
            lines: c.lines,
            counted: c.counted,
            size: c.bytes,
            edges: c.edges.iter().map(|(n, e)| (*n, at(e.first), e.first_place.into(), at(e.last))).collect(),
            first: neighbour(c.first),
            last: neighbour(c.last),
        };
        self.0.chunks.iter().map(chunk).collect()
    }

    /// Lines of a log, counted.
    fn counts(&self, log: u32) -> Counts {
        let log = self.0.logs.get(&log);
        let counts = log.map(|l| l.counts).unwrap_or_default();
        let (reserialized, first_reserialized) = log.map(summary::Log::reserialized).unwrap_or_default();
        Counts {
            sealed: counts.sealed,
            prefixed: counts.prefixed,
            first_prefixed: counts.first_prefixed.map(Place::from),
            reserialized,
            first_reserialized: first_reserialized.map(Place::from),
            redacted: counts.redacted,
            narrowed: counts.narrowed,
        }
    }

    /// Chains of a log of which a line was seen, with what is known of them.
    fn chains(&self, py: Python<'_>, log: u32, with_v: bool) -> PyResult<Vec<(u32, ChainFacts)>> {
        let mut chains = Vec::new();
        let Some(log) = self.0.logs.get(&log) else { return Ok(chains) };
        for (number, chain) in &log.chains {
            if let Some(facts) = chain.facts(*number, with_v) {
                chains.push((*number, chain_facts(py, &facts)?));
            }
        }
        Ok(chains)
    }

    /// Takes back what a bad line claims.
    fn unclaim(&mut self, log: u32, at: At) {
        self.0.log(log).epoch(at.0, at.1).unclaim(at.2);
    }

    /// Absent positions of a chain from `start` to its last line, or to `end` (not included) if that is later.
    fn gaps(&self, log: u32, start: At, end: Option<At>) -> Vec<Gap> {
        let chain = self.0.logs.get(&log).and_then(|l| l.chains.get(&start.0));
        let gap = |g: facts::Gap| Gap {
            start: at(g.from),
            to: g.to.map(at),
            before: g.before.map(Place::from),
            after: g.after.map(Place::from),
        };
        let gaps = chain.map(|c| c.gaps(start.0, position(start), end.map(position))).unwrap_or_default();
        gaps.into_iter().map(gap).collect()
    }

    /// The newest statement before a position of its chain.
    fn statement_before(&self, py: Python<'_>, log: u32, at: At) -> Option<Statement> {
        let chain = self.0.logs.get(&log)?.chains.get(&at.0)?;
        chain.statement_before(position(at)).map(|r| statement(py, r))
    }

    /// The statement at a position.
    fn statement_at(&self, py: Python<'_>, log: u32, at: At) -> Option<Statement> {
        let chain = self.0.logs.get(&log)?.chains.get(&at.0)?;
        chain.statement_at(position(at)).map(|r| statement(py, r))
    }
}

fn chain_facts(py: Python<'_>, facts: &facts::ChainFacts) -> PyResult<ChainFacts> {
    let some = |record: Option<&Record>| record.map(|r| Py::new(py, statement(py, r))).transpose();
    let clash = |clash: &facts::Clash| match clash {
        facts::Clash::Prev => "prev",
        facts::Clash::AfterClosed => "after closed",
        facts::Clash::AfterCheckpoint => "after checkpoint",
        facts::Clash::Cert => "cert",
        facts::Clash::Fork => "fork",
    };
    let stretch = |s: &facts::Stretch| (at(s.first), at(s.last), s.count, s.place.into());
    let ending =
        facts.ending.as_ref().filter(|(kind, _)| *kind != Ending::Continues).map(|(_, record)| record);
    Ok(ChainFacts {
        first: at(facts.first.0),
        first_place: facts.first.1.into(),
        last: at(facts.last.0),
        last_place: facts.last.1.into(),
        lines: facts.lines,
        checkpoints: facts.checkpoints,
        open: some(facts.open.as_ref())?,
        ending: some(ending)?,
        times: facts.times,
        altered: facts.altered.iter().map(|(r, n)| (r.at.epoch, *n, r.place.into())).collect(),
        uncovered: facts.uncovered.iter().map(stretch).collect(),
        clashes: facts.clashes.iter().map(|(c, lines)| (clash(c), stretch(lines))).collect(),
        epochs: facts.epochs.clone(),
    })
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
    let data = &data[..end.min(data.len())];
    let bytes = data.len() as u64;
    let origins = lines.map(|l| core_scan::Origins { of: &l.0.origins, lines: l.0.lines, bytes });
    let data = lines.map_or(data, |l| &l.0.data);
    let envelope = envelope.map(|envelope| &envelope.0);
    let input = core_scan::Input { data, file, chunk, offset, cut, origins, envelope };
    Ok(Summary(py.detach(|| core_scan::scan(&keys, &input, &mode.0))))
}
