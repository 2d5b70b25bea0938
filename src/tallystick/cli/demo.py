"""`tallystick demo`: the main job on this machine's own log, from set-up to caught intruder."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli import output as look
from tallystick.cli.command import Command
from tallystick.cli.output import say
from tallystick.cli.streams import INPUT

if TYPE_CHECKING:
    from tallystick.attacks import Scene

_OWN_LOG = "/var/log/dpkg.log"
_MOST = 200_000  # lines of a log that the demonstration takes
_SHARED = 2000  # lines that four processes send to an agent
_EPILOG = """Example:

\b
  tallystick demo /var/log/syslog
"""


@click.command("demo", cls=Command, epilog=_EPILOG)
@click.argument("file", required=False, type=INPUT, metavar="[FILE]")
def command(file: str | None) -> None:
    """Seal a copy of FILE, attack copies of the result, and show that each attack is found.

    Without FILE it takes a log of this machine. Everything happens in a temporary directory.
    """
    from tallystick.home import require_temporary

    require_temporary()
    text, source = _text(file)
    with tempfile.TemporaryDirectory(prefix="tallystick-demo-") as name:
        missed = _play(text, source, Path(name))
    if missed:
        say(f"{missed} missed: this is a bug; please report it")
        raise SystemExit(1)


def _text(file: str | None) -> tuple[list[bytes], str]:
    """Return the lines of the demonstration, and where they come from."""
    path = file or _OWN_LOG
    if file is not None or os.access(_OWN_LOG, os.R_OK):
        with open(path, "rb") as source:
            lines = [line.rstrip(b"\r\n") for line in source.readlines(50_000_000)][:_MOST]
        if len(lines) >= 30:
            return lines, path
        if file is not None:
            raise click.UsageError(f"{path} has fewer than 30 lines; name a longer log")
    lines = [f"{i:05d} user={i % 97} action={('read', 'write', 'login')[i % 3]} ok=true".encode() for i in range(5000)]
    return lines, "5,000 made-up lines, since there is no log here that may be read"


def _play(text: list[bytes], source: str, place: Path) -> int:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from tallystick import ceremony
    from tallystick.attacks import ATTACKS
    from tallystick.verify import Verdict, verify

    store, log, key = f"file:{place}/store", place / "demo.log", place / "demo.key"
    console = Console(highlight=False, width=None if look.is_watched() else 100)
    console.print(f"[bold]1. the log[/]  {escape(look.safe(source))}: {look.number(len(text))} lines")
    ceremony.create("demo", store=store, custody=f"master-key:{place}/master.key", key_file=key)
    console.print("[bold]2. init[/]     tallystick init demo --verification-key demo.key")
    began = time.perf_counter()
    scene = _seal(text, store, log)
    seconds = time.perf_counter() - began
    rate = look.number(round(len(scene.lines) / seconds))
    console.print(
        f"[bold]3. seal[/]     tallystick seal demo -o demo.log, in three runs: {seconds * 1000:.0f} ms, {rate} lines/s"
    )
    report = verify([log], keys=[key], store=store)
    colour = "green" if report.verdict is Verdict.OK else "red"
    console.print(
        f"[bold]4. verify[/]   tallystick verify demo.log --key demo.key: [{colour}]{report.verdict.value}[/], "
        f"{report.seconds * 1000:.0f} ms, {look.number(round(report.lines / report.seconds))} lines/s"
    )
    missed = 0 if report.verdict is Verdict.OK else 1

    table = Table(title="5. the intruder, who owns the host and its keys", title_justify="left", title_style="bold")
    for heading in ("change to a copy", "verdict", "finding"):
        table.add_column(heading)
    table.add_column("ms", justify="right")
    doctored, head = place / "doctored.log", place / "doctored.head"
    for attack in ATTACKS:
        after = attack.doctor(scene)
        doctored.write_bytes(b"\n".join(after.lines) + b"\n")
        head.write_bytes(after.head)
        report = verify([doctored], keys=[key], head=head)
        kinds = {finding.kind for finding in report.findings}
        found = report.verdict is not Verdict.OK and bool(kinds & attack.expected)
        missed += not found
        colour = "red" if report.verdict is Verdict.FAILED else "yellow" if found else "bold magenta"
        said = next((f for f in report.findings if f.kind in attack.expected), None)
        where = "MISSED" if not found or said is None else look.said(said)
        table.add_row(
            attack.name, f"[{colour}]{report.verdict.value}[/]", escape(where), f"{report.seconds * 1000:.0f}"
        )
    console.print(table)
    caught = len(ATTACKS) - missed
    console.print(f"[bold]{caught} of {len(ATTACKS)} attacks found[/]; the originals were only read")
    return missed + _share(text[:_SHARED], place, store, console)


def _share(lines: list[bytes], place: Path, store: str, console: Any) -> int:
    """Have four processes write one log by an agent; return 1 if that is not `ok`."""
    from tallystick import ceremony
    from tallystick.verify import Verdict, verify

    key, log, address = place / "shared.key", place / "shared.log", f"unix:{place}/agent"
    ceremony.create("shared", store=store, custody=f"master-key:{place}/master.key", key_file=key)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TALLYSTICK_")}

    def start(*words: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-m", "tallystick", *words], cwd=place, env=environment)

    agent = start("agent", "shared", "-o", log.name, "--store", store, "--state", f"{place}/state", "--listen", address)
    try:
        while not (place / "agent").exists() and agent.poll() is None:
            time.sleep(0.01)
        began = time.perf_counter()
        for part in range(4):
            (place / f"part{part}").write_bytes(b"".join(line + b"\n" for line in lines[part::4]))
        sending = [start("send", address, f"part{part}") for part in range(4)]
        statuses = [each.wait() for each in sending]
        seconds = time.perf_counter() - began
    finally:
        agent.terminate()
        agent.wait()
    console.print(
        f"[bold]6. agent[/]    four times: tallystick send unix:agent part…: {look.number(len(lines))} lines "
        f"acknowledged, {seconds * 1000:.0f} ms"
    )
    report = verify([log], keys=[key], store=store)
    is_ok = report.verdict is Verdict.OK and not any(statuses)
    colour = "green" if is_ok else "red"
    console.print(
        f"[bold]7. verify[/]   tallystick verify shared.log --key shared.key: [{colour}]{report.verdict.value}[/]"
    )
    return int(not is_ok)


def _seal(text: list[bytes], store: str, log: Path) -> "Scene":
    """Seal in three runs, as a service that was restarted twice, each with some epochs."""
    from tallystick import keystore
    from tallystick.attacks import Scene
    from tallystick.log import open_log

    third = -(-len(text) // 3)
    heads = []
    for run in range(3):
        with open_log("demo", output=log, store=store, epoch_lines=max(3, min(4096, third // 3))) as sealed:
            sealed.write_lines(b"".join(line + b"\n" for line in text[run * third : (run + 1) * third]))
        heads.append(bytes(keystore.connect(store).load("demo").head or b""))
    lines = log.read_bytes().removesuffix(b"\n").split(b"\n")
    return Scene(tuple(lines), heads[-1], heads[-2])
