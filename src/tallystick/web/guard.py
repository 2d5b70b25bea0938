"""What each request meets first, and each answer last: who asks, what may be asked, and what a browser may do with it.

On pages nothing is changed by a request: GET and HEAD only, no body, and so many of one address. What is answered may
be framed, embedded, kept or run by nobody, whatever is in it. What is open to everybody has rules of its own.
"""

import logging
import math
import time
from collections.abc import Callable
from itertools import chain
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tallystick.web.access import Access
from tallystick.web.connection import LARGEST_HEAD
from tallystick.web.limits import Limits, neighbourhood
from tallystick.web.problems import problem

__all__ = ["BURST", "POLICY", "RATE", "Guard", "owner_of"]

_log = logging.getLogger("tallystick.web")

RATE = 30.0
"""Requests a second that one address may make; all who come through one proxy have one."""

BURST = 600.0
"""Requests that it may make at once."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",  # the search, which is a GET
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
"""Content security policy of all that is served."""

_HEADERS = {
    "content-security-policy": POLICY,
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_OPEN = frozenset({"/healthz", "/readyz"})  # a load balancer has no token, and they say nothing of any log


class Guard:
    """The application behind its rules.

    Args:
        app: What answers a request that may be answered.
        access: Who may read pages; None for nobody.
        realm: What a browser calls that for which it asks for a token.
        is_open: Is a path for everybody, by rules that the application has itself?
    """

    def __init__(
        self,
        app: ASGIApp,
        access: Access | None,
        realm: str,
        is_open: Callable[[str], bool] = lambda path: False,
    ) -> None:
        self._app, self._access, self._is_open = app, access, is_open
        self._limits = Limits(RATE, BURST)
        self._ask = {"www-authenticate": f'Basic realm="{realm}", charset="UTF-8", Bearer realm="{realm}"'}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        # Names in paths are bytes: those that are no UTF-8 come through as they went out.
        scope = {**scope, "path": unquote_to_bytes(scope["raw_path"]).decode("utf-8", "surrogateescape")}
        began = False

        async def guarded(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await (self._refusal(scope) or self._app)(scope, receive, guarded)
        except Exception:  # an answer has begun, or says that something went wrong
            _log.exception("a request could not be answered")
            if not began:
                raise

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a request that is not to be answered; None if it is."""
        headers = Headers(scope=scope)
        # What comes all at once is not bounded by uvicorn.
        size = len(scope["raw_path"]) + len(scope["query_string"]) + sum(map(len, chain(*headers.raw)))
        if size > LARGEST_HEAD:
            return problem(431, "the head of the request is too large", {"connection": "close"})
        if self._is_open(scope["path"]):
            return None
        # Before the token is looked at: nobody tries many.
        if scope["path"] not in _OPEN and (wait := self._limits.wait(owner_of(scope), 1.0, time.monotonic())) > 0:
            return problem(429, "too many requests at once", {"retry-after": str(math.ceil(wait))})
        if scope["method"] not in ("GET", "HEAD"):
            return problem(405, "all here is read-only", {"allow": "GET, HEAD"})
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            return problem(400, "a request has no body here", {"connection": "close"})
        if self._access is None:
            return None if scope["path"] in _OPEN else problem(403, "nothing says who may read here")
        if not self._access.is_addressed(headers.get("host", "")):
            return problem(421, "this server answers to names of loopback only, such as localhost")
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
            return problem(403, "a page of another site has asked")
        if scope["path"] not in _OPEN and not self._access.admits(headers.get("authorization", "")):
            return problem(401, "the token is missing or wrong", self._ask)
        return None


def owner_of(scope: Scope) -> str:
    """Return whose requests count together: an address, or its network."""
    client = scope.get("client")
    return neighbourhood(client[0] if client else "")
