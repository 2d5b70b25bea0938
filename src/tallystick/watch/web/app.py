"""What is answered at which path. All is read from the standings; nothing of a path reaches the file system."""

import json
import re
import time
from collections.abc import AsyncIterator, Callable
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment
from markupsafe import escape
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tallystick.reports import html, render
from tallystick.watch.standing import Standings, State
from tallystick.watch.web import api, day, words
from tallystick.watch.web.live import LISTENERS, SHARE, Live
from tallystick.watch.web.view import Demand, entry, listed
from tallystick.web.guard import owner_of
from tallystick.web.problems import ProblemError, problem

__all__ = ["Metrics", "application"]

Metrics = Callable[[Standings, str], tuple[str, bytes]]
"""Gives the metrics, for the standings and an Accept header: their content type and text."""

_STATIC = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "ok.svg": "image/svg+xml",
    "alarm.svg": "image/svg+xml",
}
_FORMS = {"json": "application/json", "sarif": "application/sarif+json", "html": "text/html; charset=utf-8"}
_DOWNLOADS = 4  # reports that are on their way at the same time
_PIECE = 65_536  # bytes of a report that are sent at once
_IDLE = 60.0  # seconds without a turn of the service's loop, after which it does not go on


def application(standings: Standings, live: Live, metrics: Metrics | None) -> Starlette:
    """Return what answers requests that may be answered."""
    site = _Site(standings, live, metrics)
    routes = [
        Route("/", site.list),
        Route("/logs/{name:path}", site.log),
        Route("/reports/{form}/{name:path}", site.report),
        Route("/api/v1/logs", site.api_list),
        Route("/api/v1/logs/{name:path}", site.api_log),
        Route("/api/v1/schema", site.api_schema),
        Route("/events", site.events),
        Route("/healthz", site.health),
        Route("/readyz", site.readiness),
        Route("/metrics", site.metrics),
        Route("/static/{name}", site.static),
    ]
    handlers: Any = {HTTPException: _refused, ProblemError: _refused, Exception: _broken}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return app


class _Site:
    """The answers. Those that are no coroutines run in threads of their own: what they read may wait for a disk."""

    def __init__(self, standings: Standings, live: Live, metrics: Metrics | None) -> None:
        self._standings, self._live, self._metrics = standings, live, metrics
        self._downloads = 0

    def list(self, request: Request) -> Response:
        found = listed(self._standings, _demand(request), _now())
        return _page("list.html.j2", list=found)

    def log(self, request: Request) -> Response:
        return _page("log.html.j2", entry=self._entry(request), axis=day.ticks(_now()))

    async def report(self, request: Request) -> Response:
        form, name = request.path_params["form"], request.path_params["name"]
        if form not in _FORMS:
            raise ProblemError(404, "there is no such form of a report")
        if self._downloads >= _DOWNLOADS:
            return problem(503, "enough reports are on their way", {"retry-after": "10"})
        self._downloads += 1
        try:
            body = await run_in_threadpool(self._rendered, name, form)
        finally:
            self._downloads -= 1
        headers = {
            "content-disposition": f'attachment; filename="{_file_name(name, form)}"',
            "content-length": str(len(body)),
        }
        return StreamingResponse(self._sent(body), 200, headers, _FORMS[form])

    def api_list(self, request: Request) -> Response:
        demand = _demand(request)
        version, now, text = self._standings.version(), _now(), demand.text.casefold()
        logs = (one for one in self._standings.all() if demand.state in (None, one.state))
        found = tuple(one for one in logs if text in one.name.casefold())
        return _json(api.several(found, version, self._standings.queued(), now))

    def api_log(self, request: Request) -> Response:
        return _json(api.one(self._entry(request)))

    def api_schema(self, request: Request) -> Response:
        return _json(api.schema(), "application/schema+json")

    async def events(self, request: Request) -> Response:
        owner = owner_of(request.scope)
        if self._live.is_served(owner):
            return problem(429, f"{SHARE} of this address listen already", {"retry-after": "30"})
        if self._live.is_full:
            return problem(503, f"{LISTENERS} listen already", {"retry-after": "30"})
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        return StreamingResponse(self._live.events(owner), media_type="text/event-stream")

    async def health(self, request: Request) -> Response:
        return _json({"status": "ok"})

    def readiness(self, request: Request) -> Response:
        if self._standings.idle() > _IDLE:
            raise ProblemError(503, "the service does not go on")
        if any(one.tried is None for one in self._standings.all()):
            raise ProblemError(503, "not every log was looked at yet")
        return _json({"status": "ok"})

    def metrics(self, request: Request) -> Response:
        if self._metrics is None:
            raise ProblemError(404, "no metrics are served")
        kind, text = self._metrics(self._standings, request.headers.get("accept", ""))
        return Response(text, headers={"content-type": kind})

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _STATIC:
            raise ProblemError(404, "there is no such file")
        return PlainTextResponse(_static(name), headers={"content-type": _STATIC[name]})

    def _entry(self, request: Request) -> Any:
        found = entry(self._standings, request.path_params["name"], _now())
        if found is None:
            raise ProblemError(404, "there is no log of that name")
        return found

    def _rendered(self, name: str, form: str) -> bytes:
        report = self._standings.report(name)
        if report is None:
            raise ProblemError(404, "there is no report on a log of that name yet")
        return render(report, form).encode()

    async def _sent(self, body: bytes) -> AsyncIterator[bytes]:
        self._downloads += 1
        try:
            for at in range(0, len(body), _PIECE):
                yield body[at : at + _PIECE]
        finally:
            self._downloads -= 1


