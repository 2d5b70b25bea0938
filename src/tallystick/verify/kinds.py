"""Kinds of findings, and what is known of a kind; the catalogue has them all.

>>> Kind.MISSING == "missing"
True
"""

import enum
from dataclasses import dataclass

from tallystick.verify.weights import Weight

__all__ = ["Entry", "Exceptable", "Kind", "Stated"]


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
    AS_OF = "as of"
    CONTRADICTION = "contradiction"


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
