//! A verification, whose states own what they know: a wrong order does not compile.
//!
//! The passes are one over everything; with P only, one over the RFC 8785 form of epochs whose R does not match; and
//! for epochs in which a position was seen more than once, one or more line by line.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::copies::{BrokenEnd, broken_ends};
use super::duplicates;
use super::ends::{Ends, Expected};
use super::facts::Facts;
use super::known::Known;
use super::settled::Settled;
use super::shown::Batch;
use super::{groups, resolve, rewritten, torn};
use crate::scan::summary::{EpochId, LogNumber, Summary};
use crate::scan::{Keys, Mode};

/// Lines that are looked at one by one in one pass; about 100 bytes of memory each.
const BATCH: u64 = 400_000;

/// Which pass comes next.
enum Stage {
    All,
    Rewritten,
    Closely { batches: VecDeque<BTreeSet<EpochId>> },
    Shown { batches: VecDeque<Batch>, rewritten: bool },
}

/// A verification between two passes.
pub struct Verification {
    known: Known,
    stage: Stage,
}

/// What comes next.
pub enum Step {
    /// A pass over the whole input.
    Pass(Box<Pass>),
    /// Nothing has to be read any more.
    Complete(Box<Complete>),
}

/// A pass over the whole input: each part of it is scanned once, in any order.
pub struct Pass {
    known: Known,
    stage: Stage,
    mode: Arc<Mode>,
    files: Option<BTreeSet<u32>>,
    found: Option<Summary>,
}

/// A verification that has read everything.
pub struct Complete {
    keys: Arc<Keys>,
    facts: Facts,
}

impl Verification {
    /// A verification of some logs. Their keys cannot be changed while it goes on.
    #[must_use]
    pub fn new(keys: Arc<Keys>) -> Self {
        let (summary, duplicates, looked_at, outside, rewritten, shown, settled) = Default::default();
        let known = Known { keys, summary, duplicates, looked_at, outside, rewritten, shown, settled };
        Self { known, stage: Stage::All }
    }

    /// Takes signed heads and statements that the lines are held against, with the numbers of their logs.
    #[must_use]
    pub fn with_shown(mut self, texts: Vec<(LogNumber, Vec<u8>)>) -> Self {
        self.known.shown.texts = texts;
        self
    }

    /// The next pass, if one is needed.
    #[must_use]
    pub fn next_pass(self) -> Step {
        let Self { known, mut stage } = self;
        let mut files = None;
        let mode = match &mut stage {
            Stage::All => Mode::All,
            Stage::Rewritten => {
                let epochs = rewritten::candidates(&known);
                if epochs.is_empty() {
                    let stage = closely(&known);
                    return Self { known, stage }.next_pass();
                }
                Mode::Canonical(epochs)
            }
            Stage::Closely { batches } => {
                let Some(batch) = batches.pop_front() else {
                    let batches = known.shown_batches(BATCH, false).into();
                    return Self { known, stage: Stage::Shown { batches, rewritten: false } }.next_pass();
                };
                Mode::Detail(batch, known.rewritten.clone())
            }
            Stage::Shown { batches, rewritten } => match batches.pop_front() {
                Some((batch, within)) => {
                    files = within;
                    let mut forms = known.rewritten.clone();
                    if *rewritten {
                        forms.extend(&batch);
                    }
                    Mode::Detail(batch, forms)
                }
                None if !*rewritten => {
                    let batches = known.shown_batches(BATCH, true).into();
                    return Self { known, stage: Stage::Shown { batches, rewritten: true } }.next_pass();
                }
                None => return Step::Complete(Box::new(Complete::new(known))),
            },
        };
        Step::Pass(Box::new(Pass { known, stage, mode: Arc::new(mode), files, found: None }))
    }
}

impl Pass {
    /// What its scans look for.
    #[must_use]
    pub fn mode(&self) -> &Arc<Mode> {
        &self.mode
    }

    /// The files that have to be read for it; `None` for all.
    #[must_use]
    pub fn files(&self) -> Option<&BTreeSet<u32>> {
        self.files.as_ref()
    }

    /// Takes in what was found in a part of the input, or in several parts.
    pub fn merge(&mut self, part: Summary) {
        match &mut self.found {
            Some(found) => found.merge(part),
            None => self.found = Some(part),
        }
    }

    /// Takes in what was found and judged in a part of the input before, in the place of all other such parts. It is of
    /// use in the first pass, and for the keys that it was judged with.
    pub fn take_settled(&mut self, settled: &Arc<Settled>) {
        self.merge(settled.summary());
        self.known.settled = Some(settled.clone()).filter(|settled| settled.is_of(&self.known.keys));
    }

    /// Ends the pass: every part of the input was scanned.
    #[must_use]
    pub fn finish(self) -> Verification {
        let Self { mut known, stage, found, .. } = self;
        let found = found.unwrap_or_default();
        let stage = match stage {
            Stage::All => {
                known.summary = found;
                let settled = known.settled.as_deref();
                resolve::resolve(&mut known.summary, &known.keys, |log, number, chain| {
                    settled?.resolved(log, number, chain)
                });
                Stage::Rewritten
            }
            Stage::Rewritten => {
                known.rewritten = rewritten::adopt(&mut known.summary, found);
                closely(&known)
            }
            Stage::Closely { .. } => {
                known.summary.merge(found);
                duplicates::resolve(&mut known);
                stage
            }
            Stage::Shown { .. } => {
                known.summary.merge(found);
                known.take_shown();
                stage
            }
        };
        Verification { known, stage }
    }
}

/// What has to be looked at line by line, in batches that fit the memory.
fn closely(known: &Known) -> Stage {
    let mut batches = VecDeque::from([BTreeSet::new()]);
    let mut lines = 0;
    for (epoch, count) in duplicates::doubtful(known) {
        if lines >= BATCH {
            batches.push_back(BTreeSet::new());
            lines = 0;
        }
        if let Some(batch) = batches.back_mut() {
            batch.insert(epoch);
        }
        lines += count;
    }
    batches.retain(|batch| !batch.is_empty());
    Stage::Closely { batches }
}

impl Complete {
    fn new(mut known: Known) -> Self {
        let found = duplicates::all(&mut known);
        let shown = known.judge_shown();
        groups::join(&mut known);
        let facts = Facts::new(known.summary, found, known.outside, known.rewritten);
        let facts = facts.with_shown(shown).with_settled(known.settled);
        Self { keys: known.keys, facts }
    }

    /// What is known before torn lines are decided on.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Broken ends of files that may be those of copies: the caller looks whether the whole line stands elsewhere.
    #[must_use]
    pub fn broken_ends(&self, expected: &Expected) -> Vec<BrokenEnd> {
        broken_ends(&self.facts, &self.keys, expected)
    }

    /// Decides which lines are torn, whose claims then hide nothing that is missing, and from where on logs are judged.
    ///
    /// `copies` are the events of those [`broken_ends`](Self::broken_ends) whose line stands whole in another file.
    #[must_use]
    pub fn finish(self, expected: &Expected, copies: &BTreeSet<usize>) -> Facts {
        let torn = torn::torn_lines(&self.facts, &self.keys, expected, copies);
        let facts = self.facts.with_torn(torn);
        let extents = Ends::of_all(&facts, &self.keys, expected).into_iter().map(Ends::extent).collect();
        facts.with_extents(extents)
    }
}
