"""systemd-creds as custody: `systemd-creds:[?with-key=auto|host|tpm2|host+tpm2][&timeout=SECONDS]`.

The key is sealed to this machine: by a secret in /var/lib/systemd that only root reads, by its TPM, or by both.
Needs root and systemd 250.
"""

import subprocess

from tallystick.custody.base import Owner
from tallystick.custody.options import Options, Remembers, unopened
from tallystick.errors import CustodyError, reason

__all__ = ["SystemdCreds"]

_KEYS = ("auto", "host", "tpm2", "host+tpm2")


class SystemdCreds(Remembers):
    """Custody by the credentials of systemd."""

    def __init__(self, url: str) -> None:
        options = Options.parse(url, {"with-key": "auto"})
        if options.place or options["with-key"] not in _KEYS:
            raise CustodyError(
                "the URL of the custody systemd-creds: is malformed",
                hint="write systemd-creds: or systemd-creds:?with-key=tpm2",
            )
        self.url, self.timeout, self._key = url, options.timeout, options["with-key"]

    def encrypt(self, key: bytes, owner: Owner, replacing: bytes | None) -> bytes:
        """Encrypt some bytes, for this machine."""
        return self._run("encrypt", key, f"--with-key={self._key}")

    def decrypt(self, wrapped: bytes, owner: Owner) -> bytes:
        """Decrypt what `encrypt` returned on this machine."""
        return self._run("decrypt", wrapped)

    def _run(self, what: str, given: bytes, *options: str) -> bytes:
        command = ["systemd-creds", "--name=tallystick", *options, what, "-", "-"]
        try:
            done = subprocess.run(command, input=given, capture_output=True, timeout=self.timeout, check=False)
        except subprocess.TimeoutExpired:
            raise CustodyError(
                f"systemd-creds did not answer within {self.timeout:g} seconds", hint="try again"
            ) from None
        except OSError as error:
            raise CustodyError(
                f"systemd-creds cannot be run: {reason(error)}", hint="install systemd 250 or later"
            ) from None
        if done.returncode or not done.stdout:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it says nothing"]
            why, advice = said[0].rstrip(".")[:200], "run this as root, on the machine that the log was set up on"
            if what == "decrypt":
                raise unopened(f"systemd-creds ({why})", advice)
            raise CustodyError(f"systemd-creds cannot encrypt the key ({why})", hint=advice)
        return done.stdout
