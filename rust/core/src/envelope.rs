//! Lines as carriers deliver them: what was put around a sealed line, and how it comes off again.
//!
//! ```text
//! docker          {"log":"user=7 tally=…\n","stream":"stdout","time":"2026-11-23T08:15:45.1Z"}
//! cri             2026-11-23T08:15:45.1Z stdout F user=7 tally=…
//! journal-export  MESSAGE=user=7 tally=…          one field a line, an empty line behind each entry
//! journal-json    {"MESSAGE":"user=7 tally=…","_PID":"12"}
//! json            {"_source":{"message":"user=7 tally=…"}}        with the field `_source.message`
//! rfc3164         Nov 23 08:15:45 host app[12]: user=7 tally=…
//! rfc5424         <13>1 2026-11-23T08:15:45Z host app 12 - - user=7 tally=…
//! prefix:any      whatever user=7 tally=…
//! ```
//!
//! The first five are undone before lines are read, by an [`Unwrapper`]; of the others the reader asks
//! whether what stands before a line is such a prefix. Everything here was written by strangers: time is
//! linear, memory is bounded, and what is not in the carrier's form is given as it stands, and told.
//!
//! ```
//! use tallystick_core::envelope::{Envelope, Unwrapper};
//! let envelope = Envelope::parse("docker", None).unwrap();
//! let mut unwrapper = Unwrapper::new(&envelope).unwrap();
//! let got = unwrapper.feed(b"{\"log\":\"a \\u003c b\\n\",\"stream\":\"stdout\"}\nraw\n", true);
//! assert_eq!(got.data, b"a < b\nraw\n");
//! assert_eq!(got.origins.iter().map(|o| (o.line, o.wrapped)).collect::<Vec<_>>(), [(0, true), (1, false)]);
//! ```

pub mod added;
mod documents;
mod export;
mod glued;
mod json;
mod numbered;
mod output;
mod prefix;
mod records;
#[cfg(test)]
mod tests;

use memchr::memchr;

use crate::Error;
use crate::line::{self, Read};
use documents::Documents;
pub use documents::Path;
use export::Export;
use output::Parts;
pub use output::{Loose, Origin, Unwrapped, are_one};
use records::Record;

/// Deepest nesting of objects and arrays that is read.
const MAX_DEPTH: u32 = 64;

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
                     rfc3164, rfc5424 and prefix:any"
                )));
            }
        };
        match field {
            Some(_) => Err(Error::Format(format!("envelope {kind}: only json takes a field"))),
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

    /// Where the head of a syslog line ends, without the blanks behind it.
    fn head(&self, line: &[u8]) -> Option<usize> {
        match self {
            Self::Rfc3164 => prefix::rfc3164(line),
            Self::Rfc5424 => prefix::rfc5424(line),
            _ => None,
        }
    }
}

/// Takes lines out of their envelopes, piece by piece; keeps unfinished records between pieces.
#[derive(Debug)]
pub struct Unwrapper {
    form: Form,
    parts: Parts,
}

#[derive(Debug)]
enum Form {
    Docker,
    Cri,
    JournalJson,
    Documents(Documents),
    Export(Export),
}

impl Unwrapper {
    /// What undoes an envelope; `None` for those that are only a prefix.
    #[must_use]
    pub fn new(envelope: &Envelope) -> Option<Self> {
        let form = match envelope {
            Envelope::Docker => Form::Docker,
            Envelope::Cri => Form::Cri,
            Envelope::JournalJson => Form::JournalJson,
            Envelope::Field(path) => Form::Documents(Documents::new(path)),
            Envelope::JournalExport => Form::Export(Export::default()),
            Envelope::Rfc3164 | Envelope::Rfc5424 | Envelope::AnyPrefix => return None,
        };
        Some(Self { form, parts: Parts::default() })
    }

    /// Begins with parts that stand at the end of another file; the last parts of some streams go on in another one.
    #[must_use]
    pub fn between(mut self, carried: Vec<Loose>, goes_on: Vec<(Vec<u8>, u8)>) -> Self {
        self.parts.begin(carried);
        self.parts.goes_on = goes_on;
        self
    }

    /// What may belong to lines of other files: first records of streams, and parts that the end left waiting.
    #[must_use]
    pub fn loose(&self) -> (&[Loose], &[Loose]) {
        (&self.parts.first, &self.parts.last)
    }

    /// Takes the lines out of the next piece: whole physical lines; `end` says that it is the file's last.
    ///
    /// The lines are the same however the input was cut into pieces. Records that the end of the file leaves
    /// unfinished are given out as they are, at its last physical line.
    pub fn feed(&mut self, piece: &[u8], end: bool) -> Unwrapped {
        let mut out = Unwrapped::with_room_for(piece.len());
        match &mut self.form {
            Form::Export(export) => export.feed(piece, &mut out, &mut self.parts),
            Form::Documents(documents) => documents.feed(piece, &mut out, &mut self.parts),
            _ => self.each_line(piece, &mut out),
        }
        if end {
            match &mut self.form {
                Form::Export(export) => export.finish(&mut out, &mut self.parts),
                Form::Documents(documents) => documents.finish(&mut out),
                _ => {}
            }
            self.parts.finish(&mut out);
        }
        out
    }

    fn each_line(&mut self, piece: &[u8], out: &mut Unwrapped) {
        let mut at = 0;
        while at < piece.len() {
            let end = memchr(b'\n', &piece[at..]).map_or(piece.len(), |length| at + length);
            out.begin_line(at);
            self.line(&piece[at..end], end < piece.len(), out);
            at = end + 1;
        }
    }

    #[inline]
    fn line(&mut self, line: &[u8], ended: bool, out: &mut Unwrapped) {
        let from = out.data.len();
        match self.form.record(line, &mut out.data) {
            Some(record) if !self.form.is_glued(&out.data[from..]) => self.parts.take(&record, from, out),
            _ => {
                out.data.truncate(from);
                let parts = glued::parted(&self.form, line);
                let broken = parts.len() > 1 || !ended;
                for part in parts {
                    self.part(part, broken, out);
                }
            }
        }
    }

    /// What stands alone on its line, or glued to others: a record, or what is left of one, or something else.
    fn part(&mut self, part: &[u8], broken: bool, out: &mut Unwrapped) {
        let from = out.data.len();
        if let Some(record) = self.form.record(part, &mut out.data) {
            self.parts.take(&record, from, out);
        } else {
            out.data.truncate(from);
            if broken && glued::half(&self.form, part, &mut out.data).is_some() {
                out.end_record(from);
            } else {
                out.data.truncate(from);
                out.push_raw(part);
            }
        }
    }
}

impl Form {
    /// Could a record's text hold another record, which a power loss glued to it?
    #[inline]
    fn is_glued(&self, text: &[u8]) -> bool {
        matches!(self, Self::Cri) && glued::is_glued(text)
    }

    /// Appends the text of the record that a line holds; says how it goes on. `None`: not in this form.
    #[inline]
    fn record<'a>(&self, line: &'a [u8], text: &mut Vec<u8>) -> Option<Record<'a>> {
        match self {
            Self::Docker => records::docker(line, text),
            Self::Cri => records::cri(line, text),
            Self::JournalJson => records::journal_json(line, text).map(|marks| marks.record()),
            Self::Documents(_) | Self::Export(_) => None,
        }
    }
}
