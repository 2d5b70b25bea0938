//! Strings in JSON, as they stand between their quotes.

/// A string as it stands between its quotes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    pub raw: &'a [u8],
    pub(super) escaped: bool,
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
            let (letter, after) = rest[at + 1..].split_first()?;
            rest = after;
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

/// Appends the character after `\u`, which may be a pair of surrogates; gives what follows.
fn unicode<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (mut code, mut rest) = hex4(text)?;
    if (0xd800..0xdc00).contains(&code) {
        let (low, after) = hex4(rest.strip_prefix(b"\\u")?)?;
        if !(0xdc00..0xe000).contains(&low) {
            return None;
        }
        code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        rest = after;
    }
    let character = char::from_u32(code)?;
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Some(rest)
}

pub(super) fn hex4(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<4>()?;
    let code = digits.iter().try_fold(0, |code, digit| Some(code * 16 + char::from(*digit).to_digit(16)?))?;
    Some((code, rest))
}

/// Where the first quote or backslash is.
///
/// Eight bytes at a time, since escapes often stand close together: a search that is faster over long
/// distances takes longer to set out.
#[inline]
pub(super) fn special(text: &[u8]) -> Option<usize> {
    const LOW: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    // The lowest bit that is set marks the first zero byte.
    let zeros = |word: u64| word.wrapping_sub(LOW) & !word & HIGH;
    let mut at = 0;
    let mut rest = text;
    while let Some((eight, after)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*eight);
        let found = zeros(word ^ (LOW * 0x22)) | zeros(word ^ (LOW * 0x5c));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
        rest = after;
    }
    rest.iter().position(|b| matches!(b, b'"' | b'\\')).map(|more| at + more)
}
