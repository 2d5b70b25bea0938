//! The acknowledged protocol, on the side of the agent: bytes of a client in, lines and events out (spec/agent.md).
//!
//! ```
//! use tallystick_core::framing::conversation::{Client, Conversation, Event, Limits, PREAMBLE, batch, hello};
//! let limits = Limits { line: 1000, window: 64 };
//! let (mut talk, mut client) = (Conversation::new(limits), Client::new(limits.window));
//! talk.feed(&[&PREAMBLE[..], &hello([0; 16], 1), &batch(1, &[b"one", b"two"])].concat());
//! assert_eq!(talk.step(None, None), Event::Hello { id: [0; 16], state: 1 });
//! assert_eq!(talk.step(Some(&mut client), None), Event::Idle);
//! assert_eq!((talk.run.first, &talk.run.lines.bytes[..]), (1, &b"one\ntwo\n"[..]));
//! ```

use std::collections::VecDeque;

use super::lines::{Lines, one_line};
use super::origin::Stamp;
use crate::hash::{Digest, sha256};

/// What a client that speaks the protocol sends first: NUL, `tally`, NUL, the version.
pub const PREAMBLE: [u8; 8] = *b"\0tally\0\x01";
/// Bytes of a line's two hashes in a journal: of the line as it came, and half of that of the line as it is sealed.
pub const HASHES: usize = 48;

const HELLO: u8 = 1;
const BATCH: u8 = 2;
/// Bytes of a frame that are no line: type, number, the length of one line.
const AROUND: usize = 13;

/// Bounds of a conversation.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a line.
    pub line: usize,
    /// Lines of which a client's hashes are remembered, and of a batch.
    pub window: usize,
}

impl Limits {
    /// Bytes of a frame, without its length.
    #[must_use]
    pub fn frame(&self) -> usize {
        self.line + AROUND
    }
}

/// Why a client is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The bytes are no such frame.
    Malformed = 1,
    /// The number is older than what is remembered: the line may be in the log.
    Expired = 2,
    /// Another line had this number.
    Conflict = 3,
    /// A number between the last one and this one is lacking.
    Gap = 4,
    /// The line is longer than the agent takes.
    TooLong = 5,
}

/// What a client's bytes ask for.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing more is whole.
    Idle,
    /// The client says who it is: its id, or zeros for a new one, and the state that it wants to know of.
    Hello {
        /// The id that the agent issued.
        id: [u8; 16],
        /// 1 sealed, 2 synced, 3 witnessed.
        state: u8,
    },
    /// It did what is not allowed, at this number; what it sent before that holds.
    Refused(Refusal, u64),
}

/// What is remembered of one client: the highest number, and the hashes of the last lines.
#[derive(Debug)]
pub struct Client {
    window: usize,
    taken: u64,
    hashes: VecDeque<Digest>,
}

impl Client {
    /// A client that sent nothing yet.
    #[must_use]
    pub fn new(window: usize) -> Self {
        Self { window, taken: 0, hashes: VecDeque::new() }
    }

    /// The highest number that was taken.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes a number with the hash of its line; is it a new one?
    ///
    /// # Errors
    /// A number that is too old, was another line's, or does not follow.
    pub fn take(&mut self, number: u64, hash: Digest) -> Result<bool, Refusal> {
        if number == 0 {
            return Err(Refusal::Malformed);
        }
        if number <= self.taken {
            let back = usize::try_from(self.taken - number).unwrap_or(usize::MAX);
            let at = self.hashes.len().checked_sub(back.saturating_add(1)).ok_or(Refusal::Expired)?;
            return if self.hashes[at] == hash { Ok(false) } else { Err(Refusal::Conflict) };
        }
        if number - 1 != self.taken {
            return Err(Refusal::Gap);
        }
        self.put(hash);
        Ok(true)
    }

    /// Remembers the line of the next number.
    pub fn put(&mut self, hash: Digest) {
        if self.hashes.len() >= self.window {
            self.hashes.pop_front();
        }
        self.hashes.push_back(hash);
        self.taken += 1;
    }

    /// Goes back to another highest number, before what is remembered of it is put in again.
    pub fn begin_at(&mut self, taken: u64) {
        self.taken = taken;
        self.hashes.clear();
    }

    /// The hashes that are remembered, the oldest first.
    pub fn hashes(&self) -> impl Iterator<Item = &Digest> {
        self.hashes.iter()
    }
}

