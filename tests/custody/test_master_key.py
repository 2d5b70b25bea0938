"""What a master key as custody promises beyond what every custody does."""

import errno
import os
import shutil
import stat

import pytest

from tallystick import custody
from tallystick._core import DataKey
from tallystick.custody import MasterKey
from tallystick.custody.slots import path_of
from tallystick.errors import CustodyError, explain
from tests.custody.keys import text_of
from tests.custody.suite import OWNER, CustodySuite


def slots_of(custody):
    return path_of(custody.url.removeprefix("master-key:"), OWNER.root)


class TestFile(CustodySuite):
    @pytest.fixture
    def custody(self, tmp_path):
        return MasterKey.create(tmp_path / "master.key")

    @pytest.fixture
    def stranger(self, tmp_path):
        return MasterKey.create(tmp_path / "stranger.key")

    def test_another_key_does_not_open(self, custody, stranger, key):
        """Not even with the slots of the right one beside it."""
        wrapped = custody.wrap(key, OWNER)
        with pytest.raises(CustodyError, match="wrong master key, or the log is written on another host"):
            stranger.unwrap(wrapped, OWNER)
        shutil.copy(slots_of(custody), slots_of(stranger))
        with pytest.raises(CustodyError, match="wrong key, or the state was changed"):
            stranger.unwrap(wrapped, OWNER)


class TestVariable(CustodySuite):
    @pytest.fixture
    def custody(self, monkeypatch):
        monkeypatch.setenv("MASTER_KEY", text_of(DataKey.generate()).decode().strip())
        return MasterKey.in_variable("MASTER_KEY")

    @pytest.fixture
    def stranger(self, monkeypatch):
        monkeypatch.setenv("STRANGER_KEY", text_of(DataKey.generate()).decode().strip())
        return MasterKey.in_variable("STRANGER_KEY")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "master.key"


@pytest.fixture
def master(path):
    return MasterKey.create(path)


# The file


@pytest.mark.parametrize("umask", [0, 0o377])
def test_a_new_key_and_its_directory_are_private_under_a_loose_and_a_strict_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        MasterKey.create(tmp_path / "above" / "master.key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "above").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "above" / "master.key").stat().st_mode) == 0o600


def test_a_new_key_is_in_its_text_form(master, path):
    assert len(path.read_bytes()) == 44
    assert text_of(DataKey.parse(path.read_text().strip())) == path.read_bytes()


def test_a_line_end_after_the_key_may_be_lacking(master, path):
    wrapped = master.wrap(DataKey.generate(), OWNER)
    path.write_bytes(path.read_bytes().strip())
    MasterKey.in_file(path).unwrap(wrapped, OWNER)


def test_two_new_keys_differ(tmp_path):
    for name in ("a", "b"):
        MasterKey.create(tmp_path / name)
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()


def test_a_key_that_exists_is_not_made_again(master, path):
    before = path.read_bytes()
    with pytest.raises(CustodyError, match=f"{path}: file exists"):
        MasterKey.create(path)
    assert path.read_bytes() == before


def test_a_key_that_cannot_be_written_leaves_no_file(path, monkeypatch):
    def fail(fd):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CustodyError, match="no space left on device\nhint: make room there"):
        MasterKey.create(path)
    assert not path.exists()


def test_a_key_that_is_not_there_is_reported(path):
    with pytest.raises(CustodyError, match=f"{path} is not there\nhint: restore it, .* cannot be opened without it"):
        custody.connect(f"master-key:{path}")
    assert not path.exists()


def test_a_key_that_went_away_is_reported_when_it_is_used(master, path):
    wrapped = master.wrap(DataKey.generate(), OWNER)
    path.unlink()
    with pytest.raises(CustodyError, match="is not there\nhint: restore it"):
        master.unwrap(wrapped, OWNER)


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o602, 0o610, 0o601])
def test_a_key_that_is_open_to_others_is_refused_with_the_command_to_run(master, path, mode):
    path.chmod(mode)
    with pytest.raises(CustodyError) as problem:
        custody.connect(master.url)
    assert explain(problem.value) == f"{path} is open to other users (mode {mode:04o}); run: chmod 0600 {path}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_key_that_belongs_to_somebody_else_is_refused(master, path):
    os.chown(path, 54321, -1)
    with pytest.raises(CustodyError, match="belongs to uid 54321, not to root\nhint: run this as its owner"):
        custody.connect(master.url)


