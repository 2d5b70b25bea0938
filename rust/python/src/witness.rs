//! What witnesses are shown, and what they say: signed texts, notes, receipts, answers, and what a witness accepts.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tallystick_core::Error;
use tallystick_core::judge::shown_until;
use tallystick_core::seal::keys::PublicKey;
use tallystick_core::seal::shown;
use tallystick_core::seal::statement::{Body, CertCache, Statement};
use tallystick_core::witness::accept::{self, Decision};
use tallystick_core::witness::content::Content;
use tallystick_core::witness::log::{Outcome, Step, WitnessedLog as CoreLog};
use tallystick_core::witness::note::Note;
use tallystick_core::witness::receipt::{self, Held};
use tallystick_core::witness::shown::{self as texts, Receipted};

use crate::keys::At;
use crate::kinds::{DECISION, ENDING, VERB};
use crate::note::{NoteKey, NoteSigner};
use crate::scan::{Keys, at};
use crate::{OrRaise as _, py_bytes};

/// A text that a witness takes, parsed and not verified: a signed head, an open or a checkpoint.
#[pyclass(frozen, get_all, module = "tallystick._core")]
pub struct ShownText {
    verb: Py<PyAny>,
    name: String,
    log_id: String,
    chain: u32,
    epoch: u8,
    n: u16,
    root: Py<PyBytes>,
    newest: Py<PyBytes>,
    /// SHA-256 of the text.
    hash: Py<PyBytes>,
    /// Claimed time, ms since 1970.
    time: u64,
    /// `continues`, `closed`, `ended`; `None` but for a checkpoint.
    ending: Option<Py<PyAny>>,
    /// Up to where it says that lines were written.
    until: At,
}

fn parsed(text: &[u8]) -> Result<(Statement<'_>, Content), Error> {
    let bad = || Error::Format("no signed head, open or checkpoint: it begins with tallystick/v1".into());
    let statement = Statement::parse_shown(text).ok_or_else(bad)?;
    let content = Content::of(&statement).ok_or_else(bad)?;
    Ok((statement, content))
}

/// Reads a text that a witness takes; raises `FormatError`.
#[pyfunction]
pub fn parse_shown(py: Python<'_>, text: &[u8]) -> PyResult<ShownText> {
    let (statement, content) = parsed(text).or_raise(py)?;
    let ending = match statement.body {
        Body::Checkpoint { kind, .. } => Some(ENDING.member(py, kind.word())?),
        _ => None,
    };
    Ok(ShownText {
        verb: VERB.member(py, content.verb.word())?,
        name: String::from_utf8_lossy(statement.name()).into_owned(),
        log_id: statement.log().to_string(),
        chain: content.chain,
        epoch: content.epoch,
        n: content.n,
        root: py_bytes(py, &content.root).unbind(),
        newest: py_bytes(py, &content.newest).unbind(),
        hash: py_bytes(py, &statement.hash()).unbind(),
        time: statement.time,
        ending,
        until: shown_until(text).map_or((0, 0, 0), at),
    })
}

/// Do name, log id, signatures, paths and cert of a text hold? `None` where an older generation's open is lacking.
#[pyfunction]
pub fn shown_holds(py: Python<'_>, keys: &Keys, log: usize, text: &[u8]) -> PyResult<Option<bool>> {
    let (statement, _) = parsed(text).or_raise(py)?;
    let Some(keys) = keys.inner.logs().get(log) else { return Ok(Some(false)) };
    if !statement.agrees(&keys.public, keys.log_id(), statement.position()) {
        return Ok(Some(false));
    }
    let root = keys.root(statement.generation());
    Ok(root.map(|root| py.detach(|| statement.check(&root, &mut CertCache::default()).is_ok())))
}

/// P of each log, by number.
#[pyfunction]
pub fn public_roots<'py>(py: Python<'py>, keys: &Keys) -> Vec<Bound<'py, PyBytes>> {
    keys.inner.logs().iter().map(|log| py_bytes(py, &log.public.root)).collect()
}

