"""What every key store promises (spec section 6).

A backend subclasses KeyStoreSuite and gives it an empty `store`.
"""

import contextlib
import os
import signal
import subprocess
import threading

import pytest

from tallystick import keystore
from tallystick.errors import KeyStoreError, LogBusyError, explain
from tallystick.keystore import Stored
from tallystick.writer.waiting import wait_for_lease
from tests import preloaded

WRITER = """
import sys
from tallystick import keystore
lease = keystore.connect(sys.argv[1]).lease(sys.argv[2])
print("writing", flush=True)
sys.stdin.read()
"""


def in_a_child(work):
    """Run work() in a forked child; return its exit status, 99 if it raised."""
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            status = work() or 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def refused(work, why):
    """Return the exit status 7 if work() raises a KeyStoreError that says why, else 0."""
    try:
        work()
    except KeyStoreError as problem:
        return 7 if why in explain(problem) else 0
    return 0


@contextlib.contextmanager
def a_child_that_lives(fork=os.fork):
    """Fork a child that does nothing and lives until the block ends."""
    read, write = os.pipe()
    pid = fork()
    if pid == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    try:
        yield
    finally:
        os.close(read)
        os.close(write)
        os.kill(pid, signal.SIGKILL)  # C code's fork of one of several threads may hang
        os.waitpid(pid, 0)


