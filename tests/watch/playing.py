"""A service in this process, with a live writer, for tests: short intervals, a list of what was reported."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tallystick
from tallystick.errors import TallystickError
from tallystick.verify.request import Request
from tallystick.watch.config import Config, Entry
from tallystick.watch.events import Event
from tallystick.watch.outlets import Outlets
from tallystick.watch.service import Service
from tallystick.watch.standing import State
from tests.servers import until

INTERVAL = 0.2


@dataclass
class Site:
    """A key store, and logs with one directory each."""

    path: Path

    @property
    def place(self) -> dict[str, Any]:
        """Where keys are."""
        return {"store": f"file:{self.path}/store"}

    def log(self, name: str) -> Path:
        """Set a log up; return its file."""
        directory = self.path / name
        directory.mkdir()
        custody = f"master-key:{self.path}/master.key"
        tallystick.create(name, **self.place, custody=custody, key_file=self.path / f"{name}.key")
        return directory / "app.log"

    def entry(self, name: str, **more: Any) -> Entry:
        """Return the entry of a log."""
        request = Request(paths=(f"{self.path}/{name}",), keys=(f"{self.path}/{name}.key",), **self.place)
        return Entry(name, request, **more)

    def config(self, *entries: Entry, **more: Any) -> Config:
        """Return a configuration."""
        return Config(entries, self.path / "watch", **{"interval": INTERVAL, **more})

    @contextlib.contextmanager
    def writing(self, name: str, pause: float = 0.005, **more: Any) -> Iterator[Any]:
        """Write lines until the block ends."""
        stop = threading.Event()
        with tallystick.open(name, output=str(self.path / name / "app.log"), **self.place, **more) as log:
            log.write("first")

            def write() -> None:
                number = 0
                while not stop.wait(pause):
                    with contextlib.suppress(TallystickError):
                        log.write(f"user={number} action=login")
                    number += 1

            thread = threading.Thread(target=write)
            thread.start()
            try:
                yield log
            finally:
                stop.set()
                thread.join()


class Recorded(Outlets):
    """Outlets that keep what was handed on."""

    def __init__(self, config: Config, say: Callable[[str], None]) -> None:
        super().__init__(config, say)
        self.events: list[Event] = []

    def send(self, event: Event) -> bool:
        """Keep an event, and hand it on."""
        self.events.append(event)
        return super().send(event)


class Watching(Service):
    """A service that keeps what it reported."""

    def __init__(self, config: Config, **more: Any) -> None:
        self.said: list[str] = []
        outlets = Recorded(config, self.said.append)
        self.events = outlets.events
        super().__init__(config, say=self.said.append, outlets=outlets, **more)

    def of(self, name: str) -> list[tuple[State, State]]:
        """Return the changes of an entry."""
        return [(event.before, event.after) for event in self.events if event.entry == name]

    def comes_to(self, name: str, state: State) -> None:
        """Wait until an entry is in a state."""
        until(lambda: (one := self.board.one(name)) is not None and one.state is state, f"{name} to be {state.value}")


def changed(config: Config, **more: Any) -> Config:
    """Return another configuration."""
    return replace(config, **more)


def edited(path: Path, edit: Callable[[bytes], bytes]) -> None:
    """Change a file in its place, as an intruder does; what is appended meanwhile may be lost."""
    path.write_bytes(edit(path.read_bytes()))
