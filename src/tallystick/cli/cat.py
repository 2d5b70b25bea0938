"""`tallystick cat`: writes the lines of a log as they were before they were sealed."""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli import output as look
from tallystick.cli.command import Command, option
from tallystick.cli.judging import NO_KEY, ask_witnesses, judging_options, pins_option, witness_options
from tallystick.cli.options import head_option, store_option
from tallystick.cli.reporting import STATUS
from tallystick.cli.streams import INPUT, STDOUT, input_or_stdin, reader_is_gone
from tallystick.errors import ReportError

if TYPE_CHECKING:
    from tallystick.verify import Report, Verdict
    from tallystick.verify.following import Following

_PAUSE = 0.25  # seconds

_EPILOG = f"""{STATUS}

Example: tallystick cat 'audit.log*' --key payments.key | grep transfer
"""


@click.command("cat", cls=Command, epilog=_EPILOG)
@click.argument("paths", nargs=-1, required=True, type=input_or_stdin, metavar="PATH...")
@option("--key", type=INPUT, metavar="FILE", help="Verification key of the log.")
@option("--public", type=INPUT, metavar="FILE", help="Public file: write what checkpoints and heads cover.")
@option("--follow", is_flag=True, help="Go on, and write lines when they come.")
@option("--all", "marked", is_flag=True, help="Also write what does not hold, after `! `.")
@store_option
@head_option
@pins_option
@judging_options
@witness_options
@option("--jobs", type=click.IntRange(1), metavar="N", help="Threads; else one for each processor.")
def command(paths: Sequence[str], follow: bool, **options: Any) -> None:
    """Write the lines of a log as they were, without seals and control lines.

    All is verified first; only lines that hold are written, by position, each once. PATH is as for `verify`.
    """
    from tallystick.verify.columns import Column
    from tallystick.verify.following import Following
    from tallystick.verify.inputs import named_envelope
    from tallystick.verify.texts import texts

    if options["key"] is None and options["public"] is None:
        raise click.UsageError(NO_KEY)
    if follow and (options["marked"] or "-" in paths):
        raise click.UsageError("--follow goes with files, and with lines that hold: leave --all and - out")
    ask_witnesses(options)
    following = None
    with look.progress("verifying") as progress, texts(paths, progress=progress, **options) as found:
        output = os.fstat(STDOUT)
        if found.reads(output.st_dev, output.st_ino):
            raise ReportError("standard output is a file that is read", hint="write into another one")
        _report(found.report)
        for piece in found.pieces():
            _write(piece)
        verdict = found.report.verdict
        if follow:
            wrapped = options["envelope"], options["field"]
            following = Following(paths, found, named_envelope(*wrapped), Column.named(*wrapped))
    # What was read at first is closed now, or files that are removed would stay on the disk.
    if following is not None:
        verdict = _followed(following, verdict)
    raise SystemExit(verdict.exit_status)


def _followed(following: "Following", verdict: "Verdict") -> "Verdict":
    """Write lines when they come, until a signal or the reader ends that; return the worst verdict."""
    from tallystick.verify import Verdict

    over, gravest = threading.Event(), list(Verdict).index
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    try:
        while not over.is_set():
            for piece in following.round():
                _write(piece)
            for trouble in following.troubles():
                verdict = max(verdict, trouble.verdict, key=gravest)
                look.complain(f"{trouble.verdict.value}: {trouble.text}")
            _wait(over)
    finally:
        following.close()
    return verdict


def _wait(over: threading.Event) -> None:
    """Wait for a moment, and no longer than there is a reader.

    Raises:
        BrokenPipeError: The reader has gone.
    """
    if reader_is_gone():
        raise BrokenPipeError
    over.wait(_PAUSE)


def _report(report: "Report") -> None:
    """Say on standard error what is wrong with the log, before its lines come."""
    from tallystick.reports import render
    from tallystick.verify import Verdict

    if report.verdict is not Verdict.OK:
        click.echo(render(report, "text"), nl=False, err=True)


def _write(piece: bytes) -> None:
    """Write whole lines: as they are, but nothing that a terminal would act on to a terminal."""
    if look.is_watched():
        lines = piece.decode("utf-8", "surrogateescape").split("\n")
        click.echo("\n".join(look.safe(line) for line in lines), nl=False)
    else:
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
