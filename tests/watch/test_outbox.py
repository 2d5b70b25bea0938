"""Events are handed on once they are durable, and many of them become so together."""

import time
from pathlib import Path
from typing import Any

from tallystick.watch.events import Event, Reason
from tallystick.watch.kept import Kept
from tallystick.watch.outbox import Outbox
from tallystick.watch.standing import State


class Sent:
    """Takes events."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def send(self, event: Event) -> bool:
        """Take one."""
        self.ids.append(event.id)
        return True


def event(id: str) -> Event:
    """Return an event."""
    return Event(id, 0, "app", Reason.CHANGE, State.OK, State.STALE, 0)


def test_where_much_happens_it_is_written_together_and_nothing_waits_for_more_than_a_second(tmp_path: Path) -> None:
    """Standings of thousands of entries are written as a whole: once for each event would take all the time."""
    sent, writes = Sent(), list[float]()

    def entries() -> dict[str, Any]:
        time.sleep(0.05)
        writes.append(time.monotonic())
        return {}

    outbox = Outbox(Kept(tmp_path / "state"), sent, lambda _: None)
    outbox.add(event("first"))
    outbox.keep(100.0, entries)
    assert sent.ids == ["first"]  # nothing else happens: at once
    for number in range(100):
        outbox.add(event(str(number)))
        outbox.keep(100.0 + number / 1000, entries)
    assert (sent.ids, len(writes)) == (["first"], 1)
    assert outbox.due <= 101.0
    outbox.keep(101.0, entries)
    assert (len(sent.ids), len(writes)) == (101, 2)
