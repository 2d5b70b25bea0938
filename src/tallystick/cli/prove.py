"""`tallystick prove`: makes evidence of one line, for a holder of the public key."""

from collections.abc import Sequence

import click

from tallystick.cli.command import Command, option
from tallystick.cli.options import envelope_option, field_option, output_option
from tallystick.cli.output import progress, say
from tallystick.cli.streams import INPUT, STDOUT, Output, input_or_stdin, named
from tallystick.cli.values import POSITION

_EPILOG = """Exit status: 0 made, 2 usage, 4 no proof, or input or output. Example:

\b
  tallystick prove 1.0.7 audit.log* -o login.evidence
  tallystick check login.evidence --public payments.pub
"""


@click.command("prove", cls=Command, epilog=_EPILOG)
@click.argument("position", type=POSITION, metavar="POSITION")
@click.argument("paths", nargs=-1, required=True, type=input_or_stdin, metavar="PATH...")
@output_option("Write the evidence to FILE, which must not exist yet.", envvar="TALLYSTICK_EVIDENCE")
@option("--public", type=INPUT, metavar="FILE", help="Public file, for openings that are not in PATH.")
@option("--receipts", multiple=True, type=INPUT, metavar="FILE", help="Receipts of witnesses, to put in what they say.")
@envelope_option
@field_option
def command(
    position: str,
    paths: Sequence[str],
    output: Output,
    public: str | None,
    receipts: Sequence[str],
    envelope: str | None,
    field: str | None,
) -> None:
    """Write evidence of the line at POSITION that needs nothing else of the log.

    POSITION stands in the line's seal: [LOGID.]chain.epoch.index. PATH must hold all lines of its epoch; with
    --receipts also the checkpoints up to what a witness received.
    """
    from tallystick.evidence import prove

    target = STDOUT if output is None else output
    with progress("reading") as step:
        made = prove(
            position,
            paths,
            public=public,
            receipts=receipts,
            envelope=envelope,
            field=field,
            output=target,
            progress=step,
        )
    say(f"{named(output, 'this evidence')} proves the line {made.position} of log {made.log} ({made.log_id})")
    witness = " --witness KEY" if receipts else ""
    say(f"next: tallystick check {named(output, 'FILE')} --public {made.log}.pub{witness}")
