//! How fast the core seals and verifies on this target, as a multiple of its own SHA-256: `cargo test --test pace -- --ignored`.
//!
//! It measures and asserts nothing about time: scripts/targets shows it for systems on which there is no Python here.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_precision_loss)]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tallystick_core::hash::sha256;
use tallystick_core::judge::{Expected, Step, Verification};
use tallystick_core::scan::{Input, Keys, LogKeys, scan};
use tallystick_core::seal::state::{SealingState, Setup};
use tallystick_core::secret::Secret;

const LINES: u64 = 200_000;
const ROUNDS: usize = 5;

fn set_up() -> Setup {
    SealingState::setup("pace", Secret::take(&mut [1; 32]), Secret::take(&mut [2; 32])).unwrap()
}

fn seal() -> Vec<u8> {
    let Setup { state, head, .. } = set_up();
    let mut sealer = state.open_chain(&head, 0).unwrap().sealer;
    let mut out = Vec::new();
    sealer.start_now(&mut out).unwrap();
    for number in 0..LINES {
        let line = format!(
            "2026-11-28T12:00:00Z host payments[77]: user={number} action=transfer amount=100 ok=true"
        );
        sealer.seal(line.as_bytes(), 0, &mut out).unwrap();
        if number % 4096 == 4095 {
            sealer.checkpoint(0, &mut out).unwrap();
        }
    }
    sealer.close(0, &mut out).unwrap();
    out
}

fn verify(log: &[u8]) -> u64 {
    let key = set_up().key;
    let mut keys = Keys::default();
    keys.add(LogKeys::new(key.public.clone(), Some(key))).unwrap();
    let keys = Arc::new(keys);
    let Step::Pass(mut pass) = Verification::new(keys.clone()).next_pass() else { panic!() };
    let input = Input { data: log, file: 0, chunk: 0, offset: 0, cut: false, origins: None, envelope: None };
    pass.merge(scan(&keys, &input, &pass.mode().clone()));
    let Step::Complete(complete) = pass.finish().next_pass() else { panic!("another pass is asked for") };
    complete.finish(&Expected::default(), &BTreeSet::new()).counts(0).sealed
}

fn best<T>(work: impl Fn() -> T) -> (T, Duration) {
    let mut rounds: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            let made = black_box(work());
            (made, began.elapsed())
        })
        .collect();
    rounds.sort_by_key(|(_, took)| *took);
    rounds.swap_remove(0)
}

#[test]
#[ignore = "measures"]
fn what_lines_cost_as_a_multiple_of_sha_256() {
    let (log, sealing) = best(seal);
    let (sealed, verifying) = best(|| verify(&log));
    let (_, hashing) = best(|| sha256(&[&log]));
    assert!(sealed > LINES);
    let each = |took: Duration| took.as_nanos() as f64 / LINES as f64;
    let times = |took: Duration| took.as_secs_f64() / hashing.as_secs_f64();
    println!(
        "seal {:.0} ns a line, {:.1} times SHA-256; verify {:.0} ns, {:.1} times",
        each(sealing),
        times(sealing),
        each(verifying),
        times(verifying)
    );
}
