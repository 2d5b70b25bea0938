"""A time-stamp authority of openssl stamps the witness's tree, and openssl accepts the token that stands in a proof."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import rfc3161_client

from tallystick.errors import FormatError
from tallystick.tokens import Token, answer_in_order, read_roots
from tallystick.witness.errors import WitnessServiceError
from tallystick.witness.posting import Posting
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
    asking = Authority(url, Posting())
    assert asking.stamp(b"a text")
    other = (stamping.directory / "answer").read_bytes()
    instead.append({"nothing": b"", "noise": bytes(500), "of another text": other, "too long": bytes(2**17)}[kind])
    with pytest.raises(WitnessServiceError, match="time-stamp authority"):
        asking.stamp(b"another text")


def test_tokens_of_an_authority_that_does_not_sort_its_certificates_are_read(tmp_path: Path) -> None:
    """openssl writes the certificates of `certs` in an order of its own, which strict readers of DER refuse."""
    with authority(chain=True) as (stamping, url, _):
        token = Authority(url, Posting()).stamp(b"a text")
        raw = (stamping.directory / "answer").read_bytes()
        with pytest.raises(ValueError, match="InvalidSetOrdering"):
            rfc3161_client.decode_timestamp_response(raw)
        (stamping.directory / "token").write_bytes(token)
        (stamping.directory / "text").write_bytes(b"a text")
        verify = ["ts", "-verify", "-in", "token", "-token_in", "-data", "text", "-CAfile", "ca.pem"]
        assert "Verification: OK" in stamping.run(*verify)
        roots = read_roots((stamping.directory / "ca.pem").read_bytes())
        other = read_roots((stamping.directory / "other.pem").read_bytes())
        assert raw[-3000:] != answer_in_order(raw)[-3000:]
    assert Token.read(token, b"a text").doubt(roots) is None
    assert Token.read(token, b"a text").doubt(other) is not None
    with pytest.raises(FormatError, match="something else"):
        Token.read(token, b"another text")


@pytest.mark.parametrize(
    "data", [b"", b"\x30", b"\x30\x80\x00\x00", bytes(100), b"\x30\x84\xff\xff\xff\xff", b"\x3f" * 9]
)
def test_what_is_no_answer_of_an_authority_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"DER|unpack"):
        answer_in_order(data)
    with pytest.raises(FormatError, match="time-stamp"):
        Token.read(data, b"text")
