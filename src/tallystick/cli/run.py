"""`tallystick run`: runs a command and seals its output from the first byte."""

import errno
import os
import select
import shlex
import shutil
import signal
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli.command import Command, option
from tallystick.cli.options import name_argument, rotation, sealing_options
from tallystick.cli.output import complain, plural, safe
from tallystick.cli.streams import STDOUT, Output
from tallystick.cli.values import DURATION
from tallystick.errors import SealError, TallystickError, explain, reason

if TYPE_CHECKING:
    from tallystick.cli.child import Child
    from tallystick.cli.writing import Writing

_EPILOG = """Example:

\b
  tallystick run payments -o audit.log -- /usr/bin/my-service --config /etc/my-service.conf
"""

_LONG_ENOUGH = 10.0  # seconds from SIGTERM to SIGKILL for a command whose output cannot be sealed any more
_BLOCK = 2**17  # bytes, as in `seal`, so neither stream gets far ahead of the other


class _Run(Command):
    """Tells whose an option is: ours before the command, the command's own after it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = self._start_of_command(args)
        if at is not None and any(word.startswith("-") for word in args[at + 1 :]):
            meant = f"{shlex.join(args[:at])} -- {shlex.join(args[at:])}"
            raise click.UsageError(
                "options follow the command; put -- before it, and our own options before that: "
                f"{ctx.command_path} {safe(meant)}",
                ctx,
            )
        return super().parse_args(ctx, args)

    def _start_of_command(self, args: Sequence[str]) -> int | None:
        """Return where the command begins if no -- says so: it is the second word that is no option's."""
        flags = {word: one.is_flag for one in self.params if isinstance(one, click.Option) for word in one.opts}
        words = value = 0
        for at, word in enumerate(args):
            if value:
                value = 0
            elif word == "--" or word in ("-h", "--help"):
                return None
            elif word.startswith("-") and len(word) > 1:
                value = word in flags and not flags[word]
            elif words:
                return at
            else:
                words = 1
        return None


def _names(_: click.Context, __: click.Parameter, value: Sequence[str]) -> Sequence[str]:
    if any("=" in name for name in value):  # the rest may be a secret, so it is not shown
        raise click.BadParameter("name a variable, without a value")
    return value


@click.command("run", cls=_Run, epilog=_EPILOG)
@name_argument
@option("--linger", type=DURATION, metavar="TIME", default="5s", help="Seal this long after COMMAND [5s].")
@option("--pass-env", multiple=True, metavar="NAME", callback=_names, help="Give COMMAND a variable of the writer.")
@sealing_options
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def command(
    name: str,
    output: Output,
    linger: float,
    pass_env: Sequence[str],
    encoding: str | None,
    arguments: Sequence[str],
    **options: Any,
) -> None:
    """Run COMMAND and seal its stdout and stderr for the log NAME.

    It gets signals, and its exit status is passed back; 128 + n after signal n. SIGHUP also reopens FILE. If sealing
    ends, so does COMMAND, with status 4.
    """
    from tallystick.cli.child import Child
    from tallystick.cli.given import withheld
    from tallystick.cli.notify import notify_manager
    from tallystick.cli.writing import Writing

    _refuse_absent(arguments[0])
    hidden = withheld(name, options["store"], options["custody"], passed=pass_env)
    writing = Writing()
    signals = _signals(writing, reopens=isinstance(output, str))
    settings = rotation({**options, "output": output})
    settings["output"] = STDOUT if output is None else output
    ready = ("READY=1", f"STATUS=sealing the output of {safe(arguments[0])} for log {name}")
    started: list[Child] = []

    def opened() -> None:
        if started:  # it was waited for the log meanwhile
            notify_manager(*ready)

    with writing:
        writing.open(name, opened=opened, mixed=True, **settings)
        try:
            child = Child(arguments, hidden)
        except OSError as error:
            raise _not_started(arguments[0], error) from None
        signals.pass_on(child)
        started.append(child)
        notify_manager(*(ready if writing.log is not None else (f"STATUS=waiting until log {name} is free",)))
        try:
            _Copy(child, writing, encoding).seal(linger)
        except TallystickError as error:
            notify_manager("STOPPING=1", f"STATUS={safe(explain(error))}")
            raise
        notify_manager("STOPPING=1", f"STATUS=closing log {name}")
    raise SystemExit(child.status)


def _refuse_absent(program: str) -> None:
    """Leave if a command cannot be started, before a chain is opened for it."""
    if shutil.which(program) is not None:
        return
    places = [""] if os.sep in program else os.get_exec_path()
    there = any(os.path.exists(os.path.join(each, program)) for each in places)
    number = errno.EACCES if there else errno.ENOENT
    raise _not_started(program, OSError(number, os.strerror(number)))


def _not_started(program: str, error: OSError) -> SystemExit:
    """Say why a command cannot be started; return what to leave with."""
    complain(f"{program}: {reason(error)}")
    return SystemExit(127 if isinstance(error, FileNotFoundError) else 126)


def _signals(writing: "Writing", *, reopens: bool) -> Any:
    from tallystick.cli.child import Signals

    class Heard(Signals):
        def heard(self, number: int) -> None:
            if number == signal.SIGHUP and reopens:
                writing.reopen()
            elif number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
                writing.leave()

    return Heard()


