//! The entries in bytes that are to be sealed.

use memchr::memchr;

use crate::Error;
use crate::line::MAX_ENTRY;

/// The entry that a line is, without the CR at its end.
#[inline]
pub(super) fn entry_of(line: &[u8]) -> Result<&[u8], Error> {
    let m = line.strip_suffix(b"\r").unwrap_or(line);
    if m.len() > MAX_ENTRY {
        return Err(Error::Seal(format!("an entry has {MAX_ENTRY} bytes at most")));
    }
    Ok(m)
}

/// The complete line that begins at `from`, and where the next one does.
#[inline]
pub(super) fn line_at(data: &[u8], from: usize) -> Option<(&[u8], usize)> {
    let end = from + memchr(b'\n', &data[from..])?;
    Some((&data[from..end], end + 1))
}
