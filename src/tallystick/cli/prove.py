"""`tallystick prove`: makes evidence of one line, for somebody who has the public key."""

from collections.abc import Sequence

import click

from tallystick.cli.options import POSITION, envelope_option, field_option, option
from tallystick.cli.output import say

_EPILOG = """Exit status: 0 made, 2 usage, 4 the line cannot be proved, or input or output. Example:

\b
  tallystick prove 1.0.7 audit.log* -o login.evidence
  tallystick check login.evidence --public payments.pub
"""


@click.command("prove", epilog=_EPILOG)
@click.argument("position", type=POSITION, metavar="POSITION")
@click.argument("paths", nargs=-1, required=True, type=click.Path(), metavar="PATH...")
@click.option("--output", "-o", required=True, type=click.Path(), metavar="FILE", help="Write the evidence to FILE.")
@option("--public", type=click.Path(), metavar="FILE", help="Public file, for openings that are not in PATH.")
@envelope_option
@field_option
def command(
    position: str, paths: Sequence[str], output: str, public: str | None, envelope: str | None, field: str | None
) -> None:
    """Prove the line at POSITION: write a small file that shows it and needs nothing else of the log.

    POSITION stands in the line's seal: chain.epoch.index, or LOGID.chain.epoch.index where PATH holds lines of
    several logs. PATH must hold all lines of its epoch. No key is needed here; `tallystick check` needs one.
    """
    from tallystick.cli.output import progress
    from tallystick.evidence import prove

    with progress("reading") as told:
        made = prove(position, paths, public=public, envelope=envelope, field=field, output=output, progress=told)
    say(f"{output} proves the line {made.position} of log {made.log} ({made.log_id})")
    say(f"next: tallystick check {output} --public {made.log}.pub")
