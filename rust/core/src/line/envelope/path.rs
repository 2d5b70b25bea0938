//! Where in JSON the lines are: names, dots and brackets.

use super::json::MAX_DEPTH;
use super::records::Step;
use crate::Error;

/// Where in a document the records are, and where in a record the line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Steps to the records; the last one goes into each element of an array.
    pub(super) outer: Vec<Step>,
    /// Steps from a record to its line.
    pub(super) inner: Vec<Step>,
}

impl Path {
    /// Reads names, parted by dots, `[]` for each element of an array, and `[N]` for one.
    pub(super) fn parse(field: &str) -> Result<Self, Error> {
        let steps = steps(field).filter(|steps| steps.len() <= MAX_DEPTH as usize);
        let mut outer = steps.ok_or_else(|| {
            Error::Format(format!(
                "envelope json: {field:?} is no field: give a name, with dots if it stands in objects, and [] for the \
                 elements of an array"
            ))
        })?;
        let last = outer.iter().rposition(|step| *step == Step::Each).map_or(0, |at| at + 1);
        // On the way to a record dots lead into objects; in a record a member may have dots in its name.
        let inner = outer.split_off(last);
        let names = |step| match step {
            Step::Name(name) => name.split(|b| *b == b'.').map(|name| Step::Name(name.to_vec())).collect(),
            other => vec![other],
        };
        Ok(Self { outer: outer.into_iter().flat_map(names).collect(), inner })
    }
}

fn steps(field: &str) -> Option<Vec<Step>> {
    let (mut steps, mut rest) = (Vec::new(), field);
    while !rest.is_empty() {
        if let Some(more) = rest.strip_prefix('[') {
            let (index, more) = more.split_once(']')?;
            steps.push(if index.is_empty() { Step::Each } else { Step::At(index.parse().ok()?) });
            rest = more.strip_prefix('.').unwrap_or(more);
            if rest.is_empty() && more.starts_with('.') {
                return None;
            }
        } else {
            let end = rest.find('[').unwrap_or(rest.len());
            let dots = rest[..end].matches('.').count();
            steps.push(Step::Name(rest[..end].into()));
            if dots >= MAX_DEPTH as usize {
                return None;
            }
            rest = &rest[end..];
        }
    }
    (!steps.is_empty()).then_some(steps)
}
