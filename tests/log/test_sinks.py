"""Where sealed lines go: what was taken is there, what was not is told (spec section 6)."""

import errno
import os
import socket
import threading
import time
from contextlib import suppress

import pytest

from tallystick.errors import OutputError, SealError
from tallystick.sinks import FileSink, Followed, StreamSink, open_sink
from tallystick.sinks.base import Awaited


@pytest.fixture
def opened():
    sinks = []

    def start(output):
        sinks.append(open_sink(output))
        return sinks[-1]

    yield start
    for sink in sinks:
        sink.close()


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def write(sink, data):
    sink.output.put(data)
    sink.push()


def test_a_file_is_made_and_appended_to(opened, tmp_path):
    for _ in range(2):
        write(opened(tmp_path / "log"), b"line\n")
    assert (tmp_path / "log").read_bytes() == b"line\nline\n"


@pytest.mark.parametrize(
    ("there", "expected"), [(b"", b"x\n"), (b"a\n", b"a\nx\n"), (b"a", b"a\nx\n"), (b"\n", b"\nx\n")]
)
def test_a_file_that_does_not_end_in_lf_gets_one_first(opened, tmp_path, there, expected):
    (tmp_path / "log").write_bytes(there)
    write(opened(tmp_path / "log"), b"x\n")
    assert (tmp_path / "log").read_bytes() == expected


def test_a_file_that_nothing_is_written_to_stays_as_it_is(opened, tmp_path):
    (tmp_path / "log").write_bytes(b"a")
    opened(tmp_path / "log")
    assert (tmp_path / "log").read_bytes() == b"a"


@pytest.mark.parametrize("size", [0, 1, 65_534, 65_535, 65_536, 65_537, 200_000])
def test_the_tail_gives_lines_the_last_one_first_be_it_whole_or_not(opened, tmp_path, size):
    whole = [b"first", b"x" * size, b"", b"last"]
    (tmp_path / "log").write_bytes(b"".join(line + b"\n" for line in whole) + b"torn")
    assert list(opened(tmp_path / "log").tail()) == [b"torn", *whole[::-1]]


def test_the_tail_of_an_empty_file_is_empty(opened, tmp_path):
    assert list(opened(tmp_path / "log").tail()) == []


def test_a_file_is_found_behind_a_descriptor_and_a_pipe_is_a_stream(opened, tmp_path, pipe):
    with open(tmp_path / "log", "wb") as file:
        assert isinstance(opened(file.fileno()), FileSink)
    assert isinstance(opened(pipe[1]), StreamSink)


def test_a_named_pipe_takes_lines(opened, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    reading = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    sink = opened(tmp_path / "fifo")
    write(sink, b"line\n")
    assert os.read(reading, 100) == b"line\n"
    sink.close()
    os.close(reading)


def test_a_stream_takes_all_bytes_even_where_it_does_not_block(opened, pipe):
    reading, writing = pipe
    os.set_blocking(writing, False)
    data, got = b"x" * 1_000_000, bytearray()

    def read():
        while len(got) < len(data):
            time.sleep(0.001)
            got.extend(os.read(reading, 65_536))

    reader = threading.Thread(target=read)
    reader.start()
    write(opened(writing), data)
    reader.join(10)
    assert got == data


def test_a_socket_takes_lines(opened):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        write(opened(ours.fileno()), b"line\n")
        assert theirs.recv(100) == b"line\n"


def test_a_drain_waits_for_the_reader_of_a_pipe_but_not_for_ever(opened, pipe):
    sink = opened(pipe[1])
    write(sink, b"line\n")
    began = time.monotonic()
    sink.drain(5)
    assert StreamSink.INTERVAL <= time.monotonic() - began < StreamSink.INTERVAL + 1
    os.read(pipe[0], 100)
    began = time.monotonic()
    sink.drain(5)
    assert time.monotonic() - began < StreamSink.INTERVAL


def test_a_drain_ends_a_sync(opened, pipe):
    sink = opened(pipe[1])
    StreamSink.INTERVAL, before = 30, StreamSink.INTERVAL
    try:
        waiting = threading.Thread(target=sink.sync)
        waiting.start()
        sink.drain(5)
        waiting.join(5)
        assert not waiting.is_alive()
    finally:
        StreamSink.INTERVAL = before


def test_a_disk_that_fails_is_reported_by_sync(opened, tmp_path, monkeypatch):
    sink = opened(tmp_path / "log")

    def fail(fd):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        with pytest.raises(SealError, match="input/output error; the lines may not be on the disk"):
            sink.sync()


def test_the_name_of_a_new_file_is_made_durable_too(tmp_path, monkeypatch, opened):
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd)))
    opened(tmp_path / "log")
    opened(tmp_path / "log")
    assert synced == [str(tmp_path)]


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_a_descriptor_stays_the_caller_s_to_close(opened, tmp_path, pipe, kind):
    with open(tmp_path / "log", "wb") as file:
        fd = file.fileno() if kind == "file" else pipe[1]
        opened(fd).close()
        assert os.write(fd, b"still open") == 10


def test_an_invalid_descriptor_is_reported():
    with pytest.raises(SealError, match="file descriptor 9999: bad file descriptor"):
        open_sink(9999)


def test_closing_twice_closes_once(opened, tmp_path):
    sink = opened(tmp_path / "log")
    sink.close()
    with open(tmp_path / "other", "wb") as other:  # which gets the descriptor's number
        sink.close()
        other.write(b"still open")
    assert (tmp_path / "other").read_bytes() == b"still open"


def test_a_reader_that_takes_nothing_is_waited_for_until_a_moment_and_bytes_stay(opened, pipe):
    sink = opened(pipe[1])
    sink.hurry(time.monotonic() + 0.2)
    sink.output.put(b"x" * 200_000)
    began = time.monotonic()
    with pytest.raises(OutputError, match="its reader takes nothing"):
        sink.push()
    assert 0.2 <= time.monotonic() - began < 5
    assert sink.output.pending >= 100_000
    got = bytearray()
    while sink.output.pending:
        got += os.read(pipe[0], 65_536)
        with suppress(OutputError):
            sink.push()
    assert got + os.read(pipe[0], 65_536) == b"x" * 200_000


def test_a_sync_that_hangs_is_not_waited_for_any_longer_when_the_writer_leaves(opened, tmp_path, monkeypatch):
    sink, hanging, going = opened(tmp_path / "log"), threading.Event(), threading.Event()

    def hangs(fd):
        hanging.set()
        going.wait(10)

    monkeypatch.setattr(os, "fdatasync", hangs)
    other = threading.Thread(target=sink.sync)
    other.start()
    assert hanging.wait(5)
    with pytest.raises(SealError, match="the disk does not answer; the lines may not be on the disk"):
        sink.drain(0.05)
    going.set()
    other.join()
    sink.drain(5)


def test_only_files_can_be_followed_and_only_streams_have_readers(opened, tmp_path, pipe):
    kinds = [opened(tmp_path / "log"), opened(pipe[1]), opened(print)]
    assert [isinstance(each, Followed) for each in kinds] == [True, False, False]
    assert [isinstance(each, Awaited) for each in kinds] == [False, True, False]
