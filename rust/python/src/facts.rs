//! What a verification found: facts that nothing changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use tallystick_core::Error;
use tallystick_core::judge::{self, EpochFacts};
use tallystick_core::line::LogId;
use tallystick_core::scan::summary::{self, Record};
use tallystick_core::seal::head::Pin;
use tallystick_core::seal::statement::Body;

use crate::chunk::{Chunk, chunks};
use crate::event::Event;
use crate::holding::Holding;
use crate::keys::At;
use crate::kinds::{CLASH_KIND, ENDING, EVENT_KIND, STANDING};
use crate::scan::{Keys, Place, at, position};
use crate::{OrRaise as _, py_bytes};

/// A statement that holds.
#[pyclass(frozen, get_all, module = "tallystick._core")]
pub struct Statement {
    at: At,
    hash: Py<PyBytes>,
    time: u64,
    place: Place,
    /// An open's prev: position, hash, and whether its proof is right (`None`: nobody knows).
    prev: Option<(At, Py<PyBytes>, Option<bool>)>,
    /// `continues`, `closed`, `ended`; `None` for an open.
    ending: Option<Py<PyAny>>,
}

#[pymethods]
impl Statement {
    /// The statement as a pin of a log.
    fn pin(&self, py: Python<'_>, log_id: &str) -> PyResult<String> {
        let bad = || Error::Format(format!("{log_id:?} is no log id"));
        let log = LogId::parse(log_id.as_bytes()).ok_or_else(bad).or_raise(py)?;
        let hash: [u8; 32] = self.hash.bind(py).extract()?;
        Ok(Pin { log, at: position(self.at), hash }.to_text())
    }
}

fn statement(py: Python<'_>, record: &Record) -> PyResult<Statement> {
    let (prev, ending) = match record.body {
        Body::Open { prev } => {
            (Some((at(prev.mark.at), py_bytes(py, &prev.mark.hash).unbind(), record.proof)), None)
        }
        Body::Checkpoint { kind, .. } => (None, Some(ENDING.member(py, kind.word())?)),
        Body::Notice { .. } | Body::Head { .. } => (None, None),
    };
    Ok(Statement {
        at: at(record.at),
        hash: py_bytes(py, &record.hash).unbind(),
        time: record.time,
        place: record.place.into(),
        prev,
        ending,
    })
}

/// First and last position, how many lines, place of the first.
type Stretch = (At, At, u64, Place);

/// What is known of one chain.
#[pyclass(frozen, module = "tallystick._core")]
pub struct ChainFacts {
    #[pyo3(get)]
    first: At,
    #[pyo3(get)]
    first_place: Place,
    #[pyo3(get)]
    last: At,
    #[pyo3(get)]
    last_place: Place,
    #[pyo3(get)]
    lines: u64,
    #[pyo3(get)]
    checkpoints: u64,
    #[pyo3(get)]
    open: Option<Py<Statement>>,
    #[pyo3(get)]
    ending: Option<Py<Statement>>,
    #[pyo3(get)]
    times: Option<(u64, u64)>,
    /// The latest time that a checkpoint claims.
    #[pyo3(get)]
    checkpointed: Option<u64>,
    /// Epochs whose R does not match: epoch, n, place of the checkpoint.
    #[pyo3(get)]
    altered: Vec<(u8, u16, Place)>,
    /// Epochs that no R covers: first and last line, how many, place of the first.
    #[pyo3(get)]
    uncovered: Vec<Stretch>,
    /// Contradictions: kind, and the same of their lines.
    #[pyo3(get)]
    clashes: Py<PyList>,
    facts: Arc<judge::ChainFacts>,
}

#[pymethods]
impl ChainFacts {
    /// Epochs: number, lines, and of the checkpoint n and its claimed time.
    #[getter]
    fn epochs(&self) -> Vec<EpochFacts> {
        self.facts.epochs.clone()
    }
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
    notices: u64,
}

/// What the log itself says, in a notice that holds.
#[pyclass(frozen, get_all, module = "tallystick._core")]
pub struct Notice {
    at: At,
    kind: String,
    text: Py<PyBytes>,
    /// SHA-256, bytes and lines of what it adopts, if it does that.
    past: Option<(Py<PyBytes>, u64, u64)>,
    place: Place,
    count: u64,
}

