"""What a master key in a file promises because it forgets: the slots beside it, whatever happens to them."""

import errno
import fcntl
import multiprocessing
import os
import re
import shutil
import stat
import tempfile
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tallystick._core import DataKey, Slot
from tallystick.custody import MasterKey, in_place
from tallystick.custody import slots as slots_module
from tallystick.custody.slots import Name, path_of
from tallystick.errors import CustodyError, KeyStoreError
from tests.custody.apart import losing
from tests.custody.forgetting import ForgettingSuite, Log, MovesWithinSuite
from tests.custody.keys import text_of
from tests.custody.suite import OWNER
from tests.places import mounted

BLOCK = 4096


@pytest.fixture(autouse=True)
def _on_ext4(monkeypatch):
    """Wherever the tests run, this is what they are about."""
    monkeypatch.setattr(in_place, "file_system", lambda directory: "ext4")


@pytest.fixture
def master(tmp_path):
    return tmp_path / "master.key"


@pytest.fixture
def custody(master):
    return MasterKey.create(master)


@pytest.fixture
def log(custody):
    return Log(custody)


@pytest.fixture
def path(master, log):
    return Path(path_of(str(master), OWNER.root))


def wrap(custody, owner=OWNER, replacing=None):
    return custody.wrap(DataKey.generate(), owner, replacing)


class TestForgets(ForgettingSuite, MovesWithinSuite):
    @pytest.fixture
    def custody(self, custody):
        return custody

    @pytest.fixture
    def earlier(self, master, custody):
        opener = DataKey.parse(master.read_text().strip())
        return custody, opener.wrap(DataKey.generate(), OWNER.context)

    def take_over(self, custody, log):
        """He has the master key, the slots, and may write both."""
        master = Path(custody.url.removeprefix("master-key:"))
        path, opener = Path(path_of(str(master), log.owner.root)), DataKey.parse(master.read_text().strip())
        if not path.exists():
            return log.opens()
        with path.open("rb") as file:
            slots = [Slot.read(file.fileno(), at) for at in (0, BLOCK)]
        # Each key that is left, by itself and with the master key, under all that it could have been bound to.
        keys = [opener, *(slot.joined(opener) for slot in slots if slot is not None)]
        found = [
            wrapped
            for wrapped in log.recorded
            for bound in (wrapped[: Name.length] + log.owner.root + log.owner.context, log.owner.context, b"")
            if any(_opens(key, wrapped[Name.length :], bound) for key in keys)
        ]
        # What the disk still holds of a key that is gone: nothing.
        held = path.read_bytes()
        assert len(held) == 2 * BLOCK
        for at, slot in zip((0, BLOCK), slots, strict=True):
            assert slot is not None or held[at : at + BLOCK] == bytes(BLOCK)
        assert found == log.opens()
        return found


def _opens(key, wrapped, bound):
    try:
        return key.unwrap(wrapped, bound)
    except ValueError:
        return None


# The file


@pytest.mark.parametrize("umask", [0, 0o377])
def test_it_is_private_and_of_one_size_under_a_loose_and_a_strict_umask(custody, master, umask):
    before = os.umask(umask)
    try:
        log = Log(custody)
    finally:
        os.umask(before)
    found = os.stat(path_of(str(master), OWNER.root))
    assert (stat.S_IMODE(found.st_mode), found.st_size) == (0o600, 2 * BLOCK)
    for _ in range(3):
        log.open()
    again = os.stat(path_of(str(master), OWNER.root))
    assert (again.st_ino, again.st_size, again.st_blocks) == (found.st_ino, found.st_size, found.st_blocks)


def test_it_is_named_by_the_whole_public_key(path, master):
    assert re.fullmatch(re.escape(str(master)) + r"\.[a-z2-7]{52}", str(path))


def test_two_logs_have_one_master_key_and_a_file_each(custody, log, path, tmp_path):
    other = Log(custody, replace(OWNER, root=OWNER.root[:-1] + b"\xff"))
    assert len(list(tmp_path.iterdir())) == 3
    for _ in range(3):
        log.open()
    assert other.opens() == other.recorded
    custody.destroy(log.state, log.owner)
    assert (other.opens(), path.exists()) == (other.recorded, False)
    other.open()