/// Lines in a row of one client that are to be sealed.
#[derive(Debug, Default)]
pub struct Run {
    /// The number of the first one.
    pub first: u64,
    /// The lines.
    pub lines: Lines,
    /// [`HASHES`] of each line.
    pub hashes: Vec<u8>,
}

/// The bytes of one connection that are not done yet.
#[derive(Debug)]
pub struct Conversation {
    limits: Limits,
    buffer: Vec<u8>,
    at: usize,
    begun: bool,
    /// New lines, until they are taken to be sealed.
    pub run: Run,
}

impl Conversation {
    /// Begins with the preamble to come.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, buffer: Vec::new(), at: 0, begun: false, run: Run::default() }
    }

    /// How many bytes are here that make no whole frame.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.at
    }

    /// The bytes from which another conversation goes on here, if they are fed to it.
    #[must_use]
    pub fn left(&self) -> Vec<u8> {
        let begun: &[u8] = if self.begun { &PREAMBLE } else { &[] };
        [begun, &self.buffer[self.at..]].concat()
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, data: &[u8]) {
        if self.at > 0 {
            self.buffer.drain(..self.at);
            self.buffer.shrink_to(1 << 12);
            self.at = 0;
        }
        self.buffer.extend_from_slice(data);
    }

    /// Does what whole frames ask for, up to the first event. Batches of a client that did not say hello are malformed.
    pub fn step(&mut self, mut client: Option<&mut Client>, stamp: Option<&Stamp>) -> Event {
        if !self.begun {
            let here = self.pending().min(PREAMBLE.len());
            if self.buffer[..here] != PREAMBLE[..here] {
                return Event::Refused(Refusal::Malformed, 0);
            }
            if here < PREAMBLE.len() {
                return Event::Idle;
            }
            (self.begun, self.at) = (true, here);
        }
        while let Some(length) = self.buffer[self.at..].first_chunk() {
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            if length > self.limits.frame() {
                return Event::Refused(Refusal::TooLong, 0);
            }
            let from = self.at + 4;
            let Some(frame) = self.buffer.get(from..from + length) else { return Event::Idle };
            self.at = from + length;
            match (frame.split_first(), client.as_deref_mut()) {
                (Some((&HELLO, &[state, ref id @ ..])), None) => {
                    let malformed = Event::Refused(Refusal::Malformed, 0);
                    return id.try_into().map_or(malformed, |id| Event::Hello { id, state });
                }
                (Some((&BATCH, body)), Some(client)) => {
                    if let Err((refusal, number)) = self.run.take(body, client, stamp, self.limits) {
                        return Event::Refused(refusal, number);
                    }
                }
                _ => return Event::Refused(Refusal::Malformed, 0),
            }
        }
        Event::Idle
    }
}

impl Run {
    /// Takes the lines of a batch.
    fn take(
        &mut self,
        body: &[u8],
        client: &mut Client,
        stamp: Option<&Stamp>,
        limits: Limits,
    ) -> Result<(), (Refusal, u64)> {
        let Some((first, mut rest)) = body.split_first_chunk() else { return Err((Refusal::Malformed, 0)) };
        let first = u64::from_be_bytes(*first);
        for number in (first..=u64::MAX).take(limits.window) {
            let Some((length, lines)) = rest.split_first_chunk() else { break };
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            if length > limits.line {
                return Err((Refusal::TooLong, number));
            }
            let Some((line, after)) = lines.split_at_checked(length) else { break };
            let hash = sha256(&[line]);
            if client.take(number, hash).map_err(|refusal| (refusal, number))? {
                self.put(number, line, &hash, stamp);
            }
            rest = after;
        }
        if rest.is_empty() { Ok(()) } else { Err((Refusal::Malformed, first)) }
    }

    fn put(&mut self, number: u64, line: &[u8], hash: &Digest, stamp: Option<&Stamp>) {
        if self.lines.count == 0 {
            self.first = number;
        }
        let from = self.lines.bytes.len();
        self.lines.put(&one_line(line), stamp);
        let written = &self.lines.bytes[from..];
        let m = &written[..written.len() - 1];
        self.hashes.extend_from_slice(hash);
        let sealed = if m == line { *hash } else { sha256(&[m.strip_suffix(b"\r").unwrap_or(m)]) };
        self.hashes.extend_from_slice(&sealed[..HASHES - hash.len()]);
    }
}

