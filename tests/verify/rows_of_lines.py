"""Rows of the table about lines: altered, unsealed, redacted, reserialized, prefixed, excepted, uncovered."""

from tests import forging
from tests.forging import MAKE, Writer, forged, in_json, whole
from tests.verify.table import Case, spares, tells

ELSE = Writer("else", (bytes(32), bytes(32))).chain_of("a line of another log", "ended").log()
JSON = b'{"a":1,"b":"x","tally":'
ANEW = b'{"b": "x", "a": 1.0, "tally": '
SHORT = whole().changed("1.0.2", b"two", b"owt")  # one line is altered
BLANKED = whole().put("1.0.2", forging.redacted(whole().line("1.0.2")))
FALSE = BLANKED.put("1.0.2", BLANKED.line("1.0.2")[:-1] + (b"Q" if BLANKED.line("1.0.2")[-1:] != b"Q" else b"g"))
WRAPPED = whole().put("2.0.1", b"<13>Nov 23 09:00:00 host app: " + whole().line("2.0.1"))
SHORT_HASH = "sha256:" + MAKE.H(SHORT.line("1.0.2")).hex()
UNSEALED = "unsealed sha256:" + MAKE.H(b"user=mallory").hex()

ALTERED = [
    tells(
        "altered",
        "neither bytes nor RFC 8785 form match its tag",
        "a letter was changed",
        SHORT,
        "failed\nfailed altered ×1 app.log:3 1.0.2",
    ),
    tells(
        "altered",
        "a seal is there but",
        "two lines have each other's seal, told as one",
        whole().changed("1.0.1", b"one", b"two").changed("1.0.2", b"two", b"one"),
        "failed\nfailed altered ×2 app.log:2 1.0.1 to 1.0.2",
    ),
    tells(
        "altered",
        "neither bytes nor RFC 8785 form match its tag",
        "JSON says something else",
        in_json().changed("1.0.1", JSON, b'{"a":2,"b":"x","tally":'),
        "failed\nfailed altered ×1 app.log:2 1.0.1",
    ),
    tells(
        "altered",
        "an epoch's R does not match",
        "a holder of V wrote a line anew",
        whole().put("1.0.2", forged("1.0.2", b"a owt")),
        "failed\nfailed altered ×4 app.log:5 1.0.0 to 1.0.3",
    ),
    tells(
        "altered",
        "an epoch's R does not match",
        "a letter was changed",
        SHORT,
        "failed\nfailed altered ×4 app.log:5 1.0.0 to 1.0.3",
        key="P",
    ),
    tells(
        "altered",
        "an epoch's R does not match (with P only: one or more of its n lines)",
        "both epochs of a chain were changed",
        SHORT.changed("1.1.1", b"five", b"six."),
        "failed\nfailed altered ×4 app.log:5 1.0.0 to 1.0.3\nfailed altered ×2 app.log:8 1.1.0 to 1.1.1",
        key="P",
    ),
    tells(
        "altered",
        "with P only: an index above its epoch's n",
        "a line behind a checkpoint",
        whole().behind("1.0.4", forged("1.0.5", b"more")),
        "failed\nfailed altered ×1 app.log:6 1.0.5",
        key="P",
    ),
    tells(
        "altered",
        "with P only: an index above its epoch's n",
        "two lines in a row behind a checkpoint",
        whole().behind("1.0.4", forged("1.0.6", b"more"), forged("1.0.7", b"yet more")),
        "failed\nfailed altered ×2 app.log:6 1.0.6 to 1.0.7",
        key="P",
    ),
    tells(
        "altered",
        "a second line at a position whose t, l are not what R covers",
        "another line",
        whole().behind("1.0.2", forged("1.0.2", b"a owt")),
        "failed\nfailed altered ×1 app.log:4 1.0.2",
        key="P",
    ),
    tells(
        "altered",
        "a second line at a position whose t, l are not what R covers",
        "another line comes first",
        whole().behind("1.0.1", forged("1.0.2", b"a owt")),
        "failed\nfailed altered ×1 app.log:3 1.0.2",
        key="P",
    ),
    spares(
        "altered",
        "the same JSON, written anew",
        in_json().changed("1.0.1", JSON, ANEW),
        "ok\nnote reserialized ×1 app.log:2 -",
    ),
    spares(
        "altered",
        "the same JSON, written anew",
        in_json().changed("1.0.1", JSON, ANEW),
        "ok\nnote reserialized ×1 app.log:2 -",
        key="P",
    ),
    spares("altered", "blanks behind the seal", whole().put("1.0.2", whole().line("1.0.2") + b" \t\r"), "ok"),
    spares(
        "altered",
        "the same line again in another file",
        {"app.log": whole().data, "copy": whole().between("1.0.2", "1.0.2").data},
        "ok\nnote duplicate ×1 copy:1 1.0.2",
        key="P",
    ),
]

