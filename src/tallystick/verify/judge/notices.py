"""What the log itself says: signed notices, which no application can imitate (spec section 5)."""

from collections.abc import Iterator

from tallystick.verify.catalogue import Kind, Weight
from tallystick.verify.findings import MORE
from tallystick.verify.judge.case import Case
from tallystick.verify.positions import dotted
from tallystick.verify.report import Finding

__all__ = ["notice_findings"]


def notice_findings(case: Case) -> Iterator[Finding]:
    """Give the notices of each log, by position, and say how many more there are."""
    facts = case.source.facts
    for log in case.logs:
        number, label = log.facts.number, log.facts.label
        notices = facts.notices(number)
        for notice in notices:
            if notice.past is not None:  # judged as what it adopts
                continue
            detail = f"{notice.kind}: {notice.text.decode('utf-8', 'backslashreplace')}"
            found = Finding(Kind.NOTICE, Weight.NOTE, detail, log=label, position=dotted(notice.at), count=notice.count)
            yield case.source.at(found, notice.place)
        if more := facts.counts(number).notices - sum(notice.count for notice in notices):
            yield Finding(Kind.NOTICE, Weight.NOTE, MORE, log=label, count=more)
