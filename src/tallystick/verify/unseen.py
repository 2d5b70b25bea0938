"""What could not be read, and which lines it may hold: only those can be absent for that reason (spec section 9).

>>> cut = Unseen("app.log.1.gz", {0: (1, 0, 7)})
>>> cut.may_hold(0, (1, 0, 8)), cut.may_hold(0, (1, 0, 2)), Unseen("closed.log").may_hold(0, (1, 0, 2))
(True, False, True)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tallystick import _core
from tallystick.verify.inputs import Input
from tallystick.verify.looking import Unread
from tallystick.verify.positions import At

__all__ = ["Unseen", "unseen"]


@dataclass(frozen=True, slots=True)
class Unseen:
    """A file that could not be read, or not to its end.

    Args:
        path: Its path.
        after: The highest position that was read from it, by the number of the log: its rest comes after that.
    """

    path: str
    after: Mapping[int, At] = field(default_factory=dict)

    def may_hold(self, log: int, at: At | None) -> bool:
        """May lines of a log from some position on stand in it? With no position, any line of it.

        Args:
            log: The number of the log.
            at: The position.
        """
        return at is None or log not in self.after or at > self.after[log]


def unseen(
    unread: Iterable[Unread], inputs: Sequence[Input], chunks: Iterable[_core.Chunk], *, right: bool = False
) -> tuple[Unseen, ...]:
    """Return what may hold lines that are absent elsewhere.

    A name at which nothing is, or an empty file, holds none: or to remove a file that was named would excuse itself.
    Only where nothing at all was read, the name may be a wrong one.

    Args:
        unread: What could not be opened.
        inputs: What was read.
        chunks: What was read of each of them.
        right: The names are right, for lines were read there before.
    """
    cut = {number: dict[int, At]() for number, one in enumerate(inputs) if one.trouble}
    for chunk in chunks:
        if (after := cut.get(chunk.file)) is not None:
            for log, _, _, last in chunk.edges:
                after[log] = max(last, after.get(log, last))
    closed = [
        Unseen(one.path)
        for one in unread
        if not one.passed and one.as_of is None and not (one.absent and (inputs or right))
    ]
    return (*closed, *(Unseen(inputs[number].path, after) for number, after in cut.items()))
