"""Which rotated files have to go, and why: because there are too many, or because they are too old.

A file is too old only where two agree: the log, by the time at which the next file begins, and this machine, by the
time that it has seen pass since the file was rotated. A clock that jumps changes the one, but not the other. In doubt a
file stays, with all that came after it, and that is reported.

>>> Retention(2, None, None, print).chosen([Rotated("0000000001"), Rotated("0000000009")], lambda _: None)
[]
>>> Retention(1, None, None, print).chosen([Rotated("0000000001"), Rotated("0000000009")], lambda _: None)
[(Rotated(name='0000000001', paths=()), 'as one too many of the rotated files')]
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tallystick.errors import reason
from tallystick.sinks.ages import Ages

__all__ = ["Retention", "Rotated", "duration"]

_UNITS = (("d", 86400.0), ("h", 3600.0), ("min", 60.0))
_SLACK = 60.0  # seconds by which two clocks may differ without a report


@dataclass(frozen=True, slots=True)
class Rotated:
    """A rotated file.

    Args:
        name: The end of its name, after that of the log's file: the number of its first chain.
        paths: Its paths; a crash may have left it both plain and compressed.
    """

    name: str
    paths: tuple[str, ...] = ()


Began = Callable[[Rotated], float | None]
"""Returns the time at which the first chain in a file began, in seconds since 1970 as the log claims it, or None."""


class Retention:
    """Decides which rotated files go.

    Args:
        keep: How many stay, or None for all.
        keep_for: For how many seconds after its last line a file stays, or None for ever.
        ages: How long files have been there; needed for `keep_for`.
        report: Called with the reason why a file stays that one clock calls too old.
    """

    def __init__(
        self, keep: int | None, keep_for: float | None, ages: Ages | None, report: Callable[[str], None]
    ) -> None:
        self._keep, self._keep_for, self._ages, self._report = keep, keep_for, ages, report
        self._reported: set[str] = set()

    def chosen(self, files: Sequence[Rotated], began: Began) -> list[tuple[Rotated, str]]:
        """Return the files that have to go, the oldest first, each with the reason.

        Args:
            files: All rotated files, the oldest first.
            began: When a file began; asked for the files after one that may be too old.
        """
        surplus = 0 if self._keep is None else max(0, len(files) - self._keep)
        going = [(each, "as one too many of the rotated files") for each in files[:surplus]]
        if self._keep_for is None or self._ages is None:
            return going
        self._remember(self._ages, files)
        for number in range(surplus, len(files)):
            if not self._is_too_old(self._ages, files, number, began, self._keep_for):
                break  # later files stay, too: there shall be no gap
            going.append((files[number], f"as older than {duration(self._keep_for)}"))
        return going

    def save(self) -> None:
        """Remember how much time has passed, for the next writer."""
        if self._ages is not None:
            try:
                self._ages.save()
            except OSError as error:
                self._cannot_remember(error)

    def _remember(self, ages: Ages, files: Sequence[Rotated]) -> None:
        try:
            ages.note(each.name for each in files)
        except OSError as error:
            self._cannot_remember(error)

    def _cannot_remember(self, error: OSError) -> None:
        self._say_once(
            "remember",
            f"how long rotated files have been there cannot be remembered beside the log: {reason(error)}; they are "
            "removed by their age only after this writer itself has run for so long",
        )

    def _is_too_old(self, ages: Ages, files: Sequence[Rotated], number: int, began: Began, keep_for: float) -> bool:
        file = files[number]
        seen = ages.of(file.name)
        # The last line of a file is as old as the first one of the next file, or older.
        after = next((at for each in files[number + 1 :] if (at := began(each)) is not None), None)
        claimed = None if after is None else time.time() - after
        if claimed is not None and min(seen, claimed) >= keep_for:
            return True
        if claimed is None:
            if seen >= keep_for and number + 1 < len(files):
                self._doubt(
                    file, f"this machine has seen {duration(seen)} pass, but the log does not say how old it is"
                )
        elif max(seen, claimed) >= keep_for and abs(seen - claimed) > keep_for / 10 + _SLACK:
            log = f"{duration(claimed)} old" if claimed >= 0 else f"from a time {duration(-claimed)} ahead"
            self._doubt(
                file, f"by the clock and the log it is {log}, but this machine has seen {duration(seen)} pass since"
            )
        return False

    def _doubt(self, file: Rotated, why: str) -> None:
        name = os.path.basename(file.paths[0]) if file.paths else file.name
        self._say_once("doubt", f"{name} and the files after it stay: {why}; see that the clock is right")

    def _say_once(self, kind: str, text: str) -> None:
        if kind not in self._reported:
            self._reported.add(kind)
            self._report(text)


def duration(seconds: float) -> str:
    """Return a time as people write it.

    >>> duration(90 * 86400), duration(5400), duration(0.5)
    ('90d', '1.5h', '0.5s')
    """
    name, unit = next(((name, unit) for name, unit in _UNITS if round(seconds / unit, 1) >= 1), ("s", 1.0))
    return f"{round(seconds / unit, 1):g}{name}"
