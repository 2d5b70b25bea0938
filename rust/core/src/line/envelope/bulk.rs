//! Requests to Elasticsearch's `_bulk`.

use super::json::{Found, Skim};

/// Is this what stands before each document in a request to Elasticsearch's `_bulk`?
pub(super) fn is_action(object: &[u8]) -> bool {
    let read = || {
        let mut skim = Skim::new(object);
        skim.enter()?;
        let Found::Text(action) = skim.name()? else { return None };
        if !(action.is(b"index") || action.is(b"create")) || skim.enter().is_none() {
            return None;
        }
        // Where it goes to, in plain values: nothing that could be taken for a line.
        while let Found::Text(name) = skim.name()? {
            let known: [&[u8]; 6] = [b"_index", b"_id", b"_type", b"routing", b"pipeline", b"require_alias"];
            if !known.iter().any(|known| name.is(known)) || matches!(skim.peek()?, b'{' | b'[') {
                return None;
            }
            skim.value()?;
        }
        matches!(skim.name()?, Found::Other).then_some(())?;
        skim.done()
    };
    read().is_some()
}