/// The receipt of a text of the log of P, as a signed note; raises `FormatError`.
#[pyfunction]
pub fn make_receipt(
    py: Python<'_>,
    signer: &NoteSigner,
    log: [u8; 32],
    text: &[u8],
    time: u64,
    gap: bool,
) -> PyResult<String> {
    let (statement, _) = parsed(text).or_raise(py)?;
    let none = || Error::Format("no text for a witness".into());
    let made = receipt::Receipt::of(log, &statement, time, gap).ok_or_else(none).or_raise(py)?;
    Ok(made.sign(&signer.0))
}

/// Time and gap of a receipt, if it is signed with this key and about this text of the log of P.
#[pyfunction]
pub fn check_receipt(note: &[u8], key: &NoteKey, log: [u8; 32], text: &[u8]) -> Option<(u64, bool)> {
    let note = Note::parse(note).filter(|note| note.is_signed_by(&key.0))?;
    let receipt = receipt::Receipt::parse(note.text)?;
    receipt.is_of(&log, &Statement::parse_shown(text)?).then_some((receipt.time, receipt.gap))
}

/// Receipts, each by itself.
type Receipts<'py> = Vec<Bound<'py, PyBytes>>;

/// Reads a file of receipts: signed texts, each with its receipts; raises `FormatError`.
#[pyfunction]
pub fn read_receipts<'py>(
    py: Python<'py>,
    data: &[u8],
) -> PyResult<Vec<(Bound<'py, PyBytes>, Receipts<'py>)>> {
    let found = texts::read_receipts(data).or_raise(py)?;
    let one = |one: Receipted<'_>| {
        let receipts = one.receipts.iter().map(|one| py_bytes(py, one.note)).collect();
        (py_bytes(py, one.text), receipts)
    };
    Ok(found.into_iter().map(one).collect())
}

/// The answer of a witness, as a signed note; texts with time and gap, the newest last. Raises `FormatError`.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)] // as Python hands it over
pub fn make_answer(
    py: Python<'_>,
    signer: &NoteSigner,
    nonce: [u8; 32],
    log: [u8; 32],
    now: u64,
    texts: Vec<(u64, bool, Vec<u8>)>,
) -> PyResult<String> {
    let texts = texts.iter().map(|(time, gap, text)| Held { time: *time, gap: *gap, text }).collect();
    receipt::Answer { nonce, log, now, texts }.sign(&signer.0).or_raise(py)
}

/// Time, gap and text.
type HeldText<'py> = (u64, bool, Bound<'py, PyBytes>);

/// Reads an answer: the witness's now, and its texts with time and gap; raises `FormatError` for one that does not hold.
#[pyfunction]
pub fn read_answer<'py>(
    py: Python<'py>,
    data: &[u8],
    key: &NoteKey,
    nonce: [u8; 32],
    log: [u8; 32],
) -> PyResult<(u64, Vec<HeldText<'py>>)> {
    let bad = |what: &str| Error::Format(format!("the answer of the witness {what}"));
    let note = Note::parse(data).ok_or_else(|| bad("is no signed note")).or_raise(py)?;
    if !note.is_signed_by(&key.0) {
        return Err(bad("is not signed with its key")).or_raise(py);
    }
    let answer = receipt::Answer::parse(note.text).ok_or_else(|| bad("is malformed")).or_raise(py)?;
    if answer.nonce != nonce {
        return Err(bad("is to another question: somebody replays an old one")).or_raise(py);
    }
    if answer.log != log {
        return Err(bad("is about another log")).or_raise(py);
    }
    let held = |held: &Held<'_>| (held.time, held.gap, py_bytes(py, held.text));
    Ok((answer.now, answer.texts.iter().map(held).collect()))
}

/// What becomes of a text whose signatures hold, and the number of the known text that it contradicts.
///
/// `known` are the accepted texts that no later one contains, the newest last. Raises `FormatError`.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)] // as Python hands it over
pub fn accept_text(
    py: Python<'_>,
    known: Vec<Vec<u8>>,
    text: &[u8],
    proof: Vec<[u8; 32]>,
) -> PyResult<(Py<PyAny>, Option<usize>)> {
    let known = known.iter().map(|text| parsed(text).map(|(one, _)| one)).collect::<Result<Vec<_>, _>>();
    let (known, text) = (known.or_raise(py)?, parsed(text).or_raise(py)?.0);
    let decision = accept::accept(&known, &text, &proof);
    let number = if let Decision::Fork(number) = decision { Some(number) } else { None };
    Ok((DECISION.member(py, decision.word())?, number))
}

