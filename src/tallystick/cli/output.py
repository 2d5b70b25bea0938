"""How output looks: results on stdout, talk on stderr, nothing that a terminal would act on."""

import datetime
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import click

__all__ = [
    "coloured",
    "complain",
    "is_terminal",
    "is_watched",
    "number",
    "plural",
    "progress",
    "safe",
    "say",
    "size",
    "when",
]

_COLOURS = {"ok": "green", "incomplete": "yellow", "failed": "red", "note": "cyan"}


def say(message: str) -> None:
    """Say something that is no result."""
    click.echo(message, err=True)


def complain(message: str) -> None:
    """Say what went wrong."""
    click.echo(f"tallystick: {safe(message)}", err=True)


def safe(text: str) -> str:
    """Return text in which nothing makes a terminal do anything: names of files are an attacker's choice."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def number(value: int) -> str:
    """Return a number for people."""
    return f"{value:,}"


def plural(count: int, word: str) -> str:
    """Return a number with its noun."""
    return f"{number(count)} {word}{'' if count == 1 else 's'}"


def size(value: int) -> str:
    """Return a number of bytes for people."""
    amount = float(value)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError


def when(ms: int) -> str:
    """Return a time as RFC 3339, in UTC."""
    try:
        moment = datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC)
    except (OverflowError, ValueError):
        return f"{ms} ms after 1970"
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def coloured(word: str) -> str:
    """Return a verdict or weight in its colour, if this is a terminal."""
    return click.style(word, fg=_COLOURS[word], bold=True)


def is_terminal() -> bool:
    """Is standard error a terminal?"""
    return sys.stderr.isatty()


def is_watched() -> bool:
    """Is standard output a terminal?"""
    return sys.stdout.isatty()


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Give what shows progress, in bytes done and to do: a bar on a terminal, for what takes a while."""
    with ExitStack() as stack:
        bar: Any = None
        before = 0

        def told(done: int, total: int) -> None:
            nonlocal bar, before
            if not is_terminal() or total < 100_000_000:
                return
            if bar is None:
                bar = stack.enter_context(click.progressbar(length=total, label=label, file=sys.stderr))
            bar.update(done - before)
            before = done

        yield told
