//! Members that a carrier added to a JSON line: they come out again, and all other bytes stay as they are.
//!
//! ```text
//! {"date":1.5,"user":7,"tally":"…","kubernetes":{…}}      with `date` and `kubernetes`: {"user":7,"tally":"…"}
//! ```

use super::json::{Found, Skim};

/// The line without the members of some names at its top; `None` if it is no JSON object, or has none of them.
///
/// A name that stands there twice is no carrier's doing.
#[must_use]
pub fn without(line: &[u8], names: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut skim = Skim::new(line);
    skim.enter()?;
    let mut met = vec![false; names.len()];
    // Of each member: where what stands before it begins, where it begins and where it ends; is it to go?
    let (mut members, mut last) = (Vec::new(), skim.at());
    let first = last;
    while let Found::Text(name) = skim.name()? {
        let begin = name.begins_in(line)?;
        let goes = names.iter().position(|added| name.is(added));
        if let Some(number) = goes
            && std::mem::replace(&mut met[number], true)
        {
            return None;
        }
        skim.value()?;
        members.push((last, begin, skim.at(), goes.is_some()));
        last = skim.at();
    }
    let close = skim.at() - 1;
    skim.done()?;
    let (blanks, any) =
        (members.first().map_or(close, |member| member.1), members.iter().any(|member| member.3));
    if !any {
        return None;
    }
    let mut out = line[..first].to_vec();
    out.extend_from_slice(&line[first..blanks]);
    let mut fresh = true;
    for (before, begin, end, goes) in members {
        if !goes {
            out.extend_from_slice(&line[if fresh { begin } else { before }..end]);
            fresh = false;
        }
    }
    out.extend_from_slice(&line[last..]);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::without;

    #[test]
    fn what_was_added_comes_out_and_all_else_stays() {
        let names = [b"date".to_vec(), b"k".to_vec()];
        for (line, expected) in [
            (r#"{"date":1.5,"a":1,"t":"x"}"#, Some(r#"{"a":1,"t":"x"}"#)),
            (r#"{"a":1,"k":{"b":[1,"}"]},"t":"x","date":"y"}"#, Some(r#"{"a":1,"t":"x"}"#)),
            (r#"{"a":1,"t":"x","k":{}}"#, Some(r#"{"a":1,"t":"x"}"#)),
            (r#"{ "k" : 1 , "a" : 1 , "date":2, "t" : "x" } "#, Some(r#"{ "a" : 1, "t" : "x" } "#)),
            (r#"{"\u0064ate":1,"a":{"date":2}}"#, Some(r#"{"a":{"date":2}}"#)),
            (r#"{"date":1}"#, Some("{}")),
            (r#"{"a":1,"a":2,"k":3}"#, Some(r#"{"a":1,"a":2}"#)),
            (r#"{"a":1,"dat":2}"#, None),
            (r#"{"date":1,"a":2,"date":3}"#, None),
            (r#"{"date":1,"a":2"#, None),
            (r#"{"date":1,"a":2} x"#, None),
            (r#"["date"]"#, None),
            ("date", None),
        ] {
            let got =
                without(line.as_bytes(), &names).map(|text| String::from_utf8(text).unwrap_or_default());
            assert_eq!(got.as_deref(), expected, "{line}");
        }
    }
}
