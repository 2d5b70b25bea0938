"""A lock that all writers on a host share."""

import os
import tempfile
import threading
import time
from pathlib import Path

import pytest

from tallystick.custody.host_lock import host_lock
from tallystick.errors import CustodyError, explain

NAME = "tallystick-x.lock"


@pytest.fixture
def place():
    if os.geteuid() != 0:
        pytest.skip("the directory of locks is root's")
    with tempfile.TemporaryDirectory() as made:
        os.chmod(made, 0o1777)
        yield Path(made)


def taken(place, group=None, timeout=0.2):
    return host_lock(NAME, group, timeout, str(place))


def refused(place, why, group=None):
    with pytest.raises(CustodyError, match=why), taken(place, group):
        pass


def test_one_at_a_time(place):
    inside, most = [0], [0]

    def work():
        for _ in range(20):
            with taken(place, timeout=30):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.001)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert most == [1]
    assert os.listdir(place) == [NAME]


def test_a_wait_in_vain_ends_with_who_to_look_for(place):
    with taken(place):
        refused(place, rf"another process held {place}/{NAME} for 0.2 seconds\nhint: fuser")
    with taken(place):
        pass


def test_it_ends_with_its_process(place):
    if not os.fork():
        lock = taken(place)
        lock.__enter__()
        os._exit(0)
    os.wait()
    with taken(place):
        pass


def test_one_that_is_removed_meanwhile_is_made_again(place):
    """Two who hold two files of one name would both go on."""
    with taken(place):
        waits = threading.Thread(target=lambda: entered.append(taken(place, timeout=30).__enter__()))
        entered = []
        waits.start()
        time.sleep(0.1)
        before = os.stat(place / NAME).st_ino
        (place / NAME).rename(place / "removed")
    waits.join()
    assert entered == [None]
    assert os.stat(place / NAME).st_ino != before


def test_the_group_of_the_chip_may_take_it_and_nobody_else(place):
    for group, mode in ((None, 0o600), (12345, 0o640)):
        with taken(place, group):
            there = os.stat(place / NAME)
            assert (there.st_mode & 0o777, there.st_uid) == (mode, 0)
            assert there.st_gid == (group or os.getegid())
        with taken(place, group):
            pass
        (place / NAME).unlink()


def test_one_that_a_member_of_the_group_made_is_taken(place):
    (place / NAME).touch()
    (place / NAME).chmod(0o640)
    os.chown(place / NAME, 65534, 12345)
    with taken(place, 12345):
        pass


@pytest.mark.parametrize(
    ("owner", "group", "mode"),
    [(65534, 65534, 0o600), (65534, 65534, 0o640), (0, 0, 0o644), (0, 12345, 0o660), (0, 65534, 0o640)],
)
def test_one_that_others_made_or_may_take_is_refused(place, owner, group, mode):
    (place / NAME).touch()
    os.chown(place / NAME, owner, group)
    (place / NAME).chmod(mode)
    refused(place, "belongs to others, or is open to them\nhint: find out who made it, and remove", 12345)


def test_a_link_is_not_followed(place, tmp_path):
    (place / NAME).symlink_to(tmp_path / "elsewhere")
    refused(place, "is a symbolic link\nhint: find out who made it, and remove it")
    assert not (tmp_path / "elsewhere").exists()
    (place / NAME).unlink()
    os.mkfifo(place / NAME, 0o600)
    refused(place, "belongs to others, or is open")


def test_a_place_where_others_exchange_files_is_refused(place, tmp_path):
    for mode in (0o777, 0o775):
        place.chmod(mode)
        refused(place, r"lets others exchange files there\nhint: .+ chmod 1777")
    place.chmod(0o1777)
    os.chown(place, 65534, -1)
    refused(place, "lets others exchange files there")
    refused(tmp_path / "none", "no such file or directory\nhint: make it, as root: install -d -m 1777")


def test_a_user_who_may_not_take_it_learns_how_to_be_let_in(place):
    (place / NAME).touch()
    (place / NAME).chmod(0o600)
    if child := os.fork():
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        return
    ok = False
    try:
        os.seteuid(65534)
        with taken(place, 12345):
            pass
    except CustodyError as error:
        ok = "as root: install -m 640 -g 12345 /dev/null" in explain(error)
    finally:
        os._exit(0 if ok else 1)
