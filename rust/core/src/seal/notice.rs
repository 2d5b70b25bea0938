//! What the log itself has to say: the kind and the text of a notice (SPEC section 5).
//!
//! A text is any bytes. In a statement it is printable ASCII without blanks, quotes, backslashes and equals signs: it
//! can break neither the line nor its JSON form, holds nothing that looks like a seal, and has one spelling.
//!
//! ```
//! use tallystick_core::seal::notice::{decode, encode};
//! # fn main() -> Result<(), tallystick_core::Error> {
//! assert_eq!(encode("50 % of \"all\"\n".as_bytes())?, "50+%25+of+%22all%22%0A");
//! assert_eq!(decode(b"50+%25"), Some(b"50 %".to_vec()));
//! assert_eq!(decode(b"50%20%25"), None);                         // a blank is a plus, and nothing else
//! # Ok(()) }
//! ```

use crate::Error;
use crate::hash::Digest;
use crate::line::Position;
use crate::seal::keys::PublicKey;
use crate::text::num;

/// What the log itself has to say.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Notice {
    /// A word for what it is about.
    pub kind: String,
    /// Any bytes; for people mostly UTF-8.
    pub text: Vec<u8>,
}

/// What a file held before the log's first line (SPEC section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// SHA-256 of it.
    pub sha256: Digest,
    /// Its bytes.
    pub size: u64,
    /// How many of them are LF.
    pub lines: u64,
}

impl Notice {
    /// What was adopted, if the notice says that.
    #[must_use]
    pub fn past(&self) -> Option<Past> {
        if self.kind.as_bytes() == ADOPTED { Past::parse(&self.text) } else { None }
    }
}

impl Notice {
    /// Says which log this one follows.
    ///
    /// # Errors
    /// None for a valid name.
    pub(super) fn predecessor_of(log: &PublicKey) -> Result<Self, Error> {
        let text = format!("{} {}", log.log_id(), log.to_text()?).into_bytes();
        Ok(Self { kind: PREDECESSOR.into(), text })
    }

    /// The log that this one follows, if the notice says so right after an opening.
    ///
    /// It vouches for that only if no head counts anything before that opening: nobody could say it later.
    #[must_use]
    pub fn predecessor(&self, at: Position) -> Option<PublicKey> {
        let after_opening = (at.epoch, at.index) == (0, 1);
        if self.kind == PREDECESSOR && after_opening { self.named() } else { None }
    }

    /// The log that follows this one, if the notice says so.
    #[must_use]
    pub fn successor(&self) -> Option<PublicKey> {
        if self.kind == "successor" { self.named() } else { None }
    }

    /// The log that the text names: `<log id> <tallypub1…>`.
    fn named(&self) -> Option<PublicKey> {
        let (id, key) = std::str::from_utf8(&self.text).ok()?.split_once(' ')?;
        let written = key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        PublicKey::parse(key).ok().filter(|named| written && named.log_id().as_str() == id)
    }
}

impl Past {
    /// Reads `sha256:<hex> <size> <lines>`; `None` if it is not exactly that.
    fn parse(text: &[u8]) -> Option<Self> {
        let mut words = text.strip_prefix(b"sha256:")?.split(|byte| *byte == b' ');
        let (digits, mut sha256) = (words.next()?, [0; 32]);
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in sha256.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = small(pair[0])? << 4 | small(pair[1])?;
        }
        let (size, lines) = (num(words.next()?, MOST)?, num(words.next()?, MOST)?);
        (size > 0 && words.next().is_none()).then_some(Self { sha256, size, lines })
    }
}

const ADOPTED: &[u8] = b"adopted";
const PREDECESSOR: &str = "predecessor";
const MOST: u64 = (1 << 53) - 1;

/// May a notice of this kind and text stand there? What is adopted can be adopted in one place only.
#[must_use]
pub fn may_stand(kind: &[u8], text: &[u8], at: Position) -> bool {
    let opening = (at.epoch, at.index) == (0, 0);
    !opening && (kind != ADOPTED || at == FIRST && Past::parse(text).is_some())
}

/// The only place at which a past is adopted: right after the first opening. An intruder who takes the host
/// later cannot write there.
const FIRST: Position = Position { chain: 1, epoch: 0, index: 1 };

fn small(letter: u8) -> Option<u8> {
    if letter.is_ascii_uppercase() { None } else { digit(letter.to_ascii_uppercase()) }
}

/// Longest text, as it stands in a statement.
pub const LONGEST_TEXT: usize = 4096;

/// Longest word for a kind.
const LONGEST_KIND: usize = 16;

/// What stands at the end of a text that was too long.
const MORE: &str = "%E2%80%A6";

