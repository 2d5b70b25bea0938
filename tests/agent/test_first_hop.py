"""The recipes of docs/first-hop.md with the real programs: what they log is sealed, and a kill loses what it says."""

import contextlib
import fcntl
import os
import re
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.agent.client import Agent, entries
from tests.servers import free_port, program, until

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "first-hop.md").read_text()
SYSTEM = "/usr/sbin", "/sbin"
BLOCKS = {
    text.split("\n")[0].removeprefix("# "): text
    for text in re.findall(r"^```\w*\n(# /.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
}
"""Files of the page by their names."""


class Hop:
    """An agent as the page configures it, and a place for programs that send to it."""

    def __init__(self, site):
        self.site, self.run, self.port = site, site.path / "r", free_port()
        os.mkdir(self.run)
        self.agent = None
        self.held = {}
        for number, (name, kind) in enumerate((("lines", "STREAM"), ("stream", "STREAM"), ("log", "DGRAM")), 20):
            made = socket.socket(socket.AF_UNIX, getattr(socket, f"SOCK_{kind}"))
            made.bind(str(self.run / name))
            if kind == "STREAM":
                made.listen()
            self.held[name] = socket.socket(fileno=fcntl.fcntl(made, fcntl.F_DUPFD, number))
            made.close()
        self.file("/etc/tallystick/agent.toml")

    def file(self, name, more=(), *, after=""):
        """Write a file of the page, with the places of this test."""
        places = (
            ("/run/tallystick/", f"{self.run}/"),
            ("/usr/bin/tallystick", f"{self.site.bin}/tallystick"),
            ("/var/log/payments/", f"{self.site.path}/"),
            ("/var/lib/tallystick-agent/", f"{self.site.path}/"),
            ("/etc/tallystick/", f"{self.site.path}/"),
            ("6514", str(self.port)),
            *more,
        )
        text = BLOCKS[name]
        for before, here in places:
            text = text.replace(before, here)
        path = self.site.path / name.split("/")[-1]
        path.write_text(text + after)
        return path

    def start(self):
        fds = [each.fileno() for each in self.held.values()]
        script = f'exec {" ".join(f"{3 + n}<&{fd}" for n, fd in enumerate(fds))}; export LISTEN_PID=$$; exec "$@"'
        command = ["bash", "-c", script, "-", f"{self.site.bin}/tallystick", "agent", "--config", "agent.toml"]

        def start(*_, **more):
            env = self.site.env | {"LISTEN_FDS": str(len(fds))}
            return subprocess.Popen(command, cwd=self.site.path, env=env, pass_fds=fds, stderr=subprocess.PIPE)

        self.agent = Agent(self.site, start=start)
        self.agent.listening(str(self.run / "lines"))

    def kill(self):
        self.agent.kill()

    def sealed(self):
        """What is sealed, in its order."""
        return entries(self.site) if (self.site.path / "audit.log").exists() else []

    def came(self, word):
        """Wait until a line with a word is sealed, and return it."""
        found = []
        until(lambda: found.extend(line for line in self.sealed() if word in line) or found, word, 20)
        return found[0]


@pytest.fixture
def hop(site, certificates):
    made = Hop(site)
    made.start()
    yield made
    made.kill()
    for each in made.held.values():
        each.close()


@contextlib.contextmanager
def started(hop, *command, **more):
    """Run a program until it has been looked at."""
    with open(hop.site.path / "said", "ab") as said:
        process = subprocess.Popen(list(map(str, command)), cwd=hop.site.path, stdout=said, stderr=said, **more)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Rsyslog:
    def __init__(self, recipe):
        self.recipe = recipe

    @contextlib.contextmanager
    def running(self, hop):
        rsyslogd = program("rsyslogd", "apt install rsyslog rsyslog-gnutls", *SYSTEM)
        conf = hop.file(self.recipe)
        conf.write_text(
            f'global(workDirectory="{hop.site.path}")\nmodule(load="imuxsock" SysSock.Use="off")\n'
            f'input(type="imuxsock" Socket="{hop.run}/dev-log")\n' + conf.read_text()
        )
        self.path = str(hop.run / "dev-log")
        env = hop.site.env
        with started(hop, rsyslogd, "-n", "-f", conf, "-i", hop.site.path / "pid", env=env) as process:
            until(lambda: os.path.exists(self.path), "rsyslog", 20)
            yield process

    def say(self, text):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
            way.sendto(b"<13>Nov 28 05:14:14 app: " + text, self.path)


class SyslogNg(Rsyslog):
    @contextlib.contextmanager
    def running(self, hop):
        binary = program("syslog-ng", "see .ci/run", "/opt/syslog-ng/usr/sbin", *SYSTEM)
        conf = hop.file(self.recipe)
        conf.write_text(f'@version: 3.38\nsource s_src {{ unix-dgram("{hop.run}/dev-log"); }};\n' + conf.read_text())
        self.path = str(hop.run / "dev-log")
        root = binary.removesuffix("/usr/sbin/syslog-ng")
        places = [f"--{name}={hop.site.path}/ng-{name}" for name in ("persist-file", "pidfile", "control")]
        modules = f"--module-path={root}/usr/lib/syslog-ng/3.38"
        env = hop.site.env | {"LD_LIBRARY_PATH": f"{root}/usr/lib/syslog-ng"}
        with started(hop, binary, "-F", "-f", conf, modules, *places, "--no-caps", env=env) as process:
            until(lambda: os.path.exists(self.path), "syslog-ng", 20)
            yield process


class Nginx:
    @contextlib.contextmanager
    def running(self, hop):
        nginx = program("nginx", "apt install nginx-light", *SYSTEM)
        recipe = hop.file("/etc/nginx/conf.d/sealed.conf")
        temporary = "".join(
            f"{each}_temp_path {hop.site.path}/{each};" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        conf = hop.site.path / "nginx.conf"
        conf.write_text(
            f"daemon off; user root; pid {hop.site.path}/pid; error_log {hop.site.path}/errors; events {{}}\n"
            f"http {{ {temporary} include {recipe};\n"
            f"server {{ listen unix:{hop.run}/web; location / {{ return 200 ok; }} }} }}\n"
        )
        self.path = str(hop.run / "web")
        with started(hop, nginx, "-c", conf, "-p", hop.site.path, "-e", hop.site.path / "errors") as process:
            until(lambda: os.path.exists(self.path), "nginx", 20)
            yield process

    def say(self, text):
        with socket.socket(socket.AF_UNIX) as way:
            way.connect(self.path)
            way.sendall(b"GET /" + text + b" HTTP/1.0\r\n\r\n")
            while way.recv(4096):
                pass


RECIPES = {
    "rsyslog, a program": Rsyslog("/etc/rsyslog.d/program.conf"),
    "rsyslog, a socket": Rsyslog("/etc/rsyslog.d/socket.conf"),
    "rsyslog, TLS": Rsyslog("/etc/rsyslog.d/tls.conf"),
    "syslog-ng, a program": SyslogNg("/etc/syslog-ng/conf.d/program.conf"),
    "syslog-ng, a socket": SyslogNg("/etc/syslog-ng/conf.d/socket.conf"),
    "nginx": Nginx(),
}


@pytest.mark.parametrize("name", RECIPES)
def test_nothing_that_a_program_logs_is_lost_while_the_agent_is_killed_and_starts_again(hop, name):
    recipe = RECIPES[name]
    with recipe.running(hop):
        recipe.say(b"ONE")
        hop.came(b"ONE")
        hop.kill()
        recipe.say(b"TWO")
        recipe.say(b"THREE")
        time.sleep(1)
        hop.start()
        recipe.say(b"FOUR")
        hop.came(b"FOUR")
        hop.came(b"TWO")
    found = [word for line in hop.sealed() for word in (b"ONE", b"TWO", b"THREE", b"FOUR") if word in line]
    hop.agent.end()
    if name == "rsyslog, TLS":  # which sends its last message again by the next connection
        found = sorted(set(found), key=found.index)
    assert found == [b"ONE", b"TWO", b"THREE", b"FOUR"]
    assert hop.site.verdict()[0] == "ok"