UNSEALED_LINES = [
    tells(
        "unsealed",
        "a line without a well-formed seal anywhere",
        "a line was put in",
        whole().behind("1.0.2", b"user=mallory"),
        "failed\nfailed unsealed ×1 app.log:4 -",
    ),
    tells(
        "unsealed",
        "a line without a well-formed seal anywhere",
        "a seal was taken off",
        whole().put("1.0.2", b"a two"),
        "failed\nfailed missing ×1 app.log:2 1.0.2\nfailed unsealed ×1 app.log:3 -",
    ),
    tells(
        "unsealed",
        "a line without a well-formed seal anywhere",
        "a seal's number has a leading zero",
        whole().changed("1.0.2", b".1.0.2.", b".1.0.02."),
        "failed\nfailed missing ×1 app.log:2 1.0.2\nfailed unsealed ×1 app.log:3 -",
    ),
    tells(
        "unsealed",
        "with an unknown log id beside known ones",
        "lines of another log",
        whole().behind("1.0.2", *ELSE.lines),
        "failed\nfailed unsealed ×3 app.log:4 -",
    ),
    tells(
        "unsealed",
        "a line without a well-formed seal anywhere",
        "a line was put in",
        whole().behind("3.0.2", b"user=mallory"),
        "failed\nfailed unsealed ×1 app.log:16 -",
        key="P",
    ),
    spares(
        "unsealed", "blank lines and lines of NULs are none", whole().behind("1.0.2", b"", b" \t\r", bytes(9)), "ok"
    ),
    spares("unsealed", "lines of another log alone", ELSE, "incomplete\nincomplete nothing verified ×0 - -"),
    spares(
        "unsealed",
        "an entry that is a sealed line of another log",
        Writer().chain_of(ELSE.line("1.0.1").decode(), "ended").log(),
        "ok",
    ),
    spares(
        "unsealed",
        "a line that was sealed again for a log whose key is not here",
        whole().put(
            "1.0.2", Writer("else", (bytes(32), bytes(32))).chain_of(whole().line("1.0.2").decode()).log().lines[1]
        ),
        "failed\nfailed altered ×1 app.log:3 1.0.2",
    ),
    spares(
        "unsealed",
        "a seal with something behind it is a seal",
        whole().put("1.0.2", whole().line("1.0.2") + b" and more"),
        "failed\nfailed altered ×1 app.log:3 1.0.2",
    ),
]

REDACTED = [
    tells(
        "redacted",
        "not listed: incomplete",
        "blanked by right",
        BLANKED,
        "incomplete\nincomplete redacted ×1 app.log:3 1.0.2",
    ),
    tells(
        "redacted",
        "listed by the caller, and r holds (V): note",
        "blanked by right, and listed",
        BLANKED,
        "ok\nnote redacted ×1 app.log:3 1.0.2",
        exceptions="redacted 1.0.2: a name, by court order",
    ),
    tells(
        "redacted",
        "r fails: failed",
        "blanked by nobody who may",
        FALSE,
        "failed\nfailed redacted ×1 app.log:3 1.0.2",
        exceptions="redacted 1.0.2: a name, by court order",
    ),
    tells(
        "redacted",
        "listed by the caller, and r holds (V)",
        "P cannot tell whether r holds",
        BLANKED,
        "incomplete\nincomplete redacted ×1 app.log:3 1.0.2",
        key="P",
        exceptions="redacted 1.0.2: a name",
    ),
    tells(
        "redacted",
        "not listed: incomplete",
        "the list names another position",
        BLANKED,
        "incomplete\nincomplete redacted ×1 app.log:3 1.0.2",
        exceptions="redacted 1.0.1: a name",
    ),
    spares(
        "redacted",
        "an entry that looks like a blanked line",
        Writer().chain_of(BLANKED.line("1.0.2").decode(), "ended").log(),
        "ok",
    ),
]