def test_the_end_removes_it(log, path):
    log.open()
    log.custody.destroy(log.state, log.owner)
    assert not path.exists()


def test_what_has_another_name_too_is_overwritten_there_as_well(log, path, tmp_path):
    os.link(path, tmp_path / "second")
    before = (tmp_path / "second").read_bytes()
    log.open()
    log.custody.destroy(log.state, log.owner)
    assert before.strip(b"\0")
    assert (tmp_path / "second").read_bytes() == bytes(2 * BLOCK)


def test_where_it_may_not_be_removed_it_stays_without_keys(log, path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "unlink", refuse)
    log.custody.destroy(log.state, log.owner)
    assert path.read_bytes() == bytes(2 * BLOCK)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_where_it_cannot_be_made_set_up_says_where_it_could(custody, master, monkeypatch, number):
    genuine = os.open

    def refuse(name, flags, *more, **named):
        if flags & os.O_CREAT and name != str(master):
            raise OSError(number, os.strerror(number), name)
        return genuine(name, flags, *more, **named)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(
        CustodyError, match=rf"{master}\.\S+ cannot be made: .*\nhint: the keys of each log stand beside"
    ):
        wrap(custody)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_once_it_is_there_its_directory_need_not_be_writable(request):
    above = tempfile.TemporaryDirectory()  # those of pytest are private
    request.addfinalizer(above.cleanup)
    os.chmod(above.name, 0o755)
    place = Path(above.name) / "etc"
    custody = MasterKey.create(place / "master.key")
    log = Log(custody)
    for each in place.iterdir():
        os.chown(each, 54321, -1)
    os.chmod(place, 0o755)

    def as_somebody():
        os.seteuid(54321)
        log.open()
        log.open()
        assert log.opens() == [log.state]
        with pytest.raises(
            CustodyError, match="permission denied\nhint: the keys of each log stand beside the master key"
        ):
            wrap(custody, replace(OWNER, root=bytes(32)))
        custody.destroy(log.state, log.owner)
        assert log.opens() == []

    child = multiprocessing.get_context("fork").Process(target=as_somebody)
    child.start()
    child.join()
    assert child.exitcode == 0


# What is there instead


def unwraps(log):
    return log.custody.unwrap(log.state, log.owner)


def everything(log):
    """All that a writer asks of custody, each of which must refuse."""
    return [
        lambda: unwraps(log),
        lambda: wrap(log.custody, log.next(), log.state),
        lambda: log.custody.forget(log.state, log.owner),
    ]


def refused(log, message, calls=None):
    for call in calls or everything(log):
        with pytest.raises(CustodyError, match=message):
            call()


def test_a_symbolic_link_is_refused(log, path, tmp_path):
    path.rename(tmp_path / "slots")
    path.symlink_to(tmp_path / "slots")
    refused(log, "is a symbolic link\nhint: name what it leads to")
    path.unlink()
    path.symlink_to(tmp_path / "nothing")
    refused(log, "is a symbolic link", [lambda: wrap(log.custody)])
    assert not (tmp_path / "nothing").exists()


def test_a_named_pipe_a_directory_and_an_open_file_are_refused(log, path):
    path.chmod(0o640)
    refused(log, rf"{path} is open to other users \(mode 0640\)\nhint: run: chmod 0600")
    path.unlink()
    os.mkfifo(path, 0o600)
    refused(log, "is no regular file")
    path.unlink()
    path.mkdir(0o700)
    refused(log, "is no regular file|is a directory")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_somebody_else_is_refused(log, path):
    os.chown(path, 54321, -1)
    refused(log, "belongs to uid 54321, not to root\nhint: run this as its owner")


