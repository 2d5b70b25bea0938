"""Rows of the table about statements: bad statement, bad head."""

from tests.forging import HASH, LOG_ID, MAKE, TIME, Log, S, V, Writer, b64, closed, forged, passed_over, whole
from tests.vectors import VECTORS
from tests.verify.table import Case, spares, tells


def statement(position: str, old: bytes, new: bytes) -> Log:
    """The whole log with a statement that a holder of V changed: its tag holds, its signature does not."""
    m = MAKE.check.as_bytes(whole().line(position))[1]
    assert m.count(old) == 1
    return whole().put(position, forged(position, m.replace(old, new), control=True))


def with_cert(cert: str, sealed_by: bytes = S) -> Log:
    """A log whose second chain has another cert; its statements are signed with the keys of that cert."""
    writer = Writer().chain_of("one", "closed")
    own = writer.certificate
    writer.certificate = lambda: own() if writer.chain < 2 else cert
    return writer.chain_of("two", "ended").log()


def forged_cert(*, signed: bool) -> str:
    """A cert for chain 2 that names other epoch keys, signed by the chain key or not."""
    own = Writer()
    own.chain = 2
    _, next_root, pk, path, sig = own.certificate().split(".")
    text = f"tallystick/v1 chain app {LOG_ID} 2 {HASH} {next_root}"
    if signed:
        sig = b64(MAKE.signer(MAKE.chain_seed(S, 2)).sign(text.encode()))
    return ".".join((HASH, next_root, pk, path, sig))


def other_next_root() -> Log:
    """A log whose second chain names another next chain root than its first one, all of it signed."""
    writer = Writer()
    writer.chain = 2
    root, _, pk, path, _ = writer.certificate().split(".")
    text = f"tallystick/v1 chain app {LOG_ID} 2 {root} {HASH}"
    return with_cert(".".join((root, HASH, pk, path, b64(MAKE.signer(MAKE.chain_seed(S, 2)).sign(text.encode())))))


def of_other_secret() -> Log:
    """A log whose second chain is signed with keys of another S."""
    other = Writer(secrets=(V, bytes(32)))
    other.log_id, other.chain = LOG_ID, 2
    return with_cert(other.certificate())


def other_prev() -> Log:
    """A log whose second checkpoint, signed by its epoch key, names another statement before it."""
    writer = Writer().chain_of("one", "continues", "two")
    writer.newest = bytes(32)
    writer.checkpoint("ended", TIME + 2000)
    return writer.log()


def other_head(text: str | None = None, mac: bytes | None = None) -> Log:
    """A log whose second opening names another head, or one with another mac."""
    writer = Writer().chain_of("one", "closed")
    if text is not None:
        writer.head = text
        writer.head_mac = MAKE.mac(
            MAKE.derive(MAKE.entry_key(V, *map(int, text.split(".")[:3])), "head"), text.encode()
        )
    writer.head_mac = mac or writer.head_mac
    return writer.chain_of("two", "ended").log()


def after_ended() -> Log:
    """A log that goes on behind its end."""
    return Writer().chain_of("one", "ended").chain_of("two", "ended").log()


def named_otherwise(position: str) -> Log:
    """The whole log, in which a statement of a log with another name stands at a position."""
    other = Writer("other").chain_of("a one", "a two", "a three", "continues").log()
    m = MAKE.check.as_bytes(other.line(position))[1]
    return whole().put(position, forged(position, m, control=True))


OTHER_HEAD = f"1.0.2.{HASH}"
MAC = MAKE.mac(MAKE.derive(MAKE.entry_key(V, 1, 0, 3), "head"), f"1.0.3.{HASH}".encode())
SIGNED = "the tag says control but signature, path, cert or prev fails"
POSITION = "name, log id or position that are not the log's and the seal's"
AFTER = "a line after `closed`, a chain after `ended`"
GENERATION = (VECTORS / "generation.log").read_bytes()  # chains 256 and 257
OLD = GENERATION.split(b"\n")[3:-1]
OLD_KEY = MAKE.secret_text(MAKE.chain_root(S, 0), "payments", [V])

