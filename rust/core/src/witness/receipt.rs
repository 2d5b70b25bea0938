//! Receipts and answers (SPEC section 11).
//!
//! ```text
//! tallystick/v1 receipt                      tallystick/v1 answer
//! log <b64(P)>                               nonce <b64(32 bytes)>
//! says <verb> <chain> <epoch> <n> <R> <newest>   log <b64(P)>
//! text <b64(H(signed text))>                 now <ms>
//! time <ms>                                  text <ms> <0 or 1> <signed text>
//! gap <0 or 1>                               …
//! ```

use std::fmt::Write as _;

use super::content::Content;
use super::note::NoteSigner;
use crate::Error;
use crate::hash::Digest;
use crate::seal::statement::{MAX_TIME, Statement};
use crate::text::{b64, b64_fixed, num};

/// First line of a receipt.
pub(super) const RECEIPT: &[u8] = b"tallystick/v1 receipt";

/// First line of an answer.
const ANSWER: &[u8] = b"tallystick/v1 answer";

/// What a witness says of one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// P.
    pub log: Digest,
    /// What the text says.
    pub content: Content,
    /// SHA-256 of the text.
    pub text: Digest,
    /// When the witness accepted it, ms since 1970.
    pub time: u64,
    /// Does nothing prove that it contains the text that was accepted before it?
    pub gap: bool,
}

/// The lines of a note's text, each told by its first word.
struct Lines<'a>(std::slice::Split<'a, u8, fn(&u8) -> bool>);

impl<'a> Lines<'a> {
    fn of(text: &'a [u8], first: &[u8]) -> Option<Self> {
        let is_end: fn(&u8) -> bool = |b| *b == b'\n';
        let mut lines = text.strip_suffix(b"\n")?.split(is_end);
        (lines.next()? == first).then_some(Self(lines))
    }

    fn field(&mut self, name: &str) -> Option<&'a [u8]> {
        word(self.0.next()?, name)
    }
}

/// What stands after the first word of a line.
fn word<'a>(line: &'a [u8], name: &str) -> Option<&'a [u8]> {
    line.strip_prefix(name.as_bytes())?.strip_prefix(b" ")
}

fn flag(text: &[u8]) -> Option<bool> {
    num(text, 1).map(|value| value == 1)
}

impl Receipt {
    /// What a witness says of a text; `None` for one that no witness takes.
    #[must_use]
    pub fn of(log: Digest, text: &Statement<'_>, time: u64, gap: bool) -> Option<Self> {
        let content = Content::of(text)?;
        Some(Self { log, content, text: text.hash(), time: time.min(MAX_TIME), gap })
    }

    /// Reads the text of a note; `None` for anything else.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut lines = Lines::of(text, RECEIPT)?;
        let receipt = Self {
            log: b64_fixed(lines.field("log")?)?,
            content: Content::parse(lines.field("says")?)?,
            text: b64_fixed(lines.field("text")?)?,
            time: num(lines.field("time")?, MAX_TIME)?,
            gap: flag(lines.field("gap")?)?,
        };
        lines.0.next().is_none().then_some(receipt)
    }

    /// Is it about this text of this log?
    #[must_use]
    pub fn is_of(&self, log: &Digest, text: &Statement<'_>) -> bool {
        Self::of(*log, text, self.time, self.gap).as_ref() == Some(self)
    }

    /// The signed note.
    #[must_use]
    pub fn sign(&self, signer: &NoteSigner) -> String {
        let Self { log, content, text, time, gap } = self;
        signer.sign(&format!(
            "tallystick/v1 receipt\nlog {}\nsays {content}\ntext {}\ntime {time}\ngap {}\n",
            b64(log),
            b64(text),
            u8::from(*gap)
        ))
    }
}

/// A text that a witness holds, in its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held<'a> {
    /// When it was accepted, ms since 1970; of a sign of life, the time of that.
    pub time: u64,
    /// As in its receipt.
    pub gap: bool,
    /// The signed text.
    pub text: &'a [u8],
}

/// What a witness answers to somebody who asks for a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<'a> {
    /// What the one who asked chose at random.
    pub nonce: [u8; 32],
    /// P.
    pub log: Digest,
    /// The witness's own time, ms since 1970.
    pub now: u64,
    /// The texts that no later one contains, in the order in which they were accepted, the newest last.
    pub texts: Vec<Held<'a>>,
}

impl<'a> Answer<'a> {
    /// Reads the text of a note; `None` for anything else.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let mut lines = Lines::of(text, ANSWER)?;
        let (nonce, log) = (b64_fixed(lines.field("nonce")?)?, b64_fixed(lines.field("log")?)?);
        let now = num(lines.field("now")?, MAX_TIME)?;
        let mut texts: Vec<Held<'a>> = Vec::new();
        for line in lines.0 {
            let mut words = word(line, "text")?.splitn(3, |b| *b == b' ');
            let (time, gap) = (num(words.next()?, now)?, flag(words.next()?)?);
            let text = words.next()?;
            Statement::parse_shown(text)?;
            // Its time never goes back.
            if texts.last().is_some_and(|before| before.time > time) {
                return None;
            }
            texts.push(Held { time, gap, text });
        }
        Some(Self { nonce, log, now, texts })
    }

    /// The signed note.
    ///
    /// # Errors
    /// [`Error::Format`] for texts or times that no answer holds.
    pub fn sign(&self, signer: &NoteSigner) -> Result<String, Error> {
        let Self { nonce, log, now, texts } = self;
        let mut said = format!("tallystick/v1 answer\nnonce {}\nlog {}\nnow {now}\n", b64(nonce), b64(log));
        for held in texts {
            let text = String::from_utf8_lossy(held.text);
            let _ = writeln!(said, "text {} {} {text}", held.time, u8::from(held.gap));
        }
        if Answer::parse(said.as_bytes()).as_ref() != Some(self) {
            return Err(Error::Format(
                "no answer: its texts are not those of a log, or their times not in order".into(),
            ));
        }
        Ok(signer.sign(&said))
    }
}
