"""Types of values: durations and sizes as people write them, names, positions."""

import re
from typing import Any

import click

from tallystick.errors import FormatError, KeyStoreError, explain
from tallystick.keystore import check_name

__all__ = ["DURATION", "KEEP", "NAME", "POSITION", "SIZE"]

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "ki": 1024, "mi": 1024**2, "gi": 1024**3}


class _Duration(click.ParamType[float]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)?", value)
        if match is None or not (seconds := _amount(match[1], _UNITS[match[2] or "s"])):
            self.fail(f"{value!r} is not a duration; write it like 60s, 15m or 1d", param, ctx)
        return seconds


class _Size(click.ParamType[int]):
    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([kmg]?i?)b?", value.lower())
        unit = _SIZES.get(match[2]) if match else None
        if match is None or unit is None or not (size := int(_amount(match[1], unit))):
            self.fail(f"{value!r} is not a size; write it like 100MB or 1GiB", param, ctx)
        return size


class _Keep(click.ParamType[int | float]):
    name = "keep"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        if isinstance(value, int | float):
            return value
        if re.fullmatch(r"[0-9]{1,9}", value) and int(value):
            return int(value)
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(s|m|h|d)", value)
        if match is None or not (seconds := _amount(match[1], _UNITS[match[2]])):
            self.fail(f"{value!r} is neither a number of files nor a time; write it like 30 or 90d", param, ctx)
        return seconds


def _amount(digits: str, unit: float) -> float:
    """Return an amount in its base unit; 0, which is refused, for one that no file or clock reaches."""
    amount = float(digits) * unit
    return amount if amount < 2**53 else 0


class _Name(click.ParamType[str]):
    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            check_name(value)
        except KeyStoreError as error:
            self.fail(explain(error), param, ctx)
        return str(value)


class _Position(click.ParamType[str]):
    name = "position"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from tallystick.evidence import parse_position

        try:
            parse_position(value)
        except FormatError as error:
            self.fail(explain(error), param, ctx)
        return str(value)


DURATION, SIZE, KEEP, NAME, POSITION = _Duration(), _Size(), _Keep(), _Name(), _Position()
