//! The known answers of spec/vectors, byte for byte (SPEC sections 2 to 6).

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)]

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use tallystick_core::evidence::{self, Doubt, Finder, Trusted};
use tallystick_core::hash::{Digest, sha256};
use tallystick_core::judge::{Expected, Step, Verification};
use tallystick_core::line::Position;
use tallystick_core::scan::{Input, Keys, LogKeys, scan};
use tallystick_core::seal::head::{Head, Mark};
use tallystick_core::seal::keys::{MOST_NARROWED, PublicKey, VerificationKey, signature_holds};
use tallystick_core::seal::sealer::{Format, Sealer};
use tallystick_core::seal::state::{SealingState, Setup};
use tallystick_core::seal::tree;
use tallystick_core::secret::Secret;
use tallystick_core::text::b64;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors").join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(path(name)).unwrap()).unwrap()
}

fn bytes32(hex: &Value) -> [u8; 32] {
    hex::decode(hex.as_str().unwrap()).unwrap().try_into().unwrap()
}

fn set_up() -> Setup {
    let known = json("keys.json");
    let (mut v, mut s) = (bytes32(&known["V"]), bytes32(&known["S"]));
    SealingState::setup("payments", Secret::take(&mut v), Secret::take(&mut s)).unwrap()
}

fn known_key() -> VerificationKey {
    VerificationKey::parse(json("keys.json")["text"]["verification_key"].as_str().unwrap()).unwrap()
}

/// Carries out the steps of one log in inputs.json; gives its bytes and the heads that are listed.
fn seal(log: &str) -> (Vec<u8>, Vec<String>) {
    let inputs = json("inputs.json");
    let log = &inputs["logs"][log];
    let setup = set_up();
    let (mut state, mut head, mut sealer) = (Some(setup.state), Some(setup.head), None::<Sealer>);
    let (mut out, mut listed) = (Vec::new(), Vec::new());
    for step in log["steps"].as_array().unwrap() {
        let time = step["time"].as_u64().unwrap_or(0);
        let done = step["do"].as_str().unwrap();
        match (done, &mut sealer) {
            ("open", _) => {
                let opened = state.take().unwrap().open_chain(head.as_ref().unwrap(), time).unwrap();
                state = Some(opened.next);
                let mut new = opened.sealer;
                new.set_format(if log["control"] == "json" { Format::Json } else { Format::Plain });
                new.start_now(&mut out).unwrap();
                sealer = Some(new);
            }
            ("repeat", _) => panic!("this log is made of steps that are done once"),
            ("entry", Some(s)) => {
                let m = step["hex"].as_str().map(|h| hex::decode(h).unwrap()).unwrap();
                s.seal(&m, time, &mut out).unwrap();
            }
            ("notice", Some(s)) => {
                let text = step["hex"].as_str().map(|h| hex::decode(h).unwrap()).unwrap();
                s.notice(step["kind"].as_str().unwrap(), &text, time, &mut out).unwrap();
            }
            ("checkpoint", Some(s)) => match step["kind"].as_str().unwrap() {
                "continues" => s.checkpoint(time, &mut out).unwrap(),
                "closed" => s.close(time, &mut out).unwrap(),
                "ended" => s.end(time, &mut out).unwrap(),
                other => panic!("{other}"),
            },
            ("head", Some(s)) => {
                let new = s.head().unwrap();
                if step["listed"] == true {
                    listed.push(String::from_utf8(new.to_text().to_vec()).unwrap());
                }
                head = Some(new);
            }
            ("crash", _) => sealer = None,
            ("burn", _) => {
                let opened = state.take().unwrap().open_chain(head.as_ref().unwrap(), time).unwrap();
                state = Some(opened.next);
            }
            (other, _) => panic!("unknown step {other}"),
        }
        // Every statement is followed by its head (SPEC section 6).
        if let ("open" | "checkpoint", Some(s)) = (done, &sealer) {
            head = s.head();
        }
    }
    (out, listed)
}

#[test]
#[cfg_attr(not(unix), ignore = "keys are in memory that is not locked")]
fn sealing_the_inputs_gives_the_known_logs_and_heads() {
    for form in ["plain", "json"] {
        let (log, heads) = seal(&format!("{form}.log"));
        let expected = std::fs::read(path(&format!("{form}.log"))).unwrap();
        assert_eq!(String::from_utf8_lossy(&log), String::from_utf8_lossy(&expected));
        let known = json(&format!("{form}.json"));
        let known: Vec<String> = known["heads"]
            .as_array()
            .unwrap()
            .iter()
            .map(|h| {
                format!("tallyhead oedhcsck {} {}", h["text"].as_str().unwrap(), b64(&bytes32(&h["mac"])))
            })
            .collect();
        assert_eq!(known.len(), 22);
        assert_eq!(heads, known);
    }
}