/// Absent positions of one chain; `to` is `None` if nobody knows how many lines the epoch had.
#[pyclass(frozen, get_all, module = "tallystick._core")]
pub struct Gap {
    start: At,
    to: Option<At>,
    before: Option<Place>,
    after: Option<Place>,
}

/// From where on a log is judged as a set, and what its openings say of chains before them.
#[pyclass(frozen, get_all, module = "tallystick._core")]
pub struct Extent {
    /// Nothing is said of positions that are absent before this one.
    floor: At,
    /// Is something absent before the first line, and nobody named the start?
    begins_late: bool,
    /// Up to where the chains that openings name were counted, in order.
    named: Vec<At>,
    /// Chains that openings pass over: first and last ones, in order.
    passed: Vec<(u32, u32)>,
}

/// A position that was seen more than once.
#[pyclass(frozen, get_all, module = "tallystick._core")]
pub struct Duplicate {
    log: u32,
    start: At,
    to: At,
    count: u64,
    one_file: bool,
    fork: bool,
    proven: bool,
    place: Place,
}

/// Kind, log, lines.
type Unlisted = (Py<PyAny>, Option<u32>, u64);

/// What a verification found.
#[pyclass(frozen, module = "tallystick._core")]
pub struct Facts(pub judge::Facts);

#[pymethods]
impl Facts {
    /// Bad lines, in groups.
    fn events(&self) -> Vec<Event> {
        self.0.events().iter().cloned().map(Event).collect()
    }

    /// Which of the events are torn lines, by number.
    fn torn(&self) -> BTreeSet<usize> {
        self.0.torn().clone()
    }

    /// Bad lines beyond those listed: kind, log, lines.
    fn unlisted(&self, py: Python<'_>) -> PyResult<Vec<Unlisted>> {
        let unlisted = self.0.unlisted().iter();
        unlisted.map(|((kind, log), count)| Ok((EVENT_KIND.member(py, kind.word())?, *log, *count))).collect()
    }

    /// Positions that were seen more than once.
    fn duplicates(&self) -> Vec<Duplicate> {
        let duplicate = |d: &judge::Duplicate| Duplicate {
            log: d.log,
            start: at(d.from),
            to: at(d.to),
            count: d.count,
            one_file: d.one_file,
            fork: d.fork,
            proven: d.proven,
            place: d.place.into(),
        };
        self.0.duplicates().iter().map(duplicate).collect()
    }

    /// Lines without a seal of a known log.
    #[getter]
    fn unsealed(&self) -> u64 {
        self.0.unsealed()
    }

    /// How often each excepted line was seen, by the number of its hash.
    #[getter]
    fn excepted(&self) -> BTreeMap<u32, u64> {
        self.0.excepted().clone()
    }

    /// Chunks, by file and number.
    fn chunks(&self) -> Vec<Chunk> {
        chunks(&self.0)
    }

    /// How the lines stand to each signed text that the verification was given, in the order of those.
    fn shown(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        self.0.shown().iter().map(|one| STANDING.member(py, one.word())).collect()
    }

    /// Which lines hold; the keys are those of the verification.
    fn holding(&self, py: Python<'_>, keys: &Keys) -> Holding {
        Holding(py.detach(|| self.0.holding(&keys.inner)).into())
    }

    /// Chunks in which lines of a log are: file, chunk, and the lowest position there.
    fn lowest(&self, log: u32) -> Vec<(u32, u32, At)> {
        let chunks = self.0.chunks().iter();
        chunks.filter_map(|(id, chunk)| Some((id.0, id.1, at(chunk.edges.get(&log)?.low)))).collect()
    }

    /// Lines of a log, counted.
    fn counts(&self, log: u32) -> Counts {
        let (counts, (reserialized, first)) = (self.0.counts(log), self.0.reserialized(log));
        Counts {
            sealed: counts.sealed,
            prefixed: counts.prefixed,
            first_prefixed: counts.first_prefixed.map(Place::from),
            reserialized,
            first_reserialized: first.map(Place::from),
            redacted: counts.redacted,
            narrowed: counts.narrowed,
            notices: counts.notices,
        }
    }

