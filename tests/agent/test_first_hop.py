"""The recipes of docs/first-hop.md with the real programs: what they log is sealed, and a kill loses what it says."""

import contextlib
import fcntl
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from tests.agent.client import Agent, entries
from tests.agent.journald import journald, write_entries
from tests.processes import Started
from tests.servers import (
    PASSWORD,
    OpenBao,
    Postgres,
    free_port,
    listens,
    missing,
    own_directory,
    program,
    running,
    until,
)

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
        unit = self.file("/etc/systemd/system/tallystick-agent.socket").read_text()
        for number, (kind, path) in enumerate(re.findall("^Listen(Stream|Datagram)=(.*)", unit, re.MULTILINE), 20):
            made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if kind == "Stream" else socket.SOCK_DGRAM)
            made.bind(path)
            name = os.path.basename(path)
            if kind == "Stream":
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
            return Started(command, cwd=self.site.path, env=env, pass_fds=fds, stderr=subprocess.PIPE)

        self.agent = Agent(self.site, start=start)
        self.agent.listening(str(self.run / "lines"))

    def kill(self):
        self.agent.kill()

    def let_go(self):
        """Have the agent make its sockets from the next start on."""
        self.kill()
        for name, made in self.held.items():
            made.close()
            os.unlink(self.run / name)
        self.held = {}

    def sealed(self):
        """What is sealed, in its order."""
        return entries(self.site) if (self.site.path / "audit.log").exists() else []

    def came(self, word, say=lambda: None):
        """Wait until a line with a word is sealed, saying it again and again if need be, and return it."""
        found = []
        until(lambda: say() or found.extend(line for line in self.sealed() if word in line) or found, word, 20)
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
        process = Started(list(map(str, command)), cwd=hop.site.path, stdout=said, stderr=said, **more)
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


class Auditd:
    """The real auditd, for which the kernel's auditing is on for a while."""

    def __init__(self, *plugins):
        self.plugins = plugins

    @contextlib.contextmanager
    def running(self, hop):
        if os.geteuid():
            pytest.skip("auditd runs as root")
        auditd, self.control = (program(each, "apt install auditd", *SYSTEM) for each in ("auditd", "auditctl"))
        here = hop.site.path / "audit"
        (here / "plugins.d").mkdir(parents=True)
        for each in self.plugins:
            shutil.copy(hop.file(each, [("/etc/laurel/", f"{hop.site.path}/")]), here / "plugins.d")
        (here / "auditd.conf").write_text(
            f"local_events = yes\nwrite_logs = no\nplugin_dir = {here}/plugins.d\nspace_left = 75\n"
            "admin_space_left = 50\nspace_left_action = IGNORE\nadmin_space_left_action = IGNORE\n"
        )
        try:
            with started(hop, auditd, "-n", "-c", here, env=hop.site.env) as process:
                until(lambda: process.poll() is not None or f"pid {process.pid}" in self.status(), "auditd", 20)
                if process.poll() is not None:
                    pytest.skip("the kernel's auditing cannot be used here")
                yield process
        finally:
            subprocess.run([self.control, "-e", "0"], check=True, capture_output=True)

    def status(self):
        return subprocess.run([self.control, "-s"], check=True, capture_output=True, text=True).stdout

    def say(self, text):
        subprocess.run([self.control, "-m", text], check=True)


class Follows:
    """A program that writes a file, and what sends that file: the command of a unit."""

    unit = file = None
    before = ()

    @contextlib.contextmanager
    def sending(self, hop):
        command = re.search("^ExecStart=(.*)", hop.file(self.unit, self.places(hop)).read_text(), re.MULTILINE)[1]
        with started(hop, *self.before, *command.split(), env=hop.site.env) as process:
            yield process

    def places(self, hop):
        return [("/var/lib/send-", f"{hop.site.path}/send-"), (os.path.dirname(self.file), str(self.here(hop)))]

    def here(self, hop):
        made = hop.site.path / "logs"
        made.mkdir(exist_ok=True)
        return made


class Laurel(Follows, Auditd):
    unit, file = "/etc/systemd/system/send-laurel.service", "/var/log/laurel/audit.log"

    def __init__(self):
        super().__init__("/etc/audit/plugins.d/laurel.conf")

    @contextlib.contextmanager
    def running(self, hop):
        program("laurel", "apt install laurel", *SYSTEM)
        hop.file("/etc/laurel/config.toml", [*self.places(hop), ('user = "_laurel"\n', "")])
        with super().running(hop) as process:
            until((self.here(hop) / "audit.log").exists, "laurel", 20)
            with self.sending(hop):
                yield process


