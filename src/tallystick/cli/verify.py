"""`tallystick verify`: checks sealed logs and says what happened to them."""

from collections.abc import Sequence
from typing import Any

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
from tallystick.cli.reporting import STATUS, deliver, report_options
from tallystick.cli.streams import Output, input_or_stdin
from tallystick.cli.values import DURATION
from tallystick.reports import DIGESTED

_EPILOG = f"""{STATUS}

Example: tallystick verify audit.log* --key payments.key
"""


@click.command("verify", cls=Command, epilog=_EPILOG)
@click.argument("paths", nargs=-1, required=True, type=input_or_stdin, metavar="PATH...")
@keys_options
@store_option
@head_option
@pins_option
@judging_options
@expect_option
@option("--resume", type=click.Path(), metavar="DIR", help="Remember here what was verified.")
@option("--rescan", type=DURATION, metavar="TIME", help="Read everything again at least this often [24h].")
@witness_options
@report_options
def command(
    paths: Sequence[str],
    rescan: float | None,
    form: str,
    output: Output,
    **options: Any,
) -> None:
    """Check the sealed lines in files, directories, patterns or -, and say what happened to them."""
    from tallystick.verify import verify

    if not options["keys"] and not options["public"]:
        raise click.UsageError(NO_KEY)
    if rescan is not None and options["resume"] is None:
        raise click.UsageError("--rescan goes with --resume")
    if rescan is not None:
        options["rescan"] = rescan
    ask_witnesses(options)
    with look.progress("verifying") as progress:
        report = verify(paths, digests=form in DIGESTED, progress=progress, **options)
    read = [*paths, *options["keys"], *options["public"], options["head"], options["exceptions"]]
    read += options["receipts"]
    deliver(report, form, output, [path for path in read if path is not None])
