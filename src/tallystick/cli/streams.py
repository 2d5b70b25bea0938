"""Standard input and output by their names: `-`, and those that the system gives them.

>>> is_output("-"), is_output("/dev/stdout"), is_output("audit.log")
(True, True, False)
"""

import os
import select
from typing import Any

import click

__all__ = ["INPUT", "STDIN", "STDOUT", "file_or_output", "input_or_stdin", "is_output", "only_one", "reader_is_gone"]

STDIN, STDOUT = 0, 1
# Opened by these names a file behind standard output would be truncated, or written from its start.
_OUTPUTS = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
_READ = "tallystick.cli.streams.read"


def is_output(path: str | os.PathLike[str] | None) -> bool:
    """Does a name mean standard output?"""
    return path is not None and os.fspath(path) in _OUTPUTS


def file_or_output(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """As callback of an option: return the file that is written, None for standard output."""
    return None if is_output(value) else value


def only_one(**places: bool) -> None:
    """Refuse a command of which several results would go to standard output.

    Args:
        places: Name of a result, and whether that is where it goes.
    """
    there = [name.replace("_", " ") for name, goes in places.items() if goes]
    if len(there) > 1:
        raise click.UsageError(f"{' and '.join(there)} cannot go to standard output together; name a file for one")


def reader_is_gone() -> bool:
    """Has the reader of standard output gone, as in `tallystick verify … | head`?"""
    poll = select.poll()
    poll.register(1, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


class _Input(click.Path):
    """A file that is read, or `-` for standard input, which can be read once."""

    def __init__(self, stdin: str) -> None:
        super().__init__()
        self._stdin = stdin

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "-" and ctx is not None:
            asked = param.get_error_hint(ctx) if param is not None else "-"
            if ctx.meta.setdefault(_READ, asked) != asked:
                self.fail(f"standard input is read for {ctx.meta[_READ]} already; name a file", param, ctx)
            value = self._stdin
        return super().convert(value, param, ctx)


INPUT = _Input("/dev/stdin")
"""A file that is opened by its name."""

input_or_stdin = _Input("-")
"""A file that the command opens; `-` stays as it is."""
