"""`tallystick check`: checks evidence of one line and says what it proves."""

import json
from collections.abc import Sequence

import click

from tallystick.cli.command import Command, option
from tallystick.cli.options import form_option
from tallystick.cli.output import COLOURS, is_watched, safe, when
from tallystick.cli.streams import INPUT
from tallystick.evidence import Checked, Received, check
from tallystick.verify.report import Verdict

_EPILOG = """Exit status: 0 it holds, 3 unknown, 5 it does not hold, 2 usage, 4 input or output. Example:

\b
  tallystick check login.evidence --public payments.pub
  tallystick check login.evidence --public payments.pub --witness KEY
"""


@click.command("check", cls=Command, epilog=_EPILOG)
@click.argument("file", type=INPUT, metavar="FILE")
@option("--public", type=INPUT, metavar="FILE", help="Public file of the log: enough to check evidence.")
@option("--key", type=INPUT, metavar="FILE", help="Verification key of the log: checks the tag, too.")
@option("--witness", "witnesses", multiple=True, metavar="KEY", help="Key of a witness that must have received it.")
@option("--policy", type=INPUT, metavar="FILE", help="Who must have cosigned (C2SP tlog-policy).")
@option("--roots", type=INPUT, metavar="FILE", help="Authorities (PEM): one must have time-stamped it.")
@form_option("text", "json")
def command(
    file: str,
    public: str | None,
    key: str | None,
    witnesses: Sequence[str],
    policy: str | None,
    roots: str | None,
    form: str,
) -> None:
    """Check the evidence in FILE, or - for standard input, and say what it proves.

    Take the public file from the log's owner, not from the giver of evidence.
    """
    if public is None and key is None:
        raise click.UsageError("give the public file with --public, or the verification key with --key")
    if (policy or roots) and not (witnesses or policy):
        raise click.UsageError("--roots is about the tree of a witness: name its key with --witness")
    checked = check(file, public=public, key=key, witnesses=witnesses, policy=policy, roots=roots)
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
    if checked.checkpoint is None:
        lines.append(f"  claimed     {when(checked.time)}: the time of a signed head of its epoch, which had not ended")
        lines.append("  signed by   the key of its epoch, which the log's public key vouches for")
    else:
        lines.append(f"  claimed     {when(checked.time)}: the time of the checkpoint that ended its epoch")
        lines.append(
            f"  signed by   the key of checkpoint {checked.checkpoint}, which the log's public key vouches for"
        )
    if checked.tag:
        lines.append("  tag         matches the verification key as well")
    for one in checked.received:
        lines += _received(one)
    if checked.others:
        what = "receipt of another witness" if checked.others == 1 else "receipts of other witnesses"
        lines.append(f"  unchecked   {checked.others} {what}; name the key with --witness")
    return "\n".join(lines)


def _received(one: Received) -> list[str]:
    """Say what a witness says."""
    lines = [f"  received    {when(one.time)} by {one.witness}, with the log up to {one.until}: it stood so then"]
    if one.entry is not None:
        lines.append(f"              entry {one.entry} of that witness's tree")
    lines += [f"              which {name} cosigned, {when(time)}" for name, time in one.cosigned]
    if one.stamped is not None:
        lines.append(f"              with a time-stamp of {when(one.stamped)}")
    return lines
