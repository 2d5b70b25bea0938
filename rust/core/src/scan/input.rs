//! What is scanned, and what for.

use std::collections::BTreeSet;

use crate::line::envelope::{Envelope, Origin};
use crate::scan::summary::EpochId;
use crate::scan::texts::Holding;

/// What a scan looks for.
pub enum Mode {
    /// Everything, with all bytes as they are.
    All,
    /// These epochs, in the RFC 8785 form of every line that has one (P only).
    Canonical(BTreeSet<EpochId>),
    /// Each line of these epochs, one by one; of the second ones in its RFC 8785 form.
    Detail(BTreeSet<EpochId>, BTreeSet<EpochId>),
    /// The texts of lines that hold; of others, too, if lines are marked.
    Texts {
        /// Which lines hold.
        holding: Holding,
        /// Take lines that do not hold as well, and put a mark before each line.
        marked: bool,
    },
}

/// Bytes of a file, in whole lines.
pub struct Input<'a> {
    /// The bytes.
    pub data: &'a [u8],
    /// Number of the file.
    pub file: u32,
    /// Number of the chunk in the file.
    pub chunk: u32,
    /// Where the chunk begins in the file, in bytes.
    pub offset: u64,
    /// The last line was too long to be read whole, so it holds no seal.
    pub cut: bool,
    /// Where each line stood, if they were taken out of a carrier's envelopes.
    pub origins: Option<Origins<'a>>,
    /// What a carrier put before the lines.
    pub envelope: Option<&'a Envelope>,
}

/// Where lines stood that were taken out of envelopes.
#[derive(Clone, Copy)]
pub struct Origins<'a> {
    /// One for each line.
    pub of: &'a [Origin],
    /// Lines of the chunk as the carrier wrote them.
    pub lines: u32,
    /// Bytes of the chunk as the carrier wrote them.
    pub bytes: u64,
}
