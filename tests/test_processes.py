"""Processes of tests end: a rule that a program can check, and what the rule leads to."""

import ast
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tallystick import _core
from tests import couriers, preloaded
from tests.preloaded import Running
from tests.processes import Started
from tests.servers import until

TESTS = Path(__file__).resolve().parent
OWN = {"processes.py", "preloaded.py", "couriers.py", "carriers/make.py"}  # the mechanism; a server of ours; a script
FOR_EVER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


def started_bare(tree: ast.AST) -> list[int]:
    """Lines that start a process for which a block that fails waits for ever."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [call.lineno for call in calls if ast.unparse(call.func).split(".")[-1] == "Popen"]


def test_tests_start_processes_that_end() -> None:
    modules = {str(path.relative_to(TESTS)): path for path in TESTS.rglob("*.py")}
    assert len(modules) > 200
    found = {name: started_bare(ast.parse(path.read_text())) for name, path in modules.items() if name not in OWN}
    assert {name: lines for name, lines in found.items() if lines} == {}, "use tests.processes.Started"


@pytest.mark.parametrize(("text", "count"), [("with subprocess.Popen(c): pass", 1), ("Popen(c)", 1), ("Started(c)", 0)])
def test_bare_starts_are_found(text: str, count: int) -> None:
    assert len(started_bare(ast.parse(text))) == count


def test_a_block_that_fails_ends_its_process() -> None:
    process = Started(FOR_EVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def block() -> None:
        with process:
            process.stdout.readline()
            process.stdin.write(b"unread")  # which would raise as it is closed, and hide what failed
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()
    assert process.returncode == -9


def test_a_fork_that_goes_on_is_read_and_written_as_a_process_is() -> None:
    program = "import sys\nfor line in sys.stdin:\n    print(line.upper(), end='', flush=True)\nsys.exit(3)"
    with Running([], program, stdin=subprocess.PIPE, text=False) as process:
        process.stdin.write(b"one\n")
        assert process.stdout.readline() == b"ONE\n"
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        assert process.communicate(b"two\n") == (b"TWO\n", b"")
    assert process.returncode == 3


def test_a_fork_has_the_streams_and_the_directory_that_it_is_given(tmp_path) -> None:
    program = "import os, sys\nprint(os.getcwd(), flush=True)\nprint('said', file=sys.stderr)"
    with open(tmp_path / "out", "wb") as out:
        process = Running([], program, cwd=tmp_path, stdout=out, stderr=subprocess.STDOUT)
        assert (process.wait(), process.stdout, process.stderr) == (0, None, None)
    assert (tmp_path / "out").read_text() == f"{tmp_path}\nsaid\n"


def test_a_courier_of_the_tests_process_is_its_child_and_has_nothing_but_what_it_was_given() -> None:
    page, (ours, theirs) = _core.Handover(), socket.socketpair()
    given = [theirs.fileno(), page.fileno()]
    command = [sys.executable, "-P", "-m", "tallystick.courier", *map(str, given)]
    process = couriers.Forked(command, pass_fds=given, env={**os.environ})
    place = Path(f"/proc/{process.pid}")
    try:
        assert int((place / "stat").read_text().rsplit(") ", 1)[1].split()[1]) == os.getpid()
        held = {int(each.name): os.readlink(each) for each in (place / "fd").iterdir()}
        assert held.keys() >= {0, 1, 2, *given}
        assert {held[each] for each in held.keys() - {0, 1, 2, theirs.fileno()}} == {held[page.fileno()]}
        assert (place / "cwd").readlink() == Path.cwd()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        theirs.close()
        ours.close()
    assert process.wait() == -signal.SIGKILL


SAYS = """
echo one | tallystick seal payments -o audit.log; echo $?
tallystick verify audit.log --key none 2>&1; echo $?
tallystick cat audit.log --key payments.key | wc -l
rm audit.log
tallystick run payments -o audit.log -- sh -c 'echo up; exec sleep 60' & until test -s audit.log; do sleep 0.02; done
kill %1; wait %1; echo $?
tallystick cat <(cat audit.log) --key payments.key || true
"""


@pytest.mark.parametrize("kind", ["installed", "forking"])
def test_a_shell_cannot_tell_a_command_that_forks_from_the_installed_one(site, kind) -> None:
    (site.path / "bin").mkdir()
    line = preloaded.put_command(site.path / "bin")
    if kind == "installed":
        (site.path / "bin" / "tallystick").unlink()
    env = site.env | {"PATH": f"{site.path}/bin:{site.bin}:{site.env['PATH']}"}
    shell = ["bash", "-c", SAYS]
    done = subprocess.run(shell, cwd=site.path, env=env, pass_fds=[line], capture_output=True, text=True, check=True)
    no_key = "tallystick: none: no such file or directory; check the name of the key"
    assert done.stdout.splitlines() == ["0", no_key, "4", "1", "143", "up"]


def test_a_block_that_fails_ends_its_fork() -> None:
    def block() -> None:
        with Running([], "import time; time.sleep(600)") as process:
            started.append(process)
            raise ZeroDivisionError

    started: list[Running] = []
    with pytest.raises(ZeroDivisionError):
        block()
    assert started[0].returncode == -9


def test_forks_end_with_the_process_that_had_them_started() -> None:
    program = "import sys; from tests.preloaded import Running\nprint(Running([], 'import time; time.sleep(600)').pid)"
    done = subprocess.run([sys.executable, "-c", program], cwd=TESTS.parent, capture_output=True, check=True)
    until(lambda: not Path(f"/proc/{int(done.stdout)}").exists(), "its end")


def test_a_process_that_does_not_end_in_time_is_killed_and_reported(monkeypatch) -> None:
    monkeypatch.setattr("tests.processes.LIMIT", 0.1)
    with pytest.raises(subprocess.TimeoutExpired), Started(FOR_EVER) as process:
        pass
    process.wait()
    assert process.returncode == -9
