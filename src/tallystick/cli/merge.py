"""`tallystick merge`: the report on what partial results are about."""

from collections.abc import Sequence
from typing import Any

import click

from tallystick.cli.command import Command
from tallystick.cli.reporting import STATUS
from tallystick.cli.streams import INPUT
from tallystick.cli.verify import asked_options, judged

_EPILOG = f"""{STATUS}

Example: tallystick merge *.partial --key payments.key
"""


@click.command("merge", cls=Command, epilog=_EPILOG)
@click.argument("partials", nargs=-1, required=True, type=INPUT, metavar="FILE...")
@asked_options
def command(partials: Sequence[str], **options: Any) -> None:
    """Put together what `verify --partial` found; read only what has changed since, and say what happened."""
    from tallystick.verify import merge

    judged(merge, partials, **options)
