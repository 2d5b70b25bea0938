//! Chunks of the input: what was counted in each, and the first and last lines of logs in it.

use std::collections::BTreeMap;

use pyo3::prelude::*;
use tallystick_core::judge;
use tallystick_core::scan::summary::{self, Neighbour};

use crate::keys::At;
use crate::scan::{Place, at};

fn neighbour(n: Neighbour) -> Option<(u32, At)> {
    n.map(|(log, p)| (log, at(p)))
}

/// Lines without a seal, those of logs whose key is not at hand, and the latter by log id.
type Strange = (u64, u64, BTreeMap<String, u64>);

/// One chunk of a file.
#[pyclass(frozen, get_all, module = "tallystick._core")]
#[allow(clippy::struct_field_names)] // the number of the chunk is its `chunk` everywhere
pub struct Chunk {
    file: u32,
    chunk: u32,
    lines: u64,
    counted: u64,
    size: u64,
    /// Lines that are of no known log.
    strange: Strange,
    /// Log number, where the first opening of its first chain stands, and such lines before it.
    beginnings: Vec<(u32, Place, Strange)>,
    /// Log number, first position and its place, last position; by log.
    edges: Vec<(u32, At, Place, At)>,
    /// Log number, where its first line stands, and lines of no known log before it; by log.
    starts: Vec<(u32, Place, Strange)>,
    /// Log number, where its last line stands, and lines of no known log before it; by log.
    ends: Vec<(u32, Place, Strange)>,
    first: Option<(u32, At)>,
    last: Option<(u32, At)>,
}

/// The chunks of the input.
pub fn chunks(facts: &judge::Facts) -> Vec<Chunk> {
    let chunk = |(id, c): (&(u32, u32), &summary::Chunk)| Chunk {
        file: id.0,
        chunk: id.1,
        lines: c.lines,
        counted: c.counted,
        size: c.bytes,
        strange: strange(&c.strange),
        beginnings: c.beginnings.iter().map(|(n, (p, before))| (*n, (*p).into(), strange(before))).collect(),
        edges: c.edges.iter().map(|(n, e)| (*n, at(e.first), e.first_place.into(), at(e.last))).collect(),
        starts: c.edges.iter().map(|(n, e)| (*n, e.first_place.into(), strange(&e.before_first))).collect(),
        ends: c.edges.iter().map(|(n, e)| (*n, e.last_place.into(), strange(&e.before_last))).collect(),
        first: neighbour(c.first),
        last: neighbour(c.last),
    };
    facts.chunks().iter().map(chunk).collect()
}

fn strange(lines: &summary::Strange) -> Strange {
    let by_id = lines.by_id.iter().map(|(id, count)| (id.to_string(), *count)).collect();
    (lines.unsealed, lines.foreign, by_id)
}
