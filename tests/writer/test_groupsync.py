"""A line is on the disk when its writer goes on."""

import threading

import pytest

from tallystick.errors import SealError
from tallystick.writer.groupsync import GroupSync


def test_what_was_written_while_a_sync_ran_needs_another_one():
    synced = []

    def sync():
        synced.append(group.written)
        if len(synced) == 1:
            group.note()  # another thread's line, too late for this sync

    group = GroupSync(threading.Lock(), lambda: group.written, sync)
    group.note()
    group.wait()
    group.wait()
    assert synced == [1, 2]


def test_one_sync_serves_all_that_were_written_before_it():
    synced = []
    group = GroupSync(threading.Lock(), lambda: group.written, lambda: synced.append(1))
    for _ in range(5):
        group.note()
    for _ in range(5):
        group.wait()
    assert synced == [1]


def test_a_sync_that_failed_serves_nobody():
    fails = [True, False]

    def sync():
        if fails.pop(0):
            raise SealError("the disk is gone")

    group = GroupSync(threading.Lock(), lambda: group.written, sync)
    group.note()
    with pytest.raises(SealError):
        group.wait()
    group.wait()
    assert fails == []