class Journald(Follows):
    unit, file = "/etc/systemd/system/send-journal.service", "/run/log/journal/any"

    @contextlib.contextmanager
    def running(self, hop):
        with journald(hop.site.path) as self.before, self.sending(hop) as process:
            yield process

    def say(self, text):
        write_entries(self.before, "sshd", [text.decode()])


class Kubernetes(Follows):
    """Recorded events, as an API server appends them to its file."""

    unit, file = "/etc/systemd/system/send-kubernetes.service", "/var/log/kubernetes/audit.log"

    @contextlib.contextmanager
    def running(self, hop):
        self.path = self.here(hop) / "audit.log"
        self.path.touch()
        with self.sending(hop) as process:
            yield process

    def say(self, text):
        with open(self.path, "a") as file:
            file.write(json.dumps(EVENT | {"auditID": text.decode()}) + "\n")


class Webhook:
    """The same events, as an API server posts them."""

    module = "webhook"

    @contextlib.contextmanager
    def running(self, hop):
        for each in ("flask", "gunicorn"):
            if importlib.util.find_spec(each) is None:
                pytest.skip(f"not installed: {each}")
        hop.file(f"/opt/webhook/{self.module}.py")
        self.port = free_port()
        words = ("-m", "gunicorn", "--workers", "2", f"{self.module}:app", "--bind", f"127.0.0.1:{self.port}")
        env = hop.site.env | {"AGENT": f"unix:{hop.run}/lines"}
        with started(hop, sys.executable, *words, env=env) as process:
            until(lambda: listens(self.port), "gunicorn", 30)
            yield process

    def say(self, text):
        body = json.dumps(self.batch(text.decode())).encode()
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}/", body, {"Content-Type": "application/json"})
        # It is answered once it is sealed.
        threading.Thread(target=urllib.request.urlopen, args=(asked, None, 60), daemon=True).start()

    def batch(self, text):
        return {"kind": "EventList", "items": [EVENT | {"auditID": text}]}


class Bao:
    @contextlib.contextmanager
    def running(self, hop):
        audit = hop.file("/etc/openbao/audit.hcl")

        class Audited(OpenBao):
            def command(self):
                return [*super().command(), "-config", str(audit)]

        with own_directory("openbao") as directory, running(Audited(directory)) as self.server:
            yield self.server.process

    def say(self, text):
        import hvac

        with contextlib.suppress(hvac.exceptions.VaultError):
            self.server.client().read(f"secret/{text.decode()}")


class Csv(Follows):
    """PostgreSQL's csvlog, with pgaudit."""

    unit, file = "/etc/systemd/system/send-postgresql.service", "/var/log/postgresql/audit.csv"

    def here(self, hop):
        return self.directory / "logs"

    @contextlib.contextmanager
    def running(self, hop):
        if not list(Path("/usr/lib/postgresql").glob("*/lib/pgaudit.so")):
            missing("pgaudit", "apt install postgresql-15-pgaudit")
        with own_directory("csvlog") as self.directory:
            server = Postgres(self.directory).make()
            with open(self.directory / "data" / "postgresql.conf", "a") as conf:
                conf.write(hop.file("/etc/postgresql/15/main/conf.d/audit.conf", self.places(hop)).read_text())
            with running(server) as self.server:
                until((self.here(hop) / "audit.csv").exists, "the server's log")
                with self.sending(hop):
                    yield server.process

    def say(self, text):
        import psycopg

        with psycopg.connect(self.server.url(), password=PASSWORD, autocommit=True) as connection:
            connection.execute(f'CREATE ROLE "{text.decode()}"')


DOCKER = """
set -e
mount -t tmpfs tmpfs /run
dockerd --data-root "$PWD/docker" --exec-root /run/d --host unix:///run/docker.sock --pidfile /run/d.pid \\
    --storage-driver vfs --bridge none --iptables=false --ip6tables=false < /dev/null &
export DOCKER_HOST=unix:///run/docker.sock
until docker version > /dev/null 2>&1; do sleep 0.1; done
mkdir -p image/bin
cp "$(command -v busybox)" image/bin/sh
tar -C image -c . | docker import - shop > /dev/null
touch ready
sh {} --interactive --network none shop /bin/sh -c 'while read line; do echo "$line"; done'
"""


