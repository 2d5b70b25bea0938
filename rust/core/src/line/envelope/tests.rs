#![allow(clippy::unwrap_used)]

mod heads;
mod mutated;

use super::output::MAX_RECORD;
use super::*;

fn unwrapper(kind: &str, field: Option<&str>) -> Unwrapper {
    Unwrapper::new(&Envelope::parse(kind, field).unwrap()).unwrap()
}

/// Lines with their physical line and whether they were wrapped.
fn lines(kind: &str, field: Option<&str>, data: &[u8]) -> Vec<(u32, bool, String)> {
    let got = unwrapper(kind, field).feed(data, true);
    let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
    let texts: Vec<_> = split(&got.data).into_iter().map(text).collect();
    assert_eq!(texts.len(), got.origins.len());
    got.origins.iter().zip(texts).map(|(o, t)| (o.line, o.wrapped, t)).collect()
}

fn split(data: &[u8]) -> Vec<&[u8]> {
    let mut all: Vec<&[u8]> = data.split(|b| *b == b'\n').collect();
    assert_eq!(all.pop(), Some(&b""[..]), "each line ends in LF");
    all
}

/// The lines of one physical line; `None` if it was not in the envelope's form.
fn one(kind: &str, field: Option<&str>, line: &[u8]) -> Option<Vec<String>> {
    let all = lines(kind, field, line);
    if let [(0, false, text)] = all.as_slice() {
        assert_eq!(text, &String::from_utf8_lossy(line));
        return None;
    }
    assert!(all.iter().all(|(line, ..)| *line == 0));
    if kind == "json" && all.iter().any(|(_, wrapped, _)| !wrapped) {
        return None; // what stands behind a document is no other one
    }
    assert!(all.iter().all(|(_, wrapped, _)| *wrapped));
    Some(all.into_iter().map(|(_, _, text)| text).collect())
}

#[allow(clippy::unnecessary_wraps)]
fn some(text: &str) -> Option<Vec<String>> {
    Some(vec![text.to_string()])
}

fn export_field(name: &str, data: &[u8]) -> Vec<u8> {
    [name.as_bytes(), b"\n", &(data.len() as u64).to_le_bytes(), data, b"\n"].concat()
}

#[test]
fn kinds_are_read_as_on_the_command_line() {
    for kind in ["docker", "cri", "journal-export", "journal-json"] {
        assert!(Unwrapper::new(&Envelope::parse(kind, None).unwrap()).is_some());
        assert!(Envelope::parse(kind, Some("x")).is_err());
    }
    for kind in ["rfc3164", "rfc5424", "prefix:any"] {
        assert!(Unwrapper::new(&Envelope::parse(kind, None).unwrap()).is_none());
    }
    assert!(Envelope::parse("json", Some("_source.message")).is_ok());
    let long = ["a"; 65].join(".");
    for (kind, field) in [("json", None), ("json", Some("")), ("json", Some(&long)), ("syslog", None)] {
        let error = Envelope::parse(kind, field).unwrap_err().to_string();
        assert!(error.contains("envelope"), "{error}");
    }
}

