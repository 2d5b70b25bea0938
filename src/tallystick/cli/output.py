"""How output looks: results on stdout, talk on stderr, nothing that a terminal would act on."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli.command import is_quiet
from tallystick.errors import explain
from tallystick.reports.words import number, plural, safe, size, when
from tallystick.secreturl import without_passwords

if TYPE_CHECKING:
    from tallystick.verify.report import Finding

__all__ = [
    "COLOURS",
    "columns",
    "complain",
    "is_terminal",
    "is_watched",
    "number",
    "plural",
    "progress",
    "safe",
    "said",
    "say",
    "size",
    "when",
]

_LARGE = 100_000_000  # bytes; more than that gets a progress bar


_BAR = (
    "bar.back", "bar.complete", "bar.finished", "bar.pulse", "progress.description", "progress.download",
    "progress.data.speed", "progress.remaining",
)  # fmt: skip


COLOURS = {"ok": "green", "incomplete": "yellow", "failed": "red"}
"""Of each verdict."""


def said(finding: "Finding") -> str:
    """Return a finding in a few words: its kind, line and positions."""
    where = f"line {number(finding.line)}" if finding.line else ""
    at = f"{finding.position}{f' to {finding.to}' if finding.to else ''}" if finding.position else ""
    return ", ".join(part for part in (finding.kind, where, at) if part)


def say(message: str) -> None:
    """Say something that is not a result, unless `--quiet` was given."""
    if not is_quiet():
        click.echo(safe(message), err=True)


def complain(problem: str | BaseException) -> None:
    """Print an error: what happened and, if it has a hint, what to do. No other place prints hints.

    Where standard error is closed, sealing and verifying go on all the same.
    """
    text = without_passwords(problem if isinstance(problem, str) else explain(problem))
    with suppress(OSError):
        click.echo(f"tallystick: {safe(text)}", err=True)


def is_terminal() -> bool:
    """Is standard error a terminal?"""
    return sys.stderr is not None and sys.stderr.isatty()


def is_watched() -> bool:
    """Is standard output a terminal?"""
    return sys.stdout.isatty()


def columns() -> int | None:
    """Return the width of the terminal on standard output, None if there is no terminal."""
    if not is_watched():
        return None
    import shutil  # only here: what it imports takes a while

    return shutil.get_terminal_size().columns


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function that shows progress, in bytes done and to do: a bar on a terminal, for large inputs."""
    with ExitStack() as stack:
        bar: Any = None

        def step(done: int, total: int) -> None:
            nonlocal bar
            if is_quiet() or not is_terminal() or total < _LARGE:
                return
            if bar is None:
                bar = stack.enter_context(_bar())
                bar.add_task(label, total=total)
            bar.update(bar.task_ids[0], completed=done)

        yield step


def _bar() -> Any:
    """Return a progress bar with rate and time left, on standard error."""
    from rich import progress
    from rich.console import Console
    from rich.theme import Theme

    # No colour of a verdict before there is one: of what rich has by itself, the bar and the rate are red.
    plain = Theme(dict.fromkeys(_BAR, "none") | {"bar.back": "dim"})

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(file=sys.stderr, theme=plain),
        transient=True,
    )
