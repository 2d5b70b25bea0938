"""Objects of Google's and Azure's stores: verified in real emulators of them, over TLS.

These are named by the environment: TALLYSTICK_FAKE_GCS is fake-gcs-server, TALLYSTICK_AZURITE is azurite-blob.
"""

import base64
import email.utils
import hmac
import json
import os
import random
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tallystick
from tallystick.objects import connect
from tallystick.objects.deposit import Deposit
from tallystick.verify import Verdict
from tests import doctoring
from tests.servers import Server, authority

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account that Azurite is made with, as its documentation says."""

Put = Callable[[str, bytes], None]


def named(variable: str, remedy: str) -> str:
    if (place := os.environ.get(variable)) is None:
        pytest.skip(f"{remedy}, and name it in {variable}")
    return place


def call(server: Server, path: str, data: bytes, method: str, **headers: str) -> None:
    """Ask something of a server."""
    context = ssl.create_default_context(cafile=server.directory / "ca.pem")
    headers = {name.replace("_", "-"): text for name, text in headers.items()}
    request = urllib.request.Request(
        f"https://localhost:{server.port}{path}", data=data, method=method, headers=headers
    )
    with urllib.request.urlopen(request, context=context) as answer:
        assert answer.status in (200, 201)


class Google(Server):
    def command(self) -> list[str]:
        program = named("TALLYSTICK_FAKE_GCS", "install fake-gcs-server")
        here = f"localhost:{self.port}"
        options = ["-backend", "memory", "-host", "127.0.0.1", "-port", str(self.port), "-public-host", here]
        options += ["-external-url", f"https://{here}", "-cert-location", str(self.directory / "localhost.pem")]
        return [program, *options, "-private-key-location", str(self.directory / "localhost.key")]


class Azure(Server):
    def command(self) -> list[str]:
        program = named("TALLYSTICK_AZURITE", "npm install azurite")
        options = ["--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--inMemoryPersistence"]
        options += ["--skipApiVersionCheck", "--disableTelemetry"]
        options += ["--cert", str(self.directory / "localhost.pem")]
        return [program, *options, "--key", str(self.directory / "localhost.key")]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    authority(tmp_path, localhost="DNS:localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    connect.cache_clear()
    return tmp_path


@pytest.fixture
def gs(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Put]:
    """Start Google's store with a bucket; give what puts objects there."""
    server = Google(directory).start()
    account = {"gcs_base_url": f"https://localhost:{server.port}", "disable_oauth": True}
    account |= dict.fromkeys(("client_email", "private_key", "private_key_id"), "none")
    (directory / "account.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(directory / "account.json"))
    kind = {"Content_Type": "application/json"}
    call(server, "/storage/v1/b?project=none", b'{"name": "logs"}', "POST", **kind)
    yield lambda name, data: call(server, f"/upload/storage/v1/b/logs/o?uploadType=media&name={name}", data, "POST")
    server.stop()


@pytest.fixture
def az(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Put]:
    """Start Azure's store with a container; give what puts objects there."""
    server = Azure(directory).start()
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"https://localhost:{server.port}/{ACCOUNT}")
    told = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    signed = "PUT" + "\n" * 12 + "".join(f"{name}:{text}\n" for name, text in told.items())
    signed += f"/{ACCOUNT}/{ACCOUNT}/logs\nrestype:container"
    tag = base64.b64encode(hmac.digest(base64.b64decode(KEY), signed.encode(), "sha256")).decode()
    told |= {"Authorization": f"SharedKey {ACCOUNT}:{tag}", "Content-Type": ""}
    call(server, f"/{ACCOUNT}/logs?restype=container", b"", "PUT", **told)
    yield connect("az://logs").put
    server.stop()


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_a_log_in_the_store_is_verified_and_what_is_known_is_not_read_again(
    scheme: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    put: Put = request.getfixturevalue(scheme)
    rng = random.Random(7)
    while len((log := doctoring.seal(rng)).lines) < 60:
        pass
    doctoring.write(tmp_path, log)
    half = log.data.index(b"\n", len(log.data) // 2) + 1
    put("day/a.log", log.data[:half])
    put("day/b.log", log.data[half:])
    keys = {"keys": [tmp_path / "log.key"], "head": tmp_path / "log.head", "resume": tmp_path / "memory"}
    first = tallystick.verify([f"{scheme}://logs/day/"], **keys)
    assert first.verdict is Verdict.OK
    again = tallystick.verify([f"{scheme}://logs/**"], **keys)
    assert again == first
    assert again.remembered is not None
    assert again.remembered.size == len(log.data)
    assert tallystick.verify([f"{scheme}://logs/day/a.log"], **keys).verdict is Verdict.FAILED


def test_what_is_shipped_to_azure_is_read_back(az: Put, tmp_path: Path) -> None:
    (tmp_path / "audit.log.1").write_bytes(b"user=7\n")
    deposit = Deposit.of("az://logs/app")
    for _ in range(2):
        with open(tmp_path / "audit.log.1", "rb") as file:
            assert deposit.put("audit.log.1", file).size == 7
    with pytest.raises(OSError, match="already"):
        connect("az://logs").put("app/audit.log.1", b"other")