#[test]
fn docker_records_give_their_log() {
    let docker = |line: &str| one("docker", None, line.as_bytes());
    assert_eq!(
        docker(r#"{"log":"a \"b\" \\ \/ \u003c\u2028\ud83d\ude00\t\n","stream":"stdout","time":"t"}"#),
        some("a \"b\" \\ / <\u{2028}\u{1f600}\t")
    );
    assert_eq!(docker(r#"{"stream":"stderr","attrs":{"a":[1,{"log":"y"}]},"log":"x\r\n"}"#), some("x\r"));
    assert_eq!(docker(r#"{"log":"\n","stream":"stdout"}"#), some(""));
    assert_eq!(docker("{\"log\":\"x\\n\",\"stream\":\"stdout\"} \r"), some("x"));
    assert_eq!(docker(r#" { "lo\u0067" : "x\n" , "stream" : "stdout" } "#), some("x"));
    // An LF inside would be a line more than the carrier had; each is looked at.
    assert_eq!(docker(r#"{"log":"x\ny\n","stream":"stdout"}"#), Some(vec!["x".into(), "y".into()]));
    for bad in [
        r#"{"log":"x\n"}"#,
        r#"{"stream":"stdout"}"#,
        r#"{"log":"x\n","stream":"other"}"#,
        r#"{"log":"x\n","log":"y\n","stream":"stdout"}"#,
        r#"{"log":"x\n","lo\u0067":"y\n","stream":"stdout"}"#,
        r#"{"log":"x\n","stream":"stdout","stream":"stderr"}"#,
        r#"{"log":1,"stream":"stdout"}"#,
        r#"{"log":"\ud800\n","stream":"stdout"}"#,
        r#"{"log":"\ud800\u0041\n","stream":"stdout"}"#,
        r#"{"log":"\udc00\n","stream":"stdout"}"#,
        r#"{"log":"\x\n","stream":"stdout"}"#,
        r#"{"log":"\u00g0\n","stream":"stdout"}"#,
        r#"{"log":"x\n","stream":"stdout"}}"#,
        r#"{"log":"x\n","stream":"stdout""#,
        r#"{"log":"x\n","stream":"stdout",}"#,
        r#"{,"log":"x\n","stream":"stdout"}"#,
        r#"{"log":"x\n" "stream":"stdout"}"#,
        r#"{"log":"x\n","stream":"stdout","a":01}"#,
        r#"{"log":"x\n","stream":"stdout","a":[1,]}"#,
        r#"{"log":"x\n","stream":"stdout","a":{"b"}}"#,
        r#"{"log":"x\n","stream":"stdout","a":[}]}"#,
        r#"["log"]"#,
        "plain",
    ] {
        assert_eq!(docker(bad), None, "{bad}");
    }
}

#[test]
fn docker_parts_are_joined_in_their_stream() {
    let part = "x".repeat(16 << 10);
    let record =
        |log: &str, stream: &str| format!("{{\"log\":\"{log}\",\"stream\":\"{stream}\",\"time\":\"\"}}\n");
    let data = [
        record(&part, "stdout"),
        record("err\\n", "stderr"),
        record(&part, "stderr"),
        "raw\n".into(),
        record(&part, "stdout"),
        record("end\\n", "stdout"),
        record("\\n", "stderr"),
        record("half", "stdout"),
        record("next run\\n", "stdout"),
        record(&part, "stdout"),
    ];
    let got = lines("docker", None, data.concat().as_bytes());
    let expected = [
        (1, true, "err".into()),
        (3, false, "raw".into()),
        (5, true, format!("{part}{part}end")),
        (6, true, part.clone()),
        (7, true, "half".into()),
        (8, true, "next run".into()),
        (9, true, part.clone()),
    ];
    assert_eq!(got, expected);
}

#[test]
fn records_of_docker_that_a_power_loss_glued_come_apart() {
    let whole = r#"{"log":"x\n","stream":"stdout","time":"t"}"#;
    let docker = |line: &str| {
        let all = lines("docker", None, line.as_bytes());
        all.into_iter().map(|(_, wrapped, text)| (wrapped, text)).collect::<Vec<_>>()
    };
    let told = |expected: &[(bool, &str)]| {
        expected.iter().map(|(wrapped, text)| (*wrapped, (*text).to_string())).collect::<Vec<_>>()
    };
    let zeros = "\0".repeat(300);
    for (before, expected) in [
        (zeros.as_str(), &[(true, "x")][..]),
        (r#"{"log":"half"#, &[(true, "half"), (true, "x")]),
        (r#"{"log":"half \u00"#, &[(true, "half "), (true, "x")]),
        (r#"{"log":"half \ud83d\"#, &[(true, "half "), (true, "x")]),
        (r#"{"log":"say \"h"#, &[(true, "say \"h"), (true, "x")]),
        (r#"{"lo"#, &[(true, ""), (true, "x")]),
        (r#"{"log":"y\n","stre"#, &[(false, r#"{"log":"y\n","stre"#), (true, "x")]),
        ("user=root", &[(false, "user=root"), (true, "x")]),
        (whole, &[(true, "x"), (true, "x")]),
    ] {
        assert_eq!(docker(&format!("{before}{whole}\n")), told(expected), "{before}");
        if before != zeros {
            assert_eq!(docker(&format!("{before}{zeros}{whole}\n")), told(expected), "{before} and zeros");
        }
    }
    assert_eq!(docker(r#"{"log":"tallystick/v1 op"#), told(&[(true, "tallystick/v1 op")]));
    let both = format!("{{\"log\":\"half{{\"log\":\"other{whole}");
    assert_eq!(docker(&both), told(&[(false, "{\"log\":\"half{\"log\":\"other"), (true, "x")]));
}

#[test]
fn records_of_cri_that_a_power_loss_glued_come_apart() {
    let (head, seal) = ("2026-11-23T08:15:45.1Z stdout F ", " tally=abcdefgh.1.2.3.1.CQkJCQkJCQkJCQkJCQkJCQ");
    let whole = format!("{head}x{seal}");
    let line = format!("x{seal}");
    let cri = |text: &str| {
        let all = lines("cri", None, text.as_bytes());
        all.into_iter().map(|(_, wrapped, text)| (wrapped, text)).collect::<Vec<_>>()
    };
    for (before, expected) in [
        ("\0".repeat(300), None),
        (format!("{head}half"), Some((true, "half"))),
        (format!("{head}half\0\0"), Some((true, "half"))),
        (head.to_string(), Some((true, ""))),
        ("2026-11-23T08:1".into(), Some((true, ""))),
        ("2026-11-23T08:15:45.1Z std".into(), Some((true, ""))),
        ("2026-11-23T08:15:45.1Z stdout ".into(), Some((true, ""))),
        ("user=root ".into(), Some((false, "user=root "))),
    ] {
        let mut told: Vec<_> =
            expected.into_iter().map(|(wrapped, text)| (wrapped, text.to_string())).collect();
        told.push((true, line.clone()));
        assert_eq!(cri(&format!("{before}{whole}\n")), told, "{before}");
    }
    // A sealed line that quotes a record is one line, and so is one without a seal of its own.
    let quoting = format!("{head}y tally=abcdefgh.1.2.3.{}.CQkJCQkJCQkJCQkJCQkJCQ", head.len() + 1);
    assert_eq!(cri(&format!("{head}{quoting}")), [(true, quoting.clone())]);
    assert_eq!(cri(&format!("{head}a {head}b")), [(true, format!("a {head}b"))]);
}

#[test]
fn parts_that_a_crash_left_are_not_joined_to_the_next_runs_line() {
    let (head, seal) = ("2026-11-23T08:15:45.1Z stdout ", " tally=abcdefgh.1.2.3.1.CQkJCQkJCQkJCQkJCQkJCQ");
    let data = format!("{head}P begun\n{head}F x{seal}\n{head}P beg\n{head}F un\n");
    let expected =
        [(1, "begun"), (1, &format!("x{seal}")), (3, "begun")].map(|(l, t)| (l, true, t.to_string()));
    assert_eq!(lines("cri", None, data.as_bytes()), expected);
}

#[test]
fn parts_are_joined_however_a_driver_marks_them() {
    let json = |kind: &str, field: Option<&str>, records: &[String]| {
        let text = records.concat();
        lines(kind, field, text.as_bytes())
            .into_iter()
            .map(|(line, _, text)| (line, text))
            .collect::<Vec<_>>()
    };
    let told =
        [(3, "one two"), (4, "other"), (6, "b one b two")].map(|(line, text)| (line, text.to_string()));
    // Docker's journald driver: the last part is not marked as one; some versions never say `true` at its end.
    for last in ["true", "false"] {
        let entry = |message: &str, more: &str| format!("{{\"MESSAGE\":\"{message}\"{more}}}\n");
        let id = |id: u8, more: bool, ordinal: u8| {
            let marks = if more { ",\"CONTAINER_PARTIAL_MESSAGE\":\"true\"" } else { "" };
            let last = if more { "false" } else { last };
            format!(
                ",\"CONTAINER_PARTIAL_ID\":\"{id}\",\"CONTAINER_PARTIAL_ORDINAL\":\"{ordinal}\",\
                 \"CONTAINER_PARTIAL_LAST\":\"{last}\"{marks}"
            )
        };
        let records = [
            entry("one ", &id(1, true, 1)),
            entry("b one ", &id(2, true, 1)),
            entry("t", &id(1, true, 2)),
            entry("wo", &id(1, false, 3)),
            entry("other", ",\"CONTAINER_ID_FULL\":\"c\""),
            entry("b t", &id(2, true, 2)),
            entry("wo", &id(2, false, 3)),
        ];
        assert_eq!(json("journal-json", None, &records), told);
        let export: String = records
            .iter()
            .map(|record| {
                let fields =
                    record.trim_end().trim_matches(['{', '}']).replace("\":\"", "=").replace("\",\"", "\n");
                fields.trim_matches('"').to_string() + "\n\n"
            })
            .collect();
        let texts: Vec<_> =
            lines("journal-export", None, export.as_bytes()).into_iter().map(|l| l.2).collect();
        assert_eq!(texts, told.clone().map(|l| l.1));
    }
    // Podman's, and Docker's before it numbered parts: by container and priority.
    let records = [
        ("one ", 6, true),
        ("b one ", 3, true),
        ("t", 6, true),
        ("wo", 6, false),
        ("other", 6, false),
    ]
    .map(|(message, priority, more)| {
        let marks = if more { ",\"CONTAINER_PARTIAL_MESSAGE\":\"true\"" } else { "" };
        format!(
            "{{\"PRIORITY\":\"{priority}\",\"CONTAINER_ID_FULL\":\"c\",\"MESSAGE\":\"{message}\"{marks}}}\n"
        )
    });
    let got = json("journal-json", None, &records);
    assert_eq!(
        got,
        [(3, "one two"), (4, "other"), (4, "b one ")].map(|(line, text)| (line, text.to_string()))
    );
    // Docker's fluentd driver, with values as it sends them or as booleans; and what Fluent Bit makes of CRI.
    for truth in ["\"true\"", "true"] {
        let falsehood = truth.replace("true", "false");
        let record = |log: &str, id: u8, last: bool| {
            let last = if last { truth } else { &falsehood };
            format!(
                "{{\"a\":{{\"log\":\"{log}\",\"partial_message\":{truth},\"partial_id\":\"{id}\",\"partial_last\":{last}}}}}\n"
            )
        };
        let records = [
            record("one ", 1, false),
            record("b one ", 2, false),
            record("t", 1, false),
            record("wo", 1, true),
            "{\"a\":{\"log\":\"other\",\"source\":\"stdout\"}}\n".into(),
            record("b t", 2, false),
            record("wo", 2, true),
        ];
        assert_eq!(json("json", Some("a.log"), &records), told);
    }
    let records = [
        ("one ", "out", "P"),
        ("b one ", "err", "P"),
        ("t", "out", "P"),
        ("wo", "out", "F"),
        ("other", "out", "F"),
        ("b t", "err", "P"),
        ("wo", "err", "F"),
    ]
    .map(|(log, stream, tag)| {
        format!("{{\"date\":1.5,\"stream\":\"std{stream}\",\"logtag\":\"{tag}\",\"log\":\"{log}\"}}\n")
    });
    assert_eq!(json("json", Some("log"), &records), told);
}

#[test]
fn cri_lines_give_their_content() {
    let data = "2026-11-23T08:15:45.123456789Z stdout F a  b \n\
                2026-11-23T08:15:45.1Z stdout P one \n\
                2026-11-23T08:15:45+02:00 stderr F:tag err\n\
                2026-11-23T08:15:45.1Z stdout P:x,\n\
                2026-11-23T08:15:45.1Z stdout P two \n\
                2026-11-23T08:15:45.1Z stdout F \n\
                2026-11-23T08:15:45.1Z stdout F\n\
                2026-11-23T08:15:45.1Z stdout X x\n\
                2026-11-23T08:15:45.1Z stdin F x\n\
                2026-11-23 08:15:45.1Z stdout F x\n\
                2026-11-23T08:15:45.1Z stderr P cut off";
    let expected = [
        (0, true, "a  b "),
        (2, true, "err"),
        (3, false, "2026-11-23T08:15:45.1Z stdout P:x,"),
        (5, true, "one two "),
        (6, false, "2026-11-23T08:15:45.1Z stdout F"),
        (7, false, "2026-11-23T08:15:45.1Z stdout X x"),
        (8, false, "2026-11-23T08:15:45.1Z stdin F x"),
        (9, false, "2026-11-23 08:15:45.1Z stdout F x"),
        (10, true, "cut off"),
    ];
    assert_eq!(lines("cri", None, data.as_bytes()), expected.map(|(l, w, t)| (l, w, t.to_string())));
}

#[test]
fn journal_entries_in_json_give_their_message() {
    let json = |line: &str| one("journal-json", None, line.as_bytes());
    assert_eq!(json(r#"{"_PID":"1","MESSAGE":"x"}"#), some("x"));
    assert_eq!(json(r#"{"MESSAGE":[120, 9,255 ],"A":null}"#), some("x\t\u{fffd}"));
    assert_eq!(json(r#"{"MESSAGE":[]}"#), some(""));
    for bad in [
        r#"{"MESSAGE":null}"#,
        r#"{"MESSAGE":["a","b"]}"#,
        r#"{"MESSAGE":[1,256]}"#,
        r#"{"MESSAGE":[1,]}"#,
        r#"{"MESSAGE":[-1]}"#,
        r#"{"MESSAGE":"a","MESSAGE":"b"}"#,
        r#"{"MESSAGE":"a","MESSAGE":[98]}"#,
        r#"{"A":"b"}"#,
    ] {
        assert_eq!(json(bad), None, "{bad}");
    }
    let data = concat!(
        r#"{"MESSAGE":"a","_STREAM_ID":"1","_LINE_BREAK":"line-max"}"#,
        "\n",
        r#"{"MESSAGE":"x","_STREAM_ID":"2"}"#,
        "\n",
        r#"{"MESSAGE":"y"}"#,
        "\n",
        r#"{"MESSAGE":"b","_STREAM_ID":"1","_LINE_BREAK":"eof"}"#,
        "\n",
    );
    let expected = [(1, "x"), (2, "y"), (3, "ab")].map(|(l, t)| (l, true, t.to_string()));
    assert_eq!(lines("journal-json", None, data.as_bytes()), expected);
}

#[test]
fn a_sealed_line_as_long_as_the_journals_limit_is_not_joined_to_the_next() {
    let seal = "x tally=abcdefgh.1.2.3.1.CQkJCQkJCQkJCQkJCQkJCQ";
    let data = format!(
        "{{\"MESSAGE\":\"{seal}\",\"_STREAM_ID\":\"1\",\"_LINE_BREAK\":\"line-max\"}}\n\
         {{\"MESSAGE\":\"next\",\"_STREAM_ID\":\"1\"}}\n"
    );
    let expected = [seal, "next"].map(|t| (1, true, t.to_string()));
    assert_eq!(lines("journal-json", None, data.as_bytes()), expected);
}

#[test]
fn journal_export_gives_text_and_binary_messages() {
    let data = [
        b"__CURSOR=s\nMESSAGE=one\n_PID=1\n\n".to_vec(),
        export_field("MESSAGE", b"two\nthree\xff"),
        export_field("OTHER", b"\n\n\nMESSAGE=no\n\n"),
        b"\n\n".to_vec(),
        b"_STREAM_ID=5\n_LINE_BREAK=line-max\nMESSAGE=aa\n\n".to_vec(),
        b"MESSAGE=bb\n\n".to_vec(),
        b"user=7 raw\n".to_vec(),
        b"MESSAGE=cc\n_STREAM_ID=5\n\n".to_vec(),
        b"MESSAGE=d\nMESSAGE=e\n\nMESSAGE=\n\nMESSAGE=last".to_vec(),
    ]
    .concat();
    let expected = [
        (3, true, "one"),
        // The size of this one, 10, is an LF.
        (15, true, "two"),
        (15, true, "three\u{fffd}"),
        (22, true, "bb"),
        (23, false, "user=7 raw"),
        (26, true, "aacc"),
        (29, true, "d"),
        (29, true, "e"),
        (31, true, ""),
        (32, true, "last"),
    ];
    assert_eq!(lines("journal-export", None, &data), expected.map(|(l, w, t)| (l, w, t.to_string())));
}

#[test]
fn what_is_no_field_of_the_journal_is_told() {
    // A name whose size cannot be is a line, and so is what follows it.
    let expected = ["ERROR", "user=1 a=2", "B", "user=2"].map(|t| (0, false, t.to_string()));
    let got = lines("journal-export", None, b"ERROR\nuser=1 a=2\nB\nuser=2\n");
    assert_eq!(got.iter().map(|(_, w, t)| (0, *w, t.clone())).collect::<Vec<_>>(), expected);
    // Whatever stands behind a name whose data never ends is not passed over in silence.
    let swallowed = [&b"MESSAGE=x\n\nJUNK\n"[..], &(1u64 << 20).to_le_bytes(), b"hidden"].concat();
    let got: Vec<_> = lines("journal-export", None, &swallowed).into_iter().map(|(_, w, t)| (w, t)).collect();
    assert_eq!(got, [(true, "x".to_string()), (false, "JUNK".to_string())]);
}

#[test]
fn fields_of_objects_are_found_by_name_then_by_dots() {
    let json = |path: &str, line: &str| one("json", Some(path), line.as_bytes());
    assert_eq!(json("line", r#"{"labels":{"line":"no"},"line":"x\n","timestamp":"t"}"#), some("x"));
    assert_eq!(json("_source.message", r#"{"_id":"1","_source":{"a":1,"message":"x"}}"#), some("x"));
    assert_eq!(json("_source.message", r#"{"_source.message":"x"}"#), some("x"));
    assert_eq!(json("_source.message", r#"{"_source":"y","_source.message":"x"}"#), some("x"));
    assert_eq!(json("a.b.c", r#"{"a":{"b.c":"x","b":1}}"#), some("x"));
    assert_eq!(json("a.b.c", r#"{"a":{"b":{"c":"x"}}}"#), some("x"));
    assert_eq!(json("a..b", r#"{"a":{"":{"b":"x"}}}"#), some("x"));
    for bad in [
        r#"{"a":{"b":"x","b":"y"}}"#,
        r#"{"a":{"b":"x"},"a":{"b":"y"}}"#,
        r#"{"a":{"b":"x"},"a":1}"#,
        r#"{"a":{"b":"x"},"a.b":"y"}"#,
        r#"{"a":{"b":["x"]}}"#,
        r#"{"a":[{"b":"x"}]}"#,
        r#"{"a":{"b":"x"}"#,
        r#"{"a":{"b":"x"}} {}"#,
        r#"{"b":"x"}"#,
    ] {
        assert_eq!(json("a.b", bad), None, "{bad}");
    }
}

#[test]
fn nesting_is_bounded_and_takes_no_stack() {
    let deep = |n: usize| format!("{{\"a\":{}{},\"m\":\"x\"}}", "[".repeat(n), "]".repeat(n));
    assert_eq!(one("json", Some("m"), deep(63).as_bytes()), some("x"));
    assert_eq!(one("json", Some("m"), deep(64).as_bytes()), None);
    assert_eq!(one("json", Some("m"), deep(1_000_000).as_bytes()), None);
    let objects = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    assert_eq!(one("json", Some("m"), objects.as_bytes()), None);
    let mixed = r#"{"a":[{"b":[[],{},[{"c":{}}]]},-1.5e+3,true,false,null,""],"m":"x"}"#;
    assert_eq!(one("json", Some("m"), mixed.as_bytes()), some("x"));
}

#[test]
fn records_without_end_are_given_out_in_time() {
    let part = "x".repeat(1 << 20);
    let data = format!("2026-11-23T08:15:45Z stdout P {part}\n");
    let mut cri = unwrapper("cri", None);
    let mut given = Vec::new();
    for _ in 0..20 {
        given.push(cri.feed(data.as_bytes(), false).data.len());
    }
    assert_eq!(given.iter().filter(|size| **size > 0).collect::<Vec<_>>(), [&(18 * part.len() + 1)]);
    assert_eq!(cri.feed(b"", true).data.len(), 2 * part.len() + 1);

    let message = vec![b'x'; 2 * MAX_RECORD + 5];
    let data = [export_field("MESSAGE", &message), b"\n".to_vec()].concat();
    let got = unwrapper("journal-export", None).feed(&data, true);
    let sizes: Vec<_> = split(&got.data).iter().map(|line| line.len()).collect();
    assert_eq!(sizes, [MAX_RECORD, MAX_RECORD, 5]);

    let part = |i: u8| format!("{{\"MESSAGE\":\"a\",\"_STREAM_ID\":\"{i}\",\"_LINE_BREAK\":\"line-max\"}}\n");
    let streams = (0..100).map(part).collect::<Vec<_>>().concat();
    let mut journal = unwrapper("journal-json", None);
    assert_eq!(journal.feed(streams.as_bytes(), false).origins.len(), 36);
    assert_eq!(journal.feed(b"", true).origins.len(), 64);
}

#[test]
fn any_prefix_is_anything_but_nothing_and_unwrapped_kinds_have_none() {
    let any = Envelope::parse("prefix:any", None).unwrap();
    assert!(any.is_prefix(b"\xff") && !any.is_prefix(b""));
    assert_eq!(any.unescaped(b"x #011"), None);
    assert!(!Envelope::Docker.is_prefix(b"x"));
}

#[test]
fn json_is_read_in_whatever_shape_a_store_gives_it_out() {
    let told = |field: &str, data: &str| {
        let all = lines("json", Some(field), data.as_bytes());
        all.into_iter()
            .map(|(_, wrapped, text)| if wrapped { text } else { format!("RAW {text}") })
            .collect::<Vec<_>>()
    };
    let abc = ["a", "b", "c"];
    // Firehose: one behind the other. Pretty-printed: over several lines. CloudWatch: pages of events.
    assert_eq!(told("m", r#"{"m":"a"}{"m":"b"} {"m":"c"}"#), abc);
    assert_eq!(told("m", "{\n  \"m\": \"a\"\n}\n{\n\"x\": {\n},\n\"m\":\n\"b\"}{\"m\":\"c\"}\n"), abc);
    assert_eq!(
        told(
            "e[].m",
            "{\"e\":[{\"m\":\"a\"},{\"i\":1,\"m\":\"b\"}],\"t\":\"x\"}{\"e\":[],\"t\":\"e\"}\n{\"e\":[{\"m\":\"c\"}]}"
        ),
        abc
    );
    assert_eq!(told("[].m", "[\n{\"m\":\"a\"},\n{\"m\":\"b\"},\n{\"m\":\"c\"}\n]\n"), abc);
    assert_eq!(told("[]", r#"["a","b","c"]"#), abc);
    assert_eq!(told("[0].m[]", r#"[{"m":["a","b","c"]},{"m":["d"]}]"#), abc);
    let loki = r#"{"status":"success","data":{"resultType":"streams","result":[{"stream":{"app":"x","values":"no"},
        "values":[["1","a"],["2","b",{"k":"v"}]]},{"stream":{},"values":[["3","c"]]}],"stats":{"values":[[1,"no"]]}}}"#;
    assert_eq!(told("data.result[].values[][1]", loki), abc);
    let search = r#"{"took":1,"hits":{"total":{"value":3},"hits":[{"_source":{"m":"a"}},{"_source":{"m":"b"}},{"_source":{"m":"c"}}]}}"#;
    assert_eq!(told("hits.hits[]._source.m", search), abc);
    let bulk = "{\"index\":{\"_index\":\"x\",\"_id\":\"1\"}}\n{\"m\":\"a\"}\n{\"create\":{}}\n{\"m\":\"b\"}\n{ \"index\" : { } }\n{\"m\":\"c\"}\n";
    assert_eq!(told("m", bulk), abc);
    // What is no such record is given as it stands.
    for (field, data, expected) in [
        ("m", "{\"m\":\"a\",\n{\"m\":\"b\"}\n", &["RAW {\"m\":\"a\",", "b"][..]),
        ("m", "{\"m\":\"a\n{\"m\":\"b\"}\n", &["RAW {\"m\":\"a", "b"]),
        ("m", "{\"m\":\"a\"} x {\"m\":\"b\"}\n", &["a", "RAW  x {\"m\":\"b\"}"]),
        ("m", "{\"x\":1} behind\n{\"m\":\"b\"}\n", &["RAW {\"x\":1} behind", "b"]),
        ("m", "  {bad} json\n{\"m\":\"b\"}\n", &["RAW   {bad} json", "b"]),
        ("m", "{\"m\":\"a\",\"m\":\"b\"}\n", &["RAW {\"m\":\"a\",\"m\":\"b\"}"]),
        (
            "m",
            "{\"index\":{\"_index\":\"x\",\"note\":\"y\"}}\n",
            &["RAW {\"index\":{\"_index\":\"x\",\"note\":\"y\"}}"],
        ),
        ("m", "{\"index\":{},\"x\":1}\n", &["RAW {\"index\":{},\"x\":1}"]),
        ("m", "{\"delete\":{\"_id\":\"1\"}}\n", &["RAW {\"delete\":{\"_id\":\"1\"}}"]),
        (
            "e[].m",
            "{\"e\":[{\"m\":\"a\"}],\"e\":[{\"m\":\"b\"}]}\nraw\n",
            &["a", "RAW \"e\":[{\"m\":\"b\"}]}", "RAW raw"],
        ),
        ("e[].m", "{\"e\":[{\"m\":\"a\"},{\"n\":\"b\"}]}", &["a", "RAW {\"n\":\"b\"}"]),
        ("e[].m", "{\"e\":[{\"m\":\"a\"},{\"m\":\"b", &["a", "RAW {\"m\":\"b"]),
        ("e[].m", "{\"e\":[{\"m\":\"a\"}]]\n{\"e\":[{\"m\":\"b\"}]}\n", &["a", "RAW ]", "b"]),
        ("[].m", "user=root\n[{\"m\":\"a\"}]\n", &["RAW user=root", "a"]),
        ("e[].m", "{\"f\":[{\"m\":\"a\"}]} {\"e\":[]}", &["RAW {\"f\":[{\"m\":\"a\"}]} {\"e\":[]}"]),
    ] {
        assert_eq!(told(field, data), expected, "{field} {data}");
    }
    for bad in ["a[", "a[x]", "a]", "[].", "a[-1]", "[][].", ""] {
        let parsed = Envelope::parse("json", Some(bad));
        assert!(bad == "a]" || parsed.is_err(), "{bad}");
    }
}

#[test]
fn an_answer_on_one_line_is_read_piece_by_piece() {
    let element = format!("{{\"m\":\"{}\"}}", "x".repeat(1000));
    let data = format!("{{\"e\":[{}]}}\n", vec![element.as_str(); 3000].join(","));
    let mut unwrapper = unwrapper("json", Some("e[].m"));
    let (mut count, mut start) = (0, 0);
    for end in (0..data.len()).step_by(777).skip(1).chain([data.len()]) {
        count += unwrapper
            .feed(&data.as_bytes()[start..end], end == data.len())
            .origins
            .iter()
            .filter(|o| o.wrapped)
            .count();
        start = end;
    }
    assert_eq!(count, 3000);
}
