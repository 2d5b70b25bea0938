"""What an output may be: descriptors by their names, files that one may only write, files without a name."""

import os
import socket
import subprocess
import sys
import tempfile

import pytest

from tallystick.errors import SealError
from tallystick.sinks import FileSink, StreamSink, open_sink
from tallystick.sinks.places import resolved
from tallystick.sinks.rotation import Rotation
from tests.processes import Started

USER = 4242


def put(sink, data=b"line\n"):
    sink.output.put(data)
    sink.push()


@pytest.fixture
def opened():
    sinks = []

    def start(output, **more):
        sinks.append(open_sink(output, **more))
        return sinks[-1]

    yield start
    for sink in sinks:
        sink.close()


def as_another_user(directory, code, fd=None):
    """Run code that has `path`, and maybe `fd`, as a user who owns nothing here and has no rights of root."""
    if os.geteuid() != 0:
        pytest.skip("only root becomes another user")
    program = (
        "import os, sys\n"
        "from tallystick.sinks import open_sink\n"
        "from tallystick.sinks.rotation import Rotation\n"
        "path, fd = sys.argv[1], int(sys.argv[2])\n"
        f"os.setgroups([])\nos.setresgid(*[{USER}] * 3)\nos.setresuid(*[{USER}] * 3)\n{code}"
    )
    for each in (directory, *directory.parents[:-1]):
        os.chmod(each, each.stat().st_mode | 0o001)
    done = subprocess.run(
        [sys.executable, "-c", program, str(directory / "audit.log"), str(fd or 0)],
        check=False, capture_output=True, text=True, pass_fds=[] if fd is None else [fd],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


WRITE_TWICE = """
for line in (b"one\\n", b"two\\n"):
    sink = open_sink(path)
    sink.output.put(line)
    sink.push()
    print(sink.look(reopen=False), list(sink.tail()), next(sink.sealed_lines(), None), sink.repaired)
    sink.close()
"""


def test_a_file_that_one_may_only_write_is_appended_to(tmp_path):
    (tmp_path / "audit.log").write_bytes(b"torn")
    os.chmod(tmp_path / "audit.log", 0o622)
    said = as_another_user(tmp_path, WRITE_TWICE)
    # Whether it ended in a line end cannot be seen, so there is one: an empty line counts as nothing.
    assert (tmp_path / "audit.log").read_bytes() == b"torn\none\n\ntwo\n"
    assert said == "[] [] None False\n" * 2


def test_a_file_that_another_user_opened_for_us_is_appended_to(tmp_path):
    path = tmp_path / "audit.log"
    path.write_bytes(b"before\n")
    os.chmod(path, 0o600)
    fd = os.open(path, os.O_WRONLY)  # without append, as a shell's 1<> opens it
    try:
        as_another_user(tmp_path, "sink = open_sink(fd)\nsink.output.put(b'line\\n')\nsink.push()", fd)
    finally:
        os.close(fd)
    assert path.read_bytes() == b"before\n\nline\n"


def test_a_directory_that_nobody_may_list_is_rotated_in_and_nothing_is_overwritten(tmp_path):
    place = tmp_path / "dark"
    place.mkdir()
    os.chown(place, USER, USER)
    os.chmod(place, 0o300)
    said = as_another_user(
        place,
        """
sink = open_sink(path, Rotation(size=1, keep=1, compress="gz"), print)
for line in (b"one\\n", b"two\\n", b"three\\n"):
    sink.output.put(line)
    sink.push()
    sink.rotate(1)
print(sink.newest_chain("aaaaaaaa"))
sink.close()
""",
    )
    os.chmod(place, 0o700)
    assert sorted(path.read_bytes() for path in place.glob("audit.log.*")) == [b"one\n", b"three\n", b"two\n"]
    assert said == f"rotated files in {place} cannot be listed: permission denied; they all stay\n0\n"


@pytest.mark.parametrize("how", ["memfd", "unlinked", "deleted before"])
def test_a_file_that_never_had_a_name_here_is_no_trouble(opened, tmp_path, how):
    if how == "memfd":
        file = os.fdopen(os.memfd_create("output"), "wb")
    elif how == "unlinked":
        file = tempfile.TemporaryFile(dir=tmp_path)  # noqa: SIM115
    else:
        file = open(tmp_path / "gone", "wb")  # noqa: SIM115
        os.unlink(tmp_path / "gone")
    with file:
        sink = opened(file.fileno())
        put(sink)
        assert isinstance(sink, FileSink)
        assert sink.look(reopen=True) == []
        assert os.fstat(file.fileno()).st_size == 5


def test_each_renaming_of_a_descriptor_s_file_is_reported_once_and_so_is_its_end(opened, tmp_path):
    first, second, third = (tmp_path / name for name in ("out", "out.1", "out.2"))
    with open(first, "wb") as file:
        sink = opened(file.fileno())
        said = []
        for old, new in ((first, second), (second, third), (third, None)):
            os.rename(old, new) if new else os.unlink(old)
            said.append(sink.look(reopen=False))
            assert sink.look(reopen=False) == []
    assert [len(each) for each in said] == [1, 1, 1]
    assert f"({first}) was renamed to {second} while it was written" in said[0][0]
    assert f"({second}) was renamed to {third} while it was written" in said[1][0]
    assert f"({third}) was removed while it was written: lines that no copy has are lost" in said[2][0]


def test_a_descriptor_s_file_that_has_another_name_left_is_not_reported_as_lost(opened, tmp_path):
    with open(tmp_path / "out", "wb") as file:
        os.link(tmp_path / "out", tmp_path / "other")
        sink = opened(file.fileno())
        os.unlink(tmp_path / "out")
        said = sink.look(reopen=False)
    assert len(said) == 1
    assert "lines go on in the same file, by another name" in said[0]


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}", "/proc/thread-self/fd/{}", "link"])
def test_a_name_of_an_open_descriptor_means_that_even_where_it_is_a_socket(opened, tmp_path, name):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        path = name.format(ours.fileno())
        if name == "link":
            path = tmp_path / "audit.log"
            path.symlink_to(f"/dev/fd/{ours.fileno()}")
        put(opened(path))
        assert theirs.recv(100) == b"line\n"


