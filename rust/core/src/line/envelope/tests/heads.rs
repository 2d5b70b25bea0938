//! What counts as a head of syslog.

use super::*;

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
