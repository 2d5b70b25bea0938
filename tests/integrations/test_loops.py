"""What else than records comes to a handler: what its key store's client logs, and values that break formatters."""

import json
import logging
import time

import pytest

from tallystick.integrations.formatters import canonical
from tallystick.integrations.logging import JSONFormatter
from tallystick.keystore.file import FileLease
from tests.integrations.test_logging import BARE, finished, logger, place, sealing

__all__ = ["logger", "place"]


def talks(monkeypatch, logger, seconds=0.0):
    """Have the key store's client log whenever it replaces a head, whichever thread does that."""
    replace = FileLease.replace_head

    def talking(lease, head):
        time.sleep(seconds)
        logger.info("the store said 204")
        replace(lease, head)

    monkeypatch.setattr(FileLease, "replace_head", talking)


def test_what_a_store_logs_for_each_head_makes_no_head_after_head(place, logger, monkeypatch):
    sealing(place, logger, BARE)
    talks(monkeypatch, logger)
    logger.info("one")
    time.sleep(2.5)  # a head follows a line within a second, so a loop would show
    assert len(place.entries()) <= 2
    finished(logger)
    assert place.entries()[0] == b"one"
    assert place.verify() == ("ok", [])


def test_a_store_that_logs_stops_no_thread(place, logger, monkeypatch):
    sealing(place, logger, BARE, epoch_lines=2)
    talks(monkeypatch, logger, 0.002)
    for number in range(1000):
        logger.info("%d", number)
    finished(logger)
    assert [entry for entry in place.entries() if entry.isdigit()] == [b"%d" % number for number in range(1000)]
    assert place.verify() == ("ok", [])


class Shy:
    def __repr__(self):
        raise RuntimeError("no")


def around():
    one = {"a": 1}
    one["self"] = one
    return one


VALUES = {
    "a cycle": (around(), {"a": 1, "self": "{'a': 1, 'self': {...}}"}),
    "what does not show itself": (Shy(), "(Shy that does not show itself: RuntimeError)"),
    "names that seals have": ({"tally": {"tallystick": 1}}, {"tally_": {"tallystick_": 1}}),
    "names that come to the same": ({1: "a", "1": "b"}, {"1": "a", "1_": "b"}),
    "numbers that are not exact": ([2**53, -(2**53) + 1, 1e400], ["9007199254740992", -(2**53) + 1, "inf"]),
}


@pytest.mark.parametrize("case", VALUES)
def test_any_value_becomes_json(case):
    value, expected = VALUES[case]
    assert json.loads(canonical({"value": value}))["value"] == expected


def test_a_number_of_5000_digits_keeps_no_record_out(place, logger):
    sealing(place, logger, JSONFormatter())
    logger.info("one", extra={"number": 10**5000})
    finished(logger)
    (entry,) = place.entries()
    assert json.loads(entry)["number"].startswith("(int that does not show itself")


def test_a_record_that_cannot_be_formatted_as_json_is_json_and_says_why(place, logger):
    handler = sealing(place, logger, JSONFormatter())
    handler.handle(logger.makeRecord(logger.name, logging.INFO, __file__, 1, "%d users", ("many",), None))
    finished(logger)
    said = json.loads(place.entries()[0])
    assert said["message"] == "'%d users' ('many',)"
    assert said["unformatted"].startswith("TypeError(")
