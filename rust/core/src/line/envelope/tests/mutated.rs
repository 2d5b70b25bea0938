//! Whatever the bytes are: linear, without a panic, and the same however they were cut.

use serde_json::Value;

use super::*;

/// A small generator, so that a failure can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

/// One file of each kind, with parts, raw lines and what else there is.
fn samples() -> Vec<(&'static str, Option<&'static str>, Vec<u8>)> {
    let part = "y".repeat(16 << 10);
    let docker = format!(
        "{{\"log\":\"a\\u003c\\n\",\"stream\":\"stdout\",\"time\":\"t\"}}\n\
         {{\"log\":\"{part}\",\"stream\":\"stdout\",\"attrs\":{{\"k\":[1,\"\\\"\"]}}}}\nraw\n\
         {{\"log\":\"e\\n\",\"stream\":\"stderr\"}}\n\n{{\"log\":\"z\\n\",\"stream\":\"stdout\"}}\n"
    );
    let cri = "2026-11-23T08:15:45.1Z stdout P a\n2026-11-23T08:15:45.1Z stderr F:x b\nraw\n\
               2026-11-23T08:15:45.1Z stdout F c\n2026-11-23T08:15:45+00:00 stderr P d\n";
    let export = [
        b"__CURSOR=s\nMESSAGE=one\n_STREAM_ID=1\n_LINE_BREAK=line-max\n\n".to_vec(),
        export_field("MESSAGE", b"two\n\nthree\n"),
        export_field("X", &[b'\n'; 10]),
        export_field("_STREAM_ID", b"1"),
        b"\nERROR\nuser=1\nMESSAGE=x\nMESSAGE=y\n\nB=\n\n".to_vec(),
    ]
    .concat();
    let json = "{\"MESSAGE\":\"a\",\"_STREAM_ID\":\"1\",\"_LINE_BREAK\":\"line-max\"}\n\
                {\"MESSAGE\":[98,10,99],\"X\":{\"a\":[-1.5e3,true,{}]}}\nraw\n\
                {\"MESSAGE\":\"\\ud83d\\ude00\",\"_STREAM_ID\":\"1\"}\n{\"MESSAGE\":null}\n";
    let field =
        "{\"a\":{\"x\":1,\"b\":\"m\\u000a\\\\\"},\"c\":[[{}]]}\n{\"a.b\":\"n\"}\nraw\n{\"a\":{\"b\":1}}\n";
    let answer = "{\"s\":{\"r\":[1]},\"r\":[{\"v\":[[\"1\",\"a\"],\n[\"2\",\"b\",{}]]},{\"x\":null},{\"v\":[]}]}\n\
                  raw\n{ \"r\" : [ { \"v\" : [ [ 1 , \"c\" ] ] } ] }{\"r\":[]}\n";
    vec![
        ("docker", None, docker.into_bytes()),
        ("cri", None, cri.into()),
        ("journal-export", None, export),
        ("journal-json", None, json.into()),
        ("json", Some("a.b"), field.into()),
        ("json", Some("r[].v[][1]"), answer.into()),
        (
            "json",
            Some("[].a.b"),
            format!("[{}]", field.trim_end().replace("\nraw\n", ",").replace('\n', ",\n")).into(),
        ),
    ]
}

type Absolute = (Vec<u8>, Vec<(u64, u64, bool)>, u64);

fn fed(kind: &str, field: Option<&str>, data: &[u8], cut: impl Fn(usize) -> bool) -> Absolute {
    let mut unwrapper = unwrapper(kind, field);
    let (mut lines, mut start) = (0u64, 0);
    let (mut text, mut origins) = (Vec::new(), Vec::new());
    let ends = memchr::memchr_iter(b'\n', data).map(|lf| lf + 1).filter(|end| *end < data.len() && cut(*end));
    for end in ends.chain([data.len()]).collect::<Vec<_>>() {
        let got = unwrapper.feed(&data[start..end], end == data.len());
        text.extend_from_slice(&got.data);
        assert_eq!(split(&got.data).len(), got.origins.len());
        origins.extend(
            got.origins.iter().map(|o| (lines + u64::from(o.line), start as u64 + o.offset, o.wrapped)),
        );
        lines += u64::from(got.lines);
        start = end;
    }
    (text, origins, lines)
}

