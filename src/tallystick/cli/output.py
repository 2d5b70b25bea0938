"""How output looks: results on stdout, talk on stderr, nothing that a terminal would act on."""

import shutil
import sys

import click

from tallystick.reports.words import number, plural, safe, size, when

__all__ = ["columns", "complain", "is_terminal", "is_watched", "number", "plural", "safe", "say", "size", "when"]


def say(message: str) -> None:
    """Say something that is no result."""
    click.echo(message, err=True)


def complain(message: str) -> None:
    """Say what went wrong."""
    click.echo(f"tallystick: {safe(message)}", err=True)


def is_terminal() -> bool:
    """Is standard error a terminal?"""
    return sys.stderr.isatty()


def is_watched() -> bool:
    """Is standard output a terminal?"""
    return sys.stdout.isatty()


def columns() -> int | None:
    """Return the width of the terminal that standard output is, None if it is none."""
    return shutil.get_terminal_size().columns if is_watched() else None
