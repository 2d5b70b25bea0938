//! The stored form of a summary: `tallysum`, one byte with the version of the form, then the summary in postcard's
//! encoding. Logs are in it by their number among the keys that it was scanned with.

use super::Summary;
use crate::Error;

const MAGIC: &[u8] = b"tallysum";

/// The version of the form that this code writes, and the only one that it reads.
pub const VERSION: u8 = 6;

impl Summary {
    /// The stored form.
    ///
    /// # Errors
    /// [`Error::Format`] if it cannot be encoded.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let bytes = [MAGIC, &[VERSION]].concat();
        postcard::to_extend(self, bytes)
            .map_err(|error| Error::Format(format!("this is no summary: {error}")))
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Error::Format`] for another version, and for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let bad = || Error::Format("this is no summary: scan again".into());
        let (version, bytes) = bytes.strip_prefix(MAGIC).and_then(<[u8]>::split_first).ok_or_else(bad)?;
        if *version != VERSION {
            return Err(Error::Format(format!(
                "this summary has version {version}, and only version {VERSION} is read here: scan again"
            )));
        }
        let (summary, rest) = postcard::take_from_bytes(bytes).map_err(|_| bad())?;
        if rest.is_empty() { Ok(summary) } else { Err(bad()) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::scan::summary::{Event, Kind};
    use crate::seal::epoch::Place;

    fn sample() -> Summary {
        let mut summary = Summary { unsealed: 1, ..Summary::default() };
        let place = Place { file: 0, chunk: 0, line: 7, offset: 300 };
        summary.events.push(Event::new(Kind::Unsealed, None, place, None));
        summary
    }

    #[test]
    fn a_stored_summary_comes_back_as_it_was() {
        let bytes = sample().to_bytes().unwrap();
        let back = Summary::from_bytes(&bytes).unwrap();
        assert_eq!((back.unsealed, &back.events), (1, &sample().events));
        assert_eq!(back.to_bytes().unwrap(), bytes);
    }

    #[test]
    fn a_summary_of_another_version_is_refused_by_name() {
        for version in [0, 1, 255] {
            let mut bytes = sample().to_bytes().unwrap();
            bytes[MAGIC.len()] = version;
            let Err(Error::Format(text)) = Summary::from_bytes(&bytes) else { panic!("it was read") };
            assert!(text.contains(&format!("version {version},")), "{text}");
        }
    }

    #[test]
    fn what_is_cut_off_or_goes_on_is_no_summary() {
        let bytes = sample().to_bytes().unwrap();
        for end in 0..bytes.len() {
            assert!(Summary::from_bytes(&bytes[..end]).is_err(), "{end}");
        }
        assert!(Summary::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    }
}
