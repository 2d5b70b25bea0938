"""`tallystick agent`: a process of its own that takes lines by sockets and seals them."""

import tomllib
from collections.abc import Sequence
from typing import Any

import click

from tallystick.cli.command import Command, option
from tallystick.cli.options import agent_options, rotation
from tallystick.cli.values import NAME, SIZE
from tallystick.errors import FormatError, reason

_EPILOG = """Example:

\b
  tallystick agent payments -o audit.log --listen unix:/run/tallystick/payments.sock
"""


@click.command("agent", cls=Command, epilog=_EPILOG)
@click.argument("name", type=NAME, metavar="NAME", required=False)
@option("--config", type=click.Path(), metavar="FILE", help="TOML: a table [[log]] for each log, with these options.")
@option("--listen", multiple=True, metavar="ADDRESS", help="unix:PATH, tcp:HOST:PORT, syslog+udp:…")
@option("--origin", is_flag=True, help="Put into each line what the kernel says of its sender.")
@option("--mode", default="0600", metavar="MODE", help="Permissions of Unix sockets [0600].")
@option("--state", type=click.Path(), metavar="DIR", help="What is remembered of clients.")
@option("--tls-cert", type=click.Path(), metavar="FILE", help="Certificate for tls:…")
@option("--tls-key", type=click.Path(), metavar="FILE", help="Its key.")
@option("--tls-ca", type=click.Path(), metavar="FILE", help="Authorities for clients' certificates.")
@option("--max-line", type=SIZE, metavar="SIZE", default="1MiB", help="Longer messages are split [1MiB].")
@option("--max-rate", type=SIZE, metavar="SIZE", help="Bytes a second from one connection.")
@option(
    "--max-connections", type=click.IntRange(1), default=4096, metavar="N", help="Connections at each address [4096]."
)
@option("--max-peer", type=click.IntRange(1), default=2048, metavar="N", help="Connections from one peer [2048].")
@agent_options
def command(name: str | None, config: str | None, **options: Any) -> None:
    """Seal lines that come by sockets for the log NAME.

    SIGTERM closes the chain, SIGHUP reads certificates and --config again and reopens files, and SIGUSR2 has an
    upgraded program take over.
    """
    from tallystick.agent.service import serve
    from tallystick.cli.notify import notify_manager
    from tallystick.cli.output import complain

    if (name is None) == (config is None):
        raise click.UsageError("name a log, or name several by --config FILE")
    one = [_wanted(name, options)] if config is None else []
    serve(lambda: one if config is None else _configured(config), complain, notify_manager)


def _configured(path: str) -> list[Any]:
    """Read the tables of a file as if each were a command line."""
    try:
        with open(path, "rb") as file:
            tables = tomllib.load(file).get("log")
    except OSError as error:
        raise FormatError(reason(error), path=path) from error
    except ValueError as error:
        raise FormatError(str(error).lower(), path=path) from error
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables) or not tables:
        raise FormatError("there is no table [[log]]", hint="write one for each log", path=path)
    found = []
    for table in tables:
        name, words = str(table.pop("name", "")), []
        for key, value in table.items():
            if key == "config":
                raise FormatError("config is no key of [[log]]", path=path)
            each = value if isinstance(value, list) else [value]
            words += [f"--{key}" if one is True else f"--{key}={one}" for one in each if one is not False]
        try:
            with command.make_context(f"[[log]] {name}", [*words, "--", name]) as context:
                context.params.pop("config")
                found.append(_wanted(context.params.pop("name"), context.params))
        except click.UsageError as error:
            raise FormatError(f"log {name!r}: {error.format_message()}", path=path) from None
    return found


def _wanted(name: Any, options: dict[str, Any]) -> Any:
    from tallystick.agent.wanted import Wanted, default_state

    if not options["listen"]:
        raise click.UsageError("nothing says where to listen: --listen unix:PATH")
    place = _place(
        options.pop("listen"), options.pop("mode"), [options.pop(each) for each in ("tls_cert", "tls_key", "tls_ca")]
    )
    limits = _limits(options)
    state, stamps = options.pop("state") or default_state(), options.pop("origin")
    if not isinstance(options["output"], str):
        raise click.UsageError("the agent writes a file; name it with -o FILE")
    if options["on_full"] == "drop":
        raise click.UsageError("the agent drops no lines: --on-full is block or stop")
    return Wanted(name=name, place=place, state=state, stamps=stamps, limits=limits, **rotation(options))


def _limits(options: dict[str, Any]) -> Any:
    from tallystick.agent.limits import Limits

    line, rate = options.pop("max_line"), options.pop("max_rate")
    if line > 2**21:
        raise click.UsageError("--max-line is 2MiB at most")
    return Limits(line=line, rate=rate, connections=options.pop("max_connections"), peer=options.pop("max_peer"))


def _place(listen: Sequence[str], mode: str, files: Sequence[str | None]) -> Any:
    from tallystick.agent.address import Address
    from tallystick.agent.wanted import Place, Tls

    addresses = tuple(map(Address.parse, listen))
    try:
        number = int(mode, 8)
    except ValueError:
        raise click.UsageError(f"--mode {mode!r} is no mode; write it like 0660") from None
    tls = None
    if any(each.kind == "tls" for each in addresses):
        certificate, key, authorities = files
        if not (certificate and key and authorities):
            raise click.UsageError("tls: goes with --tls-cert, --tls-key and --tls-ca: both ends show a certificate")
        tls = Tls(certificate, key, authorities)
    return Place(addresses, number & 0o777, tls)
