"""What `verify` and `acra` share: how a report is asked for, and how it is delivered."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from tallystick.cli import output as look
from tallystick.cli.command import option
from tallystick.cli.options import output_option
from tallystick.cli.streams import STDIN, Output
from tallystick.reports import FORMS, command_line, render

if TYPE_CHECKING:
    from tallystick.verify import Report

__all__ = ["STATUS", "deliver", "report_options"]

F = TypeVar("F", bound=Callable[..., Any])

STATUS = "Exit status: 0 ok, 3 incomplete, 5 failed, 2 usage, 4 input or output."

_REPORT = (
    option("--max-findings", type=click.IntRange(1), default=100, metavar="N", help="Most findings of a kind [100]."),
    option("--format", "form", type=click.Choice(FORMS), default="text", metavar="FORM",
           help=f"Form of the report: {', '.join(FORMS)} [text]."),
    output_option("Write the report to FILE.", envvar="TALLYSTICK_REPORT"),
    option("--jobs", type=click.IntRange(1), metavar="N", help="Threads; else one for each processor."),
)  # fmt: skip


def report_options(command: F) -> F:
    """Add how much is reported, in which form, where, and with how many threads."""
    for add in reversed(_REPORT):
        command = add(command)
    return command


def deliver(report: "Report", form: str, output: Output, inputs: Sequence[str]) -> NoReturn:
    """Write a report to standard output or a file, but never over its inputs; leave with its exit status."""
    from tallystick.errors import ReportError
    from tallystick.securefile import Rights, write_over

    report = replace(report, command=command_line(["tallystick", *sys.argv[1:]]))
    if output is None:
        click.echo(render(report, form, look.columns()), nl=False)
    else:
        if any(_are_one(output, path) for path in inputs):
            raise ReportError(f"{output} is what was verified, or its key", hint="name another file for the report")
        data = render(report, form).encode("utf-8", "backslashreplace")
        if isinstance(output, int):
            with open(output, "wb", closefd=False) as file:
                file.write(data)
        else:
            write_over(output, data, Rights.common(report.files))
    raise SystemExit(report.verdict.exit_status)


def _are_one(output: str | int, path: str) -> bool:
    try:
        return os.path.samestat(os.stat(output), os.fstat(STDIN) if path == "-" else os.stat(path))
    except OSError:  # one of them is not there
        return False
