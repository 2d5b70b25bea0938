"""What a witness serves over HTTP (spec section 11): texts are shown, questions answered; a page, metrics, its tree."""

import asyncio
import base64
import binascii
import json
import math
import re
import time
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined

from tallystick import _core
from tallystick._services import is_here
from tallystick.errors import FormatError, explain
from tallystick.web.access import Access, Web
from tallystick.web.limits import Limits, neighbourhood
from tallystick.witness.completing import Completing
from tallystick.witness.desk import Desk, Job
from tallystick.witness.errors import BusyError, StoppedError, StoreError
from tallystick.witness.known import KnownLogs
from tallystick.witness.showing import Answer, Showing
from tallystick.witness.store import Store
from tallystick.witness.tiles import Tiles

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

__all__ = ["WitnessSite"]

_LARGEST = 2**20  # bytes of a body
_PATIENCE = 10.0  # seconds for all of it
_OPEN = re.compile(r"/(?:log/|checkpoint$|tile/)")
_PER_ADDRESS = (5000.0, 20_000.0)  # texts and receipts a second, and at once
_PER_LOG = (1000.0, 4000.0)  # texts that were accepted: what strangers show takes nothing from its writer
_PER_REQUEST = 10.0  # texts that a request counts as beside them, by what it costs
_PER_FILE = 50.0  # texts that a file of receipts counts as
_PER_KEPT = 0.1  # texts that one counts as which is kept and was looked at
_NEW_PER_ADDRESS = (0.1, 30.0)  # logs that nobody named
_PLAIN = "text/plain; charset=utf-8"


class _RefusedError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, detail: str, wait: float | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.wait = status, detail, wait


