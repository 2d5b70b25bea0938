"""`tallystick witness`: remembers how long logs are, and when."""

import datetime
import signal
import threading
from pathlib import Path

import click

from tallystick.cli.command import Command, option
from tallystick.cli.notify import notify_manager
from tallystick.cli.options import output_option
from tallystick.cli.output import say
from tallystick.cli.streams import INPUT, STDOUT, Output
from tallystick.cli.values import DURATION

_EPILOG = """Example:

\b
  tallystick witness key --key witness.key
  tallystick witness serve --store witness --listen 127.0.0.1:9471 --key witness.key --logs logs
"""

_key_option = option(
    "--key", type=click.Path(), metavar="FILE", required=True, help="Its key; made where there is none."
)
_name_option = option("--name", metavar="NAME", help="What a new key is called [the name of this machine].")


@click.group("witness", epilog=_EPILOG)
def command() -> None:
    """Remember how long logs are, and when; print the witness's public key; fetch receipts."""


@command.command("serve", cls=Command, epilog=_EPILOG)
@option("--store", metavar="DIR|URL", required=True, help="Where it remembers: a directory, or postgresql://…")
@option("--listen", metavar="HOST:PORT", required=True, help="Address at which it answers.")
@_key_option
@option("--logs", type=click.Path(), metavar="DIR", help="Public files NAME.pub of the logs that it knows.")
@option("--open", "most_open", type=click.IntRange(1), metavar="N", help="Take any log, N at most.")
@option("--interval", type=DURATION, default="1m", metavar="TIME", help="Between checkpoints of its own tree [1m].")
@option("--policy", type=click.Path(), metavar="FILE", help="Who cosigns its tree, with URLs (C2SP tlog-policy).")
@option("--tsa", metavar="URL", help="Time-stamp authority (RFC 3161), for tokens over its tree.")
@option("--tsa-interval", type=DURATION, default="1h", metavar="TIME", help="Between two tokens [1h].")
@option("--token", type=click.Path(), metavar="FILE", help="Token that its page asks other machines for.")
@_name_option
@option("--restored", is_flag=True, help="An older store was put back: take back what receipts have shown.")
def serve(
    store: str,
    listen: str,
    key: str,
    logs: str | None,
    most_open: int | None,
    interval: float,
    policy: str | None,
    tsa: str | None,
    tsa_interval: float,
    token: str | None,
    name: str | None,
    restored: bool,
) -> None:
    """Take signed heads of logs, sign receipts for them, and answer how long the logs are.

    SIGTERM and SIGINT end it. New files in the directory of --logs are seen by themselves.
    """
    from tallystick.web import Web, listen_address
    from tallystick.witness.service import Config, Service

    if logs is None and most_open is None:
        raise click.UsageError("nothing says of which logs: --logs DIR, or --open N for any")
    host, port = listen_address(listen)
    web = Web(host, port, token_file=Path(token) if token is not None else None)
    config = Config(store, key, logs, most_open or 0, web, name, interval, policy, tsa, tsa_interval, restored)
    service = Service(config, _say)
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    service.start()
    _say(f"witness {service.key.name} at {service.address}; its public key is {service.key}")
    notify_manager("READY=1")
    over.wait()
    notify_manager("STOPPING=1")
    service.stop()


_KEY = """Example:

\b
  tallystick verify audit.log --public app.pub --witness https://w.example=$(tallystick witness key --key witness.key)
"""


@command.command("key", cls=Command, epilog=_KEY)
@_key_option
@_name_option
def key(key: str, name: str | None) -> None:
    """Print the witness's public key, for --witness URL=KEY."""
    from tallystick.witness.keyfile import host_name, read_or_make

    click.echo(str(read_or_make(key, name or host_name()).key))


_RECEIPTS = """Example:

\b
  tallystick witness receipts https://w.example=KEY --public app.pub -o app.receipts
"""


@command.command("receipts", cls=Command, epilog=_RECEIPTS)
@click.argument("witness", metavar="URL=KEY")
@option("--public", type=INPUT, metavar="FILE", required=True, help="Public file of the log.")
@output_option("Write the receipts to FILE, which must not exist yet.", envvar="TALLYSTICK_RECEIPTS_OUTPUT")
def receipts(witness: str, public: str, output: Output) -> None:
    """Fetch the newest receipts of a log, with what completes them.

    They are for `prove --receipts` and `verify --receipts`. What completes one, the proof that it is in the witness's
    tree and the signatures of others, takes the witness a while: see its --interval and --tsa-interval.
    """
    from tallystick.witness.receipts import fetch

    found = fetch(witness, public, STDOUT if output is None else output)
    say(f"{found.texts} receipts, {found.proved} of them completed, {found.stamped} with a time-stamp")


def _say(line: str) -> None:
    """Print a line for people, with the time: a journal may have none of its own."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    click.echo(f"{now} {line}", err=True)
