//! What text claims before anything is verified: seals by the places of their fields, statements, newest chains.
//!
//! Nothing that is read here is authentic, and no verdict hangs on it: it tells a reader where to look again, a writer
//! which file is its own, and an intruder of the self-test where to strike.
//!
//! ```
//! use tallystick_core::claims::{newest_chain, seal_text};
//! let line = b"user=7 tally=oedhcsck.1.0.1.6.nlVE6ODUh8wL_0Qn_gqnEQ";
//! let seal = seal_text(line).unwrap();
//! assert_eq!(&line[..seal.start], b"user=7");
//! assert_eq!(&line[seal.fields[4].clone()], b"6");
//! assert_eq!(newest_chain(line, b"oedhcsck"), Some(1));
//! ```

use memchr::memmem;
use std::ops::Range;

use crate::line::{self, Form, LogId, Position, Proof, Seal};
use crate::seal::keys::name_is_valid;
use crate::seal::statement::{control_text, control_text_open};

/// A well-formed seal at the end of a line, by the places of its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealText {
    /// The seal.
    pub seal: Seal,
    /// Where it begins, with the blank or comma that joins it to the text.
    pub start: usize,
    /// Where log id, chain, epoch, index, length and tag stand.
    pub fields: [Range<usize>; 6],
}

/// The seal at the end of a line, unless the line is a redacted one.
#[must_use]
pub fn seal_text(line: &[u8]) -> Option<SealText> {
    let line = line::trim(line);
    let (seal, form, from) = line::seal_at_end(line)?;
    if !matches!(seal.proof, Proof::Tag { .. }) {
        return None;
    }
    let mut at = from;
    let fields = std::array::from_fn(|field| {
        let rest = &line[at..];
        // The last field, the tag, has 22 characters.
        let length = rest.iter().position(|b| *b == b'.').filter(|_| field < 5).unwrap_or(22);
        let place = at..at + length;
        at = (place.end + 1).min(line.len());
        place
    });
    Some(SealText { seal, start: label_start(line, form, from), fields })
}

/// Where the label of a seal begins whose text begins at `from`, with the blank or comma before it.
fn label_start(line: &[u8], form: Form, from: usize) -> usize {
    let (label, joint) = match form {
        Form::Plain => (b"tally=".len(), b' '),
        Form::Json => (b"\"tally\":\"".len(), b','),
    };
    let start = from - label;
    start - usize::from(line[..start].last() == Some(&joint))
}

/// The log and the position that a line claims by the seal at its end, redacted or not.
#[must_use]
pub fn position(line: &[u8]) -> Option<(LogId, Position)> {
    let (seal, _, _) = line::seal_at_end(line::trim(line))?;
    Some((seal.log, seal.at))
}

/// The words of the statement in a line that is a control line of its chain, by all that can be seen without a key.
#[must_use]
pub fn statement_words(line: &[u8]) -> Option<Vec<&[u8]>> {
    let line = line::trim(line);
    let (seal, form, from) = line::seal_at_end(line)?;
    let before = &line[..label_start(line, form, from)];
    let text = match form {
        Form::Plain => control_text(before)?,
        Form::Json => control_text_open(before)?,
    };
    let words: Vec<_> = text.split(|b| *b == b' ').collect();
    let printable = text.iter().all(|b| matches!(b, b' '..=b'~'));
    // An application may log anything, also what looks like a statement of another place.
    let at = |place: usize, number: u32| {
        words.get(place).is_some_and(|word| *word == number.to_string().as_bytes())
    };
    let Position { chain, epoch, index } = seal.at;
    let kind = match words.get(1) {
        Some(&b"open" | &b"checkpoint") => true,
        Some(&b"notice") => at(5, epoch.into()) && at(6, index.into()),
        _ => false,
    };
    let here = at(4, chain);
    (kind && printable && here && words.len() >= 9).then_some(words)
}

/// The chain that the last mention of a log in some text claims, as a seal does: log id, dot, number.
#[must_use]
pub fn newest_chain(text: &[u8], log: &[u8; 8]) -> Option<u64> {
    let claim = [&log[..], b"."].concat();
    number(&text[memmem::rfind(text, &claim)? + claim.len()..], 10).filter(|chain| *chain > 0)
}

/// Log, chain and time of the first opening in some text.
#[must_use]
pub fn first_opening(text: &[u8]) -> Option<(LogId, u64, u64)> {
    memmem::find_iter(text, OPENING).find_map(|at| {
        let mut words = text[at + OPENING.len()..].splitn(5, |b| *b == b' ');
        let name = words.next().and_then(|word| std::str::from_utf8(word).ok())?;
        let log = LogId::parse(words.next()?)?;
        let (chain, time) = (whole(words.next()?, 10)?, whole(words.next()?, 16)?);
        // A fifth word: the time ends here.
        (name_is_valid(name) && words.next().is_some()).then_some((log, chain, time))
    })
}

const OPENING: &[u8] = b"tallystick/v1 open ";

