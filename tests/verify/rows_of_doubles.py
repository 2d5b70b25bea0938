"""Rows of the table about places in a log: duplicate, fork, reordered."""

from tests.forging import Writer, closed, forged, in_json, whole
from tests.verify.table import Case, spares, tells

SHORT = {"a.log": whole().between("1.0.0", "1.1.2").data, "b.log": whole().between("2.0.0", "3.0.2").data}
COPY = {"app.log": whole().data, "copy": whole().between("1.0.2", "1.0.3").data}

REWRITTEN = in_json().changed("1.0.1", b'{"a":1,', b'{"a": 1,').changed("1.0.3", b'{"c":[1,2],"', b'{"c":[1, 2],"')

DUPLICATE = [
    tells(
        "duplicate",
        "a position twice, equal t and l",
        "in one file",
        whole().behind("1.0.2", whole().line("1.0.2")),
        "failed\nfailed duplicate ×1 app.log:4 1.0.2",
    ),
    tells(
        "duplicate",
        "a position twice, equal t and l",
        "in one file",
        whole().behind("1.0.2", whole().line("1.0.2")),
        "failed\nfailed duplicate ×1 app.log:4 1.0.2",
        key="P",
    ),
    tells(
        "duplicate",
        "failed in one file",
        "a whole epoch, further on",
        whole().behind("2.0.3", *whole().between("1.0.0", "1.0.4").lines),
        "failed\nfailed duplicate ×5 app.log:13 1.0.0 to 1.0.4",
    ),
    tells(
        "duplicate", "note across files", "a copy of some lines", COPY, "ok\nnote duplicate ×2 copy:1 1.0.2 to 1.0.3"
    ),
    tells(
        "duplicate",
        "or if allowed",
        "in one file, allowed",
        whole().behind("1.0.2", whole().line("1.0.2")),
        "ok\nnote duplicate ×1 app.log:4 1.0.2",
        allow=["duplicate"],
    ),
    tells(
        "duplicate",
        "equal t and l",
        "a checkpoint",
        whole().behind("1.0.4", whole().line("1.0.4")),
        "failed\nfailed duplicate ×1 app.log:6 1.0.4",
    ),
    spares("duplicate", "the same text at another position", Writer().chain_of("one", "one", "ended").log(), "ok"),
    spares("duplicate", "the same position in another chain", whole(), "ok", key="P"),
    tells(
        "duplicate",
        "failed in one file",
        "a checkpoint of JSON lines that were written anew",
        REWRITTEN.behind("1.0.4", REWRITTEN.line("1.0.4")),
        "failed\nfailed duplicate ×1 app.log:6 1.0.4\nnote reserialized ×2 app.log:2 -",
        key="P",
    ),
    tells(
        "duplicate",
        "note across files",
        "an earlier copy of JSON lines that were written anew, cut in the middle of an epoch",
        {"app.log": REWRITTEN.between("1.0.0", "1.0.1").data, "b.log": REWRITTEN.data},
        "ok\nnote duplicate ×2 b.log:1 1.0.0 to 1.0.1\nnote reserialized ×3 app.log:2 -",
        key="P",
    ),
]

FORK = [
    tells(
        "fork",
        "a position twice, both authentic, different",
        "made by a holder of V",
        whole().behind("1.0.2", forged("1.0.2", b"a owt")),
        "failed\nfailed fork ×1 app.log:4 1.0.2",
    ),
    tells(
        "fork",
        "a position twice, both authentic, different",
        "in two files",
        {"app.log": whole().data, "b.log": forged("1.0.2", b"a owt") + b"\n"},
        "failed\nfailed fork ×1 b.log:1 1.0.2",
    ),
    tells(
        "fork",
        "both authentic, different",
        "two histories from one backup: two checkpoints",
        {"a.log": closed().data, "b.log": Writer().chain_of("one", "two", "closed").log().data},
        "failed\nfailed fork ×1 b.log:4 1.0.3\nnote duplicate ×3 b.log:1 1.0.0 to 1.0.2",
        head=closed().head("1.1.2"),
    ),
    tells(
        "fork",
        "both authentic, different",
        "two histories from one backup: two checkpoints",
        {"a.log": closed().data, "b.log": Writer().chain_of("one", "two", "closed").log().data},
        "failed\nfailed fork ×1 b.log:4 1.0.3\nincomplete open end ×0 a.log:6 1.1.1\n"
        "note duplicate ×3 b.log:1 1.0.0 to 1.0.2",
        key="P",
        pins=(closed().pin("1.1.1"),),
    ),
    spares(
        "fork",
        "the second line's tag does not hold",
        whole().behind("1.0.2", forged("1.0.2", b"a owt").replace(b"owt", b"wot")),
        "failed\nfailed altered ×1 app.log:4 1.0.2",
    ),
    spares(
        "fork",
        "the very same line",
        whole().behind("1.0.2", whole().line("1.0.2")),
        "failed\nfailed duplicate ×1 app.log:4 1.0.2",
    ),
]

REORDERED = [
    tells(
        "reordered",
        "positions out of order in one file",
        "two lines swapped",
        whole().swapped("1.0.1", "1.0.2"),
        "failed\nfailed reordered ×1 app.log:3 1.0.1",
    ),
    tells(
        "reordered",
        "positions out of order in one file",
        "two lines swapped",
        whole().swapped("1.0.1", "1.0.2"),
        "failed\nfailed reordered ×1 app.log:3 1.0.1",
        key="P",
    ),
    tells(
        "reordered",
        "failed unless allowed",
        "two lines swapped, allowed",
        whole().swapped("1.0.1", "1.0.2"),
        "ok\nnote reordered ×1 app.log:3 1.0.1",
        allow=["reordered"],
    ),
    tells(
        "reordered",
        "positions out of order in one file",
        "chain 2 before chain 1",
        {"app.log": b"".join([SHORT["b.log"], SHORT["a.log"]])},
        "failed\nfailed reordered ×1 app.log:8 1.0.0",
    ),
    tells(
        "reordered",
        "positions out of order in one file",
        "two lines of JSON that were written anew",
        REWRITTEN.swapped("1.0.1", "1.0.3"),
        "failed\nfailed reordered ×1 app.log:3 1.0.2\nfailed reordered ×1 app.log:4 1.0.1\n"
        "note reserialized ×2 app.log:2 -",
        key="P",
    ),
    spares(
        "reordered",
        "lines of JSON that were written anew, in order",
        REWRITTEN,
        "ok\nnote reserialized ×2 app.log:2 -",
        key="P",
    ),
    spares(
        "reordered",
        "chain 2 in a file before that of chain 1",
        {"1.log": SHORT["b.log"], "2.log": SHORT["a.log"]},
        "ok",
    ),
    spares(
        "reordered",
        "a line that stands there twice",
        whole().behind("1.0.3", whole().line("1.0.2")),
        "failed\nfailed duplicate ×1 app.log:5 1.0.2",
    ),
]

CASES: list[Case] = [*DUPLICATE, *FORK, *REORDERED]