class KeyStoreSuite:
    @pytest.fixture
    def store(self):
        raise NotImplementedError("a backend's test class gives an empty store")

    def wait_for_expiry(self, store):
        """Wait until the store knows that a process is gone; a backend that notices at once leaves this alone."""

    @pytest.fixture
    def payments(self, store):
        store.create("payments", b"state 1", b"head 0")
        return store

    @pytest.fixture
    def writer(self, payments):
        """Another process that is writing the log `payments`."""
        given = [payments.url, "payments"]
        with preloaded.Running(given, WRITER, preloaded.wanted(given, {}), stdin=subprocess.PIPE, stderr=2) as process:
            assert process.stdout.readline() == "writing\n"
            yield process
            process.kill()

    # A log is made, listed, removed

    def test_a_new_log_holds_what_it_was_made_with(self, payments):
        assert payments.load("payments") == Stored(b"state 1", b"head 0")

    def test_a_head_may_come_in_a_bytearray(self, store):
        store.create("payments", b"state", bytearray(b"head"))
        assert store.load("payments").head == b"head"

    def test_logs_are_listed_in_order(self, store):
        for name in ("b", "a.1", "B-2"):
            store.create(name, b"state", b"head")
        assert store.names() == ["B-2", "a.1", "b"]

    def test_a_log_that_exists_is_not_made_again(self, payments):
        with pytest.raises(KeyStoreError, match="there is a log payments"):
            payments.create("payments", b"other", b"other")
        assert payments.load("payments") == Stored(b"state 1", b"head 0")

    def test_the_url_leads_to_the_same_store(self, payments):
        assert keystore.connect(payments.url).load("payments") == Stored(b"state 1", b"head 0")

    def test_a_removed_log_is_gone(self, payments):
        payments.create("other", b"state", b"head")
        payments.remove("payments")
        assert payments.names() == ["other"]
        with pytest.raises(KeyStoreError, match="there is no log payments"):
            payments.load("payments")

    def test_the_name_of_a_removed_log_is_free_again(self, payments):
        payments.remove("payments")
        payments.create("payments", b"state 2", b"head 2")
        assert payments.load("payments") == Stored(b"state 2", b"head 2")

    def test_a_log_that_is_being_written_is_not_removed(self, payments):
        with payments.lease("payments"), pytest.raises(KeyStoreError, match="is being written by"):
            payments.remove("payments")
        assert payments.names() == ["payments"]

    def test_a_state_of_a_mebibyte_is_kept_whole(self, payments):
        state = os.urandom(1 << 20)
        with payments.lease("payments") as lease:
            lease.replace_state(state)
        assert payments.load("payments").state == state

    # Names

    @pytest.mark.parametrize("what", ["create", "remove", "load", "head", "holder", "lease"])
    def test_what_is_no_name_is_refused(self, payments, what):
        for name in ("", ".", "..", "../x", "a/b", "/etc", "-a", ".new-a", "_a", "a b", "a\n", "ä", "a" * 65):
            arguments = (name, b"state", b"head") if what == "create" else (name,)
            with pytest.raises(KeyStoreError, match="cannot be the name of a log"):
                getattr(payments, what)(*arguments)

    @pytest.mark.parametrize("name", ["a", "7", "A.b_c-1", "a" * 64])
    def test_every_name_of_the_spec_is_taken(self, store, name):
        store.create(name, b"state", b"head")
        assert store.names() == [name]

    @pytest.mark.parametrize("what", ["remove", "load", "head", "holder", "lease"])
    def test_a_log_that_is_not_there_is_reported_with_those_that_are(self, payments, what):
        with pytest.raises(KeyStoreError, match=r"there is no log payment\b.*\nhint: it holds payments"):
            getattr(payments, what)("payment")

    # State and head are replaced

    def test_a_replaced_state_is_what_everybody_loads(self, payments):
        with payments.lease("payments") as lease:
            lease.replace_state(b"state 2")
            assert lease.load() == Stored(b"state 2", b"head 0")
            assert payments.load("payments") == Stored(b"state 2", b"head 0")
        with payments.lease("payments") as lease:
            assert lease.load() == Stored(b"state 2", b"head 0")

    def test_a_replaced_head_is_what_everybody_loads(self, payments):
        with payments.lease("payments") as lease:
            lease.replace_head(b"head 1")
            assert lease.load() == Stored(b"state 1", b"head 1")
            assert payments.load("payments") == Stored(b"state 1", b"head 1")
            assert payments.head("payments") == b"head 1"
        with payments.lease("payments") as lease:
            assert lease.load() == Stored(b"state 1", b"head 1")

    def test_the_last_of_many_heads_is_there(self, payments):
        with payments.lease("payments") as lease:
            for number in range(50):
                lease.replace_head(bytearray(b"head %d" % number))
        assert payments.load("payments").head == b"head 49"

    # The right to write

    def test_a_second_lease_is_refused(self, payments):
        with payments.lease("payments"), pytest.raises(LogBusyError, match="is being written by"):
            payments.lease("payments")

    def test_a_second_writer_learns_who_the_first_is(self, payments, writer):
        with pytest.raises(KeyStoreError, match=rf"log payments is being written by pid {writer.pid}\b.* since "):
            payments.lease("payments")

    def test_who_waits_has_the_lease_once_the_writer_has_ended(self, payments, writer):
        told = []

        def report(message):
            told.append(message)
            writer.stdin.close()  # it ends, and its lease is free

        taken = wait_for_lease(payments, "payments", None, 30, report)
        with taken.lease as lease:
            lease.replace_head(b"head 1")
        assert f"being written by pid {writer.pid}" in told[0]
        assert "the writer waited for the lease" in taken.done[0]

    def test_who_waits_has_the_lease_of_a_writer_that_was_killed(self, payments, writer):
        writer.send_signal(signal.SIGSTOP)
        killing = threading.Timer(0.5, writer.kill)
        killing.start()
        with wait_for_lease(payments, "payments", None, 30, lambda _: None).lease as lease:
            lease.confirm()
        killing.join()

    def test_the_holder_is_named_while_it_writes(self, payments, writer):
        assert payments.holder("payments").startswith(f"pid {writer.pid} ")

    def test_head_and_holder_come_together(self, payments, writer):
        head, holder = payments.standing("payments")
        assert (bytes(head), holder) == (bytes(payments.head("payments")), payments.holder("payments"))
        assert holder is not None

    def test_nobody_holds_a_log_that_is_not_being_written(self, payments):
        assert payments.holder("payments") is None
        with payments.lease("payments"):
            pass
        assert payments.holder("payments") is None

    def test_the_lease_ends_with_the_process(self, payments, writer):
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        self.wait_for_expiry(payments)
        assert payments.holder("payments") is None
        payments.lease("payments").release()

    def test_the_lease_is_given_back_when_a_block_fails(self, payments):
        with pytest.raises(ZeroDivisionError), payments.lease("payments"):
            raise ZeroDivisionError
        payments.lease("payments").release()

    def test_two_logs_are_written_at_the_same_time(self, payments):
        payments.create("other", b"state", b"head")
        with payments.lease("payments") as one, payments.lease("other") as two:
            one.replace_head(b"head one")
            two.replace_head(b"head two")
        assert (payments.load("payments").head, payments.load("other").head) == (b"head one", b"head two")

    @pytest.mark.parametrize("work", ["load", "replace_state", "replace_head"])
    def test_a_released_lease_is_dead(self, payments, work):
        lease = payments.lease("payments")
        lease.release()
        with pytest.raises(KeyStoreError, match="has been given back"):
            getattr(lease, work)(*([] if work == "load" else [b"x"]))
        assert payments.load("payments") == Stored(b"state 1", b"head 0")

    def test_a_lease_may_be_released_twice(self, payments):
        lease = payments.lease("payments")
        lease.release()
        lease.release()
        payments.lease("payments").release()

    def test_a_lease_tells_its_log(self, payments):
        with payments.lease("payments") as lease:
            assert lease.name == "payments"

    # Forks

    @pytest.mark.parametrize("work", ["load", "replace_state", "replace_head"])
    def test_a_lease_is_dead_in_a_forked_child(self, payments, work):
        with payments.lease("payments") as lease:
            arguments = [] if work == "load" else [b"x"]
            assert in_a_child(lambda: refused(lambda: getattr(lease, work)(*arguments), "forked child")) == 7
        assert payments.load("payments") == Stored(b"state 1", b"head 0")

    def test_a_forked_child_does_not_give_the_right_back(self, payments):
        with payments.lease("payments") as lease:
            assert in_a_child(lambda: lease.release()) == 0
            assert in_a_child(lambda: refused(lambda: payments.lease("payments"), "only one writer")) == 7
            lease.replace_head(b"head 1")
        assert payments.load("payments").head == b"head 1"

    def test_a_forked_child_does_not_keep_the_lease(self, payments):
        lease = payments.lease("payments")
        with a_child_that_lives():
            lease.release()
            payments.lease("payments").release()

    def test_a_forked_child_takes_a_lease_of_its_own(self, payments):
        payments.create("other", b"state", b"head")
        with payments.lease("payments"):
            assert in_a_child(lambda: payments.lease("other").replace_head(b"child")) == 0
        assert payments.load("other").head == b"child"
