"""Agents that a test starts, and that end with it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.agent.client import OPEN, Agent


@pytest.fixture
def agents(site):
    """Start an agent for the log of a site."""
    started = []

    def start(*options, **more):
        started.append(Agent(site, *options, **more))
        return started[-1]

    yield start
    for each in started:
        each.kill()
    while OPEN:
        OPEN.pop().close()


@pytest.fixture
def certificates(tmp_path, issued):
    """An authority, a server of the name localhost, one of another name, a client; a client of another authority."""
    return Path(shutil.copytree(issued, tmp_path, dirs_exist_ok=True))


@pytest.fixture(scope="session")
def issued(tmp_path_factory):
    """Make those certificates, once for all tests."""
    place = tmp_path_factory.mktemp("issued")

    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=place)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj")
    for authority, names in (("ca", ("localhost", "elsewhere", "client")), ("other", ("stranger",))):
        openssl("req", "-x509", *new, f"/CN={authority}", "-keyout", f"{authority}.key",
                "-out", f"{authority}.pem", "-days", "2")  # fmt: skip
        for name in names:
            (place / "names").write_text(f"subjectAltName=DNS:{name}\n")
            openssl("req", *new, f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
                    "-CAcreateserial", "-out", f"{name}.pem", "-days", "2", "-extfile", "names")  # fmt: skip
    return place
