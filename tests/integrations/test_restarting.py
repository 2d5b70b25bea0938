"""Servers that start processes from the same code again: uvicorn's workers, Django's autoreload and commands."""

import http.client
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress

import pytest

from tests.integrations.test_processes import ASGI, Scene, answered, ask, needs, serving, until
from tests.places import COMMAND


@pytest.fixture
def scene(site):
    return Scene(site)


def output(scene):
    return (scene.path / "server.out").read_text()


WORKERS = [sys.executable, "-m", "uvicorn", "served:app", "--uds", "socket", "--workers", "2"]


@needs("uvicorn")
def test_of_uvicorn_s_workers_the_first_seals_and_the_others_start_again_and_again_and_say_why(scene):
    scene.write("served.py", ASGI)
    with serving(scene, *WORKERS) as server:
        assert answered(scene) == 200
        until(lambda: output(scene).count("tallystick.errors.LogBusyError") >= 2)
        assert {ask(scene.path) for _ in range(5)} == {200}
        server.send_signal(signal.SIGTERM)
        server.wait(30)
    assert "tallystick run" in output(scene)
    assert scene.entries() == [b"asked"] * 6
    assert scene.site.verdict() == ("ok", [])


@needs("uvicorn")
def test_with_delay_the_first_worker_of_uvicorn_that_logs_seals_and_no_request_to_another_succeeds(scene):
    scene.write("served.py", ASGI, ", delay=True")
    with serving(scene, *WORKERS) as server:
        assert answered(scene) == 200
        until(lambda: ask(scene.path) == 500)
        server.send_signal(signal.SIGTERM)
        server.wait(30)
    assert "LogBusyError" in output(scene)
    assert len(scene.entries()) == output(scene).count('" 200 ')
    assert scene.site.verdict() == ("ok", [])


@needs("uvicorn")
def test_run_seals_what_all_workers_of_uvicorn_write(scene):
    (scene.path / "served.py").write_text("import logging\nlogging.basicConfig(level='INFO')\nlog = logging\n" + ASGI)
    with serving(scene, COMMAND, "run", "payments", "-o", "audit.log", "--", *WORKERS) as server:
        for _ in range(5):
            assert answered(scene) == 200
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    assert sum(b"asked" in each for each in scene.entries()) == 5
    assert scene.site.verdict() == ("ok", [])


SETTINGS = """
SECRET_KEY, DEBUG, ALLOWED_HOSTS, ROOT_URLCONF = "x", True, ["*"], "urls"
LOGGING = {
    "version": 1, "disable_existing_loggers": False, "loggers": {"audit": {"handlers": ["a"], "level": "INFO"}},
    "formatters": {"f": {"format": "%(message)s"}}, "handlers": {"a": {"formatter": "f",
    "class": "tallystick.integrations.logging.SealedFileHandler", "name": "payments", "filename": "audit.log", MORE}},
}
"""
URLS = """
import logging
from django.http import HttpResponse
from django.urls import path
def ask(request):
    logging.getLogger("audit").info("asked")
    return HttpResponse("ok")
urlpatterns = [path("", ask)]
"""


class Django:
    """A project with one page, which logs."""

    def __init__(self, scene, more=""):
        self.scene = scene
        (scene.path / "settings.py").write_text(SETTINGS.replace("MORE", more))
        (scene.path / "urls.py").write_text(URLS)
        scene.site.env |= {"PYTHONPATH": str(scene.path), "DJANGO_SETTINGS_MODULE": "settings", "PYTHONUNBUFFERED": "1"}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def command(self, *arguments):
        return [sys.executable, "-m", "django", *arguments]

    def check(self):
        done = subprocess.run(
            self.command("check"), cwd=self.scene.path, env=self.scene.site.env, check=False, text=True, timeout=60,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return done.returncode, done.stdout

    def ask(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with suppress(OSError):
            connection.request("GET", "/")
            return connection.getresponse().status

    def serving(self):
        return serving(self.scene, *self.command("runserver", f"127.0.0.1:{self.port}"))


DELAY = "'delay': True"


@needs("django")
def test_django_s_autoreload_has_the_log_itself_and_its_server_says_why_it_does_not_start(
    scene,
):
    django = Django(scene)
    with django.serving():
        until(lambda: "tallystick.errors.LogBusyError" in output(scene))
        assert django.ask() is None
    assert "tallystick run" in output(scene)
    assert scene.entries() == []


@needs("django")
def test_with_delay_django_s_server_seals_and_seals_on_when_it_was_reloaded(scene):
    django = Django(scene, DELAY)
    with django.serving():
        assert until(django.ask) == 200
        (scene.path / "urls.py").write_text(URLS + "# changed\n")
        until(lambda: scene.controls()[-1:] == ["closed"])
        until(lambda: output(scene).count("Quit the server") == 2)  # until then the old one may answer
        assert until(django.ask) == 200
    assert scene.entries() == [b"asked"] * 2
    assert scene.chains() == 2


@needs("django")
@pytest.mark.parametrize(("more", "status"), [("", 1), (DELAY, 0)], ids=["at import", "delay"])
def test_manage_check_beside_a_live_server_starts_with_delay_only(scene, more, status):
    django = Django(scene, more)
    with scene.site.start("seal", "payments", "-o", "audit.log") as server:
        until(lambda: os.path.exists(scene.path / "audit.log"))
        found, told = django.check()
        with suppress(BrokenPipeError):
            server.communicate(b"one\n", timeout=30)
    assert found == status, told
    assert ("LogBusyError" in told) == bool(status)
    assert scene.entries() == [b"one"]
    assert scene.site.verdict() == ("ok", [])
