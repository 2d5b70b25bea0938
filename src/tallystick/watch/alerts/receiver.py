"""What takes events: the one thing that a receiver does, and the two ways in which it fails.

>>> isinstance(RefusedError("answers 403"), DeliveryError), AwayError("answers 429", after=5.0).after
(True, 5.0)
"""

import threading
from typing import Any, Protocol

from tallystick.errors import TallystickError

__all__ = ["AwayError", "DeliveryError", "Receiver", "RefusedError"]


class DeliveryError(TallystickError):
    """An event was not delivered; it is tried again. Its text holds no secret."""

    is_about_event = False
    """May the content of the event be the cause?"""


class AwayError(DeliveryError):
    """The receiver takes nothing at present.

    Args:
        message: What happened.
        after: Seconds that it asks to wait for; None if it asks for nothing.
        is_about_event: May the content of the event be the cause?
    """

    def __init__(self, message: str, *, after: float | None = None, is_about_event: bool = False) -> None:
        super().__init__(message)
        self.after = after
        self.is_about_event = is_about_event


class RefusedError(DeliveryError):
    """The receiver does not take this event; another one it may take."""

    is_about_event = True


class Receiver(Protocol):
    """A command, a webhook or a syslog daemon.

    Args:
        name: What it is called in messages and metrics, without any secret.
        key: What its queue is known by; the same as long as it is configured alike.
    """

    name: str
    key: str

    def deliver(self, plain: dict[str, Any], stop: threading.Event) -> None:
        """Deliver one event, within a time that is bounded, and shortly after `stop` is set.

        Raises:
            DeliveryError: It may not have been delivered.
        """
