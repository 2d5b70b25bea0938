//! Which lines hold, and the texts of those in a piece of input: what goes from one call of the core to the next.

use std::sync::Arc;

use pyo3::prelude::*;
use tallystick_core::scan;
use tallystick_core::scan::texts;

/// Which lines hold, as a verification found.
#[pyclass(frozen, module = "tallystick._core")]
pub struct Holding(pub Arc<scan::Holding>);

/// The texts of the lines of a piece of input; empty once a merger has taken it in.
#[pyclass(module = "tallystick._core")]
pub struct Block(pub Option<texts::Block>);
