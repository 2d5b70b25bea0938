"""`tallystick watch`: verifies logs all day, and reports within seconds what happened to them."""

import datetime
import shlex
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli.command import Command, option
from tallystick.cli.judging import check_witness_options, expect_option, judging_options, keys_options, witness_options
from tallystick.cli.notify import notify_manager
from tallystick.cli.options import head_option, store_option
from tallystick.cli.streams import INPUT
from tallystick.cli.values import DURATION

if TYPE_CHECKING:
    from tallystick.watch.config import Config
    from tallystick.watch.service import Service

_EPILOG = """Example: tallystick watch '/var/log/payments/*' --key payments.key --state /var/lib/watch
"""


@click.command("watch", cls=Command, epilog=_EPILOG)
@click.argument("paths", nargs=-1, metavar="[PATH...]")
@option("--config", type=INPUT, metavar="FILE", help="Watch many logs, as FILE (TOML) says.")
@keys_options
@option("--state", type=click.Path(), metavar="DIR", help="Remember here what was verified and reported.")
@option("--interval", type=DURATION, metavar="TIME", help="Look this often while something moves [1s].")
@option("--rescan", type=DURATION, metavar="TIME", help="Read everything again at least this often [24h].")
@option("--silence", type=DURATION, metavar="TIME", help="Report a log that is quiet for longer: 15m.")
@option("--listen", metavar="HOST:PORT", help="Serve the page and the metrics here.")
@option("--on-alert", metavar="COMMAND", help="Start COMMAND for each event, as JSON on its input.")
@store_option
@head_option
@judging_options
@expect_option
@witness_options
def command(paths: Sequence[str], config: str | None, **options: Any) -> None:
    """Verify logs all day, and report within seconds what happened to them."""
    from tallystick.watch.reading import read_config
    from tallystick.watch.service import Service

    if config is not None:
        if paths or any(options.values()):
            raise click.UsageError("--config says everything; give no PATH and no other option with it")
        made, reread = read_config(config), partial(read_config, config)
    else:
        made, reread = _made(paths, options), None
    service = Service(made, notify=notify_manager, say=_say, reread=reread)
    with _signals(service):
        service.run()


def _made(paths: Sequence[str], options: dict[str, Any]) -> "Config":
    """Return the configuration that the command line asks for."""
    from tallystick.verify.keys import labels, read_keys
    from tallystick.verify.run import Request
    from tallystick.watch.config import AlertCommand, Alerts, Config, Entry, Web
    from tallystick.web import listen_address

    if not paths or options["state"] is None or not (options["keys"] or options["public"]):
        raise click.UsageError("give PATH..., --key FILE and --state DIR, or --config FILE")
    if "-" in paths:
        raise click.UsageError("standard input ends; name files that go on")
    state, silence, rescan = options.pop("state"), options.pop("silence"), options.pop("rescan")
    interval, listen, on_alert = options.pop("interval"), options.pop("listen"), options.pop("on_alert")
    try:
        arguments = tuple(shlex.split(on_alert or ""))
    except ValueError as error:
        raise click.UsageError(f"--on-alert: {error}") from None
    check_witness_options(options)
    request = Request.of(paths, **options)
    logs, _ = read_keys(request.keys, request.public)
    entry = Entry("+".join(labels(logs))[:100], request, silence, rescan or 86400.0)
    host, port = listen_address(listen) if listen else ("", 0)
    return Config(
        (entry,),
        Path(state),
        interval or 1.0,
        alerts=Alerts((AlertCommand(arguments),) if arguments else ()),
        web=Web(host, port) if listen else None,
    )


def _say(line: str) -> None:
    """Print a line for people, with the time: a journal may have none of its own."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    click.echo(f"{now} {line}")


@contextmanager
def _signals(service: "Service") -> Iterator[None]:
    """End the service on SIGTERM and SIGINT, and let it read its configuration again on SIGHUP."""
    handlers = {
        signal.SIGTERM: lambda *_: service.end(),
        signal.SIGINT: lambda *_: service.end(),
        signal.SIGHUP: lambda *_: service.read_again(),
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