class WitnessSite:
    """What a witness serves.

    Args:
        web: Who may read the page and the metrics.
        desk: Where the store is read and written.
        showing: What is done about texts and questions.
        known: The logs that are known.
        tiles: What is published of the witness's own tree.
        completing: What completes receipts.
        name: Name of the witness's key.
    """

    def __init__(
        self,
        web: Web,
        desk: Desk,
        showing: Showing,
        known: KnownLogs,
        tiles: Tiles,
        completing: Completing,
        name: str,
    ) -> None:
        self.has_token, self._tiles, self._completing = web.token_file is not None, tiles, completing
        self._web, self._desk, self._showing, self._known, self._name = web, desk, showing, known, name
        self._addresses, self._logs, self._new = Limits(*_PER_ADDRESS), Limits(*_PER_LOG), Limits(*_NEW_PER_ADDRESS)

    def application(self, host: str) -> "ASGIApp":
        """Return what answers requests at a numeric address."""
        # These need the extra's packages.
        from starlette.applications import Starlette
        from starlette.exceptions import HTTPException
        from starlette.routing import Route

        from tallystick.web.guard import Guard

        may_read = is_here(host) or self.has_token or self._web.client_ca is not None
        routes = [
            Route("/log/{root}", self._show, methods=["POST"]),
            Route("/log/{root}", self._ask, methods=["GET"]),
            Route("/log/{root}/forks", self._forks, methods=["GET"]),
            Route("/log/{root}/receipts", self._receipts, methods=["GET"]),
            Route("/log/{root}/proof/{text}", self._proof, methods=["GET"]),
            Route("/checkpoint", self._checkpoint, methods=["GET"]),
            Route("/tile/{path:path}", self._tile, methods=["GET"]),
            Route("/", self._page),
            Route("/page.css", self._style),
            Route("/metrics", self._metrics),
            Route("/healthz", self._health),
        ]
        handlers: Any = {HTTPException: _refused, _RefusedError: _refused, Exception: _broken}
        app = Starlette(routes=routes, exception_handlers=handlers)
        app.router.redirect_slashes = False
        access = Access.of(self._web, host) if may_read else None
        return Guard(app, access, "tallystick witness", lambda path: _OPEN.match(path) is not None)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Nothing is to be started."""

    def stop(self) -> None:
        """Nothing is to be stopped."""

    def join(self) -> None:
        """Nothing is to be waited for."""

    async def _show(self, request: "Request") -> "Response":
        root, address = _b64(request.path_params["root"]), _address(request)
        _patient(self._addresses.wait(address, _PER_REQUEST, time.monotonic()))
        if not self._known.knows(root):
            if self._known.most == 0:
                raise _RefusedError(404, "this witness does not know the log")
            _patient(self._new.wait(address, 1.0, time.monotonic()))
        body = await _body(request)
        try:
            brought = _core.read_shown(body)
        except FormatError as error:
            raise _RefusedError(400, str(error)) from None
        if not brought:
            raise _RefusedError(400, "no text is shown")
        cost = float(sum(1 + len(receipts) for _, _, receipts in brought))
        _patient(self._addresses.wait(address, cost, time.monotonic()))
        _patient(self._logs.wait(root, 0.0, time.monotonic()))
        return self._answered(request, root, await self._done(self._showing.show(root, brought)))

    async def _ask(self, request: "Request") -> "Response":
        root, nonce = _b64(request.path_params["root"]), _b64(request.query_params.get("nonce", ""))
        self._admit(request, root)
        return self._answered(request, root, await self._done(self._showing.ask(root, nonce)))

    def _answered(self, request: "Request", root: bytes, answer: Answer) -> "Response":
        """Give an answer, and count what it took."""
        self._logs.charge(root, float(answer.accepted), time.monotonic())
        self._addresses.charge(_address(request), answer.kept * _PER_KEPT, time.monotonic())
        return _plain(answer)

    async def _forks(self, request: "Request") -> "Response":
        root = _b64(request.path_params["root"])
        self._admit(request, root)
        return _plain(await self._done(self._showing.contradictions(root)))

    async def _proof(self, request: "Request") -> "Response":
        root, text = _b64(request.path_params["root"]), _b64(request.path_params["text"])
        self._admit(request, root)
        return _found(await self._done(self._checked(self._completing.proof(root, text))), _PLAIN)

    async def _receipts(self, request: "Request") -> "Response":
        root = _b64(request.path_params["root"])
        self._admit(request, root, _PER_FILE)
        return _found(await self._done(self._checked(self._completing.receipts(root))), _PLAIN)

    async def _checkpoint(self, request: "Request") -> "Response":
        _patient(self._addresses.wait(_address(request), _PER_REQUEST, time.monotonic()))
        return _found(await self._done(self._checked(self._tiles.checkpoint)), _PLAIN)

    def _checked(self, job: Job[str | None]) -> Job[str | None]:
        """Do a job that signs, if anything may be signed."""

        def checked(store: Store, now: int) -> Callable[[], str | None]:
            self._showing.check(store)
            return job(store, now)

        return checked

    async def _tile(self, request: "Request") -> "Response":
        _patient(self._addresses.wait(_address(request), _PER_REQUEST, time.monotonic()))
        tile = await self._done(self._tiles.tile(request.path_params["path"]))
        return _found(tile, "application/octet-stream", {"cache-control": "public, max-age=31536000, immutable"})

    def _admit(self, request: "Request", root: bytes, cost: float = _PER_REQUEST) -> None:
        _patient(self._addresses.wait(_address(request), cost, time.monotonic()))
        if not self._known.knows(root):
            raise _RefusedError(404, "this witness does not know the log")

    async def _done(self, job: Job[Any]) -> Any:
        """Let the desk do a job."""
        try:
            return await asyncio.wrap_future(self._desk.submit(job))
        except BusyError as error:
            raise _RefusedError(503, str(error), 1.0) from None
        except StoppedError as error:
            raise _RefusedError(503, explain(error), 600.0) from None
        except StoreError:
            raise _RefusedError(503, "the witness's store fails; its own log says how", 10.0) from None

    async def _page(self, request: "Request") -> "Response":
        from starlette.responses import HTMLResponse

        logs, stopped = await self._done(lambda store, now: _constant((_rows(store, now), store.stopped())))
        text = _template().render(name=self._name, logs=logs, stopped=stopped, trouble=self._desk.trouble)
        return HTMLResponse(text.encode("ascii", "xmlcharrefreplace"))

    async def _style(self, request: "Request") -> "Response":
        from starlette.responses import Response

        return Response(_part("page.css"), media_type="text/css")

    async def _metrics(self, request: "Request") -> "Response":
        from starlette.responses import Response

        from tallystick.witness.metrics import exposition

        def job(store: Store, now: int) -> Callable[[], Any]:
            return _constant((store.overview(), store.stopped() is not None, self._completing.sizes(store)))

        overview, stopped, sizes = await self._done(job)
        accepted = self._showing.accepted
        kind, text = exposition(overview, stopped, accepted, sizes, request.headers.get("accept", ""))
        return Response(text, headers={"content-type": kind})

    async def _health(self, request: "Request") -> "Response":
        """It is well if it can sign: the store takes what is written, and it has not stopped."""
        from starlette.responses import Response

        stopped = await self._done(lambda store, now: _constant(store.stopped()))
        if stopped is not None:
            raise _RefusedError(503, "the witness has stopped, until its operator acts")
        return Response(json.dumps({"status": "ok"}) + "\n", media_type="application/json")


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value


def _rows(store: Store, now: int) -> list[dict[str, Any]]:
    """Return what the page shows of each log."""
    rows = []
    for one in store.overview():
        until, age = None, None
        if one.newest is not None:
            parsed = _core.parse_shown(one.newest.text)
            until, age = ".".join(map(str, parsed.until)), (now - one.newest.time) // 1000
        key = base64.urlsafe_b64encode(one.root).rstrip(b"=").decode()
        rows.append({"name": one.name, "root": key, "until": until, "age": age, "kept": one.kept, "forks": one.forks})
    return rows


def _b64(text: str) -> bytes:
    """Read 32 bytes in base64url without padding; the one spelling that they have."""
    try:
        data = base64.b64decode(text + "=", altchars="-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != 32 or base64.urlsafe_b64encode(data).rstrip(b"=").decode() != text:
        raise _RefusedError(400, "32 bytes in base64url without padding are wanted")
    return data


def _address(request: "Request") -> str:
    return neighbourhood(request.client.host if request.client is not None else "")


def _patient(wait: float) -> None:
    if wait > 0:
        raise _RefusedError(429, "too much at once", wait)


async def _body(request: "Request") -> bytes:
    """Read a body, in bounds of time and room."""
    body = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE):
            async for part in request.stream():
                body += part
                if len(body) > _LARGEST:
                    raise _RefusedError(413, f"a body has at most {_LARGEST} bytes")
    except TimeoutError:
        raise _RefusedError(408, f"the body did not come within {_PATIENCE:.0f} s") from None
    return bytes(body)


def _found(body: str | bytes | None, kind: str, headers: dict[str, str] | None = None) -> "Response":
    from starlette.responses import Response

    if body is None:
        raise _RefusedError(404, "there is nothing at this path, or not yet")
    return Response(body, 200, headers, kind)


def _plain(answer: Answer) -> "Response":
    from starlette.responses import Response

    return Response(answer.body, answer.status, media_type=_PLAIN)


def _refused(request: "Request", error: Exception) -> "Response":
    from tallystick.web.problems import problem

    if not isinstance(error, _RefusedError):
        return problem(getattr(error, "status_code", 500), "there is nothing at this path")
    headers = {"connection": "close"} if error.status in (408, 413) else {}
    if error.wait is not None:
        headers["retry-after"] = str(math.ceil(error.wait))
    return problem(error.status, error.detail, headers)


def _broken(request: "Request", error: Exception) -> "Response":
    from tallystick.web.problems import problem

    return problem(500, "something went wrong here; the witness's own log says what")


@cache
def _part(name: str) -> str:
    return resources.files("tallystick.witness").joinpath("page", name).read_text("utf-8")


@cache
def _template() -> Any:
    return Environment(autoescape=True, undefined=StrictUndefined).from_string(_part("page.html.j2"))
