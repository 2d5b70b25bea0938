//! Sockets of the agent: what comes is received, taken apart and put to the lines that wait, in one call.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tallystick_core::Error;
use tallystick_core::framing::conversation::{self, Event, HASHES, Limits};
use tallystick_core::framing::{self, Framing, Left, Stream};
use tallystick_core::hash::sha256;
use tallystick_core::line::{Read, read, trim};

use crate::OrRaise as _;
use crate::descriptor::{borrowed, os_error};
use crate::py_bytes;

/// A datagram that does not fit gives its whole length; where the system cannot do that, there is no agent.
#[cfg(not(target_vendor = "apple"))]
const DATAGRAM: RecvFlags = RecvFlags::DONTWAIT.union(RecvFlags::TRUNC);
#[cfg(target_vendor = "apple")]
const DATAGRAM: RecvFlags = RecvFlags::DONTWAIT;

/// Bytes that are received at once of a stream.
const AT_ONCE: usize = 1 << 18;
/// What `receive` gives where nothing is there.
const NOTHING: isize = -1;
/// Bytes that a datagram counts besides its own: a flood of empty ones must come to an end, too.
const AROUND: usize = 64;

/// The fields of one sender, as they stand in its lines.
#[pyclass(module = "tallystick._core", frozen)]
pub struct Stamp(framing::Stamp);

#[pymethods]
impl Stamp {
    /// Takes the fields in both forms: `[uid=7] ` and `{"uid":7}`.
    #[new]
    fn new(plain: Vec<u8>, json: Vec<u8>) -> Self {
        Self(framing::Stamp { plain, json })
    }
}

/// Lines that wait to be sealed, of many senders in the order in which they came.
#[pyclass(module = "tallystick._core")]
pub struct Lines {
    lines: framing::Lines,
    room: Vec<u8>,
}

#[pymethods]
impl Lines {
    #[new]
    fn new() -> Self {
        Self { lines: framing::Lines::default(), room: vec![0; AT_ONCE] }
    }

    /// How many bytes wait.
    #[getter]
    fn size(&self) -> usize {
        self.lines.bytes.len()
    }

    /// How many lines wait.
    #[getter]
    fn count(&self) -> u64 {
        self.lines.count
    }

    /// Gives the lines and forgets them.
    fn take<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let taken = py_bytes(py, &self.lines.bytes);
        self.lines.bytes.clear();
        self.lines.bytes.shrink_to(AT_ONCE);
        self.lines.count = 0;
        taken
    }
}

