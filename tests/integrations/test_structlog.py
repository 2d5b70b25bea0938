"""structlog: its last processor's text becomes a sealed line."""

import io
import json

import pytest
import structlog

from tallystick.errors import SealError
from tallystick.integrations.structlog import SealingLoggerFactory, render_canonical
from tests.integrations.test_logging import place

__all__ = ["place"]


@pytest.fixture(autouse=True)
def configured():
    yield
    structlog.reset_defaults()


def configure(factory, *processors):
    structlog.configure(
        logger_factory=factory, processors=[*processors, render_canonical], cache_logger_on_first_use=False
    )
    return structlog.get_logger("audit")


def test_an_event_becomes_one_sealed_json_line(place):
    factory = SealingLoggerFactory("payments", place.output, store=place.store)
    log = configure(factory, structlog.processors.add_log_level, structlog.stdlib.add_logger_name)
    log.bind(user=7).warning("login", tally="mine", text="a\nb")
    factory.close()
    (entry,) = place.entries()
    assert json.loads(entry) == {
        "event": "login", "level": "warning", "logger": "audit", "tally_": "mine", "text": "a\nb", "user": 7,
    }  # fmt: skip
    assert place.verify() == ("ok", [])


@pytest.mark.parametrize("method", ["debug", "info", "warning", "error", "critical", "exception", "msg", "log"])
def test_every_method_seals(place, method):
    with_method = SealingLoggerFactory("payments", place.output, store=place.store)
    getattr(with_method(), method)("said")
    with_method.close()
    assert place.entries() == [b"said"]


def test_plain_text_with_line_ends_is_one_line(place):
    factory = SealingLoggerFactory("payments", place.output, store=place.store)
    structlog.configure(logger_factory=factory, processors=[structlog.processors.KeyValueRenderer()])
    structlog.get_logger().info("one\ntwo")
    factory("x").info("a\nb")
    factory.close()
    assert place.entries() == [b"event='one\\\\ntwo'", b"a\\nb"]
    assert place.verify() == ("ok", [])


def test_lines_go_to_a_stream_too(place):
    stream = io.StringIO()
    factory = SealingLoggerFactory("payments", stream=stream, store=place.store)
    configure(factory).info("one")
    factory.close()
    place.output.write_text(stream.getvalue())
    assert place.entries() == [b'{"event":"one"}']
    assert place.verify() == ("ok", [])


def test_a_file_and_a_stream_at_once_are_refused(place):
    with pytest.raises(ValueError, match="not to both"):
        SealingLoggerFactory("payments", place.output, stream=io.StringIO(), store=place.store)


def test_a_line_that_cannot_be_sealed_raises_where_that_is_asked_for(place):
    factory = SealingLoggerFactory("payments", place.output, store=place.store, on_error="raise")
    log = configure(factory)
    factory.close()
    with pytest.raises(SealError, match="is closed"):
        log.info("late")