CARRIED = [
    tells(
        "reserialized",
        "see section 4",
        "names in another order, blanks, 1.0 for 1",
        in_json().changed("1.0.1", JSON, ANEW),
        "ok\nnote reserialized ×1 app.log:2 -",
    ),
    tells(
        "reserialized",
        "see section 4",
        "two lines",
        in_json().changed("1.0.1", JSON, ANEW).changed("1.0.3", b'{"c":[1,2],"', b'{"c":[1, 2],"'),
        "ok\nnote reserialized ×2 app.log:2 -",
        key="P",
    ),
    spares(
        "reserialized",
        "another exact value, though the same double",
        in_json().changed("1.0.1", JSON, b'{"a":1.00000000000000000001,"b":"x","tally":'),
        "failed\nfailed altered ×1 app.log:2 1.0.1",
    ),
    spares("reserialized", "JSON as it was sealed", in_json(), "ok", key="P"),
    tells(
        "prefixed",
        "see section 4",
        "syslog put its head before a line",
        WRAPPED,
        "ok\nnote prefixed ×1 app.log:10 -",
        envelope="rfc3164",
    ),
    tells(
        "prefixed",
        "see section 4",
        "syslog put its head before a line",
        WRAPPED,
        "ok\nnote prefixed ×1 app.log:10 -",
        envelope="rfc3164",
        key="P",
    ),
    spares("prefixed", "the caller did not name the carrier", WRAPPED, "failed\nfailed altered ×1 app.log:10 2.0.1"),
    spares("prefixed", "a carrier is named that put nothing there", whole(), "ok", envelope="rfc3164"),
]

EXCEPTED = [
    tells(
        "excepted",
        "an altered line by its position, too",
        "an alteration",
        SHORT,
        "ok\nnote excepted ×1 - 1.0.2",
        exceptions=f"altered 1.0.2 {SHORT_HASH}: a typing error that we know",
    ),
    tells(
        "excepted",
        "by kind and exactly its positions",
        "a gap of several lines",
        whole().without("1.0.2", "1.0.3"),
        "ok\nnote excepted ×2 app.log:2 1.0.2 to 1.0.3",
        exceptions="missing app 1.0.2 to 1.0.3: disk full",
    ),
    tells(
        "excepted",
        "an unsealed line by its SHA-256",
        "a banner, twice",
        whole().behind("1.0.2", b"user=mallory", b"user=mallory"),
        "ok\nnote excepted ×2 - -",
        exceptions=f"{UNSEALED}: a banner of the old version",
    ),
    tells(
        "excepted",
        "with a reason",
        "the others still count",
        SHORT.behind("3.0.2", b"user=mallory"),
        "failed\nfailed altered ×1 app.log:3 1.0.2\nnote excepted ×1 - -",
        exceptions=f"{UNSEALED}: a banner",
    ),
    spares(
        "excepted",
        "another kind at this position",
        SHORT,
        "failed\nfailed altered ×1 app.log:3 1.0.2",
        exceptions="duplicate 1.0.2: no reason",
    ),
    spares(
        "excepted",
        "a part of a gap",
        whole().without("1.0.2", "1.0.3"),
        "failed\nfailed missing ×2 app.log:2 1.0.2 to 1.0.3",
        exceptions="missing 1.0.2: disk full",
    ),
    spares(
        "excepted",
        "the last day is over",
        SHORT,
        "failed\nfailed altered ×1 app.log:3 1.0.2",
        exceptions=f"altered 1.0.2 {SHORT_HASH} until 2026-01-31: a typing error",
    ),
    spares(
        "excepted",
        "the line was changed once more",
        SHORT.changed("1.0.2", b"owt", b"wto"),
        "failed\nfailed altered ×1 app.log:3 1.0.2",
        exceptions=f"altered 1.0.2 {SHORT_HASH}: a typing error",
    ),
    spares(
        "excepted",
        "the position of another line",
        SHORT,
        "failed\nfailed altered ×1 app.log:3 1.0.2",
        exceptions=f"altered 1.0.1 {SHORT_HASH}: a typing error",
    ),
    spares(
        "excepted",
        "a single line before P, who judges whole epochs",
        SHORT,
        "failed\nfailed altered ×4 app.log:5 1.0.0 to 1.0.3",
        key="P",
        exceptions=f"altered 1.0.2 {SHORT_HASH}: a typing error",
    ),
    tells(
        "excepted",
        "by kind and exactly its positions",
        "a checkpoint and what may have stood before it",
        whole().without("1.0.3", "1.0.4"),
        "ok\nnote excepted ×0 app.log:3 1.0.3 to 1.0.*",
        exceptions="missing 1.0.3 to 1.0.*: disk full",
    ),
    spares(
        "excepted",
        "an exception of one line, where nobody knows how many are gone",
        whole().without("1.0.3", "1.0.4"),
        "failed\nfailed missing ×0 app.log:3 1.0.3 to 1.0.*",
        exceptions="missing 1.0.3: disk full",
    ),
    tells(
        "excepted",
        "by kind and exactly its positions",
        "a chain that is gone",
        whole().without("2.0.0", "2.0.1", "2.0.2", "2.0.3"),
        "ok\nnote excepted ×0 - 2.*",
        exceptions="missing 2.*: the disk of that week is lost",
    ),
    spares(
        "excepted",
        "an exception of its first line, where a chain is gone",
        whole().without("2.0.0", "2.0.1", "2.0.2", "2.0.3"),
        "failed\nfailed missing ×0 - 2.*",
        exceptions="missing 2.0.0: disk full",
    ),
    tells(
        "excepted",
        "by kind and exactly its positions",
        "lines that are here twice, by a range",
        whole().behind("1.0.2", whole().line("1.0.1"), whole().line("1.0.2")),
        "ok\nnote excepted ×2 app.log:4 1.0.1 to 1.0.2",
        exceptions="duplicate 1.0.0 to 1.0.3: sent twice by a relay",
    ),
    spares(
        "excepted",
        "a range of duplicates that ends before the last one",
        whole().behind("1.0.2", whole().line("1.0.2")),
        "failed\nfailed duplicate ×1 app.log:4 1.0.2",
        exceptions="duplicate 1.0.0 to 1.0.1: sent twice by a relay",
    ),
    spares(
        "excepted",
        "another line than the one of this SHA-256",
        whole().behind("1.0.2", b"user=mallory "),
        "failed\nfailed unsealed ×1 app.log:4 -",
        exceptions=f"{UNSEALED}: a banner",
    ),
]