/// A text of digits, at most so many.
fn whole(text: &[u8], most: usize) -> Option<u64> {
    (text.len() <= most && text.iter().all(u8::is_ascii_digit)).then(|| number(text, most)).flatten()
}

/// The digits at the beginning of a text, at most so many; more than 19 would overflow.
fn number(text: &[u8], most: usize) -> Option<u64> {
    let digits = text.iter().take(most).take_while(|b| b.is_ascii_digit());
    digits.fold(None, |value, digit| Some(value.unwrap_or(0) * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = b"user=7 tally=oedhcsck.12.3.45.6.nlVE6ODUh8wL_0Qn_gqnEQ";
    const JSON: &[u8] = br#"{"a":1,"tally":"oedhcsck.1.0.8.7.vPg5NFLaYwzmasR0A19JMA"} "#;

    fn fields(line: &[u8]) -> Vec<&[u8]> {
        seal_text(line)
            .map(|seal| seal.fields.iter().map(|at| &line[at.clone()]).collect())
            .unwrap_or_default()
    }

    #[test]
    fn a_seal_is_found_by_the_places_of_its_fields() {
        assert_eq!(fields(PLAIN), [&b"oedhcsck"[..], b"12", b"3", b"45", b"6", b"nlVE6ODUh8wL_0Qn_gqnEQ"]);
        assert_eq!(fields(JSON), [&b"oedhcsck"[..], b"1", b"0", b"8", b"7", b"vPg5NFLaYwzmasR0A19JMA"]);
        assert_eq!(seal_text(PLAIN).map(|seal| seal.start), Some(6));
        assert_eq!(seal_text(JSON).map(|seal| seal.start), Some(6));
        assert_eq!(seal_text(&PLAIN[7..]).map(|seal| seal.start), Some(0));
    }

    #[test]
    fn a_redacted_line_has_a_position_and_no_fields() {
        let line = [b"[redacted] tally=oedhcsck.1.2.3.~", &[b'A'; 43][..], b".", &[b'A'; 22]].concat();
        assert_eq!(seal_text(&line), None);
        assert_eq!(position(&line).map(|(_, at)| at), Some(Position::new(1, 2, 3)));
        assert_eq!(position(b"user=7"), None);
    }

    #[test]
    fn a_statement_is_one_by_its_words_and_by_its_place() {
        let line = |chain: &str, at: &str| {
            format!(
                "tallystick/v1 open app oedhcsck {chain} 7 p c s tally=oedhcsck.{at}.0.0.9.nlVE6ODUh8wL_0Qn_gqnEQ"
            )
        };
        assert_eq!(statement_words(line("3", "3").as_bytes()).map(|words| words.len()), Some(9));
        assert_eq!(statement_words(line("3", "4").as_bytes()), None);
        assert_eq!(statement_words(format!("x{}", line("3", "3")).as_bytes()), None);
        assert_eq!(statement_words(line("3 \u{e9}", "3").as_bytes()), None);
        let json = line("3", "3").replace(" tally=", "\",\"tally\":\"");
        let json = format!("{{\"tallystick\":\"{json}\"}}");
        assert_eq!(statement_words(json.as_bytes()).map(|words| words[1]), Some(&b"open"[..]));
        assert_eq!(statement_words(PLAIN), None);
    }

    #[test]
    fn the_last_mention_of_a_log_tells_its_newest_chain() {
        let text = b"tally=oedhcsck.7.0.1.1.A\ntally=oedhcsck.4294967295.0.1.1.A\ntally=aaaaaaaa.9.";
        assert_eq!(newest_chain(text, b"oedhcsck"), Some(4_294_967_295));
        assert_eq!(newest_chain(text, b"aaaaaaaa"), Some(9));
        assert_eq!(newest_chain(text, b"bbbbbbbb"), None);
        assert_eq!(newest_chain(b"oedhcsck.0.", b"oedhcsck"), None);
        assert_eq!(newest_chain(b"oedhcsck.7. oedhcsck.", b"oedhcsck"), None);
        assert_eq!(newest_chain(b"oedhcsck.12345678901234567890123", b"oedhcsck"), Some(1_234_567_890));
    }

    #[test]
    fn the_first_opening_tells_log_chain_and_time() {
        let text = b"x tallystick/v1 open app oedhcsck 3 1795401650000 p tallystick/v1 open b aaaaaaaa 1 2 ";
        let id = |text: &[u8; 8]| LogId(*text);
        assert_eq!(first_opening(text), Some((id(b"oedhcsck"), 3, 1_795_401_650_000)));
        assert_eq!(first_opening(&text[3..]), Some((id(b"aaaaaaaa"), 1, 2)));
        for bad in [
            "app oedhcsck 3 7",
            "app oedhcsck 3x 7 ",
            "app OEDHCSCK 3 7 ",
            "a/b oedhcsck 3 7 ",
            "app oedhcsck  7 ",
        ] {
            assert_eq!(first_opening(format!("tallystick/v1 open {bad}").as_bytes()), None, "{bad}");
        }
    }
}
