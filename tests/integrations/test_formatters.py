"""What handlers write for any record: one line that loses nothing, and that no value can break."""

import io
import json
import logging
import logging.handlers
import pickle
import queue
import struct
import sys
import time
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tallystick.integrations.formatters import canonical, escape_line, unescape_line
from tallystick.integrations.logging import JSONFormatter, PlainFormatter, SealedFileHandler
from tallystick.integrations.structlog import render_canonical
from tests.cases import some
from tests.log.test_log import Place

LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


class Away:
    """A lazy object whose database does not answer, whatever it is asked."""

    @property
    def __class__(self):
        raise ConnectionError("the database is away")

    def __str__(self):
        raise ConnectionError("the database is away")

    __repr__ = __str__


class Leaves:
    """An object that ends the program when it is shown."""

    def __str__(self):
        raise SystemExit(3)

    __repr__ = __str__


def record(message="login of %s", *arguments, **extra):
    return logging.getLogger("audit").makeRecord(
        "audit", logging.WARNING, __file__, 1, message, arguments or ("kim",), None, extra=extra
    )


def sealed(place, *records, formatter=None):
    handler = SealedFileHandler("payments", place.output, store=place.store)
    if formatter is not None:
        handler.setFormatter(formatter)
    try:
        for each in records:
            handler.handle(each)
    finally:
        handler.close()
    assert place.verify() == ("ok", [])
    return [entry.decode() for entry in place.entries()]


@given(st.text(alphabet=st.sampled_from("\\nrxu01ab" + LINE_ENDS + "\x1b\x9b\u202eü")))
def test_a_line_is_one_line_and_its_escapes_can_be_undone(text):
    line = escape_line(text)
    assert len(line.splitlines()) <= 1
    assert line.isprintable()
    assert unescape_line(line) == text


@pytest.mark.parametrize("text", ["user=7", "C:\\temp\\audit", "ü 漢字 \\d+", "a\tb", "\\"])
def test_text_that_needs_no_escape_stays_as_it_is(text):
    assert escape_line(text) == text


STANDARD = logging.Formatter("%(asctime)s %(message)s")
STANDARD.default_time_format, STANDARD.default_msec_format = "%Y-%m-%dT%H:%M:%S", "%s.%03dZ"
STANDARD.converter = time.gmtime


