//! Many lines at once: up to sixteen of one epoch are sealed side by side.
//!
//! For each line that costs the compressions of its text, one for the next key, four for the tag and one for the leaf.
//! The keys alone must be made one after the other. All keys of such a batch are wiped before its first line is put
//! into the output.

use super::Sealer;
use crate::Error;
use crate::hash::lanes::LANES;
use crate::hash::lanes::wide::Wide;
use crate::hash::{Digest, LinePair, ManyLines, Text, leaf_pair, leaves, tag_in};
use crate::line::Seals;
use crate::seal::entry::{entry_of, line_at};

/// With fewer lines, lanes without one would cost more than the others gain.
const FEWEST: usize = 8;

/// Lines that follow each other and are sealed together.
struct Batch<'a> {
    entries: [&'a [u8]; LANES],
    count: usize,
    /// Where each one ends.
    ends: [usize; LANES],
}

impl<'a> Batch<'a> {
    /// The next lines, at most so many; fewer where one cannot be sealed.
    fn next(data: &'a [u8], from: usize, most: usize) -> Self {
        let mut batch = Self { entries: [&[]; LANES], count: 0, ends: [0; LANES] };
        let mut at = from;
        while batch.count < most.min(LANES)
            && let Some((line, end)) = line_at(data, at)
            && let Ok(entry) = entry_of(line)
        {
            (batch.entries[batch.count], batch.ends[batch.count]) = (entry, end);
            batch.count += 1;
            at = end;
        }
        batch
    }
}

impl Sealer {
    /// Seals the complete lines of `data` until the chain is full; gives the number of bytes used.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn seal_lines(&mut self, data: &[u8], time: u64, out: &mut Vec<u8>) -> Result<usize, Error> {
        let (mut used, mut lines, mut seals) = (0, None, None);
        while !self.closed {
            // `open` comes before the first line, and a checkpoint after the last one of an epoch.
            let most = if self.open.is_none() { self.epoch_lines.saturating_sub(self.index) } else { 0 };
            let mut batch = Batch::next(data, used, most as usize);
            if batch.count < 2 {
                let Some((line, end)) = line_at(data, used) else { break };
                self.seal(line, time, out)?;
                used = end;
                continue;
            }
            self.alive(time)?;
            let seals = Seals::at(&mut seals, self.speaker.log, self.position());
            match Wide::here() {
                Some(wide) if batch.count >= FEWEST => {
                    let lines = lines.get_or_insert_with(ManyLines::new); // some kB, which few lines do without
                    self.many(wide, &batch, lines, seals, out);
                }
                _ => {
                    batch.count &= !1;
                    self.pairs(&batch, seals, out);
                }
            }
            used = batch.ends[batch.count - 1];
            self.end_if_full(time, out)?;
        }
        Ok(used)
    }

    /// Seals a batch in lanes, one for each line.
    fn many<'a>(
        &mut self,
        wide: Wide,
        batch: &Batch<'a>,
        lines: &mut ManyLines<'a>,
        seals: &mut Seals,
        out: &mut Vec<u8>,
    ) {
        let entries = &batch.entries[..batch.count];
        for (lane, m) in entries.iter().enumerate() {
            lines.lay(lane, 2, Text::Whole(m));
        }
        let hashes = lines.hashes(wide, batch.count);
        let tags = self.entry_key.tag_many(wide, &hashes, batch.count);
        let leaves = leaves(wide, &tags, &hashes);
        for (lane, (m, leaf)) in entries.iter().zip(leaves).enumerate() {
            self.emit(m, &tag_in(&tags, lane), leaf, seals, out);
        }
    }

    /// Seals a batch of an even number of lines in pairs.
    fn pairs(&mut self, batch: &Batch<'_>, seals: &mut Seals, out: &mut Vec<u8>) {
        let (entries, _) = batch.entries[..batch.count].as_chunks::<2>();
        let mut hashes = [[[0; 32]; 2]; LANES / 2];
        for (hashes, entries) in hashes.iter_mut().zip(entries) {
            *hashes = LinePair::new(entries.map(Text::Whole), 2).hash();
        }
        let mut tags = [[[0; 16]; 2]; LANES / 2];
        self.entry_key.tag_pairs(&hashes[..entries.len()], &mut tags);
        for ((entries, tags), hashes) in entries.iter().zip(&tags).zip(&hashes) {
            let leaves = leaf_pair([&tags[0], &tags[1]], hashes);
            for ((m, tag), leaf) in entries.iter().zip(tags).zip(leaves) {
                self.emit(m, tag, leaf, seals, out);
            }
        }
    }

    /// Lets a line out whose key and tag were made, and whose key is wiped.
    #[inline]
    fn emit(&mut self, m: &[u8], tag: &[u8; 16], leaf: Digest, seals: &mut Seals, out: &mut Vec<u8>) {
        self.last_entry = Some(self.position());
        seals.write(m, tag, out);
        self.index += 1;
        self.grow(leaf);
    }
}
