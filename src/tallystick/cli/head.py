"""`tallystick head`: prints the head of a log."""

import click

from tallystick.cli.command import Command
from tallystick.cli.options import name_argument, store_option

_EPILOG = """Example:

\b
  ssh app-host tallystick head payments > payments.head
"""

_HINT = "verify reports a bad head; find out why, and start a new log"


@click.command("head", cls=Command, epilog=_EPILOG)
@name_argument
@store_option
def command(name: str, store: str | None) -> None:
    """Print the head of the log NAME, for `tallystick verify --head` elsewhere.

    A head says how far the log got. Take it before the log, or lines will seem to be missing.
    """
    from tallystick import _core, keystore
    from tallystick.errors import FormatError, KeyStoreError

    head = keystore.connect(store).load(name).head
    if head is None:
        raise KeyStoreError(f"the head of log {name} is gone from the key store", hint=_HINT)
    try:
        _core.parse_head(head)
    except FormatError as error:
        raise KeyStoreError(f"the head of log {name} in the key store is damaged", hint=_HINT) from error
    click.echo(head.decode("ascii").strip())
