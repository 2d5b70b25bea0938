"""What stands in contrib/ is taken by the programs that it is for."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CONTRIB = Path(__file__).parents[2] / "contrib"


def tool(name):
    """Find a program; where everything has to be there, its absence is no reason to skip."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        if os.environ.get("TALLYSTICK_CI"):
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")
    return path


def test_systemd_takes_the_units(tmp_path):
    units = sorted((CONTRIB / "systemd").iterdir())
    assert len(units) == 9
    # The programs that they start need not be installed here.
    for unit in units:
        text = unit.read_text()
        for word in ("=tallystick ", "=kill ", "=logger ", "=sh ", "=rsync "):
            text = text.replace(word, "=/bin/true ")
        (tmp_path / unit.name).write_text(text.replace("/usr/bin/payments-server", "/bin/true"))
    names = [unit.name.replace("@.", "@x.") for unit in units]
    done = subprocess.run(
        [tool("systemd-analyze"), "verify", *names], cwd=tmp_path, check=False, capture_output=True, text=True,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )  # fmt: skip
    assert (done.returncode, [line for line in done.stderr.splitlines() if str(tmp_path) in line]) == (0, [])


def test_logrotate_takes_the_snippet(tmp_path):
    text = (CONTRIB / "logrotate" / "tallystick").read_text().replace("/var/log/payments", str(tmp_path))
    (tmp_path / "conf").write_text(text)
    (tmp_path / "audit.log").write_text("line\n")
    os.chmod(tmp_path, 0o700)
    done = subprocess.run(
        [tool("logrotate"), "-d", "-s", tmp_path / "state", tmp_path / "conf"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, "error" in done.stderr) == (0, False), done.stderr
