//! The way back: the texts of the lines that hold, byte for byte, each with its position.
//!
//! A line's tag is computed in the scan that takes its text (with V), or its leaf is held against what its epoch's R
//! covers (with P only). Seals and control lines stay behind. What is taken of a piece of input is a [`Block`]: its
//! lines by position, whatever order they stood in. [`Merger`] puts blocks together, and gives each position once.

mod merger;

use std::collections::{BTreeMap, BTreeSet};

pub use merger::Merger;

use super::collect::Scanner;
use super::input::{Input, Mode};
use super::keys::Keys;
use crate::hash::{Digest, Text};
use crate::line::Position;
use crate::scan::summary::EpochId;

/// What stands before each line where lines that do not hold are taken as well.
const HOLDS: &[u8] = b"  ";
const DOES_NOT_HOLD: &[u8] = b"! ";

/// Which lines of an epoch hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    /// Only those below this index.
    pub(crate) below: u32,
    /// Not these: different lines claim the position, and each of them is authentic.
    pub(crate) conflicts: BTreeSet<u16>,
    /// Not these leaves, which R does not cover.
    pub(crate) outside: BTreeSet<(u16, Digest)>,
}

impl Held {
    fn holds(&self, index: u16, leaf: &Digest) -> bool {
        u32::from(index) < self.below
            && !self.conflicts.contains(&index)
            && !self.outside.contains(&(index, *leaf))
    }
}

/// Which lines hold, as a verification found: what is named here and authentic.
#[derive(Debug, Clone, Default)]
pub struct Holding {
    pub(crate) epochs: BTreeMap<EpochId, Held>,
    /// Epochs whose lines are looked at in their RFC 8785 form (P only).
    pub(crate) rewritten: BTreeSet<EpochId>,
}

/// A line of a block.
#[derive(Debug, Clone, Copy)]
struct Line {
    at: Position,
    /// Where its text ends in the block, with its LF.
    end: usize,
    holds: bool,
}

/// The texts of some lines, each ended by LF, in the order of their positions.
#[derive(Debug, Default)]
pub struct Block {
    text: Vec<u8>,
    lines: Vec<Line>,
}

impl Block {
    fn text_of(&self, line: usize) -> &[u8] {
        let start = line.checked_sub(1).map_or(0, |before| self.lines[before].end);
        &self.text[start..self.lines[line].end]
    }

    /// Puts its lines into the order of their positions, if they are in another.
    fn sort(&mut self) {
        if self.lines.is_sorted_by_key(|line| line.at) {
            return;
        }
        let mut order: Vec<usize> = (0..self.lines.len()).collect();
        order.sort_by_key(|line| self.lines[*line].at); // stable: what does not hold stays after the line before it
        let mut sorted = Self { text: Vec::with_capacity(self.text.len()), lines: Vec::new() };
        for line in order {
            sorted.text.extend_from_slice(self.text_of(line));
            sorted.lines.push(Line { end: sorted.text.len(), ..self.lines[line] });
        }
        *self = sorted;
    }
}

/// Takes the texts of a scan.
pub(super) struct Texts<'k> {
    holding: &'k Holding,
    /// Take lines that do not hold as well, and mark each line.
    marked: bool,
    block: Block,
    /// The epoch that was asked for last.
    last: Option<(EpochId, Option<&'k Held>)>,
    /// The line under work was taken, or is a control line.
    settled: bool,
}

impl<'k> Texts<'k> {
    pub(super) fn new(mode: &'k Mode) -> Option<Self> {
        let Mode::Texts { holding, marked } = mode else { return None };
        Some(Self { holding, marked: *marked, block: Block::default(), last: None, settled: false })
    }

    /// Takes the text of a line that is authentic, if it holds.
    pub(super) fn take(&mut self, id: EpochId, at: Position, leaf: &Digest, text: Text<'_>) {
        let held = match self.last {
            Some((known, held)) if known == id => held,
            _ => {
                let held = self.holding.epochs.get(&id);
                self.last = Some((id, held));
                held
            }
        };
        if held.is_some_and(|held| held.holds(at.index, leaf)) {
            self.settled = true;
            let (m, end): (&[u8], &[u8]) = match text {
                Text::Whole(m) => (m, b"\n"),
                Text::Open(m) => (m, b"}\n"),
            };
            self.push(at, true, &[m, end]);
        }
    }

    /// Notes that the line under work is a control line: it is no text.
    pub(super) fn pass(&mut self) {
        self.settled = true;
    }

    /// Ends the work on a line: takes it as it is where it does not hold, if that is asked for.
    pub(super) fn end(&mut self, line: &[u8]) {
        let settled = std::mem::take(&mut self.settled);
        if self.marked && !settled {
            // It stands after the line that it was read after.
            let at = self.block.lines.last().map_or(Position::new(0, 0, 0), |line| line.at);
            self.push(at, false, &[line, b"\n"]);
        }
    }

    fn push(&mut self, at: Position, holds: bool, parts: &[&[u8]]) {
        if self.marked {
            self.block.text.extend_from_slice(if holds { HOLDS } else { DOES_NOT_HOLD });
        }
        parts.iter().for_each(|part| self.block.text.extend_from_slice(part));
        self.block.lines.push(Line { at, end: self.block.text.len(), holds });
    }

    fn finish(mut self) -> Block {
        // What stands before the first line that holds goes before it.
        let first = self.block.lines.iter().find(|line| line.holds).map(|line| line.at);
        for line in self.block.lines.iter_mut().take_while(|line| !line.holds) {
            line.at = first.unwrap_or(line.at);
        }
        self.block.sort();
        self.block
    }
}

/// Takes the texts of the lines of some bytes that hold; `mode` is one of texts, else there are none.
#[must_use]
pub fn texts(keys: &Keys, input: &Input<'_>, mode: &Mode) -> Block {
    let mut scanner = Scanner::new(keys, mode, input.data.len());
    scanner.run(input);
    scanner.texts.take().map(Texts::finish).unwrap_or_default()
}
