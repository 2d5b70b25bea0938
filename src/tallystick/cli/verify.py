"""`tallystick verify`: checks sealed logs and says what happened to them."""

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import click

from tallystick.cli import output as look
from tallystick.cli.options import (
    envelope_option,
    field_option,
    head_option,
    last_option,
    option,
    start_option,
    store_option,
)
from tallystick.reports import DIGESTED, FORMS, command_line, render
from tallystick.verify import ALLOWED

if TYPE_CHECKING:
    from tallystick.verify import Report

_EPILOG = """Exit status: 0 ok, 3 incomplete, 5 failed, 2 usage, 4 input or output. Example:

\b
  tallystick verify audit.log* --key payments.key --head payments.head
"""


@click.command("verify", epilog=_EPILOG)
@click.argument("paths", nargs=-1, required=True, type=click.Path(), metavar="PATH...")
@option(
    "--key",
    "keys",
    multiple=True,
    type=click.Path(),
    metavar="FILE",
    help="Verification key; one for each log.",
)
@option(
    "--public",
    multiple=True,
    type=click.Path(),
    metavar="FILE",
    help="Public file, to check without a secret.",
)
@store_option
@head_option
@option("--pins", type=click.Path(), metavar="DIR", help="Where pins are kept and met, or `none`.")
@start_option
@last_option
@option("--expect", multiple=True, metavar="NAME", help="A log that must be here.")
@option(
    "--allow",
    multiple=True,
    type=click.Choice(ALLOWED),
    metavar="WHAT",
    help="duplicate, narrowed, 'open end', reordered.",
)
@option("--subset", is_flag=True, help="Lines were filtered out: judge no gaps.")
@envelope_option
@field_option
@option("--added", metavar="NAMES", help="JSON members that a carrier added.")
@option("--exceptions", type=click.Path(), metavar="FILE", help="Findings that are known, with reasons.")
@option("--max-findings", type=click.IntRange(1), default=100, metavar="N", help="Most findings of a kind [100].")
@option("--format", "form", type=click.Choice(FORMS), default="text", show_default=True)
@option(
    "--output", "-o", envvar="TALLYSTICK_REPORT", type=click.Path(), metavar="FILE", help="Write the report to FILE."
)
@option("--jobs", type=click.IntRange(1), metavar="N", help="Threads; else one for each processor.")
def command(
    paths: Sequence[str],
    keys: Sequence[str],
    public: Sequence[str],
    store: str | None,
    head: str | None,
    pins: str | None,
    start: int | None,
    last: int | None,
    expect: Sequence[str],
    allow: Sequence[str],
    subset: bool,
    envelope: str | None,
    field: str | None,
    added: str | None,
    exceptions: str | None,
    max_findings: int,
    form: str,
    output: str | None,
    jobs: int | None,
) -> None:
    """Check sealed lines and say what happened to them.

    PATH is a file, plain or compressed, a directory, a pattern, or - for standard input. Give the verification key,
    or the public file. Without --store and --head the head comes from this machine's key store if the log is there.
    """
    from tallystick.verify import verify
    from tallystick.verify.pins import default_directory

    if not keys and not public:
        raise click.UsageError(
            "no key was given; give the verification key with --key or the public file with --public"
        )
    with look.progress("verifying") as progress:
        report = verify(
            paths,
            keys=keys,
            public=public,
            store=store,
            head=head,
            pins_directory=None if pins == "none" else pins or default_directory(),
            start=start,
            last=last,
            expect=expect,
            allow=allow,
            subset=subset,
            envelope=envelope,
            field=field,
            added=added.split(",") if added else (),
            exceptions=exceptions,
            max_findings=max_findings,
            jobs=jobs,
            digests=form in DIGESTED,
            progress=progress,
        )
    deliver(report, form, output, [*paths, *keys, *public, *(named for named in (head, exceptions) if named)])


def deliver(report: "Report", form: str, output: str | None, inputs: Sequence[str]) -> NoReturn:
    """Write a report, to standard output or a file, but never over what it is about; leave with its exit status."""
    from tallystick.errors import ReportError

    report = replace(report, command=command_line(["tallystick", *sys.argv[1:]]))
    if output is None:
        click.echo(render(report, form, look.columns()), nl=False)
    else:
        for path in inputs:
            if os.path.exists(output) and os.path.exists(path) and os.path.samefile(output, path):
                raise ReportError(f"{output} is what was verified, or its key; name another file for the report")
        with open(output, "w", encoding="utf-8") as file:
            file.write(render(report, form))
    raise SystemExit(report.verdict.exit_status)