/// Receives what is there, up to a bound; how much it was, 0 at the end, or nothing.
///
/// Descriptors that come along find no room, and the kernel closes them.
fn received(py: Python<'_>, fd: i32, room: &mut [u8]) -> PyResult<Option<usize>> {
    match py.detach(|| recv(borrowed(fd)?, room, RecvFlags::DONTWAIT)) {
        Ok((_, count)) => Ok(Some(count)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(os_error(error.into())),
    }
}

fn counted(count: usize) -> isize {
    isize::try_from(count).unwrap_or(isize::MAX)
}

fn splits(stream: &mut Stream) -> Vec<(u64, u64)> {
    stream.splits.drain(..).map(|split| (split.bytes, split.parts)).collect()
}

/// What was left of a stream.
type Unread = (Vec<u8>, Vec<u8>, Option<usize>, u64, u64);

/// One connection that sends lines or messages.
#[pyclass(module = "tallystick._core")]
pub struct LineStream(Stream);

#[pymethods]
impl LineStream {
    /// Takes the framing: lines, syslog or packets; the longest line in bytes; and what was left of another stream.
    #[new]
    #[pyo3(signature = (form, limit, left = None))]
    fn new(py: Python<'_>, form: &str, limit: usize, left: Option<Unread>) -> PyResult<Self> {
        let framing = match form {
            "lines" => Ok(Framing::Lines),
            "syslog" => Ok(Framing::Syslog),
            "packets" => Ok(Framing::Packets),
            _ => Err(Error::Format("a framing is lines, syslog or packets".into())),
        };
        let (rest, digits, due, parts, parted) = left.unwrap_or_default();
        let left = Left { rest, digits, due, parts, parted };
        Ok(Self(Stream::resume(framing.or_raise(py)?, limit, left)))
    }

    /// Gives what another stream takes to go on here: bytes of a message, digits of a count, octets that are to come,
    /// lines that the message became already, and their bytes.
    fn left<'py>(
        &self,
        py: Python<'py>,
    ) -> (Bound<'py, PyBytes>, Bound<'py, PyBytes>, Option<usize>, u64, u64) {
        let left = self.0.left();
        (py_bytes(py, &left.rest), py_bytes(py, &left.digits), left.due, left.parts, left.parted)
    }

    /// Receives once; gives how many bytes came, 0 at the end of the stream, -1 where nothing is there.
    #[pyo3(signature = (fd, lines, stamp = None))]
    fn receive(
        &mut self,
        py: Python<'_>,
        fd: i32,
        lines: &mut Lines,
        stamp: Option<&Stamp>,
    ) -> PyResult<isize> {
        let Some(count) = received(py, fd, &mut lines.room)? else { return Ok(NOTHING) };
        if count > 0 {
            self.0.feed(&lines.room[..count], stamp.map(|stamp| &stamp.0), &mut lines.lines);
        }
        Ok(counted(count))
    }

    /// Takes bytes that came in another way.
    #[pyo3(signature = (data, lines, stamp = None))]
    fn feed(&mut self, data: &[u8], lines: &mut Lines, stamp: Option<&Stamp>) {
        self.0.feed(data, stamp.map(|stamp| &stamp.0), &mut lines.lines);
    }

    /// Takes the end of the stream; was a message cut off there?
    #[pyo3(signature = (lines, stamp = None))]
    fn finish(&mut self, lines: &mut Lines, stamp: Option<&Stamp>) -> bool {
        self.0.finish(stamp.map(|stamp| &stamp.0), &mut lines.lines)
    }

    /// How many bytes of a message that has not ended are here.
    #[getter]
    fn pending(&self) -> usize {
        self.0.pending()
    }

    /// Gives length and number of lines of each message that was too long for one, once.
    fn splits(&mut self) -> Vec<(u64, u64)> {
        splits(&mut self.0)
    }
}

/// A socket whose datagrams are messages.
#[pyclass(module = "tallystick._core")]
pub struct Datagrams {
    stream: Stream,
    room: Vec<u8>,
    cuts: Vec<u64>,
}

#[pymethods]
impl Datagrams {
    /// Takes the longest line, and of how many bytes of a datagram there is room: memory is used as far as they come.
    #[new]
    fn new(limit: usize, longest: usize) -> Self {
        Self { stream: Stream::new(Framing::Packets, limit), room: vec![0; longest], cuts: Vec::new() }
    }

    /// Receives datagrams until none is there or so many bytes came; gives how many bytes, some for each datagram.
    #[pyo3(signature = (fd, lines, most, stamp = None))]
    fn receive(
        &mut self,
        py: Python<'_>,
        fd: i32,
        lines: &mut Lines,
        most: usize,
        stamp: Option<&Stamp>,
    ) -> PyResult<usize> {
        let (stamp, lines) = (stamp.map(|stamp| &stamp.0), &mut lines.lines);
        let took = py.detach(|| {
            let mut took = 0;
            while took < most {
                match recv(borrowed(fd)?, &mut self.room[..], DATAGRAM) {
                    Ok((_, size)) => {
                        let here = size.min(self.room.len());
                        self.stream.feed(&self.room[..here], stamp, lines);
                        if here < size {
                            self.cuts.push(size as u64);
                        }
                        took += here + AROUND;
                    }
                    Err(Errno::AGAIN | Errno::INTR) => break,
                    Err(error) => return Err(error),
                }
            }
            Ok(took)
        });
        took.map_err(|error: Errno| os_error(error.into()))
    }

    /// Gives the length of each datagram for which there was no room, once.
    fn cuts(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.cuts)
    }

    /// Takes a datagram that came in another way.
    #[pyo3(signature = (data, lines, stamp = None))]
    fn feed(&mut self, data: &[u8], lines: &mut Lines, stamp: Option<&Stamp>) {
        self.stream.feed(data, stamp.map(|stamp| &stamp.0), &mut lines.lines);
    }

    /// Gives length and number of lines of each message that was too long for one, once.
    fn splits(&mut self) -> Vec<(u64, u64)> {
        splits(&mut self.stream)
    }
}

