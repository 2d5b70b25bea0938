//! JSON in whatever shape a store gives it out: one object a line, objects one behind the other, arrays, whole answers.
//!
//! A path says where the lines are: `message` in each object, `[].message` in an array, `data.result[].values[][1]` in
//! an answer of Loki's. A *record* is an element at the last `[]`, or a whole document where there is none. Documents
//! are read byte by byte, so that an answer of any size takes no more memory than its longest record.

use memchr::{memchr, memchr3};

use super::json::{Found, Skim};
use super::output::{MAX_RECORD, Parts, Unwrapped};
use super::records::{self, Step};
use super::{Error, MAX_DEPTH};

/// Longest name that is compared with the path, and most that is told of a line that is too long to be held.
const MAX_NAME: usize = 1024;
const MAX_TOLD: usize = 160;

/// Where in a document the records are, and where in a record the line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Steps to the records; the last one goes into each element of an array.
    outer: Vec<Step>,
    /// Steps from a record to its line.
    inner: Vec<Step>,
}

impl Path {
    /// Reads names, parted by dots, `[]` for each element of an array, and `[N]` for one.
    pub(super) fn parse(field: &str) -> Result<Self, Error> {
        let steps = steps(field).filter(|steps| steps.len() <= MAX_DEPTH as usize);
        let mut outer = steps.ok_or_else(|| {
            Error::Format(format!(
                "envelope json: {field:?} is no field: give a name, with dots if it stands in objects, and [] for the \
                 elements of an array"
            ))
        })?;
        let last = outer.iter().rposition(|step| *step == Step::Each).map_or(0, |at| at + 1);
        // On the way to a record dots lead into objects; in a record a member may have dots in its name.
        let inner = outer.split_off(last);
        let names = |step| match step {
            Step::Name(name) => name.split(|b| *b == b'.').map(|name| Step::Name(name.to_vec())).collect(),
            other => vec![other],
        };
        Ok(Self { outer: outer.into_iter().flat_map(names).collect(), inner })
    }
}

fn steps(field: &str) -> Option<Vec<Step>> {
    let (mut steps, mut rest) = (Vec::new(), field);
    while !rest.is_empty() {
        if let Some(more) = rest.strip_prefix('[') {
            let (index, more) = more.split_once(']')?;
            steps.push(if index.is_empty() { Step::Each } else { Step::At(index.parse().ok()?) });
            rest = more.strip_prefix('.').unwrap_or(more);
            if rest.is_empty() && more.starts_with('.') {
                return None;
            }
        } else {
            let end = rest.find('[').unwrap_or(rest.len());
            let dots = rest[..end].matches('.').count();
            steps.push(Step::Name(rest[..end].into()));
            if dots >= MAX_DEPTH as usize {
                return None;
            }
            rest = &rest[end..];
        }
    }
    (!steps.is_empty()).then_some(steps)
}

/// What must come next in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    Name,
    NameOrEnd,
    Colon,
    CommaOrEnd,
}

