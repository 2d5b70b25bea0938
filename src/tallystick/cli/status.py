"""`tallystick status`: shows logs, their writers and heads."""

import json
import time
from typing import Any

import click

from tallystick.cli.command import Command
from tallystick.cli.options import form_option, store_option
from tallystick.cli.output import complain, safe
from tallystick.cli.values import NAME

_EPILOG = """Example:

\b
  tallystick status payments --format json
"""


@click.command("status", cls=Command, epilog=_EPILOG)
@click.argument("name", type=NAME, required=False, metavar="[NAME]")
@store_option
@form_option("text", "json")
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
            complain(error)
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
        for field in _SHOWN:
            age = log.get(f"{field}_age")
            for value in log[field] if isinstance(log[field], list) else [log[field]]:
                if value is not None:
                    said = f"{value}, {_ago(age)} ago" if age is not None else str(value)
                    click.echo(f"  {field.replace('_', ' '):<12}{safe(said)}")


_SHOWN = (
    "state", "health", "next_chain", "lines", "checkpoint", "head", "writer", "output", "dropped", "late", "witnesses",
    "recovered", "under_way", "store", "custody", "forgets", "public_key",
)  # fmt: skip


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _status(place: Any, name: str) -> dict[str, Any]:
    from tallystick import _core
    from tallystick.courier.state import forgets, public_state
    from tallystick.errors import FormatError
    from tallystick.keystore import moving_entry, next_entry
    from tallystick.writer.status import read_note

    stored = place.load(name)
    state = public_state(name, stored.state)
    writer = place.holder(name)
    note = read_note(place.note(name)) or {}
    try:
        head = ".".join(map(str, _core.parse_head(stored.head)[1])) if stored.head else "missing"
    except FormatError:
        head = "damaged"
    broken = f"the head is {head}: a verifier takes that for a bad head" if head in ("missing", "damaged") else None
    words = {next_entry(name): "rekey", moving_entry(name): "migrate"}
    left = [
        f"an interrupted {words[each]}; the next writer puts it in order" for each in place.under_way() if each in words
    ]
    left += [f"an interrupted migrate to {state.leaving}; run it again"] if state.leaving else []
    phase = "ended" if state.next_chain is None else "being written" if writer else "at rest"
    left_open = note.get("closed") not in (None, "well") and not writer
    unclean = "the last writer did not close its chain; the next one goes on after it" if left_open else None
    if left_open and phase == "ended":
        unclean = (
            "the log was ended, but its writer was interrupted before a last line said so: nothing can be sealed any "
            "more, and verify reports an open end"
        )
    trouble = note.get("trouble") if writer or left_open else None
    counted, counted_age = _mark(note.get("head"))
    checkpoint, checkpoint_age = _mark(note.get("checkpoint"))
    return {
        "name": name,
        "log_id": state.log_id,
        "state": phase,
        "health": broken or trouble or unclean or "good",
        "next_chain": state.next_chain,
        "chain": None if broken else int(head.split(".")[0]),
        "epoch": None if broken else int(head.split(".")[1]),
        "lines": _count(note.get("lines")),
        "checkpoint": checkpoint,
        "checkpoint_age": checkpoint_age,
        "head": head,
        "head_age": counted_age if counted == head else None,
        "writer": writer,
        "pid": _count(note.get("pid")) if writer else None,
        "output": note.get("output"),
        "dropped": _count(note.get("dropped")) or None,
        "late": _late(note.get("late")),
        "witnesses": [_witness(each) for each in note.get("witnesses") or []] if writer else [],
        "recovered": [str(each) for each in note.get("recovered") or []] if writer else [],
        "under_way": left,
        "store": place.url,
        "custody": state.custody,
        "forgets": forgets(state),
        "public_key": state.public_key,
    }


def _late(said: Any) -> str | None:
    """Return what a note says of heads that came late, in words."""
    from tallystick.writer.status import when

    try:
        count, longest, last = int(said["count"]), float(said["longest"]), when(float(said["time"]))
        heads = "1 head" if count == 1 else f"{count} heads"
        return f"{heads}, up to {longest:.1f} s after the first line, last at {last}: {said['why']}"
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None


def _witness(said: Any) -> str:
    """Return what a note says of a witness, in words."""
    try:
        has = f"has the log up to {said['has']}" if said["has"] else "has nothing of this chain yet"
        return f"{said['url']} {has}{': ' * bool(said['trouble'])}{said['trouble'] or ''}"
    except (KeyError, TypeError):
        return "unknown"


def _count(said: Any) -> int | None:
    return said if isinstance(said, int) else None


def _mark(said: Any) -> tuple[str | None, float | None]:
    """Return what a note says of a statement or a head: its position, and its age in seconds."""
    try:
        return str(said["position"]), round(max(0.0, time.time() - float(said["time"])), 1)
    except (KeyError, TypeError, ValueError):
        return None, None
