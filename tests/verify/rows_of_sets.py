"""Rows of the table about a log as a set: what is absent, cut off or left out."""

from tests.forging import Writer, closed, crashed, narrowed_key, passed_over, whole
from tests.verify.table import Case, spares, tells

BURNED = Writer().chain_of("one", "closed")
BURNED.burn()
BURNED.chain_of("two", "ended")
SHORT = {"a.log": whole().between("1.0.0", "1.1.2").data, "b.log": whole().between("2.0.0", "3.0.2").data}

MISSING = [
    tells(
        "missing",
        "positions absent between present ones",
        "one line",
        whole().without("1.0.2"),
        "failed\nfailed missing ×1 app.log:2 1.0.2",
    ),
    tells(
        "missing",
        "positions absent between present ones",
        "one line",
        whole().without("1.0.2"),
        "failed\nfailed missing ×1 app.log:2 1.0.2\nincomplete uncovered ×3 app.log:1 1.0.0 to 1.0.3",
        key="P",
    ),
    tells(
        "missing",
        "positions absent between present ones",
        "the first lines of an epoch",
        whole().without("1.1.0", "1.1.1"),
        "failed\nfailed missing ×2 app.log:5 1.1.0 to 1.1.1",
    ),
    tells(
        "missing",
        "before a checkpoint's n",
        "the last lines of an epoch",
        whole().without("1.0.2", "1.0.3"),
        "failed\nfailed missing ×2 app.log:2 1.0.2 to 1.0.3",
    ),
    tells(
        "missing",
        "a prev",
        "the last line of a chain that crashed",
        crashed().without("2.0.2"),
        "failed\nfailed missing ×1 app.log:5 2.0.2",
    ),
    tells(
        "missing",
        "a prev",
        "the opening of a chain that crashed",
        crashed().without("2.0.0"),
        "failed\nfailed missing ×1 app.log:4 2.0.0\nnote unclean end ×0 app.log:5 2.0.2",
    ),
    tells(
        "missing",
        "a head or a pin",
        "what an old head counts",
        passed_over().without("2.0.1"),
        "failed\nfailed missing ×1 app.log:4 2.0.1",
        head=passed_over().head("2.0.2"),
    ),
    tells(
        "missing",
        "a head or a pin",
        "what a pin vouches for",
        passed_over().without("2.0.0"),
        "failed\nfailed missing ×1 app.log:4 2.0.0\nnote unclean end ×0 app.log:4 2.0.1",
        pins=(passed_over().pin("2.0.0"),),
    ),
    tells(
        "missing",
        "the checkpoint of an epoch after which its chain has lines",
        "that checkpoint alone",
        whole().without("1.0.4"),
        "failed\nfailed missing ×0 app.log:4 1.0.4 to 1.0.*",
    ),
    tells(
        "missing",
        "the checkpoint of an epoch after which its chain has lines",
        "a whole epoch of the middle",
        Writer().chain_of("one", "continues", "two", "continues", "three", "ended").log().without("1.1.0", "1.1.1"),
        "failed\nfailed missing ×0 app.log:3 1.1.0 to 1.1.*",
    ),
    tells(
        "missing",
        "a whole chain",
        "a chain that the next opening names",
        whole().without("2.0.0", "2.0.1", "2.0.2", "2.0.3"),
        "failed\nfailed missing ×0 - 2.*",
    ),
    tells(
        "missing",
        "P only: incomplete",
        "a chain that an opening passes over",
        passed_over().without("2.0.0", "2.0.1"),
        "incomplete\nincomplete missing ×0 - 2.*",
        key="P",
    ),
    tells(
        "missing",
        "a pin in it overrides",
        "a chain that an opening passes over",
        passed_over().without("2.0.0", "2.0.1"),
        "failed\nfailed missing ×0 - 2.*",
        pins=(passed_over().pin("2.0.0"),),
    ),
    tells(
        "missing",
        "a pin in it overrides",
        "a chain that an opening passes over, pinned",
        passed_over().without("2.0.0", "2.0.1"),
        "failed\nfailed missing ×0 - 2.*",
        key="P",
        pins=(passed_over().pin("2.0.0"),),
    ),
    tells(
        "missing",
        "a log that the caller expects",
        "no line of it is here",
        {"app.log": b""},
        "failed\nfailed missing ×0 - -\nincomplete nothing verified ×0 - -",
        expect=["app"],
    ),
    spares("missing", "every file of a log is here, in any order", dict(reversed(SHORT.items())), "ok", expect=["app"]),
    spares("missing", "a log that nobody expects", {"app.log": b""}, "incomplete\nincomplete nothing verified ×0 - -"),
    spares("missing", "a chain that an opening passes over", passed_over().without("2.0.0", "2.0.1"), "ok"),
    spares("missing", "a chain of which no line left the host", BURNED.log(), "ok"),
    spares(
        "missing",
        "the end of a chain that no head counted",
        passed_over().without("2.0.1"),
        "ok\nnote unclean end ×0 app.log:4 2.0.0",
    ),
    spares(
        "missing",
        "a checkpoint behind which its chain has no line",
        closed().without("1.1.1"),
        "failed\nfailed truncated ×1 app.log:5 1.1.1",
        head=closed().head("1.1.2"),
    ),
    spares(
        "missing",
        "a line that was changed, but is there",
        whole().changed("1.0.2", b"two", b"owt"),
        "failed\nfailed altered ×1 app.log:3 1.0.2",
    ),
]

