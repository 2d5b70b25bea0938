"""Celery's pools with a handler made at import, and with one that opens its log at the first record.

The worker asks itself for two tasks at once, by files in a directory. Tasks sleep for a moment, so that each of two
processes has one of them. docs/python.md lists the outcomes.
"""

import importlib.util
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.integrations.test_processes import REFUSED, Scene, said, until
from tests.processes import Started

pytestmark = pytest.mark.skipif(importlib.util.find_spec("celery") is None, reason="celery is not installed")

TASKS = """
from celery import Celery
from celery.signals import worker_process_shutdown, worker_ready
app = Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"}
app.conf.worker_enable_remote_control = False
os.makedirs("queue", exist_ok=True)

@app.task
def pay(number):
    time.sleep(0.5)
    log.info("paid %d", number)

@worker_ready.connect
def ask(**_):
    for number in range(2):
        pay.delay(number)
"""
CLOSING = "worker_process_shutdown.connect(lambda **_: logging.shutdown(), weak=False)\n"


@contextmanager
def working(scene, pool):
    """Run a worker until both tasks are done, and stop it as a service manager does; give what it says then."""
    words = ("celery", "--app", "tasks", "worker", "--loglevel", "INFO", "--concurrency", "2", "--pool", pool)
    without = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    place = scene.path / "worker.out"
    with open(place, "wb") as out:
        worker = Started(
            [sys.executable, "-m", *words, *without], cwd=scene.path, env=scene.site.env | {"C_FORCE_ROOT": "1"},
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        until(lambda: sum(place.read_text().count(word) for word in ("succeeded in", "raised unexpected")) == 2)
        yield place.read_text()
        worker.terminate()
        worker.wait(30)
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait(10)


@pytest.fixture
def scene(site):
    return Scene(site)


@pytest.mark.parametrize("more", ["", ", delay=True"], ids=["at import", "delay"])
def test_a_worker_with_the_pool_solo_seals_what_its_tasks_log(scene, more):
    scene.write("tasks.py", TASKS, more)
    with working(scene, "solo"):
        pass
    assert sorted(scene.entries()) == [b"paid 0", b"paid 1"]
    assert scene.site.verdict() == ("ok", [])


def test_a_worker_with_threads_seals_what_its_tasks_log(scene):
    scene.write("tasks.py", TASKS, ", delay=True")
    with working(scene, "threads"):
        pass
    assert sorted(scene.entries()) == [b"paid 0", b"paid 1"]
    assert scene.site.verdict() == ("ok", [])


def test_tasks_of_a_prefork_pool_fail_where_the_main_process_has_the_log_which_says_so(scene):
    scene.write("tasks.py", TASKS)
    with working(scene, "prefork") as told:
        assert told.count("raised unexpected: LogBusyError") == 2
    assert scene.entries() == []
    *refused, last = scene.notices()  # of both processes, where both ask at the same moment
    assert said(refused, *[REFUSED] * len(refused))
    assert last == "[fork] in all 2 records of 2 forked processes were refused, and not in the log then"
    assert scene.site.verdict() == ("ok", [])


@pytest.mark.parametrize("closing", ["", CLOSING], ids=["as it is", "closed by the signal"])
def test_the_first_process_of_a_prefork_pool_that_logs_has_the_log_and_tasks_of_the_other_fail(scene, closing):
    scene.write("tasks.py", TASKS + closing, ", delay=True")
    with working(scene, "prefork") as told:
        assert told.count("raised unexpected: LogBusyError") == 1
    assert len(scene.entries()) == 1
    # Its pool ends a process by os._exit, of which nobody hears but this signal.
    assert scene.site.verdict() == ("ok", [] if closing else ["unclean end"])
