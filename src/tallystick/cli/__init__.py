"""The command line: one file a command; `output` for how things look, `options` for shared options."""

import errno
import gc
import importlib
import io
import os
import sys
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

import click

from tallystick.cli.arguments import hide_passwords
from tallystick.cli.output import complain, safe
from tallystick.cli.streams import reader_is_gone
from tallystick.errors import FormatError, TallystickError, reason
from tallystick.secreturl import without_passwords
from tallystick.securefile.descriptors import hold_standard
from tallystick.system import require_linux

__all__ = ["main"]

_COMMANDS = {
    "init": "Set a log up and hand out its verification key.",
    "seal": "Seal lines from files or standard input.",
    "run": "Run a command and seal its output from the first byte.",
    "agent": "Seal lines that come by sockets.",
    "send": "Send lines to an agent, and see them acknowledged.",
    "verify": "Check sealed logs and say what happened to them.",
    "merge": "Put together what several runs of verify found.",
    "watch": "Verify logs all day, and report within seconds what happened.",
    "witness": "Remember how long logs are, and when; for their verifiers.",
    "archive": "Look after logs in object storage.",
    "cat": "Write the lines of a log as they were before they were sealed.",
    "head": "Print the head of a log, for a verifier elsewhere.",
    "prove": "Make evidence of one line, for holders of the public key.",
    "check": "Check evidence and say what it proves.",
    "redact": "Take the text out of a line; the log still verifies.",
    "rekey": "End a log and begin its successor with new keys.",
    "migrate": "Move a log to another key store or custody.",
    "close": "End a log for good.",
    "status": "Show logs, their writers and heads.",
    "key": "Look at keys; narrow one; print the public file.",
    "acra": "Check audit logs of Acra, and say what they prove.",
    "selftest": "Attack copies of your own log; show that verify finds it.",
    "demo": "Seal a real log, attack copies of it, and see each attack found.",
}

_SEALING = {"init", "seal", "run", "agent", "rekey", "migrate", "close", "demo"}

_EPILOG = """Example:

\b
  tallystick init payments --verification-key payments.key
  my-service 2>&1 | tallystick seal payments -o audit.log
  tallystick verify audit.log --key payments.key
"""


class _HungUpError(Exception):
    """The reader of standard output has gone."""


class _Lazy(MutableMapping[str, click.Command]):
    """The commands, each loaded when it is called, so that none pays for the others."""

    def __getitem__(self, name: str) -> click.Command:
        if name not in _COMMANDS:
            raise KeyError(name)
        if name in _SEALING:
            require_linux()
        collects = gc.isenabled()
        gc.disable()  # modules stay, so looking for garbage among them is in vain: a tenth of the start
        try:
            command: click.Command = importlib.import_module(f"tallystick.cli.{name}").command
        finally:
            if collects:
                gc.freeze()  # nor is it looked for among them later
                gc.enable()
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(_COMMANDS)

    def __len__(self) -> int:
        return len(_COMMANDS)

    def __setitem__(self, name: str, command: click.Command) -> None:
        raise TypeError(f"the commands are fixed; {name} cannot be added")

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"the commands are fixed; {name} cannot be removed")


class _Commands(click.Group):
    """Lists the commands without loading them, and leaves a reader that has gone to `main`.

    Click would leave with the status of a bug.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

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


@click.group(cls=_Commands, commands=_Lazy(), epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version and exit."
)
def cli() -> None:
    """Seal log lines as they are written, so that later changes cannot go unnoticed."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exit status 0 ok, 1 a bug, 2 usage, 3 incomplete, 4 input or output, 5 failed."""
    _hold_places()
    hide_passwords()
    try:
        status = cli.main(args=arguments, prog_name="tallystick", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except click.exceptions.Abort:
        status = 130
    except click.ClickException as error:
        _refuse(error)
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
        # The rest of the buffer cannot be written either; do not try again on the way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:
        # A closed standard error is no reason for another exit status.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    sys.exit(status if isinstance(status, int) else 0)


def _refuse(error: click.ClickException) -> None:
    """Print a usage error as click does, but with nothing in it that a terminal would act on."""
    shown = io.StringIO()
    error.show(shown)
    with suppress(OSError):
        lines = without_passwords(shown.getvalue()).split("\n")
        click.echo("\n".join(safe(line) for line in lines).rstrip(), err=True)


def _hung_up(error: BaseException | None) -> int:
    """Return the status for a result that was not delivered; a reader that has gone needs no message."""
    if not reader_is_gone():
        complain(f"{error}")
    return 4


def _hold_places() -> None:
    """Keep closed standard descriptors from becoming files of ours: reading or writing them must fail."""
    hold_standard()
    if sys.stdout is None:
        # An undelivered result is no result: writing it must fail, not vanish.
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