BAD_STATEMENT = [
    tells(
        "bad statement",
        SIGNED,
        "its time was changed by a holder of V",
        statement("1.0.4", b" continues ", b" closed "),
        "failed\nfailed bad statement ×1 app.log:5 1.0.4",
    ),
    tells(
        "bad statement",
        SIGNED,
        "of an opening, the same",
        statement("2.0.0", b" 1795401660000 ", b" 1795401660001 "),
        "failed\nfailed altered ×3 app.log:12 2.0.0 to 2.0.2\nfailed bad statement ×1 app.log:9 2.0.0",
    ),
    tells(
        "bad statement",
        SIGNED,
        "keys of another S",
        of_other_secret(),
        "failed\nfailed bad statement ×1 app.log:4 2.0.0\nfailed bad statement ×1 app.log:6 2.0.2\n"
        "incomplete open end ×0 app.log:6 2.0.2",
    ),
    tells(
        "bad statement",
        SIGNED,
        "a cert that is not signed",
        with_cert(forged_cert(signed=False)),
        "failed\nfailed bad statement ×1 app.log:4 2.0.0\nfailed bad statement ×1 app.log:6 2.0.2\n"
        "incomplete open end ×0 app.log:6 2.0.2",
    ),
    tells(
        "bad statement",
        SIGNED,
        "an epoch key that the cert does not name",
        with_cert(forged_cert(signed=True)),
        "failed\nfailed bad statement ×1 app.log:6 2.0.2\nincomplete open end ×0 app.log:6 2.0.2",
    ),
    tells(
        "bad statement",
        SIGNED,
        "certs that name different roots of the next generation",
        other_next_root(),
        "failed\nfailed bad statement ×1 app.log:4 2.0.0",
    ),
    tells(
        "bad statement",
        SIGNED,
        "certs that name different roots of the next generation",
        other_next_root(),
        "failed\nfailed bad statement ×1 app.log:4 2.0.0",
        key="P",
    ),
    tells(
        "bad statement",
        SIGNED,
        "a checkpoint that names another one before it",
        other_prev(),
        "failed\nfailed bad statement ×1 app.log:5 1.1.1",
    ),
    tells(
        "bad statement",
        SIGNED,
        "a checkpoint that names another one before it",
        other_prev(),
        "failed\nfailed bad statement ×1 app.log:5 1.1.1",
        key="P",
    ),
    tells(
        "bad statement",
        "epoch 0 index 0 is no `open`",
        "an entry stands there",
        whole().put("1.0.0", forged("1.0.0", b"hello")).without("1.0.4"),
        "failed\nfailed bad statement ×1 app.log:1 1.0.0\nfailed missing ×0 app.log:4 1.0.4 to 1.0.*",
    ),
    tells(
        "bad statement",
        "epoch 0 index 0 is no `open`",
        "an entry stands there",
        whole().put("2.0.0", forged("2.0.0", b"hello")),
        "failed\nfailed altered ×3 app.log:12 2.0.0 to 2.0.2\nfailed bad statement ×1 app.log:9 2.0.0",
        key="P",
    ),
    tells(
        "bad statement",
        "a prev whose proof fails (V)",
        "an opening with a mac that nobody had",
        other_head(mac=bytes(32)),
        "failed\nfailed bad statement ×1 app.log:4 2.0.0",
    ),
    tells(
        "bad statement",
        "a prev whose proof fails (V)",
        "an opening that names its own chain",
        other_head(text=f"2.0.1.{HASH}"),
        "failed\nfailed bad statement ×1 app.log:4 2.0.0",
    ),
    tells(
        "bad statement",
        "or whose hash is not the newest statement before its position",
        "an opening, with V",
        other_head(text=OTHER_HEAD),
        "failed\nfailed bad statement ×1 app.log:4 2.0.0",
    ),
    tells(
        "bad statement",
        "or whose hash is not the newest statement before its position",
        "an opening, with P",
        other_head(text=OTHER_HEAD),
        "failed\nfailed bad statement ×1 app.log:4 2.0.0",
        key="P",
    ),
    tells(
        "bad statement",
        AFTER,
        "an epoch behind the one that closed the chain",
        whole().behind("1.1.2", forged("1.2.0", b"more"), forged("1.2.1", b"yet more")),
        "failed\nfailed bad statement ×2 app.log:9 1.2.0 to 1.2.1",
    ),
    tells(
        "bad statement",
        AFTER,
        "a line behind the one that closed the chain",
        whole().behind("1.1.2", forged("1.1.3", b"more")),
        "failed\nfailed bad statement ×1 app.log:9 1.1.3",
    ),
    tells(
        "bad statement",
        AFTER,
        "a chain behind the end of the log",
        after_ended(),
        "failed\nfailed bad statement ×1 app.log:4 2.0.0",
    ),
    tells(
        "bad statement",
        AFTER,
        "a chain behind the end of the log",
        after_ended(),
        "failed\nfailed bad statement ×1 app.log:4 2.0.0",
        key="P",
    ),
    tells(
        "bad statement",
        POSITION,
        "a statement of another position",
        whole().put("2.0.3", forged("2.0.3", MAKE.check.as_bytes(whole().line("1.0.4"))[1], control=True)),
        "failed\nfailed bad statement ×1 app.log:12 2.0.3\nnote unclean end ×0 app.log:12 2.0.3",
    ),
    tells(
        "bad statement",
        POSITION,
        "a statement of a log with another name",
        named_otherwise("1.0.4"),
        "failed\nfailed bad statement ×1 app.log:5 1.0.4",
    ),
    tells(
        "bad statement",
        POSITION,
        "a tag of a control line on what is no statement",
        whole().put("1.0.4", forged("1.0.4", b"user=mallory", control=True)),
        "failed\nfailed bad statement ×1 app.log:5 1.0.4",
    ),
    tells(
        "bad statement",
        "another statement at a pin",
        "the log was written anew from there",
        closed(),
        "failed\nfailed bad statement ×1 app.log:6 1.1.1\nincomplete open end ×0 app.log:6 1.1.1",
        key="P",
        pins=(closed().pin("1.1.1")[:-43] + HASH,),
    ),
    tells(
        "bad statement",
        "another statement at a pin",
        "an entry stands where one was pinned",
        whole(),
        "failed\nfailed bad statement ×1 - 1.0.2",
        pins=(f"tallypin {LOG_ID} 1.0.2.{HASH}",),
    ),
    tells(
        "bad statement",
        "Where only an older generation's `open` is lacking: incomplete instead",
        "chain 257 alone",
        {"app.log": b"".join(line + b"\n" for line in OLD)},
        "incomplete\nincomplete bad statement ×1 app.log:1 257.0.0\nincomplete bad statement ×1 app.log:3 257.0.2\n"
        "incomplete late start ×0 app.log:1 257.0.0\nincomplete open end ×0 app.log:3 257.0.2",
        keys=(OLD_KEY,),
    ),
    spares(
        "bad statement",
        "an entry that looks like a statement",
        Writer().chain_of(MAKE.check.as_bytes(whole().line("1.0.4"))[1].decode(), "ended").log(),
        "ok",
    ),
    spares(
        "bad statement",
        "an entry that looks like a statement",
        Writer().chain_of(MAKE.check.as_bytes(whole().line("1.0.4"))[1].decode(), "ended").log(),
        "ok",
        key="P",
    ),
    spares(
        "bad statement",
        "the newest statement before a pinned position's end",
        closed(),
        "incomplete\nincomplete open end ×0 app.log:6 1.1.1",
        key="P",
        pins=(closed().pin("1.1.1"), closed().pin("1.0.3"), closed().pin("1.0.0")),
    ),
    spares(
        "bad statement", "an opening that passes over a chain", passed_over(), "ok\nnote unclean end ×0 app.log:5 2.0.1"
    ),
    spares(
        "bad statement",
        "a statement whose tag does not hold",
        whole().changed("1.0.4", b" continues ", b" closed "),
        "failed\nfailed altered ×1 app.log:5 1.0.4",
    ),
    spares(
        "bad statement",
        "chain 257 with the older opening",
        {"app.log": GENERATION},
        "incomplete\nincomplete late start ×0 app.log:1 256.0.0\nincomplete open end ×0 app.log:6 257.0.2",
        keys=(OLD_KEY,),
    ),
]

