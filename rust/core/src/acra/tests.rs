use super::go_json::{self, Parsed};
use super::*;

mod ahead;

type Taken<'a> = (Vec<u8>, Parsed<'a>);

fn parse(line: &[u8]) -> Option<Taken<'_>> {
    with(line, go_json::parse)
}

/// What the integrity covers, and the rest of what a line says, by one way to read it.
fn with<'a, 'b>(
    line: &'a [u8],
    read: impl Fn(&'a [u8], &mut Vec<u8>) -> Option<Parsed<'b>>,
) -> Option<Taken<'b>> {
    let mut data = b"before".to_vec();
    let parsed = read(line, &mut data);
    parsed.map(|parsed| (data.split_off(6), parsed))
}

fn key() -> Key {
    Key::take(&mut [7; 32])
}

fn hex(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

fn chain(number: usize, lines: usize) -> Vec<String> {
    let mut step = key().beginning();
    (0..lines)
        .map(|i| {
            let last = i + 1 == lines;
            let data = if last {
                format!(
                    "time=\"2026-01-01T00:00:0{number}Z\" msg=\"End of current audit log chain\" chain=end"
                )
            } else {
                format!("time=\"2026-01-01T00:00:0{number}Z\" msg=\"line {i} of {number}\"")
            };
            let (integrity, next) = step.take(data.as_bytes());
            step = next;
            format!("{data} integrity={}{}", hex(&integrity), if i == 0 { " chain=new" } else { "" })
        })
        .collect()
}

fn log() -> Vec<String> {
    (0..3).flat_map(|number| chain(number, 6)).collect()
}

fn judged(lines: &[String]) -> Judged {
    let text = lines.join("\n") + "\n";
    let mut judge = judge(&key(), Form::Text);
    judge.feed(text.as_bytes(), 0, 0, 0, 1);
    judge.finish()
}

fn reported(lines: &[String]) -> Vec<(What, u64, u64)> {
    judged(lines).events.iter().map(|event| (event.what, event.line, event.count)).collect()
}

// Made with Python's hmac and hashlib: k of 32 bytes 0x07, lines "one" and "two".
#[test]
fn the_arithmetic_has_known_answers() {
    let (first, next) = key().beginning().take(b"one");
    let (second, _) = next.take(b"two");
    assert_eq!(hex(&first), "7010d22dfcea36d3a24a7f60e2defe485742be546225de0574237b3262a60d32");
    assert_eq!(hex(&second), "954acd31f9516d9d381ec791e18e57e352d38ce163ebd1719f389aef857f815d");
}

#[test]
fn a_log_as_it_was_written_has_no_event() {
    let found = judged(&log());
    assert_eq!((found.events, found.lines, found.good), (vec![], 18, 18));
    assert_eq!(
        found.chains.iter().map(|c| (c.line, c.lines, c.ended)).collect::<Vec<_>>(),
        [(0, 6, true), (6, 6, true), (12, 6, true)]
    );
}

#[test]
fn each_doctoring_is_reported_at_its_line() {
    for at in 0..18 {
        let rest = 5 - at % 6;
        let mut lines = log();
        lines[at] = lines[at].replace("msg=\"", "msg=\"X");
        let expected = [(What::Altered, at as u64, 1), (What::Unjudged, at as u64 + 1, rest as u64)];
        assert_eq!(reported(&lines), expected[..if rest > 0 { 2 } else { 1 }], "altered at {at}");

        let mut lines = log();
        lines[at] = lines[at].replace("integrity=", "integrity=0").replacen("integrity=00", "integrity=1", 1);
        let start = lines[at].find("integrity=").unwrap_or_default() + 10;
        lines[at] = format!("{}{}{}", &log()[at][..start], "00", &log()[at][start + 2..]);
        let what = if rest > 0 { What::Field } else { What::Altered };
        assert_eq!(reported(&lines), [(what, at as u64, 1)], "integrity at {at}");

        let mut lines = log();
        lines[at] = lines[at].split(" integrity=").next().unwrap_or_default().to_string();
        let events = reported(&lines);
        let stripped = if rest > 0 && at % 6 != 0 { What::Stripped } else { What::Unsealed };
        assert_eq!((events[0].0, events[0].1), (stripped, at as u64), "stripped at {at}: {events:?}");

        let mut lines = log();
        lines.insert(at, "time=\"\" msg=\"never\" integrity=".to_string() + &"0".repeat(64));
        let events = reported(&lines);
        assert_eq!(events[0].1, at as u64, "inserted at {at}: {events:?}");
        assert_eq!(events.len(), 1);

        let mut lines = log();
        lines.remove(at);
        let events = reported(&lines);
        if rest > 0 {
            assert_eq!(events[0].1, at as u64, "removed at {at}: {events:?}");
        } else {
            assert!(!judged(&lines).chains[at / 6].ended, "removed at {at}");
        }
    }
}

#[test]
fn lines_that_were_swapped_are_reordered() {
    let mut lines = log();
    lines.swap(2, 3);
    assert_eq!(reported(&lines), [(What::Reordered, 2, 1)]);
}

#[test]
fn markers_that_nothing_covers_are_reported_when_they_lie() {
    let mut lines = log();
    lines[6] = lines[6].replace(" chain=new", "");
    lines[14].push_str(" chain=new");
    assert_eq!(reported(&lines), [(What::MarkerGone, 6, 1), (What::MarkerAdded, 14, 1)]);
}

#[test]
fn the_same_of_many_lines_is_one_event_whatever_is_blank_between() {
    let lines: Vec<String> = ["x", "", "y", "\r", " ", "z", "", "w"].map(str::to_string).to_vec();
    assert_eq!(reported(&lines), [(What::Unsealed, 0, 4)]);
}

#[test]
fn a_log_of_json_that_was_rewritten_is_one_event_on_any_number_of_threads() {
    let mut step = key().beginning();
    let mut lines = Vec::new();
    for number in 0..400 {
        let (first, last) = (number % 4 == 0, number % 4 == 3);
        let end = if last { r#""chain":"end","# } else { "" };
        let message = if last { go_json::LAST_WORDS } else { "a" };
        let line = format!(r#"{{{end}"msg":"{message}","n":{number}.0}}"#);
        step = if first { key().beginning() } else { step };
        let (integrity, next) = step.take(&parse(line.as_bytes()).map(|(data, _)| data).unwrap_or_default());
        step = next;
        let new = if first { r#""chain":"new","# } else { "" };
        lines.push(line.replacen('{', &format!("{{{new}\"integrity\":\"{}\",", hex(&integrity)), 1));
    }
    let text = lines.join("\n") + "\n";
    for threads in [1, 2, 3] {
        let mut judge = judge(&key(), Form::Auto);
        judge.least = 1000;
        judge.feed(text.as_bytes(), 0, 0, 0, threads);
        let found = judge.finish();
        let events: Vec<_> = found.events.iter().map(|event| (event.what, event.line, event.count)).collect();
        assert_eq!((events, found.chains.len()), (vec![(What::Rewritten, 0, 400)], 100), "{threads} threads");
    }
}

#[test]
fn chains_of_every_form_are_judged_side_by_side() {
    for (log, form) in [
        (include_bytes!("../../../../tests/acra/data/plaintext.log").as_slice(), Form::Text),
        (include_bytes!("../../../../tests/acra/data/cef.log").as_slice(), Form::Auto),
        (include_bytes!("../../../../tests/acra/data/json.log").as_slice(), Form::Auto),
    ] {
        let parts = lines::split(log, form, 2, 1000);
        assert_eq!((parts.len(), parts[0].start, parts[1].end), (2, 0, log.len()));
        assert_eq!(lines::split(log, form, 1, 1000).len(), 1);
    }
}

#[test]
fn several_threads_find_what_one_finds() {
    let mut lines: Vec<String> = (0..4000).flat_map(|number| chain(number % 10, 6)).collect();
    for at in (100..lines.len()).step_by(1777) {
        lines[at] = lines[at].replace("msg=", "msg=X");
    }
    lines[13_000].push_str(" chain=new");
    let text = lines.join("\n") + "\n";
    let one = judged(&lines);
    for (threads, block) in [(2, text.len()), (3, 70_000), (2, 1000)] {
        let mut judge = judge(&key(), Form::Text);
        let (mut line, mut start) = (0, 0);
        while start < text.len() {
            let end = text.len().min(start + block);
            let end = text[..end].rfind('\n').filter(|lf| *lf >= start).map_or(text.len(), |lf| lf + 1);
            line += judge.feed(&text.as_bytes()[start..end], 0, line, start as u64, threads);
            start = end;
        }
        let found = judge.finish();
        assert_eq!(
            (&found.events, &found.chains),
            (&one.events, &one.chains),
            "{threads} threads, {block} bytes"
        );
    }
}

#[test]
fn one_long_chain_is_judged_alike_where_another_thread_takes_its_lines_apart() {
    let mut blank = chain(3, 4000);
    for at in (50..blank.len()).step_by(997) {
        blank.insert(at, "  ".into());
    }
    // After the first line that was altered, none of its chain can be judged.
    for altered in [None, Some(0), Some(2000), Some(3999)] {
        let mut lines = blank.clone();
        if let Some(at) = altered {
            lines[at] = lines[at].replace("msg=", "msg=X");
        }
        let (one, text) = (judged(&lines), lines.join("\n") + "\n");
        for least in [100, 70_000] {
            let mut judge = judge(&key(), Form::Text);
            judge.least = least;
            assert_eq!(judge.feed(text.as_bytes(), 0, 0, 0, 2), lines.len() as u64);
            let found = judge.finish();
            assert_eq!((&found.events, &found.chains), (&one.events, &one.chains), "{altered:?}");
            assert_eq!(found.events.is_empty(), altered.is_none(), "{:?}", found.events);
        }
    }
}

// Made by Go itself: tests/acra/data/make.go.
#[test]
fn json_is_written_as_go_writes_it() {
    let cases = include_str!("../../../../tests/acra/data/values.jsonl");
    let mut count = 0;
    for case in cases.lines() {
        let case: std::collections::BTreeMap<String, String> = serde_json::from_str(case).unwrap_or_default();
        let (given, mut written) = (&case["given"], &case["written"]);
        if given.contains("\\u0008") && written == "\"\\b\"" || given.contains("\\u000c") {
            written = given; // as it was written before Go 1.22
        }
        for line in [format!("{{\"k\": {given}}}"), format!("{{\"k\":{given}}}")] {
            let (data, parsed) = parse(line.as_bytes()).unwrap_or_else(|| panic!("{line}"));
            let data = String::from_utf8_lossy(&data).into_owned();
            assert_eq!(data, format!("delimiterkdelimiter{written}delimiter"), "{given}");
            assert_eq!(parsed.rewritten, line != format!("{{\"k\":{written}}}"), "{given}");
        }
        count += 1;
    }
    assert_eq!(count, 292);
}

#[test]
fn members_of_json_are_covered_in_the_order_of_their_bytes_and_the_last_of_a_name_counts() {
    let parsed = parse(br#"{"z":1,"a":2,"\u00e9":3,"A":4,"integrity":"x","chain":"new","z":5}"#);
    let data =
        parsed.map(|(data, parsed)| (String::from_utf8_lossy(&data).into_owned(), parsed.new, parsed.end));
    let expected =
        "Adelimiter4delimiterdelimiteradelimiter2delimiterdelimiterzdelimiter5delimiterdelimiterédelimiter3";
    assert_eq!(data, Some((format!("delimiter{expected}delimiter"), true, false)));
    let end = parse(br#"{"chain":"end","msg":"End of current audit log chain"}"#);
    assert!(
        end.is_some_and(|(data, parsed)| parsed.end && data.starts_with(b"delimiterchaindelimiter\"end\""))
    );
}

#[test]
fn the_short_way_to_read_a_line_of_json_finds_what_the_long_one_does() {
    let integrity = "ab".repeat(32);
    let lines = [
        format!(
            r#"{{"chain":"end","code":500,"integrity":"{integrity}","msg":"End of current audit log chain"}}"#
        ),
        format!(
            r#"{{"chain":"new","integrity":"{integrity}","n":null,"ok":true,"unixTime":"1.5","x":"äö"}}"#
        ),
        r#"{"a":0,"b":123456789012345,"chain":1,"integrity":7,"timestamp":"2026-01-01","unixTime":null}"#
            .into(),
    ];
    let mut compared = 0;
    for line in &lines {
        let short = with(line.as_bytes(), go_json::plain);
        assert!(short.is_some());
        assert_eq!(short, with(line.as_bytes(), go_json::any));
        for at in 0..line.len() {
            for byte in *b"\0\n \"\\,:{}[]-+.e0129azn<>&\x7f\xe2\xff" {
                let mut changed = line.clone().into_bytes();
                changed[at] = byte;
                let mut longer = line.clone().into_bytes();
                longer.insert(at, byte);
                for other in [changed, longer] {
                    if let Some(found) = with(&other, go_json::plain) {
                        assert_eq!(
                            Some(found),
                            with(&other, go_json::any),
                            "{}",
                            String::from_utf8_lossy(&other)
                        );
                        compared += 1;
                    }
                }
            }
        }
    }
    assert!(compared > 1000, "{compared}");
}

#[test]
fn any_bytes_are_judged_without_harm() {
    let mut state = 1_u64;
    let mut random = |most: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % most
    };
    let text = log().join("\n").into_bytes();
    for form in [Form::Text, Form::Json] {
        for _ in 0..300 {
            let mut bytes = text.clone();
            for _ in 0..random(20) {
                let at = usize::try_from(random(bytes.len() as u64)).unwrap_or_default();
                bytes[at] = u8::try_from(random(256)).unwrap_or_default();
            }
            let mut judge = judge(&key(), form);
            judge.feed(&bytes, 0, 0, 0, 2);
            let found = judge.finish();
            assert!(found.good <= found.lines);
        }
    }
}
