"""Where memory cannot be locked nothing is sealed, and who dumps a writer's memory needs the right to."""

import os
import resource
import signal
import subprocess
import sys

import pytest

from tests.places import COMMAND
from tests.processes import Started
from tests.servers import program


def without_locked_memory(site, *arguments, stdin=b""):
    """Run `tallystick` where it may lock no memory: root may by a capability, everybody by a limit."""
    prlimit, setpriv = (program(name, "apt install util-linux") for name in ("prlimit", "setpriv"))
    command = [prlimit, "--memlock=0:0", setpriv, "--bounding-set", "-ipc_lock", "--inh-caps", "-ipc_lock", COMMAND]
    return subprocess.run(
        [*command, *arguments], cwd=site.path, env=site.env, input=stdin, capture_output=True, check=False, timeout=60
    )


@pytest.mark.parametrize("what", ["init", "seal"])
def test_without_locked_memory_no_key_is_made_and_nothing_is_sealed(site, what):
    arguments = {
        "init": ("init", "other", "--custody", site.custody, "--verification-key", "other.key"),
        "seal": ("seal", "payments", "-o", "audit.log"),
    }[what]
    done = without_locked_memory(site, *arguments, stdin=b"user=7 action=login\n")
    assert done.returncode == 4
    assert done.stderr == (
        b"tallystick: keys cannot be kept in locked memory: raise its limit (ulimit -l 64, for systemd "
        b"LimitMEMLOCK=64K in the unit, for Docker --ulimit memlock=65536, for Kubernetes LimitMEMLOCK=64K in the unit "
        b"of the node's container runtime), and allow mlock and madvise where system calls are filtered\n"
    )
    assert not (site.path / "other.key").exists()
    assert not (site.path / "audit.log").exists() or site.read() == b""
    site.seal(b"user=7 action=login\n")  # the next writer, with locked memory, goes on
    assert site.verdict()[0] == "ok"


def test_verifying_works_without_locked_memory(site):
    site.seal(b"user=7 action=login\n")
    done = without_locked_memory(site, "verify", "audit.log", "--key", "payments.key")
    assert (done.returncode, done.stderr) == (0, b"")


def crashed_with_a_core_dump(process):
    process.send_signal(signal.SIGSEGV)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == -signal.SIGSEGV
    return os.WCOREDUMP(status)


def may_dump():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.mark.parametrize("command", [("seal", "payments"), ("run", "payments", "--", "sh", "-c", "echo; exec sleep 9")])
def test_a_writer_that_crashes_leaves_no_core_dump(site, command):
    other = Started([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, cwd=site.path, preexec_fn=may_dump)
    with other:
        if not crashed_with_a_core_dump(other):
            pytest.fail("nothing leaves core dumps here, so this cannot be told; see core(5)")
    with site.spawn(*command, preexec_fn=may_dump) as writer:
        writer.stdin.write(b"user=7 action=login\n")
        assert b" tally=" in writer.stdout.readline()  # it has its keys
        assert not crashed_with_a_core_dump(writer)
