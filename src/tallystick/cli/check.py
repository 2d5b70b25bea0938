"""`tallystick check`: checks evidence of one line and says what it proves."""

import json

import click

from tallystick.cli.command import Command, option
from tallystick.cli.options import form_option
from tallystick.cli.output import COLOURS, is_watched, safe, when
from tallystick.cli.streams import INPUT
from tallystick.evidence import Checked, check
from tallystick.verify.report import Verdict

_EPILOG = """Exit status: 0 it holds, 3 unknown, 5 it does not hold, 2 usage, 4 input or output. Example:

\b
  tallystick check login.evidence --public payments.pub
"""


@click.command("check", cls=Command, epilog=_EPILOG)
@click.argument("file", type=INPUT, metavar="FILE")
@option("--public", type=INPUT, metavar="FILE", help="Public file of the log: enough to check evidence.")
@option("--key", type=INPUT, metavar="FILE", help="Verification key of the log; it checks the tag as well.")
@form_option("text", "json")
def command(file: str, public: str | None, key: str | None, form: str) -> None:
    """Check the evidence in FILE, or - for standard input, and say what it proves.

    `tallystick prove` makes evidence. Take the public file from the log's owner, not from the giver of the evidence.
    """
    if public is None and key is None:
        raise click.UsageError("give the public file with --public, or the verification key with --key")
    checked = check(file, public=public, key=key)
    if form == "json":
        click.echo(json.dumps(checked.to_dict(), indent=1))
    else:
        click.echo(_text(checked))
    raise SystemExit(checked.verdict.exit_status)


def _text(checked: Checked) -> str:
    verdict = checked.verdict.value
    if is_watched():
        verdict = click.style(verdict, fg=COLOURS[verdict], bold=True)
    if checked.verdict is Verdict.FAILED:
        return f"{verdict}: the evidence does not hold: {checked.detail}"
    if checked.position is None or checked.line is None or checked.time is None:
        return f"{verdict}: the evidence cannot be judged: {checked.detail}"
    what = "the opening of a chain" if checked.control else "this line"
    if checked.notice:
        what = "this notice of the log itself"
    lines = [f"{verdict}: {what} was sealed in log {checked.log} ({checked.log_id}) at position {checked.position}"]
    if checked.text is None:
        lines.append("  text        redacted: a sealed text stood here, and was taken out later")
        if not checked.tag:
            lines.append("              only the verification key shows whether its holder did that")
    else:
        lines.append(f"  text        {safe(checked.text.decode('utf-8', 'backslashreplace'))}")
    if checked.notice:
        kind, text = checked.notice
        lines.append(f"  says        {kind}: {safe(text.decode('utf-8', 'backslashreplace'))}")
    lines.append(f"  claimed     {when(checked.time)}: the time of the checkpoint that ended its epoch")
    lines.append(f"  signed by   the key of checkpoint {checked.checkpoint}, which the log's public key vouches for")
    if checked.tag:
        lines.append("  tag         matches the verification key as well")
    return "\n".join(lines)
