//! The way back: the texts of the lines that hold, byte for byte, each with its position.
//!
//! A line's tag is computed in the scan that takes its text (with V), or its leaf is held against what its epoch's R
//! covers (with P only). Seals and control lines stay behind. What is taken of a piece of input is a [`Block`]: its
//! lines by position, whatever order they stood in. [`Merger`] puts blocks together, and gives each position once.

mod block;
mod merger;

pub use block::Block;
pub use merger::Merger;

use block::Line;

use super::holding::{Held, Holding};
use super::input::Mode;
use crate::hash::{Digest, Text};
use crate::line::Position;
use crate::scan::summary::EpochId;

/// What stands before each line where lines that do not hold are taken as well.
const HOLDS: &[u8] = b"  ";
const DOES_NOT_HOLD: &[u8] = b"! ";

/// Takes the texts of a scan.
pub(super) struct Texts<'k> {
    holding: &'k Holding,
    /// Take lines that do not hold as well, and mark each line.
    marked: bool,
    block: Block,
    /// The epoch that was asked for last.
    last: Option<(EpochId, Option<&'k Held>)>,
    /// The line under work was taken, or is a control line.
    resolved: bool,
}

impl<'k> Texts<'k> {
    pub(super) fn new(mode: &'k Mode) -> Option<Self> {
        let Mode::Texts { holding, marked } = mode else { return None };
        Some(Self { holding, marked: *marked, block: Block::default(), last: None, resolved: false })
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
            self.resolved = true;
            let (m, end): (&[u8], &[u8]) = match text {
                Text::Whole(m) => (m, b"\n"),
                Text::Open(m) => (m, b"}\n"),
            };
            self.push(at, true, &[m, end]);
        }
    }

    /// Notes that the line under work is a control line: it is no text.
    pub(super) fn pass(&mut self) {
        self.resolved = true;
    }

    /// Ends the work on a line: takes it as it is where it does not hold, if that is asked for.
    pub(super) fn end(&mut self, line: &[u8]) {
        let resolved = std::mem::take(&mut self.resolved);
        if self.marked && !resolved {
            // It stands after the line that it was read after.
            let at = self.block.lines.last().map_or(Position::new(0, 0, 0), |line| line.at);
            self.push(at, false, &[line, b"\n"]);
        }
    }

    fn push(&mut self, at: Position, holds: bool, parts: &[&[u8]]) {
        if self.marked {
            self.block.text.extend_from_slice(if holds { HOLDS } else { DOES_NOT_HOLD });
        }
        for part in parts {
            self.block.text.extend_from_slice(part);
        }
        self.block.lines.push(Line { at, end: self.block.text.len(), holds });
    }

    pub(super) fn finish(mut self) -> Block {
        // What stands before the first line that holds goes before it.
        let first = self.block.lines.iter().find(|line| line.holds).map(|line| line.at);
        for line in self.block.lines.iter_mut().take_while(|line| !line.holds) {
            line.at = first.unwrap_or(line.at);
        }
        self.block.sort();
        self.block
    }
}
