"""What commands share: types of values, and options that also come from the environment."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from tallystick.errors import FormatError, KeyStoreError
from tallystick.keystore import check_name

__all__ = [
    "DURATION",
    "NAME",
    "POSITION",
    "custody_option",
    "envelope_option",
    "field_option",
    "head_option",
    "last_option",
    "name_argument",
    "option",
    "rotation",
    "sealing_options",
    "start_option",
    "store_option",
]

F = TypeVar("F", bound=Callable[..., Any])

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


class _Duration(click.ParamType[float]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)?", value)
        if match is None or not (seconds := float(match[1]) * _UNITS[match[2] or "s"]):
            self.fail(f"{value!r} is no duration; write it like 60s, 15m or 1d", param, ctx)
        return seconds


DURATION = _Duration()


_SIZES = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "ki": 1024, "mi": 1024**2, "gi": 1024**3}


class _Size(click.ParamType[int]):
    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([kmg]?i?)b?", value.lower())
        unit = _SIZES.get(match[2]) if match else None
        if match is None or unit is None or not (size := int(float(match[1]) * unit)):
            self.fail(f"{value!r} is no size; write it like 100MB or 1GiB", param, ctx)
        return size


class _Keep(click.ParamType[int | float]):
    name = "keep"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        if isinstance(value, int | float):
            return value
        if value.isdigit() and value.isascii() and int(value):
            return int(value)
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(s|m|h|d)", value)
        if match is None or not (seconds := float(match[1]) * _UNITS[match[2]]):
            self.fail(f"{value!r} is neither a number of files nor a time; write it like 30 or 90d", param, ctx)
        return seconds


class _Name(click.ParamType[str]):
    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            check_name(value)
        except KeyStoreError as error:
            self.fail(str(error), param, ctx)
        return str(value)


class _Position(click.ParamType[str]):
    name = "position"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from tallystick.evidence import parse_position

        try:
            parse_position(value)
        except FormatError as error:
            self.fail(str(error), param, ctx)
        return str(value)


POSITION = _Position()


def option(name: str, *more: str, **settings: Any) -> Callable[[F], F]:
    """Return an option that also comes from the environment variable TALLYSTICK_ and its name, or `envvar`."""
    variable = "TALLYSTICK_" + name.removeprefix("--").replace("-", "_").upper()
    return click.option(name, *more, **{"envvar": variable, **settings})


def _store(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Leave what came from the environment to the key store, which takes a directory there as well.

    A store that was named on the command line stays named, even if the environment names the same one.
    """
    source = context.get_parameter_source(parameter.name or "")
    return value if source is ParameterSource.COMMANDLINE else None


NAME = _Name()

name_argument = click.argument("name", type=NAME, metavar="NAME")
store_option = option("--store", metavar="URL", callback=_store, help="Key store, such as file:DIR.")
custody_option = option("--custody", metavar="URL", help="What encrypts the sealing state, such as master-key:FILE.")


head_option = option("--head", type=click.Path(), metavar="FILE", help="Head of the log, from `tallystick head`.")
start_option = option(
    "--from", "start", type=click.IntRange(1), metavar="CHAIN", help="First chain here; older ones were deleted."
)
last_option = option(
    "--to", "last", type=click.IntRange(1), metavar="CHAIN", help="Last chain here; newer ones are elsewhere."
)
envelope_option = option("--envelope", metavar="KIND", help="What a carrier put around lines: docker, cri, …")
field_option = option("--field", metavar="NAME", help="The JSON field that holds the lines, such as message.")


def sealing_options(command: F) -> F:
    """Add what `seal` and `run` share."""
    for add in reversed(_SEALING):
        command = add(command)
    return command


_SEALING = (
    option("--output", "-o", type=click.Path(), metavar="FILE", help="Append to FILE instead of standard output."),
    store_option,
    custody_option,
    option("--control", type=click.Choice(["auto", "plain", "json"]), default="auto", show_default=True,
           help="Form of control lines; auto takes that of the first line."),
    option("--epoch-lines", type=click.IntRange(1, 65534), default=4096, show_default=True, metavar="N",
           help="An epoch ends after N lines."),
    option("--epoch-age", type=DURATION, default="60s", show_default=True, help="An epoch ends after this time."),
    option("--heartbeat", type=DURATION, help="A checkpoint at least so often, even without lines."),
    option("--durability", type=click.Choice(["flush", "sync", "sync-each"]), default="flush", show_default=True,
           help="What is on the disk at once: nothing, checkpoints, each line."),
    option("--on-full", type=click.Choice(["block", "drop", "stop"]), default="block", show_default=True,
           help="While no line can be written: wait, count what is dropped, or stop."),
    option("--rotate-size", type=_Size(), metavar="SIZE", help="Begin a new FILE at this size: 100MB."),
    option("--rotate-age", type=DURATION, help="Begin a new FILE at this age: 1d."),
    option("--keep", type=_Keep(), metavar="N|TIME", help="Rotated files that stay: a number, or a time like 90d."),
    option("--compress", type=click.Choice(["gz", "zst"]), help="Compress rotated files in the background."),
)  # fmt: skip


def rotation(options: dict[str, Any]) -> dict[str, Any]:
    """Put the options of rotation together, as `tallystick.open` takes them."""
    size, age, keep, compress = (options.pop(name) for name in ("rotate_size", "rotate_age", "keep", "compress"))
    if size is None and age is None:
        if keep is not None or compress is not None:
            raise click.UsageError("--keep and --compress go with --rotate-size or --rotate-age")
        return options
    if options.get("output") is None:
        raise click.UsageError("only a file can be rotated: name it with -o FILE")
    from tallystick.sinks.rotation import Rotation

    kept = {"keep" if isinstance(keep, int) else "keep_for": keep} if keep is not None else {}
    return {**options, "rotation": Rotation(size=size, age=age, compress=compress, **kept)}
