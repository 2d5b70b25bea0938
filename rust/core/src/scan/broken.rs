//! Beginnings of openings: what a crash leaves of the first line of a chain (SPEC section 9).
//!
//! What is whole of it must be what the log's writer could have written, as far as the key can tell; of the field
//! that broke off there are only letters that it may begin with.

use super::LogKeys;
use crate::hash::{first16, sha256};
use crate::line::{Position, trim};
use crate::seal::head::{Head, Mark};
use crate::seal::keys::{key_climb, signature_holds};
use crate::seal::statement::{MAX_TIME, cert_message, control_m};
use crate::text::{b64, b64_fixed, num};

/// What is whole of an opening that broke off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Broken {
    /// Digits of its chain's number, as far as they are there.
    pub digits: Vec<u8>,
    /// Its chain, if the number is whole.
    pub chain: Option<u32>,
    /// The head that it names.
    pub prev: Option<Mark>,
}

/// Why reading ends.
enum Stop {
    /// Here the line broke off.
    Cut,
    /// It is no beginning of an opening.
    Other,
}

/// What is left to read.
#[derive(Clone)]
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// These very bytes.
    fn literal(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        match self.0.strip_prefix(bytes) {
            Some(rest) => self.0 = rest,
            None if bytes.starts_with(self.0) => return Err(Stop::Cut),
            None => return Err(Stop::Other),
        }
        Ok(())
    }

    /// The digits that come next.
    fn digits(&mut self) -> &'a [u8] {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        digits
    }

    /// A number, and what stands behind it.
    fn number(&mut self, max: u64, end: &[u8]) -> Result<u64, Stop> {
        let digits = self.digits();
        if digits.is_empty() && self.0.is_empty() {
            return Err(Stop::Cut);
        }
        let number = num(digits, max).ok_or(Stop::Other)?;
        self.literal(end)?;
        Ok(number)
    }

    /// The b64 of N bytes.
    fn b64<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let letters = (N * 4).div_ceil(3);
        let Some((text, rest)) = self.0.split_at_checked(letters) else {
            let fine = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            return Err(if self.0.iter().all(fine) { Stop::Cut } else { Stop::Other });
        };
        self.0 = rest;
        b64_fixed(text).ok_or(Stop::Other)
    }
}

impl LogKeys {
    /// What is whole of a line that is the beginning of an `open` of this log; `None` if it is none, or not broken.
    #[must_use]
    pub fn broken_opening(&self, line: &[u8]) -> Option<Broken> {
        let line = trim(line);
        [false, true].into_iter().find_map(|json| {
            let mut found = Broken::default();
            matches!(self.read_opening(line, json, &mut found), Err(Stop::Cut)).then_some(found)
        })
    }

    fn read_opening(&self, line: &[u8], json: bool, found: &mut Broken) -> Result<(), Stop> {
        let mut rest = Rest(line);
        let begin: &[u8] = if json { b"{\"tallystick\":\"" } else { b"" };
        rest.literal(begin)?;
        let (name, statement) = (&self.public.name, rest.0);
        rest.literal(format!("tallystick/v1 open {name} {} ", self.id).as_bytes())?;
        found.digits = Rest(rest.0).digits().to_vec();
        if found.digits.starts_with(b"0") {
            return Err(Stop::Other);
        }
        let chain = u32::try_from(rest.number(u64::from(u32::MAX), b" ")?).map_err(|_| Stop::Other)?;
        found.chain = Some(chain);
        rest.number(MAX_TIME, b" ")?;
        self.read_prev(&mut rest, chain, found)?;
        let pk = self.read_cert(&mut rest, chain)?;
        let covered = &statement[..statement.len() - rest.0.len()];
        rest.literal(b" ")?;
        if !signature_holds(&pk, covered, &rest.b64()?) {
            return Err(Stop::Other);
        }
        let statement = &statement[..statement.len() - rest.0.len()];
        self.read_seal(&mut rest, chain, &String::from_utf8_lossy(statement), json)
    }

    /// The head that it names: one before this chain, and with V its proof holds.
    fn read_prev(&self, rest: &mut Rest<'_>, chain: u32, found: &mut Broken) -> Result<(), Stop> {
        // A head before this chain; the first of all has no position of its own.
        let p = rest.number(u64::from(chain.saturating_sub(1)), b".")?;
        let (epoch, index) = if p == 0 {
            rest.literal(b"0.0.")?;
            (0, 0)
        } else {
            let epoch = rest.number(255, b".")?;
            if epoch == 0 && rest.0.starts_with(b"0") {
                return Err(Stop::Other);
            }
            (epoch, rest.number(65_535, b".")?)
        };
        let (Ok(p), Ok(epoch), Ok(index)) = (p.try_into(), epoch.try_into(), index.try_into()) else {
            return Err(Stop::Other);
        };
        if p == 0 {
            // Zeros, which are As, are what no other head has.
            rest.clone().literal(b64(&Mark::setup().hash).as_bytes())?;
        }
        let mark = Mark { at: Position::new(p, epoch, index), hash: rest.b64()? };
        found.prev = Some(mark);
        rest.literal(b".")?;
        let proof: [u8; 16] = rest.b64()?;
        let within = self.secret.as_ref().filter(|_| p <= self.reach);
        if within.and_then(|key| Head::at(self.id, mark, key)).is_some_and(|head| head.proof(chain) != proof)
        {
            return Err(Stop::Other);
        }
        rest.literal(b" ")
    }

    /// The cert: it leads to the chain root of its generation, if that is known. Gives the chain key.
    fn read_cert(&self, rest: &mut Rest<'_>, chain: u32) -> Result<[u8; 32], Stop> {
        let from = rest.0;
        for _ in 0..2 {
            rest.b64::<32>()?;
            rest.literal(b".")?;
        }
        let roots = &from[..from.len() - rest.0.len() - 1];
        let pk = rest.b64()?;
        rest.literal(b".")?;
        let top = key_climb(&pk, (chain.wrapping_sub(1)).to_le_bytes()[0], &rest.b64()?);
        if self.root(chain.saturating_sub(1) / 256).is_some_and(|root| root != top) {
            return Err(Stop::Other);
        }
        rest.literal(b".")?;
        let message = cert_message(self.public.name.as_bytes(), self.id, chain, roots);
        if signature_holds(&pk, &message, &rest.b64()?) { Ok(pk) } else { Err(Stop::Other) }
    }

    /// The seal of such a line; with V its tag holds.
    fn read_seal(&self, rest: &mut Rest<'_>, chain: u32, statement: &str, json: bool) -> Result<(), Stop> {
        let m = control_m(statement, json);
        let seal = format!("{}.{chain}.0.0.{}.", self.id, m.len());
        let (mark, end): (_, &[u8]) = if json { ("\",\"tally\":\"", b"\"}") } else { (" tally=", b"") };
        rest.literal(format!("{mark}{seal}").as_bytes())?;
        let tag: [u8; 16] = rest.b64()?;
        let within = self.secret.as_ref().filter(|_| chain <= self.reach);
        if let Some(key) = within.and_then(|key| key.first_entry_key(chain, 0))
            && first16(key.mac(&sha256(&[&[0x03], &m])).expose()) != tag
        {
            return Err(Stop::Other);
        }
        rest.literal(end)
    }
}
