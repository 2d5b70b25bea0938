//! Which of the texts that it is shown a witness accepts (SPEC section 11): pure rules, for whoever keeps the store.
//!
//! A witness goes forward in content, not only in number: a later text of an epoch comes with a proof that it goes on
//! from the accepted one, and another epoch or chain follows by the hash of the statement before it.

use std::cmp::Ordering;

use super::content::{Content, Verb, newest_after, reached};
use crate::hash::Digest;
use crate::seal::head::Mark;
use crate::seal::statement::{Body, Kind, Statement};
use crate::seal::tree::consistency::is_consistent;

/// What becomes of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It goes on from the text accepted last, which it contains: it takes its place.
    Newer,
    /// It is later, but nothing proves that it contains the text accepted last: it is accepted, and that one is kept.
    Gap,
    /// It says what the accepted one says, at a later time: the log is alive.
    SignOfLife,
    /// It is the accepted one, or says the same at no later time.
    Same,
    /// It is older, and contradicts nothing that is known: it is answered with the newest one.
    Older,
    /// It and a known text cannot both be true: both are evidence. The number is that of the known text.
    Fork(usize),
    /// It is not accepted.
    Refused(Refusal),
}

impl Decision {
    /// The words for all of them; a refusal is named for its reason.
    pub const WORDS: [&str; 11] = [
        "newer",
        "gap",
        "sign of life",
        "same",
        "older",
        "fork",
        "open first",
        "proof",
        "no text",
        "invalid",
        "no chain root",
    ];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS[match self {
            Self::Newer => 0,
            Self::Gap => 1,
            Self::SignOfLife => 2,
            Self::Same => 3,
            Self::Older => 4,
            Self::Fork(_) => 5,
            Self::Refused(Refusal::OpenFirst) => 6,
            Self::Refused(Refusal::Proof) => 7,
            Self::Refused(Refusal::NoText) => 8,
            Self::Refused(Refusal::Invalid) => 9,
            Self::Refused(Refusal::NoRoot) => 10,
        }]
    }
}

/// Why a text is not accepted, though it contradicts nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The first text of a chain must be its `open`.
    OpenFirst,
    /// It takes a consistency proof from the n accepted last.
    Proof,
    /// It is no text for a witness.
    NoText,
    /// It is not of this log, or its signatures, paths or cert do not hold.
    Invalid,
    /// The chain root of its generation is not known: an `open` of the generation before is lacking.
    NoRoot,
}

/// How an older text and one of a later epoch or chain stand to each other.
enum Link {
    Follows,
    Unknown,
    Contradicts,
}

