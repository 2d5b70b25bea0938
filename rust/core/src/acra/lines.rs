//! The lines of a block, taken apart: one after the other, or ahead of the thread that judges them.
//!
//! In one chain each line is judged with the tag of the line before it, so that cannot be split. Taking lines apart can.

use std::ops::Range;
use std::sync::mpsc::{channel, sync_channel};

use super::found::Form;
use super::line::{Line, parse};

/// A line that was read.
pub(super) struct Read<'d> {
    /// Where it begins in its block.
    pub(super) start: usize,
    pub(super) raw: &'d [u8],
    /// `None` if it is blank.
    pub(super) line: Option<Line<'d>>,
}

/// Bytes that are taken apart at a time, ahead of the judge, and how many such pieces wait for it at most.
const PIECE: usize = 1 << 16;
const WAITING: usize = 4;

/// Takes the lines of a block apart, from one offset to another.
pub(super) fn lines(data: &[u8], from: usize, to: usize, form: Form) -> impl Iterator<Item = Read<'_>> {
    let mut at = from;
    std::iter::from_fn(move || {
        if at >= to {
            return None;
        }
        let (start, end) = (at, memchr::memchr(b'\n', &data[at..to]).map_or(to, |end| at + end));
        at = end + 1;
        let raw = &data[start..end];
        let line = (!raw.trim_ascii().is_empty()).then(|| parse(raw, form));
        Some(Read { start, raw, line })
    })
}

/// Hands over the lines of a block, which a thread of its own takes apart.
///
/// They go back to it when they are done: memory that one thread takes and another frees has both wait for each other.
pub(super) fn ahead<'d>(data: &'d [u8], form: Form, mut take: impl FnMut(&Read<'d>)) {
    std::thread::scope(|scope| {
        let (give, given) = sync_channel::<Vec<Read<'d>>>(WAITING);
        let (done, back) = channel::<Vec<Read<'d>>>();
        scope.spawn(move || {
            let mut from = 0;
            while from < data.len() {
                back.try_iter().for_each(drop);
                let least = data.len().min(from + PIECE);
                let to = memchr::memchr(b'\n', &data[least..]).map_or(data.len(), |end| least + end + 1);
                if give.send(lines(data, from, to, form).collect()).is_err() {
                    return; // nobody takes them any more
                }
                from = to;
            }
        });
        for lines in given {
            lines.iter().for_each(&mut take);
            drop(done.send(lines));
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
