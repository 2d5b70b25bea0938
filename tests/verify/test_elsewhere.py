"""Logs are verified on systems other than Linux, too: nothing on the way asks for what only Linux has.

There is no such system here. A preamble takes away what its Python lacks, by the standard library's documentation.
"""

import json
import subprocess
import sys

import pytest

import tallystick

LACKING = """copy_file_range eventfd eventfd_read eventfd_write fdatasync getrandom getresgid getresuid getxattr
listxattr memfd_create pidfd_open pipe2 posix_fadvise posix_fallocate removexattr sched_getaffinity sched_getparam
sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setparam sched_setscheduler setns setresgid setresuid
setxattr splice timerfd_create unshare waitid O_DIRECT O_LARGEFILE O_NOATIME O_PATH O_RSYNC O_TMPFILE"""
POSIX = ["fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"]
MACOS = f"""
import os, sys
for name in {LACKING!r}.split():
    if hasattr(os, name):
        delattr(os, name)
sys.platform = "darwin"
"""
WITHOUT_POSIX = f"""
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in {POSIX!r}:
            raise ModuleNotFoundError("there is no module " + name, name=name)
for name in {POSIX!r}:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Absent())
"""
ALONE = ["--store", "none", "--pins", "none"]
SYSTEMS = {"without Linux": MACOS, "without POSIX": MACOS + WITHOUT_POSIX}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    place = tmp_path_factory.mktemp("log")
    where = {"store": f"file:{place}/store"}
    tallystick.create(
        "app", custody=f"master-key:{place}/m.key", key_file=place / "app.key", public_file=place / "app.pub", **where
    )
    with tallystick.open("app", output=place / "app.log", **where) as writer:
        for number in range(5):
            writer.write(f"user={number}")
    return place


@pytest.fixture(params=SYSTEMS)
def elsewhere(request, log):
    """Run a command there, in the log's directory."""

    def run(*arguments, **more):
        script = f"{SYSTEMS[request.param]}\nfrom tallystick.cli import main\nmain({list(arguments)!r})"
        return subprocess.run(
            [sys.executable, "-c", script], cwd=log, capture_output=True, text=True, check=False, **more
        )

    return run


def test_verify_finds_there_what_it_finds_here(elsewhere, log):
    good = elsewhere("verify", "app.log", "--key", "app.key", *ALONE, "--format", "json")
    assert (good.returncode, good.stderr) == (3, "")
    assert json.loads(good.stdout)["verdict"] == "incomplete"  # nothing there knows the end
    (log / "bad.log").write_bytes((log / "app.log").read_bytes().replace(b"user=2", b"user=9"))
    bad = elsewhere("verify", "bad.log", "--public", "app.pub", *ALONE, "--format", "json")
    assert bad.returncode == 5
    assert "altered" in {finding["kind"] for finding in json.loads(bad.stdout)["findings"]}


def test_reports_of_every_form_are_written_there(elsewhere, log):
    for form in ("text", "json", "sarif", "html"):
        done = elsewhere("verify", "app.log", "--public", "app.pub", *ALONE, "--format", form)
        assert (done.returncode, done.stderr) == (3, "")
        assert done.stdout


def test_partial_results_are_made_and_merged_there(elsewhere, log):
    report = ["--key", "app.key", *ALONE, "--format", "json"]
    made = elsewhere("verify", "app.log", *report, "--partial", "app.partial")
    merged = elsewhere("merge", "app.partial", *report)
    assert (made.returncode, made.stderr, merged.returncode) == (3, "", 3)
    assert json.loads(merged.stdout)["findings"] == json.loads(made.stdout)["findings"]
    (log / "app.partial").unlink()


def test_evidence_is_made_and_checked_there(elsewhere, log):
    made = elsewhere("prove", "1.0.3", "app.log", "--public", "app.pub", "-o", "three.evidence")
    assert (made.returncode, "Traceback" in made.stderr) == (0, False)
    checked = elsewhere("check", "three.evidence", "--public", "app.pub")
    assert checked.returncode == 0
    assert "user=2" in checked.stdout
    (log / "three.evidence").unlink()


def test_the_way_back_to_plain_lines_works_there(elsewhere, log):
    plain = elsewhere("cat", "app.log", "--key", "app.key", "--store", "none")
    assert plain.stdout == "".join(f"user={number}\n" for number in range(5))


@pytest.mark.parametrize("command", ["init", "seal", "run", "agent", "rekey", "migrate", "close", "demo"])
def test_sealing_there_says_that_it_is_for_linux(elsewhere, command):
    done = elsewhere(command, "app")
    assert done.returncode == 4
    assert done.stderr.startswith("tallystick: logs are sealed on Linux only, and this system is darwin; ")
    assert "Traceback" not in done.stderr


def test_the_library_says_so_too(log):
    make = "import tallystick\ntallystick.create('more', store='file:more', key_file='more.key')"
    script = f"{SYSTEMS['without Linux']}\n{make}"
    done = subprocess.run([sys.executable, "-c", script], cwd=log, capture_output=True, text=True, check=False)
    assert "SealError: logs are sealed on Linux only" in done.stderr
