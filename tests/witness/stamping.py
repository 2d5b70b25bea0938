"""A time-stamp authority: `openssl ts`, which answers over HTTP."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path

from tests.servers import Answering, program

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

    def __init__(self, directory: Path, chain: bool = False) -> None:
        self.directory, self.openssl = directory, program("openssl", "apt install openssl")
        (directory / "ts.cnf").write_text(SETTINGS)
        (directory / "serial").write_text("01\n")
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-config", "ts.cnf"]
        self.run("req", "-x509", *new, "-extensions", "ca", "-subj", "/CN=root", "-keyout", "ca.key", "-out", "ca.pem")
        self.run("req", *new, "-keyout", "tsa.key", "-out", "tsa.csr")
        self.run("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                 "-extfile", "ts.cnf", "-extensions", "tsa", "-days", "2", "-out", "tsa.pem")  # fmt: skip
        if chain:  # openssl writes these in an order of its own
            self.run(
                "req", "-x509", *new, "-extensions", "ca", "-subj", "/CN=a", "-keyout", "o.key", "-out", "other.pem"
            )
            certificates = [(directory / name).read_text() for name in ("ca.pem", "other.pem")]
            (directory / "chain.pem").write_text("".join(certificates))
            settings = (directory / "ts.cnf").read_text()
            (directory / "ts.cnf").write_text(settings + "certs = chain.pem\n")

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


@contextmanager
def authority(chain: bool = False) -> Iterator[tuple[Stamping, str, list[bytes]]]:
    """Give an authority, its URL, and what it answers instead, if anything."""
    with tempfile.TemporaryDirectory() as directory:
        stamping, instead = Stamping(Path(directory), chain), list[bytes]()

        def answer(path: str, headers: Message, body: bytes) -> tuple[int, bytes]:
            return 200, instead[0] if instead else stamping.stamp(body)

        with Answering.running(answer) as server:
            yield stamping, f"http://127.0.0.1:{server.port}/", instead
