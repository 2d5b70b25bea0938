//! Lines judged side by side give what they give one by one.

use std::collections::BTreeSet;

use super::collect::Scanner;
use super::{Input, Keys, LogKeys, Mode};
use crate::hash::lanes::wide::Wide;
use crate::scan::summary::EpochId;
use crate::seal::keys::{PublicKey, VerificationKey};
use crate::seal::state::{Opened, SealingState, Setup};
use crate::secret::Secret;

const TIME: u64 = 1_795_401_650_000;

/// Numbers that look random, the same in every run.
struct Noise(u64);

impl Noise {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % end
    }
}

fn setup(log: u8) -> Setup {
    let (v, s) = (Secret::take(&mut [log; 32]), Secret::take(&mut [log + 100; 32]));
    let Ok(setup) = SealingState::setup(&format!("log{log}"), v, s) else { panic!() };
    setup
}

/// What a corpus is like.
struct Sort {
    logs: u8,
    lines: usize,
    epoch_lines: u32,
    /// Most lines of one log in a row.
    run: usize,
    /// Ten of so many lines are damaged.
    of: usize,
}

/// Much of everything on little room, and long stretches in which little is out of the ordinary.
const LIVELY: Sort = Sort { logs: 3, lines: 100, epoch_lines: 5, run: 6, of: 40 };
const CALM: Sort = Sort { logs: 2, lines: 400, epoch_lines: 150, run: 60, of: 800 };

/// The lines of a chain of one log.
fn sealed(log: u8, sort: &Sort, noise: &mut Noise) -> Vec<Vec<u8>> {
    let setup = setup(log);
    let Ok(Opened { mut sealer, .. }) = setup.state.open_chain(&setup.head, TIME) else { panic!() };
    assert_eq!(sealer.set_epoch_lines(sort.epoch_lines), Ok(()));
    let mut out = Vec::new();
    for i in 0..sort.lines {
        let longest = if noise.below(20) == 0 { 2000 } else { 150 };
        let pad = "x".repeat(noise.below(longest));
        let line = if noise.below(2) == 0 {
            format!("n={i} {pad}")
        } else {
            format!("{{\"n\":{i},\"p\":\"{pad}\"}}")
        };
        assert_eq!(sealer.seal(line.as_bytes(), TIME, &mut out), Ok(()));
    }
    assert_eq!(sealer.close(TIME, &mut out), Ok(()));
    out.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect()
}

/// Lines of some logs, merged, with all that may happen to them.
fn corpus(sort: &Sort, noise: &mut Noise) -> Vec<u8> {
    let mut logs: Vec<_> =
        (1..=sort.logs).map(|log| sealed(log, sort, noise).into_iter().peekable()).collect();
    let mut lines: Vec<Vec<u8>> = Vec::new();
    while logs.iter_mut().any(|log| log.peek().is_some()) {
        let from = noise.below(logs.len());
        let run = 1 + noise.below(sort.run);
        lines.extend(logs[from].by_ref().take(run));
    }
    let mut data = Vec::new();
    for at in 0..lines.len() {
        let mut line = lines[at].clone();
        match noise.below(sort.of) {
            0 => continue,
            1 => data.extend_from_slice(b"no seal\n"),
            2 => data.extend_from_slice(b"\r\n"),
            3 => {
                let byte = noise.below(line.len() - 1);
                line[byte] = line[byte].wrapping_add(1) | 0x20;
            }
            4 => line.splice(0..0, *b"prefix ").for_each(drop),
            5 => line = [&b" "[..], &line].concat(),
            6 => line = String::from_utf8_lossy(&line).replace("\":", "\" : ").into_bytes(),
            7 => line.extend_from_slice(&lines[at / 2]),
            8 => {
                // A redacted line, rightly or not.
                let text = String::from_utf8_lossy(&line).into_owned();
                let Some((_, seal)) = text.split_once("tally=") else { continue };
                let position = seal.splitn(5, '.').take(4).collect::<Vec<_>>().join(".");
                line = format!("[redacted] tally={position}.~{}.{}\n", "A".repeat(43), "A".repeat(22)).into();
            }
            9 => line.insert(line.len() - 1, b'\r'),
            _ => {}
        }
        data.extend_from_slice(&line);
    }
    if noise.below(2) == 0 {
        data.truncate(data.len() - noise.below(40));
    }
    data
}

/// The first two logs, with V for those whose bit is set.
fn keys(publics: &[PublicKey], with_v: u8) -> Keys {
    let mut keys = Keys::default();
    for (log, public) in (0..).zip(publics.iter().cloned()) {
        let key = VerificationKey::new(public.clone(), Secret::take(&mut [log + 1; 32]));
        assert!(keys.add(LogKeys::new(public, (with_v >> log & 1 == 1).then_some(key))).is_ok());
    }
    keys
}

#[test]
#[cfg_attr(not(unix), ignore = "keys are in memory that is not locked")]
fn lines_judged_side_by_side_give_what_they_give_one_by_one() {
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let some: BTreeSet<EpochId> = (0..14).flat_map(|epoch| [(0, 1, epoch), (1, 1, epoch)]).collect();
    let half: BTreeSet<EpochId> = some.iter().copied().filter(|id| id.2 % 2 == 0).collect();
    let publics = [1, 2].map(|log| setup(log).key.public.clone());
    for round in 0..10 {
        let data = corpus(if round % 2 == 0 { &LIVELY } else { &CALM }, &mut noise);
        let input = Input {
            data: &data,
            file: 3,
            chunk: 5,
            offset: 70,
            cut: round % 4 == 0,
            origins: None,
            envelope: None,
        };
        for with_v in 0..4 {
            for mode in [Mode::All, Mode::Canonical(some.clone()), Mode::Detail(some.clone(), half.clone())] {
                let alone = keys(&publics, with_v);
                let mut single = Scanner::new(&alone, &mode, input.data.len());
                single.run_one_by_one(&input);
                let single = single.finish(&input);
                if round == 0 && matches!(mode, Mode::All) {
                    assert!(single.logs[&0].counts.sealed > 50 && single.events.len() > 20);
                }
                let expected = format!("{single:?}");
                for wide in Wide::all().into_iter().map(Some).chain([None]) {
                    let keys = keys(&publics, with_v);
                    let mut scanner = Scanner::new(&keys, &mode, input.data.len());
                    scanner.run_with(wide, &input);
                    assert_eq!(format!("{:?}", scanner.finish(&input)), expected, "{wide:?}");
                    assert_eq!(keys.logs()[0].known_roots(), alone.logs()[0].known_roots(), "{wide:?}");
                }
            }
        }
    }
}
