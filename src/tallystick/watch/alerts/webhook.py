"""A URL as receiver: each event is posted to it, as plain JSON or in the structured mode of CloudEvents 1.0.

The certificate is checked against the system's authorities (or SSL_CERT_FILE); `http` goes to loopback only.
Redirects are not followed. One post takes at most 20 seconds in all, and little of the answer is read. `https` goes
through the proxy that the environment names, if it names one; what it carries stays encrypted. `http` never does.

Token and key are read from their files for each post. With a key the post carries
`X-Tallystick-Signature: t=SECONDS,v1=HEX`: HMAC-SHA-256 over the seconds since 1970, a dot and the body. A receiver
refuses those that are too old, so that nobody can send an old one again.

>>> signature(b"key", 1764201600, b"{}")
't=1764201600,v1=48918fbf1778e8315aca04da0af1f21121480d629aa0a89a2dfaf35739827318'
"""

import asyncio
import contextvars
import datetime
import hashlib
import hmac
import logging
import os
import socket
import ssl
import threading
import time
import urllib.parse
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from tallystick import securefile, volumes
from tallystick._services import is_here, library
from tallystick.errors import TallystickError
from tallystick.watch.alerts.form import as_line, clipped, cloud_event
from tallystick.watch.alerts.receiver import AwayError, RefusedError
from tallystick.watch.config import Webhook

__all__ = ["WebhookUrl", "signature"]

_POSTING = contextvars.ContextVar("posting", default=False)

_SECONDS = 20.0
_ANSWER = 65536  # bytes of an answer that are read
_SECRET = 4096  # bytes of a token or key at most
_LONGEST_REST = 3600.0  # seconds; no receiver makes us wait longer
_PASSING = (408, 425, 429, 502, 503, 504)  # statuses that are not about the event


class WebhookUrl:
    """A URL as receiver.

    Args:
        config: The URL, the form, and the files with token and key.
        seconds: What one post may take.

    Raises:
        TallystickError: The URL or the form is invalid, or httpx is not installed.
    """

    def __init__(self, config: Webhook, seconds: float = _SECONDS) -> None:
        self._httpx = library("httpx", "watch", TallystickError)
        logging.getLogger("httpx").addFilter(_is_not_ours)
        self._config, self._seconds = config, seconds
        self._url = self._checked(config.url)
        place = self._url.netloc.rpartition("@")[2].encode("ascii", "backslashreplace").decode()
        self.name = f"webhook {self._url.scheme}://{clipped(place, 100)}"  # path and query may be secret
        self.key = f"webhook\0{config.url}\0{config.form}"
        if config.form not in ("json", "cloudevents"):
            raise TallystickError(f"no form of a webhook is called {clipped(config.form, 40)}",
                                  hint="json or cloudevents")  # fmt: skip

    def deliver(self, plain: dict[str, Any], stop: threading.Event) -> None:
        """Post one event."""
        body, kind = as_line(plain), "application/json"
        if self._config.form == "cloudevents":
            source = f"urn:tallystick:watch:{urllib.parse.quote(socket.gethostname(), safe='')}"
            body, kind = as_line(cloud_event(plain, source)), "application/cloudevents+json"
        headers = {"Content-Type": f"{kind}; charset=utf-8", "User-Agent": "tallystick", "Accept-Encoding": "identity"}
        if self._config.token_file is not None:
            token = _secret(self._config.token_file)
            if not all(0x21 <= byte <= 0x7E for byte in token):
                raise AwayError(f"{self._config.token_file} holds no token: it is one word of ASCII")
            headers["Authorization"] = f"Bearer {token.decode()}"
        if self._config.hmac_file is not None:
            headers["X-Tallystick-Signature"] = signature(_secret(self._config.hmac_file), int(time.time()), body)
        status, after = asyncio.run(self._within(self._post(body, headers), stop))
        if 200 <= status < 300:
            return
        if 300 <= status < 400:
            raise RefusedError(f"answers {status}: redirects are not followed")
        if status in _PASSING or status >= 500:
            raise AwayError(f"answers {status}", after=after, is_about_event=status not in _PASSING)
        raise RefusedError(f"answers {status}")

    def _checked(self, url: str) -> urllib.parse.SplitResult:
        try:
            parts = urllib.parse.urlsplit(url)
            self._httpx.URL(url)
            host, _ = parts.hostname, parts.port
        except (ValueError, self._httpx.InvalidURL):
            raise TallystickError("the URL of a webhook is invalid", hint="give https://HOST/PATH") from None
        if not host or parts.scheme not in ("https", "http"):
            raise TallystickError("the URL of a webhook is invalid", hint="give https://HOST/PATH")
        if parts.username is not None or parts.password is not None:
            raise TallystickError(
                f"the URL of the webhook at {clipped(host, 100)} holds a password",
                hint="put a token into a file, and name that",
            )
        if parts.scheme == "http" and not is_here(host):
            raise TallystickError(
                f"the webhook at {clipped(host, 100)} is not encrypted", hint="give https://…; http is for loopback"
            )
        return parts

    async def _within(self, work: Any, stop: threading.Event) -> tuple[int, float | None]:
        """Do some work in the time that it may take, whatever the other side sends, and end it early if asked to."""
        task = asyncio.ensure_future(work)
        over = time.monotonic() + self._seconds
        while not task.done():
            if stop.is_set() or time.monotonic() > over:
                task.cancel()
                await asyncio.wait([task], timeout=1)
                if stop.is_set():
                    raise AwayError("the service ends")
                raise AwayError(f"does not answer within {self._seconds:g} s", is_about_event=True)
            await asyncio.wait([task], timeout=0.1)
        found: tuple[int, float | None] = task.result()
        return found

    async def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, float | None]:
        """Return the status, and the seconds that the receiver asks to wait."""
        httpx, secure = self._httpx, self._url.scheme == "https"
        _POSTING.set(True)  # in this task
        try:
            async with (
                httpx.AsyncClient(
                    verify=ssl.create_default_context() if secure else False,
                    trust_env=secure, follow_redirects=False, timeout=None,  # `_within` bounds it
                ) as client,
                client.stream("POST", self._config.url, content=body, headers=headers) as answer,
            ):  # fmt: skip
                read = 0
                async for part in answer.aiter_raw():
                    read += len(part)
                    if read > _ANSWER:
                        break
                return answer.status_code, _seconds_of(answer.headers.get("Retry-After"))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.UnsupportedProtocol) as error:
            raise AwayError(_why(error)) from None
        except (httpx.HTTPError, ssl.SSLError, OSError):
            raise AwayError("broke the connection off", is_about_event=True) from None


