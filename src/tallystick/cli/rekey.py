"""`tallystick rekey`: ends a log and begins its successor with new keys."""

import os

import click

from tallystick.cli.command import Command, option
from tallystick.cli.options import custody_option, key_options, name_argument, output_option, store_option, user_option
from tallystick.cli.output import complain, say
from tallystick.cli.streams import STDOUT, is_output, only_one

_EPILOG = """Example:

\b
  tallystick rekey payments -o audit.log --verification-key payments-2.key
"""


@click.command("rekey", cls=Command, epilog=_EPILOG)
@name_argument
@store_option
@custody_option
@option("--to-custody", metavar="URL", help="Custody of the successor; else that of the log.")
@output_option("The log's file, which is appended to.")
@user_option
@key_options
def command(
    name: str,
    store: str | None,
    custody: str | None,
    to_custody: str | None,
    output: str | None,
    user: str | None,
    verification_key: str | None,
    public_file: str | None,
) -> None:
    """End the log NAME and begin its successor of that name, with a new verification key and a new log id.

    Each names the other in a sealed entry. Stop the log's writer first. After an interruption run the same command
    again.
    """
    from tallystick.moving import rekey

    only_one(
        the_last_lines=output is None,
        the_verification_key=verification_key is None,
        the_public_key=is_output(public_file),
    )
    if output is None and os.isatty(STDOUT):
        raise click.UsageError("the last lines belong to the others; name the log's file with -o FILE, or a pipe")
    made = rekey(
        name,
        output=STDOUT if output is None else os.path.abspath(output),
        key_file=STDOUT if verification_key is None else verification_key,
        public_file=STDOUT if is_output(public_file) else public_file,
        store=store,
        custody=custody,
        to_custody=to_custody,
        user=user,
        on_trouble=complain,
    )
    say(f"log {name} goes on with log id {made.log_id}")
    say(f"  public key  {made.public_key}")
    say(f"  forgets     {made.forgets}")
    say(f"to verify {output or 'it'}, give the old key and the new one: --key OLD --key NEW")
