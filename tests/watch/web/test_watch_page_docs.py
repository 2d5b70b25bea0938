"""docs/watch-page.md shows what happens: its commands are run against a server, and their output is compared."""

import os
import re
import subprocess
from pathlib import Path

from tallystick.watch.config import Web
from tallystick.watch.standing import State
from tallystick.watch.web import words
from tests.test_docs import BLOCK, pattern

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "watch-page.md").read_text()


def test_the_commands_of_the_page_do_what_it_shows(standings, serving, tmp_path):
    servers = {"127.0.0.1:9470": serving(standings)}
    ran = 0
    for kind, text in BLOCK.findall(PAGE):
        assert kind == "console"
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, wanted = part.partition("\n")
            for documented, server in servers.items():
                command = command.replace(f"http://{documented}", server.address)
            done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=os.environ, capture_output=True, text=True,
                                  check=False, timeout=60)  # fmt: skip
            assert pattern(wanted).fullmatch(done.stdout), f"{command}\n--- expected\n{wanted}\n--- got\n{done.stdout}"
            ran += 1
            if "openssl rand" in command:
                web = Web("127.0.0.1", 0, token_file=tmp_path / "token")
                servers["127.0.0.1:9471"] = serving(standings, web)
    assert ran == 8


def test_the_page_has_each_state_with_its_meaning():
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|$", PAGE, re.MULTILINE))
    assert set(rows) >= {state.value for state in State}
    for state in State:
        begin = words.MEANING[state].split(":")[0].split(", although")[0]
        assert rows[state.value].startswith(begin), state
