//! What of a state at rest is no secret.

use std::fmt::Write as _;

use crate::Error;
use crate::seal::keys::{FANOUT, PublicKey};
use crate::text::{b64, b64_decode, num};

/// The part of the sealing state that anybody may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicState {
    /// P and name.
    pub public: PublicKey,
    /// Next chain number; `None` once the log has ended.
    pub next: Option<u32>,
    /// Grows with every replacement.
    pub version: u64,
    /// What wraps the data key.
    pub custody: String,
    /// The data key, wrapped.
    pub wrapped: Vec<u8>,
    /// A custody of before that may still open an older state, which no new secret came into since.
    pub exposed: Option<String>,
    /// The custody of before, and the wrapped key that it has to destroy before the next chain is opened.
    pub former: Option<(String, Vec<u8>)>,
    /// The key store that the log is being moved to, which may have a copy of this state.
    pub leaving: Option<String>,
    /// The log that this one follows, until a head counts the line that says so.
    pub follows: Option<PublicKey>,
    /// One `open` for each finished generation, oldest first.
    pub opens: Vec<String>,
    pub(super) chain_keys: Vec<[u8; 32]>,
}

pub(super) const FIRST_LINE: &str = "tallystick-state v1\n";

impl PublicState {
    pub(super) fn head_text(&self) -> Result<String, Error> {
        let next = self.next.map_or("ended".to_string(), |c| c.to_string());
        let mut text = format!(
            "{FIRST_LINE}public {}\nchain {next}\nversion {}\ncustody {}\nwrapped {}\n",
            self.public.to_text()?,
            self.version,
            self.custody,
            b64(&self.wrapped),
        );
        if let Some(custody) = &self.exposed {
            let _ = writeln!(text, "exposed {custody}");
        }
        if let Some((custody, wrapped)) = &self.former {
            let _ = writeln!(text, "former {} {custody}", b64(wrapped));
        }
        if let Some(store) = &self.leaving {
            let _ = writeln!(text, "leaving {store}");
        }
        if let Some(log) = &self.follows {
            let _ = writeln!(text, "follows {}", log.to_text()?);
        }
        let _ = writeln!(text, "keys {}", b64(&self.chain_keys.concat()));
        for open in &self.opens {
            text.push_str("open ");
            text.push_str(open);
            text.push('\n');
        }
        Ok(text)
    }

    /// Reads the public part of a state.
    ///
    /// # Errors
    /// [`Error::Format`] if the text is no state.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        Ok(split(text)?.0)
    }

    /// The version of a state, from its first lines: those with what is encrypted are not looked at.
    ///
    /// # Errors
    /// [`Error::Format`] if this is not the beginning of a state.
    pub fn version_of(beginning: &[u8]) -> Result<u64, Error> {
        let found = || {
            let mut lines = beginning.strip_prefix(FIRST_LINE.as_bytes())?.split(|byte| *byte == b'\n');
            lines.next()?.strip_prefix(b"public ")?;
            lines.next()?.strip_prefix(b"chain ")?;
            let version = num(lines.next()?.strip_prefix(b"version ")?, 1 << 53);
            lines.next().and(version) // one that is cut short is another number
        };
        found().ok_or_else(|| Error::Format("no sealing state: bad version".into()))
    }

    /// The public file: `tallypub1…`, then one `open` a line of each finished generation.
    ///
    /// # Errors
    /// None for a valid name.
    pub fn public_file(&self) -> Result<String, Error> {
        let mut text = self.public.to_text()? + "\n";
        for open in &self.opens {
            text.push_str(open);
            text.push('\n');
        }
        Ok(text)
    }
}

/// Public part of a state, the bytes that are associated data, and the encrypted part.
pub(super) type Parts<'a> = (PublicState, &'a [u8], Option<Vec<u8>>);

fn chain_of(text: &str) -> Option<u32> {
    let number = num(text.as_bytes(), u64::from(u32::MAX))?;
    u32::try_from(number).ok().filter(|chain| *chain > 0)
}

/// A custody of before and the wrapped key that it has to destroy.
fn former_of(text: &str) -> Option<(String, Vec<u8>)> {
    let (wrapped, custody) = text.split_once(' ')?;
    Some((custody.to_string(), b64_decode(wrapped.as_bytes())?))
}

/// Parses a state.
pub(super) fn split(text: &[u8]) -> Result<Parts<'_>, Error> {
    let bad = |what: &str| Error::Format(format!("no sealing state: {what}"));
    let text = std::str::from_utf8(text).map_err(|_| bad("not text"))?;
    let mut rest =
        text.strip_prefix(FIRST_LINE).ok_or_else(|| bad("its first line is not `tallystick-state v1`"))?;
    let mut field = |name: &str| -> Result<&str, Error> {
        let (line, after) = rest.split_once('\n').ok_or_else(|| bad("cut short"))?;
        let value = line.strip_prefix(name).and_then(|v| v.strip_prefix(' '));
        let value = value.ok_or_else(|| bad(&format!("no line `{name}` where it should be")))?;
        rest = after;
        Ok(value)
    };
    let public = PublicKey::parse(field("public")?)?;
    let next = match field("chain")? {
        "ended" => None,
        number => Some(chain_of(number).ok_or_else(|| bad("bad chain number"))?),
    };
    let version = num(field("version")?.as_bytes(), 1 << 53).ok_or_else(|| bad("bad version"))?;
    let custody = field("custody")?.to_string();
    let wrapped = b64_decode(field("wrapped")?.as_bytes()).ok_or_else(|| bad("bad wrapped key"))?;
    let exposed = field("exposed").ok().map(str::to_string);
    let former = field("former").ok().map(|text| former_of(text).ok_or_else(|| bad("bad former custody")));
    let former = former.transpose()?;
    let leaving = field("leaving").ok().map(str::to_string);
    let follows = field("follows").ok().map(PublicKey::parse).transpose()?;
    let keys = b64_decode(field("keys")?.as_bytes()).unwrap_or_default();
    let (chain_keys, over) = keys.as_chunks::<32>();
    if chain_keys.len() != FANOUT as usize || !over.is_empty() {
        return Err(bad("it must hold 256 chain keys"));
    }
    let mut opens = Vec::new();
    while let Some((line, after)) = rest.split_once('\n') {
        let Some(open) = line.strip_prefix("open ") else { break };
        opens.push(open.to_string());
        rest = after;
    }
    let aad = &text.as_bytes()[..text.len() - rest.len()];
    let secret = match rest.strip_prefix("secret ").and_then(|s| s.strip_suffix('\n')) {
        Some(secret) => Some(b64_decode(secret.as_bytes()).ok_or_else(|| bad("bad secret"))?),
        None if rest.is_empty() => None,
        None => return Err(bad("unknown line")),
    };
    Ok((
        PublicState {
            public,
            next,
            version,
            custody,
            wrapped,
            exposed,
            former,
            leaving,
            follows,
            opens,
            chain_keys: chain_keys.to_vec(),
        },
        aad,
        secret,
    ))
}
