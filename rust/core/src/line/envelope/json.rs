//! Going over a JSON object without building anything from it.
//!
//! Strict about the grammar, so that what is taken for a record is what any viewer would show; lenient about
//! what carriers let through in strings: invalid UTF-8 and raw control characters.

use super::json_text::{Text, hex4, special};
use crate::line::decimal::number_length;

/// Deepest nesting of objects and arrays that is read.
pub(super) const MAX_DEPTH: u32 = 64;

/// A string, or what stands in its place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found<'a> {
    /// A string.
    Text(Text<'a>),
    /// Another value, or the end.
    Other,
    /// Nothing.
    Nothing,
}

impl<'a> Found<'a> {
    pub fn text(self) -> Option<Text<'a>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Other | Self::Nothing => None,
        }
    }
}

/// Where in an object the reader is.
pub(super) struct Skim<'a> {
    text: &'a [u8],
    at: usize,
    depth: u32,
    /// No member of the innermost object was read yet.
    fresh: bool,
}

impl<'a> Skim<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, depth: 0, fresh: false }
    }

    /// How far it was read.
    pub fn at(&self) -> usize {
        self.at
    }

    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    pub fn skip(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    #[inline]
    pub fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Goes into an object.
    #[inline]
    pub fn enter(&mut self) -> Option<()> {
        self.blanks();
        self.skip(b'{')?;
        self.depth += 1;
        self.fresh = true;
        (self.depth <= MAX_DEPTH).then_some(())
    }

    /// The next name of the object, its value being next; `Other` when the object has ended.
    #[inline]
    pub fn name(&mut self) -> Option<Found<'a>> {
        self.blanks();
        let fresh = std::mem::take(&mut self.fresh);
        match self.peek()? {
            b'}' => {
                self.at += 1;
                self.depth -= 1;
                return Some(Found::Other);
            }
            b',' if !fresh => {
                self.at += 1;
                self.blanks();
            }
            _ if !fresh => return None,
            _ => {}
        }
        let name = self.string()?;
        self.blanks();
        self.skip(b':')?;
        self.blanks();
        Some(Found::Text(name))
    }

    /// Goes to the next element of an array, the first time into it; `false` when the array has ended.
    pub fn element(&mut self, first: bool) -> Option<bool> {
        self.blanks();
        if first {
            self.skip(b'[')?;
            self.depth += 1;
            self.blanks();
        }
        match self.peek()? {
            b']' => {
                self.at += 1;
                self.depth -= 1;
                return Some(false);
            }
            b',' if !first => {
                self.at += 1;
                self.blanks();
                if self.peek()? == b']' {
                    return None;
                }
            }
            _ if !first => return None,
            _ => {}
        }
        (self.depth <= MAX_DEPTH).then_some(true)
    }

    /// Nothing but blanks follows.
    pub fn done(&mut self) -> Option<()> {
        self.blanks();
        (self.at == self.text.len()).then_some(())
    }

    /// A string.
    #[inline]
    pub fn string(&mut self) -> Option<Text<'a>> {
        self.skip(b'"')?;
        let from = self.at;
        let mut escaped = false;
        loop {
            self.at += special(self.text.get(self.at..)?)?;
            if self.text[self.at] == b'"' {
                self.at += 1;
                return Some(Text { raw: &self.text[from..self.at - 1], escaped });
            }
            escaped = true;
            match self.text.get(self.at + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
                b'u' => {
                    hex4(&self.text[self.at + 2..])?;
                    self.at += 6;
                }
                _ => return None,
            }
        }
    }

    /// Any value as it stands, a string without its quotes.
    #[inline]
    pub fn raw(&mut self) -> Option<&'a [u8]> {
        if self.peek()? == b'"' {
            return self.string().map(|text| text.raw);
        }
        let from = self.at;
        self.value()?;
        self.text.get(from..self.at)
    }

    /// Any value, of which only a string is kept.
    #[inline]
    pub fn string_or_other(&mut self) -> Option<Found<'a>> {
        if self.peek()? == b'"' {
            self.string().map(Found::Text)
        } else {
            self.value().map(|()| Found::Other)
        }
    }

    /// Goes over a value. The kinds of what is open are kept as bits, so depth takes no stack.
    #[inline]
    pub fn value(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'{' | b'[' => self.nested(),
            _ => self.scalar(),
        }
    }

    fn scalar(&mut self) -> Option<()> {
        let rest = &self.text[self.at..];
        for word in [&b"true"[..], b"false", b"null"] {
            if rest.starts_with(word) {
                self.at += word.len();
                return Some(());
            }
        }
        self.at += number_length(rest)?;
        Some(())
    }

    fn nested(&mut self) -> Option<()> {
        // One bit for each level inside the value: 1 an object, 0 an array; the lowest is the innermost.
        let (mut kinds, mut levels) = (0u64, 0u32);
        loop {
            // Here a value begins.
            let open = self.peek()?;
            if matches!(open, b'{' | b'[') {
                self.at += 1;
                levels += 1;
                if self.depth + levels > MAX_DEPTH {
                    return None;
                }
                kinds = kinds << 1 | u64::from(open == b'{');
                self.blanks();
                let close = if open == b'{' { b'}' } else { b']' };
                if self.peek()? != close {
                    self.member_name(kinds)?;
                    continue;
                }
            } else {
                self.value()?;
                self.blanks();
            }
            // Here a value has ended, or an empty one is about to.
            loop {
                let object = kinds & 1 == 1;
                match self.next()? {
                    b',' => {
                        self.blanks();
                        self.member_name(kinds)?;
                        break;
                    }
                    b'}' if object => {}
                    b']' if !object => {}
                    _ => return None,
                }
                kinds >>= 1;
                levels -= 1;
                if levels == 0 {
                    return Some(());
                }
                self.blanks();
            }
        }
    }

    /// In an object, the name before a value.
    #[inline]
    fn member_name(&mut self, kinds: u64) -> Option<()> {
        if kinds & 1 == 1 {
            self.string()?;
            self.blanks();
            self.skip(b':')?;
            self.blanks();
        }
        Some(())
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
    }

    /// Appends an array of byte values, as the journal writes what is not UTF-8.
    pub fn byte_values(&mut self, out: &mut Vec<u8>) -> Option<()> {
        self.skip(b'[')?;
        self.blanks();
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            let from = self.at;
            self.digits();
            let digits = self.text.get(from..self.at).filter(|d| d.len() <= 3)?;
            out.push(std::str::from_utf8(digits).ok()?.parse().ok()?);
            self.blanks();
            match self.next()? {
                b',' => self.blanks(),
                b']' => return Some(()),
                _ => return None,
            }
        }
    }
}
