//! Kinds that the core decides on, as enumerations of strings in Python.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use tallystick_core::judge::{Clash, Standing};
use tallystick_core::scan::summary::{Kind, Why};
use tallystick_core::seal::statement::Kind as Ending;
use tallystick_core::witness::accept::Decision;
use tallystick_core::witness::content::Verb;

/// An `enum.StrEnum`, whose members are named for their words.
pub struct Kinds {
    name: &'static str,
    words: fn() -> Vec<&'static str>,
    class: PyOnceLock<Py<PyAny>>,
}

/// What is wrong with a line.
pub static EVENT_KIND: Kinds = Kinds::new("EventKind", || Kind::ALL.map(Kind::word).to_vec());

/// Why a line is altered, or a statement bad.
pub static REASON: Kinds = Kinds::new("Reason", || Why::ALL.map(Why::word).to_vec());

/// How statements of a chain contradict each other or the lines.
pub static CLASH_KIND: Kinds = Kinds::new("ClashKind", || Clash::ALL.map(Clash::word).to_vec());

/// What a checkpoint says of what comes after it.
pub static ENDING: Kinds = Kinds::new("Ending", || Ending::ALL.map(Ending::word).to_vec());

/// What a text that a witness takes is.
pub static VERB: Kinds = Kinds::new("Verb", || Verb::ALL.map(Verb::word).to_vec());

/// How the lines stand to a signed text.
pub static STANDING: Kinds = Kinds::new("Standing", || Standing::ALL.map(Standing::word).to_vec());

/// What becomes of a text that a witness is shown.
pub static DECISION: Kinds = Kinds::new("Decision", || Decision::WORDS.to_vec());

impl Kinds {
    const fn new(name: &'static str, words: fn() -> Vec<&'static str>) -> Self {
        Self { name, words, class: PyOnceLock::new() }
    }

    /// The enumeration, made when it is first asked for.
    fn class<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        let make = || {
            let member = |word: &&'static str| (word.to_uppercase().replace(' ', "_"), *word);
            let members: Vec<_> = (self.words)().iter().map(member).collect();
            let module = pyo3::types::PyDict::new(py);
            module.set_item("module", "tallystick._core")?;
            let class = py.import("enum")?.getattr("StrEnum")?.call((self.name, members), Some(&module))?;
            Ok::<_, PyErr>(class.unbind())
        };
        Ok(self.class.get_or_try_init(py, make)?.bind(py))
    }

    /// The member for a word.
    pub fn member(&self, py: Python<'_>, word: &str) -> PyResult<Py<PyAny>> {
        Ok(self.class(py)?.call1((word,))?.unbind())
    }
}

/// Adds the enumerations to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let all = [&EVENT_KIND, &REASON, &CLASH_KIND, &ENDING, &VERB, &STANDING, &DECISION];
    all.into_iter().try_for_each(|kinds| module.add(kinds.name, kinds.class(module.py())?))
}
