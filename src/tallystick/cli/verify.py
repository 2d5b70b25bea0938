"""`tallystick verify`: checks sealed logs and says what happened to them."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import click

from tallystick.cli import output as look
from tallystick.cli.options import option, store_option
from tallystick.reports import FORMS, render

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
@option("--head", type=click.Path(), metavar="FILE", help="Head of the log, from `tallystick head`.")
@option(
    "--from",
    "start",
    type=click.IntRange(1),
    metavar="CHAIN",
    help="First chain here; older ones were deleted.",
)
@option(
    "--allow",
    multiple=True,
    type=click.Choice(["duplicate", "open end", "reordered"]),
    help="What is allowed here.",
)
@option("--format", "form", type=click.Choice(FORMS), default="text", show_default=True)
@option(
    "--output", "-o", envvar="TALLYSTICK_REPORT", type=click.Path(), metavar="FILE", help="Write the report to FILE."
)
@option("--jobs", type=click.IntRange(1), metavar="N", help="Threads; one for each processor if not given.")
def command(
    paths: Sequence[str],
    keys: Sequence[str],
    public: Sequence[str],
    store: str | None,
    head: str | None,
    start: int | None,
    allow: Sequence[str],
    form: str,
    output: str | None,
    jobs: int | None,
) -> None:
    """Check sealed lines in the files PATH, in any order, and say what happened to them.

    Give the verification key, or the public file. Without --store and --head the head is taken from this
    machine's key store if the log is there.
    """
    from tallystick.verify import verify

    with _progress() as progress:
        report = verify(
            paths,
            keys=keys,
            public=public,
            store=store,
            head=head,
            start=start,
            allow=allow,
            jobs=jobs,
            progress=progress,
        )
    if output is None:
        click.echo(render(report, form, look.columns()), nl=False)
    else:
        _write(output, render(report, form), [*paths, *keys, *public, *([head] if head else [])])
    raise SystemExit(report.verdict.exit_status)


def _write(output: str, text: str, inputs: Sequence[str]) -> None:
    """Write a report, but never over what it is about."""
    from tallystick.errors import ReportError

    for path in inputs:
        if os.path.exists(output) and os.path.exists(path) and os.path.samefile(output, path):
            raise ReportError(f"{output} is what was verified, or its key; name another file for the report")
    with open(output, "w", encoding="utf-8") as file:
        file.write(text)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Give what shows progress: a bar on a terminal, for what takes a while."""
    with ExitStack() as stack:
        bar: Any = None
        before = 0

        def told(done: int, total: int) -> None:
            nonlocal bar, before
            if not look.is_terminal() or total < 100_000_000:
                return
            if bar is None:
                bar = stack.enter_context(click.progressbar(length=total, label="verifying", file=sys.stderr))
            bar.update(done - before)
            before = done

        yield told