/// A frame, as a client writes it.
fn frame(kind: u8, body: &[&[u8]]) -> Vec<u8> {
    let length = body.iter().map(|part| part.len()).sum::<usize>() + 1;
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [&length[..], &[kind], &body.concat()].concat()
}

/// The frame `hello` of a client.
#[must_use]
pub fn hello(id: [u8; 16], state: u8) -> Vec<u8> {
    frame(HELLO, &[&[state], &id])
}

/// The frame `batch` of a client.
#[must_use]
pub fn batch(first: u64, lines: &[&[u8]]) -> Vec<u8> {
    let mut body = first.to_be_bytes().to_vec();
    for line in lines {
        body.extend_from_slice(&u32::try_from(line.len()).unwrap_or(u32::MAX).to_be_bytes());
        body.extend_from_slice(line);
    }
    frame(BATCH, &[&body])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { line: 100, window: 4 };

    fn greeted() -> (Conversation, Client) {
        let mut talk = Conversation::new(LIMITS);
        talk.feed(&[&PREAMBLE[..], &hello([7; 16], 2)].concat());
        assert_eq!(talk.step(None, None), Event::Hello { id: [7; 16], state: 2 });
        (talk, Client::new(LIMITS.window))
    }

    fn said(talk: &mut Conversation, client: &mut Client, frame: &[u8]) -> Event {
        talk.feed(frame);
        talk.step(Some(client), None)
    }

    #[test]
    fn a_resend_is_a_repeat_only_with_the_same_bytes() {
        let (mut talk, mut client) = greeted();
        assert_eq!(said(&mut talk, &mut client, &batch(1, &[b"one", b"two"])), Event::Idle);
        assert_eq!(said(&mut talk, &mut client, &batch(2, &[b"two", b"three\n"])), Event::Idle);
        assert_eq!(talk.run.lines.bytes, b"one\ntwo\nthree\n");
        assert_eq!(talk.run.hashes.len(), 3 * HASHES);
        assert_eq!(talk.run.hashes[2 * HASHES + 32..], sha256(&[b"three"])[..16]);
        let conflict = Event::Refused(Refusal::Conflict, 3);
        assert_eq!(said(&mut talk, &mut client, &batch(2, &[b"two", b"three"])), conflict);
        assert_eq!(client.taken(), 3);
    }

    #[test]
    fn gaps_old_numbers_and_long_lines_are_refused() {
        let (mut talk, mut client) = greeted();
        let mut refused = |frame: &[u8]| match said(&mut talk, &mut client, frame) {
            Event::Refused(refusal, number) => Some((refusal, number)),
            _ => None,
        };
        assert_eq!(refused(&batch(2, &[b"two"])), Some((Refusal::Gap, 2)));
        assert_eq!(refused(&batch(1, &[b"1", b"2", b"3", b"4"])), None);
        assert_eq!(refused(&batch(5, &[b"5"])), None);
        assert_eq!(refused(&batch(1, &[b"1"])), Some((Refusal::Expired, 1)));
        assert_eq!(refused(&batch(0, &[b"0"])), Some((Refusal::Malformed, 0)));
        assert_eq!(refused(&batch(6, &[&[b'x'; 97], b""])), Some((Refusal::TooLong, 0)));
        assert_eq!(refused(&batch(u64::MAX, &[b"x", b"y"])).map(|found| found.0), Some(Refusal::TooLong));
    }

    #[test]
    fn a_length_of_4_gib_is_refused_before_anything_of_it_comes() {
        let (mut talk, mut client) = greeted();
        assert_eq!(said(&mut talk, &mut client, &[0xff; 4]), Event::Refused(Refusal::TooLong, 0));
        let (mut talk, mut client) = greeted();
        let malformed = Event::Refused(Refusal::Malformed, 0);
        assert_eq!(said(&mut talk, &mut client, &hello([7; 16], 2)), malformed);
        let (mut talk, _) = greeted();
        talk.feed(&batch(1, &[b"one"]));
        assert_eq!(talk.step(None, None), malformed);
        let mut talk = Conversation::new(LIMITS);
        talk.feed(b"\0telly");
        assert_eq!(talk.step(None, None), Event::Refused(Refusal::Malformed, 0));
    }
}
