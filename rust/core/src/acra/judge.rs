//! Goes through an audit log and says what does not fit, and goes on where the scheme lets it.
//!
//! A line that was altered takes the tag away that all lines after it in its chain are judged with. Two guesses are kept
//! while nothing fits: that the lines since then do not belong here, and that only what they carry as integrity is wrong.

mod blocks;

use super::found::{Chain, Event, Form, Judged, What};
use super::key::{Key, Step};
use super::line::{Line, parse};
use super::lines::Read;

/// Lines that do not fit, as long as none does.
struct Lost {
    event: usize,
    skip: Step,
    go: Step,
    aside: Vec<Vec<u8>>,
    rest: Option<Place>,
    count: u64,
}

impl Lost {
    fn set_aside(&mut self, raw: &[u8]) {
        if self.aside.len() < MOST_ASIDE && raw.len() <= LONGEST_ASIDE {
            self.aside.push(raw.to_vec());
        }
    }
}

#[derive(Clone, Copy)]
struct Place {
    file: u32,
    line: u64,
    offset: u64,
}

/// Lines that are tried once more after one that fits again: more would be work for an attacker to order.
const MOST_ASIDE: usize = 16;
/// Bytes of a line that is tried once more, for the same reason.
const LONGEST_ASIDE: usize = 1 << 16;
/// Less than this is not worth a thread; as much is taken apart at a time.
const LEAST: usize = 1 << 16;

/// Goes through the lines of one log, block by block.
pub struct Judge {
    begin: Step,
    form: Form,
    step: Option<Step>,
    lost: Option<Lost>,
    aside: Vec<(usize, Vec<u8>)>,
    found: Judged,
    /// The line after the last event, blank ones skipped: the same there is no event of its own.
    next: u64,
    first_fits: Option<bool>,
    /// Where a chain begins of which no line has fit yet.
    opened: Option<Place>,
    /// Another chain began in the block before, or there was none: so it may be in the next one.
    may_split: bool,
    /// Bytes that are worth a thread, and that are taken apart at a time.
    pub least: usize,
}

/// Begins to judge a log.
#[must_use]
pub fn judge(key: &Key, form: Form) -> Judge {
    Judge::new(key.beginning(), form)
}

impl Judge {
    fn new(begin: Step, form: Form) -> Self {
        Self {
            begin,
            form,
            step: None,
            lost: None,
            aside: Vec::new(),
            found: Judged::default(),
            next: 0,
            first_fits: None,
            opened: None,
            may_split: true,
            least: LEAST,
        }
    }

    /// Returns what was found in all.
    #[must_use]
    pub fn finish(mut self) -> Judged {
        self.resolve();
        self.found
    }

    fn line(&mut self, read: &Read<'_>, at: Place) {
        self.found.lines += 1;
        let good = self.found.good;
        let fits = self.one(read, at);
        if read.line.rewritten && self.found.good > good {
            self.report_run(What::Rewritten, at);
        }
        self.first_fits.get_or_insert(fits);
    }

    /// Judges a line; says whether it fits as what it says it is.
    fn one(&mut self, read: &Read<'_>, at: Place) -> bool {
        let line = read.line;
        self.may_split |= line.new;
        if line.integrity.is_none() {
            self.misfit(What::Unsealed, read, at);
            return false;
        }
        if line.new
            && let Some(next) = fit(&self.begin, read)
        {
            self.resolve();
            self.open(at);
            self.fits(line, next);
            return true;
        }
        if let Some(next) = self.here(read) {
            if line.new {
                self.report(What::MarkerAdded, at);
            }
            self.fits(line, next);
            return !line.new;
        }
        // Not where it claims to be; a marker that nothing covers may have been taken away.
        if !line.new
            && let Some(next) = fit(&self.begin, read)
        {
            self.resolve();
            self.open(at);
            self.report(What::MarkerGone, at);
            self.fits(line, next);
            return false;
        }
        if line.new {
            self.resolve();
            self.open(at);
            self.step = Some(self.begin.clone());
        }
        self.misfit(What::Altered, read, at);
        false
    }

    /// Where the line fits in the chain that is open: where it should, after lines that do not belong here, or after
    /// lines that were put aside.
    fn here(&mut self, read: &Read<'_>) -> Option<Step> {
        if let Some(step) = &self.step {
            let (next, step) = (fit(step, read), step.clone());
            return next.or_else(|| self.behind_aside(step, read));
        }
        let lost = self.lost.as_ref()?;
        let (what, next) = match (fit(&lost.skip, read), fit(&lost.go, read)) {
            (Some(next), _) => (What::Inserted, next),
            (_, Some(next)) => (What::Field, next),
            _ => return None,
        };
        let lost = self.lost.take()?;
        let event = &mut self.found.events[lost.event];
        event.count = lost.count;
        event.what = match (event.what, what) {
            (What::Unsealed, What::Field) => What::Stripped,
            (What::Unsealed, _) => What::Unsealed,
            (_, what) => what,
        };
        if what == What::Inserted {
            self.aside = lost.aside.into_iter().map(|raw| (lost.event, raw)).collect();
        }
        Some(next)
    }