/// Is this a word for a kind: 1 to 16 of `a-z`?
#[must_use]
pub fn is_kind(word: &[u8]) -> bool {
    (1..=LONGEST_KIND).contains(&word.len()) && word.iter().all(u8::is_ascii_lowercase)
}

/// The text of a notice of some kind at a position, as it stands in a statement.
///
/// # Errors
/// [`Error::Seal`] if the kind is no word for one, or no notice may say so there.
pub(super) fn written(kind: &str, text: &[u8], at: Position) -> Result<String, Error> {
    if !is_kind(kind.as_bytes()) {
        return Err(Error::Seal(format!("{kind:?} is no kind of notice")));
    }
    if !may_stand(kind.as_bytes(), text, at) {
        return Err(Error::Seal(format!("no notice of kind {kind} may say so at {at}")));
    }
    encode(text)
}

/// Does a byte stand for itself?
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"%+=\\".contains(&byte)
}

/// Writes a text as it stands in a statement; one that is too long ends in an ellipsis.
///
/// # Errors
/// [`Error::Seal`] for an empty text.
pub fn encode(text: &[u8]) -> Result<String, Error> {
    if text.is_empty() {
        return Err(Error::Seal("a notice without a text says nothing".into()));
    }
    let (mut out, mut cut) = (String::new(), 0);
    for chunk in text.utf8_chunks() {
        let chars =
            chunk.valid().char_indices().map(|(at, c)| &chunk.valid().as_bytes()[at..][..c.len_utf8()]);
        // A character is never cut, so that the rest of the text can be read.
        for bytes in chars.chain(chunk.invalid().chunks(1)) {
            for byte in bytes {
                match byte {
                    b' ' => out.push('+'),
                    byte if is_plain(*byte) => out.push(char::from(*byte)),
                    byte => {
                        out.push('%');
                        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
                        out.push(char::from(DIGITS[usize::from(byte & 15)]));
                    }
                }
            }
            if out.len() > LONGEST_TEXT {
                out.truncate(cut);
                out.push_str(MORE);
                return Ok(out);
            }
            if out.len() <= LONGEST_TEXT - MORE.len() {
                cut = out.len();
            }
        }
    }
    Ok(out)
}

/// Reads a text back; `None` if it is not exactly what [`encode`] may write.
#[must_use]
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    if !(1..=LONGEST_TEXT).contains(&text.len()) {
        return None;
    }
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                let byte = digit(digits[0])? << 4 | digit(digits[1])?;
                if byte == b' ' || is_plain(byte) {
                    return None;
                }
                out.push(byte);
                rest = after;
            }
            byte if is_plain(*byte) => out.push(*byte),
            _ => return None,
        }
    }
    Some(out)
}

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'A'..=b'F' => Some(letter - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_and_has_one_spelling() {
        let all: Vec<u8> = (0..=255).collect();
        for text in [&all[..], b" ", b"+ +", b"%41", "größer \u{2028}\0".as_bytes(), b"\xff\xfe\xc3"] {
            let written = encode(text).unwrap_or_default();
            assert_eq!(decode(written.as_bytes()).as_deref(), Some(text));
            assert!(written.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\=".contains(&byte)));
        }
        for bad in ["", "a b", "%4", "%zz", "%e2", "%41", "%20", "a\"", "a\\", "a\n", "ä"] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
        assert!(encode(b"").is_err());
    }

    #[test]
    fn a_text_that_is_too_long_ends_in_an_ellipsis_and_within_the_bound() {
        for piece in ["x", " ", "é", "🔐", "\n"] {
            for count in
                [LONGEST_TEXT / 3, LONGEST_TEXT - 1, LONGEST_TEXT, LONGEST_TEXT + 1, 2 * LONGEST_TEXT]
            {
                let text = piece.repeat(count);
                let written = encode(text.as_bytes()).unwrap_or_default();
                let back = decode(written.as_bytes()).and_then(|bytes| String::from_utf8(bytes).ok());
                let back = back.unwrap_or_default();
                let begun = back.strip_suffix('…').is_some_and(|begin| text.starts_with(begin));
                assert!(back == text || begun && written.len() > LONGEST_TEXT - 24, "{piece:?} {count}");
            }
        }
        assert_eq!(encode(&[b'x'; LONGEST_TEXT]).map(|text| text.len()), Ok(LONGEST_TEXT));
        assert_eq!(encode(&[b'x'; LONGEST_TEXT + 1]).map(|text| text.len()), Ok(LONGEST_TEXT));
    }

    #[test]
    fn a_kind_is_a_short_word() {
        assert!(is_kind(b"dropped"));
        for bad in ["", "Dropped", "a-b", "a b", "abcdefghijklmnopq", "é"] {
            assert!(!is_kind(bad.as_bytes()), "{bad}");
        }
    }
}