TRUNCATED = [
    tells(
        "truncated",
        "the end lies before head or pin",
        "lines that the head counts",
        closed().between("1.0.0", "1.0.3"),
        "failed\nfailed truncated ×2 app.log:4 1.1.0 to 1.1.1",
        head=closed().head("1.1.2"),
    ),
    tells(
        "truncated",
        "the end lies before head or pin",
        "a whole chain that the head counts",
        closed(),
        "failed\nfailed truncated ×0 app.log:6 1.1.1 to 2.0.0",
        head=Writer()
        .chain_of("one", "two", "continues", "three", "closed")
        .chain_of("x", "closed")
        .log()
        .head("2.0.1"),
    ),
    tells(
        "truncated",
        "the end lies before head or pin",
        "the last line, pinned",
        closed().without("1.1.1"),
        "failed\nfailed truncated ×1 app.log:5 1.1.1\nincomplete uncovered ×1 app.log:5 1.1.0",
        key="P",
        pins=(closed().pin("1.1.1"),),
    ),
    tells(
        "truncated",
        "the end lies before head or pin",
        "all of it",
        {"app.log": b""},
        "failed\nfailed truncated ×0 - 1.0.0 to 1.1.1\nincomplete nothing verified ×0 - -",
        head=closed().head("1.1.2"),
    ),
    spares("truncated", "the log ends right where the head says", closed(), "ok", head=closed().head("1.1.2")),
    spares("truncated", "the log went on since the head was read", closed(), "ok", head=closed().head("1.1.0")),
    spares(
        "truncated",
        "the last line was changed, but is there",
        closed().changed("1.1.1", b" closed ", b" ended "),
        "failed\nfailed altered ×1 app.log:6 1.1.1",
        head=closed().head("1.1.2"),
    ),
]

