"""All secrets of a log whose V and S are known, in every form in which memory could hold them.

Derived from the specification alone (section 3), and shares nothing with the package but `spec/check.py`.
"""

import base64
import hashlib
import struct
from dataclasses import dataclass
from functools import cache

from tests.forging import MAKE, b64
from tests.sealed import position, stripped

V, S = hashlib.sha256(b"V of a test").digest(), hashlib.sha256(b"S of a test").digest()
EPOCHS, BEYOND = 256, 3  # epochs of a chain; chains, and keys of an epoch, beyond those that are there
derive, H = MAKE.derive, MAKE.H


@dataclass(frozen=True)
class Mark:
    """Which secret a pattern belongs to, and what form of it: `raw` is 32 bytes as they are, in two halves."""

    what: str  # V, S, A, B, C, D, E, K, chain key, epoch key, head, master key, data key, slot, state, wrapped key
    at: tuple[int, ...]  # chain; chain, epoch; chain, epoch, index; version of a state
    form: str


class Patterns:
    """Patterns of 16 bytes, and what each is part of."""

    def __init__(self):
        self.marks = []
        self.data = bytearray()

    def add(self, what, at, secret):
        """Add the forms of a secret of 32 bytes that the primitives make, and from which it follows."""
        self._halves(what, at, forms(secret))

    def add_seed(self, what, at, seed):
        """Add an Ed25519 seed and what signing makes of it."""
        self._halves(what, at, forms(seed))
        self._halves(what, at, expanded(seed))

    def add_text(self, what, at, text, raw):
        """Add a secret that is kept as text."""
        self._halves(what, at, {"text": text[:32], "raw": raw})

    def add_state(self, version, state):
        """Add what is encrypted in a sealing state, in pieces: of 31 bytes of it, wherever they lie, one is found."""
        for name, what in ((b"secret", "state"), (b"wrapped", "wrapped key")):
            start = state.index(b"\n" + name + b" ") + len(name) + 2
            text = state[start : state.index(b"\n", start)]
            coded = {"text": text, "raw": base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))}
            if what == "wrapped key":
                coded = {form: data[-len(data) // 2 :] for form, data in coded.items()}  # names and costs lead it
            coded["hex"], coded["raw hex"] = coded["text"].hex().encode(), coded["raw"].hex().encode()
            for shift in range(3):
                for form in ("text", "raw"):
                    part = coded[form][shift:]
                    coded[f"base64 of {form}, {shift}"] = base64.b64encode(part[: len(part) // 3 * 3])
            for form, data in coded.items():
                for at in range(0, len(data) - 15, 16):
                    self.marks.append(Mark(what, (version,), form))
                    self.data += data[at : at + 16]

    def add_all(self, others):
        """Add what others are."""
        self.marks += others.marks
        self.data += others.data

    def _halves(self, what, at, forms):
        for form, data in forms.items():
            self.marks += [Mark(what, at, form)] * 2
            self.data += data


@cache
def forms(secret):
    """The forms of a secret of 32 bytes that hashing makes."""
    a, b, c, d, e, f, g, h = struct.unpack(">8I", secret)
    made = {
        "raw": secret,
        "words of the processor": struct.pack("<8I", a, b, c, d, e, f, g, h),
        "registers of SHA-NI": struct.pack("<8I", f, e, b, a, h, g, d, c),
    }
    for pad, form in ((0x36, "inner"), (0x5C, "outer")):
        made[f"{form} pad"] = bytes(byte ^ pad for byte in secret)
        made[f"{form} state"] = midstate(made[f"{form} pad"] + bytes([pad]) * 32)
    return made


@cache
def expanded(seed):
    """What signing makes of an Ed25519 seed (RFC 8032 section 5.1.5)."""
    both = bytearray(hashlib.sha512(seed).digest())
    both[0] &= 248
    both[31] = both[31] & 127 | 64
    return {"scalar": bytes(both[:32]), "prefix": bytes(both[32:])}


@cache
def of_chain(chain):
    """The secrets of a chain and its epochs, but for entry keys; also returns E of each epoch."""
    patterns, starts = Patterns(), []
    a, b = MAKE.chain_link(V, chain), MAKE.chain_link(S, chain)
    c = derive(a, "chain")
    for what, key in (("A", a), ("B", b), ("C", c)):
        patterns.add(what, (chain,), key)
    patterns.add_seed("chain key", (chain,), derive(b, "chain key"))
    e, d = derive(c, "epochs"), derive(b, "epochs")
    for epoch in range(EPOCHS):
        patterns.add("E", (chain, epoch), e)
        patterns.add("D", (chain, epoch), d)
        patterns.add_seed("epoch key", (chain, epoch), derive(d, "epoch key"))
        starts.append(e)
        e, d = derive(e, "next"), derive(d, "next")
    return patterns, starts


def of_log(sealed):
    """Return the patterns of all secrets of a log, from the lines that were sealed so far, and beyond."""
    ends, newest = {}, None
    patterns = Patterns()
    patterns.add("V", (), V)
    patterns.add("S", (), S)
    marks = []
    for line in sealed:
        chain, epoch, index = position(line)
        ends[chain, epoch] = index
        m = stripped(line)
        if m.startswith(b"tallystick/v1 "):
            newest = H(m)
            after = (chain, epoch + 1, 0) if b" continues " in m else (chain, epoch, index + 1)
        else:
            after = (chain, epoch, index + 1)
        marks.append((after, newest))
    keys = {}
    for chain in range(1, max(chain for chain, _ in ends) + 1 + BEYOND):
        others, starts = of_chain(chain)
        patterns.add_all(others)
        for epoch, e in enumerate(starts):
            k = derive(e, "entry")
            for index in range(ends.get((chain, epoch), -1) + 1 + BEYOND):
                patterns.add("K", (chain, epoch, index), k)
                keys[chain, epoch, index] = k
                k = H(k)
    for at, statement in marks:
        mac = MAKE.mac(derive(keys[at], "head"), f"{MAKE.dotted(at)}.{b64(statement)}".encode())
        patterns.add_text("head", at, b64(mac).encode(), raw=mac)
    return patterns


_PRIMES = [p for p in range(2, 312) if all(p % q for q in range(2, p))]
_K = [int((p ** (1 / 3) % 1) * 2**32) for p in _PRIMES]
_IV = struct.unpack("<8I", bytes.fromhex("67e6096a85ae67bb72f36e3c3af54fa57f520e518c68059babd9831f19cde05b"))


def midstate(block):
    """Return what one block makes of the first state of SHA-256 (FIPS 180-4), in words of the processor."""
    w = list(struct.unpack(">16I", block))
    for i in range(16, 64):
        x, y = w[i - 15], w[i - 2]
        s0 = _turn(x, 7) ^ _turn(x, 18) ^ x >> 3
        s1 = _turn(y, 17) ^ _turn(y, 19) ^ y >> 10
        w.append((w[i - 16] + s0 + w[i - 7] + s1) & 0xFFFFFFFF)
    a, b, c, d, e, f, g, h = _IV
    for i in range(64):
        one = h + (_turn(e, 6) ^ _turn(e, 11) ^ _turn(e, 25)) + (e & f ^ ~e & g) + _K[i] + w[i]
        two = (_turn(a, 2) ^ _turn(a, 13) ^ _turn(a, 22)) + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = one + two & 0xFFFFFFFF, a, b, c, d + one & 0xFFFFFFFF, e, f, g
    return struct.pack("<8I", *((x + y) & 0xFFFFFFFF for x, y in zip(_IV, (a, b, c, d, e, f, g, h), strict=True)))


def _turn(x, n):
    return (x >> n | x << 32 - n) & 0xFFFFFFFF
