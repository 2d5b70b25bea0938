"""loguru: what it formats becomes a sealed line, directly or through its queue."""

import json
import subprocess
import sys
import threading

import pytest
from loguru import logger

from tallystick.errors import SealError
from tallystick.integrations.loguru import SealingSink
from tests.integrations.test_logging import place

__all__ = ["place"]


@pytest.fixture(autouse=True)
def alone():
    logger.remove()
    yield
    logger.remove()


def test_what_is_formatted_becomes_a_sealed_line(place):
    logger.add(SealingSink("payments", place.output, store=place.store), format="{level} {message} {extra[user]}")
    logger.bind(user=7).warning("log\nin")
    logger.remove()
    assert place.entries() == [b"WARNING log\\nin 7"]
    assert place.verify() == ("ok", [])


def test_json_is_canonical_and_holds_what_was_bound(place):
    logger.add(SealingSink("payments", place.output, store=place.store, form="json"))
    logger.bind(user=7, message="mine", tally="x").info("login")
    try:
        raise ValueError("one\ntwo")
    except ValueError:
        logger.exception("failed")
    logger.remove()
    first, second = map(json.loads, place.entries())
    assert first | {"time": ""} == {
        "level": "INFO", "logger": __name__, "message": "login", "message_": "mine", "tally_": "x", "time": "",
        "user": 7,
    }  # fmt: skip
    assert second["exception"].endswith("ValueError: one\ntwo")
    assert place.verify() == ("ok", [])


@pytest.mark.parametrize("enqueue", [False, True])
def test_threads_keep_their_order(place, enqueue):
    logger.add(SealingSink("payments", place.output, store=place.store), format="{message}", enqueue=enqueue)

    def work(number):
        for i in range(500):
            logger.info(f"{number} {i}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logger.remove()
    found = [tuple(map(int, entry.split())) for entry in place.entries() if entry[:1].isdigit()]
    assert [[i for n, i in found if n == number] for number in range(4)] == [list(range(500))] * 4
    assert place.verify() == ("ok", [])


def test_what_waits_in_the_queue_is_sealed_before_the_process_ends(place):
    code = (
        "from loguru import logger\n"
        "from tallystick.integrations.loguru import SealingSink\n"
        "logger.remove()\n"
        f"sink = SealingSink('payments', {str(place.output)!r}, store={place.store!r})\n"
        "logger.add(sink, format='{message}', enqueue=True)\n"
        "for i in range(300): logger.info(str(i))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert done.stderr == b""
    assert place.entries() == [b"%d" % i for i in range(300)]
    assert place.verify() == ("ok", [])


def test_trouble_reaches_the_program_where_that_is_asked_for(place):
    sink = SealingSink("payments", place.output, store=place.store, on_error="raise")
    logger.add(sink, catch=False)
    sink.handler.close()
    with pytest.raises(SealError, match="is closed"):
        logger.info("late")