/// A text, its consistency proof and its receipts.
type Brought<'py> = (Bound<'py, PyBytes>, Vec<Bound<'py, PyBytes>>, Receipts<'py>);

/// Reads what a writer shows a witness: signed texts, each with its proof and its receipts; raises `FormatError`.
#[pyfunction]
pub fn read_shown<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Vec<Brought<'py>>> {
    let one = |one: texts::Brought<'_>| {
        let proof = one.proof.iter().map(|hash| py_bytes(py, hash)).collect();
        let receipts = one.receipted.receipts.iter().map(|one| py_bytes(py, one.note)).collect();
        (py_bytes(py, one.receipted.text), proof, receipts)
    };
    Ok(texts::read_shown(data).or_raise(py)?.into_iter().map(one).collect())
}

/// A log as its witness sees it: who signs for it, and what becomes of texts that are shown for it.
#[pyclass(frozen, module = "tallystick._core")]
pub struct WitnessedLog {
    log: Mutex<CoreLog>,
    public: PublicKey,
}

impl WitnessedLog {
    fn of(log: CoreLog) -> Self {
        Self { public: log.public().clone(), log: Mutex::new(log) }
    }

    fn log(&self) -> MutexGuard<'_, CoreLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a text, and the known text that it contradicts.
type Shown<'py> = (Py<PyAny>, Option<Bound<'py, PyBytes>>);

#[pymethods]
impl WitnessedLog {
    /// Reads a public file; raises `FormatError`.
    #[new]
    fn new(py: Python<'_>, public_file: &[u8]) -> PyResult<Self> {
        CoreLog::parse(public_file).map(Self::of).or_raise(py)
    }

    /// A log of which only P and its name are known; raises `FormatError`.
    #[staticmethod]
    fn named(py: Python<'_>, root: [u8; 32], name: &str) -> PyResult<Self> {
        let text = PublicKey { root, name: name.into() }.to_text().or_raise(py)?;
        CoreLog::parse(text.as_bytes()).map(Self::of).or_raise(py)
    }

    /// P.
    #[getter]
    fn root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        py_bytes(py, &self.public.root)
    }

    /// Its name.
    #[getter]
    fn name(&self) -> &str {
        &self.public.name
    }

    /// Its log id.
    #[getter]
    fn log_id(&self) -> String {
        self.public.log_id().to_string()
    }

    /// Text form of its public key.
    #[getter]
    fn public_key(&self, py: Python<'_>) -> PyResult<String> {
        self.public.to_text().or_raise(py)
    }

    /// How many generations there are whose chain root is known.
    #[getter]
    fn generations(&self) -> usize {
        self.log().generations()
    }

    /// What becomes of texts that are shown in this order, up to the first that is refused or a fork.
    ///
    /// `known` are the accepted texts that no later one contains, the newest last.
    #[allow(clippy::needless_pass_by_value)] // as Python hands it over
    fn show<'py>(
        &self,
        py: Python<'py>,
        known: Vec<Vec<u8>>,
        shown: Vec<(Vec<u8>, Vec<[u8; 32]>)>,
    ) -> PyResult<Vec<Shown<'py>>> {
        let known: Vec<&[u8]> = known.iter().map(Vec::as_slice).collect();
        let steps: Vec<Step<'_>> =
            shown.iter().map(|(text, proof)| (text.as_slice(), proof.as_slice())).collect();
        let outcomes = py.detach(|| self.log().show(&known, &steps));
        let one = |(decision, against): Outcome<'_>| {
            Ok((DECISION.member(py, decision.word())?, against.map(|text| py_bytes(py, text))))
        };
        outcomes.into_iter().map(one).collect()
    }
}

/// The leaves of an epoch that ended, for proofs.
#[pyclass(frozen, module = "tallystick._core")]
pub struct EpochTree(pub shown::EpochTree);

#[pymethods]
impl EpochTree {
    /// The consistency proof between two numbers of lines; `None` if there are not so many.
    fn proof<'py>(&self, py: Python<'py>, start: u16, end: u16) -> Option<Vec<Bound<'py, PyBytes>>> {
        let proof = py.detach(|| self.0.proof(start, end));
        proof.map(|proof| proof.iter().map(|hash| py_bytes(py, hash)).collect())
    }
}