def signature(key: bytes, seconds: int, body: bytes) -> str:
    """Return the value of `X-Tallystick-Signature`: the MAC covers time, a dot and the body.

    Args:
        key: The key.
        seconds: Time of the post, seconds since 1970.
        body: Body of the post.
    """
    return f"t={seconds},v1={hmac.new(key, b'%d.%s' % (seconds, body), hashlib.sha256).hexdigest()}"


def _is_not_ours(_: logging.LogRecord) -> bool:
    """Return whether a record of httpx may be logged: those of posts here name the whole URL."""
    return not _POSTING.get()


def _why(error: BaseException) -> str:
    """Return why no connection came about; errors of the library may name the URL, so their texts are not shown."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not valid: {cause.verify_message}"
        cause = cause.__cause__ or cause.__context__
    return "cannot be reached"


def _secret(path: Path) -> bytes:
    """Return the content of a file that only its owner may read, or that root gives, without the line end."""
    name = os.path.abspath(path)
    try:
        with securefile.reporting(TallystickError, name):
            fd = volumes.open_given(name) if volumes.is_given(name) else securefile.open_file(name, None, os.O_RDONLY)
            try:
                found = os.read(fd, _SECRET + 1).rstrip(b"\r\n")
            finally:
                os.close(fd)
    except TallystickError as error:
        raise AwayError(str(error)) from None
    if not 0 < len(found) <= _SECRET:
        raise AwayError(f"{name} is empty or too long for a token or key")
    return found


def _seconds_of(header: str | None) -> float | None:
    """Return the seconds that `Retry-After` asks for, an hour at most; None if it is not there or invalid."""
    if header is None:
        return None
    try:
        seconds = float(header) if header.strip().isdigit() else (
            parsedate_to_datetime(header) - datetime.datetime.now(datetime.UTC)
        ).total_seconds()  # fmt: skip
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), _LONGEST_REST)
