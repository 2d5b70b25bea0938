//! Where in a document a reader is.

/// What must come next in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    Value,
    ValueOrEnd,
    Name,
    NameOrEnd,
    Colon,
    CommaOrEnd,
}

/// An object or array that is open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    pub(super) object: bool,
    /// The step that leads on from here, if the path leads here.
    pub(super) step: Option<usize>,
    /// Number of the element that comes next.
    pub(super) index: u32,
    /// The member of the path was met.
    pub(super) met: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Between documents.
    Top,
    /// In a document, outside of strings and words.
    Inside,
    /// In a string; it is a name.
    Text(bool),
    /// In a number, or in true, false, null.
    Word,
    /// In a line that is given as it stands.
    Raw,
    /// The rest of a line that is too long to be held.
    Skip,
}
