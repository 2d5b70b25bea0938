"""Which witnesses a writer shows its log, and when a line counts as witnessed.

>>> policy = Policy.of(["https://one.example", "https://two.example"])
>>> [each.url for each in policy.addresses], policy.quorum
(['https://one.example', 'https://two.example'], 2)
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from tallystick.errors import FormatError, SealError
from tallystick.writer.witnesses.wire import Address

__all__ = ["Policy"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What a writer was asked to do with witnesses.

    Args:
        addresses: The witnesses.
        quorum: How many of them must have a critical line; each counts by its public key.
        each: Is every line critical?
    """

    addresses: tuple[Address, ...] = ()
    quorum: int = 0
    each: bool = False

    @classmethod
    def of(cls, named: Iterable[str] | str = (), quorum: int | None = None, *, each: bool = False) -> Self:
        """Read what a caller named.

        Args:
            named: Witnesses, each `URL` or `URL=KEY`.
            quorum: How many of them must have a critical line; None for all.
            each: Is every line critical?

        Raises:
            FormatError: A witness is named twice, or as something else.
            SealError: The quorum is more than there are witnesses, or there are none for what was asked.
        """
        addresses = tuple(map(Address.parse, [named] if isinstance(named, str) else named))
        urls = {one.url for one in addresses}
        keys = [one.key.public for one in addresses if one.key is not None]
        if len(urls) < len(addresses) or len(set(keys)) < len(keys):
            raise FormatError("a witness is named twice", hint="name each URL and each key once")
        if quorum is not None and not 1 <= quorum <= len(addresses):
            raise SealError(f"{quorum} witnesses must have a line, but {len(addresses)} are named")
        policy = cls(addresses, len(addresses) if quorum is None else quorum, each)
        if each:
            policy.check_critical()
        return policy

    @property
    def is_critical(self) -> bool:
        """Are there witnesses enough for critical lines, each known by its key?"""
        return bool(self.addresses) and sum(one.key is not None for one in self.addresses) >= self.quorum

    def check_critical(self) -> None:
        """Raise SealError unless there are witnesses enough for critical lines, each known by its key."""
        if not self.addresses:
            raise SealError("critical lines need witnesses, and none is named", hint="name them: --witness URL=KEY")
        if not self.is_critical:
            raise SealError(
                f"critical lines need {self.quorum} witnesses whose keys are known",
                hint="name each as URL=KEY: without its key nobody knows who answers",
            )
