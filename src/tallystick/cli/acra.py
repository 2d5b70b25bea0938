"""`tallystick acra`: checks audit logs of Acra and says what they prove."""

from collections.abc import Sequence

import click

from tallystick.acra import FORMS as LOG_FORMS
from tallystick.cli import output as look
from tallystick.cli.options import option
from tallystick.cli.verify import deliver
from tallystick.reports import DIGESTED, FORMS

_EPILOG = """Exit status: 0 ok, 3 incomplete, 5 failed, 2 usage, 4 input or output. Example:

\b
  tallystick acra audit.log* --key audit.key --accept-scheme-limits
"""


@click.command("acra", epilog=_EPILOG)
@click.argument("paths", nargs=-1, required=True, type=click.Path(), metavar="PATH...")
@option("--key", required=True, type=click.Path(), metavar="FILE", help="The key of the audit log, 32 bytes.")
@click.option(
    "--format", "log_form", type=click.Choice(LOG_FORMS), default="auto", show_default=True, help="Of the log."
)
@click.option("--accept-scheme-limits", is_flag=True, help="What no log of this scheme can prove is only a note.")
@option("--max-findings", type=click.IntRange(1), default=100, metavar="N", help="Most findings of a kind [100].")
@click.option(
    "--report", "form", type=click.Choice(FORMS), default="text", show_default=True, help="Form of the report."
)
@option(
    "--output", "-o", envvar="TALLYSTICK_REPORT", type=click.Path(), metavar="FILE", help="Write the report to FILE."
)
@option("--jobs", type=click.IntRange(1), metavar="N", help="Threads; one for each processor if not given.")
def command(
    paths: Sequence[str],
    key: str,
    log_form: str,
    accept_scheme_limits: bool,
    max_findings: int,
    form: str,
    output: str | None,
    jobs: int | None,
) -> None:
    """Check audit logs of Acra: plain text, CEF or JSON, with `integrity` in each line.

    PATH is a file, plain or compressed, a directory, a pattern, or - for standard input. What the scheme cannot prove
    is told: a log that is intact as far as can be told is incomplete, unless that is accepted.
    """
    from tallystick.acra import verify

    with look.progress("verifying") as progress:
        report = verify(
            paths,
            key=key,
            form=log_form,
            accept_scheme_limits=accept_scheme_limits,
            max_findings=max_findings,
            jobs=jobs,
            digests=form in DIGESTED,
            progress=progress,
        )
    deliver(report, form, output, [*paths, key])