    /// Notices of a log that hold, by position: the first thousand.
    fn notices(&self, py: Python<'_>, log: u32) -> Vec<Notice> {
        let notice = |(position, said): (_, &summary::Said)| Notice {
            at: at(position),
            kind: said.notice.kind.clone(),
            text: py_bytes(py, &said.notice.text).unbind(),
            past: said.notice.past().map(|p| (py_bytes(py, &p.sha256).unbind(), p.size, p.lines)),
            place: said.place.into(),
            count: said.count,
        };
        self.0.notices(log).map(notice).collect()
    }

    /// Log ids before a log and after it, as it and they name each other, and where it says which one follows.
    fn kin(&self, log: u32) -> (Vec<String>, Vec<String>, Option<At>) {
        let named = self.0.kin(log);
        let ids = |row: &[LogId]| row.iter().map(ToString::to_string).collect();
        (ids(&named.before), ids(&named.after), named.since.map(at))
    }

    /// Does the opening of a chain say that no head counted a line before it?
    fn is_first(&self, log: u32, chain: u32) -> bool {
        self.0.is_first(log, chain)
    }

    /// Chains of a log of which a line was seen, with what is known of them.
    fn chains(&self, py: Python<'_>, log: u32, with_v: bool) -> PyResult<Vec<(u32, ChainFacts)>> {
        self.0.chains(log, with_v).map(|(number, facts)| Ok((number, chain_facts(py, facts)?))).collect()
    }

    /// Absent positions of a chain from `start` to its last line, or to `end` (not included) if that is later.
    fn gaps(&self, log: u32, start: At, end: Option<At>) -> Vec<Gap> {
        let gap = |g: judge::Gap| Gap {
            start: at(g.from),
            to: g.to.map(at),
            before: g.before.map(Place::from),
            after: g.after.map(Place::from),
        };
        self.0.gaps(log, position(start), end.map(position)).into_iter().map(gap).collect()
    }

    /// From where on a log is judged as a set, by what was expected of it.
    fn extent(&self, log: u32) -> PyResult<Extent> {
        let found =
            self.0.extent(log).ok_or_else(|| PyIndexError::new_err(format!("there is no log {log}")))?;
        Ok(Extent {
            floor: at(found.floor),
            begins_late: found.begins_late,
            named: found.named.iter().copied().map(at).collect(),
            passed: found.passed.clone(),
        })
    }

    /// Was everything before a position written, as far as the last line of its chain tells?
    fn reaches(&self, log: u32, end: At) -> bool {
        self.0.reaches(log, position(end))
    }

    /// The newest statement before a position of its chain.
    fn statement_before(&self, py: Python<'_>, log: u32, at: At) -> PyResult<Option<Statement>> {
        self.0.statement_before(log, position(at)).map(|r| statement(py, r)).transpose()
    }

    /// The statement at a position.
    fn statement_at(&self, py: Python<'_>, log: u32, at: At) -> PyResult<Option<Statement>> {
        self.0.statement_at(log, position(at)).map(|r| statement(py, r)).transpose()
    }
}

fn chain_facts(py: Python<'_>, facts: Arc<judge::ChainFacts>) -> PyResult<ChainFacts> {
    let some = |record: Option<&Record>| record.map(|r| Py::new(py, statement(py, r)?)).transpose();
    let stretch = |s: &judge::Stretch| (at(s.first), at(s.last), s.count, s.place.into());
    let clash = |(clash, lines): &(judge::Clash, judge::Stretch)| {
        Ok((CLASH_KIND.member(py, clash.word())?, stretch(lines)))
    };
    let clashes = facts.clashes.iter().map(clash).collect::<PyResult<Vec<(Py<PyAny>, Stretch)>>>()?;
    Ok(ChainFacts {
        first: at(facts.first.0),
        first_place: facts.first.1.into(),
        last: at(facts.last.0),
        last_place: facts.last.1.into(),
        lines: facts.lines,
        checkpoints: facts.checkpoints,
        open: some(facts.open.as_ref())?,
        ending: some(facts.ending.as_ref().map(|(_, record)| record))?,
        times: facts.times,
        checkpointed: facts.checkpointed,
        altered: facts.altered.iter().map(|(r, n)| (r.at.epoch, *n, r.place.into())).collect(),
        uncovered: facts.uncovered.iter().map(stretch).collect(),
        clashes: PyList::new(py, clashes)?.unbind(),
        facts,
    })
}
