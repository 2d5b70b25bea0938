"""Input in UTF-16 or UTF-32: refused with the reason, or sealed as UTF-8 on request; all else passes unchanged."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import SealError, explain
from tallystick.unicode import BEGINNING, ENCODINGS, Input, recognised
from tests.sealed import entries

TEXT = "erste Zeile\r\nzweite: \u010a\u0a0d \U0001f600\n\nlast"
LINES = [b"erste Zeile", "zweite: \u010a\u0a0d \U0001f600".encode(), b"", b"last"]
FORMS = [name for name in ENCODINGS if name.startswith("utf")]


class Taken:
    """Takes bytes as a splitter does."""

    def __init__(self):
        self.data, self.ended = b"", False

    def feed(self, data):
        self.data += data

    def finish(self):
        self.ended = True


def fed(pieces, asked):
    taken = Taken()
    feed_all(Input(taken, "standard input", asked), pieces)
    assert taken.ended
    return taken.data


def feed_all(way, pieces):
    for piece in pieces:
        way.feed(piece)
    way.finish()


def cut(data, rng):
    pieces = []
    while data:
        size = rng.choice([1, 2, 3, 7, 50])
        pieces.append(data[:size])
        data = data[size:]
    return pieces


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("seed", range(2))
def test_it_is_sealed_as_utf_8_on_request_however_the_pieces_fall(name, mark, seed):
    pieces = cut((mark + TEXT).encode(name), random.Random(seed))
    assert fed(pieces, "auto") == TEXT.encode()
    assert fed(pieces, name).removeprefix("\ufeff".encode()) == TEXT.encode()


@pytest.mark.parametrize("text", ["ok\n", "\n\n", "a line of its own", "\ufeff", "\ufeff\u4e2d\u6587\n"])
@pytest.mark.parametrize("name", FORMS)
def test_it_is_refused_otherwise(name, text):
    taken = Taken()
    way = Input(taken, "standard input", None)
    with pytest.raises(SealError) as problem:
        feed_all(way, cut(text.encode(name), random.Random(1)))
    said = explain(problem.value)
    assert f"standard input is {name[:6].upper()}, whose characters would be torn" in said
    assert "--encoding auto seals it as UTF-8" in said
    assert taken.data == b""


@given(st.lists(st.binary(max_size=40)))
def test_bytes_that_were_asked_for_pass_as_they_are(pieces):
    assert fed(pieces, "bytes") == b"".join(pieces)


@given(
    st.lists(st.binary(max_size=9) | st.sampled_from([b"\0", b"a\0", b"\n\0", b"\0a", b"\xff", b"\xfe", b"\0\0\xfe"]))
)
def test_what_is_done_depends_on_the_bytes_alone_not_on_how_they_fall(pieces):
    data = b"".join(pieces)
    if recognised(data[:BEGINNING]) is None:
        assert fed(pieces, None) == fed(pieces, "auto") == data
    else:
        way = Input(Taken(), "standard input", None)
        with pytest.raises(SealError):
            feed_all(way, pieces)


@given(st.lists(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])).map(str.encode)))
def test_utf_8_passes_as_it_is_whatever_is_asked(pieces):
    assert fed(pieces, None) == fed(pieces, "auto") == b"".join(pieces)


@pytest.mark.parametrize("line", [b"\n", b"a\n", b"\xff\xfd\n", b"\xef\xbb\xbfmarked\n", b"a\0b\n", b"\0a\nb\n"])
def test_a_whole_line_of_bytes_is_not_held(line):
    taken = Taken()
    Input(taken, "standard input", None).feed(line)
    assert taken.data == line


def test_half_of_a_pair_is_written_so_that_it_can_be_read():
    assert fed([b"\xff\xfea\0\x3d\xd8b\0\n\0"], "auto") == b"a\\ud83db\n"


@pytest.mark.parametrize(("data", "where"), [
    (b"\xff\xfea\0\n\0b", "ends inside of a character; its bytes from 62 on"),
    (b"\xff\xfe\0\0a\0\0\0\n\0\0\0\0\0\x11\0", "is no UTF-32 any more; its bytes from 00001100 on"),
])  # fmt: skip
def test_what_is_no_text_is_reported_and_lines_before_it_are_sealed(data, where):
    taken = Taken()
    way = Input(taken, "standard input", "auto")
    with pytest.raises(SealError, match=where):
        feed_all(way, [data])
    assert (taken.data, taken.ended) == (b"a\n", True)


# The commands


@pytest.mark.parametrize("source", ["pipe", "file", "redirected"])
def test_seal_refuses_it(site, source):
    (site.path / "in").write_bytes(TEXT.encode("utf-16"))
    before = site("status").out
    with open(site.path / "in", "rb") as redirected:
        given = {"pipe": TEXT.encode("utf-16"), "redirected": redirected}.get(source, b"")
        done = site("seal", "payments", *(["in"] if source == "file" else []), "-o", "audit.log", stdin=given)
    called = "in" if source == "file" else "standard input"
    assert (done.status, done.err.count("\n")) == (4, 1)
    assert f"tallystick: {called} is UTF-16, whose characters would be torn" in done.err
    if source == "pipe":
        assert entries(site.read()) == []
        assert site.verdict() == ("ok", [])
    else:
        assert (site("status").out, (site.path / "audit.log").exists()) == (before, False)


def test_seal_writes_it_as_utf_8_beside_a_file_of_bytes(site):
    (site.path / "a").write_bytes(TEXT.encode("utf-16"))
    (site.path / "b").write_bytes("grüße\n".encode())
    assert site("seal", "payments", "a", "b", "--encoding", "auto", "-o", "audit.log").status == 0
    assert entries(site.read()) == [*LINES, "grüße".encode()]
    assert site.verdict() == ("ok", [])


def test_seal_takes_its_bytes_on_request(site):
    assert site("seal", "payments", "--encoding", "bytes", "-o", "audit.log", stdin=b"\xff\xfea\0\n\0").status == 0
    assert entries(site.read()) == [b"\xff\xfea\0", b"\0"]


def test_run_refuses_it_and_ends_the_command(site):
    script = "printf 'a\\0b\\0c\\0d\\0\\n\\0'; sleep 100"
    done = site("run", "payments", "-o", "audit.log", "--", "sh", "-c", script)
    assert done.status == 4
    assert "the output of COMMAND is UTF-16" in done.err
    assert "COMMAND is ended" in done.err


def test_run_seals_it_as_utf_8_and_the_other_stream_as_it_comes(site):
    script = "printf 'a\\0b\\0c\\0d\\0\\n\\0'; echo error >&2"
    assert site("run", "payments", "-o", "audit.log", "--encoding", "auto", "--", "sh", "-c", script).status == 0
    assert sorted(entries(site.read())) == [b"abcd", b"error"]
    assert site.verdict() == ("ok", [])
