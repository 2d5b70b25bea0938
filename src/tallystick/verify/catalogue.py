"""The catalogue of findings: each kind once, with its weight, its words, what to do, and how it can be allowed.

Reports, SARIF rules and the exceptions file take their kinds from here. A test holds the JSON schema, the documentation
and section 7 of the specification against this catalogue.

>>> CATALOGUE[Kind.MISSING].usual.value, CATALOGUE[Kind.MISSING].title
('failed', 'Lines are missing')
>>> kinds_allowed()
('duplicate', 'narrowed', 'open end', 'reordered')
"""

import enum
from dataclasses import dataclass

from tallystick.verify.weights import Weight

__all__ = ["CATALOGUE", "Entry", "Exceptable", "Kind", "Stated", "Weight", "kinds_allowed", "kinds_excepted"]


_UNRANKED = 22  # comes after all that have a place


class Kind(enum.StrEnum):
    """A kind of finding. Its value is the word that reports show, and equals it."""

    ALTERED = "altered"
    MISSING = "missing"
    UNSEALED = "unsealed"
    DUPLICATE = "duplicate"
    FORK = "fork"
    REORDERED = "reordered"
    BAD_STATEMENT = "bad statement"
    TRUNCATED = "truncated"
    BAD_HEAD = "bad head"
    UNCLEAN_END = "unclean end"
    TORN_LINE = "torn line"
    LATE_START = "late start"
    OPEN_END = "open end"
    NO_HEAD = "no head"
    NO_WITNESS = "no witness"
    UNMET_HEAD = "unmet head"
    UNCOVERED = "uncovered"
    REDACTED = "redacted"
    RESERIALIZED = "reserialized"
    PREFIXED = "prefixed"
    SUBSET = "subset"
    NARROWED = "narrowed"
    NOTICE = "notice"
    ADOPTED = "adopted"
    PREDECESSOR = "predecessor"
    SUCCESSOR = "successor"
    EXCEPTED = "excepted"
    UNREADABLE = "unreadable"
    PASSED_OVER = "passed over"
    SCHEME_LIMIT = "scheme limit"
    NOTHING_VERIFIED = "nothing verified"
    PIN_NOT_KEPT = "pin not kept"
    MEMORY_LOST = "memory lost"


class Exceptable(enum.Enum):
    """How an exceptions file names a finding (spec section 9)."""

    BY_POSITION = "by its positions"
    BY_BYTES = "by the SHA-256 of the line"
    NEVER = "never"


class Stated(enum.Enum):
    """Where a kind is defined."""

    TABLE = "the table in section 7"
    TEXT = "the text of section 7 or 9"
    OUTSIDE = "outside the protocol: it is about this program, or about logs that others seal"


@dataclass(frozen=True, slots=True)
class Entry:
    """What the catalogue says of a kind.

    Args:
        kind: The kind.
        usual: The usual weight; a single finding may weigh less or more.
        title: A few words.
        meaning: One sentence: what was found, and what it means.
        advice: What to do about it.
        rank: Place among findings of one weight, the gravest first: reports are sorted by it.
        allowable: Can a caller allow it for a whole run?
        exceptable: How an exceptions file names it.
        stated: Where it is defined.
    """

    kind: Kind
    usual: Weight
    title: str
    meaning: str
    advice: str
    rank: int = _UNRANKED
    allowable: bool = False
    exceptable: Exceptable = Exceptable.NEVER
    stated: Stated = Stated.TABLE


_FAILED, _INCOMPLETE, _NOTE = Weight.FAILED, Weight.INCOMPLETE, Weight.NOTE

