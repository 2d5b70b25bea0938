"""The commands in directories of other users, and what they leave readable (docs/rotation.md)."""

import os
import stat
import subprocess
import sys
import time

import pytest

import tallystick
from tallystick.errors import SealError
from tests.places import COMMAND
from tests.processes import Started
from tests.sealed import entries
from tests.securefile.conftest import ALICE, directory, reachable, secret  # noqa: F401

AS = f"{ALICE}:{ALICE}"
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root acts as others")


def modes(path):
    return {each.name: (each.stat().st_uid, stat.S_IMODE(each.stat().st_mode)) for each in path.iterdir()}


# Root in a directory of somebody else


@root
@pytest.mark.parametrize("command", [["seal", "payments"], ["run", "payments"], ["close", "payments"]])
def test_root_is_told_to_name_the_user_of_the_directory(site, directory, command):  # noqa: F811
    path = directory(ALICE, ALICE, 0o755)
    done = site(*command, "-o", path / "audit.log", *(["--", "true"] if command[0] == "run" else []))
    assert done.status == 4
    assert done.err == (
        f"tallystick: root would write to {path}/audit.log, but {path} belongs to uid {ALICE}; add `--as {AS}` to "
        "open it as the user of its directory, or choose a directory of root's\n"
    )
    assert not list(path.iterdir())
    assert site("status", "payments").out.split()[3] == b"at"  # at rest, and not ended


@root
def test_as_that_user_a_log_is_written_rotated_compressed_and_ended(site, directory):  # noqa: F811
    path = directory(ALICE, ALICE, 0o700)
    there = ["-o", path / "audit.log", "--as", AS]
    rotated = ["--rotate-size", "20kB", "--compress", "gz", "--keep", "2"]
    for _ in range(4):
        lines = b"".join(b"%d\n" % i for i in range(500))
        done = site("seal", "payments", *there, *rotated, stdin=lines)
        assert (done.status, done.err) == (0, "")
    assert site("run", "payments", *there, "--", "echo", "from run").status == 0
    assert site("close", "payments", *there).status == 0
    found = modes(path)
    assert set(found.values()) == {(ALICE, 0o640)}
    assert sum(name.endswith(".gz") for name in found) == 2
    first = min(int(name.split(".")[2]) for name in found if name.count(".") > 1)
    report = tallystick.verify(
        [path], keys=[site.path / "payments.key"], store=f"file:{site.store}", start=first, pins_directory=None
    )
    assert report.verdict.value == "ok"


@root
def test_new_keys_begin_in_a_directory_of_another_user_too(site, directory):  # noqa: F811
    path = directory(ALICE, ALICE, 0o700)
    done = site("rekey", "payments", "-o", path / "audit.log", "--as", AS, "--verification-key", "new.key")
    assert done.status == 0
    assert modes(path) == {"audit.log": (ALICE, 0o640)}


@root
def test_a_link_in_the_place_of_the_log_is_not_followed_while_root_writes(site, directory, secret):  # noqa: F811
    path = directory(ALICE, ALICE, 0o755) / "audit.log"
    writer = site.start("seal", "payments", "-o", path, "--as", AS, "--on-full", "stop")
    writer.stdin.write(b"one\n")
    until = time.monotonic() + 20
    while not path.exists() or b"one" not in path.read_bytes():
        assert time.monotonic() < until
        time.sleep(0.01)
    path.unlink()
    path.symlink_to(secret)
    time.sleep(0.02)
    writer.stdin.write(b"two\n")
    _, err = writer.communicate(timeout=30)
    assert b"audit.log is a symbolic link" in err  # the fixture looks at root's file


def test_a_user_is_named_for_a_file_only(site):
    done = site("seal", "payments", "--as", "root", stdin=b"one\n")
    assert done.status == 2
    assert "--as goes with a file; name it with -o FILE" in done.err


@root
def test_the_library_takes_the_user_by_name(site, directory):  # noqa: F811
    path = directory(ALICE, ALICE, 0o755) / "audit.log"
    with pytest.raises(SealError, match="belongs to uid"):
        tallystick.open("payments", output=path, store=f"file:{site.store}")
    with tallystick.open("payments", output=path, store=f"file:{site.store}", user=AS) as log:
        log.write("one")
    assert path.stat().st_uid == ALICE


# What is made from a private log


@pytest.fixture
def private(site):
    """A log that only its owner may read, under a umask that would let everybody."""
    site.seal(b"one\ntwo\n")
    (site.path / "audit.log").chmod(0o600)
    before = os.umask(0)
    yield site
    os.umask(before)


