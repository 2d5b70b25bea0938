"""The recipes of docs/agent.md, each run by the real server with four workers: each payment is in the log, once."""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.agent.client import entries
from tests.processes import Started

PAGE = Path(__file__).resolve().parents[2] / "docs" / "agent.md"
FILES = {
    text.split()[1]: text for text in re.findall(r"^```py\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
}
COUNT = 60
MOST = 50 * COUNT
AT_ONCE = 8


def needs(*modules):
    absent = [each for each in modules if importlib.util.find_spec(each) is None]
    return pytest.mark.skipif(bool(absent), reason=f"not installed: {absent}")


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


@contextlib.contextmanager
def running(site, agent, *command, **more):
    """Start a program beside the files of the page; end it as a service manager does."""
    for name, text in FILES.items():
        (site.path / name).write_text(text)
    env = site.env | {"AGENT": f"unix:{agent.path}", **more}
    with open(site.path / "said", "wb") as said:
        program = Started(
            [sys.executable, "-m", *command], cwd=site.path, env=env, stdout=said, stderr=subprocess.STDOUT
        )
    try:
        yield env
    finally:
        program.terminate()
        try:
            program.wait(30)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def processes(site):
    """Return the processes that logged payments."""
    return {json.loads(line)["origin"]["pid"] for line in entries(site)}


def checked(site, agent, count):
    """Each payment is there once; they came from several processes."""
    until(lambda: len(entries(site)) >= count)
    agent.end()
    assert sorted(json.loads(line)["amount"] for line in entries(site)) == list(range(count))
    assert len(processes(site)) > 1
    assert site.verdict() == ("ok", [])


SERVERS = {
    "flask": ("gunicorn", "--workers", "4", "flask_app:app", "--bind"),
    "flask, preloaded": ("gunicorn", "--workers", "4", "--preload", "flask_app:app", "--bind"),
    "flask, gevent": ("gunicorn", "--workers", "4", "--worker-class", "gevent", "flask_app:app", "--bind"),
    "django": ("gunicorn", "--workers", "4", "django_site:application", "--bind"),
    "fastapi": ("uvicorn", "--workers", "4", "fastapi_app:app", "--port"),
}


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=needs(*each.replace(", preloaded", "").split(", "))) for each in SERVERS]
)
def test_a_server_with_four_workers_logs_each_request_once(site, agents, name):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    agent = agents("--origin").listening()
    command = SERVERS[name]
    where = str(port) if command[-1] == "--port" else f"127.0.0.1:{port}"
    with running(site, agent, *command, where):

        def pay(amount):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/pay/{amount}") as said:
                return said.status == 200

        until(lambda: pay(0))
        paid = 1
        with ThreadPoolExecutor(AT_ONCE) as clients:
            while len(processes(site)) < 2:  # one worker may take all that come for a while
                assert paid < MOST
                assert all(clients.map(pay, range(paid, paid + COUNT)))
                paid += COUNT
    checked(site, agent, paid)


@needs("celery", "redis")
def test_a_celery_worker_with_four_processes_logs_each_task_once(site, agents):
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server here")
    path = site.path / "redis"
    broker = Started(
        ["redis-server", "--port", "0", "--unixsocket", path, "--save", ""], cwd=site.path, stdout=subprocess.DEVNULL
    )
    try:
        until(path.exists)
        agent = agents("--origin").listening()
        words = ("celery", "--app", "celery_app", "worker", "--concurrency", "4")
        with running(site, agent, *words, BROKER=f"redis+socket://{path}", C_FORCE_ROOT="1") as env:
            ask = f"import celery_app\nfor amount in range({COUNT}): celery_app.pay.delay(amount)"
            subprocess.run([sys.executable, "-c", ask], cwd=site.path, env=env, check=True, timeout=60)
            until(lambda: os.path.exists(site.path / "audit.log") and len(entries(site)) >= COUNT)
        checked(site, agent, COUNT)
    finally:
        broker.kill()
        broker.wait(60)