@pytest.mark.parametrize("create", [False, True])
def test_a_symbolic_link_is_refused(master, path, tmp_path, create):
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(CustodyError, match="link is a symbolic link\nhint: name what it leads to"):
        custody.connect(f"master-key:{tmp_path}/link", create=create)


def test_a_symbolic_link_into_the_void_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(CustodyError, match="link is a symbolic link\nhint: name what it leads to"):
        custody.connect(f"master-key:{tmp_path}/link", create=True)
    assert not (tmp_path / "nothing").exists()


def test_a_named_pipe_is_refused_and_stops_nobody(path):
    os.mkfifo(path, 0o600)
    with pytest.raises(CustodyError, match="is no regular file"):
        custody.connect(f"master-key:{path}")


NO_KEYS = [
    "",
    "A" * 42,
    "A" * 44,
    "A" * 43,  # zeros are nobody's secret
    "Q" * 43 + "=",
    "A" * 42 + "+",
    "A" * 42 + "B",
    " " + "Q" * 43,
    "Q" * 43 + "\n\n",
]


@pytest.mark.parametrize("text", NO_KEYS)
def test_a_file_that_holds_no_key_is_refused(path, text):
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(CustodyError, match=f"{path} holds no master key"):
        custody.connect(f"master-key:{path}")


# The variable


@pytest.mark.parametrize("text", NO_KEYS)
def test_a_variable_that_holds_no_key_is_refused_untold(monkeypatch, text):
    monkeypatch.setenv("MASTER_KEY", text)
    with pytest.raises(CustodyError, match="MASTER_KEY holds no master key") as problem:
        custody.connect("master-key:MASTER_KEY")
    assert not text.strip() or text not in explain(problem.value)


@pytest.mark.parametrize("create", [False, True])
def test_a_variable_that_is_not_set_is_reported(monkeypatch, create):
    monkeypatch.delenv("MASTER_KEY", raising=False)
    with pytest.raises(CustodyError, match="environment variable MASTER_KEY is not set\nhint: put the master key"):
        custody.connect("master-key:MASTER_KEY", create=create)


# URLs


def test_a_relative_file_becomes_absolute(master, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert custody.connect("master-key:master.key").url == f"master-key:{tmp_path}/master.key"


def test_the_url_of_a_file_does_not_hold_the_key(master, path):
    assert path.read_text().strip() not in master.url


def test_the_url_of_a_variable_names_it(monkeypatch):
    monkeypatch.setenv("MASTER_KEY", "Q" * 43)
    assert custody.connect("master-key:MASTER_KEY").url == "master-key:MASTER_KEY"


def test_a_key_is_made_where_that_is_asked_for(path):
    made = custody.connect(f"master-key:{path}", create=True)
    before = path.read_bytes()
    assert custody.connect(f"master-key:{path}", create=True).url == made.url == f"master-key:{path}"
    assert path.read_bytes() == before


def test_an_unknown_kind_is_reported_with_the_known_ones():
    with pytest.raises(CustodyError, match=r"called 'safe'; known are .*, master-key:"):
        custody.connect("safe:/x")


@pytest.mark.parametrize("path", ["/etc/x.key", "x.key", "./a:b"])
def test_a_plain_path_is_answered_with_how_to_write_it(path):
    with pytest.raises(CustodyError, match=f"write master-key:{path}$"):
        custody.connect(path)


@pytest.mark.parametrize("url", ["", "master-key:"])
def test_a_url_without_a_place_is_refused(url):
    with pytest.raises(CustodyError, match="write master-key:FILE"):
        custody.connect(url)


# The default


def test_the_default_key_is_made_once(path, monkeypatch):
    monkeypatch.setattr(custody, "default_path", lambda: str(path))
    assert custody.create_default().url == f"master-key:{path}"
    before = path.read_bytes()
    assert custody.create_default().url == f"master-key:{path}"
    assert path.read_bytes() == before


def test_roots_key_is_in_etc(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert custody.default_path() == "/etc/tallystick/master.key"


def test_a_users_key_is_in_the_configuration_directory(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/home/x/config")
    assert custody.default_path() == "/home/x/config/tallystick/master.key"


def test_a_users_configuration_directory_has_a_default(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/x")
    assert custody.default_path() == "/home/x/.config/tallystick/master.key"