def _refused(request: Request, error: Exception) -> Response:
    """Answer with an error: as a page to browsers that asked for one, else as JSON."""
    status = error.status if isinstance(error, ProblemError) else getattr(error, "status_code", 500)
    detail = error.detail if isinstance(error, ProblemError) else "there is nothing at this path"
    path = request.scope["path"]
    if "text/html" in request.headers.get("accept", "") and (path == "/" or path.startswith("/logs/")):
        return _page("problem.html.j2", status, detail=detail)
    return problem(status, detail)


def _broken(request: Request, error: Exception) -> Response:
    return problem(500, "something went wrong here; the service's own log says what")


def _demand(request: Request) -> Demand:
    asked = request.query_params
    states = {state.value: state for state in State}
    state, page = asked.get("state", ""), asked.get("page", "1")
    if state and state not in states:
        raise ProblemError(400, f"there is no such state; there are {', '.join(states)}")
    if not re.fullmatch(r"[1-9][0-9]{0,5}", page):
        raise ProblemError(400, "a page has a number from 1")
    return Demand(states.get(state), asked.get("q", "")[:100], int(page))


def _page(template: str, status: int = 200, **values: Any) -> Response:
    text = _environment().get_template(template).render(now=_now(), **values)
    return HTMLResponse(text.encode("ascii", "xmlcharrefreplace"), status)


def _json(value: Any, kind: str = "application/json") -> Response:
    """In ASCII, so that names which are no UTF-8 stay as they are."""
    return Response(json.dumps(value, separators=(",", ":")) + "\n", media_type=kind)


def _file_name(name: str, form: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:60].strip("-") or "log"
    return f"tallystick-{plain}.{form}"


def _now() -> int:
    return time.time_ns() // 1_000_000


@cache
def _static(name: str) -> bytes:
    """Return a static file; the style sheet is that of the report, and what the page has beyond it."""
    own = resources.files("tallystick.watch.web").joinpath("static", name).read_bytes()
    return html.part("report.css").encode() + own if name == "page.css" else own


def _template(name: str) -> str | None:
    if name == "parts.html.j2":
        return html.part(name)
    return resources.files("tallystick.watch.web").joinpath("templates", name).read_text("utf-8")


@cache
def _environment() -> Environment:
    made = html.environment(_template)
    shown = made.finalize
    made.finalize = lambda value: shown(words.brief(value) if type(value) is str else value)  # type: ignore[misc]
    # A path is whole or leads nowhere: `url` keeps it from being cut.
    made.filters |= {"age": words.age, "brief": words.brief, "url": escape}
    made.globals |= {
        "signs": words.SIGNS,
        "advice": words.ADVICE,
        "meaning": words.MEANING,
        "states": words.ORDER,
        "headline": words.headline,
        "summary": words.summary,
        "cells": day.CELLS,
    }
    return made