UNCOVERED = [
    tells(
        "uncovered",
        "after a chain's last checkpoint",
        "a live log",
        whole().between("1.0.0", "1.1.1"),
        "incomplete\nincomplete open end ×0 app.log:7 1.1.1\nincomplete uncovered ×2 app.log:6 1.1.0 to 1.1.1",
        key="P",
    ),
    tells(
        "uncovered",
        "in an epoch with an absent line",
        "a line was removed",
        whole().without("1.0.2"),
        "failed\nfailed missing ×1 app.log:2 1.0.2\nincomplete uncovered ×3 app.log:1 1.0.0 to 1.0.3",
        key="P",
    ),
    tells(
        "uncovered",
        "in an epoch with an absent line, excepted or not",
        "an exception covers nothing",
        whole().without("1.0.2"),
        "incomplete\nnote excepted ×1 app.log:2 1.0.2\nincomplete uncovered ×3 app.log:1 1.0.0 to 1.0.3",
        key="P",
        exceptions="missing 1.0.2: disk full",
    ),
    tells(
        "uncovered",
        "in an epoch with an absent line",
        "the epoch behind it is covered, and the next chain's not",
        whole().without("1.0.2", "2.0.1"),
        "failed\nfailed missing ×1 app.log:2 1.0.2\nfailed missing ×1 app.log:8 2.0.1\n"
        "incomplete uncovered ×3 app.log:1 1.0.0 to 1.0.3\nincomplete uncovered ×2 app.log:8 2.0.0 to 2.0.2",
        key="P",
    ),
    spares(
        "uncovered",
        "with V each line stands on its own",
        whole().without("1.0.2"),
        "failed\nfailed missing ×1 app.log:2 1.0.2",
    ),
    spares("uncovered", "every line stands before a checkpoint", whole(), "ok", key="P"),
]

CASES: list[Case] = [*ALTERED, *UNSEALED_LINES, *REDACTED, *CARRIED, *EXCEPTED, *UNCOVERED]
