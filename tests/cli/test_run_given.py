"""What the command of `tallystick run` is given: nothing that only the writer needs, unless that is asked for."""

import os
import sys

import pytest

from tallystick.cli.given import withheld
from tests.places import COMMAND
from tests.sealed import entries

SECRETS = {
    "BAO_TOKEN": "s.1", "VAULT_TOKEN": "s.2", "BAO_SECRET_ID": "3", "VAULT_SECRET_ID": "4",
    "TALLYSTICK_REDIS_PASSWORD": "5", "TALLYSTICK_PKCS11_PIN": "6", "TALLYSTICK_ASKPASS": "/bin/false",
    "TALLYSTICK_ANYTHING_NEW": "8",
}  # fmt: skip
ITS_OWN = {
    "COLOUR": "blue", "PGPASSWORD": "its own", "AWS_SECRET_ACCESS_KEY": "its own", "MY_TALLYSTICK": "1",
    "AWS_PROFILE": "app", "BAO_ADDR": "https://bao.example", "EMPTY": "",
}  # fmt: skip
SHOW = "import os; print(*sorted(f'{name}={text}' for name, text in os.environ.items()), sep='\\n')"


def given(site, *options, env, **more):
    """Return the environment of a command."""
    done = site("run", "payments", "-o", "audit.log", *options, "--", sys.executable, "-c", SHOW, env=env, **more)
    assert (done.status, done.err) == (0, "")
    return dict(entry.decode().split("=", 1) for entry in entries(site.read()))


def test_the_command_gets_nothing_that_lets_the_writer_in_and_everything_else(site):
    found = given(site, env=SECRETS | ITS_OWN)
    assert not [name for name in found if name.startswith("TALLYSTICK_") or name in SECRETS]
    assert found | ITS_OWN == found
    assert found["PATH"] == os.environ["PATH"]


def test_it_gets_what_is_asked_for_and_no_more(site):
    found = given(site, "--pass-env", "BAO_TOKEN", "--pass-env", "TALLYSTICK_STORE", env=SECRETS)
    assert found["BAO_TOKEN"] == "s.1"
    assert found["TALLYSTICK_STORE"] == str(site.store)
    assert len({*found} & {*SECRETS}) == 1


def test_a_variable_is_asked_for_without_a_value(site):
    done = site("run", "payments", "--pass-env", "BAO_TOKEN=hunter2", "--", "true")
    assert done.status == 2
    assert "name a variable, without a value" in done.err
    assert "hunter2" not in done.err


@pytest.fixture
def master_key(bare):
    """A log whose custody is a variable, as (the place, the variables)."""
    made = bare("init", "unused", "--custody", f"master-key:{bare.path}/k", "--verification-key", "unused.key")
    assert made.status == 0, made.err
    env = {"MASTER_KEY": (bare.path / "k").read_text().strip(), "SECRET_KEY": "x" * 43}
    done = bare("init", "payments", "--custody", "master-key:MASTER_KEY", "--verification-key", "p.key", env=env)
    assert done.status == 0, done.err
    return bare, env


@pytest.mark.parametrize("options", [[], ["--custody", "master-key:MASTER_KEY"]], ids=["noted", "named"])
def test_the_variable_that_holds_the_master_key_is_the_writer_s_alone(master_key, options):
    """Who opens the log knows its name from the state; what only looks like a key is the command's."""
    site, env = master_key
    found = given(site, *options, env=env)
    assert "MASTER_KEY" not in found
    assert found["SECRET_KEY"] == env["SECRET_KEY"]


def test_sockets_of_a_manager_come_without_secrets(master_key):
    """Another way to start the command, which must be as careful."""
    site, env = master_key
    line = 'exec 3</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"'
    command = ["run", "payments", "-o", "audit.log", "--", sys.executable, "-c", SHOW]
    import subprocess

    done = subprocess.run(
        ["sh", "-c", line, COMMAND, *command], cwd=site.path, env=site.env | env | SECRETS, capture_output=True,
        check=False, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    found = dict(entry.decode().split("=", 1) for entry in entries(site.read()))
    assert "LISTEN_PID" in found
    assert not {*found} & {*SECRETS, "MASTER_KEY", "TALLYSTICK_STORE"}


def names(monkeypatch, store, custody, *passed, **env):
    for name in [*os.environ]:
        monkeypatch.delenv(name)
    for name, text in env.items():
        monkeypatch.setenv(name, text)
    return withheld("payments", store, custody, passed=passed)


KEYS = {"AWS_ACCESS_KEY_ID": "1", "AWS_SECRET_ACCESS_KEY": "2", "AWS_SESSION_TOKEN": "3"}
ROLE = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/x", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/y", "AWS_REGION": "z"}


def test_what_both_may_need_is_withheld_where_the_writer_uses_it(monkeypatch):
    kms, here = "aws-kms://eu-central-1/alias/x", "master-key:/k"
    assert names(monkeypatch, "file:/x", kms, **KEYS, **ROLE) == {*KEYS}
    assert names(monkeypatch, "file:/x", None, TALLYSTICK_CUSTODY=kms, **KEYS) == {*KEYS, "TALLYSTICK_CUSTODY"}
    assert names(monkeypatch, "file:/x", here, **KEYS) == set()
    assert names(monkeypatch, "file:/x", kms, "AWS_SESSION_TOKEN", **KEYS) == {*KEYS} - {"AWS_SESSION_TOKEN"}
    assert names(monkeypatch, "postgresql://db/db", here, PGPASSWORD="x", PGUSER="y") == {"PGPASSWORD"}
    place = "postgresql://db/db"
    assert names(monkeypatch, None, here, TALLYSTICK_STORE=place, PGPASSWORD="x") == {"PGPASSWORD", "TALLYSTICK_STORE"}
    assert names(monkeypatch, "file:/x", here, PGPASSWORD="x") == set()


def test_where_the_custody_is_unknown_no_variable_that_may_be_its_own_is_passed(monkeypatch, tmp_path):
    found = names(monkeypatch, f"file:{tmp_path}", None, MASTER_KEY="x" * 43, OTHER="x" * 42, **KEYS)
    assert found == {"MASTER_KEY", *KEYS}


def test_the_custody_that_a_log_notes_counts(site, monkeypatch):
    place = f"file:{site.store}"
    assert names(monkeypatch, place, None, MASTER_KEY="x" * 43, **KEYS) == set()


# Descriptors

DESCRIPTORS = "import os; print(*[fd for fd in range(3, 60) if os.path.exists(f'/proc/self/fd/{fd}')])"


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("", ""), ("LISTEN_PID=$$ LISTEN_FDS=1", "3"), ("LISTEN_PID=$$ LISTEN_FDS=2", "3 4"),
        ("LISTEN_PID=$$ LISTEN_FDS=50", "3 4 9"), ("LISTEN_PID=1 LISTEN_FDS=2", ""), ("LISTEN_PID=$$ LISTEN_FDS=x", ""),
        ("LISTEN_PID=$$ LISTEN_FDS=-1", ""), ("LISTEN_PID=$$", ""),
    ],
)  # fmt: skip
def test_the_command_gets_three_descriptors_and_those_of_a_manager(site, listen, expected):
    import subprocess

    (site.path / "secret").write_text("a PIN")
    line = f'exec 3<secret 4<secret 9<secret; {listen} exec "$0" "$@"'
    command = ["run", "payments", "-o", "audit.log", "--", sys.executable, "-c", DESCRIPTORS]
    done = subprocess.run(
        ["bash", "-c", line, COMMAND, *command], cwd=site.path, env=site.env, capture_output=True, check=False,
        timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert entries(site.read()) == [expected.encode()]
