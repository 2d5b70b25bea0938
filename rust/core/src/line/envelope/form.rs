//! Forms in which carriers write records.

use super::documents::Documents;
use super::export::Export;
use super::records::{self, Record};

#[derive(Debug)]
pub(super) enum Form {
    Docker,
    Cri,
    JournalJson,
    Documents(Documents),
    Export(Export),
}

impl Form {
    /// Appends the text of the record that a line holds; says how it goes on. `None`: not in this form.
    #[inline]
    pub(super) fn record<'a>(&self, line: &'a [u8], text: &mut Vec<u8>) -> Option<Record<'a>> {
        match self {
            Self::Docker => records::docker(line, text),
            Self::Cri => records::cri(line, text),
            Self::JournalJson => records::journal_json(line, text).map(|marks| marks.record()),
            Self::Documents(_) | Self::Export(_) => None,
        }
    }
}
