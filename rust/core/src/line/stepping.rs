//! The beginning of the seals of lines that follow each other: mostly each is one byte away from the one before.

use super::position::{LogId, Position};
use super::seal::{LONGEST_SEAL, push_position};

/// A label and `id.chain.epoch.index.`.
pub(super) struct Stepping {
    bytes: Vec<u8>,
    index: u16,
}

impl Stepping {
    /// That of the line at a position.
    pub(super) fn new(label: &[u8], log: LogId, at: Position) -> Self {
        let mut bytes = Vec::with_capacity(label.len() + LONGEST_SEAL);
        bytes.extend_from_slice(label);
        push_position(log, at, &mut bytes);
        Self { bytes, index: at.index }
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    #[inline]
    pub(super) fn index(&self) -> u16 {
        self.index
    }

    /// Becomes that of the next index; `false` after the last one.
    #[inline]
    pub(super) fn step(&mut self) -> bool {
        let Some(index) = self.index.checked_add(1) else { return false };
        self.index = index;
        // The dot is the last byte; of most numbers only the last digit changes.
        let digits = self.bytes.len() - 1;
        for digit in self.bytes[..digits].iter_mut().rev() {
            match *digit {
                b'0'..=b'8' => {
                    *digit += 1;
                    return true;
                }
                b'9' => *digit = b'0',
                _ => break,
            }
        }
        // 9, 99, 999: the number is longer now.
        let zeros = index.ilog10() as usize;
        self.bytes[digits - zeros] = b'1';
        self.bytes[digits] = b'0';
        self.bytes.push(b'.');
        true
    }
}