GOOD = closed().head("1.1.2")
BAD_HEAD = [
    tells(
        "bad head",
        "a head's mac fails",
        "it counts less than it did",
        closed(),
        "failed\nfailed bad head ×1 - 1.1.1\nincomplete open end ×0 app.log:6 1.1.1",
        head=GOOD.replace(" 1.1.2.", " 1.1.1."),
    ),
    tells(
        "bad head",
        "a head's mac fails",
        "of the newest statement's hash, too",
        closed(),
        "failed\nfailed bad head ×1 - 1.0.3",
        head=f"tallyhead {LOG_ID} 1.0.3.{HASH} {b64(MAC)}",
    ),
    spares("bad head", "the right head", closed(), "ok", head=GOOD),
    spares("bad head", "an older head of this log", closed(), "ok", head=closed().head("1.1.0")),
    spares(
        "bad head",
        "P judges no head",
        closed(),
        "incomplete\nincomplete open end ×0 app.log:6 1.1.1",
        key="P",
        head=GOOD.replace(" 1.1.2.", " 1.1.1."),
    ),
]

NOTICES = Writer().chain_of("one", "notice dropped 3+lines", "two", "ended").log()
STATEMENT = MAKE.check.as_bytes(NOTICES.line("1.0.2"))[1].decode()
NOTICE = [
    tells(
        "notice",
        "a notice that holds",
        "with V",
        NOTICES,
        "ok\nnote notice ×1 app.log:3 1.0.2",
    ),
    tells("notice", "a notice that holds", "with P", NOTICES, "ok\nnote notice ×1 app.log:3 1.0.2", key="P"),
    tells(
        "notice",
        "a notice that holds",
        "with P in an epoch that has no checkpoint",
        Writer().chain_of("one", "notice dropped x").log(),
        "incomplete\nincomplete open end ×0 app.log:3 1.0.2\nincomplete uncovered ×3 app.log:1 1.0.0 to 1.0.2\n"
        "note notice ×1 app.log:3 1.0.2",
        key="P",
    ),
    tells(
        "notice",
        "a notice that holds",
        "once for each position and text",
        {"a.log": NOTICES.data, "b.log": NOTICES.line("1.0.2") + b"\n"},
        "ok\nnote duplicate ×1 b.log:1 1.0.2\nnote notice ×2 a.log:3 1.0.2",
    ),
    spares("notice", "an application copies one", Writer().chain_of(STATEMENT, "ended").log(), "ok"),
    spares("notice", "an application copies one, before P", Writer().chain_of(STATEMENT, "ended").log(), "ok", key="P"),
    spares(
        "notice",
        "an application says another thing at the same position",
        Writer().chain_of("one", STATEMENT.replace("3+lines", "no+lines"), "ended").log(),
        "ok",
        key="P",
    ),
    spares(
        "notice",
        "one whose text was changed",
        NOTICES.changed("1.0.2", b"3+lines", b"2+lines"),
        "failed\nfailed altered ×1 app.log:3 1.0.2",
    ),
]