LATE = [
    tells(
        "late start",
        "positions before the first present one are absent",
        "the first line",
        whole().without("1.0.0"),
        "incomplete\nincomplete late start ×0 app.log:1 1.0.1",
    ),
    tells(
        "late start",
        "they are then not `missing`, and prevs into them are not judged",
        "the first chain",
        whole().between("2.0.0", "3.0.2"),
        "incomplete\nincomplete late start ×0 app.log:1 2.0.0",
    ),
    tells(
        "late start",
        "positions before the first present one are absent",
        "a chain and a half",
        whole().between("2.0.2", "3.0.2"),
        "incomplete\nincomplete late start ×0 app.log:1 2.0.2\nincomplete uncovered ×1 app.log:1 2.0.2",
        key="P",
    ),
    spares("late start", "the caller names the start", whole().between("2.0.0", "3.0.2"), "ok", start=2),
    spares(
        "late start",
        "the caller names an earlier start",
        whole().between("2.0.0", "3.0.2"),
        "failed\nfailed missing ×0 - 1.*",
        start=1,
    ),
    spares(
        "late start",
        "the first opening says that nothing was counted before",
        Writer().chain_of("lost", head=False).chain_of("two", "ended").log().between("2.0.0", "2.0.2"),
        "ok",
    ),
]

SUBSET = [
    tells(
        "subset",
        "gaps are told, not judged",
        "lines were filtered out",
        whole().without("1.0.2", "2.0.1"),
        "incomplete\nincomplete subset ×0 - -\nnote missing ×1 app.log:2 1.0.2\nnote missing ×1 app.log:8 2.0.1",
        subset=True,
    ),
    tells(
        "subset",
        "the caller said that lines were filtered out (V only)",
        "not one line was",
        whole(),
        "incomplete\nincomplete subset ×0 - -",
        subset=True,
    ),
    tells(
        "subset",
        "gaps are told, not judged",
        "a changed line is still altered",
        whole().without("1.0.2").changed("2.0.1", b"one", b"eno"),
        "failed\nfailed altered ×1 app.log:9 2.0.1\nincomplete subset ×0 - -\nnote missing ×1 app.log:2 1.0.2",
        subset=True,
    ),
    tells(
        "subset",
        "gaps are told, not judged",
        "the end is cut off",
        closed().without("1.1.1"),
        "incomplete\nincomplete subset ×0 - -\nnote truncated ×1 app.log:5 1.1.1",
        head=closed().head("1.1.2"),
        subset=True,
    ),
    spares("subset", "nobody said so", whole().without("1.0.2"), "failed\nfailed missing ×1 app.log:2 1.0.2"),
]

NARROWED = [
    tells(
        "narrowed",
        "the key covers some chains only: the others and proofs into them are not judged",
        "the key of chain 2",
        whole().changed("1.0.2", b"two", b"owt"),
        "incomplete\nincomplete narrowed ×11 - -\nincomplete open end ×0 app.log:12 2.0.3",
        keys=(narrowed_key(2, 2),),
    ),
    tells(
        "narrowed",
        "incomplete unless the caller asked for just these",
        "the key of chain 2, asked for",
        whole(),
        "ok\nnote narrowed ×11 - -",
        keys=(narrowed_key(2, 2),),
        allow=["narrowed", "open end"],
    ),
    tells(
        "narrowed",
        "the key covers some chains only",
        "a changed line of those",
        whole().changed("2.0.1", b"one", b"eno"),
        "failed\nfailed altered ×1 app.log:10 2.0.1\nincomplete narrowed ×11 - -\n"
        "incomplete open end ×0 app.log:12 2.0.3",
        keys=(narrowed_key(2, 2),),
    ),
    tells(
        "narrowed",
        "the others and proofs into them are not judged",
        "a pin and lines of other chains, in any order",
        {"app.log": b"".join(line + b"\n" for line in [*whole().lines[12:], *whole().lines[:12]])},
        "incomplete\nincomplete narrowed ×11 - -\nincomplete open end ×0 app.log:15 2.0.3",
        keys=(narrowed_key(2, 2),),
        pins=(whole().pin("3.0.2"), whole().pin("1.1.2")),
    ),
    spares("narrowed", "the key of the whole log", whole(), "ok"),
]

CASES: list[Case] = [*MISSING, *TRUNCATED, *LATE, *SUBSET, *NARROWED]
