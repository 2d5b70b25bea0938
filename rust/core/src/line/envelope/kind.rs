//! What a carrier may have put around lines.

use super::path::Path;
use super::prefix;
use crate::Error;
use crate::line::{self, Read};

/// How a carrier wrapped lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Envelope {
    /// Docker's json-file driver.
    Docker,
    /// Kubernetes, as containerd and CRI-O write it.
    Cri,
    /// systemd's Journal Export Format.
    JournalExport,
    /// `journalctl -o json`.
    JournalJson,
    /// JSON; the line is in this field of each record.
    Field(Path),
    /// The traditional syslog head, on the wire or as rsyslog writes it to files.
    Rfc3164,
    /// The syslog head of RFC 5424.
    Rfc5424,
    /// Anything may stand before a line.
    AnyPrefix,
}

impl Envelope {
    /// Reads the name of a kind, and for `json` the field.
    ///
    /// # Errors
    /// [`Error::Format`] if there is no such kind, or the field is lacking, malformed or out of place.
    pub fn parse(kind: &str, field: Option<&str>) -> Result<Self, Error> {
        let envelope = match (kind, field) {
            ("json", Some(field)) => return Path::parse(field).map(Self::Field),
            ("json", None) => {
                return Err(Error::Format("envelope json: say which field holds the line".into()));
            }
            ("docker", _) => Self::Docker,
            ("cri", _) => Self::Cri,
            ("journal-export", _) => Self::JournalExport,
            ("journal-json", _) => Self::JournalJson,
            ("rfc3164", _) => Self::Rfc3164,
            ("rfc5424", _) => Self::Rfc5424,
            ("prefix:any", _) => Self::AnyPrefix,
            _ => {
                return Err(Error::Format(format!(
                    "no envelope is called {kind:?}: there are docker, cri, journal-export, journal-json, json, \
                     rfc3164, rfc5424, prefix:any and parquet"
                )));
            }
        };
        match field {
            Some(_) => Err(Error::Format(format!("envelope {kind}: only json and parquet take a field"))),
            None => Ok(envelope),
        }
    }

    /// Is this what such a carrier puts before a line? Never for kinds that are unwrapped.
    #[must_use]
    pub fn is_prefix(&self, bytes: &[u8]) -> bool {
        self.head(bytes).is_some_and(|end| bytes.len() - end == prefix::gap(&bytes[end..]))
            || (*self == Self::AnyPrefix && !bytes.is_empty())
    }

    /// rsyslog: the line without its prefix and with its `#ooo` escapes of control characters undone.
    ///
    /// `None` if it has no such escape or no such prefix. An application's own `#011` looks like an escape, so
    /// this is for lines that do not fit as they are. `#012` is left alone: no sealed line holds an LF.
    #[must_use]
    pub fn unescaped(&self, line: &[u8]) -> Option<Vec<u8>> {
        let text = prefix::undo_escapes(&line[self.head(line)?..])?;
        // One blank parts prefix and line, or two where rsyslog kept the one it received; a line may begin
        // with blanks of its own. The seal says where its line begins.
        let gap = prefix::gap(&text);
        let start = match line::read(&text) {
            Read::Sealed(sealed) if sealed.m.start() <= gap => sealed.m.start(),
            _ => gap,
        };
        Some(text[start..].to_vec())
    }

    /// Where the head of a syslog line ends, without the blanks after it.
    fn head(&self, line: &[u8]) -> Option<usize> {
        match self {
            Self::Rfc3164 => prefix::rfc3164(line),
            Self::Rfc5424 => prefix::rfc5424(line),
            _ => None,
        }
    }
}
