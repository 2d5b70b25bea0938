"""Rows of the table about ends: unclean end, torn line, open end."""

from tests.forging import Writer, closed, crashed, passed_over, whole
from tests.verify.table import Case, spares, tells

LIVE = Writer().chain_of("one", "two").log()
BROKEN = b"two and a ha"
BEGUN = whole().line("2.0.0")[:60]  # of an opening of chain 2

UNCLEAN = [
    tells(
        "unclean end",
        "that ends at or after the authentic prev of a later `open`",
        "a crash",
        crashed(),
        "ok\nnote unclean end ×0 app.log:6 2.0.2",
    ),
    tells(
        "unclean end",
        "or the head",
        "the newest chain is still written",
        LIVE,
        "ok\nnote unclean end ×0 app.log:3 1.0.2",
        head=LIVE.head("1.0.3"),
    ),
    tells(
        "unclean end",
        "or the head",
        "lines that no head counted yet",
        LIVE,
        "ok\nnote unclean end ×0 app.log:3 1.0.2",
        head=LIVE.head("1.0.1"),
    ),
    tells(
        "unclean end",
        "or lines of a chain that such a prev passes over",
        "no head counted them",
        passed_over(),
        "ok\nnote unclean end ×0 app.log:5 2.0.1",
    ),
    tells(
        "unclean end",
        "With P only: incomplete",
        "a crash",
        crashed(),
        "incomplete\nincomplete missing ×0 - 3.*\nincomplete unclean end ×0 app.log:6 2.0.2\n"
        "incomplete uncovered ×3 app.log:4 2.0.0 to 2.0.2",
        key="P",
    ),
    spares("unclean end", "each chain was closed", whole(), "ok"),
    spares("unclean end", "the head counts the end, and it is closed", closed(), "ok", head=closed().head("1.1.2")),
    spares(
        "unclean end",
        "it ends before the prev of a later opening",
        crashed().without("2.0.2"),
        "failed\nfailed missing ×1 app.log:5 2.0.2",
    ),
]

TORN = [
    tells(
        "torn line",
        "one broken last line of an unclean end",
        "before the next opening",
        crashed().behind("2.0.2", BROKEN),
        "ok\nnote torn line ×1 app.log:7 -\nnote unclean end ×0 app.log:6 2.0.2",
    ),
    tells(
        "torn line",
        "one broken last line of an unclean end",
        "with most of its seal",
        crashed().behind(
            "2.0.2", b"three tally=" + crashed().line("2.0.2").split(b"tally=")[1].replace(b".2.0.2.", b".2.0.3.")[:-5]
        ),
        "ok\nnote torn line ×1 app.log:7 -\nnote unclean end ×0 app.log:6 2.0.2",
    ),
    tells(
        "torn line",
        "one broken last line of an unclean end",
        "the last line of a live log",
        {"app.log": LIVE.data + BROKEN},
        "ok\nnote torn line ×1 app.log:4 -\nnote unclean end ×0 app.log:3 1.0.2",
        head=LIVE.head("1.0.3"),
    ),
    tells(
        "torn line",
        "one broken last line of an unclean end",
        "the last line of a live log",
        {"app.log": LIVE.data + BROKEN},
        "incomplete\nincomplete open end ×0 app.log:3 1.0.2\nincomplete uncovered ×3 app.log:1 1.0.0 to 1.0.2\n"
        "note torn line ×1 app.log:4 -",
        key="P",
    ),
    tells(
        "torn line",
        "one broken last line",
        "an opening that broke off",
        {"app.log": closed().data + BEGUN},
        "ok\nnote torn line ×1 app.log:7 -",
        head=closed().head("1.1.2"),
    ),
    spares(
        "torn line",
        "a second broken line",
        crashed().behind("2.0.2", BROKEN, BROKEN),
        "failed\nfailed unsealed ×2 app.log:7 -\nnote unclean end ×0 app.log:6 2.0.2",
    ),
    spares(
        "torn line",
        "amid a chain that crashed",
        crashed().behind("2.0.1", BROKEN),
        "failed\nfailed unsealed ×1 app.log:6 -\nnote unclean end ×0 app.log:7 2.0.2",
    ),
    spares(
        "torn line",
        "behind the end of a chain that was closed",
        closed().behind("1.1.1", BROKEN),
        "failed\nfailed unsealed ×1 app.log:7 -",
        head=closed().head("1.1.2"),
    ),
    spares(
        "torn line",
        "behind the end of the log",
        {"app.log": whole().data + BEGUN},
        "failed\nfailed unsealed ×1 app.log:16 -",
    ),
    spares(
        "torn line",
        "a last line that the head counts",
        LIVE.put("1.0.2", LIVE.line("1.0.2")[:-2]),
        "failed\nfailed truncated ×1 app.log:2 1.0.2\nfailed unsealed ×1 app.log:3 -",
        head=LIVE.head("1.0.3"),
    ),
]