    fn behind_aside(&mut self, mut step: Step, read: &Read<'_>) -> Option<Step> {
        let mut left = std::mem::take(&mut self.aside);
        let mut moved = Vec::new();
        loop {
            let next = |(_, raw): &(usize, Vec<u8>)| fit_raw(&step, raw, self.form);
            let (at, next) = left.iter().enumerate().find_map(|(at, aside)| Some((at, next(aside)?)))?;
            step = next;
            moved.push(left.remove(at).0);
            if let Some(next) = fit(&step, read) {
                for event in moved {
                    self.found.events[event].what = What::Reordered;
                }
                self.aside = left;
                return Some(next);
            }
        }
    }

    fn fits(&mut self, line: &Line, next: Step) {
        self.found.good += 1;
        if let Some(at) = self.opened.take() {
            self.found.chains.push(Chain {
                file: at.file,
                line: at.line,
                offset: at.offset,
                lines: 0,
                ended: false,
                beginning: next.tag(),
                identity: [0; 32],
                times: None,
                fine: false,
            });
        }
        if let Some(chain) = self.found.chains.last_mut() {
            chain.lines += 1;
            chain.ended = line.end;
            chain.identity = next.tag();
            if let Some((time, fine)) = line.time {
                let (first, last) = chain.times.unwrap_or((time, time));
                chain.times = Some((first.min(time), last.max(time)));
                chain.fine |= fine;
            }
        }
        self.step = Some(next);
    }

    fn misfit(&mut self, what: What, read: &Read<'_>, at: Place) {
        if let Some(step) = self.step.take() {
            let (_, go) = step.take_ready(read.data, read.ready);
            let event = self.report(what, at);
            let mut lost = Lost { event, skip: step, go, aside: Vec::new(), rest: None, count: 1 };
            lost.set_aside(read.raw);
            self.lost = Some(lost);
        } else if let Some(lost) = &mut self.lost {
            (_, lost.go) = lost.go.take_ready(read.data, read.ready);
            lost.rest.get_or_insert(at);
            lost.count += 1;
            lost.set_aside(read.raw);
        } else {
            let what = if what == What::Unsealed { what } else { What::LateStart };
            self.report_run(what, at);
        }
    }

    /// Tells of a line, together with the same of the line before it.
    fn report_run(&mut self, what: What, at: Place) {
        if !self.goes_on(what, at.file, at.line) {
            self.report(what, at);
        } else if let Some(last) = self.found.events.last_mut() {
            last.count += 1;
            self.next = at.line + 1;
        }
    }

    /// Was the same reported of the line before?
    fn goes_on(&self, what: What, file: u32, line: u64) -> bool {
        self.found
            .events
            .last()
            .is_some_and(|last| last.what == what && last.file == file && self.next == line)
    }

    fn report(&mut self, what: What, at: Place) -> usize {
        self.found.events.push(Event { what, file: at.file, line: at.line, offset: at.offset, count: 1 });
        self.next = at.line + 1;
        self.found.events.len() - 1
    }

    fn open(&mut self, at: Place) {
        self.opened = Some(at);
        self.aside.clear();
    }

    /// The chain that is open is over: what did not fit stays as it was reported, and the rest of it nobody can judge.
    fn resolve(&mut self) {
        self.step = None;
        if let Some(lost) = self.lost.take()
            && let Some(rest) = lost.rest
        {
            let event = self.report(What::Unjudged, rest);
            self.found.events[event].count = lost.count - 1;
            if self.opened.is_none()
                && let Some(chain) = self.found.chains.last_mut()
            {
                chain.ended = false;
            }
        }
        self.opened = None;
    }
}

fn fit(step: &Step, read: &Read<'_>) -> Option<Step> {
    let (integrity, next) = step.take_ready(read.data, read.ready);
    (read.line.integrity == Some(integrity)).then_some(next)
}

/// The same of a line that was put aside.
fn fit_raw(step: &Step, raw: &[u8], form: Form) -> Option<Step> {
    let mut made = Vec::new();
    let line = parse(raw, form, &mut made);
    fit(step, &Read { raw, line: &line, data: line.data(raw, &made), ready: None })
}
