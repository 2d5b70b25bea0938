"""`tallystick selftest`: attacks copies of your own log and shows which attacks are found."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from tallystick.cli import output as look
from tallystick.cli.command import Command, option
from tallystick.cli.options import form_option, head_option, start_option, store_option
from tallystick.cli.output import say
from tallystick.cli.streams import INPUT, input_or_stdin

if TYPE_CHECKING:
    from rich.table import Table

    from tallystick.selftest import Played, SelftestReport

_EPILOG = """Exit status: 0 every attack was found, 5 one was missed, or the log is failed. Example:

\b
  tallystick selftest audit.log* --key payments.key --head payments.head
"""


@click.command("selftest", cls=Command, epilog=_EPILOG)
@click.argument("paths", nargs=-1, required=True, type=input_or_stdin, metavar="PATH...")
@option(
    "--key",
    "keys",
    multiple=True,
    required=True,
    type=INPUT,
    metavar="FILE",
    help="Verification key of the log.",
)
@store_option
@head_option
@start_option
@form_option("text", "json")
def command(
    paths: Sequence[str],
    keys: Sequence[str],
    store: str | None,
    head: str | None,
    start: int | None,
    form: str,
) -> None:
    """Attack copies of your own log, and show that verify finds each attack.

    The files PATH are only read; copies are doctored in a private temporary directory. Of a log of more than 64 MB
    the newest whole chains are taken.
    """
    from tallystick.selftest import run

    with _progress() as progress:
        report = run(paths, keys=keys, head=head, store=store, start=start, progress=progress)
    if form == "json":
        text = json.dumps(report.to_dict(), indent=1, ensure_ascii=False)
        click.echo(text.encode("utf-8", "backslashreplace").decode())
    else:
        _show(report)
    raise SystemExit(report.exit_status)


def _show(report: "SelftestReport") -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False, width=None if look.is_watched() else 110)
    files = look.plural(len(report.files), "file")
    console.print(
        f"log {report.log} ({report.log_id}): {look.plural(report.lines, 'line')}, {look.size(report.size)}, {files}"
    )
    if report.part:
        console.print(f"taken were {report.part}")
    if not report.with_head:
        console.print("there is no head, so lines cut off at the end are `incomplete` at best")
    verdict = report.untouched.verdict.value
    console.print(f"untouched copy: [{look.COLOURS[verdict]}]{verdict}[/]")
    if not report.played:
        for finding in report.untouched.findings[:5]:
            console.print(escape(f"  {look.said(finding)}"))
        say("the log itself is failed, so there is nothing to test; run tallystick verify on it")
        return
    for finding in report.untouched.findings:
        if finding.weight.value == "incomplete":
            console.print(escape(f"  {finding.kind}: {look.safe(finding.detail)}"))
    console.print(_table(report))
    played = report.found + report.missed
    console.print(
        f"[bold]{report.found} of {played} attacks found[/], {report.impossible} not possible here; "
        "the originals were only read"
    )
    if report.missed:
        say(f"{report.missed} missed: look at the rows marked MISSED, and please report them")


def _table(report: "SelftestReport") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for heading in ("change to a copy", "verdict", "finding"):
        table.add_column(heading)
    table.add_column("ms", justify="right")
    group = None
    for one in report.played:
        if one.group != group:
            group = one.group
            table.add_section()
            table.add_row(f"[bold]{group}[/]")
        verdict = one.verdict.value if one.verdict else ""
        colour = "bold magenta" if one.outcome == "missed" else look.COLOURS.get(verdict, "default")
        time = f"{one.seconds * 1000:.0f}" if one.verdict else ""
        table.add_row(escape(one.attack), f"[{colour}]{verdict}[/]", escape(look.safe(_outcome(one))), time)
    return table


def _outcome(one: "Played") -> str:
    remark = f" ({one.remark})" if one.remark else ""
    if one.outcome == "not possible":
        return f"not possible here: {one.remark}"
    if one.outcome == "missed" or one.finding is None:
        return f"MISSED{remark}"
    return look.said(one.finding) + remark


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Give a function that shows progress: a bar on a terminal."""
    if not look.is_terminal():
        yield lambda done, total: None
        return
    with click.progressbar(length=1000, label="attacking copies", file=sys.stderr) as bar:
        shown = 0

        def step(done: int, total: int) -> None:
            nonlocal shown
            bar.update(done * 1000 // total - shown)
            shown = done * 1000 // total

        yield step
