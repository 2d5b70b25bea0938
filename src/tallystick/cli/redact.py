"""`tallystick redact`: takes the text out of one line, so that the log still verifies."""

from collections.abc import Sequence

import click

from tallystick.cli.command import Command, option
from tallystick.cli.output import plural, progress, say
from tallystick.cli.streams import INPUT, STDOUT, input_or_stdin, is_output
from tallystick.cli.values import POSITION

_EPILOG = """Exit status: 0 done, 2 usage, 4 the line cannot be redacted, or input or output. Example:

\b
  tallystick redact 1.0.7 audit.log --key payments.key -o audit.redacted.log
"""


@click.command("redact", cls=Command, epilog=_EPILOG)
@click.argument("position", type=POSITION, metavar="POSITION")
@click.argument("paths", nargs=-1, required=True, type=input_or_stdin, metavar="PATH...")
@option("--key", required=True, type=INPUT, metavar="FILE", help="Verification key; only its holder can redact.")
@option(
    "--output",
    "-o",
    envvar="TALLYSTICK_REDACTED",
    type=click.Path(),
    metavar="FILE",
    help="Write a copy with the line redacted to FILE, which must not exist yet.",
)
def command(position: str, paths: Sequence[str], key: str, output: str | None) -> None:
    """Redact the line at POSITION: without -o print its redacted form, with it write a copy of its file.

    PATH must hold all lines of its epoch and the checkpoint; where several files do, the one with the line is
    copied. The original stays as it is: delete it and its backups yourself.
    """
    from tallystick.evidence import redact

    shown = is_output(output)
    with progress("reading") as step:
        done = redact(position, paths, key=key, output=STDOUT if shown else output, progress=step)
    if output is None:
        click.echo(done.line)
    else:
        times = "" if done.count == 1 else f", {plural(done.count, 'time')}"
        copy = "this copy" if shown else output
        say(f"{copy} is {done.path} with the line {done.position} redacted{times}; {done.path} still shows it")
    say("verify expects it if the exceptions file says so:")
    say(f"  redacted {done.position}: <the reason>")
