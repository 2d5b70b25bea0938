//! The Python binding of tallystick-core and nothing else: types in, types out, one place for errors.

#![deny(unsafe_code)]

mod acra;
mod acting;
mod chunk;
mod claims;
mod descriptor;
mod envelope;
mod event;
mod evidence;
mod facts;
mod framing;
mod gunzip;
mod holding;
mod keys;
mod kinds;
mod note;
mod output;
mod passphrase;
mod scan;
mod seal;
mod slot;
mod states;
mod texts;
mod verification;
mod witness;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tallystick_core::Error;

/// Turns an error of the core into the exception of `tallystick.errors` that a caller can act on.
fn raise(py: Python<'_>, error: &Error) -> PyErr {
    let name = match error {
        Error::Format(_) => "FormatError",
        Error::Custody(_) => "CustodyError",
        Error::Seal(_) => "SealError",
    };
    let exception = py.import("tallystick.errors").and_then(|m| m.getattr(name)?.call1((error.to_string(),)));
    match exception {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}

/// A result of the core as a result of Python.
trait OrRaise<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for Result<T, Error> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| raise(py, &error))
    }
}

fn py_bytes<'py>(py: Python<'py>, data: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, data)
}

#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::acra::{AcraFound, AcraJudge, AcraKey, acra_time};
    #[pymodule_export]
    use crate::acting::act_as;
    #[pymodule_export]
    use crate::chunk::Chunk;
    #[pymodule_export]
    use crate::claims::{claimed_position, first_opening, newest_chain, seal_text, statement_words};
    #[pymodule_export]
    use crate::envelope::{Envelope, Unwrapped, Unwrapper, are_one};
    #[pymodule_export]
    use crate::event::Event;
    #[pymodule_export]
    use crate::evidence::{
        Checked, Finder, Found, InTree, NarrowedKey, Received, Shown, Trouble, check_evidence,
    };
    #[pymodule_export]
    use crate::facts::{ChainFacts, Counts, Duplicate, Extent, Facts, Gap, Notice, Statement};
    #[pymodule_export]
    use crate::framing::{AgentClient, Conversation, Datagrams, LineStream, Lines, Stamp, entry_hash};
    #[pymodule_export]
    use crate::gunzip::Gunzip;
    #[pymodule_export]
    use crate::holding::{Block, Holding};
    #[pymodule_export]
    use crate::keys::{
        DataKey, Handover, KeyInfo, end_with_parent, key_info, parse_head, parse_pin, refuse_dumps,
    };
    #[pymodule_export]
    use crate::note::{CosignKey, NoteKey, NoteSigner, read_cosignature};
    #[pymodule_export]
    use crate::output::Output;
    #[pymodule_export]
    use crate::passphrase::Passphrase;
    #[pymodule_export]
    use crate::scan::{KeyReader, Keys, Mode, Place, Summary, scan};
    #[pymodule_export]
    use crate::seal::Sealer;
    use crate::seal::todo;
    #[pymodule_export]
    use crate::slot::Slot;
    #[pymodule_export]
    use crate::states::{EarlyState, PublicState, SealingState, Setup, read_state, setup, state_version};
    #[pymodule_export]
    use crate::texts::{Merger, take_texts};
    #[pymodule_export]
    use crate::verification::{BrokenEnd, Expected, Settled, Verification};
    #[pymodule_export]
    use crate::witness::{
        EpochTree, ShownText, WitnessedLog, accept_text, check_receipt, make_answer, make_receipt,
        parse_shown, public_roots, read_answer, read_receipts, read_shown, shown_holds,
    };
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::kinds::add_to(module)?;
        module.add("FIRST", todo::FIRST)?;
        module.add("THEN", todo::THEN)
    }
}
