"""A time-stamp authority of openssl stamps the witness's tree, and openssl accepts the token that stands in a proof."""

import base64
import hashlib
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tallystick.witness.errors import WitnessServiceError
from tallystick.witness.timestamp import Authority
from tests.servers import program, until
from tests.witness.service import Service, Writer, b64, running

SETTINGS = """
[req]
distinguished_name = dn
prompt = no
[dn]
CN = tsa
[ca]
basicConstraints = critical,CA:TRUE
[tsa]
extendedKeyUsage = critical,timeStamping
[tsa_config]
serial = serial
signer_cert = tsa.pem
signer_key = tsa.key
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
ess_cert_id_alg = sha256
"""


class Stamping:
    """`openssl ts`, which answers over HTTP."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.openssl = directory, program("openssl", "apt install openssl")
        (directory / "ts.cnf").write_text(SETTINGS)
        (directory / "serial").write_text("01\n")
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-config", "ts.cnf"]
        self.run("req", "-x509", *new, "-extensions", "ca", "-subj", "/CN=root", "-keyout", "ca.key", "-out", "ca.pem")
        self.run("req", *new, "-keyout", "tsa.key", "-out", "tsa.csr")
        self.run("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                 "-extfile", "ts.cnf", "-extensions", "tsa", "-days", "2", "-out", "tsa.pem")  # fmt: skip

    def run(self, *command: str) -> str:
        done = subprocess.run([self.openssl, *command], cwd=self.directory, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def stamp(self, request: bytes) -> bytes:
        (self.directory / "request").write_bytes(request)
        self.run(
            "ts", "-reply", "-config", "ts.cnf", "-section", "tsa_config", "-queryfile", "request", "-out", "answer"
        )
        return (self.directory / "answer").read_bytes()


@pytest.fixture
def authority() -> Iterator[tuple[Stamping, str, list[bytes]]]:
    """An authority, its URL, and what it answers instead, if anything."""
    with tempfile.TemporaryDirectory() as directory:
        stamping, instead = Stamping(Path(directory)), list[bytes]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = self.rfile.read(int(self.headers["Content-Length"]))
                body = instead[0] if instead else stamping.stamp(request)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield stamping, f"http://127.0.0.1:{server.server_port}/", instead
            server.shutdown()
            thread.join()


def test_openssl_verifies_the_token_that_completes_a_receipt(
    authority: tuple[Stamping, str, list[bytes]], tmp_path: Path
) -> None:
    stamping, url, _ = authority
    service = Service(tmp_path, "--interval", "100ms", "--tsa", url)
    with running(service):
        writer = Writer(70).known_to(service)
        text = service.show(writer.root, writer.open()).text
        path = f"/log/{b64(writer.root)}/proof/{b64(hashlib.sha256(text).digest())}"
        until(lambda: b"\nextra " in service.ask("GET", path).body, "the token")
        proof, _, note = service.ask("GET", path).body.decode().partition("\n\n")
    token = next(line for line in proof.split("\n") if line.startswith("extra "))
    (stamping.directory / "token").write_bytes(base64.b64decode(token.removeprefix("extra ")))
    (stamping.directory / "text").write_text(note.partition("\n\n")[0] + "\n")
    verify = ["ts", "-verify", "-in", "token", "-token_in", "-data", "text", "-CAfile", "ca.pem"]
    assert "Verification: OK" in stamping.run(*verify)


@pytest.mark.parametrize("kind", ["nothing", "noise", "of another text", "too long"])
def test_an_answer_that_is_no_token_for_this_text_is_refused(
    kind: str, authority: tuple[Stamping, str, list[bytes]]
) -> None:
    stamping, url, instead = authority
    asking = Authority(url)
    assert asking.stamp(b"a text")
    other = (stamping.directory / "answer").read_bytes()
    instead.append({"nothing": b"", "noise": bytes(500), "of another text": other, "too long": bytes(2**17)}[kind])
    with pytest.raises(WitnessServiceError, match="time-stamp authority"):
        asking.stamp(b"another text")
