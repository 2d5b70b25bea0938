"""`tallystick status`: shows logs, their writers and heads."""

import json
from typing import Any

import click

from tallystick.cli.options import NAME, option, store_option
from tallystick.cli.output import complain, safe

_EPILOG = """Example:

\b
  tallystick status payments --format json
"""


@click.command("status", epilog=_EPILOG)
@click.argument("name", type=NAME, required=False, metavar="[NAME]")
@store_option
@option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(name: str | None, store: str | None, form: str) -> None:
    """Show the log NAME, or all logs of the key store. No secret is shown."""
    from tallystick import keystore
    from tallystick.errors import TallystickError

    place = keystore.connect(store)
    names = [name] if name else place.names()
    logs, damaged = [], False
    for one in names:
        try:
            logs.append(_status(place, one))
        except TallystickError as error:
            complain(str(error))
            damaged = True
    _show(logs, form, place.url if not damaged else None)
    if damaged:
        raise SystemExit(4)


def _show(logs: list[dict[str, Any]], form: str, empty: str | None) -> None:
    if form == "json":
        click.echo(json.dumps(logs, indent=1))
        return
    if not logs and empty:
        click.echo(f"no logs in {safe(empty)}; set one up with: tallystick init NAME")
    for log in logs:
        click.echo(f"{log['name']} ({log['log_id']})")
        for field in ("state", "next_chain", "head", "writer", "store", "custody", "public_key"):
            if log[field] is not None:
                click.echo(f"  {field.replace('_', ' '):<12}{safe(str(log[field]))}")


def _status(place: Any, name: str) -> dict[str, Any]:
    from tallystick import _core
    from tallystick.errors import FormatError
    from tallystick.opening import public_state

    stored = place.load(name)
    state = public_state(name, stored.state)
    writer = place.holder(name)
    try:
        head = ".".join(map(str, _core.parse_head(stored.head)[1])) if stored.head else "missing"
    except FormatError:
        head = "damaged"
    return {
        "name": name,
        "log_id": state.log_id,
        "state": "ended" if state.next_chain is None else "being written" if writer else "at rest",
        "next_chain": state.next_chain,
        "head": head,
        "writer": writer,
        "store": place.url,
        "custody": state.custody,
        "public_key": state.public_key,
    }