def test_what_is_too_long_is_none_of_ours_and_stays(log, path):
    held = path.read_bytes() + b"x"
    path.write_bytes(held)
    refused(log, "has 8193 bytes, which is no file of ours", [*everything(log), lambda: wrap(log.custody)])
    assert path.read_bytes() == held


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK])
def test_what_was_cut_opens_what_it_still_holds(custody, log, path, size):
    log.open()  # its key is in the second slot
    os.truncate(path, size)
    refused(log, "does not open the state of this log: it holds no key")


def test_the_file_of_another_log_is_refused_and_left_alone(custody, log, path, master):
    other = Log(custody, replace(OWNER, root=bytes(32)))
    shutil.copy(path_of(str(master), bytes(32)), path)
    destroy = lambda: custody.destroy(log.state, log.owner)  # noqa: E731
    refused(log, f"{path} holds keys of another log\nhint: ", [*everything(log), lambda: wrap(custody), destroy])
    assert other.opens() == other.recorded
    # As a second name of it, through which a key could be destroyed, too.
    path.unlink()
    os.link(path_of(str(master), bytes(32)), path)
    refused(log, "holds keys of another log", [*everything(log), lambda: wrap(custody), destroy])
    assert other.opens() == other.recorded


def test_one_from_a_backup_is_older_than_the_state(log, path):
    saved = path.read_bytes()
    log.open()
    path.write_bytes(saved)
    refused(
        log,
        r"it is older than the state, as after a restored backup \(key 1, not 2\)\nhint: a log does not go on from its",
    )


def test_a_state_from_a_backup_is_older_than_the_file(log):
    old = log.state
    log.open()
    with pytest.raises(CustodyError, match=r"the state is older than it, as after a .* \(key 1 was destroyed\)"):
        log.custody.unwrap(old, log.owner)


def test_another_key_of_the_same_number_is_reported(custody, log, path):
    path.unlink()
    wrap(custody)
    refused(log, "it holds another key of that number: it is another file, or the state was changed")


def test_a_file_that_is_gone_is_reported_and_not_made_again(log, path):
    path.unlink()
    refused(
        log,
        f"{path} is not there, .* wrong master key, or the log is written on another host\nhint: if the file is lost",
    )
    assert not path.exists()


def test_where_the_master_key_is_gone_nothing_is_said_to_be_destroyed(log, path, master, tmp_path):
    """As where the volume that both are on is not mounted."""
    for each in (path, master):
        each.rename(tmp_path / f"{each.name}.elsewhere")
    with pytest.raises(CustodyError, match="is not there\nhint: restore it"):
        log.custody.destroy(log.state, log.owner)


@pytest.mark.parametrize("number", [1, 2**62 - 1, 2**62, 2**64 - 1])
def test_the_greatest_number_stops_a_log_without_a_traceback(custody, log, path, number):
    """Nobody counts so far; but whoever may write the file can say so."""
    with open(path, "r+b") as file:
        Slot.fresh(OWNER.root, number, 0).write(file.fileno(), BLOCK)
    if number == 2**62 - 1:
        with pytest.raises(CustodyError, match="does not open the state of this log"):
            log.open()
        return
    log.open()
    assert log.opens() == [log.state]


# Writing that is interrupted or fails


def test_a_slot_that_was_torn_at_any_byte_counts_as_empty(custody, log, path):
    log.open()
    log.open()
    old = path.read_bytes()
    log.open(until="wrapped")
    new = path.read_bytes()
    changed = [at for at in range(2 * BLOCK) if old[at] != new[at]]
    assert changed
    for cut in [*range(changed[0] + 1, changed[-1] + 1, 7), changed[-1]]:
        for torn in (old[:cut] + new[cut:], new[:cut] + old[cut:]):
            path.write_bytes(torn)
            unwraps(log)
            assert log.opens() == [log.state]
    log.open()
    assert log.opens() == [log.state]


def test_a_torn_slot_is_overwritten_by_the_next_to_forget_and_by_the_end(custody, log, path):
    torn = b"tallystick-slot1" + b"s" * 200
    for what in ("forget", "destroy"):
        with open(path, "r+b") as file:
            file.seek(BLOCK)
            file.write(torn)
        os.link(path, f"{path}.{what}")
        getattr(custody, what)(log.state, log.owner)
        assert torn not in (path.parent / f"{path.name}.{what}").read_bytes()


