"""`tallystick verify`: checks sealed logs and says what happened to them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from tallystick.cli import output as look
from tallystick.cli.command import Command, option
from tallystick.cli.judging import (
    NO_KEY,
    ask_witnesses,
    expect_option,
    judging_options,
    keys_options,
    pins_option,
    witness_options,
)
from tallystick.cli.options import head_option, store_option
from tallystick.cli.reporting import STATUS, deliver, refuse_input, report_options
from tallystick.cli.streams import Output, input_or_stdin
from tallystick.cli.values import DURATION
from tallystick.reports import DIGESTED

if TYPE_CHECKING:
    from tallystick.verify import Engine, Report

__all__ = ["asked_options", "command", "judged"]

F = TypeVar("F", bound=Callable[..., Any])

_EPILOG = f"""{STATUS}

Example: tallystick verify audit.log* --key payments.key
"""


_retention_option = option(
    "--retention", type=DURATION, metavar="TIME", help="Chains are kept so long; older ones may be gone."
)


def _engine(context: click.Context, parameter: click.Parameter, value: str | None) -> "Engine | None":
    """Return the engine of a name; only here it is loaded."""
    if value is None:
        return None
    name, _, address = value.partition(":")
    if name != "dask":
        raise click.BadParameter(f"{name} is no engine; there is dask, and dask:ADDRESS", context, parameter)
    from tallystick.cluster import dask

    return dask(address or None, say=look.say)


def asked_options(command: F) -> F:
    """Add what `verify` and `merge` share: keys, what is expected and allowed, witnesses, the report."""
    groups = (keys_options, store_option, head_option, pins_option, judging_options, expect_option)
    for add in reversed((*groups, _retention_option, witness_options, report_options)):
        command = add(command)
    return command


def judged(
    verified: Callable[..., "Report"], given: Sequence[str], *, form: str, output: Output, **options: Any
) -> NoReturn:
    """Verify, deliver the report, and leave with its exit status.

    Args:
        verified: Called with what was given and all other options; returns the report.
        given: What is verified.
        form: Form of the report.
        output: Where it goes.
        **options: The other options, as `verify` takes them.
    """
    if not options["keys"] and not options["public"]:
        raise click.UsageError(NO_KEY)
    ask_witnesses(options)
    with look.progress("verifying") as progress:
        report = verified(given, digests=form in DIGESTED, progress=progress, **options)
    read = [*given, *options["keys"], *options["public"], options["head"], options["exceptions"]]
    read += [*options["receipts"], options.get("partial")]
    deliver(report, form, output, [path for path in read if path is not None])


@click.command("verify", cls=Command, epilog=_EPILOG)
@click.argument("paths", nargs=-1, required=True, type=input_or_stdin, metavar="PATH...")
@asked_options
@option("--resume", type=click.Path(), metavar="DIR", help="Remember here what was verified.")
@option("--rescan", type=DURATION, metavar="TIME", help="Read everything again at least this often [24h].")
@option("--partial", type=click.Path(), metavar="FILE", help="Write what was found to FILE, for `merge`.")
@option("--engine", metavar="dask[:ADDRESS]", callback=_engine, help="Have a cluster of Dask scan objects.")
def command(paths: Sequence[str], rescan: float | None, **options: Any) -> None:
    """Check the sealed lines in files, directories, patterns or -, and say what happened to them."""
    from tallystick.verify import verify

    if rescan is not None and options["resume"] is None:
        raise click.UsageError("--rescan goes with --resume")
    if rescan is not None:
        options["rescan"] = rescan
    if options["partial"] is not None:
        if options["resume"] is not None:
            raise click.UsageError("--partial is of what was read, and --resume reads less: leave one of them out")
        refuse_input(options["partial"], [*paths, *options["keys"], *options["public"]])
    judged(verify, paths, **options)
