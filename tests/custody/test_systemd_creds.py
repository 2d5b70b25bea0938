"""Custody by the credentials of systemd."""

import os

import pytest

from tallystick import custody as custodies
from tallystick._core import DataKey
from tallystick.errors import CustodyError
from tests.custody.suite import OWNER, OutsideSuite
from tests.servers import program


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """A machine with a secret of its own."""
    program("systemd-creds", "install systemd 250 or later")
    if os.geteuid() != 0:
        pytest.skip("systemd-creds works for root only")
    monkeypatch.setenv("SYSTEMD_CREDENTIAL_SECRET", str(tmp_path / "credential.secret"))


class Elsewhere:
    """The same custody on a machine with another secret."""

    def __init__(self, custody, secret):
        self.custody, self.secret = custody, secret

    def unwrap(self, wrapped, context):
        with pytest.MonkeyPatch.context() as there:
            there.setenv("SYSTEMD_CREDENTIAL_SECRET", str(self.secret))
            self.custody.wrap(DataKey.generate(), context)  # makes the secret
            return self.custody.unwrap(wrapped, context)


class TestSystemdCreds(OutsideSuite):
    @pytest.fixture
    def custody(self):
        return custodies.connect("systemd-creds:?with-key=host")

    @pytest.fixture
    def stranger(self, custody, tmp_path):
        return Elsewhere(custody, tmp_path / "elsewhere")


@pytest.mark.parametrize("url", ["systemd-creds:/x", "systemd-creds:?with-key=none", "systemd-creds:?timeout=0"])
def test_a_malformed_url_is_reported_at_once(url):
    with pytest.raises(CustodyError, match="systemd-creds:"):
        custodies.connect(url)


def test_a_missing_program_is_reported(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CustodyError, match="no such file or directory\nhint: install systemd 250 or later"):
        custodies.connect("systemd-creds:").wrap(DataKey.generate(), OWNER)


def test_without_a_chip_the_kind_of_key_that_needs_one_is_reported(monkeypatch):
    monkeypatch.setenv("TPM2TOOLS_TCTI", "none")
    with pytest.raises(CustodyError, match=r"systemd-creds cannot encrypt the key \(.+\)\nhint: run this as root"):
        custodies.connect("systemd-creds:?with-key=tpm2").wrap(DataKey.generate(), OWNER)
