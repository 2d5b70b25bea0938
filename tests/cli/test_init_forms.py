"""The verification key at set-up: encrypted for somebody, or as a QR code."""

import os
import shutil
import subprocess

import pytest


def tool(name):
    if shutil.which(name) is None:
        if os.environ.get("TALLYSTICK_CI"):
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")
    return name


@pytest.fixture
def identity(tmp_path):
    """An identity of age: its file, and its public half."""
    path = tmp_path / "identity"
    subprocess.run([tool("age-keygen"), "-o", path], check=True, capture_output=True)
    said = subprocess.run(["age-keygen", "-y", path], check=True, capture_output=True, text=True)
    return path, said.stdout.strip()


def test_a_key_that_is_encrypted_for_a_recipient_is_opened_by_age_and_verifies(bare, identity):
    secret, public = identity
    done = bare("init", "payments", "--custody", bare.custody, "--verification-key", "key.age", "--recipient", public)
    assert (done.status, done.out) == (0, b"")
    assert b"tallysecret" not in (bare.path / "key.age").read_bytes()
    opened = subprocess.run(["age", "-d", "-i", secret, bare.path / "key.age"], check=True, capture_output=True)
    (bare.path / "payments.key").write_bytes(opened.stdout)
    bare.seal(b"one\n")
    assert bare.verdict() == ("ok", [])


def test_without_a_file_the_encrypted_key_goes_to_standard_output(bare, identity):
    secret, public = identity
    done = bare("init", "payments", "--custody", bare.custody, "--recipient", public)
    assert done.out.startswith(b"-----BEGIN AGE ENCRYPTED FILE-----\n")
    opened = subprocess.run(["age", "-d", "-i", secret], input=done.out, check=True, capture_output=True)
    assert opened.stdout.startswith(b"tallysecret1")


@pytest.mark.parametrize("wrong", ["age1xyz", "ssh-ed25519 AAAA", "AGE-SECRET-KEY-1ABC"])
def test_a_wrong_recipient_leaves_nothing(bare, wrong):
    done = bare("init", "payments", "--custody", bare.custody, "--verification-key", "key", "--recipient", wrong)
    assert done.status in (2, 4)
    assert "no recipient: " in done.err
    assert "1ABC" not in done.err
    assert not (bare.path / "key").exists()
    assert "payments" not in bare("status").out.decode()


def test_a_qr_code_holds_the_key(bare):
    done = bare("init", "payments", "--custody", bare.custody, "--qr")
    text, *code = done.out.decode().splitlines()
    # Drawn as pixels, each half of a block a square of 8 by 8, light where there is a block.
    code = [line for line in code if line]
    rows = []
    for line in code:
        rows.append(["▀█".count(letter) for letter in line])
        rows.append(["▄█".count(letter) for letter in line])
    picture = bare.path / "code.pgm"
    pixels = bytes(255 * light for row in rows for _ in range(8) for light in row for _ in range(8))
    picture.write_bytes(b"P5 %d %d 255\n" % (len(rows[0]) * 8, len(rows) * 8) + pixels)
    read = subprocess.run([tool("zbarimg"), "--raw", "-q", picture], check=True, capture_output=True, text=True)
    assert read.stdout.strip().lower() == text
    (bare.path / "payments.key").write_text(read.stdout)
    bare.seal(b"one\n")
    assert bare.verdict() == ("ok", [])


def test_a_qr_code_goes_with_no_file(bare):
    assert bare("init", "payments", "--qr", "--verification-key", "key").status == 2
