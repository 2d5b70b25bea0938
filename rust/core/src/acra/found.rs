//! What is found in an audit log.

/// How lines are written: plain text and CEF alike, or JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Plain text and CEF: the fields stand at the end of the line.
    Text,
    /// One JSON object a line.
    Json,
    /// JSON where a line begins with a brace, else text.
    Auto,
}

/// What is wrong with a line, or with several in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// It is not what was written here, or a line before it is missing.
    Altered,
    /// Only its integrity was changed: the lines after it fit.
    Field,
    /// It does not belong here: without it the lines after fit.
    Inserted,
    /// It stands before a line that it was written after.
    Reordered,
    /// It has no integrity.
    Unsealed,
    /// It has no integrity, and was written without doubt: the lines after it fit.
    Stripped,
    /// It says that it begins a chain, and does not.
    MarkerAdded,
    /// It begins a chain and does not say so.
    MarkerGone,
    /// It fits, but these are not the bytes that were written: blanks, the order or the digits of JSON, a name twice or
    /// one that swallows others.
    Rewritten,
    /// Behind a line that was altered, up to the end of its chain: nobody can say.
    Unjudged,
    /// Before the first chain begins: nobody can say.
    LateStart,
}

/// Something that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// What it is.
    pub what: What,
    /// Number of the file.
    pub file: u32,
    /// Line in the file, from 0.
    pub line: u64,
    /// Where it begins in the file, in bytes.
    pub offset: u64,
    /// How many lines in a row.
    pub count: u64,
}

/// A chain that was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    /// Number of the file that its first line stands in.
    pub file: u32,
    /// That line, from 0.
    pub line: u64,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Lines that fit, at least one.
    pub lines: u64,
    /// Its last line that fits ends it.
    pub ended: bool,
    /// Tag of its first line that fits: chains with the same are copies as far as they go.
    pub beginning: [u8; 32],
    /// Tag of its last line that fits: two chains with the same are the same.
    pub identity: [u8; 32],
    /// First and last time that its lines claim, ms since 1970.
    pub times: Option<(i64, i64)>,
    /// These times are finer than a second.
    pub fine: bool,
}

/// What was found.
#[derive(Clone, Default, Debug)]
pub struct Judged {
    /// In the order of the lines.
    pub events: Vec<Event>,
    /// In the order of the lines.
    pub chains: Vec<Chain>,
    /// Lines, blank ones not counted.
    pub lines: u64,
    /// Of these, lines that fit.
    pub good: u64,
}
