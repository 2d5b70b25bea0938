"""`tallystick acra`: checks audit logs of Acra and says what they prove."""

from collections.abc import Sequence

import click

from tallystick.acra import FORMS
from tallystick.cli import output as look
from tallystick.cli.command import Command, option
from tallystick.cli.reporting import STATUS, deliver, report_options
from tallystick.cli.streams import INPUT, Output, input_or_stdin
from tallystick.reports import DIGESTED

_EPILOG = f"""{STATUS} Example:

\b
  tallystick acra audit.log* --key audit.key --accept-scheme-limits
"""


@click.command("acra", cls=Command, epilog=_EPILOG)
@click.argument("paths", nargs=-1, required=True, type=input_or_stdin, metavar="PATH...")
@option("--key", required=True, type=INPUT, metavar="FILE", help="The key of the audit log, 32 bytes.")
@option(
    "--input-format",
    type=click.Choice(FORMS),
    default="auto",
    metavar="FORM",
    help=f"Form of the log: {', '.join(FORMS)} [auto].",
)
@option("--accept-scheme-limits", is_flag=True, help="Report limits of the scheme as notes only.")
@report_options
def command(
    paths: Sequence[str],
    key: str,
    input_format: str,
    accept_scheme_limits: bool,
    max_findings: int,
    form: str,
    output: Output,
    jobs: int | None,
) -> None:
    """Check audit logs of Acra: plain text, CEF or JSON, with `integrity` in each line.

    PATH is a file, plain or compressed, a directory, a pattern, or - for standard input. The report names what the
    scheme cannot prove: an intact log is incomplete, unless these limits are accepted.
    """
    from tallystick.acra import verify

    with look.progress("verifying") as progress:
        report = verify(
            paths,
            key=key,
            form=input_format,
            accept_scheme_limits=accept_scheme_limits,
            max_findings=max_findings,
            jobs=jobs,
            digests=form in DIGESTED,
            progress=progress,
        )
    deliver(report, form, output, [*paths, key])