#[test]
#[cfg_attr(not(unix), ignore = "keys are in memory that is not locked")]
fn sealing_notices_gives_the_known_lines() {
    for name in ["notices.log", "notices-json.log"] {
        let expected = std::fs::read(path(name)).unwrap();
        assert_eq!(String::from_utf8_lossy(&seal(name).0), String::from_utf8_lossy(&expected));
    }
}

#[test]
#[cfg_attr(not(unix), ignore = "keys are in memory that is not locked")]
fn the_setup_head_is_the_known_one() {
    let known = &json("plain.json")["setup_head"];
    let expected = format!("tallyhead oedhcsck {} {}", known[0].as_str().unwrap(), b64(&bytes32(&known[1])));
    assert_eq!(set_up().head.to_text().as_slice(), expected.as_bytes());
}

#[test]
fn the_known_logs_verify_and_every_head_of_theirs_holds() {
    for form in ["plain", "json"] {
        let key = known_key();
        let known = json(&format!("{form}.json"));
        for head in known["heads"].as_array().unwrap() {
            let text = format!(
                "tallyhead oedhcsck {} {}",
                head["text"].as_str().unwrap(),
                b64(&bytes32(&head["mac"]))
            );
            let head = Head::parse(text.as_bytes()).unwrap();
            assert_eq!(head.holds(&key), Some(true), "{text}");
            let other = text.replace("tallyhead oedhcsck 1.0.1", "tallyhead oedhcsck 1.0.2");
            if other != text {
                assert_eq!(Head::parse(other.as_bytes()).unwrap().holds(&key), Some(false));
            }
        }
        let data = std::fs::read(path(&format!("{form}.log"))).unwrap();
        let mut keys = Keys::default();
        keys.add(LogKeys::new(key.public.clone(), Some(key))).unwrap();
        let input =
            Input { data: &data, file: 0, chunk: 0, offset: 0, cut: false, origins: None, envelope: None };
        let keys = Arc::new(keys);
        let Step::Pass(mut pass) = Verification::new(keys.clone()).next_pass() else { panic!() };
        pass.merge(scan(&keys, &input, &pass.mode().clone()));
        let Step::Complete(complete) = pass.finish().next_pass() else { panic!("another pass is asked for") };
        let facts = complete.finish(&Expected::default(), &BTreeSet::new());
        assert_eq!(facts.events(), []);
        assert_eq!(facts.counts(0).sealed, known["lines"].as_u64().unwrap());
    }
}

