//! Records that a power loss glued to each other: zeros, or half a record, and then the next one on the same line.
//!
//! Engines that start anew append to what is there, without an LF. The record after it is taken; what stands before it
//! is looked at as if it stood on a line of its own.

use std::sync::LazyLock;

use memchr::memmem;

use super::Form;
use super::json::unended;
use super::prefix::time;
use super::records::standard_stream;
use crate::line::{self, Read};

/// Most parts of one line that are looked for, and beginnings of records that are tried for one of them.
const MOST: usize = 16;

/// How a record of Docker begins.
const DOCKER: &[u8] = b"{\"log\":\"";

/// Longest head of a CRI record: time, stream, tags.
const CRI_HEAD: usize = 64;

/// The parts of a line: what the last ones are is a whole record each. Zeros between them are dropped.
pub(super) fn parted<'a>(form: &Form, line: &'a [u8]) -> Vec<&'a [u8]> {
    let (mut parts, mut rest) = (Vec::new(), line);
    if matches!(form, Form::Docker | Form::Cri) {
        rest = without_zeros(&rest[rest.iter().take_while(|byte| **byte == 0).count()..]);
        while parts.len() < MOST
            && let Some(at) = last_record(form, rest)
        {
            parts.push(&rest[at..]);
            rest = without_zeros(&rest[..at]);
        }
    }
    if !rest.is_empty() || line.is_empty() {
        parts.push(rest);
    }
    parts.reverse();
    parts
}

fn without_zeros(text: &[u8]) -> &[u8] {
    &text[..text.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1)]
}

/// Where in a line that is no record, or holds another one, its last record begins.
fn last_record(form: &Form, line: &[u8]) -> Option<usize> {
    if let Form::Cri = form {
        let mut text = Vec::new();
        return match super::records::cri(line, &mut text) {
            Some(_) => inner_record(&text).map(|at| line.len() - text.len() + at),
            None => cri_heads(line).next(),
        };
    }
    let mut text = Vec::new();
    if form.record(line, &mut text).is_some() {
        return None;
    }
    let mut starts = memmem::rfind_iter(line, DOCKER).filter(|at| *at > 0).take(MOST);
    starts.find(|at| form.record(&line[*at..], &mut text).is_some())
}

/// Is there another record's head in the text of a CRI record, and does the seal say that its line begins there?
#[inline]
pub(super) fn is_glued(text: &[u8]) -> bool {
    static NAME: LazyLock<memmem::Finder> = LazyLock::new(|| memmem::Finder::new(b" std"));
    NAME.find(text).is_some() && inner_record(text).is_some()
}

fn inner_record(text: &[u8]) -> Option<usize> {
    let Read::Sealed(sealed) = line::read(text) else { return None };
    let start = sealed.m.start();
    let near = start.saturating_sub(CRI_HEAD);
    cri_heads(&text[near..]).map(|at| near + at).find(|at| {
        let mut content = Vec::new();
        super::records::cri(&text[*at..], &mut content).is_some() && text.len() - content.len() == start
    })
}

/// Where heads of CRI records begin in a text, the last one first.
fn cri_heads(text: &[u8]) -> impl Iterator<Item = usize> {
    let stream = |at: &usize| {
        matches!(text.get(*at..*at + 8), Some(b" stdout " | b" stderr "))
            && matches!(text.get(at + 8), Some(b'F' | b'P'))
            && matches!(text.get(at + 9), Some(b' ' | b':'))
    };
    let blanks = memmem::rfind_iter(text, b" std").filter(stream).take(MOST).collect::<Vec<_>>();
    blanks.into_iter().filter_map(|at| {
        let from = at.saturating_sub(40);
        (from..at).find(|start| time(&text[*start..at]) == Some(at - start))
    })
}

/// Appends the text of half a record, as far as it is there; `None` if it is none.
pub(super) fn half(form: &Form, part: &[u8], text: &mut Vec<u8>) -> Option<()> {
    match form {
        Form::Docker if !part.is_empty() && DOCKER.starts_with(part) => Some(()),
        Form::Docker => {
            let found = unended(part.strip_prefix(DOCKER)?)?;
            let from = text.len();
            found.append_to(text).or_else(|| {
                // The first half of a pair of escapes says nothing.
                text.truncate(from);
                unended(found.raw.get(..found.raw.len().checked_sub(6)?)?)?.append_to(text)
            })
        }
        Form::Cri => begins_head(part).then_some(()),
        _ => None,
    }
}

/// Is this the beginning of the head of a CRI record, and no more?
fn begins_head(part: &[u8]) -> bool {
    let mut words = part.splitn(4, |byte| *byte == b' ');
    let (Some(when), stream, tags) = (words.next(), words.next(), words.next()) else { return false };
    let Some(stream) = stream else { return !when.is_empty() && begins_time(when) };
    let whole = standard_stream(stream).is_some();
    let fine =
        whole || (tags.is_none() && [b"stdout", b"stderr"].iter().any(|known| known.starts_with(stream)));
    let tagged = tags.is_none_or(|tags| matches!(tags, b"" | b"F" | b"P"));
    time(when) == Some(when.len()) && fine && tagged && words.next().is_none()
}

/// Is this the beginning of a time of RFC 3339, as far as its bytes tell?
fn begins_time(text: &[u8]) -> bool {
    let (seconds, rest) = text.split_at(text.len().min(19));
    let fits = |(byte, like): (&u8, &u8)| if *like == b'0' { byte.is_ascii_digit() } else { byte == like };
    seconds.iter().zip(b"0000-00-00T00:00:00").all(fits)
        && rest.len() <= 16
        && rest.iter().all(|byte| byte.is_ascii_digit() || b".:+-Z".contains(byte))
}
