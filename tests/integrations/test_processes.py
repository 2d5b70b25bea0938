"""Processes that fork, spawn and become daemons, with a handler made at import: the outcomes that docs/python.md lists.

Each is tried with the real program.
"""

import http.client
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from tests.processes import Started
from tests.sealed import controls, entries, lines, position

HANDLER = """
import logging, os, sys, time
from tallystick.integrations.logging import SealedFileHandler
log = logging.getLogger("audit")
log.setLevel(logging.INFO)
log.addHandler(SealedFileHandler("payments", "audit.log"{}))
log.handlers[0].setFormatter(logging.Formatter("%(message)s"))
"""

NOTICE = re.compile(rb"\[[a-z]+\] ")
TOOK_OVER = r"\[fork\] process \d+ took the log over from process \d+, which forked it"
REFUSED = (
    r"\[fork\] a record of process \d+, which was forked from this one, was refused, and is not in the log; .*"
    r"`tallystick agent` write it for all processes, .*"
)


def said(notices, *expected):
    """Are these all notices, in this order?"""
    return len(notices) == len(expected) and all(map(re.fullmatch, expected, notices))


class Scene:
    """A directory with a log, in which programs run whose handler is made at import."""

    def __init__(self, site):
        self.site, self.path = site, site.path

    def write(self, name, text, more=""):
        (self.path / name).write_text(HANDLER.format(more) + text)

    def run(self, text, more="", status=0):
        """Run a program to the end of all its processes; return what it said."""
        self.write("program.py", text, more)
        return self.execute(status)

    def execute(self, status=0):
        """Run what program.py holds, in the same way."""
        done = subprocess.run(
            [sys.executable, "program.py"], cwd=self.path, env=self.site.env, timeout=60, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert done.returncode == status, done.stdout
        return done.stdout

    def entries(self):
        """What the program logged; the log's own notices are not."""
        return [each for each in entries(self.site.read()) if not NOTICE.match(each)]

    def notices(self):
        """What the log itself said, each as `[KIND] TEXT`."""
        return [each.decode() for each in entries(self.site.read()) if NOTICE.match(each)]

    def controls(self):
        return controls(self.site.read())

    def chains(self):
        return len({position(each)[0] for each in lines(self.site.read())})


@pytest.fixture
def scene(site):
    return Scene(site)


def until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


def needs(module):
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


# Daemons

DOUBLE_FORK = """
log.info("before")
if os.fork():
    {end}
os.setsid()
if os.fork():
    os._exit(0)
os.chdir("/")
log.info("daemon 1")
log.info("daemon 2")
"""


@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit()", "time.sleep(0.5); os._exit(0)"])
def test_a_daemon_takes_the_log_over_with_a_chain_of_its_own(scene, end):
    """It once lost every record in silence."""
    scene.run(DOUBLE_FORK.format(end=end))
    assert scene.entries() == [b"before", b"daemon 1", b"daemon 2"]
    assert scene.chains() == 2
    assert said(scene.notices(), TOOK_OVER)
    assert scene.site.verdict()[0] == "ok"


LOGS_AT_FORKS = """
import logging, os, threading, time
forking = threading.Event()
def hook():
    forking.set()
    time.sleep(0.3)  # a thread that logs has the handler by now, or waits for it
    logging.getLogger("audit").info("hook")
os.register_at_fork(before=hook)
"""
THREAD_LOGS = """
def work():
    while not forking.is_set() or time.sleep(0.01):
        log.info("thread")
    log.info("last")
thread = threading.Thread(target=work)
thread.start()
if os.fork() == 0:
    os._exit(0)
os.wait()
thread.join()
"""


def test_another_hook_may_log_while_the_process_forks_and_a_thread_logs(scene):
    """It once waited for ever: for the handler of a thread that waited for the log, which was held for the fork."""
    (scene.path / "program.py").write_text(LOGS_AT_FORKS + HANDLER.replace("{}", "") + THREAD_LOGS)
    scene.execute()
    assert {b"hook", b"last", b"thread"} == set(scene.entries())
    assert scene.site.verdict() == ("ok", [])


LOGURU = """
import os, threading
from loguru import logger
from tallystick.integrations.loguru import SealingSink
logger.remove()
logger.add(SealingSink("payments", "audit.log"), format="{message}", catch=False)
logged, is_over = [0, 0], False
def work(number):
    while not is_over:
        logger.info("{} {}", number, logged[number])
        logged[number] += 1
threads = [threading.Thread(target=work, args=(number,)) for number in (0, 1)]
for thread in threads:
    thread.start()
for _ in range(10):
    if os.fork() == 0:
        os._exit(0)
    os.wait()
is_over = True
for thread in threads:
    thread.join()
print(*logged)
"""


@needs("loguru")
def test_a_process_forks_while_threads_log_by_loguru_and_each_record_is_there_once(scene):
    """Loguru's hook takes the locks of its sinks, and once waited for ever for a thread that waited for the log."""
    (scene.path / "program.py").write_text(LOGURU)
    counts = list(map(int, scene.execute().split()))
    expected = [b"%d %d" % (number, each) for number, count in enumerate(counts) for each in range(count)]
    assert sorted(scene.entries()) == sorted(expected)
    assert scene.site.verdict() == ("ok", [])


PYTHON_DAEMON = """
import daemon
log.info("before")
with daemon.DaemonContext():
    log.info("daemon")
"""


@needs("daemon")
def test_python_daemon_closes_all_descriptors_and_its_records_are_sealed(scene):
    scene.run(PYTHON_DAEMON)
    until(lambda: b"daemon" in scene.entries() and scene.controls()[-1:] == ["closed"])
    assert scene.entries() == [b"before", b"daemon"]
    assert said(scene.notices(), TOOK_OVER)
    assert scene.site.verdict()[0] == "ok"


GENERATIONS = """
for number in range(3):
    log.info("%d", number)
    if os.fork():
        os._exit(0)
log.info("last")
"""


def test_each_generation_takes_the_log_over_from_the_one_before(scene):
    scene.run(GENERATIONS)
    assert scene.entries() == [b"0", b"1", b"2", b"last"]
    assert scene.chains() == 4
    assert said(scene.notices(), *[TOOK_OVER] * 3)
    assert scene.site.verdict()[0] == "ok"


# Parents that live on

FORKED = """
if (pid := os.fork()) == 0:
    failed = 0
    for _ in range(3):
        try:
            log.info("child")
        except Exception as error:
            failed += type(error).__name__ == "LogBusyError"
    os._exit(failed)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_where_the_parent_lives_on_its_log_says_at_once_and_at_the_end_what_was_refused(scene):
    told = scene.run(
        f"log.info('before')\n{FORKED}"
        "while b' notice ' not in open('audit.log', 'rb').read(): time.sleep(0.02)\n"
        "log.info('after')\n"
    )
    assert told == "3\n"
    assert scene.entries() == [b"before", b"after"]
    in_all = r"\[fork\] in all 3 records of 1 forked process were refused, and not in the log then"
    assert said(scene.notices(), REFUSED, in_all)
    assert entries(scene.site.read())[::2] == [b"before", b"after"], "the notices are not at once and at the end"
    assert scene.site.verdict() == ("ok", [])


def test_a_child_takes_over_what_its_parent_closed_and_its_log_says_what_was_refused_before(scene):
    scene.run(
        "read, write = os.pipe()\n"
        "if (pid := os.fork()) == 0:\n"
        "    try:\n"
        "        log.info('refused')\n"
        "    except Exception:\n"
        "        os.write(write, b'x')\n"
        "    while log.handlers[0]._log.is_inherited:\n"
        "        try:\n"
        "            log.info('taken')\n"
        "        except Exception:\n"
        "            time.sleep(0.02)\n"
        "    sys.exit()\n"
        "os.read(read, 1)\n"
        "log.handlers[0].close()\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    assert scene.entries() == [b"taken"]
    in_all = r"\[fork\] in all (1 record of 1 forked process was|\d+ records of 1 forked process were) refused, .*"
    dropped = r"\[dropped\] (1 line was|\d+ lines were) dropped .*: log payments belongs to process \d+; .*"
    refused, *rest = scene.notices()
    assert re.fullmatch(REFUSED, refused)
    assert said(rest, in_all, TOOK_OVER, dropped)
    assert scene.site.verdict()[0] == "ok"


def test_a_child_leaves_the_log_of_a_parent_that_lives_and_wrote_since(scene):
    """A parent that opens its log again at once must not find a child in its place."""
    told = scene.run(
        "read, write = os.pipe()\n"
        "if (pid := os.fork()) == 0:\n"
        "    os.read(read, 1)\n"
        "    try:\n"
        "        log.info('child')\n"
        "    except Exception as error:\n"
        "        print(error, flush=True)\n"
        "    os._exit(0)\n"
        "log.info('parent')\n"
        "log.handlers[0].close()\n"
        "os.write(write, b'x')\n"
        "os.waitpid(pid, 0)\n"
    )
    assert "after that forked this one" in told
    assert scene.entries() == [b"parent"]


def test_of_two_children_of_a_parent_that_is_gone_one_takes_the_log_over(scene):
    scene.run(
        "read, write = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    for number in range(2):\n"
        "        if os.fork() == 0:\n"
        "            try:\n"
        "                log.info('taken')\n"
        "            except Exception:\n"
        "                os.write(write, b'x')\n"
        "                os._exit(0)\n"
        "            os.read(read, 1)\n"
        "            sys.exit()\n"
        "os._exit(0)\n"
    )
    until(lambda: scene.controls()[-1:] == ["closed"])
    assert scene.entries() == [b"taken"]
    assert said(scene.notices(), TOOK_OVER)


def test_a_first_record_that_is_longer_than_an_entry_takes_the_log_over(scene):
    """The log says that a record is split before the first part: that notice, too, has to take the log over."""
    scene.run("log.info('before')\nif os.fork():\n    os._exit(0)\nlog.info('x' * (2**24 + 1))\n")
    until(lambda: scene.controls()[-1:] == ["closed"])
    assert [len(each) for each in scene.entries()] == [6, 2**24, 1]
    assert said(scene.notices(), TOOK_OVER, r"\[split\] a line of .*", r"\[split\] end of the line of .*")
    assert scene.site.verdict()[0] == "ok"


def test_a_first_record_that_is_longer_than_an_entry_is_refused_and_counted_where_the_parent_lives(scene):
    told = scene.run("log.info('before')\n" + FORKED.replace('"child"', '"x" * (2**24 + 1)'))
    assert told == "3\n"
    assert scene.entries() == [b"before"]
    in_all = r"\[fork\] in all 3 records of 1 forked process were refused, and not in the log then"
    assert said(scene.notices(), REFUSED, in_all)
    assert scene.site.verdict() == ("ok", [])


# multiprocessing

POOL = """
import multiprocessing
def work(number):
    try:
        log.info("worker %d", number)
        return "sealed"
    except Exception as error:
        return type(error).__name__
if __name__ == "__main__":
    context = multiprocessing.get_context({way!r})
    with context.Pool(1) as pool:
        print(pool.map(work, range(2)))
    log.info("parent")
"""


def test_a_forked_worker_of_multiprocessing_gets_an_error_and_the_parent_s_log_says_so(scene):
    assert scene.run(POOL.format(way="fork")) == "['LogBusyError', 'LogBusyError']\n"
    assert scene.entries() == [b"parent"]
    in_all = r"\[fork\] in all 2 records of 1 forked process were refused, and not in the log then"
    assert said(scene.notices(), REFUSED, in_all)


def test_a_spawned_worker_of_multiprocessing_gets_an_error(scene):
    assert scene.run(POOL.format(way="spawn"), ", delay=True").startswith("['sealed', 'sealed']")
    assert scene.entries()[-1:] in ([b"parent"], [b"worker 1"])


PROCESS = """
import multiprocessing
def work():
    log.info("worker")
if __name__ == "__main__":
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    sys.exit(process.exitcode)
"""


def test_a_process_of_multiprocessing_that_opened_the_log_closes_it_at_its_end(scene):
    scene.run(PROCESS, ", delay=True")
    assert scene.entries() == [b"worker"]
    assert scene.site.verdict() == ("ok", [])


# Configured again


def test_a_second_dictconfig_closes_the_log_and_opens_its_next_chain(scene):
    scene.run(
        "import logging.config\n"
        "log.handlers[0].close()\n"
        "handler = {'class': 'tallystick.integrations.logging.SealedFileHandler', 'name': 'payments',"
        " 'filename': 'audit.log'}\n"
        "for number in range(2):\n"
        "    logging.config.dictConfig({'version': 1, 'handlers': {'a': handler},"
        " 'root': {'handlers': ['a'], 'level': 'INFO'}})\n"
        "    logging.info('%d', number)\n"
    )
    assert [each[-1:] for each in scene.entries()] == [b"0", b"1"]
    assert scene.site.verdict() == ("ok", [])


# Servers

APP = """
def app(environ, start):
    log.info("asked")
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""


@contextmanager
def serving(scene, *command):
    """Start a server; give it, and a file with what it says."""
    with open(scene.path / "server.out", "wb") as out:
        server = Started(
            command, cwd=scene.path, env=scene.site.env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        yield server
    finally:
        if server.poll() is None:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def ask(path):
    """Ask a server that listens on a socket in a directory; return its status."""

    class Connection(http.client.HTTPConnection):
        def connect(self):
            import socket

            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(20)
            self.sock.connect(str(path / "socket"))

    connection = Connection("localhost")
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def answered(scene):
    return until(lambda: ask(scene.path))


def gunicorn(*more):
    return [sys.executable, "-m", "gunicorn", "served:app", "-b", "unix:socket", "--no-control-socket", *more]


def test_gunicorn_with_preload_answers_500_and_its_log_says_why(scene):
    """It once answered 200 and sealed nothing."""
    scene.write("served.py", APP)
    with serving(scene, *gunicorn("--preload")):
        assert answered(scene) == 500
        until(lambda: said(scene.notices(), REFUSED))
    in_all = r"\[fork\] in all 1 record of 1 forked process was refused, and not in the log then"
    assert said(scene.notices(), REFUSED, in_all)
    assert scene.entries() == []


@pytest.mark.parametrize("more", [(), ("--preload",)], ids=["each loads", "preload"])
def test_gunicorn_with_one_worker_and_delay_seals(scene, more):
    scene.write("served.py", APP, ", delay=True")
    with serving(scene, *gunicorn(*more)):
        assert answered(scene) == 200
    assert scene.entries() == [b"asked"]
    assert scene.site.verdict() == ("ok", [])


def test_gunicorn_with_workers_that_each_open_the_log_does_not_start_and_says_what_to_do(scene):
    scene.write("served.py", APP)
    with serving(scene, *gunicorn("-w", "2")) as server:
        assert server.wait(60) != 0
    told = (scene.path / "server.out").read_text()
    assert "LogBusyError" in told
    assert "tallystick run" in told


@pytest.mark.skipif(not shutil.which("uwsgi", path=os.path.dirname(sys.executable)), reason="uWSGI is not installed")
def test_uwsgi_forks_after_import_and_answers_an_error_instead_of_losing_records(scene):
    scene.write("served.py", APP.replace("def app", "def application"))
    uwsgi = shutil.which("uwsgi", path=os.path.dirname(sys.executable))
    command = (
        uwsgi, "--http-socket", "socket", "--master", "--wsgi-file", "served.py", "--enable-threads", "--die-on-term",
        "--need-app", "--home", sys.prefix,
    )  # fmt: skip
    with serving(scene, *command):
        until(lambda: ask(scene.path) or "LogBusyError" in (scene.path / "server.out").read_text())
        assert ask(scene.path) != 200


ASGI = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": kind + ".complete"})
            if kind == "lifespan.shutdown":
                return
    log.info("asked")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
"""


@needs("uvicorn")
@pytest.mark.parametrize("more", ["", ", delay=True"], ids=["at import", "delay"])
def test_a_clean_stop_of_uvicorn_closes_the_log(scene, more):
    """It restores what SIGTERM does by itself and raises it again, so each stop was an unclean end."""
    scene.write("served.py", ASGI, more)
    with serving(scene, sys.executable, "-m", "uvicorn", "served:app", "--uds", "socket") as server:
        assert answered(scene) == 200
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == -signal.SIGTERM
    assert scene.entries() == [b"asked"]
    assert scene.site.verdict() == ("ok", [])


LIFESPAN = """
import asyncio
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            if kind == "lifespan.shutdown":
                logging.shutdown()
            await send({"type": kind + ".complete"})
            if kind == "lifespan.shutdown":
                return
    await asyncio.to_thread(log.info, "asked")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
"""


@needs("uvicorn")
def test_a_log_that_another_thread_opened_is_closed_by_the_lifespan_of_its_application(scene):
    scene.write("served.py", LIFESPAN, ", delay=True")
    with serving(scene, sys.executable, "-m", "uvicorn", "served:app", "--uds", "socket") as server:
        assert answered(scene) == 200
        server.send_signal(signal.SIGTERM)
        server.wait(30)
    assert scene.entries() == [b"asked"]
    assert scene.site.verdict() == ("ok", [])


@needs("uvicorn")
def test_a_program_that_goes_on_after_uvicorn_is_ended_by_its_sigterm(scene):
    scene.write("served.py", ASGI)
    (scene.path / "main.py").write_text(
        "import asyncio, uvicorn, tallystick.writer.raised_again as again\n"
        "again.LONGEST = 0.3\n"
        "from served import app\n"
        "async def main():\n"
        "    server = uvicorn.Server(uvicorn.Config('served:app', uds='socket'))\n"
        "    await asyncio.gather(server.serve(), asyncio.sleep(60))\n"
        "asyncio.run(main())\n"
    )
    with serving(scene, sys.executable, "main.py") as server:
        answered(scene)
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == -signal.SIGTERM
    assert scene.site.verdict() == ("ok", [])
