//! A writer's statements: how they are written and signed (SPEC section 5).

use crate::hash::Digest;
use crate::line::{LogId, Position};
use crate::seal::keys::{PublicKey, SignKey};
use crate::seal::statement::{Kind, Prev, cert_message};
use crate::text::b64;

/// Who speaks in a writer's statements.
pub(crate) struct Speaker {
    pub(crate) name: String,
    pub(crate) log: LogId,
    pub(crate) chain: u32,
    pub(crate) cert: String,
}

impl Speaker {
    /// Makes the cert of a chain; `path` is 8 hashes from the chain key's leaf to the chain root.
    pub(crate) fn new(
        public: &PublicKey,
        chain: u32,
        key: &SignKey,
        (epoch_root, next_root): (&Digest, &Digest),
        path: &[u8],
    ) -> Self {
        let roots = format!("{}.{}", b64(epoch_root), b64(next_root));
        let log = public.log_id();
        let sig = key.sign(&cert_message(public.name.as_bytes(), log, chain, roots.as_bytes()));
        let cert = format!("{roots}.{}.{}.{}", b64(&key.public()), b64(path), b64(&sig));
        Self { name: public.name.clone(), log, chain, cert }
    }

    /// The `open` statement.
    pub(crate) fn open(&self, time: u64, prev: &Prev, key: &SignKey) -> String {
        let Self { name, log, chain, cert } = self;
        let prev = format!("{}.{}", prev.mark.to_text(), b64(&prev.proof));
        signed(format!("tallystick/v1 open {name} {log} {chain} {time} {prev} {cert}"), key)
    }

    /// A `checkpoint` statement; `path` is 8 hashes from the epoch key's leaf to the epoch root.
    pub(crate) fn checkpoint(
        &self,
        (epoch, n): (u8, u16),
        (root, prev): (&Digest, &Digest),
        (time, kind): (u64, Kind),
        (key, path): (&SignKey, &[u8]),
    ) -> String {
        let Self { name, log, chain, cert } = self;
        let (root, prev, kind, pk, path) = (b64(root), b64(prev), kind.word(), b64(&key.public()), b64(path));
        signed(
            format!(
                "tallystick/v1 checkpoint {name} {log} {chain} {epoch} {n} {root} {prev} {time} {kind} {cert} {pk} {path}"
            ),
            key,
        )
    }

    /// A signed head, which is no statement of a line.
    pub(crate) fn head(
        &self,
        (epoch, n): (u8, u16),
        (root, newest): (&Digest, &Digest),
        time: u64,
        (key, path): (&SignKey, &[u8]),
    ) -> String {
        let Self { name, log, chain, cert } = self;
        let (root, newest, pk, path) = (b64(root), b64(newest), b64(&key.public()), b64(path));
        signed(
            format!(
                "tallystick/v1 head {name} {log} {chain} {epoch} {n} {root} {newest} {time} {cert} {pk} {path}"
            ),
            key,
        )
    }

    /// A `notice` statement, whose text is encoded already.
    pub(crate) fn notice(
        &self,
        at: Position,
        (kind, text): (&str, &str),
        (key, path): (&SignKey, &[u8]),
    ) -> String {
        let Self { name, log, chain, cert } = self;
        let (Position { epoch, index, .. }, pk, path) = (at, b64(&key.public()), b64(path));
        signed(
            format!(
                "tallystick/v1 notice {name} {log} {chain} {epoch} {index} {kind} {text} {cert} {pk} {path}"
            ),
            key,
        )
    }
}

fn signed(mut text: String, key: &SignKey) -> String {
    let sig = key.sign(text.as_bytes());
    text.push(' ');
    text.push_str(&b64(&sig));
    text
}
