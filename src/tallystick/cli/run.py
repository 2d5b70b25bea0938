"""`tallystick run`: runs a command and seals its output from the first byte."""

import os
import selectors
import signal
import subprocess
from collections.abc import Sequence
from types import FrameType
from typing import Any

import click

from tallystick.cli.options import name_argument, sealing_options
from tallystick.cli.output import complain

_EPILOG = """Example:

\b
  tallystick run payments -o audit.log -- /usr/bin/my-service --config /etc/my-service.conf
"""

_PASSED_ON = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGCONT")


@click.command("run", epilog=_EPILOG, context_settings={"ignore_unknown_options": False})
@name_argument
@sealing_options
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def command(name: str, output: str | None, arguments: Sequence[str], **options: Any) -> None:
    """Run COMMAND and seal its standard output and standard error for the log NAME.

    Signals are passed on to it, and its exit status is passed back; 128 + n if signal n ended it.
    """
    from tallystick.log import Log, open_log

    with open_log(name, output=1 if output is None else output, on_trouble=complain, **options) as log:
        # Signals that come before there is a child to pass them on to wait for it.
        numbers = {getattr(signal, word) for word in _PASSED_ON}
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        try:
            child = _start(arguments)
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
            complain(f"{arguments[0]}: {(error.strerror or str(error)).lower()}")
            raise SystemExit(127 if isinstance(error, FileNotFoundError) else 126) from None
        _pass_signals_on(child, numbers)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
        _copy(child, log)
        status = child.wait()
    raise SystemExit(128 - status if status < 0 else status)


def _start(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        restore_signals=True,
        preexec_fn=None,
    )


def _pass_signals_on(child: subprocess.Popen[bytes], numbers: set[signal.Signals]) -> None:
    # A terminal sends these to the whole group, so the child has them already.
    from_terminal = {signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH} if os.isatty(0) else set()

    def pass_on(number: int, _: FrameType | None) -> None:
        if number not in from_terminal:
            child.send_signal(number)

    for number in numbers:
        signal.signal(number, pass_on)


def _copy(child: subprocess.Popen[bytes], log: Any) -> None:
    """Seal both streams until both have ended."""
    from tallystick.lines import Splitter

    assert child.stdout is not None
    assert child.stderr is not None
    with selectors.DefaultSelector() as selector:
        for stream in (child.stdout, child.stderr):
            selector.register(stream, selectors.EVENT_READ, Splitter(log))
        while selector.get_map():
            for key, _ in selector.select():
                data = os.read(key.fd, 2**20)
                if data:
                    key.data.feed(data)
                else:
                    key.data.finish()
                    selector.unregister(key.fileobj)
