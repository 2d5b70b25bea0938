"""`tallystick migrate`: moves a log to another key store or custody."""

import click

from tallystick.cli.options import custody_option, name_argument, option, store_option
from tallystick.cli.output import say

_EPILOG = """Example:

\b
  tallystick migrate payments --to-custody master-key:/etc/tallystick/second.key
"""


@click.command("migrate", epilog=_EPILOG)
@name_argument
@store_option
@custody_option
@option("--to-store", metavar="URL", help="The key store that gets it; without, it stays where it is.")
@option("--to-custody", metavar="URL", help="The custody that gets it; without, it keeps its own.")
def command(name: str, store: str | None, custody: str | None, to_store: str | None, to_custody: str | None) -> None:
    """Move the log NAME to another key store or custody: its keys and head go, its lines stay where they are.

    Stop what writes it first. At no moment could both places write it. If this is interrupted, do it once more.
    """
    from tallystick.moving import migrate

    if to_store is None and to_custody is None:
        raise click.UsageError("name where it shall go: --to-store URL, --to-custody URL, or both")
    exposed = migrate(name, store=store, custody=custody, to_store=to_store, to_custody=to_custody)
    say(f"log {name} was moved; delete backups of where it was: they can seal under its name")
    if exposed is not None:
        say(f"{exposed} may still open a copy of its state from before, and so all chains since")
        say(f"the log does not forget, for ever; only new keys change that: tallystick rekey {name}")
