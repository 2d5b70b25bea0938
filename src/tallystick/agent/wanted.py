"""What an agent is to do: its logs, where it listens for each, and how each is written.

>>> Place((Address.parse("unix:/run/payments.sock"),)).mode
384
"""

import os
import ssl
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tallystick.agent.address import Address
from tallystick.agent.limits import Limits
from tallystick.agent.origin import STATEMENT
from tallystick.errors import SealError, reason
from tallystick.home import nobody, user_place
from tallystick.log import Log, open_origin
from tallystick.sinks.rotation import Rotation
from tallystick.writer.origin import Origin
from tallystick.writer.outlet import Notice
from tallystick.writer.parts import Settings
from tallystick.writer.witnesses.policy import Policy

__all__ = ["Place", "Tls", "Wanted", "default_state"]


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of TLS: our certificate and its key, and the authorities whose certificates clients must show."""

    certificate: str
    key: str
    authorities: str

    def context(self) -> ssl.SSLContext:
        """Read them.

        Raises:
            SealError: One cannot be read, or others may read the key.
        """
        try:
            if stat.S_IMODE(os.stat(self.key).st_mode) & 0o077:
                raise SealError(f"{self.key} is open to other users", hint=f"run: chmod 0600 {self.key}")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.verify_mode = ssl.CERT_REQUIRED
            # A client that ends without having read its tickets resets the connection, and loses what it had sent.
            context.num_tickets = 0
            context.load_cert_chain(self.certificate, self.key)
            context.load_verify_locations(self.authorities)
        except OSError as error:
            raise SealError(
                f"the files of TLS: {reason(error)}", hint="check certificate, key and authorities"
            ) from error
        return context


@dataclass(frozen=True, slots=True)
class Place:
    """Where an agent listens for one log.

    Args:
        addresses: The addresses.
        mode: Mode of the files of Unix sockets.
        tls: Files of TLS, for addresses that need them.
    """

    addresses: tuple[Address, ...]
    mode: int = 0o600
    tls: Tls | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """One log that an agent writes.

    Args:
        name: Its name.
        output: The file that sealed lines are appended to.
        place: Where lines come from.
        state: Directory of what is remembered of clients.
        stamps: Has each line the fields of its sender?
        limits: What is taken.
        store: As for `open_log`; so are all that follow.
    """

    name: str
    output: str
    place: Place
    state: str
    stamps: bool = False
    limits: Limits = field(default_factory=Limits)
    store: str | None = None
    custody: str | None = None
    user: str | None = None
    wait: float | None = None
    rotation: Rotation | None = None
    control: str = "auto"
    epoch_lines: int = 4096
    epoch_age: float = 60.0
    durability: Any = "flush"
    on_full: Any = "block"
    heartbeat: float | None = None
    witnesses: Policy = field(default_factory=Policy)

    def open(self, report: Callable[[str], None]) -> Log:
        """Open the log.

        Raises:
            TallystickError: As for `open_log`.
        """
        settings = Settings(
            self.custody, self.control, self.epoch_lines, self.epoch_age, self.durability, self.on_full, self.heartbeat,
            report, Notice("origin", STATEMENT) if self.stamps else None, self.witnesses,
        )  # fmt: skip
        origin = Origin(self.name, self.output, self.store, self.custody, self.rotation, self.user, self.wait)
        return open_origin(origin, settings)


def default_state() -> str:
    """Return the directory of what is remembered of clients.

    Raises:
        SealError: This user has no home.
    """
    if os.geteuid() == 0:
        return "/var/lib/tallystick-agent"
    place = user_place("XDG_STATE_HOME", ".local/state")
    if place is None:
        raise SealError(f"{nobody()}, so there is no place for what is remembered of clients", hint="name one: --state")
    return f"{place}-agent"