@given(st.lists(st.tuples(st.floats(-1e9, 4e9), st.sampled_from([0, 0.5, 0.999]), st.sampled_from([None, "%H"]))))
def test_a_time_is_that_of_logging_whatever_came_before(times):
    ours = PlainFormatter("%(asctime)s %(message)s")
    for second, fraction, datefmt in times:
        ours.datefmt = STANDARD.datefmt = datefmt
        for created in (second, second // 1 + fraction, second):
            record = logging.makeLogRecord({"created": created, "msecs": created % 1 * 1000, "msg": "x"})
            assert ours.format(record) == STANDARD.format(record)
    STANDARD.datefmt = None


def test_a_time_follows_a_converter_and_a_format_that_change():
    ours = PlainFormatter("%(asctime)s")
    record = logging.makeLogRecord({"created": 3.25, "msecs": 250.0})
    found = [ours.format(record)]
    ours.default_time_format = "%S"
    found.append(ours.format(record))
    ours.converter = lambda seconds: time.gmtime(seconds + 7)
    found.append(ours.format(record))
    ours.default_msec_format = None
    found.append(ours.format(record))
    assert found == ["1970-01-01T00:00:03.250Z", "03.250Z", "10.250Z", "10"]


@pytest.mark.parametrize("end", [*LINE_ENDS, "\x1b[2J", "\u202e"])
def test_no_message_ends_a_plain_line_or_steers_a_terminal(place, end):
    (entry,) = sealed(place, record("a%sb", end))
    assert entry.isprintable()
    assert unescape_line(entry).endswith(f"a{end}b")


def test_a_traceback_in_a_plain_line_can_be_read_again(place):
    try:
        raise ValueError("one\ntwo \\n three")
    except ValueError:
        failed = logging.makeLogRecord({"name": "audit", "msg": "failed", "exc_info": sys.exc_info()})
    (entry,) = sealed(place, failed)
    assert "ValueError: one\ntwo \\n three" in unescape_line(entry)


@pytest.mark.parametrize("formatter", [JSONFormatter(), PlainFormatter("%(levelname)s %(name)s %(message)s %(user)s")])
def test_an_extra_field_that_cannot_be_shown_takes_nothing_from_the_record(place, formatter):
    (entry,) = sealed(place, record(user=Away()), formatter=formatter)
    for part in ("WARNING", "audit", "login of kim", "ConnectionError"):
        assert part in entry
    assert "not formatted" not in entry


def test_a_field_that_the_format_asks_for_and_the_record_lacks_takes_nothing_from_the_others(place):
    (entry,) = sealed(place, record(), formatter=logging.Formatter("%(message)s %(request_id)s"))
    assert entry.startswith("WARNING audit 'login of %s' ('kim',) (not formatted: ")


@pytest.mark.parametrize("inside", [{"a": Away()}, [Away()], {"deep": [{"er": Away()}]}])
def test_a_value_that_cannot_be_shown_deep_inside_takes_nothing_from_those_beside_it(inside):
    said = json.loads(canonical({"user": 7, "context": inside}))
    assert said["user"] == 7
    assert "ConnectionError" in json.dumps(said["context"])


@pytest.mark.parametrize("formatter", [JSONFormatter(), PlainFormatter("%(message)s %(user)s"), None])
def test_a_record_whose_value_leaves_the_program_is_sealed_before_the_program_ends(place, formatter):
    leaving = record("login of %s", Leaves()) if formatter is None else record(user=Leaves())
    with pytest.raises(SystemExit) as caught:
        sealed(place, leaving, formatter=formatter)
    assert caught.value.code == 3
    (entry,) = place.entries()
    assert b"login of" in entry
    assert place.verify() == ("ok", [])


@pytest.mark.parametrize(
    "value", ["tally", 'x"tally', ["tally"], {"in": "tally"}, {'"tally': 1}, {"tally": {"tally": 1}}]
)
def test_a_sealed_line_of_ours_is_json_whatever_a_value_holds(place, value):
    (entry,) = sealed(place, record(user=value), formatter=JSONFormatter())
    (line,) = [each for each in Path(place.output).read_bytes().splitlines() if b"login of kim" in each]
    said = json.loads(line)
    assert said["tally"].count(".") == 5
    assert json.loads(entry)["message"] == "login of kim"
    if not isinstance(value, dict):
        assert said["user"] == value


def test_records_that_came_through_a_socket_keep_exception_and_stack(place):
    try:
        raise ValueError("no such user")
    except ValueError:
        failed = logging.makeLogRecord(
            {
                "name": "audit",
                "msg": "failed",
                "exc_info": sys.exc_info(),
                "stack_info": "Stack: here",
                "levelname": "ERROR",
            }
        )
    wire = logging.handlers.SocketHandler("localhost", 0).makePickle(failed)
    (length,) = struct.unpack(">L", wire[:4])
    came = logging.makeLogRecord(pickle.loads(wire[4 : 4 + length]))
    assert came.exc_info is None
    said = json.loads(JSONFormatter().format(came))
    assert said["exception"].endswith("ValueError: no such user")
    assert said["stack"] == "Stack: here"


@pytest.mark.parametrize("formatter", [JSONFormatter(), PlainFormatter()])
def test_records_that_came_through_a_queue_keep_their_exception(place, formatter):
    waiting = queue.SimpleQueue()
    try:
        raise ValueError("no such user")
    except ValueError:
        failed = logging.makeLogRecord({"name": "audit", "msg": "failed", "exc_info": sys.exc_info()})
    logging.handlers.QueueHandler(waiting).handle(failed)
    (entry,) = sealed(place, waiting.get(), formatter=formatter)
    assert "ValueError: no such user" in entry


@pytest.mark.parametrize("how", [True, "exception", "triple"])
def test_structlogs_exceptions_are_written_out(how):
    try:
        raise ValueError("no such user")
    except ValueError as error:
        exc_info = {"exception": error, "triple": sys.exc_info()}.get(how, how)
        said = json.loads(render_canonical(None, "error", {"event": "failed", "exc_info": exc_info}))
    assert said["exception"].startswith("Traceback")
    assert said["exception"].endswith("ValueError: no such user")
    assert "exc_info" not in said


def test_an_exception_that_structlog_has_written_stays():
    output = io.StringIO()
    log = structlog.wrap_logger(
        structlog.PrintLogger(output), processors=[structlog.processors.format_exc_info, render_canonical]
    )
    try:
        raise ValueError("no such user")
    except ValueError:
        log.exception("failed")
    assert json.loads(output.getvalue())["exception"].endswith("ValueError: no such user")


@pytest.mark.parametrize("formatter", [JSONFormatter(), PlainFormatter()])
def test_a_record_longer_than_an_entry_is_split_and_the_log_says_so(place, formatter):
    long = "x" * (2**24 + 10)
    first, *parts, last = sealed(place, record("%s", long), formatter=formatter)
    assert first == "[split] a line of more than 16777216 bytes follows in parts"
    assert "".join(parts).count("x") >= len(long)
    assert last.startswith("[split] end of the line of ")


def test_a_record_as_long_as_an_entry_may_be_stays_whole(place):
    entries = sealed(place, record("%s", "é" * 2**23), formatter=logging.Formatter("%(message)s"))
    assert [len(entry) for entry in entries] == [2**23]


GROWING = {
    "surrogates": ("\ud800", 2**24 // 6 + 5, 6, ""),
    "surrogates in braces": ("\ud800", 2**24 // 6 + 5, 6, "{}"),
    "line ends in braces": ("\r", 2**24 - 9, 2, "{}"),
}


@pytest.mark.parametrize("kind", some(GROWING, ["surrogates", "line ends in braces"]))
def test_a_text_that_grows_when_it_is_written_is_split_and_not_refused(place, kind):
    """Somebody who chooses a field's length, and its letters, cannot keep the record out."""
    letter, count, size, braces = GROWING[kind]
    text = braces[:1] + letter * count + braces[1:]
    first, *parts, last = sealed(place, record("%s", text))
    assert first == "[split] a line of more than 16777216 bytes follows in parts"
    assert sum(map(len, parts)) >= size * (len(text) - 2)
    assert last.startswith("[split] end of the line of ")