class Docker:
    """The real daemon, in namespaces of its own, and a container that logs what it reads."""

    start = "run-shop"

    @contextlib.contextmanager
    def running(self, hop):
        if os.geteuid():
            pytest.skip("the daemon of Docker runs as root")
        for each, package in (("dockerd", "docker.io"), ("docker", "docker.io"), ("busybox", "busybox-static")):
            program(each, f"apt install {package}", *SYSTEM)
        hop.file(f"/usr/local/bin/{self.start}")
        script = DOCKER.replace("{}", self.start)
        words = ("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "bash", "-c", script)
        env = hop.site.env | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        with started(hop, *words, env=env, stdin=subprocess.PIPE) as self.process:
            ready = hop.site.path / "ready"
            until(lambda: ready.exists() or self.process.poll() is not None, "Docker")
            if not ready.exists():
                pytest.skip("the daemon of Docker does not run here")
            yield self.process
            self.process.stdin.close()

    def say(self, text):
        self.process.stdin.write(text + b"\n")
        self.process.stdin.flush()


class DockerFile(Docker):
    """The same with the file that Docker writes, which is followed."""

    start = "run-shop-to-file"

    @contextlib.contextmanager
    def running(self, hop):
        send = hop.file("/usr/local/bin/send-shop", [("/var/lib/", f"{hop.site.path}/of-")])
        with super().running(hop) as process:
            until(lambda: list(hop.site.path.glob("docker/containers/*/*-json.log")), "the file of the container", 30)
            env = hop.site.env | {"DOCKER_HOST": "unix:///run/docker.sock", "PATH": os.environ["PATH"]}
            with started(hop, "nsenter", "--target", process.pid, "--mount", "sh", send, env=env):
                yield process


class Otlp(Webhook):
    """What the collector posts, without the collector."""

    module = "otlp"

    def batch(self, text):
        record = {"severityText": "INFO", "body": {"stringValue": text}}
        return {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}


class Collector(Otlp):
    """The real collector, built from its modules; a client posts to it."""

    @contextlib.contextmanager
    def running(self, hop):
        if (place := os.environ.get("TALLYSTICK_GO_BIN")) is None:  # it takes minutes to build
            pytest.skip("build otelcol as the page says, and name its folder in TALLYSTICK_GO_BIN")
        self.otelcol = shutil.which("otelcol", path=place) or missing("otelcol", f"it is not in {place}")
        with super().running(hop):
            near = free_port()
            places = [("4318", str(near)), ("4319", str(self.port)), ("/var/lib/otelcol", f"{hop.site.path}/kept")]
            self.config, self.port = hop.file("/etc/otelcol/config.yaml", places), near
            with self.collecting(hop) as process:
                yield process

    @contextlib.contextmanager
    def collecting(self, hop):
        with started(hop, self.otelcol, "--config", self.config, env=hop.site.env) as process:
            until(lambda: listens(self.port), "the collector")
            yield process

    def say(self, text):
        body = json.dumps(self.batch(text.decode())).encode()
        url = f"http://localhost:{self.port}/v1/logs"
        asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=20) as answer:
            assert answer.status == 200


EVENT = {
    "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "stage": "ResponseComplete",
    "requestURI": "/api/v1/namespaces/shop/secrets/payments", "verb": "delete", "user": {"username": "alice"},
    "responseStatus": {"metadata": {}, "code": 200}, "requestReceivedTimestamp": "2026-11-28T05:14:14.000000Z",
}  # fmt: skip

