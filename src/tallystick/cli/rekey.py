"""`tallystick rekey`: ends a log and begins its successor with new keys."""

import os

import click

from tallystick.cli.options import custody_option, name_argument, option, store_option
from tallystick.cli.output import complain, say

_EPILOG = """Example:

\b
  tallystick rekey payments -o audit.log --verification-key payments-2.key
"""


@click.command("rekey", epilog=_EPILOG)
@name_argument
@store_option
@custody_option
@option("--to-custody", metavar="URL", help="The successor's custody; without, that of the log.")
@option("--output", "-o", type=click.Path(), metavar="FILE", required=True, help="The log's file, appended to.")
@option(
    "--verification-key",
    type=click.Path(),
    metavar="FILE",
    help="Write the new key to FILE, not to the terminal.",
)
@option("--public-file", type=click.Path(), metavar="FILE", help="Write the new public key to FILE, for auditors.")
def command(
    name: str,
    store: str | None,
    custody: str | None,
    to_custody: str | None,
    output: str,
    verification_key: str | None,
    public_file: str | None,
) -> None:
    """End the log NAME and begin its successor of that name, with a new verification key and a new log id.

    Each names the other in a sealed entry. Stop what writes the log first. If this is interrupted, do it once more.
    """
    from tallystick.moving import rekey

    made = rekey(
        name,
        output=os.path.abspath(output),
        key_file=1 if verification_key is None else verification_key,
        public_file=public_file,
        store=store,
        custody=custody,
        to_custody=to_custody,
        on_trouble=complain,
    )
    say(f"log {name} goes on with log id {made.log_id}")
    say(f"  public key  {made.public_key}")
    say(f"  forgets     {made.forgets}")
    say(f"to verify {output}, give the key from before and the new one: --key OLD --key NEW")