PINNED = (closed().pin("1.1.1"),)
TWO = Writer().chain_of("one", "closed").chain_of("two", "closed").log()
OPEN_END = [
    tells(
        "open end",
        "nothing anchors the end of the newest chain",
        "no head, no pin",
        closed(),
        "incomplete\nincomplete open end ×0 app.log:6 1.1.1",
    ),
    tells(
        "open end",
        "nothing anchors the end of the newest chain",
        "no pin",
        closed(),
        "incomplete\nincomplete open end ×0 app.log:6 1.1.1",
        key="P",
    ),
    tells(
        "open end",
        "nothing anchors the end of the newest chain",
        "the head is of an older one",
        TWO,
        "incomplete\nincomplete open end ×0 app.log:6 2.0.2",
        head=TWO.head("1.0.3"),
    ),
    tells(
        "open end",
        "or of one without `closed` that no authentic prev names or passes over",
        "chain 1",
        Writer().chain_of("one", head=False).chain_of("two", "ended").log().without("2.0.0"),
        "failed\nfailed missing ×1 app.log:3 2.0.0\nincomplete open end ×0 app.log:2 1.0.1",
    ),
    tells(
        "open end",
        "A pin anchors no end",
        "it pins the checkpoint before",
        closed(),
        "incomplete\nincomplete open end ×0 app.log:6 1.1.1",
        key="P",
        pins=(closed().pin("1.0.3"),),
    ),
    tells(
        "open end",
        "A pin anchors no end",
        "it pins the chain before",
        TWO,
        "incomplete\nincomplete open end ×0 app.log:6 2.0.2",
        pins=(TWO.pin("1.0.2"),),
    ),
    tells(
        "open end",
        "A pin anchors no end",
        "it pins the last line",
        closed(),
        "incomplete\nincomplete open end ×0 app.log:6 1.1.1",
        pins=PINNED,
    ),
    tells(
        "open end",
        "A pin anchors no end",
        "it pins the last line",
        closed(),
        "incomplete\nincomplete open end ×0 app.log:6 1.1.1",
        key="P",
        pins=PINNED,
    ),
    spares("open end", "the log has ended", whole(), "ok"),
    spares("open end", "the log has ended", whole(), "ok", key="P"),
    spares("open end", "the head anchors it, a pin is met", closed(), "ok", head=closed().head("1.1.2"), pins=PINNED),
    spares("open end", "the head anchors it", closed(), "ok", head=closed().head("1.1.2")),
    spares("open end", "the caller allows it", closed(), "ok", allow=["open end"]),
    spares(
        "open end",
        "the end is cut off, which says more",
        closed().without("1.1.1"),
        "failed\nfailed truncated ×1 app.log:5 1.1.1",
        pins=PINNED,
    ),
]

CASES: list[Case] = [*UNCLEAN, *TORN, *OPEN_END]
