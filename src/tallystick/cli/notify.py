"""Notifications for a service manager: systemd's protocol for Type=notify, a datagram to $NOTIFY_SOCKET.

>>> notify_manager("READY=1")                     # without NOTIFY_SOCKET nothing happens
"""

import os
import socket

from tallystick.cli.output import complain
from tallystick.errors import reason

__all__ = ["notify_manager"]


def notify_manager(*states: str) -> None:
    """Notify the service manager, if there is one that asks for it.

    Args:
        states: Assignments such as `READY=1` or `STATUS=…`, each without a line end.
    """
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place:
        return
    # An abstract socket is written with @ and addressed with NUL.
    address = "\0" + place[1:] if place.startswith("@") else place
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
            way.settimeout(5)  # a manager that does not read must not hold up sealing
            way.sendto("\n".join(states).encode("utf-8", "surrogateescape"), address)
    except OSError as error:
        complain(f"NOTIFY_SOCKET {place}: {reason(error)}; the service manager was not notified of {states[0]}")
