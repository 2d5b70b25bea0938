"""What somebody makes of a log who has the keys of a chain that was opened: another past (spec sections 3 to 6).

He has A[c] and B[c], and the lines as they are. He seals everything since the `open` of chain c again, with lines
changed; that `open` stays as it is, byte for byte, so nothing before it shows a trace. Written from the specification
alone; it shares nothing with the package.

>>> from tests import forging
>>> log = forging.Writer().chain_of("pay 5", "closed").chain_of("pay 7", "pay 8", "closed").log()
>>> a, b = (forging.MAKE.chain_link(secret, 2) for secret in (forging.V, forging.S))
>>> lines, heads = reseal(log.lines, 2, a, b, lambda m: m.replace(b"7", b"0"))
>>> [new == old for new, old in zip(lines, log.lines)]
[True, True, True, True, False, True, False]
>>> lines[4][:5], lines[5][:5], heads["2.0.4"] != log.heads["2.0.4"]
(b'pay 0', b'pay 8', True)
"""

import base64
import struct
from collections.abc import Callable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from tests.forging import MAKE, b64
from tests.sealed import position, stripped

__all__ = ["keys_in", "reseal"]

derive, H, mac = MAKE.derive, MAKE.H, MAKE.mac


def keys_in(state: bytes, data_key: bytes) -> tuple[bytes, bytes] | None:
    """Return A[c] and B[c] of a sealing state (section 6); None if the data key is another one."""
    public, _, secret = state.rstrip(b"\n").rpartition(b"\nsecret ")
    sealed = base64.urlsafe_b64decode(secret + b"=" * (-len(secret) % 4))
    nonce, text = sealed[:24], sealed[24:]
    cipher = ChaCha20Poly1305(_hchacha20(data_key, nonce[:16]))  # XChaCha20-Poly1305
    try:
        both = cipher.decrypt(bytes(4) + nonce[16:], text, public + b"\n")
    except InvalidTag:
        return None
    return both[:32], both[32:]


def reseal(
    lines: Sequence[bytes], chain: int, a: bytes, b: bytes, change: Callable[[bytes], bytes]
) -> tuple[list[bytes], dict[str, str]]:
    """Seal everything from a chain on again.

    Args:
        lines: All lines of one log, as they are.
        chain: The chain whose keys are known.
        a: A[c] of it.
        b: B[c] of it.
        change: What becomes of an entry.

    Returns:
        The lines, as many as there were; and the text of each head since, by the position that it counts up to.
    """
    forger = _Forger(chain, a, b)
    return [line if position(line)[0] < chain else forger.again(line, change) for line in lines], forger.heads


class _Forger:
    def __init__(self, chain: int, a: bytes, b: bytes) -> None:
        self._first, self._chain, self._a, self._b = chain, chain, a, b
        self._newest = b""  # hash of the newest statement
        self._macs: dict[str, bytes] = {}
        self.heads: dict[str, str] = {}

    def again(self, line: bytes, change: Callable[[bytes], bytes]) -> bytes:
        """Return another line for a position."""
        at, m = position(line), stripped(line)
        self._log_id = line.rsplit(b"tally=", 1)[1][:8].decode()
        control = m.startswith(b"tallystick/v1 ")
        if control and m.split(b" ")[1] == b"open":
            m = self._opened(at[0], m.decode())
        elif control:
            m = self._checkpoint(m.decode())
        else:
            m = change(m)
        return self._sealed(at, m, control=control)

    def _opened(self, chain: int, text: str) -> bytes:
        while self._chain < chain:
            self._a, self._b, self._chain = derive(self._a, "next"), derive(self._b, "next"), self._chain + 1
        self._e, self._d = derive(derive(self._a, "chain"), "epochs"), derive(self._b, "epochs")
        self._begin_epoch()
        fields = text.split(" ")
        if chain > self._first:  # the head that it names stands for lines that are other ones now
            named = fields[6].split(".")
            at = ".".join(named[:3])
            if at in self.heads:
                head = self.heads[at].split(" ")[2]
                fields[6] = f"{head}.{b64(mac(self._macs[at], f'open {chain}'.encode())[:16])}"
        return self._signed(fields, derive(self._b, "chain key"))

    def _checkpoint(self, text: str) -> bytes:
        fields = text.split(" ")
        fields[7], fields[8] = b64(MAKE.mth(self._leaves)), b64(self._newest)
        self._ends = fields[10]
        return self._signed(fields, derive(self._d, "epoch key"))

    def _begin_epoch(self) -> None:
        self._key, self._leaves, self._ends = derive(self._e, "entry"), [], ""

    def _signed(self, fields: list[str], seed: bytes) -> bytes:
        body = " ".join(fields[:-1]).encode()
        text: bytes = body + b" " + b64(MAKE.signer(seed).sign(body)).encode()
        self._newest = H(text)
        return text

    def _sealed(self, at: tuple[int, int, int], m: bytes, *, control: bool) -> bytes:
        hashed = H((b"\x03" if control else b"\x02") + m)
        tag = mac(self._key, hashed)[:16]
        line: bytes = MAKE.seal_line(m, f"{self._log_id}.{MAKE.dotted(at)}.{len(m)}.{b64(tag)}".encode())
        self._leaves += MAKE.leaf_hashes([tag + hashed])
        self._key = H(self._key)
        after = (at[0], at[1], at[2] + 1)
        if self._ends == "continues":
            self._e, self._d = derive(self._e, "next"), derive(self._d, "next")
            self._begin_epoch()
            after = (at[0], at[1] + 1, 0)
        head = f"{MAKE.dotted(after)}.{b64(self._newest)}"
        self._macs[MAKE.dotted(after)] = made = mac(derive(self._key, "head"), head.encode())
        self.heads[MAKE.dotted(after)] = f"tallyhead {self._log_id} {head} {b64(made)}"
        return line


def _hchacha20(key: bytes, nonce: bytes) -> bytes:
    """Return the key that XChaCha20 derives (draft-irtf-cfrg-xchacha section 2.2)."""
    x = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))
    for _ in range(10):
        for a, b, c, d in (
            (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
            (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
        ):  # fmt: skip
            for low, high, turn, other in ((a, b, 16, d), (c, d, 12, b), (a, b, 8, d), (c, d, 7, b)):
                x[low] = x[low] + x[high] & 0xFFFFFFFF
                word = x[other] ^ x[low]
                x[other] = (word << turn | word >> 32 - turn) & 0xFFFFFFFF
    return struct.pack("<8I", *x[:4], *x[12:])
