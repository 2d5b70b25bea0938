"""Lines from before a log began, which it adopted (spec sections 5 and 7)."""

from collections.abc import Iterator

from tallystick import _core
from tallystick.verify.catalogue import Kind, Weight
from tallystick.verify.judge.case import Case
from tallystick.verify.positions import dotted
from tallystick.verify.report import Finding

__all__ = ["adopted_findings", "adopted_unlisted"]


def adopted_findings(case: Case) -> Iterator[Finding]:
    """Say of each log that adopted a past whether it is here as it was."""
    for one in case.adopted:
        assert one.notice.past is not None
        _, size, lines = one.notice.past
        said = f"{lines} line{'' if lines == 1 else 's'}, {size} byte{'' if size == 1 else 's'}"
        if one.files:
            weight, detail = Weight.NOTE, f"as it was when sealing began: {said}; nothing vouches for before"
        else:
            weight = Weight.INCOMPLETE if case.expected.subset else Weight.FAILED
            detail = f"not as it was when sealing began: the file in which chain 1 opens held {said} before that"
        log = case.logs[one.log].facts.label
        found = Finding(Kind.ADOPTED, weight, detail, log=log, position=dotted(one.notice.at), count=lines)
        yield case.source.at(found, one.notice.place)


def adopted_unlisted(case: Case) -> dict[str, int]:
    """Return how many of the strange lines that were only counted are adopted ones, by what is said of them."""
    regions: dict[int, tuple[int, int]] = {}
    for one in case.adopted:
        for file, before in one.files.items():
            # Of two logs that adopted, the one that began later in the file adopted the lines of the other's past, too.
            regions[file] = max(before, regions.get(file, (0, 0)))
    total = {"unsealed": sum(one for one, _ in regions.values()), "foreign": sum(two for _, two in regions.values())}
    for event in case.source.facts.events() if any(total.values()) else ():
        if event.kind in (_core.EventKind.UNSEALED, _core.EventKind.FOREIGN) and case.is_adopted(event.place):
            total[event.kind] -= event.count
    return total