/// What is remembered of one client of the acknowledged protocol.
#[pyclass(module = "tallystick._core")]
pub struct AgentClient(conversation::Client);

#[pymethods]
impl AgentClient {
    #[new]
    fn new(window: usize) -> Self {
        Self(conversation::Client::new(window))
    }

    /// The highest number that was taken.
    #[getter]
    fn taken(&self) -> u64 {
        self.0.taken()
    }

    /// Remembers lines from a number on, as a journal has them: 48 bytes each; or as `hashes` gives them.
    fn remember(&mut self, py: Python<'_>, first: u64, hashes: &[u8], each: usize) -> PyResult<()> {
        let malformed = || Error::Format("no hashes of a client's lines".into());
        if each < 32 || !hashes.len().is_multiple_of(each) {
            return Err(malformed()).or_raise(py);
        }
        let before = first.checked_sub(1).ok_or_else(malformed).or_raise(py)?;
        if before != self.0.taken() {
            self.0.begin_at(before);
        }
        for one in hashes.chunks_exact(each) {
            let Some(hash) = one.first_chunk() else { break };
            self.0.put(*hash);
        }
        Ok(())
    }

    /// The hashes that are remembered, 32 bytes each, the oldest first.
    fn hashes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        py_bytes(py, &self.0.hashes().copied().collect::<Vec<_>>().concat())
    }
}

/// One connection of a client that speaks the acknowledged protocol.
#[pyclass(module = "tallystick._core")]
pub struct Conversation(conversation::Conversation);

#[pymethods]
impl Conversation {
    /// Takes the longest line in bytes, and of how many lines hashes are remembered.
    #[new]
    fn new(limit: usize, window: usize) -> Self {
        Self(conversation::Conversation::new(Limits { line: limit, window }))
    }

    /// Receives once; gives how many bytes came, 0 at the end of the stream, -1 where nothing is there.
    fn receive(&mut self, py: Python<'_>, fd: i32, lines: &mut Lines) -> PyResult<isize> {
        let Some(count) = received(py, fd, &mut lines.room)? else { return Ok(NOTHING) };
        self.0.feed(&lines.room[..count]);
        Ok(counted(count))
    }

    /// Takes bytes that came in another way.
    fn feed(&mut self, data: &[u8]) {
        self.0.feed(data);
    }

    /// Does what whole frames ask for; gives a refusal or 0, its number, and of a hello the state and the id.
    #[pyo3(signature = (client = None, stamp = None))]
    fn step<'py>(
        &mut self,
        py: Python<'py>,
        client: Option<&mut AgentClient>,
        stamp: Option<&Stamp>,
    ) -> (u8, u64, u8, Option<Bound<'py, PyBytes>>) {
        match self.0.step(client.map(|client| &mut client.0), stamp.map(|stamp| &stamp.0)) {
            Event::Idle => (0, 0, 0, None),
            Event::Hello { id, state } => (0, 0, state, Some(py_bytes(py, &id))),
            Event::Refused(refusal, number) => (refusal as u8, number, 0, None),
        }
    }

    /// Gives the number of the first new line, the lines and their hashes, and forgets them; None without any.
    fn run<'py>(&mut self, py: Python<'py>) -> Option<(u64, Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let run = std::mem::take(&mut self.0.run);
        (run.lines.count > 0).then(|| (run.first, py_bytes(py, &run.lines.bytes), py_bytes(py, &run.hashes)))
    }

    /// Gives the bytes from which another conversation goes on here, if they are fed to it.
    fn left<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        py_bytes(py, &self.0.left())
    }

    /// How many bytes are here that make no whole frame.
    #[getter]
    fn pending(&self) -> usize {
        self.0.pending()
    }
}

/// Half of the SHA-256 of the entry in a sealed line, as a journal has it; None where the line is not sealed.
#[pyfunction]
pub fn entry_hash<'py>(py: Python<'py>, line: &[u8]) -> Option<Bound<'py, PyBytes>> {
    let Read::Sealed(sealed) = read(line) else { return None };
    let line = trim(line);
    let hash = match sealed.m {
        tallystick_core::line::Span::Plain(from, to) => sha256(&[&line[from..to]]),
        tallystick_core::line::Span::Json(from, to) => sha256(&[&line[from..to], b"}"]),
    };
    Some(py_bytes(py, &hash[..HASHES - hash.len()]))
}