MADE = {
    "report": ["verify", "audit.log", "--key", "payments.key", "-o", "made"],
    "report for programs": ["verify", "audit.log", "--key", "payments.key", "--format", "json", "-o", "made"],
    "evidence": ["prove", "1.0.1", "audit.log", "-o", "made"],
    "redacted copy": ["redact", "1.0.1", "audit.log", "--key", "payments.key", "-o", "made"],
    "narrowed key": ["key", "narrow", "payments.key", "--from", "1", "--to", "2", "-o", "made"],
}


@pytest.mark.parametrize("what", MADE)
def test_what_is_made_from_it_is_as_private(private, what):
    assert private(*MADE[what]).status == 0
    assert stat.S_IMODE((private.path / "made").stat().st_mode) == 0o600


@pytest.mark.parametrize("what", ["report", "evidence", "redacted copy"])
def test_what_is_made_from_a_log_that_a_group_reads_is_for_that_group(private, what):
    (private.path / "audit.log").chmod(0o640)
    assert private(*MADE[what]).status == 0
    assert stat.S_IMODE((private.path / "made").stat().st_mode) == 0o640


def test_what_is_made_from_several_logs_is_as_private_as_the_most_private(private):
    (private.path / "copy.log").write_bytes(private.read())
    (private.path / "copy.log").chmod(0o644)
    private("verify", "copy.log", "audit.log", "--key", "payments.key", "--allow", "duplicate", "-o", "made")
    assert stat.S_IMODE((private.path / "made").stat().st_mode) == 0o600


def test_what_is_made_from_standard_input_is_private(private):
    done = private("prove", "1.0.1", "-", "-o", "made", stdin=private.read())
    assert done.status == 0
    assert stat.S_IMODE((private.path / "made").stat().st_mode) == 0o600


def test_a_report_goes_over_an_old_one_which_keeps_its_mode(private):
    (private.path / "made").write_bytes(b"x" * 100_000)
    (private.path / "made").chmod(0o604)
    assert private(*MADE["report"]).status == 0
    assert private.read("made").startswith(b"ok")
    assert b"xxx" not in private.read("made")
    assert stat.S_IMODE((private.path / "made").stat().st_mode) == 0o604


def test_a_report_goes_by_a_link_of_the_user_s_own_and_into_a_pipe(private):
    os.symlink("real", private.path / "made")
    assert private(*MADE["report"]).status == 0
    assert private.read("real").startswith(b"ok")
    os.mkfifo(private.path / "pipe")
    with Started(["cat", private.path / "pipe"], stdout=subprocess.PIPE) as reader:
        assert private(*MADE["report"][:-1], "pipe").status == 0
        assert reader.communicate(timeout=20)[0].startswith(b"ok")


@root
def test_root_s_report_follows_no_link_of_a_stranger(private, directory, secret):  # noqa: F811
    path = directory(ALICE, ALICE, 0o755) / "report"
    os.symlink(secret, path)
    os.chown(path, ALICE, ALICE, follow_symlinks=False)
    done = private(*MADE["report"][:-1], path)
    assert done.status == 4
    what = f"{path} is a symbolic link of uid {ALICE}, in a directory that others can write to"
    assert done.err == f"tallystick: {what}; name what it leads to\n"


# Pins


@root
def test_a_pins_directory_of_another_owner_is_refused(site, directory):  # noqa: F811
    site.seal(b"one\n")
    pins = directory(ALICE, ALICE, 0o700)
    done = site("verify", "audit.log", "--key", "payments.key", "--pins", pins)
    assert (done.status, done.err) == (
        4,
        f"tallystick: {pins} belongs to uid {ALICE}, so pins in it prove nothing; name a directory of your own\n",
    )


# Descriptors

SHOWN = """
import os
there = [f"/proc/self/fd/{fd}" for fd in range(64)]
print(*[os.readlink(path) for path in there if os.path.lexists(path)])
"""


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- >&- 2>&-"])
def test_the_command_of_run_gets_no_file_of_ours_where_descriptors_are_closed(site, closed):
    line = f'exec "$0" "$@" {closed}'
    command = ["run", "payments", "-o", "audit.log", "--", sys.executable, "-c", SHOWN]
    done = subprocess.run(["bash", "-c", line, COMMAND, *command], cwd=site.path, env=site.env, check=False, timeout=30)
    assert done.returncode == 0
    assert str(site.path).encode() not in site.read()
    assert {place.split(b":")[0] for place in entries(site.read())[0].split()} <= {b"pipe", b"/dev/null"}
    assert site.verdict() == ("ok", [])