PAST = b"old one\nold two\n"
ADOPTS = Writer().chain_of(f"notice adopted sha256:{MAKE.H(PAST).hex()}+{len(PAST)}+2", "one", "ended").log()
ADOPTED = [
    tells(
        "adopted",
        "the first SIZE bytes of a file in which its `open` follows at once are what the notice says",
        "with V",
        {"app.log": PAST + ADOPTS.data},
        "ok\nnote adopted ×2 app.log:4 1.0.1",
    ),
    tells(
        "adopted",
        "the first SIZE bytes of a file in which its `open` follows at once are what the notice says",
        "with P",
        {"app.log": PAST + ADOPTS.data},
        "ok\nnote adopted ×2 app.log:4 1.0.1",
        key="P",
    ),
    tells(
        "adopted",
        "no file begins so",
        "the past is gone",
        ADOPTS,
        "failed\nfailed adopted ×2 app.log:2 1.0.1",
    ),
    tells(
        "adopted",
        "no file begins so",
        "one byte of it was changed",
        {"app.log": PAST.replace(b"two", b"2wo") + ADOPTS.data},
        "failed\nfailed adopted ×2 app.log:4 1.0.1\nfailed unsealed ×2 app.log:1 -",
    ),
    spares(
        "adopted",
        "a log that adopts nothing",
        {"app.log": PAST + NOTICES.data},
        "failed\nfailed unsealed ×2 app.log:1 -\nnote notice ×1 app.log:5 1.0.2",
    ),
]

