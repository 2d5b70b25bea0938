"""`tallystick key`: looks at keys, narrows them, and prints the public file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from tallystick.cli.command import Command, option
from tallystick.cli.options import output_option, store_option
from tallystick.cli.output import say
from tallystick.cli.streams import INPUT, STDOUT, Output, named
from tallystick.cli.values import NAME

if TYPE_CHECKING:
    from tallystick import _core


_CHAIN = click.IntRange(1, 2**32 - 1)


_EPILOG = """Example:

\b
  tallystick key show payments.key
  tallystick key public payments > payments.pub
"""


@click.group("key", epilog=_EPILOG)
def command() -> None:
    """Look at keys; narrow one; print the public file of a log."""


_SHOW = """Example:

\b
  tallystick key show payments.key
"""


@command.command("show", cls=Command, epilog=_SHOW)
@click.argument("file", type=INPUT, metavar="FILE")
def show(file: str) -> None:
    """Describe the key in FILE, without showing its secret."""
    info = _info(file)
    if info.secret:
        click.echo("verification key: secret; checks every line, can forge tags; keep it away from the sealing host")
    else:
        click.echo("public key: not secret; checks checkpointed lines, can forge nothing")
    click.echo(f"log         {info.name} ({info.log_id})")
    if info.secret:
        chains = f"{info.first_chain} to {info.last_chain}" if info.narrowed else "all"
        click.echo(f"chains      {chains}")
    click.echo(f"public key  {info.public_key}")


_PUBLIC = """Example:

\b
  tallystick key public payments > payments.pub
"""


@command.command("public", cls=Command, epilog=_PUBLIC)
@click.argument("place", type=INPUT, metavar="NAME|FILE")
@store_option
def public(place: str, store: str | None) -> None:
    """Print the public file of the log NAME: enough for an auditor to check it, and useless for forging.

    With a FILE that holds a verification key, print the public key in it; only the key store has the openings of
    older generations, which a long log needs as well.
    """
    from tallystick import keystore
    from tallystick.courier.state import public_state

    if place == "/dev/stdin" or (os.path.isfile(place) and not _is_log(place, store)):
        click.echo(_info(place).public_key)
        return
    NAME.convert(place, None, click.get_current_context())
    state = keystore.connect(store).load(place).state
    click.echo(public_state(place, state).public_file, nl=False)


_NARROW = """Example:

\b
  tallystick key narrow payments.key --from 12 --to 14 -o payments-march.key
"""


@command.command("narrow", cls=Command, epilog=_NARROW)
@click.argument("file", type=INPUT, metavar="FILE")
@option("--from", "first", required=True, type=_CHAIN, metavar="CHAIN", help="First chain that it covers.")
@option("--to", "last", required=True, type=_CHAIN, metavar="CHAIN", help="Last chain that it covers.")
@output_option("Write the new key to FILE, which must not exist yet.", envvar="TALLYSTICK_NARROWED")
def narrow(file: str, first: int, last: int, output: Output) -> None:
    """Make a verification key for some chains only from the one in FILE.

    Its holder checks the tags of these chains, could forge them, and learns nothing that helps with others.
    A key covers 65,536 chains at most.
    """
    from tallystick import _core
    from tallystick.errors import FormatError, TallystickError

    if isinstance(output, str) and os.path.lexists(output):
        raise TallystickError(f"{output} exists, and it may be another key", hint="name a new file")
    with _opened(file) as fd:
        try:
            key = _core.NarrowedKey.read(fd, first, last)
        except FormatError as error:
            raise error.found_in(file) from None
    _write(key, output)
    chains = f"chain {first}" if first == last else f"chains {first} to {last}"
    say(f"{named(output, 'this key')} checks {chains} only; like the key it comes from, it is secret")


def _write(key: "_core.NarrowedKey", output: Output) -> None:
    from tallystick import securefile
    from tallystick.errors import TallystickError

    if not isinstance(output, str):
        key.write(STDOUT if output is None else output)
        return
    path = os.path.abspath(output)
    with securefile.reporting(TallystickError, path), securefile.creating(path, None) as target:
        key.write(target)
    securefile.sync_directory(os.path.dirname(path))


def _is_log(name: str, store: str | None) -> bool:
    from tallystick import keystore
    from tallystick.errors import KeyStoreError

    try:
        return name in keystore.connect(store).names()
    except KeyStoreError:
        return False


def _info(file: str) -> "_core.KeyInfo":
    from tallystick import _core
    from tallystick.errors import FormatError

    with _opened(file) as fd:
        try:
            return _core.key_info(fd)
        except FormatError as error:
            raise error.found_in(file) from None


@contextmanager
def _opened(file: str) -> Iterator[int]:
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), file) from None
    finally:
        os.close(fd)