/// An object or array that is open.
#[derive(Debug, Clone, Copy)]
struct Level {
    object: bool,
    /// The step that leads on from here, if the path leads here.
    step: Option<usize>,
    /// Number of the element that comes next.
    index: u32,
    /// The member of the path was met.
    met: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
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

/// Takes records out of documents, piece by piece.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // each is a fact of its own
pub(super) struct Documents {
    path: Path,
    state: State,
    expect: Expect,
    levels: Vec<Level>,
    /// Levels that were open when the record began.
    record: Option<usize>,
    /// What is held: of the record, or of a line that may be no record at all, from its beginning.
    held: Vec<u8>,
    name: Vec<u8>,
    /// A backslash came last.
    escaped: bool,
    /// The next value is where the path leads: to this step.
    leads: Option<usize>,
    inside_line: bool,
    /// The document began on an earlier line.
    older: bool,
    /// The begin of a document, and whether the path led to an array in it.
    begin: Vec<u8>,
    reached: bool,
}

impl Documents {
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.clone(),
            state: State::Top,
            expect: Expect::Value,
            levels: Vec::new(),
            record: None,
            held: Vec::new(),
            name: Vec::new(),
            escaped: false,
            leads: None,
            inside_line: false,
            older: false,
            begin: Vec::new(),
            reached: false,
        }
    }

    pub fn feed(&mut self, piece: &[u8], out: &mut Unwrapped, parts: &mut Parts) {
        let mut at = 0;
        while at < piece.len() {
            if !self.inside_line {
                out.begin_line(at);
            }
            let end = memchr(b'\n', &piece[at..]).map(|length| at + length);
            let line = &piece[at..end.unwrap_or(piece.len())];
            let alone = self.state == State::Top && !self.inside_line && end.is_some();
            if !(alone && self.path.outer.is_empty() && self.whole_line(line, out, parts)) {
                self.bytes(line, out, parts);
                if end.is_some() {
                    self.line_end(out, parts);
                }
            }
            self.inside_line = end.is_none();
            at = end.map_or(piece.len(), |end| end + 1);
        }
    }

    /// The usual case: a line that is one record.
    fn whole_line(&mut self, line: &[u8], out: &mut Unwrapped, parts: &mut Parts) -> bool {
        let from = out.data.len();
        let Some(marks) = records::field(&self.path.inner, line, &mut out.data) else {
            out.data.truncate(from);
            return false;
        };
        parts.take(&marks.record(), from, out);
        true
    }

    /// Gives out what the end of the file leaves unfinished.
    pub fn finish(&mut self, out: &mut Unwrapped) {
        if self.state != State::Top
            && (self.path.outer.is_empty() || self.record.is_some() || self.state == State::Raw)
        {
            self.give_out(out);
        }
        self.reset();
    }

    fn reset(&mut self) {
        self.state = State::Top;
        self.levels.clear();
        self.held.clear();
        (self.record, self.leads, self.escaped, self.older, self.reached) = (None, None, false, false, false);
    }

    /// Bytes of one line, without LF.
    fn bytes(&mut self, mut bytes: &[u8], out: &mut Unwrapped, parts: &mut Parts) {
        while let Some(first) = bytes.first() {
            let taken = match self.state {
                State::Skip => bytes.len(),
                State::Raw => self.hold(bytes),
                State::Text(is_name) => self.text(bytes, is_name),
                State::Word => self.word(bytes),
                State::Top => {
                    self.begin = bytes[..bytes.len().min(MAX_TOLD)].to_vec();
                    self.top(*first)
                }
                State::Inside => self.inside(*first),
            };
            if taken == 0 {
                self.fail(out, parts);
                continue;
            }
            bytes = &bytes[taken..];
            if self.state == State::Inside
                && (self.levels.len() == self.record.unwrap_or(0))
                && self.expect == Expect::CommaOrEnd
            {
                self.end_of_value(out, parts);
            }
            if self.held.len() > MAX_RECORD {
                self.give_out(out);
                self.reset();
                self.state = State::Skip;
            }
        }
    }

    fn hold(&mut self, bytes: &[u8]) -> usize {
        self.held.extend_from_slice(bytes);
        bytes.len()
    }

    /// Is what is read held? Of documents without records of their own, all is.
    fn holds(&self) -> bool {
        self.record.is_some() || self.path.outer.is_empty()
    }

    fn top(&mut self, byte: u8) -> usize {
        let opening = match self.path.outer.first() {
            Some(Step::Each | Step::At(_)) => b'[',
            _ => b'{',
        };
        self.held.push(byte);
        if matches!(byte, b' ' | b'\t' | b'\r') {
            return 1;
        }
        if byte != opening {
            self.state = State::Raw;
            return 1;
        }
        (self.state, self.expect) = (State::Inside, Expect::Value);
        if self.path.outer.is_empty() {
            self.record = Some(0);
        } else {
            self.held.clear();
        }
        self.leads = Some(0);
        self.open(byte)
    }

    /// One byte between strings and words; 0 if it may not stand there.
    fn inside(&mut self, byte: u8) -> usize {
        use Expect::{Colon, CommaOrEnd, Name, NameOrEnd, Value, ValueOrEnd};
        let object = self.levels.last().is_some_and(|level| level.object);
        let value = matches!(self.expect, Value | ValueOrEnd);
        if value && !matches!(byte, b' ' | b'\t' | b'\r' | b']') {
            self.begin_value();
        }
        let held = self.holds();
        match (byte, self.expect) {
            (b' ' | b'\t' | b'\r', _) => {}
            (b'"', Name | NameOrEnd) => {
                self.name.clear();
                self.state = State::Text(true);
            }
            (b':', Colon) => self.expect = Value,
            (b',', CommaOrEnd) => self.expect = if object { Name } else { Value },
            (b'}', NameOrEnd | CommaOrEnd) if object => self.close(),
            (b']', ValueOrEnd | CommaOrEnd) if !object => self.close(),
            (b'"', Value | ValueOrEnd) => self.state = State::Text(false),
            (b'{' | b'[', Value | ValueOrEnd) => {
                if self.open(byte) == 0 {
                    return 0;
                }
            }
            (b'-' | b'0'..=b'9' | b'a'..=b'z', Value | ValueOrEnd) => self.state = State::Word,
            _ => return 0,
        }
        if held {
            self.held.push(byte);
        }
        1
    }

    fn close(&mut self) {
        self.levels.pop();
        self.expect = Expect::CommaOrEnd;
    }

    fn open(&mut self, byte: u8) -> usize {
        if self.levels.len() >= MAX_DEPTH as usize {
            return 0;
        }
        let object = byte == b'{';
        let step = self.leads.take().filter(|_| self.record.is_none()).filter(|step| {
            matches!(self.path.outer.get(*step), Some(Step::Name(_))) == object
                && *step < self.path.outer.len()
        });
        self.reached |= !object && step.is_some_and(|step| step + 1 == self.path.outer.len());
        self.levels.push(Level { object, step, index: 0, met: false });
        self.expect = if object { Expect::NameOrEnd } else { Expect::ValueOrEnd };
        1
    }

    /// A value is about to begin: does the path lead to it, and is it a record?
    fn begin_value(&mut self) {
        if self.record.is_some() {
            return;
        }
        if let Some(level) = self.levels.last_mut()
            && !level.object
        {
            let index = level.index;
            level.index = index.saturating_add(1);
            self.leads = level.step.filter(|step| match self.path.outer.get(*step) {
                Some(Step::Each) => true,
                Some(Step::At(wanted)) => *wanted == index,
                _ => false,
            });
            self.leads = self.leads.map(|step| step + 1);
        }
        if self.leads == Some(self.path.outer.len()) && !self.path.outer.is_empty() {
            self.record = Some(self.levels.len());
            self.held.clear();
        }
    }

    /// Bytes of a string, up to its end; 0 for what may not stand there.
    fn text(&mut self, bytes: &[u8], is_name: bool) -> usize {
        let end = if self.escaped { 0 } else { memchr3(b'"', b'\\', b'\n', bytes).unwrap_or(bytes.len()) };
        let taken = bytes.len().min(end + 1);
        if self.holds() {
            self.held.extend_from_slice(&bytes[..taken]);
        }
        if is_name && self.name.len() < MAX_NAME {
            self.name.extend_from_slice(&bytes[..taken.min(MAX_NAME)]);
        }
        if self.escaped {
            self.escaped = false;
        } else if let Some(byte) = bytes.get(end) {
            self.escaped = *byte == b'\\';
            if *byte == b'"' {
                self.state = State::Inside;
                self.expect = if is_name { Expect::Colon } else { Expect::CommaOrEnd };
                if is_name && !self.named() {
                    self.held = [b"\"", self.name.as_slice()].concat();
                    self.state = State::Raw;
                }
            }
        }
        taken
    }

    /// A name was read: does the path lead to its value? Twice is once too often: a viewer could show the other one.
    fn named(&mut self) -> bool {
        self.leads = None;
        let Some(level) = self.levels.last_mut().filter(|_| self.record.is_none()) else { return true };
        let Some(step) = level.step else { return true };
        let Some(Step::Name(wanted)) = self.path.outer.get(step) else { return true };
        let quoted = [b"\"", self.name.as_slice()].concat();
        if Skim::new(&quoted).string().is_some_and(|name| name.is(wanted)) {
            self.leads = Some(step + 1);
            return !std::mem::replace(&mut level.met, true);
        }
        true
    }

    fn word(&mut self, bytes: &[u8]) -> usize {
        let fine = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let size = bytes.iter().position(|byte| !fine(byte));
        let taken = size.unwrap_or(bytes.len());
        if self.holds() {
            self.held.extend_from_slice(&bytes[..taken]);
        }
        if size.is_some() {
            (self.state, self.expect) = (State::Inside, Expect::CommaOrEnd);
            if taken == 0 {
                return self.inside(bytes[0]);
            }
        }
        taken
    }

    /// A record has ended, or a document.
    fn end_of_value(&mut self, out: &mut Unwrapped, parts: &mut Parts) {
        if self.record.is_none() {
            if self.levels.is_empty() {
                if !self.reached {
                    out.push_raw(&self.begin);
                }
                self.reset();
            }
            return;
        }
        let from = out.data.len();
        if let Some(marks) = records::field(&self.path.inner, &self.held, &mut out.data) {
            parts.take(&marks.record(), from, out);
        } else {
            out.data.truncate(from);
            if self.path.outer.is_empty() {
                if is_action(&self.held) {
                    self.reset();
                } else {
                    self.state = State::Raw; // all of the line is given as it stands
                }
                return;
            }
            self.give_out(out);
        }
        self.record = None;
        self.held.clear();
        if self.levels.is_empty() {
            self.reset();
        }
    }

    /// What is read is no document, from here on at least.
    fn fail(&mut self, out: &mut Unwrapped, parts: &mut Parts) {
        let older = self.older && self.path.outer.is_empty();
        let held = std::mem::take(&mut self.held);
        self.reset();
        if older && let Some(last) = held.iter().rposition(|byte| *byte == b'\n') {
            // The lines before this one are given as they stand; this one may be a document of its own.
            raw_lines(&held[..last], out);
            self.bytes(&held[last + 1..], out, parts);
            return;
        }
        self.held = held;
        self.state = State::Raw;
    }

    fn line_end(&mut self, out: &mut Unwrapped, parts: &mut Parts) {
        while let State::Text(_) = self.state {
            self.fail(out, parts);
        }
        match self.state {
            State::Top | State::Skip => self.reset(),
            State::Raw => {
                self.give_out(out);
                self.reset();
            }
            State::Word => {
                (self.state, self.expect) = (State::Inside, Expect::CommaOrEnd);
                if self.record == Some(self.levels.len()) {
                    self.end_of_value(out, parts);
                }
                self.line_goes_on();
            }
            _ => self.line_goes_on(),
        }
    }

    fn line_goes_on(&mut self) {
        self.older = true;
        if self.holds() {
            self.held.push(b'\n');
        }
    }

    /// Gives what is held as it stands.
    fn give_out(&mut self, out: &mut Unwrapped) {
        let held = std::mem::take(&mut self.held);
        raw_lines(if held.len() > MAX_RECORD { &held[..MAX_TOLD] } else { &held }, out);
    }
}

fn raw_lines(lines: &[u8], out: &mut Unwrapped) {
    for line in lines.split(|byte| *byte == b'\n') {
        out.push_raw(line);
    }
}

/// Is this what stands before each document in a request to Elasticsearch's `_bulk`?
fn is_action(object: &[u8]) -> bool {
    let read = || {
        let mut skim = Skim::new(object);
        skim.enter()?;
        let Found::Text(action) = skim.name()? else { return None };
        if !(action.is(b"index") || action.is(b"create")) || skim.enter().is_none() {
            return None;
        }
        // Where it goes to, in plain values: nothing that could be taken for a line.
        while let Found::Text(name) = skim.name()? {
            let known: [&[u8]; 6] = [b"_index", b"_id", b"_type", b"routing", b"pipeline", b"require_alias"];
            if !known.iter().any(|known| name.is(known)) || matches!(skim.peek()?, b'{' | b'[') {
                return None;
            }
            skim.value()?;
        }
        matches!(skim.name()?, Found::Other).then_some(())?;
        skim.done()
    };
    read().is_some()
}
