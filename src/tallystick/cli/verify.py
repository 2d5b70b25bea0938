"""`tallystick verify`: checks sealed logs and says what happened to them."""

from collections.abc import Sequence
from typing import Any

import click

from tallystick.cli import output as look
from tallystick.cli.command import Command, option
from tallystick.cli.options import (
    ask_witnesses,
    envelope_option,
    field_option,
    head_option,
    last_option,
    start_option,
    store_option,
    witness_options,
)
from tallystick.cli.reporting import STATUS, deliver, report_options
from tallystick.cli.streams import INPUT, Output, input_or_stdin
from tallystick.cli.values import DURATION
from tallystick.reports import DIGESTED
from tallystick.verify import ALLOWED

_EPILOG = f"""{STATUS}

Example: tallystick verify audit.log* --key payments.key
"""


class _Allowed(click.Choice[str]):
    """In a variable they are separated by commas, for one of them has a space in it."""

    envvar_list_splitter = ","


allow_option = option(
    "--allow", multiple=True, type=_Allowed(ALLOWED), metavar="WHAT", help="duplicate, narrowed, 'open end', reordered."
)


@click.command("verify", cls=Command, epilog=_EPILOG)
@click.argument("paths", nargs=-1, required=True, type=input_or_stdin, metavar="PATH...")
@option("--key", "keys", multiple=True, type=INPUT, metavar="FILE", help="Verification key; one for each log.")
@option("--public", multiple=True, type=INPUT, metavar="FILE", help="Public file, to check without a secret.")
@store_option
@head_option
@option("--pins", type=click.Path(), metavar="DIR", help="Where pins are remembered, or `none`.")
@start_option
@last_option
@option("--expect", multiple=True, metavar="NAME", help="A log that must be here.")
@allow_option
@option("--subset", is_flag=True, help="Lines were filtered out: judge no gaps.")
@envelope_option
@field_option
@option("--added", metavar="NAMES", help="JSON members that a carrier added.")
@option("--resume", type=click.Path(), metavar="DIR", help="Remember here what was verified.")
@option("--rescan", type=DURATION, metavar="TIME", help="Read all again at least so often [24h].")
@option("--exceptions", type=INPUT, metavar="FILE", help="Findings that are known, with reasons.")
@witness_options
@report_options
def command(
    paths: Sequence[str],
    pins: str | None,
    added: str | None,
    rescan: float | None,
    form: str,
    output: Output,
    **options: Any,
) -> None:
    """Check the sealed lines in files, directories, patterns or -, and say what happened to them."""
    from tallystick.verify import verify
    from tallystick.verify.pins import default_directory

    if not options["keys"] and not options["public"]:
        raise click.UsageError(
            "no key was given; give the verification key with --key or the public file with --public"
        )
    if rescan is not None and options["resume"] is None:
        raise click.UsageError("--rescan goes with --resume")
    if rescan is not None:
        options["rescan"] = rescan
    ask_witnesses(options)
    with look.progress("verifying") as progress:
        report = verify(
            paths,
            pins_directory=None if pins == "none" else pins or default_directory(),
            added=added.split(",") if added else (),
            digests=form in DIGESTED,
            progress=progress,
            **options,
        )
    read = [*paths, *options["keys"], *options["public"], options["head"], options["exceptions"]]
    read += options["receipts"]
    deliver(report, form, output, [path for path in read if path is not None])
