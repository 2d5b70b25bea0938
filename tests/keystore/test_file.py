"""What a directory as key store promises beyond what every key store does."""

import ctypes
import errno
import os
import resource
import signal
import stat
import subprocess
import sys

import pytest

from tallystick.errors import KeyStoreError, explain
from tallystick.keystore import FileKeyStore, Stored
from tests.keystore.suite import KeyStoreSuite, a_child_that_lives, in_a_child, refused
from tests.processes import Started

FILES = {"state", "head", "lock", "note"}


class TestFile(KeyStoreSuite):
    @pytest.fixture
    def store(self, tmp_path):
        (tmp_path / "store").mkdir(0o700)
        return FileKeyStore(tmp_path / "store")


@pytest.fixture
def store(tmp_path):
    store = FileKeyStore(tmp_path / "store")
    store.create("payments", b"old state", b"old head")
    return store


@pytest.fixture
def log(store, tmp_path):
    return tmp_path / "store" / "payments"


# Who may read


@pytest.mark.parametrize("umask", [0, 0o377])
def test_directories_and_files_are_private_under_a_loose_and_a_strict_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        FileKeyStore(tmp_path / "above" / "store").create("payments", b"state", b"head")
        with FileKeyStore(tmp_path / "above" / "store").lease("payments") as lease:
            lease.replace_head(b"head 1")
    finally:
        os.umask(before)
    modes = {str(p.relative_to(tmp_path)): stat.S_IMODE(p.stat().st_mode) for p in tmp_path.rglob("*")}
    log = "above/store/payments"
    assert modes == {"above": 0o700, "above/store": 0o700, log: 0o700} | {f"{log}/{f}": 0o600 for f in FILES}


