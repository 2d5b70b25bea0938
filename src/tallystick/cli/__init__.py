"""The command line: one file a command, `output` for how things look, `options` for what commands share."""

import errno
import importlib
import os
import select
import sys
from collections.abc import Sequence
from typing import Any

import click

from tallystick.cli.output import complain
from tallystick.errors import FormatError, TallystickError, reason

__all__ = ["main"]

_COMMANDS = {
    "init": "Set a log up and hand out its verification key.",
    "seal": "Seal lines from files or standard input.",
    "run": "Run a command and seal its output from the first byte.",
    "verify": "Check sealed logs and say what happened to them.",
    "head": "Print the head of a log, for a verifier elsewhere.",
    "prove": "Make evidence of one line, for a holder of the public key.",
    "check": "Check evidence and say what it proves.",
    "redact": "Take the text out of a line; the log still verifies.",
    "rekey": "End a log and begin its successor with new keys.",
    "migrate": "Move a log to another key store or custody.",
    "close": "End a log for ever.",
    "status": "Show logs, their writers and heads.",
    "key": "Look at keys; narrow one; print the public file.",
    "acra": "Check audit logs of Acra, and say what they prove.",
    "selftest": "Doctor copies of your own log and show that it is found.",
    "demo": "Seal a real log, play the intruder, and see him caught.",
}

_EPILOG = """Example:

\b
  tallystick init payments --verification-key payments.key
  my-service 2>&1 | tallystick seal payments -o audit.log
  tallystick verify audit.log --key payments.key
"""


class _HungUpError(Exception):
    """Somebody hung up on us."""


class _Commands(click.Group):
    """Loads a command when it is called, so that none pays for the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"tallystick.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    # A reader that has gone is left to `main`: click would leave with the status of a bug.

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        try:
            return super().make_context(*arguments, **more)
        except BrokenPipeError as error:
            raise _HungUpError from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _HungUpError from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        click.echo(f"tallystick {version('tallystick')}")
        ctx.exit()


@click.group(cls=_Commands, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show it.")
def cli() -> None:
    """Seal log lines as they are written, so that nobody can change them later unnoticed."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exit status 0 ok, 1 a bug, 2 usage, 3 incomplete, 4 input or output, 5 failed."""
    _hold_places()
    try:
        status = cli.main(args=arguments, prog_name="tallystick", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except click.exceptions.Abort:
        status = 130
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except FormatError as error:
        complain(error)
        status = 2
    except TallystickError as error:
        complain(error)
        status = 4
    except _HungUpError as error:
        status = _hung_up(error.__cause__)
    except BrokenPipeError as error:
        status = _hung_up(error)
    except SystemExit as left:
        # So would rich.
        status = 4 if isinstance(left.__context__, BrokenPipeError) else left.code
    except OSError as error:
        where = f"{error.filename}: " if isinstance(error.filename, str) else ""
        closed = error.errno == errno.EBADF and not where
        complain("standard output is closed; open it, or write into a file" if closed else f"{where}{reason(error)}")
        status = 4
    if status == 4:
        # What is left in the buffer cannot be written either; do not try again on the way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:
        # Nobody listens; that is no reason for another exit status.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    sys.exit(status if isinstance(status, int) else 0)


def _hung_up(error: BaseException | None) -> int:
    """Return the status for a result that was not delivered; whoever hung up on us need not be told."""
    if not _reader_is_gone():
        complain(f"{error}")
    return 4


def _reader_is_gone() -> bool:
    """Has the reader of standard output gone, as in `tallystick verify … | head`?"""
    poll = select.poll()
    poll.register(1, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def _hold_places() -> None:
    """Keep standard descriptors that are closed from becoming files of ours: reading or writing them shall fail."""
    for fd, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, mode)  # the lowest number that is free: this one
    if sys.stdout is None:
        # A result that nobody gets is no result: what is written there fails, instead of vanishing.
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