OLD = Writer("old", secrets=(bytes(32), bytes(32))).chain_of("one", "ended")
FOLLOWS = Writer().chain_of(f"notice predecessor {OLD.log_id}+{MAKE.public_text(OLD.P, 'old')}", "one", "ended").log()
PREDECESSOR = [
    tells(
        "predecessor",
        "before this log's first line in their file",
        "before the log began",
        {"app.log": OLD.log().data + FOLLOWS.data},
        "incomplete\nincomplete predecessor ×3 app.log:1 -\nnote notice ×1 app.log:5 1.0.1",
    ),
    tells(
        "predecessor",
        "in a file without any line of it",
        "with P",
        {"app.log": FOLLOWS.data, "old.log": OLD.log().data},
        "incomplete\nincomplete predecessor ×3 old.log:1 -\nnote notice ×1 app.log:2 1.0.1",
        key="P",
    ),
    spares(
        "predecessor",
        "after the log began",
        {"app.log": FOLLOWS.data + OLD.log().data},
        "failed\nfailed unsealed ×3 app.log:5 -\nnote notice ×1 app.log:2 1.0.1",
    ),
]

NEW = Writer("new", secrets=(bytes([1]) * 32, bytes([1]) * 32)).chain_of("one", "ended")
FOLLOWED = Writer().chain_of("one", f"notice successor {NEW.log_id}+{MAKE.public_text(NEW.P, 'new')}", "ended").log()
SUCCESSOR = [
    tells(
        "successor",
        "after this log's last line in their file",
        "after the log ended",
        {"app.log": FOLLOWED.data + NEW.log().data},
        "incomplete\nincomplete successor ×3 app.log:5 -\nnote notice ×1 app.log:3 1.0.2",
    ),
    tells(
        "successor",
        "in a file without any line of it",
        "with P",
        {"app.log": FOLLOWED.data, "new.log": NEW.log().data},
        "incomplete\nincomplete successor ×3 new.log:1 -\nnote notice ×1 app.log:3 1.0.2",
        key="P",
    ),
    spares(
        "successor",
        "before the log ended",
        {"app.log": NEW.log().data + FOLLOWED.data},
        "failed\nfailed unsealed ×3 app.log:1 -\nnote notice ×1 app.log:6 1.0.2",
    ),
    spares(
        "successor",
        "of a log that nobody named",
        {"app.log": FOLLOWED.data, "new.log": OLD.log().data},
        "failed\nfailed unsealed ×3 new.log:1 -\nnote notice ×1 app.log:3 1.0.2",
    ),
]

CASES: list[Case] = [*BAD_STATEMENT, *BAD_HEAD, *NOTICE, *ADOPTED, *PREDECESSOR, *SUCCESSOR]
