//! Going over a JSON object without building anything from it.
//!
//! Strict about the grammar, so that what is taken for a record is what any viewer would show; lenient about
//! what carriers let through in strings: invalid UTF-8 and raw control characters.

use super::MAX_DEPTH;
use crate::line::canon::number_length;

/// A string as it stands between its quotes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    pub raw: &'a [u8],
    escaped: bool,
}

impl Text<'_> {
    /// Is this string, unescaped, these bytes?
    #[inline]
    pub fn is(&self, bytes: &[u8]) -> bool {
        if !self.escaped {
            return self.raw == bytes;
        }
        // The longest escape of a byte is six bytes long.
        if self.raw.len() > 6 * bytes.len() {
            return false;
        }
        let mut text = Vec::with_capacity(self.raw.len());
        self.append_to(&mut text).is_some() && text == bytes
    }

    /// The same for those that do not mind whether letters are capital.
    #[inline]
    pub fn is_like(&self, bytes: &[u8]) -> bool {
        if !self.escaped {
            return self.raw.eq_ignore_ascii_case(bytes);
        }
        let mut text = Vec::new();
        self.raw.len() <= 6 * bytes.len()
            && self.append_to(&mut text).is_some()
            && text.eq_ignore_ascii_case(bytes)
    }

    /// Where its quote stands in the text that it was read from.
    pub fn begins_in(&self, text: &[u8]) -> Option<usize> {
        (self.raw.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?.checked_sub(1)
    }

    /// Appends the unescaped string; `None` at a lone surrogate.
    #[inline]
    pub fn append_to(&self, out: &mut Vec<u8>) -> Option<()> {
        if !self.escaped {
            out.extend_from_slice(self.raw);
            return Some(());
        }
        let mut rest = self.raw;
        while let Some(at) = special(rest) {
            out.extend_from_slice(&rest[..at]);
            // No quote stands in a string, and what follows a backslash was checked.
            let (letter, behind) = rest[at + 1..].split_first()?;
            rest = behind;
            match letter {
                b'b' => out.push(0x08),
                b'f' => out.push(0x0c),
                b'n' => out.push(b'\n'),
                b'r' => out.push(b'\r'),
                b't' => out.push(b'\t'),
                b'u' => rest = unicode(rest, out)?,
                same => out.push(*same),
            }
        }
        out.extend_from_slice(rest);
        Some(())
    }
}

/// What is there of a string that does not end, `None` if it ends or is none.
pub(super) fn unended(raw: &[u8]) -> Option<Text<'_>> {
    let (mut at, mut escaped) = (0, false);
    while let Some(found) = special(&raw[at..]) {
        if raw[at + found] == b'"' {
            return None;
        }
        escaped = true;
        let left = &raw[at + found + 1..];
        let size = match left.first() {
            Some(b'u') if left.len() < 5 && left[1..].iter().all(u8::is_ascii_hexdigit) => left.len() + 2,
            Some(b'u') => hex4(&left[1..]).map(|_| 6)?,
            None | Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(_) => return None,
        };
        if at + found + size > raw.len() {
            return Some(Text { raw: &raw[..at + found], escaped });
        }
        at += found + size;
    }
    Some(Text { raw, escaped })
}

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

/// Appends the character behind `\u`, which may be a pair of surrogates; gives what follows.
fn unicode<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (mut code, mut rest) = hex4(text)?;
    if (0xd800..0xdc00).contains(&code) {
        let (low, behind) = hex4(rest.strip_prefix(b"\\u")?)?;
        if !(0xdc00..0xe000).contains(&low) {
            return None;
        }
        code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        rest = behind;
    }
    let character = char::from_u32(code)?;
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Some(rest)
}

fn hex4(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<4>()?;
    let code = digits.iter().try_fold(0, |code, digit| Some(code * 16 + char::from(*digit).to_digit(16)?))?;
    Some((code, rest))
}

/// Where the first quote or backslash is.
///
/// Eight bytes at a time, since escapes often stand close together: a search that is faster over long
/// distances takes longer to set out.
#[inline]
fn special(text: &[u8]) -> Option<usize> {
    const LOW: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    // The lowest bit that is set marks the first zero byte.
    let zeros = |word: u64| word.wrapping_sub(LOW) & !word & HIGH;
    let mut at = 0;
    let mut rest = text;
    while let Some((eight, behind)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*eight);
        let found = zeros(word ^ (LOW * 0x22)) | zeros(word ^ (LOW * 0x5c));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
        rest = behind;
    }
    rest.iter().position(|b| matches!(b, b'"' | b'\\')).map(|more| at + more)
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