#[test]
fn however_the_bytes_were_cut_and_whatever_they_are_the_lines_are_the_same() {
    let mut random = Random(7);
    for (kind, field, sample) in samples() {
        let spread = sample.iter().take(200).chain(sample.iter().rev().take(300).rev());
        let short: Vec<u8> = spread.copied().collect();
        for round in 0..3000 {
            let mut data = if round % 50 == 0 { sample.clone() } else { short.clone() };
            for _ in 0..round % 7 {
                let at = random.below(data.len());
                let likely = b"\n\"\\{}[],:0=u \xff";
                match random.below(5) {
                    0 => data[at] = likely[random.below(likely.len())],
                    1 => data[at] ^= 1 << random.below(8),
                    2 => drop(data.remove(at)),
                    3 => data.insert(at, likely[random.below(likely.len())]),
                    _ => {
                        let end = (at + random.below(20)).min(data.len());
                        let copy = data[at..end].to_vec();
                        let to = random.below(data.len());
                        data.splice(to..to, copy);
                    }
                }
            }
            let whole = fed(kind, field, &data, |_| false);
            let physical = memchr::memchr_iter(b'\n', &data).count() + usize::from(!data.ends_with(b"\n"));
            assert_eq!(whole.2, physical as u64, "{kind}: all physical lines are counted");
            for (line, offset, _) in &whole.1 {
                let begin = usize::try_from(*offset).unwrap();
                let before = memchr::memchr_iter(b'\n', &data[..begin]).count();
                assert_eq!(before as u64, *line);
                assert!(begin == 0 || data[begin - 1] == b'\n');
            }
            assert_eq!(fed(kind, field, &data, |_| true), whole, "{kind}");
            let salt = random.below(5) + 2;
            assert_eq!(fed(kind, field, &data, |end| end % salt == 0), whole, "{kind}");
        }
    }
}

#[test]
fn no_bytes_make_a_prefix_reader_stumble() {
    let mut random = Random(9);
    let heads = [
        "<13>1 2026-11-23T08:15:45.1+01:00 h a 1 - [a@1 x=\"y\\\"\"][b] \u{feff}a#011b",
        "<13>Nov 23 08:15:45 host app[123]: a#011b",
        "2026-11-23T08:15:45.123456+00:00 host app[123]: a#033b",
    ];
    let kinds = ["rfc3164", "rfc5424", "prefix:any"].map(|kind| Envelope::parse(kind, None).unwrap());
    for round in 0..30_000 {
        let mut data = heads[round % 3].as_bytes().to_vec();
        for _ in 0..round % 5 {
            let at = random.below(data.len());
            match random.below(3) {
                0 => data[at] = u8::try_from(random.below(256)).unwrap(),
                1 => data.truncate(at + 1),
                _ => data.insert(at, b"<>[]\" :\\#-"[random.below(10)]),
            }
        }
        for envelope in &kinds {
            let _ = envelope.is_prefix(&data);
            if let Some(text) = envelope.unescaped(&data) {
                assert!(text.len() < data.len());
            }
        }
    }
}

/// What any viewer of JSON finds at `a.b`, if the record is not ambiguous; a line may hold several.
fn viewed(line: &[u8]) -> Option<String> {
    let values: Vec<Value> =
        serde_json::Deserializer::from_slice(line).into_iter().collect::<Result<_, _>>().ok()?;
    let texts: Vec<_> = values.iter().map(text_in).collect::<Option<_>>()?;
    (!texts.is_empty()).then(|| texts.join("\n"))
}

fn text_in(value: &Value) -> Option<String> {
    let object = value.as_object()?;
    let found = object.get("a.b").or_else(|| object.get("a")?.as_object()?.get("b"))?;
    Some(found.as_str()?.strip_suffix('\n').unwrap_or(found.as_str()?).to_string())
}

#[test]
fn a_record_is_read_as_any_viewer_reads_it() {
    let mut random = Random(11);
    let samples: [&[u8]; 3] = [
        br#"{"c":[1,{"a":{"b":"no"}},[[]],{}],"a":{"x":-1.5e3,"b":"m\u00e9\\\"\/\ud83d\ude00","y":null},"d":true}"#,
        br#" { "a" : { "c" : { "b" : "no" } , "b" : "yes" } , "e" : "" } "#,
        br#"{"\u0061.\u0062":"z","a":{"c":0},"b":"no","f":[false,{"g":[1,2,"]"]}]}"#,
    ];
    let likely = b"{}[]\",:\\u0ab.1-e tn";
    let (mut read, mut refused, mut ambiguous) = (0, 0, 0);
    for round in 0..60_000 {
        let mut data = samples[round % 3].to_vec();
        for _ in 0..round % 4 {
            let at = random.below(data.len());
            match random.below(4) {
                0 => data[at] = likely[random.below(likely.len())],
                1 => drop(data.remove(at)),
                2 => data.insert(at, likely[random.below(likely.len())]),
                _ => {
                    let end = (at + random.below(12)).min(data.len());
                    let copy = data[at..end].to_vec();
                    data.splice(at..at, copy);
                }
            }
        }
        let ours = one("json", Some("a.b"), &data);
        let theirs = viewed(&data);
        let shown = || String::from_utf8_lossy(&data).into_owned();
        match (ours, theirs) {
            (Some(ours), Some(theirs)) => {
                assert_eq!(ours.join("\n"), theirs, "{}", shown());
                read += 1;
            }
            (None, None) => refused += 1,
            // A viewer takes the first or the last of two; we take neither.
            (None, Some(_)) => ambiguous += 1,
            // Lone surrogates stop this viewer wherever they are, and us in names and in the line itself only.
            (Some(_), None) => assert!(shown().contains("\\ud8"), "{}", shown()),
        }
    }
    assert!(read > 10_000 && refused > 10_000 && ambiguous < 300, "{read} {refused} {ambiguous}");
}
