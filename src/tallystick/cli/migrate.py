"""`tallystick migrate`: moves a log to another key store or custody."""

import click

from tallystick.cli.command import Command, option
from tallystick.cli.options import custody_option, name_argument, store_option
from tallystick.cli.output import say

_EPILOG = """Example:

\b
  tallystick migrate payments --to-custody master-key:/etc/tallystick/second.key
"""


@click.command("migrate", cls=Command, epilog=_EPILOG)
@name_argument
@store_option
@custody_option
@option("--to-store", metavar="URL", help="Key store to move it to; else it stays where it is.")
@option("--to-custody", metavar="URL", help="Custody to move it to; else its own stays.")
def command(name: str, store: str | None, custody: str | None, to_store: str | None, to_custody: str | None) -> None:
    """Move the log NAME to another key store or custody: its keys and head move, its lines stay where they are.

    Stop its writer first. At no moment can both places write it. After an interruption run the same command again.
    """
    from tallystick.moving import migrate

    if to_store is None and to_custody is None:
        raise click.UsageError("no target was given; give --to-store URL, --to-custody URL, or both")
    exposed = migrate(name, store=store, custody=custody, to_store=to_store, to_custody=to_custody)
    say(f"log {name} was moved; delete backups of its old place: they can seal under its name")
    if exposed is not None:
        say(f"{exposed} may still open an older copy of its state, and so all chains since")
        say(f"so this log never forgets; only new keys change that: tallystick rekey {name}")
