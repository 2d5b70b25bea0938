//! What logs whose key is not at hand say of each other: the log before them, the log after them (SPEC section 9).

use std::collections::{BTreeMap, BTreeSet};

use memchr::memmem;
use serde::{Deserialize, Serialize};

use crate::line::{LogId, Position};
use crate::seal::notice::Notice;
use crate::seal::statement::{Body, Statement};

/// Statements of logs whose key is not at hand, as far as they may say which log is before or after theirs.
///
/// Nothing of it was checked. Forged ones may take the place of genuine ones, which then name nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kin(pub(crate) BTreeMap<LogId, Claims>);

/// What one log says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// Notices that name a log, the lowest by position.
    pub(crate) notices: BTreeSet<(Position, Vec<u8>)>,
    /// The lowest opening of each generation.
    pub(crate) opens: BTreeMap<u32, (Position, Vec<u8>)>,
}

/// Logs, notices of each, and generations of each, that are kept: a flood of them must cost no memory.
pub(crate) const MOST_LOGS: usize = 16;
const MOST_NOTICES: usize = 8;
const MOST_OPENS: usize = 64;

impl Kin {
    /// Notes what a line of such a log may say.
    pub(in crate::scan) fn note(&mut self, id: LogId, line: &[u8]) {
        let Some(statement) = spoken(line).and_then(Statement::parse).filter(|s| s.log() == id) else {
            return;
        };
        let at = statement.position();
        let names = |notice: Notice| notice.predecessor(at).or_else(|| notice.successor()).is_some();
        if let Body::Open { .. } = statement.body {
            self.0.entry(id).or_default().take_open(statement.generation(), (at, statement.text.to_vec()));
        } else if statement.notice().is_some_and(names) {
            self.0.entry(id).or_default().notices.insert((at, statement.text.to_vec()));
        } else {
            return;
        }
        self.trim();
    }

    /// Takes in what other lines say.
    pub(super) fn merge(&mut self, other: Kin) {
        for (id, said) in other.0 {
            let mine = self.0.entry(id).or_default();
            mine.notices.extend(said.notices);
            said.opens.into_iter().for_each(|(generation, open)| mine.take_open(generation, open));
        }
        self.trim();
    }

    /// Whatever is merged when, the same is left.
    fn trim(&mut self) {
        while self.0.len() > MOST_LOGS {
            self.0.pop_last();
        }
        for said in self.0.values_mut() {
            while said.notices.len() > MOST_NOTICES {
                said.notices.pop_last();
            }
            while said.opens.len() > MOST_OPENS {
                said.opens.pop_last();
            }
        }
    }
}

impl Claims {
    fn take_open(&mut self, generation: u32, open: (Position, Vec<u8>)) {
        let old = self.opens.entry(generation).or_insert_with(|| open.clone());
        if open < *old {
            *old = open;
        }
    }
}

/// The statement in a line, wherever it stands: it proves itself.
fn spoken(line: &[u8]) -> Option<&[u8]> {
    let text = &line[memmem::find(line, b"tallystick/v1 ")?..];
    let end = text.iter().position(|byte| *byte == b'"').into_iter().chain(memmem::find(text, b" tally="));
    Some(&text[..end.min().unwrap_or(text.len())])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Openings of made-up logs, as lines: nobody has checked a signature when they are noted.
    fn lines() -> impl Iterator<Item = (LogId, Vec<u8>)> {
        let log = include_bytes!("../../../../../spec/vectors/plain.log");
        let open = std::str::from_utf8(log.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
        let id = "oedhcsck";
        assert!(open.contains(&format!(" open payments {id} 1 ")));
        let letters = || ('a'..='z').chain('2'..='7');
        letters().flat_map(move |one| letters().map(move |two| format!("aaaaaa{one}{two}"))).flat_map(
            move |other| {
                [1, 300, 40_000].map(|chain| {
                    let line = open.replace(&format!("{id} 1 "), &format!("{other} {chain} "));
                    (LogId::parse(other.as_bytes()).unwrap(), line.into_bytes())
                })
            },
        )
    }

    #[test]
    fn a_flood_of_logs_is_kept_within_bounds_and_in_whichever_order_it_comes_the_same_stays() {
        let (mut whole, mut one, mut two) = (Kin::default(), Kin::default(), Kin::default());
        for (number, (id, line)) in lines().enumerate() {
            whole.note(id, &line);
            if number % 3 == 0 { &mut one } else { &mut two }.note(id, &line);
        }
        assert_eq!(whole.0.len(), MOST_LOGS);
        assert!(whole.0.values().all(|claims| claims.opens.len() == 3));
        let mut other = two.clone();
        other.merge(one.clone());
        one.merge(two);
        assert!(one == other && one == whole);
    }

    #[test]
    fn a_statement_is_found_wherever_it_stands_in_its_line() {
        for line in [
            "tallystick/v1 x tally=s",
            "<5> a: tallystick/v1 x tally=s",
            "{\"tallystick\":\"tallystick/v1 x\"}",
        ] {
            assert_eq!(spoken(line.as_bytes()), Some(&b"tallystick/v1 x"[..]));
        }
        assert_eq!(spoken(b"nothing"), None);
    }
}
