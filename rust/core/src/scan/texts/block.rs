//! The texts of a piece of input, by position.

use crate::line::Position;

/// A line of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) at: Position,
    /// Where its text ends in the block, with its LF.
    pub(super) end: usize,
    pub(super) holds: bool,
}

/// The texts of some lines, each ended by LF, in the order of their positions.
#[derive(Debug, Default)]
pub struct Block {
    pub(super) text: Vec<u8>,
    pub(super) lines: Vec<Line>,
}

impl Block {
    pub(super) fn text_of(&self, line: usize) -> &[u8] {
        let start = line.checked_sub(1).map_or(0, |before| self.lines[before].end);
        &self.text[start..self.lines[line].end]
    }

    /// Puts its lines into the order of their positions, if they are in another.
    pub(super) fn sort(&mut self) {
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
