"""Work as another user: with the rights of that user and no others, and nobody else in this process has them."""

import os
import threading

import pytest

from tallystick.errors import SealError
from tallystick.securefile import Actor
from tests.securefile.conftest import ALICE, BOB, as_user

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as others")


def test_it_is_done_with_the_rights_of_that_user_alone(secret):
    actor = Actor.named(f"{ALICE}:{BOB}")

    def work():
        with open("/proc/thread-self/status") as file:
            return [line.split() for line in file if line.startswith(("Uid", "Gid", "Groups", "CapEff"))]

    assert actor.call(work) == [
        ["Uid:", *[str(ALICE)] * 4], ["Gid:", *[str(BOB)] * 4], ["Groups:", str(BOB)], ["CapEff:", "0" * 16],
    ]  # fmt: skip
    with pytest.raises(PermissionError):
        actor.call(secret.read_bytes)


def test_no_other_thread_has_its_rights_meanwhile_or_afterwards():
    inside, seen = threading.Barrier(2), threading.Barrier(2)

    def work():
        inside.wait(10)
        seen.wait(10)
        return os.geteuid()

    found = []
    acting = threading.Thread(target=lambda: found.append(Actor.named(f"{ALICE}:{ALICE}").call(work)))
    acting.start()
    inside.wait(10)
    assert (os.geteuid(), os.getegid()) == (0, 0)
    seen.wait(10)
    acting.join()
    assert (found, os.geteuid()) == ([ALICE], 0)


@pytest.mark.parametrize(
    ("text", "uid", "gid"),
    [("nobody", 65534, 65534), ("nobody:root", 65534, 0), ("65534", 65534, 65534), ("7:8", 7, 8)],
)
def test_a_user_is_named_by_name_or_number_with_or_without_a_group(text, uid, gid):
    actor = Actor.named(text)
    assert (actor.uid, actor.gid) == (uid, gid)


@pytest.mark.parametrize(
    "text", ["", ":", "nosuchuser", "nosuchuser:0", f"{ALICE}", "root:nosuchgroup", "-1:0", "4294967295:0"]
)
def test_nobody_is_no_user(text):
    with pytest.raises(SealError, match="there is no"):
        Actor.named(text)


def test_only_root_acts_as_another_user():
    def work():
        assert Actor.named(f"{ALICE}:{ALICE}").call(os.geteuid) == ALICE
        with pytest.raises(SealError, match="only root can write as"):
            Actor.named(f"{BOB}:{BOB}")

    assert as_user(ALICE, work)