#[test]
#[cfg_attr(not(unix), ignore = "keys are in memory that is not locked")]
fn known_keys_texts_and_roots_hold() {
    let known = json("keys.json");
    let setup = set_up();
    let text = &known["text"];
    assert_eq!(setup.key.public.to_text().unwrap(), text["public_key"].as_str().unwrap());
    assert_eq!(setup.key.public.log_id().as_str(), text["log_id"].as_str().unwrap());
    assert_eq!(setup.key.to_text().unwrap().as_str(), text["verification_key"].as_str().unwrap());
    assert_eq!(setup.key.public.root, bytes32(&known["keys"]["chain_root_0"]));
    let narrowed = VerificationKey::parse(text["narrowed_2_3"].as_str().unwrap()).unwrap();
    assert_eq!((narrowed.first(), narrowed.last(), narrowed.is_narrowed()), (2, 3, true));
    assert_eq!(narrowed.to_text().unwrap().as_str(), text["narrowed_2_3"].as_str().unwrap());
    // A head in chain 2 is judged by a key of chains 2 and 3 as by V; one in chain 1 is not judged.
    let plain = json("plain.json");
    for head in plain["heads"].as_array().unwrap() {
        let text =
            format!("tallyhead oedhcsck {} {}", head["text"].as_str().unwrap(), b64(&bytes32(&head["mac"])));
        let head = Head::parse(text.as_bytes()).unwrap();
        let expected = (2..=3).contains(&head.mark.at.chain).then_some(true);
        assert_eq!(head.holds(&narrowed), expected);
    }
    assert_eq!(set_up().head.holds(&narrowed), None);
    assert_eq!(Mark::parse(b"1.0.0.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), None);
}

#[test]
fn known_trees_and_paths_hold() {
    let known = json("keys.json");
    let leaves =
        |n: u64| -> Vec<Digest> { (0..n as u32).map(|i| sha256(&[&[0], &i.to_be_bytes()])).collect() };
    let trees = known["mth"].as_array().unwrap();
    assert_eq!(trees.len(), 10);
    for case in trees {
        assert_eq!(tree::root(&leaves(case["n"].as_u64().unwrap())), bytes32(&case["root"]));
    }
    let paths = known["paths"].as_array().unwrap();
    assert_eq!(paths.len(), 7);
    for case in paths {
        let all = leaves(case["n"].as_u64().unwrap());
        let index = case["leaf"].as_u64().unwrap() as usize;
        let path: Vec<Digest> = case["path"].as_array().unwrap().iter().map(bytes32).collect();
        assert_eq!(tree::path(&all, index), path);
        assert_eq!(tree::climb(all[index], index, all.len(), &path), Some(tree::root(&all)));
    }
}

#[test]
fn the_known_evidence_holds_and_what_is_broken_does_not() {
    let (cases, texts) = (&json("evidence.json")["cases"], &json("keys.json")["text"]);
    let public = || PublicKey::parse(texts["public_key"].as_str().unwrap()).unwrap();
    let secret = || VerificationKey::parse(texts["verification_key"].as_str().unwrap()).unwrap();
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 68);
    for case in cases {
        let data = match &case["evidence"] {
            Value::String(text) => text.as_bytes().to_vec(),
            other => hex::decode(other["hex"].as_str().unwrap()).unwrap(),
        };
        for (with, key) in [("verdict_P", None), ("verdict_V", Some(secret()))] {
            let with_v = key.is_some();
            let keys = LogKeys::new(public(), key);
            for open in case["opens"].as_array().unwrap().iter().filter(|_| !with_v) {
                keys.learn_open(open.as_str().unwrap().as_bytes()).unwrap();
            }
            let verdict = match evidence::check(&data, &keys, Trusted::default()) {
                Ok(shown) => {
                    assert_eq!(shown.at.to_string(), case["position"].as_str().unwrap());
                    assert_eq!(shown.tag, with_v);
                    "ok"
                }
                Err(Doubt::Fails(_)) => "failed",
                Err(Doubt::Unknown(_)) => "incomplete",
                Err(Doubt::NoEvidence) => "none",
            };
            assert_eq!(verdict, case[with].as_str().unwrap(), "{} {with}", case["name"]);
        }
    }
}

#[test]
fn a_line_is_found_in_any_pieces_and_redacted_as_known() {
    let (log, known) = (std::fs::read(path("plain.log")).unwrap(), json("redacted.json"));
    let at = Position::parse(known["position"].as_str().unwrap().as_bytes()).unwrap();
    let mut finder = Finder::new(None, at);
    for (number, line) in log.split_inclusive(|b| *b == b'\n').enumerate() {
        finder.feed(line, u32::try_from(number).unwrap(), 0, false);
    }
    let found = finder.finish(None).unwrap();
    assert_eq!(found.spots.iter().map(|spot| (spot.file, spot.line)).collect::<Vec<_>>(), [(1, 1)]);
    let redacted = evidence::redact(&known_key(), &found).unwrap();
    assert_eq!(redacted, known["redacted"].as_str().unwrap().as_bytes());
}

#[test]
fn a_narrowed_key_is_the_known_one_and_never_becomes_wider() {
    let texts = &json("keys.json")["text"];
    let whole = VerificationKey::parse(texts["verification_key"].as_str().unwrap()).unwrap();
    let narrowed = whole.narrow(2, 3).unwrap();
    assert_eq!(*narrowed.to_text().unwrap(), texts["narrowed_2_3"].as_str().unwrap());
    let again = narrowed.narrow(3, 3).unwrap();
    assert_eq!(*again.to_text().unwrap(), *whole.narrow(3, 3).unwrap().to_text().unwrap());
    // Across a rung of the ladder, whichever way one goes.
    let long = whole.narrow(1000, 1030).unwrap();
    assert_eq!(
        *long.narrow(1026, 1026).unwrap().to_text().unwrap(),
        *whole.narrow(1026, 1026).unwrap().to_text().unwrap()
    );
    for (first, last) in [(1, 2), (3, 4), (3, 2), (0, 1), (2, u32::MAX)] {
        assert!(narrowed.narrow(first, last).is_err(), "{first} to {last}");
    }
    assert!(whole.narrow(1, MOST_NARROWED).is_ok());
    assert!(whole.narrow(1, MOST_NARROWED + 1).is_err());
    assert!(whole.narrow(u32::MAX, u32::MAX).is_err());
}

#[test]
fn signatures_are_read_in_one_way_only() {
    let known = json("signatures.json");
    let cases = known["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 5 + 14 + 14);
    for case in cases {
        let bytes = |part: &str| hex::decode(case[part].as_str().unwrap()).unwrap();
        let (key, signature) = (bytes("key").try_into().unwrap(), bytes("signature").try_into().unwrap());
        let holds = signature_holds(&key, &bytes("message"), &signature);
        assert_eq!(holds, case["holds"].as_bool().unwrap(), "{}", case["name"]);
    }
}
