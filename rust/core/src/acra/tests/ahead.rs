//! Lines that are hashed ahead, and on any number of threads, are judged as those that are not.

use super::{Form, What, chain, hex, judge, key, parse};

/// How a doctored line differs, in each form.
struct Doctor {
    form: Form,
    chain: fn(usize, usize) -> Vec<String>,
    integrity: &'static str,
    marker: &'static str,
}

const TEXT: Doctor = Doctor { form: Form::Text, chain, integrity: " integrity=", marker: " chain=new" };
const JSON: Doctor = Doctor {
    form: Form::Auto,
    chain: json_chain,
    integrity: r#""integrity":""#,
    marker: r#""chain":"new","#,
};

fn json_chain(number: usize, lines: usize) -> Vec<String> {
    let mut step = key().beginning();
    (0..lines)
        .map(|i| {
            let (marker, gap) = (if i == 0 { JSON.marker } else { "" }, if i % 50 == 9 { " " } else { "" });
            let rest = format!(r#""msg":"line {i} of {number}","n":{gap}{number}}}"#);
            let covered = format!("{{{rest}");
            let (integrity, next) =
                step.take(&parse(covered.as_bytes()).map(|(data, _)| data).unwrap_or_default());
            step = next;
            format!(r#"{{{marker}"integrity":"{}",{rest}"#, hex(&integrity))
        })
        .collect()
}

impl Doctor {
    /// A log in which some lines were altered, inserted, removed, moved, repeated and stripped, and some markers added
    /// and taken away.
    fn doctored(&self, random: &mut impl FnMut(usize) -> usize) -> Vec<String> {
        let most = [3, 30, 300][random(3)];
        let mut lines: Vec<String> =
            (0..=random(4)).flat_map(|number| (self.chain)(number, 2 + random(most))).collect();
        for _ in 0..random(6) {
            let (at, other) = (random(lines.len() - 1), random(lines.len()));
            let line = &mut lines[at];
            let field = line.find(self.integrity);
            match random(10) {
                0 => *line = line.replace("line", "LINE"),
                1 => field.map_or((), |field| {
                    let from = field + self.integrity.len();
                    line.replace_range(from..from + 2, "00");
                }),
                2 => field.map_or((), |field| {
                    let json = usize::from(self.form == Form::Auto);
                    line.replace_range(field..field + self.integrity.len() + 64 + 2 * json, "");
                }),
                3 if self.form == Form::Text => line.push_str(self.marker),
                3 if line.starts_with('{') => line.insert_str(1, self.marker),
                4 => *line = line.replace(self.marker, ""),
                5 => lines.swap(at, at + 1),
                6 => lines.insert(at, lines[other].clone()),
                7 => lines.insert(at, ["", "never", &lines[other].replace("line", "LiNE")][random(3)].into()),
                _ => drop(lines.remove(at)),
            }
            lines.push(String::new());
        }
        lines
    }
}

#[test]
fn lines_that_are_hashed_ahead_are_judged_as_those_that_are_not() {
    let mut state = 3_u64;
    let mut random = |most: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap_or_default() % most
    };
    let mut met = [0; 11];
    for round in 0..600 {
        let doctor = if round % 2 == 0 { TEXT } else { JSON };
        let text = doctor.doctored(&mut random).join("\n") + "\n";
        let mut plainly = judge(&key(), doctor.form);
        plainly.feed_plainly(text.as_bytes());
        let expected = plainly.finish();
        for event in &expected.events {
            met[event.what as usize] += 1;
        }
        // From a line at a time up to all at once, in two blocks.
        for (threads, least) in [(1, 1), (1, 3000), (1, 1 << 20), (2, 1), (2, 700), (2, 9000), (3, 300)] {
            let half = text[..random(text.len())].rfind('\n').map_or(0, |lf| lf + 1);
            let mut judge = judge(&key(), doctor.form);
            judge.least = least;
            let line = judge.feed(&text.as_bytes()[..half], 0, 0, 0, threads);
            judge.feed(&text.as_bytes()[half..], 0, line, half as u64, threads);
            let found = judge.finish();
            assert_eq!(
                (&found.events, &found.chains, found.lines, found.good),
                (&expected.events, &expected.chains, expected.lines, expected.good),
                "{threads} threads, pieces of {least} bytes:\n{text}"
            );
        }
    }
    assert!(met.iter().all(|count| *count >= 10), "{met:?}");
    assert_eq!(What::LateStart as usize, met.len() - 1);
}