def _standing(fd: int) -> int:
    """Return how many bytes are in a pipe."""
    from tallystick.cli.writing import standing

    return standing(fd)


class _Copy:
    """The two streams of a command on their way into the log."""

    def __init__(self, child: "Child", writing: "Writing", encoding: str | None) -> None:
        from tallystick.cli.mixed import Mixed
        from tallystick.lines import Splitter
        from tallystick.unicode import Input

        self._child, self._writing = child, writing
        self._splitters = {fd: Input(Splitter(writing), "the output of COMMAND", encoding) for fd in child.streams}
        self._mixed = {fd: Mixed(fd) for fd in child.streams}
        self._lost = 0  # lines that were read and not sealed
        self._ending = False
        self._poll, self._woken = select.poll(), select.poll()
        self._woken.register(writing.woken, select.POLLIN)
        for fd in (writing.woken, *child.streams):
            self._poll.register(fd, select.POLLIN)
        # A parent may have blocked this signal, so that it does not wake us: then look now and then.
        self._blocked = signal.SIGCHLD in signal.pthread_sigmask(signal.SIG_BLOCK, ())

    def seal(self, linger: float) -> None:
        """Seal both streams until they and the command have ended, and for a while the output of what outlives it."""
        until = None
        try:
            while self._splitters or self._child.status is None:
                self._step(None if until is None else until - time.monotonic())
                if self._child.status is not None:
                    until = until or time.monotonic() + linger
                    asked = self._writing.asked_after(until - linger)
                    if self._splitters and (asked or time.monotonic() >= until):
                        self._seal_rest()
            self._writing.last()
        except TallystickError as error:
            self._end(error)

    def _step(self, seconds: float | None) -> None:
        for fd in self._ready(seconds):
            self._take(fd, _BLOCK)
        self._child.look()

    def _ready(self, seconds: float | None) -> list[int]:
        """Wait until there is something to do; return streams that can be read, standard output first."""
        if self._blocked:
            seconds = min(1.0, 1.0 if seconds is None else seconds)
        poll = self._woken if self._writing.is_full else self._poll
        found = poll.poll(None if seconds is None else max(0, int(seconds * 1000) + 1))
        try:
            self._writing.wake()
        except TallystickError:
            if not self._ending:
                raise
        return [fd for fd, _ in found if fd != self._writing.woken]

    def _take(self, fd: int, most: int) -> int:
        """Seal the bytes that are in a stream; return how many there were, 0 at its end."""
        self._mixed[fd].look()
        data = os.read(fd, most)
        self._lost = data.count(b"\n")
        if notice := self._mixed[fd].report(data):
            complain(notice)
            self._writing.notice("torn", notice)
        if data:
            self._splitters[fd].feed(data)
        else:
            self._splitters[fd].finish()
            self._forget(fd)
        self._lost = 0
        return len(data)

    def _forget(self, fd: int) -> None:
        del self._splitters[fd]
        self._poll.unregister(fd)

    def _seal_rest(self) -> None:
        """Seal the bytes that are in the pipes now, and no more: processes that outlived the command hold them open."""
        for fd in list(self._splitters):
            left = _standing(fd)
            while left > 0 and (got := self._take(fd, left)):
                left -= got
            if fd in self._splitters:
                self._splitters[fd].finish()
                self._forget(fd)
        notice = "processes that outlived COMMAND still hold its output; their output is not sealed from now on"
        complain(notice)
        self._writing.notice("outlived", notice)

    def _end(self, error: TallystickError) -> None:
        """Nothing can be sealed any more: end the command, for it must not go on unsealed.

        Raises:
            SealError: In any case, with how much was not sealed.
        """
        lost, self._ending = self._lost + self._writing.unsealed, True
        # Reported at once: to end the command may take a while.
        ending = "" if self._child.status is not None else "; COMMAND is ended, since its output is no longer sealed"
        complain(f"{explain(error)}{ending}")
        self._child.send(signal.SIGTERM)
        until = time.monotonic() + _LONG_ENOUGH
        while self._child.status is None:
            if time.monotonic() >= until:
                self._child.send(signal.SIGKILL)
                until = float("inf")
            # Its pipes are emptied meanwhile, or it could not write its last words and would not end.
            seconds = None if until == float("inf") else until - time.monotonic()
            lost += sum(self._drop(fd) for fd in self._ready(seconds))
            self._child.look()
        lost += sum(map(self._drop_rest, self._splitters))
        raise SealError(f"of the output of COMMAND up to {plural(lost, 'line')} are not sealed") from error

    def _drop(self, fd: int) -> int:
        data = os.read(fd, _BLOCK)
        if not data:
            self._forget(fd)
        return data.count(b"\n")

    def _drop_rest(self, fd: int) -> int:
        """Read what is in a pipe now, and no more, of which a larger pipe holds several blocks; return its lines."""
        lost, left = 0, _standing(fd)
        while left > 0 and (data := os.read(fd, min(left, _BLOCK))):
            lost, left = lost + data.count(b"\n"), left - len(data)
        return lost
