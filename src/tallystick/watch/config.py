"""What is watched, how often, and who is alerted: values, read from a TOML file or from the command line."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tallystick.verify.request import Request
from tallystick.web.access import Web

__all__ = ["AlertCommand", "Alerts", "Config", "Entry", "Syslog", "Web", "Webhook"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: what one verification reads, with its keys; usually one log.

    Args:
        name: What it is called in states, alerts, metrics and on the page; unique.
        request: What `verify` is asked at each look; `resume` and `pins_directory` are set by the service.
        silence: Seconds without a line, checkpoint or heartbeat after which it is silent; None if it may be.
        rescan: Seconds within which each remembered byte is read again.
        labels: Labels of its own for metrics and alerts, such as `team`.
    """

    name: str
    request: Request
    silence: float | None = None
    rescan: float = 86400.0
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AlertCommand:
    """A command that is started for each event, with the event as JSON on its standard input.

    Args:
        arguments: The program and its arguments; no shell takes them apart.
    """

    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Webhook:
    """A URL to which each event is posted.

    Args:
        url: `https://…`, or `http://…` on loopback only.
        form: `json`, or `cloudevents` (structured mode of CloudEvents 1.0).
        token_file: File with a token for `Authorization: Bearer`.
        hmac_file: File with the key of an HMAC-SHA-256 over the body, sent as `X-Tallystick-Signature`.
    """

    url: str = dataclasses.field(repr=False)
    form: str = "json"
    token_file: Path | None = None
    hmac_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Syslog:
    """A syslog daemon (RFC 5424).

    Args:
        address: `unix:PATH`, `udp:HOST:PORT` or `tcp:HOST:PORT`.
        facility: Its facility, such as `auth`.
    """

    address: str = "unix:/dev/log"
    facility: str = "auth"


@dataclass(frozen=True, slots=True)
class Alerts:
    """Who is alerted.

    Args:
        to: Commands, webhooks and syslog daemons; each gets each event.
        repeat: Seconds after which a state that lasts is reported again; None for never.
    """

    to: tuple[AlertCommand | Webhook | Syslog, ...] = ()
    repeat: float | None = 14400.0


@dataclass(frozen=True, slots=True)
class Config:
    """What the service does.

    Args:
        entries: What is watched.
        state: Directory of the service: what was verified, standings, queued alerts. Its user's own (mode 0700).
        interval: Seconds between two looks at an entry that changes.
        stale_after: Intervals without a look that succeeded, after which an entry is stale.
        alerts: Who is alerted.
        web: Where the page is served; None for nowhere.
        jobs: Looks at the same time.
    """

    entries: tuple[Entry, ...]
    state: Path
    interval: float = 1.0
    stale_after: int = 10
    alerts: Alerts = dataclasses.field(default_factory=Alerts)
    web: Web | None = None
    jobs: int = 2
