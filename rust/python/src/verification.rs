//! A verification, whose order is checked here as the core's types do it: a wrong call raises.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::replace;
use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use tallystick_core::Error;
use tallystick_core::judge::{self, Complete, Pass, Step};

use crate::OrRaise as _;
use crate::chunk::{Chunk, chunks};
use crate::facts::Facts;
use crate::keys::At;
use crate::scan::{Keys, Mode, Place, Summary, at, position};

/// Where a verification stands.
enum Stage {
    Between(Box<judge::Verification>),
    Running(Box<Pass>),
    Complete(Box<Complete>),
    Over,
}

impl Stage {
    fn name(&self) -> &'static str {
        match self {
            Self::Between(_) => "no pass was begun",
            Self::Running(_) => "a pass is running",
            Self::Complete(_) => "all passes are over",
            Self::Over => "it is finished",
        }
    }
}

/// A verification: passes over the input, until none is left; then facts.
#[pyclass(module = "tallystick._core")]
pub struct Verification {
    stage: Stage,
    process: u32,
}

/// What was found in a part of the input, judged once for many verifications with the same keys.
#[pyclass(frozen, module = "tallystick._core")]
pub struct Settled(Arc<judge::Settled>);

#[pymethods]
impl Settled {
    /// Takes what scans found; the summary is empty afterwards.
    #[new]
    fn new(py: Python<'_>, keys: &Keys, found: &mut Summary) -> PyResult<Self> {
        keys.own().or_raise(py)?;
        let found = std::mem::take(&mut found.0);
        Ok(Self(py.detach(|| Arc::new(judge::Settled::new(&keys.inner, found)))))
    }
}

/// What the caller knows of the ends of files and logs.
#[pyclass(frozen, module = "tallystick._core")]
pub struct Expected(judge::Expected);

#[pymethods]
impl Expected {
    /// Files whose last line ends in LF; with the numbers of their logs, up to where heads count that hold, pins, and up
    /// to where receipts say that lines were written; first and last chain.
    #[new]
    #[pyo3(signature = (
        *, whole, counted = BTreeMap::new(), pins = Vec::new(), shown = Vec::new(), start = None, last = None
    ))]
    fn new(
        whole: Vec<u32>,
        counted: BTreeMap<u32, At>,
        pins: Vec<(u32, At)>,
        shown: Vec<(u32, At)>,
        start: Option<u32>,
        last: Option<u32>,
    ) -> Self {
        let counted = counted.into_iter().map(|(log, at)| (log, position(at))).collect();
        let positions = |all: Vec<(u32, At)>| all.into_iter().map(|(log, at)| (log, position(at))).collect();
        let expected = judge::Expected::new(whole.into_iter().collect()).between(start, last);
        Self(expected.with_anchors(counted, positions(pins)).with_shown(positions(shown)))
    }
}

/// A bad line without LF at the end of a file.
#[pyclass(frozen, get_all, module = "tallystick._core")]
pub struct BrokenEnd {
    /// Number of its event.
    event: usize,
    place: Place,
    /// Which line would stand there, by log; none where no line of a known log is before it in its file.
    sought: Vec<(u32, At)>,
}

#[pymethods]
impl Verification {
    /// A verification of the logs of some keys, which cannot be changed until it is finished; `shown` are signed texts
    /// that the lines are held against, with the numbers of their logs.
    #[new]
    #[pyo3(signature = (keys, shown = None))]
    fn new(py: Python<'_>, keys: &Keys, shown: Option<Vec<(u32, Vec<u8>)>>) -> PyResult<Self> {
        keys.own().or_raise(py)?;
        let verification = judge::Verification::new(keys.inner.clone());
        let stage = Stage::Between(Box::new(verification.with_shown(shown.unwrap_or_default())));
        Ok(Self { stage, process: std::process::id() })
    }

    /// Ends the running pass, and begins the next one: gives what its scans look for, or `None` if none is left.
    fn next_pass(&mut self, py: Python<'_>) -> PyResult<Option<Mode>> {
        let between = match replace(&mut self.stage, Stage::Over) {
            Stage::Between(verification) => verification,
            Stage::Running(pass) => Box::new(py.detach(|| pass.finish())),
            other => return Err(self.wrong("begin a pass", other)),
        };
        match py.detach(|| between.next_pass()) {
            Step::Pass(pass) => {
                let mode = Mode { mode: pass.mode().clone(), files: pass.files().cloned() };
                self.stage = Stage::Running(pass);
                Ok(Some(mode))
            }
            Step::Complete(complete) => {
                self.stage = Stage::Complete(complete);
                Ok(None)
            }
        }
    }

    /// Takes in what scans of the running pass found; the summary is empty afterwards.
    fn merge(&mut self, py: Python<'_>, part: &mut Summary) -> PyResult<()> {
        let Stage::Running(pass) = &mut self.stage else {
            let other = replace(&mut self.stage, Stage::Over);
            return Err(self.wrong("merge a summary", other));
        };
        let part = std::mem::take(&mut part.0);
        py.detach(|| pass.merge(part));
        Ok(())
    }

    /// Takes in what was found and judged before in a part of the input, which no scan of this pass was of.
    fn take_settled(&mut self, py: Python<'_>, settled: &Settled) -> PyResult<()> {
        let Stage::Running(pass) = &mut self.stage else {
            let other = replace(&mut self.stage, Stage::Over);
            return Err(self.wrong("take what is settled", other));
        };
        py.detach(|| pass.take_settled(&settled.0));
        Ok(())
    }

    /// Chunks of the input, by file and number.
    fn chunks(&self) -> PyResult<Vec<Chunk>> {
        Ok(chunks(self.complete("list the chunks")?.facts()))
    }

    /// Broken ends of files that may be those of copies: the caller looks whether the line stands elsewhere.
    fn broken_ends(&self, py: Python<'_>, expected: &Expected) -> PyResult<Vec<BrokenEnd>> {
        let complete = self.complete("look for broken ends")?;
        let ends = py.detach(|| complete.broken_ends(&expected.0));
        let end = |end: judge::BrokenEnd| BrokenEnd {
            event: end.event,
            place: end.place.into(),
            sought: end.sought.into_iter().map(|(log, position)| (log, at(position))).collect(),
        };
        Ok(ends.into_iter().map(end).collect())
    }

    /// Gives the facts; `copies` are the events of those broken ends whose line stands whole in another file.
    #[allow(clippy::needless_pass_by_value)] // as Python hands it over
    fn finish(&mut self, py: Python<'_>, expected: &Expected, copies: BTreeSet<usize>) -> PyResult<Facts> {
        // In a forked child secrets are zeros: no beginning of an opening would hold there.
        if self.process != std::process::id() {
            let text = "a verification does not outlast a fork; finish it in the process that began it";
            return Err(Error::Format(text.into())).or_raise(py);
        }
        match replace(&mut self.stage, Stage::Over) {
            Stage::Complete(complete) => Ok(Facts(py.detach(|| complete.finish(&expected.0, &copies)))),
            other => Err(self.wrong("finish", other)),
        }
    }
}

impl Verification {
    fn complete(&self, what: &str) -> PyResult<&Complete> {
        match &self.stage {
            Stage::Complete(complete) => Ok(complete),
            other => Err(wrong(what, other)),
        }
    }

    /// Stays where it was, and says what is wrong.
    fn wrong(&mut self, what: &str, stage: Stage) -> PyErr {
        let error = wrong(what, &stage);
        self.stage = stage;
        error
    }
}

fn wrong(what: &str, stage: &Stage) -> PyErr {
    PyRuntimeError::new_err(format!("this verification cannot {what}: {}", stage.name()))
}