def test_an_open_file_that_is_named_by_its_descriptor_is_never_rotated(tmp_path):
    with open(tmp_path / "out", "ab") as file, pytest.raises(SealError, match="cannot be rotated"):
        open_sink(f"/dev/fd/{file.fileno()}", Rotation(size=1))


@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_the_open_file_of_another_process_takes_lines_and_is_never_rotated(opened, tmp_path, kind):
    with open(tmp_path / "out", "ab") as file:
        target = subprocess.PIPE if kind == "pipe" else file
        with Started(["cat"], stdin=subprocess.PIPE, stdout=target) as other:
            path = f"/proc/{other.pid}/fd/1"
            sink = opened(path)
            put(sink)
            assert isinstance(sink, StreamSink if kind == "pipe" else FileSink)
            with pytest.raises(SealError, match="cannot be rotated"):
                open_sink(path, Rotation(size=1))
            sink.close()
            got, _ = other.communicate()
    assert (got if kind == "pipe" else (tmp_path / "out").read_bytes()) == b"line\n"


def test_links_in_a_circle_are_reported(tmp_path):
    os.symlink("b", tmp_path / "a")
    os.symlink("a", tmp_path / "b")
    with pytest.raises(SealError, match="too many levels of symbolic links"):
        open_sink(tmp_path / "a")


@pytest.mark.parametrize("name", ["x/../audit.log", "./audit.log", "x//..//audit.log"])
def test_a_resolved_name_is_one_path(tmp_path, monkeypatch, name):
    (tmp_path / "elsewhere" / "y").mkdir(parents=True)
    (tmp_path / "x").symlink_to("elsewhere/y")
    monkeypatch.chdir(tmp_path)
    # Two dots after a link lead to the directory above the one that it means, as for the operating system.
    place = tmp_path / "elsewhere" if name.startswith("x") else tmp_path
    assert resolved(name) == str(place / "audit.log")
