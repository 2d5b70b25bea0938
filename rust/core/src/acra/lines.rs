//! The lines of a block, taken apart piece by piece: by the thread that judges them, or ahead of it.
//!
//! In one chain each line is judged with the tag of the line before it, so that cannot be split. Taking lines apart can,
//! and so can all hashing that does not wait for that tag.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, sync_channel};

use super::found::Form;
use super::key::{Keys, Prepared, Ready};
use super::line::{Line, parse};

/// A line that is not blank.
#[derive(Clone, Copy)]
pub(super) struct Read<'p> {
    pub(super) raw: &'p [u8],
    pub(super) line: &'p Line,
    /// What its integrity covers.
    pub(super) data: &'p [u8],
    /// What is hashed of it already, for the key that it should have.
    pub(super) ready: Option<Ready<'p>>,
}

struct Taken<'d> {
    start: usize,
    raw: &'d [u8],
    line: Option<Line>,
    ready: Option<usize>,
}

/// Lines that were taken apart together. Its memory is used again for the next ones.
#[derive(Default)]
pub(super) struct Piece<'d> {
    lines: Vec<Taken<'d>>,
    /// What integrity covers, where that does not stand in the line.
    made: Vec<u8>,
    prepared: Prepared,
}

/// How many pieces wait for the judge at most.
const WAITING: usize = 4;
/// Bytes that a piece keeps for the next one.
const KEPT: usize = 1 << 20;

impl<'d> Piece<'d> {
    /// Takes about so many bytes of a block apart, from an offset; returns where the next piece begins.
    pub(super) fn fill(&mut self, data: &'d [u8], from: usize, size: usize, form: Form) -> usize {
        let least = data.len().min(from + size);
        let to = memchr::memchr(b'\n', &data[least..]).map_or(data.len(), |end| least + end + 1);
        self.lines.clear();
        self.made.clear();
        self.made.shrink_to(KEPT);
        self.prepared.clear();
        let mut at = from;
        while at < to {
            let (start, end) = (at, memchr::memchr(b'\n', &data[at..to]).map_or(to, |end| at + end));
            at = end + 1;
            let raw = &data[start..end];
            let line = (!raw.trim_ascii().is_empty()).then(|| parse(raw, form, &mut self.made));
            self.lines.push(Taken { start, raw, line, ready: None });
        }
        to
    }

    /// Is anything hashed ahead?
    pub(super) fn is_prepared(&self) -> bool {
        !self.prepared.is_empty()
    }

    /// Hashes the lines as far as that goes.
    pub(super) fn prepare(&mut self, keys: &mut Keys) {
        let made = &self.made;
        let sealed = self.lines.iter_mut().filter_map(|Taken { raw, line, ready, .. }| {
            let line = line.as_ref().filter(|line| line.integrity.is_some())?;
            Some((ready, line.data(raw, made), line.new))
        });
        self.prepared.fill(keys, sealed, |ready, number| *ready = Some(number));
    }

    /// Goes on to the keys of the next lines.
    fn pass(&self, keys: &mut Keys) {
        for line in self.lines.iter().filter_map(|taken| taken.line.as_ref()) {
            if line.integrity.is_some() {
                keys.pass(line.new);
            }
        }
    }

    /// The lines, each with where it begins in its block; `None` for one that is blank.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, Option<Read<'_>>)> {
        self.lines.iter().map(|taken| {
            let read = taken.line.as_ref().map(|line| Read {
                raw: taken.raw,
                line,
                data: line.data(taken.raw, &self.made),
                ready: taken.ready.and_then(|number| self.prepared.at(number)),
            });
            (taken.start, read)
        })
    }
}

/// Hands over a block in pieces, which a thread of its own takes apart, and hashes as far as it can, if others wait.
///
/// They go back to it when they are done: memory that one thread takes and another frees has both wait for each other.
pub(super) fn ahead<'d>(
    data: &'d [u8],
    size: usize,
    form: Form,
    mut keys: Keys,
    mut take: impl FnMut(&mut Piece<'d>),
) {
    let (give, given) = sync_channel::<Piece<'d>>(WAITING);
    let (done, back) = channel::<Piece<'d>>();
    let waiting = &AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut from = 0;
            while from < data.len() {
                let mut piece = back.try_recv().unwrap_or_default();
                from = piece.fill(data, from, size, form);
                if waiting.load(Ordering::Relaxed) > 0 {
                    piece.prepare(&mut keys);
                } else {
                    piece.pass(&mut keys);
                }
                waiting.fetch_add(1, Ordering::Relaxed);
                if give.send(piece).is_err() {
                    return; // nobody takes them any more
                }
            }
        });
        for mut piece in given {
            waiting.fetch_sub(1, Ordering::Relaxed);
            take(&mut piece);
            drop(done.send(piece));
        }
    });
}

/// Where the block is split: before lines that say that they begin a chain.
pub(super) fn split(data: &[u8], form: Form, threads: usize, least: usize) -> Vec<Range<usize>> {
    let json = form == Form::Json || (form == Form::Auto && data.trim_ascii_start().starts_with(b"{"));
    let marker: &[u8] = if json { br#""chain":"new""# } else { b" chain=new" };
    let size = (data.len() / (threads.max(1) * 2)).max(least);
    let (mut parts, mut start) = (Vec::new(), 0);
    let mut target = size;
    while threads > 1 && target < data.len() {
        let Some(found) = memchr::memmem::find(&data[target..], marker) else { break };
        let at = target + found;
        let begin = memchr::memrchr(b'\n', &data[..at]).map_or(0, |lf| lf + 1);
        if begin > start {
            parts.push(start..begin);
            start = begin;
        }
        target = (begin + size).max(at + marker.len());
    }
    parts.push(start..data.len());
    parts
}
