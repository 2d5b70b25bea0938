#![allow(clippy::unwrap_used)]

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
    assert!(all.iter().all(|(line, wrapped, _)| *line == 0 && *wrapped));
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
        "{",
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
fn traditional_heads_are_prefixes_as_a_whole() {
    let envelope = Envelope::parse("rfc3164", None).unwrap();
    for good in [
        "Nov 23 08:15:45 host app[123]: ",
        "Nov  3 08:15:45 host app: ",
        "Nov 03 08:15:45 host app:",
        "<13>Nov 23 08:15:45 host app[123]:  ",
        "<0>Nov 23 08:15:45 10.0.0.1 postfix/smtpd[1]: ",
        "2026-11-23T08:15:45.123456+00:00 host app[123]: ",
        "2026-11-23T08:15:45Z fe80::1 systemd[1]:",
        "2026-11-23T08:15:45-0130 host app: ",
        "Nov 23 08:15:45 host app[]: ",
    ] {
        assert!(envelope.is_prefix(good.as_bytes()), "{good}");
    }
    for bad in [
        "",
        " ",
        "x",
        "Nov 23 08:15:45 host app[123]",
        "Nov 23 08:15:45 host app[123]: x",
        "Nov 23 08:15:45 host app[123]: \t",
        "Nov 23 08:15:45 host a b: ",
        "Nov 23 08:15:45 host app[1 2]: ",
        "Nov 23 08:15:45 host app[12: ",
        "Nov 23 08:15:45 app: ",
        "Nov 23 08:15:45  app: ",
        "Nov 23 8:15:45 host app: ",
        "2026-11-23T08:15:45 host app: ",
        "2026-11-23T08:15:45+1 host app: ",
        "2026-11-23T08:15:45.Z host app: ",
        "2026-11-23T08:15:4xZ host app: ",
        "Nev 23 08:15:45 host app: ",
        "<192>Nov 23 08:15:45 host app: ",
        "<>Nov 23 08:15:45 host app: ",
        "x Nov 23 08:15:45 host app: ",
        "user=7 action=logout Nov 23 08:15:45 host app: ",
        "<13>1 2026-11-23T08:15:45Z host app 1 - - ",
    ] {
        assert!(!envelope.is_prefix(bad.as_bytes()), "{bad}");
    }
}

#[test]
fn heads_of_rfc_5424_are_prefixes_as_a_whole() {
    let envelope = Envelope::parse("rfc5424", None).unwrap();
    for good in [
        "<13>1 2026-11-23T08:15:45.123456Z host app 123 ID47 - ",
        "<165>1 - - - - - - ",
        "<165>1 - - - - - -",
        "123 <165>1 - - - - - -  ",
        "<13>1 2026-11-23T08:15:45+01:00 h a - - [a@1 x=\"y\" z=\"\\\"\\]\\\\ =[\"][b][c d=\"\"] ",
        "<13>1 2026-11-23T08:15:45+01:00 h a - - - \u{feff}",
    ] {
        assert!(envelope.is_prefix(good.as_bytes()), "{good}");
    }
    for bad in [
        "",
        "<13>2 - - - - - - ",
        "<13> - - - - - - ",
        "<13>1 - - - - - ",
        "<13>1 - - - - - x ",
        "<13>1 - - - - - - x",
        "<13>1 - - - - - - \u{feff}x",
        "<13>1 - - - - - [a ",
        "<13>1 - - - - - [] ",
        "<13>1 - - - - - [a b] ",
        "<13>1 - - - - - [a b=\"]\"] ",
        "<13>1 - - - - - [a b=\"\\\"] ",
        "<13>1 - - - - - [a b=\"c\"d=\"e\"] ",
        "<13>1 2026-11-23 h a - - - ",
        "12345678901 <13>1 - - - - - - ",
        "x <13>1 - - - - - - ",
        "Nov 23 08:15:45 host app[123]: ",
    ] {
        assert!(!envelope.is_prefix(bad.as_bytes()), "{bad}");
    }
}

#[test]
fn any_prefix_is_anything_but_nothing_and_unwrapped_kinds_have_none() {
    let any = Envelope::parse("prefix:any", None).unwrap();
    assert!(any.is_prefix(b"\xff") && !any.is_prefix(b""));
    assert_eq!(any.unescaped(b"x #011"), None);
    assert!(!Envelope::Docker.is_prefix(b"x"));
}

#[test]
fn escapes_of_rsyslog_are_undone_behind_its_head() {
    let head = "2026-11-23T08:15:45Z h a#011b: ";
    let old = Envelope::parse("rfc3164", None).unwrap();
    let unescaped = |text: &str| {
        let line = format!("{head}{text}");
        old.unescaped(line.as_bytes()).map(|line| String::from_utf8(line).unwrap())
    };
    assert_eq!(unescaped("a#011#033[1m#177#000#015 #1").as_deref(), Some("a\t\x1b[1m\x7f\0\r #1"));
    assert_eq!(unescaped("#011").as_deref(), Some("\t"));
    for same in ["", "x", "#012", "#041", "#400", "#777", "#01", "#0a1", "##", "#"] {
        assert_eq!(unescaped(same), None, "{same}");
    }
    assert_eq!(unescaped("##011#012").as_deref(), Some("#\t#012"));
    assert_eq!(old.unescaped(b"no head #011"), None);

    // The seal says which blanks are the line's own.
    let seal = "tally=abcdefgh.1.2.3.4.CQkJCQkJCQkJCQkJCQkJCQ";
    for gap in ["", " ", "  "] {
        let new = Envelope::parse("rfc5424", None).unwrap();
        let line = format!("<13>1 - - - - - -{gap}  #011x {seal}");
        assert_eq!(new.unescaped(line.as_bytes()).unwrap(), format!("  \tx {seal}").as_bytes(), "{gap:?}");
    }
}

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
    vec![
        ("docker", None, docker.into_bytes()),
        ("cri", None, cri.into()),
        ("journal-export", None, export),
        ("journal-json", None, json.into()),
        ("json", Some("a.b"), field.into()),
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
