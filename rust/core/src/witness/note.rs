//! Signed notes of C2SP (`signed-note.md`), with plain Ed25519 keys.
//!
//! A note is a text of lines, a blank line, and a line for each signature: `— <name> <base64 of key id and signature>`.
//! The key id is the first 4 bytes of SHA-256 over name, LF, 0x01 and the key. A verifier key is written
//! `<name>+<key id in hexadecimal>+<base64 of 0x01 and the key>`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use zeroize::Zeroizing;

use crate::Error;
use crate::hash::sha256;
use crate::seal::keys::{SignKey, signature_holds};
use crate::secret::Secret;

/// Type of a plain Ed25519 key.
const ED25519: u8 = 1;

/// A note has so many signatures at most.
const MOST_SIGNATURES: usize = 64;

/// How the text of a secret key begins.
const PRIVATE: &str = "PRIVATE+KEY+";

const DASH: &[u8] = "— ".as_bytes();

/// The public key of a signer of notes, and its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NoteKey {
    /// Its name: printable ASCII without blanks and `+`.
    pub name: String,
    /// The key.
    pub public: [u8; 32],
}

impl NoteKey {
    /// A key with a name.
    ///
    /// # Errors
    /// [`Error::Format`] for a name that cannot stand in a note.
    pub fn new(name: &str, public: [u8; 32]) -> Result<Self, Error> {
        if !is_name(name) {
            let text = "a witness's name has 1 to 255 printable ASCII letters, none of them a blank or +";
            return Err(Error::Format(text.into()));
        }
        Ok(Self { name: name.to_owned(), public })
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`Error::Format`] for anything else.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (name, public) = read_key(text, ED25519).ok_or_else(|| {
            Error::Format(
                "no key of a witness: it is NAME+ID+KEY, as `tallystick witness key` prints it".into(),
            )
        })?;
        Self::new(name, public)
    }

    /// Text form.
    #[must_use]
    pub fn to_text(&self) -> String {
        key_text(&self.name, ED25519, &self.public)
    }

    fn id(&self) -> [u8; 4] {
        key_id(&self.name, ED25519, &self.public)
    }

    fn id_text(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.id()))
    }
}

/// Can it be the name of a key?
fn is_name(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && b != b'+')
}

/// The bytes by which a signature names its key: of a name, a type and a public key.
pub(super) fn key_id(name: &str, kind: u8, public: &[u8; 32]) -> [u8; 4] {
    let hash = sha256(&[name.as_bytes(), b"\n", &[kind], public]);
    [hash[0], hash[1], hash[2], hash[3]]
}

/// Text form of a public key of a type.
pub(super) fn key_text(name: &str, kind: u8, public: &[u8; 32]) -> String {
    let id = u32::from_be_bytes(key_id(name, kind, public));
    format!("{name}+{id:08x}+{}", STANDARD.encode([&[kind][..], public].concat()))
}

/// Reads the text form of a public key of a type: its name, and the key.
pub(super) fn read_key(text: &str, kind: u8) -> Option<(&str, [u8; 32])> {
    let mut parts = text.splitn(3, '+');
    let (name, _, key) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = STANDARD.decode(key).ok()?;
    let public = bytes.split_first().filter(|(first, _)| **first == kind)?.1.try_into().ok()?;
    (is_name(name) && key_text(name, kind, &public) == text).then_some((name, public))
}

/// Signs notes.
pub struct NoteSigner {
    key: NoteKey,
    secret: SignKey,
}

impl NoteSigner {
    /// The signer of a seed, which is wiped where it came from.
    ///
    /// # Errors
    /// [`Error::Format`] for a name that cannot stand in a note.
    pub fn new(name: &str, seed: &mut [u8; 32]) -> Result<Self, Error> {
        let secret = SignKey::of(Secret::take(seed));
        Ok(Self { key: NoteKey::new(name, secret.public())?, secret })
    }

