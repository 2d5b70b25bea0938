//! Lines are read back as they were written.

use super::*;

fn sealed(m: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write(m, LogId(*b"abcdefgh"), Position::new(1, 2, 3), &[9; 16], &mut out);
    out
}

#[test]
fn every_m_that_is_written_is_read_back() {
    let cases: [&[u8]; 14] = [
        b"",
        b" ",
        b"x",
        b"{}",
        b"{ \t}",
        b"{\"a\":1}",
        b"{bad}",
        b"{\"tally\":1}",
        b"}{",
        b"{",
        b"}",
        b"ends with cr\r",
        b"\x00",
        b"a tally=abcdefgh.1.2.3.1.CQkJCQkJCQkJCQkJCQkJCQ",
    ];
    for m in cases {
        let line = sealed(m);
        let Read::Sealed(got) = read(&line) else { panic!("{m:?} not read: {line:?}") };
        match got.m {
            Span::Plain(from, to) => assert_eq!(&line[from..to], m),
            Span::Json(from, to) => assert_eq!([&line[from..to], b"}"].concat(), m),
        }
        assert_eq!(got.m.start(), 0);
    }
}

#[test]
fn a_prefix_is_told_by_where_m_begins() {
    for m in [&b"x=1"[..], b"{\"a\":1}", b""] {
        let line = [b"Nov 23 host app: ", &sealed(m)[..]].concat();
        let Read::Sealed(got) = read(&line) else { panic!() };
        assert_eq!(got.m.start(), 17);
    }
}

#[test]
fn trailing_blanks_tabs_and_cr_are_dropped_and_other_bytes_are_not() {
    let line = sealed(b"x");
    assert!(matches!(read(&[&line[..], b" \t\r"].concat()), Read::Sealed(_)));
    for tail in [&b"\x0b"[..], b".", b"\"}", b"\0", b"Jx=2"] {
        assert!(matches!(read(&[&line[..], tail].concat()), Read::Misfit(_)), "{tail:?}");
    }
}

#[test]
fn what_is_not_canonical_is_no_seal() {
    for s in [
        "abcdefgh.01.2.3.1.CQkJCQkJCQkJCQkJCQkJCQ",
        "abcdefgh.0.0.0.1.CQkJCQkJCQkJCQkJCQkJCQ",
        "abcdefgh.1.256.3.1.CQkJCQkJCQkJCQkJCQkJCQ",
        "abcdefgh.1.2.65536.1.CQkJCQkJCQkJCQkJCQkJCQ",
        "abcdefgh.1.2.3.16777217.CQkJCQkJCQkJCQkJCQkJCQ",
        "abcdefgh.4294967296.2.3.1.CQkJCQkJCQkJCQkJCQkJCQ",
        "abcdefgh.1.2.3.1.CQkJCQkJCQkJCQkJCQkJCR",
        "abcdefgh.1.2.3.1.CQkJCQkJCQkJCQkJCQkJCQ==",
        "ABCDEFGH.1.2.3.1.CQkJCQkJCQkJCQkJCQkJCQ",
        "abcdefgh.1.2.3.1.CQkJCQkJCQkJCQkJCQkJCQ.x",
    ] {
        assert_eq!(parse_seal(s.as_bytes()), None, "{s}");
    }
}

#[test]
fn a_line_is_longer_or_shorter_than_its_seal_says() {
    for m in [&b"user=7 amount=100"[..], b"{\"a\":1}", b"{}", b"", b"{\"tallystick\":\"x\"}"] {
        let line = sealed(m);
        assert_eq!(excess(&line), Some(0), "{m:?}");
        assert_eq!(excess(&[b"x", &line[..]].concat()).map(|by| by > 0), Some(true), "{m:?}");
        assert_eq!(excess(&line[..line.len() - 1]), None, "{m:?}");
    }
    let line = sealed(b"amount=100");
    assert_eq!(excess(&[b"amount=1000", &line[10..]].concat()), Some(1));
    assert_eq!(excess(&[b"amount=1", &line[10..], b" \r"].concat()), Some(-2));
    assert_eq!(excess(b"no seal"), None);
}

#[test]
fn blank_lines_and_nuls_are_no_lines() {
    for line in [&b""[..], b" \t\r", b"\0\0\0", b" \0 \0\r"] {
        assert_eq!(read(line), Read::Nothing);
    }
    assert_eq!(read(b"x"), Read::Unsealed);
}
