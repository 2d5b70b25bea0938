"""`tallystick close`: ends a log for good."""

import os

import click

from tallystick.cli.command import Command
from tallystick.cli.options import custody_option, name_argument, output_option, store_option, user_option
from tallystick.cli.output import complain, say
from tallystick.cli.streams import STDOUT

_EPILOG = """Example:

\b
  tallystick close payments -o audit.log
"""


@click.command("close", cls=Command, epilog=_EPILOG)
@name_argument
@store_option
@custody_option
@output_option("Append to FILE instead of standard output.")
@user_option
def command(name: str, store: str | None, custody: str | None, output: str | None, user: str | None) -> None:
    """End the log NAME: its last lines say that no chain will follow.

    Its keys are erased from the key store first, so it can never be written again.
    """
    from tallystick.log import open_log

    if output is None and os.isatty(STDOUT):
        raise click.UsageError("the last lines belong to the others; name the log's file with -o FILE, or a pipe")
    target = STDOUT if output is None else output
    log = open_log(name, output=target, store=store, custody=custody, user=user, on_trouble=complain)
    log.end()
    say(f"log {name} has ended; keep its head and its verification key as long as the log")