def test_they_are_private_from_the_first_instant(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fchmod", lambda fd, mode: None)
    test_directories_and_files_are_private_under_a_loose_and_a_strict_umask(tmp_path, 0)


@pytest.mark.parametrize("bit", [0o040, 0o020, 0o010, 0o004, 0o002, 0o001])
@pytest.mark.parametrize("path", ["", "payments", "payments/state", "payments/head", "payments/lock"])
def test_what_is_open_to_others_is_refused_with_the_command_to_run(store, tmp_path, path, bit):
    opened = (tmp_path / "store" / path) if path else tmp_path / "store"
    right = stat.S_IMODE(opened.stat().st_mode)
    opened.chmod(right | bit)
    with pytest.raises(KeyStoreError) as problem:
        store.lease("payments").load()
    assert explain(problem.value) == (
        f"{opened} is open to other users (mode {right | bit:04o}); run: chmod {right:04o} {opened}"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("path", ["", "payments", "payments/state", "payments/lock"])
def test_what_belongs_to_somebody_else_is_refused(store, tmp_path, path):
    os.chown(tmp_path / "store" / path, 54321, -1)
    with pytest.raises(KeyStoreError, match="belongs to uid 54321, not to root\nhint: run this as its owner"):
        store.lease("payments").load()


@pytest.mark.parametrize("path", ["store", "store/payments", "store/payments/state", "store/payments/lock"])
def test_a_symbolic_link_is_refused(store, tmp_path, path):
    (tmp_path / path).rename(tmp_path / "elsewhere")
    (tmp_path / path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyStoreError, match=f"{path} is a symbolic link"):
        store.lease("payments").load()


@pytest.mark.parametrize("file", ["state", "lock"])
def test_a_named_pipe_is_refused_and_stops_nobody(store, log, file):
    (log / file).unlink()
    os.mkfifo(log / file, 0o600)
    with pytest.raises(KeyStoreError, match=f"{file} is no regular file"):
        store.lease("payments").load()


# What is erased


def test_the_bytes_of_a_replaced_file_are_zeros(store, log, tmp_path):
    os.link(log / "state", tmp_path / "held state")
    os.link(log / "head", tmp_path / "held head")
    with store.lease("payments") as lease:
        lease.replace_state(b"new state")
        lease.replace_head(b"new head")
    assert (tmp_path / "held state").read_bytes() == bytes(len("old state"))
    assert (tmp_path / "held head").read_bytes() == bytes(len("old head"))


def test_without_hard_links_they_are_zeros_too(store, log, tmp_path, monkeypatch):
    os.link(log / "state", tmp_path / "held")

    def no_links(*args, **kwargs):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", no_links)
    with store.lease("payments") as lease:
        lease.replace_state(b"new state")
    assert (tmp_path / "held").read_bytes() == bytes(len("old state"))
    assert store.load("payments").state == b"new state"


def test_the_bytes_of_a_removed_log_are_zeros(store, log, tmp_path):
    os.link(log / "state", tmp_path / "held")
    store.remove("payments")
    assert (tmp_path / "held").read_bytes() == bytes(len("old state"))


def test_nothing_but_state_head_and_lock_is_left(store, log):
    with store.lease("payments") as lease:
        lease.replace_state(b"new state")
        lease.replace_head(b"new head")
    assert set(os.listdir(log)) == FILES


def test_a_reader_never_sees_a_file_that_is_being_erased(store, monkeypatch):
    readv = os.readv
    with store.lease("payments") as lease:

        def late(fd, data):
            monkeypatch.setattr(os, "readv", readv)
            lease.replace_state(b"new state")  # wipes what the reader has open
            return readv(fd, data)

        monkeypatch.setattr(os, "readv", late)
        assert store.load("payments").state == b"new state"


# What goes wrong is told


@pytest.mark.parametrize("what", ["names", "load", "holder", "lease", "remove"])
def test_a_store_that_is_not_there_is_reported_with_how_to_make_it(tmp_path, what):
    store = FileKeyStore(tmp_path / "store")
    with pytest.raises(KeyStoreError, match=f"no key store at {tmp_path}/store\nhint: `tallystick init NAME` makes"):
        getattr(store, what)(*([] if what == "names" else ["payments"]))
    assert not (tmp_path / "store").exists()


def test_a_file_in_the_place_of_the_store_is_reported(tmp_path):
    (tmp_path / "store").touch(0o600)
    with pytest.raises(KeyStoreError, match=f"{tmp_path}/store: not a directory\nhint: name a directory"):
        FileKeyStore(tmp_path / "store").create("payments", b"state", b"head")


def test_an_empty_store_is_reported_with_how_to_make_the_log(store):
    store.remove("payments")
    with pytest.raises(KeyStoreError, match="make it with `tallystick init payments`"):
        store.load("payments")


def test_a_lost_state_is_reported_with_its_path(store, log):
    (log / "state").unlink()
    assert store.names() == []
    with pytest.raises(KeyStoreError, match=f"{log}/state: no such file or directory\nhint: restore it"):
        store.load("payments")


def test_a_lost_head_is_none(store, log):
    (log / "head").unlink()
    assert store.load("payments") == Stored(b"old state", None)


def test_a_lost_head_can_be_written_again(store, log):
    (log / "head").unlink()
    with store.lease("payments") as lease:
        lease.replace_head(b"head")
    assert store.load("payments").head == b"head"


@pytest.mark.parametrize(("file", "limit"), [("state", 16 << 20), ("head", 4096)])
def test_a_file_that_is_too_large_is_not_read(store, log, file, limit):
    os.truncate(log / file, limit + 1)
    with pytest.raises(KeyStoreError, match=f"{log}/{file} has more than {limit} bytes"):
        store.load("payments")


@pytest.mark.parametrize(("file", "limit"), [("state", 16 << 20), ("head", 4096)])
def test_what_could_not_be_read_again_is_not_written(store, file, limit):
    with store.lease("payments") as lease, pytest.raises(KeyStoreError, match=f"{limit} at most"):
        getattr(lease, f"replace_{file}")(bytes(limit + 1))
    assert store.load("payments") == Stored(b"old state", b"old head")


FULL = [(errno.ENOSPC, "make room"), (errno.EDQUOT, "make room"), (errno.EROFS, "mount it writable")]


@pytest.fixture(params=FULL, ids=lambda param: errno.errorcode[param[0]])
def failing(request, monkeypatch):
    number, advice = request.param

    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", fail)
    return f"{os.strerror(number).lower()}\nhint: {advice}"


def test_a_full_disk_leaves_the_old_and_says_what_to_do(store, log, failing):
    with store.lease("payments") as lease, pytest.raises(KeyStoreError, match=f"{log}.*{failing}"):
        lease.replace_state(b"new state")
    assert store.load("payments") == Stored(b"old state", b"old head")
    assert set(os.listdir(log)) == FILES


def test_a_full_disk_leaves_no_half_made_log(store, tmp_path, failing):
    with pytest.raises(KeyStoreError, match=failing):
        store.create("other", b"state", b"head")
    assert os.listdir(tmp_path / "store") == ["payments"]


@pytest.mark.parametrize("step", ["open", "fsync", "link", "rename"])
def test_an_error_before_the_new_is_in_its_place_leaves_just_the_old(store, log, monkeypatch, step):
    def fail(*args, **kwargs):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with store.lease("payments") as lease:
        monkeypatch.setattr(os, step, fail)
        with pytest.raises(KeyStoreError, match="input/output error"):
            lease.replace_state(b"new state")
        monkeypatch.undo()
        assert lease.load().state == b"old state"
        assert set(os.listdir(log)) == FILES


@pytest.mark.parametrize("step", ["fsync", "link", "rename", "fdatasync", "unlink"])
def test_an_error_at_any_step_is_reported_and_leaves_the_old_or_the_new(store, log, monkeypatch, step):
    def fail(*args, **kwargs):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with store.lease("payments") as lease:
        monkeypatch.setattr(os, step, fail)
        with pytest.raises(KeyStoreError, match="input/output error"):
            lease.replace_state(b"new state")
        monkeypatch.undo()
        assert lease.load().state in (b"old state", b"new state")
        lease.replace_state(b"newer state")
    assert store.load("payments") == Stored(b"newer state", b"old head")
    assert set(os.listdir(log)) == FILES


def test_a_limit_of_file_sizes_leaves_the_old(store):
    def replace():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        with store.lease("payments") as lease:
            return refused(lambda: lease.replace_state(bytes(8192)), "file too large; raise the limit")

    assert in_a_child(replace) == 7
    assert store.load("payments") == Stored(b"old state", b"old head")


# The lock


def test_the_lease_ends_with_a_writer_that_was_killed_while_its_child_lives(store):
    script = (
        "import os, sys\nfrom tallystick import keystore\n"
        "lease = keystore.connect(sys.argv[1]).lease('payments')\n"
        "if os.fork() == 0:\n    print(os.getpid(), flush=True)\n    sys.stdin.read()\n    os._exit(0)\n"
        "os.wait()\n"
    )
    command = [sys.executable, "-c", script, store.url]
    with Started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        assert store.holder("payments").startswith(f"pid {process.pid} ")
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.kill(child, 0)  # it lives
        store.lease("payments").release()


def test_the_lease_is_given_back_although_a_child_keeps_the_files(store):
    lease = store.lease("payments")
    with a_child_that_lives(fork=ctypes.PyDLL(None).fork):  # by another library, unknown to Python
        lease.release()
        store.lease("payments").release()


def test_what_the_lock_says_is_cut_and_printable(store, log):
    with store.lease("payments"):
        (log / "lock").write_bytes(b"pid 1\x1b[31m\n\xff" + b"x" * 10_000)
        with pytest.raises(KeyStoreError, match=r"is being written by pid 1\?\[31m\?\?x+") as problem:
            store.lease("payments")
    assert len(str(problem.value)) < 450  # the hint is ours


def test_the_lock_does_not_tell_what_a_sealed_program_is_run_with(store, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/tallystick", "run", "payments", "--", "mysql", "-psecret"])
    with store.lease("payments"):
        assert store.holder("payments").startswith(f"pid {os.getpid()} (tallystick run payments) on ")


def test_a_stale_lock_file_stops_nobody(store, log):
    (log / "lock").write_bytes(b"pid 1 (init) since 1970" + b"!" * 1000)
    assert store.holder("payments") is None
    with store.lease("payments"):
        assert "!" not in store.holder("payments")


def test_a_lock_file_that_was_removed_is_made_again(store, log):
    (log / "lock").unlink()
    assert store.holder("payments") is None
    with store.lease("payments"):
        assert stat.S_IMODE((log / "lock").stat().st_mode) == 0o600


def test_a_writer_stops_when_its_lock_was_taken_from_under_it(store, log):
    with store.lease("payments") as first:
        (log / "lock").unlink()
        with store.lease("payments") as second:
            with pytest.raises(KeyStoreError, match="moved, removed or unlocked"):
                first.replace_head(b"first")
            second.replace_head(b"second")
    assert store.load("payments").head == b"second"


def test_a_writer_stops_when_its_log_was_moved(store, log):
    with store.lease("payments") as lease:
        log.rename(log.with_name("payments.bak"))
        store.create("payments", b"state", b"head")
        with pytest.raises(KeyStoreError, match="moved, removed or unlocked"):
            lease.replace_state(b"lost")
    assert store.load("payments") == Stored(b"state", b"head")


def test_a_program_started_by_the_writer_does_not_get_its_files(store):
    with store.lease("payments"):
        listed = subprocess.run(
            ["ls", "-l", "/proc/self/fd"], capture_output=True, text=True, check=True, close_fds=False
        )
    assert "payments" not in listed.stdout
