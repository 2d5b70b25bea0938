"""Custody by something outside of this host's files: a key management service, a token, a chip.

What speaks to it runs in a process of its own, which ends with its answer: whatever copies of a key its libraries make
in their memory go with it, and nothing of them is loaded into the writer. A provider encrypts a fresh key, which
encrypts the data key together with its context here, in memory that is wiped.
"""

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar

from tallystick._core import DataKey
from tallystick.custody.options import unopened
from tallystick.errors import CustodyError, reason

__all__ = ["DONE", "FAILED", "PROVIDERS", "Outside", "Provider", "connect"]

# Each is imported when it is first asked for: nobody pays for what others use.
PROVIDERS = {
    "aws-kms": ("aws_kms", "AwsKms"),
    "pkcs11": ("pkcs11", "Pkcs11"),
    "systemd-creds": ("systemd_creds", "SystemdCreds"),
    "tpm2": ("tpm2", "Tpm2"),
    "vault-transit": ("vault_transit", "VaultTransit"),
}

# The first byte of an answer; the rest is what was asked for, or what to tell the user.
DONE, FAILED = b"+", b"-"

T = TypeVar("T")

_LONGEST = 16_384  # bytes of an answer: more would not fit into a pipe that nobody empties yet
_SURPLUS = 2.0  # seconds for the interpreter to start, beyond what the provider may take


class Provider(Protocol):
    """Speaks to what holds the key; works in a process of its own, where every error but CustodyError is a bug.

    It is made in the writer's process, too: making it loads no library and asks nobody.
    """

    url: str  # holds no secret
    timeout: float  # seconds that a call may take, with all its attempts

    def encrypt(self, key: bytes) -> bytes:
        """Encrypt some bytes, 100 at most.

        Raises:
            CustodyError: The provider is not at hand or refuses; names it and says what to do.
        """
        ...

    def decrypt(self, wrapped: bytes) -> bytes:
        """Decrypt what `encrypt` returned.

        Raises:
            CustodyError: The provider is not at hand or refuses, or this is nothing that it encrypted.
        """
        ...


class Outside:
    """Custody by a provider."""

    def __init__(self, provider: Provider) -> None:
        self.url = provider.url
        self._timeout = provider.timeout

    def wrap(self, key: DataKey, context: bytes) -> bytes:
        """Encrypt a data key; `context` is authenticated with it.

        Raises:
            CustodyError: The provider is not at hand or refuses.
        """
        between = DataKey.generate()
        wrapped = self._ask("encrypt", between.write, lambda fd: os.read(fd, _LONGEST + 1))
        if not 0 < len(wrapped) <= _LONGEST:
            raise CustodyError(f"{self.url} gave an answer of {len(wrapped)} bytes; look at what stands there")
        return len(wrapped).to_bytes(2, "big") + wrapped + between.wrap(key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> DataKey:
        """Decrypt what `wrap` returned for the same context.

        Raises:
            CustodyError: The provider is not at hand or refuses, or holds another key, or a byte was changed.
        """
        length = int.from_bytes(wrapped[:2], "big")
        outer, inner = wrapped[2 : 2 + length], wrapped[2 + length :]
        if not (0 < length == len(outer) <= _LONGEST and inner):
            raise unopened(self.url)
        try:
            between = self._ask("decrypt", lambda fd: _write_all(fd, outer), DataKey.read)
            return between.unwrap(inner, context)
        except ValueError:
            raise unopened(self.url) from None

    def _ask(self, what: str, give: Callable[[int], None], take: Callable[[int], T]) -> T:
        command = [_interpreter(), "-P", "-m", "tallystick.custody", what, self.url]
        pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
        try:
            # A session of its own: what is typed at a terminal ends this process, and this process ends that one.
            child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nowhere, start_new_session=True)
        except OSError as error:
            raise CustodyError(f"what speaks to {self.url} cannot be run: {reason(error)}") from None
        with child:
            try:
                return self._speak(child, give, take)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)

    def _speak(self, child: "subprocess.Popen[bytes]", give: Callable[[int], None], take: Callable[[int], T]) -> T:
        assert child.stdin
        assert child.stdout
        answer = child.stdout.fileno()
        with suppress(BrokenPipeError):  # then it says why
            give(child.stdin.fileno())
        with suppress(BrokenPipeError):
            child.stdin.close()
        try:
            child.wait(self._timeout + _SURPLUS)
        except subprocess.TimeoutExpired:
            raise CustodyError(
                f"{self.url} did not answer within {self._timeout:g} seconds; see that it runs and can be reached"
            ) from None
        mark = os.read(answer, 1)
        if mark == DONE:
            return take(answer)
        if mark == FAILED:
            raise CustodyError(os.read(answer, _LONGEST).decode("utf-8", "replace"))
        raise CustodyError(f"what speaks to {self.url} was ended before it had answered; try again")


def connect(url: str) -> Provider:
    """Return the provider at a URL; nobody is asked yet.

    Raises:
        CustodyError: The URL is malformed.
    """
    module, name = PROVIDERS[url.partition(":")[0]]
    provider: Provider = getattr(importlib.import_module(f"tallystick.custody.{module}"), name)(url)
    return provider


def _interpreter() -> str:
    """Return the Python to run; a server that embeds it may name itself here."""
    if os.path.basename(sys.executable or "").startswith("python"):
        return sys.executable
    return os.path.join(sys.exec_prefix, "bin", "python3")


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
