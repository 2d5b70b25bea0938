"""A time-stamp authority of openssl stamps the witness's tree, and openssl accepts the token that stands in a proof."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick.witness.errors import WitnessServiceError
from tallystick.witness.timestamp import Authority
from tests.servers import until
from tests.witness.service import Service, Writer, b64, running
from tests.witness.stamping import Stamping, authority

@pytest.fixture
def stamped() -> Iterator[tuple[Stamping, str, list[bytes]]]:
    with authority() as found:
        yield found


def test_openssl_verifies_the_token_that_completes_a_receipt(
    stamped: tuple[Stamping, str, list[bytes]], tmp_path: Path
) -> None:
    stamping, url, _ = stamped
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
    kind: str, stamped: tuple[Stamping, str, list[bytes]]
) -> None:
    stamping, url, instead = stamped
    asking = Authority(url)
    assert asking.stamp(b"a text")
    other = (stamping.directory / "answer").read_bytes()
    instead.append({"nothing": b"", "noise": bytes(500), "of another text": other, "too long": bytes(2**17)}[kind])
    with pytest.raises(WitnessServiceError, match="time-stamp authority"):
        asking.stamp(b"another text")
