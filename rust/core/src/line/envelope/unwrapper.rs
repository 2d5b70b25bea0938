//! Lines out of their envelopes, piece by piece.

use memchr::memchr;

use super::documents::Documents;
use super::export::Export;
use super::form::Form;
use super::glued;
use super::kind::Envelope;
use super::output::{Loose, Parts, Unwrapped};

/// Takes lines out of their envelopes, piece by piece; keeps unfinished records between pieces.
#[derive(Debug)]
pub struct Unwrapper {
    form: Form,
    parts: Parts,
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
            Some(record) if !self.is_glued(&out.data[from..]) => self.parts.take(&record, from, out),
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

    /// Could a record's text hold another record, which a power loss glued to it?
    #[inline]
    fn is_glued(&self, text: &[u8]) -> bool {
        matches!(self.form, Form::Cri) && glued::is_glued(text)
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
