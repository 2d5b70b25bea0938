"""`tallystick archive`: looks at what a bucket keeps, beside what is in it."""

import click

from tallystick.cli.command import Command
from tallystick.cli.output import safe
from tallystick.cli.reporting import STATUS

_STATUS = {"ok": 0, "incomplete": 3, "failed": 5}
_MOST = 100  # findings that are listed one by one


_EXAMPLE = """Example: tallystick archive check s3://logs/payments/
"""


@click.group("archive", epilog=_EXAMPLE)
def command() -> None:
    """Look after logs in object storage."""


_EPILOG = f"""{STATUS}

{_EXAMPLE}"""


@command.command("check", cls=Command, epilog=_EPILOG)
@click.argument("url", metavar="URL")
def check(url: str) -> None:
    """See that nothing is hidden: all versions of all objects under URL, delete markers, and locks."""
    from tallystick import archive

    found = archive.check(url)
    click.echo(f"{found.verdict}: {_HEADLINES[found.verdict]}")
    for finding in found.findings[:_MOST]:
        click.echo(f"{finding.weight} {finding.kind} {safe(finding.name)}".rstrip())
        click.echo(f"    {safe(finding.detail)}")
    if len(found.findings) > _MOST:
        click.echo(f"… and {len(found.findings) - _MOST} more")
    click.echo(f"{found.objects} objects, {found.versions} versions, {found.locked} locked in compliance mode")
    raise SystemExit(_STATUS[found.verdict])


_HEADLINES = {
    "ok": "nothing is hidden, and nothing that should be locked is not",
    "incomplete": "something is not kept as it should be",
    "failed": "locked versions are hidden",
}
