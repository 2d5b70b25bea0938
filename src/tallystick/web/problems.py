"""Errors as RFC 9457 has them, as JSON for programs.

>>> problem(404, "there is no log of that name").body
b'{"type":"about:blank","title":"Not Found","status":404,"detail":"there is no log of that name"}'
"""

from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import JSONResponse

__all__ = ["ProblemError", "problem"]


class ProblemError(Exception):
    """An answer that is an error.

    Args:
        status: Its status.
        detail: What is wrong, in words.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an error as an answer."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(content, status, headers, media_type="application/problem+json")