    /// Reads the text form, `PRIVATE+KEY+<name>+<key id>+<base64 of 0x01 and the seed>`.
    ///
    /// # Errors
    /// [`Error::Format`] for anything else.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let read = || {
            let text = std::str::from_utf8(text).ok()?.trim_ascii().strip_prefix(PRIVATE)?;
            let mut parts = text.splitn(3, '+');
            let (name, id, key) = (parts.next()?, parts.next()?, parts.next()?);
            let bytes = Zeroizing::new(STANDARD.decode(key).ok()?);
            let (ED25519, seed) = bytes.split_first().map(|(kind, seed)| (*kind, seed))? else { return None };
            let mut seed: Zeroizing<[u8; 32]> = Zeroizing::new(seed.try_into().ok()?);
            let found = Self::new(name, &mut seed).ok()?;
            (found.key.id_text() == id).then_some(found)
        };
        read().ok_or_else(|| Error::Format("no key of a witness: it begins with PRIVATE+KEY+".into()))
    }

    /// Text form, in memory that is wiped.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut key = Zeroizing::new([ED25519; 33]);
        key[1..].copy_from_slice(self.secret.seed().expose());
        let key = Zeroizing::new(STANDARD.encode(&key[..]));
        Zeroizing::new(format!("{PRIVATE}{}+{}+{}\n", self.key.name, self.key.id_text(), *key))
    }

    /// Its public key.
    #[must_use]
    pub fn key(&self) -> &NoteKey {
        &self.key
    }

    /// The signed note of a text, which ends in LF.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        let signature = self.secret.sign(text.as_bytes());
        let signature = STANDARD.encode([&self.key.id()[..], &signature].concat());
        format!("{text}\n— {} {signature}\n", self.key.name)
    }
}

/// A note that was parsed; none of its signatures is checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note<'a> {
    /// The text, with the LF at its end.
    pub text: &'a [u8],
    signatures: Vec<(&'a [u8], Vec<u8>)>,
}

impl<'a> Note<'a> {
    /// Reads a signed note; `None` for anything else.
    #[must_use]
    pub fn parse(note: &'a [u8]) -> Option<Self> {
        let end = memchr::memmem::rfind(note, b"\n\n")?;
        let (text, below) = (&note[..=end], &note[end + 2..]);
        if !text.iter().all(|b| *b == b'\n' || (0x20..0x7f).contains(b)) {
            return None; // what is signed here is ASCII
        }
        let mut signatures = Vec::new();
        for line in below.strip_suffix(b"\n")?.split(|b| *b == b'\n') {
            let line = line.strip_prefix(DASH)?;
            let blank = line.iter().position(|b| *b == b' ')?;
            let (name, signature) = (&line[..blank], STANDARD.decode(&line[blank + 1..]).ok()?);
            if name.is_empty() || signature.len() < 5 || signatures.len() == MOST_SIGNATURES {
                return None;
            }
            signatures.push((name, signature));
        }
        Some(Self { text, signatures })
    }

    /// What is signed with a key of this name and id: of each signature, the bytes after the id.
    pub(super) fn signatures_of<'n>(&'n self, name: &'n str, id: [u8; 4]) -> impl Iterator<Item = &'n [u8]> {
        let mine =
            move |(by, signature): &&(&[u8], Vec<u8>)| *by == name.as_bytes() && signature.starts_with(&id);
        self.signatures.iter().filter(mine).map(move |(_, signature)| &signature[id.len()..])
    }

    /// Do the signatures of a key hold? `None` where there is none of it; those of other keys say nothing.
    #[must_use]
    pub fn check(&self, key: &NoteKey) -> Option<bool> {
        let mut mine = self.signatures_of(&key.name, key.id()).peekable();
        mine.peek()?;
        Some(mine.all(|signature| {
            let signature = signature.try_into();
            signature.is_ok_and(|signature| signature_holds(&key.public, self.text, &signature))
        }))
    }

    /// Is it signed with a key? A signature of it that fails spoils the note.
    #[must_use]
    pub fn is_signed_by(&self, key: &NoteKey) -> bool {
        self.check(key) == Some(true)
    }
}
