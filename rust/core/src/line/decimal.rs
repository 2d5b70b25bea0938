//! Numbers in JSON: how long they are, and how ECMAScript writes them (RFC 8785).

/// Any decimal of 15 significant digits is the shortest of those that are read as its double (IEEE 754).
pub(super) const SURE_DIGITS: usize = 15;
/// Well within the exponents of normal doubles.
pub(super) const SURE_POINT: u64 = 290;

/// How many bytes the number takes that a text begins with (RFC 8259 section 6).
pub(super) fn number_length(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| from + text[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    at = match text.get(at)? {
        b'0' => at + 1,
        b'1'..=b'9' => digits(at),
        _ => return None,
    };
    if text.get(at) == Some(&b'.') {
        let from = at + 1;
        at = Some(digits(from)).filter(|end| *end > from)?;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let from = at + 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        at = Some(digits(from)).filter(|end| *end > from)?;
    }
    Some(at)
}

/// `0.digits * 10^point`, digits without zeros at either end; empty for zero.
#[derive(PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    pub(super) digits: String,
    pub(super) point: i64,
}

impl Decimal {
    pub(super) fn read(literal: &str) -> Option<Self> {
        let (negative, unsigned) = match literal.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, literal),
        };
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        // An exponent that does not fit belongs to a zero or to no double at all.
        let exponent: i64 = exponent.parse().unwrap_or(i64::from(i32::MAX));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits = String::with_capacity(whole.len() + fraction.len());
        digits.push_str(whole);
        digits.push_str(fraction);
        let zeros = digits.len() - digits.trim_start_matches('0').len();
        digits.truncate(digits.trim_end_matches('0').len().max(zeros));
        digits.drain(..zeros);
        // The exponent is whatever the line says, up to the last i64: -2^63 with zeros before it must not overflow.
        let point = (i64::try_from(whole.len()).ok()? - i64::try_from(zeros).ok()?).saturating_add(exponent);
        Some(Self { negative, digits, point })
    }

    /// Writes it as ECMAScript's `Number::toString` does, radix 10.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let digits = self.digits.as_bytes();
        if digits.is_empty() {
            return out.push(b'0');
        }
        if self.negative {
            out.push(b'-');
        }
        let count = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        let zeros = |n: i64| std::iter::repeat_n(b'0', usize::try_from(n).unwrap_or(0));
        match self.point {
            n if count <= n && n <= 21 => {
                out.extend_from_slice(digits);
                out.extend(zeros(n - count));
            }
            n if 0 < n && n <= 21 => {
                let (whole, fraction) = digits.split_at(usize::try_from(n).unwrap_or(0));
                out.extend_from_slice(whole);
                out.push(b'.');
                out.extend_from_slice(fraction);
            }
            n if -6 < n && n <= 0 => {
                out.extend_from_slice(b"0.");
                out.extend(zeros(-n));
                out.extend_from_slice(digits);
            }
            n => {
                let (first, rest) = digits.split_at(1);
                out.extend_from_slice(first);
                if !rest.is_empty() {
                    out.push(b'.');
                    out.extend_from_slice(rest);
                }
                out.extend_from_slice(if n > 0 { b"e+" } else { b"e" });
                out.extend_from_slice((n - 1).to_string().as_bytes());
            }
        }
    }
}
