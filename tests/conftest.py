"""What all tests share."""

import gc
import os
import signal
import tempfile
from contextlib import suppress

import pytest

from tests import couriers

# The suites that backends subclass are no test modules; their asserts shall explain themselves all the same.
pytest.register_assert_rewrite(
    "tests.keystore.suite", "tests.custody.suite", "tests.custody.forgetting", "tests.custody.service"
)

# All fixtures that more than one folder uses: places on this machine, servers, tokens, a browser.
pytest_plugins = ["tests.places", "tests.servers", "tests.hardware", "tests.browser"]

couriers.install()

ROOM = 2**32  # bytes that temporary files of all tests may take


def _in_memory():
    """Have temporary files in memory, where there is room for them, and programs among them may run.

    Tests sync what they write again and again; for a disk they would wait half of their time.
    """
    place = "/dev/shm"
    with suppress(OSError):
        found = os.statvfs(place)
        if "TMPDIR" not in os.environ and found.f_bavail * found.f_frsize >= ROOM and not found.f_flag & os.ST_NOEXEC:
            os.environ["TMPDIR"] = tempfile.tempdir = place


_in_memory()

# In the background of a shell these are ignored, and so they would be in every command that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


FIRST = (
    "tests/memory/",
    "tests/survival/",
    "tests/watch/test_day.py",
    "tests/custody/test_openbao_orders.py",
    "tests/log/test_endings.py",
)


def pytest_collection_modifyitems(items):
    """Begin with those that take long: the last ones to end shall not be waited for by all the others."""
    items.sort(key=lambda item: not item.nodeid.startswith(FIRST))


def pytest_collection_finish():
    """Start what is wanted by most tests before any of them looks at the process in which it runs."""
    couriers.begin()
    gc.collect()
    gc.freeze()  # what was collected stays: nobody need look through it again and again


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable():
    """Report what a test wrote in a form in which it can be sent to another process: surrogates cannot."""
    return _sendable((yield))


def _sendable(value):
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_sendable(key): _sendable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_sendable, value))
    return value
