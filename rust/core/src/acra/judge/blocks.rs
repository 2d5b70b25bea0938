//! Blocks of a log: their chains are judged side by side, and the lines of a single one are hashed ahead.

use super::{Judge, Place};
use crate::acra::found::What;
use crate::acra::key::Keys;
use crate::acra::lines::{Piece, ahead, split};
use crate::hash::gains;

impl Judge {
    /// Takes whole lines of a file; chains that begin in them are judged side by side, and lines of a single one are taken
    /// apart, and hashed as far as that goes, by another thread. Returns how many lines that were, blank ones counted.
    ///
    /// # Panics
    /// If a thread panics, which is a bug.
    pub fn feed(&mut self, data: &[u8], file: u32, line: u64, offset: u64, threads: usize) -> u64 {
        // One long chain is mostly longer than a block: to look for others would take as long as to take lines apart.
        let may_split = std::mem::take(&mut self.may_split);
        let parts = split(data, self.form, if may_split { threads } else { 1 }, self.least);
        if parts.len() == 1 && threads > 1 && data.len() > self.least {
            return self.walk_behind(data, Place { file, line, offset });
        }
        let (begin, form, least) = (self.begin.clone(), self.form, self.least);
        let mut others: Vec<Option<(Judge, u64)>> = parts.iter().skip(1).map(|_| None).collect();
        let mut count = 0;
        std::thread::scope(|scope| {
            for (part, judged) in parts.iter().skip(1).zip(&mut others) {
                let data = &data[part.clone()];
                let begin = begin.clone();
                scope.spawn(move || {
                    let mut other = Judge { least, ..Judge::new(begin, form) };
                    let lines = other.walk(data, Place { file, line: 0, offset: 0 });
                    *judged = Some((other, lines));
                });
            }
            if let Some(first) = parts.first() {
                let at = Place { file, line, offset: offset + first.start as u64 };
                count = self.walk(&data[first.clone()], at);
            }
        });
        for (part, judged) in parts.iter().skip(1).zip(others) {
            let at = Place { file, line: line + count, offset: offset + part.start as u64 };
            match judged {
                Some((other, lines)) if other.first_fits == Some(true) => {
                    self.append(other, at);
                    count += lines;
                }
                // It only says that it begins a chain: what stands before it has to be known.
                _ => count += self.walk(&data[part.clone()], at),
            }
        }
        count
    }

    fn append(&mut self, other: Judge, at: Place) {
        self.resolve();
        let moved = |file: &mut u32, line: &mut u64, offset: &mut u64| {
            (*file, *line, *offset) = (at.file, *line + at.line, *offset + at.offset);
        };
        let mut found = other.found;
        for event in &mut found.events {
            moved(&mut event.file, &mut event.line, &mut event.offset);
        }
        for chain in &mut found.chains {
            moved(&mut chain.file, &mut chain.line, &mut chain.offset);
        }
        let mut events = self.found.events.len();
        if !found.events.is_empty() {
            if found.events[0].what == What::Rewritten
                && self.goes_on(What::Rewritten, at.file, found.events[0].line)
            {
                self.found.events[events - 1].count += found.events.remove(0).count;
                events -= 1;
            }
            self.next = other.next + at.line;
        }
        self.found.events.append(&mut found.events);
        self.found.chains.append(&mut found.chains);
        self.found.lines += found.lines;
        self.found.good += found.good;
        self.step = other.step;
        self.may_split |= other.may_split;
        self.opened = other.opened.map(|mut opened| {
            moved(&mut opened.file, &mut opened.line, &mut opened.offset);
            opened
        });
        self.aside = other.aside.into_iter().map(|(event, line)| (event + events, line)).collect();
        self.lost = other.lost.map(|mut lost| {
            lost.event += events;
            if let Some(rest) = &mut lost.rest {
                moved(&mut rest.file, &mut rest.line, &mut rest.offset);
            }
            lost
        });
    }

    fn walk(&mut self, data: &[u8], from: Place) -> u64 {
        let (mut piece, mut start, mut count) = (Piece::default(), 0, 0);
        while start < data.len() {
            start = piece.fill(data, start, self.least, self.form);
            count = self.piece(&mut piece, from, count);
        }
        count
    }

    /// Takes lines of which nothing is hashed ahead.
    #[cfg(test)]
    pub(in crate::acra) fn feed_plainly(&mut self, data: &[u8]) {
        let mut piece = Piece::default();
        piece.fill(data, 0, data.len(), self.form);
        self.lines(&piece, Place { file: 0, line: 0, offset: 0 }, 0);
    }

    /// The same, with lines that another thread takes apart.
    fn walk_behind(&mut self, data: &[u8], from: Place) -> u64 {
        let mut count = 0;
        ahead(data, self.least, self.form, self.keys(), |piece| {
            count = self.piece(piece, from, count);
        });
        count
    }

    /// The keys that the next lines should have: if none fits, those that they have if only an integrity was changed.
    fn keys(&self) -> Keys {
        Keys::new(&self.begin, self.step.as_ref().or(self.lost.as_ref().map(|lost| &lost.go)))
    }

    /// Judges lines, but for blank ones; returns how many lines there were so far.
    fn piece(&mut self, piece: &mut Piece<'_>, from: Place, count: u64) -> u64 {
        if !piece.is_prepared() && gains() {
            piece.prepare(&mut self.keys());
        }
        self.lines(piece, from, count)
    }

    fn lines(&mut self, piece: &Piece<'_>, from: Place, mut count: u64) -> u64 {
        for (start, read) in piece.lines() {
            if let Some(read) = &read {
                let at = Place { line: from.line + count, offset: from.offset + start as u64, ..from };
                self.line(read, at);
            } else if self.next == from.line + count {
                self.next += 1;
            }
            count += 1;
        }
        count
    }
}