/// Decides on a text whose signatures hold.
///
/// `known` are the texts of this log that no later one contains, in the order in which they were accepted, the newest last;
/// so it is empty only before the first one. `proof` is a consistency proof from n of the newest one.
#[must_use]
pub fn accept(known: &[Statement<'_>], text: &Statement<'_>, proof: &[Digest]) -> Decision {
    let Some(new) = Content::of(text) else { return Decision::Refused(Refusal::NoText) };
    // The newest one first: of several contradictions that one says the most.
    for (number, one) in known.iter().enumerate().rev() {
        let Some(old) = Content::of(one) else { continue };
        let contradicts = match (old.chain, old.epoch).cmp(&(new.chain, new.epoch)) {
            Ordering::Equal => in_epoch((one, &old), (text, &new), proof) == Decision::Fork(0),
            Ordering::Less => matches!(link(one, text), Link::Contradicts),
            Ordering::Greater => matches!(link(text, one), Link::Contradicts),
        };
        if contradicts {
            return Decision::Fork(number);
        }
    }
    let Some((one, old)) = known.last().and_then(|one| Some((one, Content::of(one)?))) else {
        return match text.body {
            Body::Open { prev } if prev.mark == Mark::setup() => Decision::Newer,
            Body::Open { .. } => Decision::Gap,
            _ => Decision::Refused(Refusal::OpenFirst),
        };
    };
    if (new.chain, new.epoch) == (old.chain, old.epoch) {
        return in_epoch((one, &old), (text, &new), proof);
    }
    if (new.chain, new.epoch) < (old.chain, old.epoch) {
        return Decision::Older;
    }
    if new.chain > old.chain && new.verb != Verb::Open {
        return Decision::Refused(Refusal::OpenFirst);
    }
    if matches!(link(one, text), Link::Follows) { Decision::Newer } else { Decision::Gap }
}

/// Two texts of one epoch. All heads of it and its checkpoint are prefixes of one list.
fn in_epoch(
    (known, old): (&Statement<'_>, &Content),
    (text, new): (&Statement<'_>, &Content),
    proof: &[Digest],
) -> Decision {
    const FORK: Decision = Decision::Fork(0);
    if old.verb == new.verb && known.hash() == text.hash() {
        return Decision::Same;
    }
    let goes_on = || {
        let proven = is_consistent((u32::from(old.n), &old.root), (u32::from(new.n), &new.root), proof);
        if proven { Decision::Newer } else { Decision::Refused(Refusal::Proof) }
    };
    match (old.verb, new.verb) {
        // An epoch has one checkpoint, and a chain one `open`: another one is another history, whatever it says.
        (Verb::Open, Verb::Open) | (Verb::Checkpoint, Verb::Checkpoint) => FORK,
        (Verb::Open, _) => {
            if new.newest == known.hash() {
                goes_on()
            } else {
                FORK
            }
        }
        (_, Verb::Open) => {
            if old.newest == text.hash() {
                Decision::Older
            } else {
                FORK
            }
        }
        _ if old.newest != new.newest => FORK,
        _ if old.n == new.n && old.root != new.root => FORK,
        (Verb::Checkpoint, Verb::Head) => {
            if new.n > old.n {
                FORK
            } else {
                Decision::Older
            }
        }
        (Verb::Head, Verb::Checkpoint) => {
            if new.n < old.n {
                FORK
            } else {
                goes_on()
            }
        }
        (Verb::Head, Verb::Head) if new.n > old.n => goes_on(),
        (Verb::Head, Verb::Head) if new.n < old.n => Decision::Older,
        (Verb::Head, Verb::Head) if text.time > known.time => Decision::SignOfLife,
        (Verb::Head, Verb::Head) => Decision::Same,
    }
}

/// A text and one of a later epoch or chain: by the hash of the statement before it.
fn link(older: &Statement<'_>, newer: &Statement<'_>) -> Link {
    let holds = |follows: bool| if follows { Link::Follows } else { Link::Contradicts };
    let ending = match older.body {
        Body::Checkpoint { kind, .. } => Some(kind),
        _ => None,
    };
    if older.chain == newer.chain {
        let next = older.position().epoch.checked_add(1) == Some(newer.position().epoch);
        return match (ending, Content::of(newer)) {
            (Some(Kind::Closed | Kind::Ended), _) => Link::Contradicts,
            (Some(Kind::Continues), Some(new)) if next => holds(new.newest == older.hash()),
            _ => Link::Unknown,
        };
    }
    if ending == Some(Kind::Ended) {
        return Link::Contradicts;
    }
    let Body::Open { prev } = newer.body else { return Link::Unknown };
    let reached = reached(older);
    if prev.mark.at < reached {
        // The key store's head counted what a witness has been shown: before this opening the log was longer.
        return Link::Contradicts;
    }
    if prev.mark.at == reached {
        return match holds(prev.mark.hash == newest_after(older)) {
            // It names the statement before it, and not the lines after that.
            Link::Follows if matches!(older.body, Body::Head { .. }) => Link::Unknown,
            other => other,
        };
    }
    if prev.mark.at.chain == older.chain && ending == Some(Kind::Closed) {
        Link::Contradicts
    } else {
        Link::Unknown
    }
}
