"""URLs of providers outside, `KIND:PLACE[?OPTION=VALUE&...]`, and the words for a state that stays shut.

>>> options = Options.parse("tpm2:?pcrs=7+11&timeout=3", {"pcrs": ""})
>>> options.place, options["pcrs"], options.timeout
('', '7+11', 3.0)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl, unquote

from tallystick.custody.base import Forgets, Owner
from tallystick.errors import CustodyError

__all__ = ["Options", "Remembers", "unopened"]


@dataclass(frozen=True, slots=True)
class Options:
    """A URL, taken apart.

    Args:
        place: The part between the kind and `?`.
        timeout: Seconds that a call may take.
        given: Each option that is known, with its default where the URL does not name it.
    """

    place: str
    timeout: float
    given: Mapping[str, str]

    @classmethod
    def parse(cls, url: str, known: Mapping[str, str]) -> Self:
        """Take a URL apart.

        Raises:
            CustodyError: An option is not known or invalid, or the timeout is invalid.
        """
        kind, _, rest = url.partition(":")
        place, _, query = rest.partition("?")
        try:
            # A plus is a plus here, as in host+tpm2 and in paths; only forms of the web mean a blank by it.
            pairs = parse_qsl(query.replace("+", "%2B"), keep_blank_values=True, strict_parsing=bool(query))
            given = dict(pairs)
            timeout = float(given.pop("timeout", 10))
        except ValueError:
            raise CustodyError(
                f"the part after ? in the custody {kind}: holds no options", hint="write NAME=VALUE&…"
            ) from None
        if strange := sorted(set(given) - set(known)):
            names = ", ".join(sorted([*known, "timeout"]))
            raise CustodyError(f"the custody {kind}: knows no option {strange[0]!r}", hint=f"known are {names}")
        if not 0.1 <= timeout <= 600:
            raise CustodyError(f"the timeout of the custody {kind}: is {timeout:g}", hint="take 0.1 to 600 seconds")
        return cls(unquote(place), timeout, {**known, **given})

    def __getitem__(self, name: str) -> str:
        """Return an option."""
        return self.given[name]


class Remembers:
    """The part of a custody that does not forget: one key opens all states that it ever encrypted.

    >>> Remembers().forgets(None).yes
    False
    """

    remembers = "one key opens every state that it ever encrypted"

    def forget(self, wrapped: bytes, owner: Owner) -> None:
        """Do nothing: the key that opened older states opens the present one, too."""

    def destroy(self, wrapped: bytes, owner: Owner) -> None:
        """Do nothing: other logs may have the same key."""

    def forgets(self, wrapped: bytes | None = None) -> Forgets:
        """Return that this custody does not forget, and why."""
        return Forgets(False, self.remembers)


def unopened(who: str, advice: str = "restore the one or the other") -> CustodyError:
    """Return the error for a key that was not encrypted by this provider, or not like this.

    Args:
        who: What did not open it.
        advice: What to do, as the hint.
    """
    return CustodyError(f"{who} does not open the state of this log: wrong key, or the state was changed", hint=advice)
