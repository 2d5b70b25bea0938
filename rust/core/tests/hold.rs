//! What must hold for any bytes, tried on mutations of what is known; `make fuzz` looks longer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::Value;
use std::path::PathBuf;
use tallystick_core::seal::slot::Slot;

#[path = "../../../fuzz/bodies.rs"]
mod bodies;

/// A small generator, so that a failure can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end.max(1)
    }
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)).unwrap()
}

fn lines(name: &str) -> Vec<Vec<u8>> {
    read(name).split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// Strings anywhere in a JSON file.
fn strings(value: &Value, found: &mut Vec<Vec<u8>>) {
    match value {
        Value::String(text) => found.push(text.clone().into_bytes()),
        Value::Array(all) => all.iter().for_each(|one| strings(one, found)),
        Value::Object(all) => all.values().for_each(|one| strings(one, found)),
        _ => {}
    }
}

fn strings_in(name: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    strings(&serde_json::from_slice(&read(name)).unwrap(), &mut found);
    found
}

fn sealed_lines() -> Vec<Vec<u8>> {
    ["plain", "json", "generation"].iter().flat_map(|log| lines(&format!("spec/vectors/{log}.log"))).collect()
}

/// Tries samples, then so many mutations of them with a few bytes changed, moved, or taken from another sample.
fn mutate(seed: u64, rounds: usize, samples: &[Vec<u8>], body: fn(&[u8])) {
    assert!(samples.len() > 2, "there is nothing to mutate");
    let mut random = Random(seed);
    for sample in samples {
        body(sample);
    }
    let likely = b"\n\r\t \"\\{}[],:.~-_=019aA\0\xff";
    for _ in 0..rounds {
        let mut data = samples[random.below(samples.len())].clone();
        for _ in 0..=random.below(4) {
            let at = random.below(data.len());
            match random.below(7) {
                0 if !data.is_empty() => data[at] = likely[random.below(likely.len())],
                1 if !data.is_empty() => data[at] ^= 1 << random.below(8),
                2 if !data.is_empty() => drop(data.remove(at)),
                3 => data.insert(at, likely[random.below(likely.len())]),
                4 => data.truncate(at),
                5 => {
                    let copy = data[at..(at + random.below(40)).min(data.len())].to_vec();
                    let to = random.below(data.len());
                    data.splice(to..to, copy);
                }
                _ => {
                    let other = &samples[random.below(samples.len())];
                    let from = random.below(other.len());
                    data.truncate(at);
                    data.extend_from_slice(&other[from..]);
                }
            }
        }
        body(&data);
    }
}

#[test]
fn sealed() {
    let samples = [sealed_lines(), strings_in("spec/vectors/defects.json")].concat();
    mutate(1, 300_000, &samples, bodies::line);
}

#[test]
fn statements() {
    let samples = [sealed_lines(), strings_in("spec/vectors/evidence.json")].concat();
    let said = |line: &[u8]| {
        let text = String::from_utf8_lossy(line).replace("{\"tallystick\":\"", "");
        let end = text.find(" tally=").or(text.find("\",\"tally")).unwrap_or(text.len());
        text.starts_with("tallystick/v1").then(|| text.as_bytes()[..end].to_vec())
    };
    let samples: Vec<_> = samples.iter().filter_map(|line| said(line)).collect();
    mutate(2, 60_000, &samples, bodies::statement);
}

#[test]
fn texts() {
    let texts =
        ["keys", "inputs", "defects"].map(|name| strings_in(&format!("spec/vectors/{name}.json"))).concat();
    let begins = |text: &&Vec<u8>| text.starts_with(b"tally");
    let samples: Vec<_> = texts.iter().filter(begins).cloned().collect();
    mutate(3, 60_000, &samples, bodies::text);
}

#[test]
fn canonical_json() {
    let made = br#"{"b":1.50e1,"tally":"x","a":["\u00e9\ud83d\ude00",{"":-0.0}],"c":{"d":null,"e":true}}"#;
    let samples =
        [lines("spec/vectors/json.log"), vec![made.to_vec()], strings_in("spec/vectors/json.json")].concat();
    mutate(4, 200_000, &samples, bodies::canon);
}

#[test]
fn envelopes() {
    let carriers =
        ["docker.json", "cri.log", "journal.export", "journal.json", "loki.jsonl", "rsyslog-file.log"];
    let samples = (0u8..).zip(carriers).map(|(kind, name)| {
        let data = read(&format!("tests/carriers/{name}"));
        [&[kind][..], &data[..data.len().min(3000)]].concat()
    });
    let samples: Vec<_> = samples.collect();
    mutate(5, 6_000, &samples, bodies::envelope);
}

#[test]
fn evidence() {
    let samples =
        [strings_in("spec/vectors/evidence.json"), strings_in("spec/vectors/receipts.json")].concat();
    let samples: Vec<_> = samples.into_iter().filter(|text| text.contains(&b'\n')).collect();
    mutate(6, 10_000, &samples, bodies::evidence);
}

#[test]
fn scans() {
    let log = lines("spec/vectors/plain.log");
    let samples: Vec<_> = (0..log.len()).step_by(5).map(|at| log[at..].join(&b'\n')).collect();
    let samples = [samples, vec![read("spec/vectors/json.log"), read("spec/vectors/plain.log")]].concat();
    mutate(7, 1_000, &samples, bodies::scan);
}

#[test]
fn summaries() {
    let log = lines("spec/vectors/plain.log");
    let samples: Vec<_> =
        (0..log.len()).step_by(5).map(|at| bodies::stored(&log[at..].join(&b'\n'))).collect();
    mutate(10, 30_000, &samples, bodies::summary);
}

#[test]
fn audit_logs_of_acra() {
    let logs = ["plaintext", "cef", "json"].map(|form| lines(&format!("tests/acra/data/{form}.log")));
    let short = |lines: &[Vec<u8>]| {
        lines.iter().filter(|line| line.len() < 1000).cloned().collect::<Vec<_>>().join(&b'\n')
    };
    // Whole logs, and single chains.
    let samples: Vec<_> =
        logs.iter().flat_map(|log| [short(log), short(&log[..15]), short(&log[15..31])]).collect();
    mutate(8, 1_000, &samples, bodies::acra);
}

#[test]
fn slots() {
    let sample = |number| Slot::take([7; 32], number, number - 1, &mut [9; 32]).to_block()[..140].to_vec();
    let samples: Vec<_> = [1, 5, 1 << 40].into_iter().map(sample).collect();
    mutate(9, 20_000, &samples, bodies::slot);
}

#[test]
fn witnesses() {
    let all = [strings_in("spec/vectors/witnesses.json"), strings_in("spec/vectors/receipts.json")].concat();
    let begins = |text: &&Vec<u8>| {
        [&b"tallystick/v1 "[..], b"w.example+", b"head "].iter().any(|begin| text.starts_with(begin))
    };
    let notes = all.iter().filter_map(|text| {
        let at = text.windows(22).position(|part| part == b"\ntallystick/v1 receipt")?;
        Some(text[at + 1..].to_vec())
    });
    let samples: Vec<_> = all.iter().filter(begins).cloned().chain(notes).collect();
    mutate(11, 100_000, &samples, bodies::witness);
}

#[test]
fn streams_of_messages() {
    let samples = [
        &b"\x08<13>one\ntwo\r\n{\"origin\":1}\n"[..],
        b"\x08{\"a\":\"\\u0061\",\"or\\u0069gin\":{}}\n{}\n{\"a\":1}{}",
        b"\x41 11 <13>one\ntwo<14>three\n3 <2>",
        b"\x4199 <13>half\r",
        b"\x09<1>a\0<2>b\n10 <3>\n{\"a\":2}",
    ]
    .map(<[u8]>::to_vec);
    mutate(20, 20_000, &samples, bodies::framing);
}

#[test]
fn conversations() {
    use tallystick_core::framing::conversation::{PREAMBLE, batch, hello};
    let begin = [&PREAMBLE[..], &hello([0; 16], 1)].concat();
    let samples = [
        [&begin[..], &batch(1, &[b"one", b"two\r\n"]), &batch(2, &[b"two\r\n", b"three"])].concat(),
        [&begin[..], &batch(1, &[b"1", b"2", b"3", b"4", b"5", b"6", b"7", b""]), &batch(9, &[b"9"])]
            .concat(),
        [&begin[..], &batch(1, &[b"one"]), &batch(3, &[b"gap"])].concat(),
    ];
    mutate(21, 20_000, &samples, bodies::conversation);
}