RECIPES = {
    "rsyslog, a program": Rsyslog("/etc/rsyslog.d/program.conf"),
    "rsyslog, a socket": Rsyslog("/etc/rsyslog.d/socket.conf"),
    "rsyslog, TLS": Rsyslog("/etc/rsyslog.d/tls.conf"),
    "syslog-ng, a program": SyslogNg("/etc/syslog-ng/conf.d/program.conf"),
    "syslog-ng, a socket": SyslogNg("/etc/syslog-ng/conf.d/socket.conf"),
    "nginx": Nginx(),
    "auditd, a plugin": Auditd("/etc/audit/plugins.d/sealed.conf"),
    "auditd, laurel": Laurel(),
    "journald": Journald(),
    "Kubernetes, a file": Kubernetes(),
    "Kubernetes, a webhook": Webhook(),
    "OpenBao": Bao(),
    "PostgreSQL": Csv(),
    "Docker": Docker(),
    "Docker, a file": DockerFile(),
    "OTLP, the receiver": Otlp(),
    "OTLP, the collector": Collector(),
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
        time.sleep(0.3)
        hop.start()
        recipe.say(b"FOUR")
        hop.came(b"FOUR")
        hop.came(b"TWO")
    found = [word for line in hop.sealed() for word in (b"ONE", b"TWO", b"THREE", b"FOUR") if word in line]
    hop.agent.end()
    if isinstance(recipe, Webhook):  # workers keep no order
        found.sort(key=[b"ONE", b"TWO", b"THREE", b"FOUR"].index)
    if name in ("rsyslog, TLS", "OpenBao", "OTLP, the collector"):  # sends again; writes request and response
        found = sorted(set(found), key=found.index)
    assert found == [b"ONE", b"TWO", b"THREE", b"FOUR"]
    assert hop.site.verdict()[0] == "ok"


def test_datagrams_that_come_while_the_agent_is_away_are_lost_without_a_held_socket(hop):
    hop.let_go()
    hop.start()
    recipe = Nginx()
    with recipe.running(hop):
        recipe.say(b"ONE")
        hop.came(b"ONE")
        hop.kill()
        recipe.say(b"TWO")
        hop.start()
        hop.came(b"THREE", lambda: recipe.say(b"THREE"))  # nginx opens its socket again after sends that failed
    assert not [line for line in hop.sealed() if b"TWO" in line]


def test_a_collector_that_is_killed_loses_nothing_that_it_had_answered(hop):
    recipe = Collector()
    with recipe.running(hop) as process:
        recipe.say(b"ONE")
        hop.came(b"ONE")
        hop.kill()
        recipe.say(b"TWO")
        process.kill()
        process.wait(10)
        hop.start()
        with recipe.collecting(hop):
            hop.came(b"TWO")


def test_a_collector_is_built_of_the_parts_that_the_page_names():
    (parts,) = re.findall(r"^# /opt/otelcol/build.yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    if (otelcol := shutil.which("otelcol", path=os.environ.get("TALLYSTICK_GO_BIN", "/nowhere"))) is None:
        pytest.skip("build otelcol as the page says, and name its folder in TALLYSTICK_GO_BIN")
    built = subprocess.run([otelcol, "components"], capture_output=True, text=True, check=True, timeout=20).stdout
    named = set(re.findall(r"gomod: (\S+) (\S+)", parts))
    assert len(named) == 3
    assert named <= set(re.findall(r"module: (\S+) (\S+)", built))


def agent_of(hop, name, more=()):
    """An agent by another file of the page, in the place of the first one."""
    hop.let_go()
    config = hop.file(name, more)
    words = [f"{hop.site.bin}/tallystick", "agent", "--config", config]

    def start(*_, **more):
        return Started(list(map(str, words)), cwd=hop.site.path, env=hop.site.env, stderr=subprocess.PIPE)

    hop.agent = Agent(hop.site, start=start)


def test_what_journald_forwards_is_sealed_with_the_process_that_logged(hop):
    with journald(hop.site.path) as words:
        there = f"/proc/{words[2]}/root/run/systemd/journal"
        agent_of(hop, "/etc/tallystick/forward.toml", [("/run/systemd/journal", there)])
        hop.agent.listening(f"{there}/syslog", socket.SOCK_DGRAM)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
            way.sendto(b"<13>Nov 28 10:00:00 pay: ONE", f"{there}/dev-log")
        line = hop.came(b"ONE")
        assert line == b"[uid=%d gid=%d pid=%d] <13>Nov 28 10:00:00 pay: ONE" % (os.getuid(), os.getgid(), os.getpid())


DEV = """
set -e
for each in null zero random urandom; do touch dev/$each; mount --bind /dev/$each dev/$each; done
mount --rbind dev /dev
exec "$@"
"""


def test_where_the_agent_is_at_dev_log_syslog_needs_no_settings(hop):
    if os.geteuid():
        pytest.skip("only root has a /dev of its own")
    hop.site.path.joinpath("dev").mkdir()
    agent_of(hop, "/etc/tallystick/dev-log.toml", [("/dev/log", f"{hop.site.path}/dev/log")])
    hop.agent.listening(f"{hop.site.path}/dev/log", socket.SOCK_DGRAM)
    said = "import syslog; syslog.openlog('pay'); syslog.syslog('ONE')"
    words = ["unshare", "--mount", "bash", "-c", DEV, "-", sys.executable, "-c", said]
    done = subprocess.run(words, cwd=hop.site.path, capture_output=True, text=True, timeout=60)
    if done.returncode:
        pytest.skip(f"namespaces cannot be made here: {done.stderr}")
    assert b"pay: ONE" in hop.came(b"ONE")


def test_all_files_of_the_page_are_tried():
    tried = Path(__file__).read_text()
    assert len(BLOCKS) == 26
    assert [
        name for name in BLOCKS if name.rpartition("/")[2] not in tried and not name.startswith("/opt/webhook/")
    ] == []
