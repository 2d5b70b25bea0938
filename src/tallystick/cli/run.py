"""`tallystick run`: runs a command and seals its output from the first byte."""

import os
import selectors
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

import click

from tallystick.cli.options import name_argument, rotation, sealing_options
from tallystick.cli.output import complain
from tallystick.errors import reason

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
    from tallystick.log import open_log

    signals = _Signals()
    with open_log(name, **rotation({**options, "output": output}) | {"output": 1 if output is None else output}, on_trouble=complain) as log:
        try:
            child = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except OSError as error:
            complain(f"{arguments[0]}: {reason(error)}")
            raise SystemExit(127 if isinstance(error, FileNotFoundError) else 126) from None
        signals.pass_on(child)
        _copy(child, log)
        status = child.wait()
    raise SystemExit(128 - status if status < 0 else status)


class _Signals:
    """Signals for the child; those that come before there is one wait for it."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        # A terminal sends these to the whole group, so the child has them already.
        self._from_terminal = ("SIGINT", "SIGQUIT", "SIGWINCH") if os.isatty(0) else ()
        for number in (getattr(signal, word) for word in _PASSED_ON):
            # What is ignored stays ignored, here and in the child, as under nohup.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._hear)

    def pass_on(self, child: subprocess.Popen[bytes]) -> None:
        """Name the child; it gets what came before."""
        self._child = child
        for number in self._early:
            self._send(child, number)

    def _hear(self, number: int, _: FrameType | None) -> None:
        if signal.Signals(number).name in self._from_terminal:
            return
        if self._child is None:
            self._early.append(number)
        else:
            self._send(self._child, number)

    def _send(self, child: subprocess.Popen[bytes], number: int) -> None:
        with suppress(PermissionError):  # a child that runs as somebody else
            child.send_signal(number)


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
