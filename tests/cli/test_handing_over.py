"""The verification key goes through a pipe to tools that are made for it, as the guide shows."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "guide.md").read_text()


def needed(*tools):
    """Skip a test where a tool is not installed; where everything should be, fail."""
    missing = [name for name in tools if shutil.which(name) is None]
    if missing and os.environ.get("TALLYSTICK_CI"):
        pytest.fail(f"not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def shown(tool):
    """Return the command of the guide that sets a log up and pipes its key into a tool."""
    (command,) = re.findall(rf"^ *(tallystick init .* \| {tool} .*)$", GUIDE, re.MULTILINE)
    return command


def run(site, command):
    """Run a command line in a shell; return what it printed."""
    env = site.env | {"PATH": f"{site.bin}:{site.env['PATH']}", "TALLYSTICK_CUSTODY": site.custody}
    done = subprocess.run(["bash", "-c", command], cwd=site.path, env=env, capture_output=True, timeout=60, check=True)
    return done.stdout


def verifies(site, key):
    site.seal(b"one\n")
    return site.verdict(key=key) == ("ok", [])


@pytest.fixture
def identity(tmp_path):
    """An identity of age: its public half. The file is called as in the guide."""
    needed("age", "age-keygen")
    path = tmp_path / "identity.txt"
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    return subprocess.run(["age-keygen", "-y", path], check=True, capture_output=True, text=True).stdout.strip()


def test_a_key_that_age_encrypts_is_opened_as_the_guide_says_and_verifies(bare, identity):
    out = run(bare, shown("age").replace("age1…", identity))
    assert out == b""
    assert b"tallysecret" not in b"".join(path.read_bytes() for path in bare.path.rglob("*") if path.is_file())
    (opening,) = re.findall(r"`(age -d [^`]*)`", GUIDE)
    run(bare, opening)
    assert verifies(bare, "payments.key")


def test_a_qr_code_of_the_key_is_read_and_verifies(bare):
    needed("qrencode", "zbarimg")
    command = shown("qrencode")
    assert "-t ANSIUTF8" in command
    run(bare, command.replace("-t ANSIUTF8", "-t PNG -o code.png"))
    (bare.path / "read.key").write_bytes(run(bare, "zbarimg --raw -q code.png"))
    assert verifies(bare, "read.key")


def test_where_the_command_after_the_pipe_has_ended_no_log_is_set_up(bare):
    ours, theirs = os.pipe()
    os.close(ours)
    done = bare("init", "payments", "--custody", bare.custody, "--verification-key", "-", stdout=theirs)
    os.close(theirs)
    assert done.status == 4
    assert "was not set up" in done.err
    assert f"there is no key store at {bare.store}" in bare("status").err
    assert not os.path.exists(bare.store)