_ENTRIES = (
    Entry(
        Kind.ALTERED,
        _FAILED,
        "A line was changed",
        "A line or its seal is not what was written: the two do not match.",
        "compare with a copy from elsewhere; if a carrier wrapped or cut lines, see carriers",
        rank=3,
        exceptable=Exceptable.BY_BYTES,
    ),
    Entry(
        Kind.MISSING,
        _FAILED,
        "Lines are missing",
        "Lines are not here although others vouch that they were sealed.",
        "look for a file that was left out; at the edge of a file, suspect `copytruncate`; else lines were removed",
        rank=5,
        exceptable=Exceptable.BY_POSITION,
    ),
    Entry(
        Kind.UNSEALED,
        _FAILED,
        "A line has no seal",
        "A line without a seal of a known log stands among sealed lines.",
        "which program writes into this file? If it is known and harmless, except the line by its SHA-256",
        rank=4,
        exceptable=Exceptable.BY_BYTES,
    ),
    Entry(
        Kind.DUPLICATE,
        _FAILED,
        "A line is here twice",
        "The same sealed line is here more than once.",
        "a copy that was appended, or a replay; across files it is a note",
        rank=8,
        allowable=True,
        exceptable=Exceptable.BY_POSITION,
    ),
    Entry(
        Kind.FORK,
        _FAILED,
        "Two histories",
        "Two different lines with good seals claim the same position.",
        "two writers, or a machine restored from a backup: start a new log",
        rank=0,
    ),
    Entry(
        Kind.REORDERED,
        _FAILED,
        "Lines were moved",
        "Lines of a file do not stand in the order of their seals.",
        "something sorted or merged the lines: `--allow reordered` if that is known",
        rank=9,
        allowable=True,
        exceptable=Exceptable.BY_POSITION,
    ),
    Entry(
        Kind.BAD_STATEMENT,
        _FAILED,
        "A control line does not hold",
        "A signed statement of the log is forged, out of place, or contradicts the others.",
        "forged or foreign control lines, or a store that was changed",
        rank=2,
    ),
    Entry(
        Kind.TRUNCATED,
        _FAILED,
        "The end is cut off",
        "The log ends before a point that it is known to have reached.",
        "look for a newer file; was the head taken after the files? Else the end was cut off",
        rank=6,
        exceptable=Exceptable.BY_POSITION,
    ),
    Entry(
        Kind.BAD_HEAD,
        _FAILED,
        "The head does not hold",
        "The head, which says how far the log got, is forged or gone.",
        "forged or foreign control lines, or a store that was changed",
        rank=1,
    ),
    Entry(
        Kind.UNCLEAN_END,
        _NOTE,
        "A writer stopped without closing",
        "A chain has no closing line, as after a crash or a kill: up to a second of lines may be lost there.",
        "a crash or a kill, up to a second of lines may be lost; does the time fit what you know? "
        "A copy that ends within a line is torn, too",
        rank=18,
        exceptable=Exceptable.BY_POSITION,
    ),
    Entry(
        Kind.TORN_LINE,
        _NOTE,
        "A line was not written whole",
        "A line before an unclean end, or at the end of a copy, is broken off.",
        "a crash or a kill, up to a second of lines may be lost; does the time fit what you know? "
        "A copy that ends within a line is torn, too",
        rank=21,
    ),
    Entry(
        Kind.LATE_START,
        _INCOMPLETE,
        "The beginning is not here",
        "The log begins before the first line that is here.",
        "older files are elsewhere, or deleted by policy: `--from`",
        rank=16,
        exceptable=Exceptable.BY_POSITION,
    ),
    Entry(
        Kind.OPEN_END,
        _INCOMPLETE,
        "Nothing vouches for the end",
        "Lines after the last one could be missing without a sign of it.",
        "give the head; a pin proves only how far the log reached at least",
        rank=15,
        allowable=True,
        exceptable=Exceptable.BY_POSITION,
    ),
    Entry(
        Kind.NO_HEAD,
        _INCOMPLETE,
        "The head cannot be had",
        "The key store should have the head of this log, which says how far it got, and has not, or cannot be read.",
        "the key store does not have this log, or cannot be read: correct that, give `--head`, or say `--store none`",
        rank=12,
        stated=Stated.TEXT,
    ),
    Entry(
        Kind.NO_WITNESS,
        _INCOMPLETE,
        "A witness says nothing",
        "A witness that was asked for gave no answer or receipt that holds.",
        "is it reachable, and is its key the right one? Receipts of before are given with `--receipts`",
        rank=13,
        stated=Stated.TEXT,
    ),
    Entry(
        Kind.UNMET_HEAD,
        _INCOMPLETE,
        "A signed head cannot be checked",
        "Lines that a signed head covers are not here as they were written, so it cannot be held against them.",
        "look for a newer file; was the head or receipt made after the files were copied?",
        rank=14,
        stated=Stated.TEXT,
    ),
    Entry(
        Kind.UNCOVERED,
        _INCOMPLETE,
        "Lines that cannot be checked",
        "Nothing that holds covers these lines, no checkpoint or line, so they cannot be checked with what was given.",
        "only the verification key can judge these lines, until the next checkpoint",
        rank=17,
    ),
    Entry(
        Kind.REDACTED,
        _NOTE,
        "A line was blanked",
        "The text of a line was taken out; its place in the log is kept.",
        "list the position in the exceptions file, if it was rightly blanked",
        rank=7,
        exceptable=Exceptable.BY_POSITION,
    ),
    Entry(
        Kind.RESERIALIZED,
        _NOTE,
        "JSON was rewritten",
        "Something on the way rewrote the JSON of a line; its content is as it was sealed.",
        "carriers at work; the text that they put around lines is not covered",
    ),
    Entry(
        Kind.PREFIXED,
        _NOTE,
        "Something was put before a line",
        "A carrier wrapped the line; the line is as it was sealed, what was put around it is not covered.",
        "carriers at work; the text that they put around lines is not covered",
    ),
    Entry(
        Kind.SUBSET,
        _INCOMPLETE,
        "Lines are left out",
        "The caller said that lines are left out; gaps are not judged.",
        "that is what was asked for",
        rank=20,
    ),
    Entry(
        Kind.NARROWED,
        _INCOMPLETE,
        "The key covers only some chains",
        "The key was narrowed; other chains are not judged.",
        "that is what was asked for",
        rank=19,
        allowable=True,
    ),
    Entry(
        Kind.NOTICE,
        _NOTE,
        "The log itself says something",
        "The writer signed what it did to the log or what happened to it, such as lines that it had to drop.",
        "read it: lines that were dropped were never sealed, and a file that was cut lost its copies",
    ),
    Entry(
        Kind.ADOPTED,
        _NOTE,
        "Lines from before the log began",
        "The log adopted what its file held before; the detail says whether that is here as it was then.",
        "a note: they were not changed since sealing began, and nothing vouches for before; failed: they were changed "
        "or taken away",
    ),
    Entry(
        Kind.PREDECESSOR,
        _INCOMPLETE,
        "Lines of the log before a rekey",
        "Lines claim to be of the log that this one follows, whose key was not given; nothing is said of them.",
        "give the old key, too: `--key OLD --key NEW`",
    ),
    Entry(
        Kind.SUCCESSOR,
        _INCOMPLETE,
        "Lines of the log after a rekey",
        "Lines claim to be of the log that follows this one, whose key was not given; nothing is said of them.",
        "give the new key, too: `--key OLD --key NEW`",
    ),
    Entry(
        Kind.EXCEPTED,
        _NOTE,
        "An exception allows this",
        "The exceptions file allows exactly this finding, which would weigh more without it.",
        "as the exceptions file says",
    ),
    Entry(
        Kind.UNREADABLE,
        _INCOMPLETE,
        "A file could not be read",
        "A file, or the rest of one, could not be read.",
        "permission, disk, a wrong name, damaged archive: the detail says which",
        rank=11,
        stated=Stated.TEXT,
    ),
    Entry(
        Kind.PASSED_OVER,
        _NOTE,
        "A file is no log",
        "A file was not read, since it is no log: the detail says what it is.",
        "files that are no logs: is one of them a log after all?",
        stated=Stated.TEXT,
    ),
    Entry(
        Kind.SCHEME_LIMIT,
        _INCOMPLETE,
        "The scheme cannot tell",
        "The way in which these logs are protected proves less than their readers may think.",
        "only for logs of Acra, see acra",
        stated=Stated.OUTSIDE,
    ),
    Entry(
        Kind.NOTHING_VERIFIED,
        _INCOMPLETE,
        "Nothing was verified",
        "No line here has a seal that these keys can check.",
        "the wrong key, or the wrong files",
        rank=10,
        stated=Stated.TEXT,
    ),
    Entry(
        Kind.PIN_NOT_KEPT,
        _NOTE,
        "The pin was not kept",
        "The newest statement seen could not be kept for the next run.",
        "the next run cannot be held to this one: repair the directory of pins, and verify again",
        stated=Stated.OUTSIDE,
    ),
    Entry(
        Kind.MEMORY_LOST,
        _NOTE,
        "What was remembered is lost",
        "What an earlier run had verified was damaged or could not be kept, so it was read again or will be.",
        "nothing for this run, which read the files instead; who can write to that directory?",
        stated=Stated.OUTSIDE,
    ),
)

CATALOGUE: dict[Kind, Entry] = {entry.kind: entry for entry in _ENTRIES}
"""All kinds, in the order in which SARIF and the schema list them."""


def kinds_allowed() -> tuple[str, ...]:
    """Return the kinds that a caller may allow for a whole run, in order."""
    return tuple(sorted(entry.kind.value for entry in _ENTRIES if entry.allowable))


def kinds_excepted(how: Exceptable) -> tuple[str, ...]:
    """Return the kinds that an exceptions file names in some way, in order."""
    return tuple(sorted(entry.kind.value for entry in _ENTRIES if entry.exceptable is how))
