"""From pieces to lines: nothing is lost, changed or joined, however the pieces fall."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.lines import Splitter

LONGEST = 10


class Log:
    """Takes lines as a log does: one CR at the end of a line is dropped."""

    def __init__(self):
        self.lines = []

    def write_lines(self, data):
        assert data.endswith(b"\n")
        self.lines += [line.removesuffix(b"\r") for line in data[:-1].split(b"\n")]
        return len(data)

    def notice(self, kind, text):
        self.lines.append(f"[{kind}] {text}".encode())


def split(*pieces, longest=LONGEST):
    log = Log()
    splitter = Splitter(log, longest=longest)
    for piece in pieces:
        splitter.feed(piece)
    splitter.finish()
    assert all(len(line) <= longest or line.startswith(b"[split] ") for line in log.lines)
    return log.lines


def expected(data):
    return [line.removesuffix(b"\r") for line in data.removesuffix(b"\n").split(b"\n")] if data else []


def test_nothing_gives_nothing():
    assert split() == split(b"") == []


def test_empty_lines_are_lines():
    assert split(b"\n\r\n\n") == [b"", b"", b""]


def test_a_line_is_handed_on_as_soon_as_it_is_whole():
    log = Log()
    splitter = Splitter(log)
    splitter.feed(b"one\ntw")
    assert log.lines == [b"one"]
    splitter.feed(b"o\n")
    assert log.lines == [b"one", b"two"]


def test_the_end_of_a_line_is_written_together_with_the_lines_after_it():
    log, writes = Log(), []
    log.write_lines = lambda data: writes.append(data) or len(data)
    splitter = Splitter(log)
    for piece in (b"one\ntw", b"o\nthree\nfo", b"ur\n"):
        splitter.feed(piece)
    assert writes == [b"one\n", b"two\nthree\n", b"four\n"]


def test_a_last_line_without_an_end_is_a_line():
    assert split(b"one\ntwo") == [b"one", b"two"]


def test_after_finish_a_new_line_begins():
    log = Log()
    splitter = Splitter(log)
    splitter.feed(b"end of one")
    splitter.finish()
    splitter.feed(b"begin of two\n")
    assert log.lines == [b"end of one", b"begin of two"]


@given(st.lists(st.binary(max_size=12).map(lambda data: data[: LONGEST // 2])))
def test_lines_do_not_depend_on_how_the_pieces_fall(pieces):
    data = b"".join(pieces)
    assert split(*pieces, longest=1000) == expected(data)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_the_longest_allowed_line_passes_whole(end):
    line = b"x" * LONGEST
    assert split(line + end) == [line]
    assert split(*(bytes([c]) for c in line + end)) == [line]


@pytest.mark.parametrize("more", [b"", b"next\n" * 5])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_one_byte_more_is_split_and_the_log_says_so(end, more):
    assert split(b"x" * LONGEST + b"y" + end + more)[:4] == [
        b"[split] a line of more than 10 bytes follows in parts",
        b"x" * LONGEST,
        b"y",
        b"[split] end of the line of 11 bytes in 2 parts",
    ]


def test_a_part_that_ends_in_cr_keeps_it():
    assert split(b"x" * 9 + b"\r" + b"y\n")[1:3] == [b"x" * 9 + b"\r", b"y"]


def test_cr_inside_of_lines_is_no_line_end_even_beside_a_line_that_is_too_long():
    lines = split(b"a\rb\n" + b"x" * 25 + b"\n" + b"c\rd\n")
    assert (lines[0], lines[-1]) == (b"a\rb", b"c\rd")


def test_a_line_that_is_too_long_and_has_no_end_is_split_before_it_ends():
    log = Log()
    splitter = Splitter(log, longest=LONGEST)
    for _ in range(5):
        splitter.feed(b"x" * LONGEST)
    assert log.lines.count(b"x" * LONGEST) == 4
    splitter.finish()
    assert log.lines.count(b"x" * LONGEST) == 5
    assert log.lines[-1] == b"[split] end of the line of 50 bytes in 5 parts"


@pytest.mark.parametrize("seed", range(300))
def test_no_byte_is_lost_where_lines_are_too_long(seed):
    rng = random.Random(seed)
    data = bytes(rng.choice(b"\n\r\rabcdefghijklmnop") for _ in range(rng.randrange(200)))
    pieces, at = [], 0
    while at < len(data):
        size = rng.choice([1, 2, 5, 30, 200])
        pieces.append(data[at : at + size])
        at += size
    lines, parts = [], None
    for line in split(*pieces):
        if line.startswith(b"[split] a line"):
            parts = []
        elif line.startswith(b"[split] end"):
            lines.append(b"".join(parts))
            assert line == b"[split] end of the line of %d bytes in %d parts" % (len(lines[-1]), len(parts))
            parts = None
        else:
            (lines if parts is None else parts).append(line)
    assert lines == expected(data)
