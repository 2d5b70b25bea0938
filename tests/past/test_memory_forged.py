"""Who takes a host, and all memory of its writers, forges nothing of what was sealed before.

Custody cannot forget here, and opens whatever it is given: so all rests on there being no state in the writer. On the
state before the courier (commit d0cc139) these forge logs that verify without a finding, in nearly every run: what
freed memory still holds is luck, and in a small program or a core dump of it a state was overwritten more often.
"""

import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager

import pytest

from tests.servers import missing, until

COUNT = 2000  # lines; enough that whatever lies in freed memory by luck is written over

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="reads the memory of processes; run it as root")


def begin(host):
    """The first chain is over before the writer begins that is robbed."""
    host.library("user=1 action=login", "user=1 action=logout")


def feed(writer, count=COUNT):
    writer.stdin.write(b"".join(b"user=%d action=pay\n" % number for number in range(count)))


def until_written(host, count):
    until(lambda: host.output.exists() and len(host.output.read_bytes().split(b"\n")) > count, f"{count} lines")


@contextmanager
def killed(process):
    """Kill a process after the block."""
    with process:
        try:
            yield process
        finally:
            process.kill()


def rob(host, writer, count=COUNT):
    """Wait until lines are there, take the writer's memory, and forge once the log was closed by another one."""
    until_written(host, count)
    host.take_memory(writer.pid)
    return forged_after(host, writer)


def forged_after(host, writer):
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    host.library("user=1 action=after")
    return host.forged()


@pytest.mark.parametrize("command", [("seal", "payments", "-o", "audit.log"), ("run", "payments", "-o", "audit.log")])
def test_in_a_command(remembering, command):
    """The state of the open chain, as the key store had handed it over."""
    begin(remembering)
    more = ("--", "sh", "-c", "seq 3000; exec sleep 60") if command[0] == "run" else ()
    with killed(remembering.start(*command, *more)) as writer:
        if not more:
            feed(writer)
        assert rob(remembering, writer) == []


WRITES = """
for number in range(2000):
    log.write(f"user={number} action=pay")
print("ready", flush=True)
sys.stdin.read()
"""
OPENS = "log = tallystick.open('payments', output='audit.log')"
WAYS = {
    "a log": OPENS,
    "a log of small chains": (
        "log = tallystick.open('payments', output='audit.log', epoch_lines=4)\n"
        "for number in range(1500): log.write('user=0 action=wait')"
    ),
    "a chain that was fetched early": (
        "log = tallystick.open('payments', output='audit.log', epoch_lines=4)\n"
        "for number in range(600): log.write('user=0 action=wait')\n"
        "while not log.is_ahead: time.sleep(0.01)\n"
        "for number in range(500): log.write('user=0 action=wait')"
    ),
    "a log that it moved to another custody": (
        "from tallystick.moving import migrate\n"
        "migrate('payments', to_custody='master-key:OTHER_MASTER_KEY')\n" + OPENS
    ),
    "a log that it moved to another place": (
        "from tallystick.moving import migrate\n"
        "migrate('payments', to_store='file:' + os.path.abspath('there'))\n"
        "log = tallystick.open('payments', output='audit.log', store='file:' + os.path.abspath('there'))"
    ),
    "a log to which it gave new keys": (
        "from tallystick.moving import rekey\n"
        "rekey('payments', output='audit.log', key_file='second.key')\n" + OPENS
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_in_a_program_that_writes(remembering, way):
    """The same, in a process of somebody else, which can be dumped and lives for long."""
    host = remembering
    host.env |= {"OTHER_MASTER_KEY": "B" * 42 + "E"}
    begin(host)
    with killed(host.python(f"import os, sys, time, tallystick\n{WAYS[way]}\n{WRITES}")) as writer:
        assert writer.stdout.readline() == b"ready\n"
        if "another place" in way:
            host.url = f"file:{host.path}/there"
        if "new keys" in way:
            host.keys.append(host.path / "second.key")
            host.record()
        assert rob(host, writer) == []


def test_in_a_program_that_also_set_the_log_up(tmp_path, remembering):
    """`create` had the text of the first state in this process."""
    host = remembering
    shutil.rmtree(host.store)
    host.keys = [tmp_path / "new.key"]
    script = f"tallystick.create('payments', custody={host.custody!r}, key_file='new.key')\n{OPENS}\n{WRITES}"
    with killed(host.python(f"import os, sys, time, tallystick\n{script}")) as writer:
        assert writer.stdout.readline() == b"ready\n"
        host.logs.clear()
        host.record()
        assert rob(host, writer) == []


@pytest.mark.parametrize("what", ["a core dump", "a forked child"])
def test_in_what_a_program_leaves(remembering, tmp_path, what):
    if shutil.which("gcore") is None:
        missing("gcore", "apt install gdb")
    host = remembering
    begin(host)
    fork = "if (pid := os.fork()) == 0: time.sleep(60)\nprint(pid, flush=True)"
    with killed(host.python(f"import os, sys, time, tallystick\n{OPENS}\n{fork}\n{WRITES}")) as writer:
        child = int(writer.stdout.readline())
        assert writer.stdout.readline() == b"ready\n"
        if what == "a core dump":
            subprocess.run(["gcore", "-o", tmp_path / "core", str(writer.pid)], check=True, capture_output=True)
            host.take((tmp_path / f"core.{writer.pid}").read_bytes())
        else:
            host.take_memory(child)
        os.kill(child, signal.SIGKILL)
        until_written(host, COUNT)
        assert forged_after(host, writer) == []


def test_with_a_state_in_its_memory_it_would_be_forged(remembering):
    """That all this can fail: a program that holds what it should not."""
    begin(remembering)
    holds = "import base64\nheld = base64.b64encode(open('store/payments/state', 'rb').read())"
    with killed(remembering.python(f"import os, sys, time, tallystick\n{holds}\n{OPENS}\n{WRITES}")) as writer:
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(1)
        (made,) = rob(remembering, writer)
    assert made.endswith("lines since chain 2")
