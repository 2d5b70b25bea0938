//! Fields of a sender that the sender cannot forge, put into each of its lines (spec/agent.md).
//!
//! They come first, so that their place says whose they are: `[uid=7 …] ` before a plain line, a member `origin` before
//! all others in a JSON line. JSON that two readers could read differently is no member beside ours, but a string.

use crate::line::canon::is_object_without;

/// The fields of one sender, in both forms.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// `[uid=7 gid=7 pid=42] `.
    pub plain: Vec<u8>,
    /// `{"uid":7,"gid":7,"pid":42}`.
    pub json: Vec<u8>,
}

impl Stamp {
    /// Appends a line with its fields.
    pub fn write(&self, m: &[u8], out: &mut Vec<u8>) {
        let text = (m.first() == Some(&b'{') && m.last() == Some(&b'}')).then(|| std::str::from_utf8(m).ok());
        let Some(text) = text.flatten() else {
            out.extend_from_slice(&self.plain);
            out.extend_from_slice(m);
            return;
        };
        out.extend_from_slice(b"{\"origin\":");
        out.extend_from_slice(&self.json);
        if is_object_without(m, "origin") {
            let rest = &m[1..];
            if !rest[..rest.len() - 1].iter().all(|byte| b" \t\r".contains(byte)) {
                out.push(b',');
            }
            out.extend_from_slice(rest);
        } else {
            out.extend_from_slice(b",\"line\":\"");
            quote(text, out);
            out.extend_from_slice(b"\"}");
        }
    }
}

/// Appends text as it stands between the quotes of a JSON string.
fn quote(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped(m: &[u8]) -> String {
        let stamp = Stamp { plain: b"[uid=7] ".to_vec(), json: b"{\"uid\":7}".to_vec() };
        let mut out = Vec::new();
        stamp.write(m, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn a_line_gets_the_fields_of_its_sender_in_its_own_form() {
        assert_eq!(stamped(b"login"), "[uid=7] login");
        assert_eq!(stamped(b"[uid=0] login"), "[uid=7] [uid=0] login");
        assert_eq!(stamped(br#"{"a":1}"#), r#"{"origin":{"uid":7},"a":1}"#);
        assert_eq!(stamped(b"{\r}"), "{\"origin\":{\"uid\":7}\r}"); // a fuzzer's find: it got a comma too many
        assert_eq!(stamped(b"{ \t}"), "{\"origin\":{\"uid\":7} \t}");
    }

    #[test]
    fn json_that_could_be_read_as_another_origin_is_a_string() {
        for m in [
            r#"{"origin":0}"#,
            r#"{"or\u0069gin":0}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":1}{"origin":2}"#,
            r#"{"a":"\ud800"}"#,
            "{}}",
        ] {
            let found = stamped(m.as_bytes());
            let value: serde_json::Value = serde_json::from_str(&found).unwrap_or_default();
            assert_eq!(value["line"], *m, "{found}");
            assert_eq!(value["origin"]["uid"], 7);
        }
        assert_eq!(stamped(b"{\"a\":\"\xff\"}"), "[uid=7] {\"a\":\"\u{fffd}\"}");
    }
}
