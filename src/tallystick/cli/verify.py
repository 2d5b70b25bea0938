"""`tallystick verify`: checks sealed logs and says what happened to them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from tallystick.cli import output as look
from tallystick.cli.command import Command, option
from tallystick.cli.options import (
    envelope_option,
    field_option,
    head_option,
    last_option,
    start_option,
    store_option,
    witness_options,
)
from tallystick.cli.reporting import STATUS, deliver, refuse_input, report_options
from tallystick.cli.streams import INPUT, Output, input_or_stdin
from tallystick.cli.values import DURATION
from tallystick.reports import DIGESTED
from tallystick.verify import ALLOWED

if TYPE_CHECKING:
    from tallystick.verify import Report

__all__ = ["allow_option", "command", "judged", "judging_options"]

F = TypeVar("F", bound=Callable[..., Any])

_EPILOG = f"""{STATUS}

Example: tallystick verify audit.log* --key payments.key
"""


class _Allowed(click.Choice[str]):
    """In a variable they are separated by commas, for one of them has a space in it."""

    envvar_list_splitter = ","


allow_option = option(
    "--allow",
    multiple=True,
    type=_Allowed(ALLOWED),
    metavar="WHAT",
    help="'as of', duplicate, narrowed, 'open end', reordered.",
)


_KEYS = (
    option("--key", "keys", multiple=True, type=INPUT, metavar="FILE", help="Verification key; one for each log."),
    option("--public", multiple=True, type=INPUT, metavar="FILE", help="Public file, to check without a secret."),
    store_option,
    head_option,
    option("--pins", type=click.Path(), metavar="DIR", help="Where pins are remembered, or `none`."),
    start_option,
    last_option,
    option("--expect", multiple=True, metavar="NAME", help="A log that must be here."),
    allow_option,
    option("--subset", is_flag=True, help="Lines were filtered out: judge no gaps."),
    envelope_option,
    field_option,
    option("--added", metavar="NAMES", help="JSON members that a carrier added."),
    option("--exceptions", type=INPUT, metavar="FILE", help="Findings that are known, with reasons."),
    witness_options,
    report_options,
)


def judging_options(command: F) -> F:
    """Add what `verify` and `merge` share: keys, what is expected and allowed, and the report."""
    for add in reversed(_KEYS):
        command = add(command)
    return command


def judged(
    verified: Callable[..., "Report"],
    given: Sequence[str],
    *,
    pins: str | None,
    added: str | None,
    fresh: float | None,
    form: str,
    output: Output,
    **options: Any,
) -> NoReturn:
    """Verify, deliver the report, and leave with its exit status.

    Args:
        verified: Called with what was given and all options; returns the report.
        given: What is verified.
        pins: Directory of pins, `none`, or None for the usual one.
        added: Names of members that a carrier added, with commas between them.
        fresh: Seconds within which a witness must have heard of the log; None for the usual ones.
        form: Form of the report.
        output: Where it goes.
        **options: The other options, as `verify` takes them.
    """
    from tallystick.verify.pins import default_directory

    if not options["keys"] and not options["public"]:
        raise click.UsageError(
            "no key was given; give the verification key with --key or the public file with --public"
        )
    if not options["witnesses"] and (fresh is not None or options["quorum"] is not None):
        raise click.UsageError("--fresh and --quorum go with --witness")
    if fresh is not None:
        options["fresh"] = fresh
    if options["witnesses"]:  # nobody else waits for what speaks HTTP
        from tallystick.witness.client import ask

        options["ask"] = ask
    with look.progress("verifying") as progress:
        report = verified(
            given,
            pins_directory=None if pins == "none" else pins or default_directory(),
            added=added.split(",") if added else (),
            digests=form in DIGESTED,
            progress=progress,
            **options,
        )
    read = [*given, *options["keys"], *options["public"], options["head"], options["exceptions"]]
    read += [*options["receipts"], options.get("partial")]
    deliver(report, form, output, [path for path in read if path is not None])


@click.command("verify", cls=Command, epilog=_EPILOG)
@click.argument("paths", nargs=-1, required=True, type=input_or_stdin, metavar="PATH...")
@judging_options
@option("--resume", type=click.Path(), metavar="DIR", help="Remember here what was verified.")
@option("--rescan", type=DURATION, metavar="TIME", help="Read all again at least so often [24h].")
@option("--partial", type=click.Path(), metavar="FILE", help="Write what was found to FILE, for `merge`.")
def command(paths: Sequence[str], rescan: float | None, **options: Any) -> None:
    """Check the sealed lines in files, directories, patterns or -, and say what happened to them."""
    from tallystick.verify import verify

    if rescan is not None and options["resume"] is None:
        raise click.UsageError("--rescan goes with --resume")
    if options["partial"] is not None:
        if options["resume"] is not None:
            raise click.UsageError("--partial is of what was read, and --resume reads less: leave one of them out")
        refuse_input(options["partial"], [*paths, *options["keys"], *options["public"]])
    if rescan is not None:
        options["rescan"] = rescan
    judged(verify, paths, **options)