def failing(monkeypatch, name, number, after):
    """Have a call of the operating system fail, after so many that go well."""
    genuine, seen = getattr(os, name), []

    def fail(*arguments, **named):
        seen.append(name)
        if len(seen) > after:
            raise OSError(number, os.strerror(number))
        return genuine(*arguments, **named)

    monkeypatch.setattr(os, name, fail)


@pytest.mark.parametrize(("name", "after"), [("pwrite", 0), ("fsync", 0), ("fsync", 1), ("fsync", 2)])
def test_a_full_disk_at_set_up_leaves_no_file(custody, master, monkeypatch, name, after):
    with monkeypatch.context() as full:
        failing(full, name, errno.ENOSPC, after)
        with pytest.raises(CustodyError, match="no space left on device\nhint: make room there"):
            wrap(custody)
    assert not os.path.exists(path_of(str(master), OWNER.root))
    Log(custody).open()


@pytest.mark.parametrize("what", ["wrap", "forget", "destroy"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_sync_that_fails_is_reported_and_what_opens_the_state_stays(custody, log, monkeypatch, what, number):
    log.open()
    if what != "wrap":
        log.open(until="replaced")
    with monkeypatch.context() as broken:
        failing(broken, "fsync", number, 0)
        call = (
            partial(wrap, custody, replacing=log.state)
            if what == "wrap"
            else partial(getattr(custody, what), log.state)
        )
        with pytest.raises(CustodyError, match=rf"master\.key\.[a-z2-7]{{52}}: {os.strerror(number).lower()}\nhint: "):
            call(owner=log.owner)
    if what != "destroy":
        log.open()
        assert log.opens() == [log.state]


def test_a_key_that_is_still_there_after_it_was_overwritten_is_reported(custody, log, monkeypatch):
    log.open(until="replaced")
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: len(data))
    with pytest.raises(CustodyError, match="a key could not be overwritten, it is still there"):
        custody.forget(log.state, log.owner)


def test_a_disk_that_is_full_for_real(log, tmp_path):
    with mounted(tmp_path / "disk", size="16k") as place:
        custody = MasterKey.create(place / "master.key")
        (place / "ballast").write_bytes(bytes(2 * BLOCK))
        with pytest.raises(CustodyError, match="no space left on device\nhint: make room there"):
            Log(custody)
        assert sorted(os.listdir(place)) == ["ballast", "master.key"]
        (place / "ballast").unlink()
        log = Log(custody)
        (place / "ballast").write_bytes(bytes(BLOCK))
        for _ in range(3):
            log.open()  # what is overwritten in place needs no room
        assert log.opens() == [log.state]


# Several at once


def test_two_that_come_at_once_make_one_file_and_two_keys(custody, master):
    found = []
    threads = [threading.Thread(target=lambda: found.append(wrap(custody))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {Name.read(wrapped).number for wrapped in found} == {1, 2}
    for wrapped in found:
        custody.unwrap(wrapped, OWNER)


def test_one_that_stands_still_in_its_writing_is_waited_for_and_then_reported(log, path, monkeypatch):
    monkeypatch.setattr(slots_module, "PATIENCE", 0.2)
    with open(path, "rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        refused(
            log, f"another process has had {path} locked for 0.2 s, so it stands still\nhint: end", everything(log)[1:]
        )
        unwraps(log)
    log.open()


def test_the_lease_is_confirmed_under_the_lock(custody, log, path):
    def confirm():
        with open(path, "rb") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        asked.append(1)

    asked, owner = [], replace(log.owner, confirm=confirm)
    wrap(custody, owner, log.state)
    custody.forget(log.state, owner)
    custody.destroy(log.state, owner)
    assert len(asked) == 3


def test_one_without_lease_leaves_no_file_where_none_was(custody, master):
    with pytest.raises(KeyStoreError, match="passed to another writer"):
        wrap(custody, losing(OWNER))
    assert not os.path.exists(path_of(str(master), OWNER.root))


def test_where_it_was_removed_while_one_waited_for_it_that_one_makes_another(custody, log, path):
    """What is locked then has no name any more, and a key in it would be lost."""
    entered, go = threading.Event(), threading.Event()

    def confirm():
        entered.set()
        go.wait(10)

    ending = threading.Thread(target=custody.destroy, args=(log.state, replace(log.owner, confirm=confirm)))
    ending.start()
    entered.wait(10)
    waiting = threading.Thread(target=lambda: log.recorded.append(wrap(custody)))
    waiting.start()
    time.sleep(0.05)  # most likely it is at the lock then
    go.set()
    ending.join()
    waiting.join()
    custody.unwrap(log.recorded[-1], OWNER)


def test_where_it_was_removed_right_before_it_was_locked_there_is_another(custody, log, path, monkeypatch):
    genuine = fcntl.flock

    def flock(fd, how):
        monkeypatch.setattr(fcntl, "flock", genuine)
        custody.destroy(log.state, log.owner)
        genuine(fd, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    wrapped = wrap(custody)
    assert path.exists()
    custody.unwrap(wrapped, OWNER)


# Moves within one file, and from and to it


def test_what_may_be_the_present_key_is_never_given_away_to_a_log_that_comes(custody, log):
    log.open()
    log.open(until="wrapped")
    with pytest.raises(
        CustodyError, match=r"holds two keys of this log already, .*\nhint: if the log is here, write a line"
    ):
        wrap(custody)
    log.open()
    log.move()
    assert log.opens() == [log.state]


def test_a_log_that_left_without_its_keys_destroyed_can_come_back(custody, log):
    log.open()
    away = log.state
    log.state, log.owner = log.wrap(None), log.next()
    custody.forget(log.state, log.owner)
    assert log.opens() == [log.state]
    assert away not in log.opens()


# Where it forgets


def test_it_says_where_it_forgets(custody, master, log, monkeypatch):
    for told, yes, why in [
        ("ext4", True, "if what is below ext4 overwrites in place, too, and nobody has a copy from before"),
        ("xfs", True, "if what is below xfs"),
        ("btrfs", False, f"{master} is on btrfs, which may keep overwritten bytes; ext4 and xfs do not"),
        ("ext4 with data=journal", False, "is on ext4 with data=journal, which may keep"),
        ("overlay", False, "is on overlay, which"),
        ("fuse.sshfs", False, "is on fuse.sshfs, which"),
        (None, False, "is on a file system that is not known, which"),
    ]:
        monkeypatch.setattr(in_place, "file_system", lambda directory, told=told: told)
        for said in (custody.forgets(), custody.forgets(log.state)):
            assert said.yes == yes
            assert why in said.why


def test_a_variable_forgets_nothing(monkeypatch):
    monkeypatch.setenv("MASTER_KEY", text_of(DataKey.generate()).decode().strip())
    custody = MasterKey.in_variable("MASTER_KEY")
    wrapped = wrap(custody)
    assert (custody.forgets().yes, custody.forgets(wrapped).yes) == (False, False)
    custody.destroy(wrapped, OWNER)
    custody.unwrap(wrapped, OWNER)


@pytest.mark.parametrize("garbage", [b"", b"\0", b"tallystick-slots1 ", b"tallystick-slots1 " + b"\2" * 97, bytes(72)])
def test_what_is_no_wrapped_key_is_refused(custody, log, garbage):
    with pytest.raises(CustodyError, match="does not open the state of this log"):
        custody.unwrap(garbage, OWNER)
    assert not custody.forgets(garbage).yes


def test_no_key_is_an_object_of_python(path, log):
    with open(path, "rb") as file:
        slot = next(filter(None, (Slot.read(file.fileno(), at) for at in (0, BLOCK))))
    held = path.read_bytes()
    told = [value for name in dir(slot) if isinstance(value := getattr(slot, name), bytes)]
    assert repr(slot) == "Slot(redacted)"
    assert slot.root in told
    assert not any(value in held for value in told if value != slot.root)
