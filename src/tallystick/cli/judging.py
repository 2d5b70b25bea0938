"""Options that say by what a log is judged, which `verify`, `watch` and `cat` share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from tallystick.cli.command import option
from tallystick.cli.options import envelope_option, field_option, last_option, start_option
from tallystick.cli.streams import INPUT
from tallystick.cli.values import DURATION
from tallystick.verify import ALLOWED

__all__ = [
    "NO_KEY",
    "ask_witnesses",
    "check_witness_options",
    "expect_option",
    "judging_options",
    "keys_options",
    "pins_option",
    "witness_options",
]

F = TypeVar("F", bound=Callable[..., Any])

NO_KEY = "no key was given; give the verification key with --key or the public file with --public"


class _Allowed(click.Choice[str]):
    """In a variable they are separated by commas, for one of them has a space in it."""

    envvar_list_splitter = ","


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(value.split(",")) if value else ()


def _directory(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Return the directory of pins: the one that was named, none, or the one beside this user's logs."""
    from tallystick.verify.pins import default_directory

    return None if value == "none" else value or default_directory()


_KEYS = (
    option("--key", "keys", multiple=True, type=INPUT, metavar="FILE", help="Verification key; one for each log."),
    option("--public", multiple=True, type=INPUT, metavar="FILE", help="Public file, to check without a secret."),
)
_JUDGING = (
    start_option,
    last_option,
    option("--allow", multiple=True, type=_Allowed(ALLOWED), metavar="WHAT",
           help="duplicate, narrowed, 'open end', reordered."),
    option("--subset", is_flag=True, help="Lines were filtered out: judge no gaps."),
    envelope_option,
    field_option,
    option("--added", metavar="NAMES", callback=_names, help="JSON members that a carrier added."),
    option("--exceptions", type=INPUT, metavar="FILE", help="Findings that are known, with reasons."),
)  # fmt: skip
_WITNESSES = (
    option("--witness", "witnesses", multiple=True, metavar="URL=KEY", help="A witness that must vouch for the end."),
    option("--receipts", multiple=True, type=INPUT, metavar="FILE", help="Receipts and signed heads to meet."),
    option("--fresh", type=DURATION, metavar="TIME", help="A witness must have heard of the log within [10m]."),
    option("--quorum", type=int, metavar="K", help="How many witnesses are enough [all]."),
)

expect_option = option("--expect", multiple=True, metavar="NAME", help="A log that must be here.")
pins_option = option("--pins", "pins_directory", type=click.Path(), metavar="DIR", callback=_directory,
                     help="Where pins are remembered, or `none`.")  # fmt: skip


def keys_options(command: F) -> F:
    """Add the keys of the logs, of which `verify` and `watch` take several."""
    return _added(command, _KEYS)


def judging_options(command: F) -> F:
    """Add what is asked of a log, and how its lines were carried."""
    return _added(command, _JUDGING)


def witness_options(command: F) -> F:
    """Add what is asked of witnesses, which `verify`, `watch` and `cat` share."""
    return _added(command, _WITNESSES)


def check_witness_options(options: dict[str, Any]) -> None:
    """Refuse what goes with witnesses where none is named; leave out what was not said."""
    if not options["witnesses"] and (options["fresh"] is not None or options["quorum"] is not None):
        raise click.UsageError("--fresh and --quorum go with --witness")
    if options["fresh"] is None:
        del options["fresh"]


def ask_witnesses(options: dict[str, Any]) -> None:
    """Check what was asked of witnesses, and add what asks them, for a verification that takes place now."""
    check_witness_options(options)
    if options["witnesses"]:  # nobody else waits for what speaks HTTP
        from tallystick.witness.client import ask

        options["ask"] = ask


def _added(command: F, options: tuple[Callable[[F], F], ...]) -> F:
    for add in reversed(options):
        command = add(command)
    return command
