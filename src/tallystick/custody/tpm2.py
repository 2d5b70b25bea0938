"""The machine's TPM 2.0 as custody: `tpm2:[?pcrs=[BANK:]N+N…][&timeout=SECONDS]`.

The key is sealed to the chip, with `pcrs` also to the content of these registers: to how the machine was started. The
environment variable TPM2TOOLS_TCTI names the chip, as for tpm2-tools; without it the chip is /dev/tpmrm0. The URL never
does, since it is noted in the state, where anybody who may write the key store can change it.

Each call makes the same storage key again and flushes it. The secret goes there and comes back in a session that
encrypts, salted with that key; its name is noted, so that nobody between us and the chip can put another one in its
place later. The name also shows that the chip is another one, or was cleared.

It forgets by a counter in the chip, one for each log: each state is sealed to the next count, and once it is durable
the chip counts on. Nothing else of ours stays in the chip. Older logs have no counter, and go on without.

>>> Tpm2("tpm2:?pcrs=11+7").pcrs
'sha256:7,11'
"""

import hashlib
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

from tallystick._services import library
from tallystick.custody.base import Forgets, Owner
from tallystick.custody.chip import FIRST, PLACES, Bond, Chip, Mark, full, said
from tallystick.custody.host_lock import host_lock
from tallystick.custody.options import Options, unopened
from tallystick.errors import CustodyError

__all__ = ["Tpm2"]

_CHIP, _DEVICE = "TPM2TOOLS_TCTI", "/dev/tpmrm0"
_PCRS = re.compile(r"(?:(sha256|sha384|sha512):)?([0-9]{1,2}(?:[+,][0-9]{1,2})*)")
_ROOM = "tpm2_getcap handles-nv-index lists the indices, tpm2_nvundefine makes room"
_NUMBERS = struct.Struct(">IQQQ")
_COUNTED = b"counted"  # states from before there were counters begin with the name of the chip
# The names that chips give themselves: swtpm, VMware, Amazon, Google, Hyper-V and Azure.
_VIRTUAL = re.compile(r"IBM SW|VMW|AMZN|GOOG|MSFT")


@dataclass(frozen=True, slots=True)
class _Sealed:
    """The answer of `encrypt`; without a counter, `index` is 0 as are the other numbers.

    Args:
        chip: Name of the chip's storage key.
        pcrs: Which PCRs, as tpm2-tools write them.
        then: Their content.
        maker: Whose chip it is, as it said itself.
        index: The place of the log's counter.
        since: Version of the state with which the log got that counter.
        version: That of the state.
        count: The count at which it opens.
        public: The part that the chip needs to open it.
        private: The same, encrypted by the chip.
    """

    chip: bytes
    pcrs: bytes
    then: bytes
    maker: bytes = b""
    index: int = 0
    since: int = 0
    version: int = 0
    count: int = 0
    public: bytes = b""
    private: bytes = b""

    @classmethod
    def read(cls, wrapped: bytes) -> Self:
        """Take an answer of `encrypt` apart."""
        parts = _unpacked(wrapped)
        if len(parts) == 5:
            chip, pcrs, then, public, private = parts
            return cls(chip, pcrs, then, public=public, private=private)
        if len(parts) != 8 or parts[0] != _COUNTED or len(parts[5]) != _NUMBERS.size:
            raise unopened("the TPM")
        _, chip, pcrs, then, maker, numbers, public, private = parts
        index, since, version, count = _NUMBERS.unpack(numbers)
        if not FIRST <= index < FIRST + PLACES:
            raise unopened("the TPM")
        return cls(chip, pcrs, then, maker, index, since, version, count, public, private)

    def head(self) -> bytes:
        """Return all that is known before it is sealed."""
        if not self.index:
            return _packed(self.chip, self.pcrs, self.then)
        numbers = _NUMBERS.pack(self.index, self.since, self.version, self.count)
        return _packed(_COUNTED, self.chip, self.pcrs, self.then, self.maker, numbers)


class Tpm2:
    """Custody by the machine's TPM."""

    def __init__(self, url: str) -> None:
        options = Options.parse(url, {"pcrs": ""})
        self.url, self.timeout = url, options.timeout
        self.pcrs = _selection(options["pcrs"]) if options["pcrs"] else ""  # as tpm2-tools write them
        if options.place:
            raise CustodyError(
                "the URL of the custody tpm2: is malformed", hint="write tpm2: or tpm2:?pcrs=sha256:7+11"
            )

    def encrypt(self, key: bytes, owner: Owner, replacing: bytes | None) -> bytes:
        """Seal some bytes to the chip as it is now, and to the next count of the log's counter."""
        before = None if replacing is None else _Sealed.read(replacing)
        with self._chip() as chip:
            values = chip.values(self.pcrs)
            if before is None:
                return self._begun(chip, key, owner, values)
            if not before.index:
                return self._sealed(chip, key, Bond(self.pcrs, values), _Sealed(chip.name, *self._noted(values)))
            owner.confirm()
            counter = self._counter(chip, before, owner)
            if (now := chip.count(counter)) != before.count:
                raise self._passed(before, now)
            bond = Bond(self.pcrs, values, counter, before.count + 1)
            return self._counted(chip, key, owner, bond, before.index, before.since)

    def decrypt(self, wrapped: bytes, owner: Owner) -> bytes:
        """Unseal an answer of `encrypt` of this chip; first count on where `forget` did not come to that."""
        sealed = _Sealed.read(wrapped)
        if sealed.pcrs.decode("latin-1") != self.pcrs:
            there = _shown(sealed.pcrs)
            raise CustodyError(
                f"{self.url} names other PCRs than {there}, to which the state of this log was sealed",
                hint=f"name {there}",
            )
        with self._chip() as chip:
            counter = self._counter(chip, sealed, owner) if sealed.index else None
            if not sealed.index:
                _refuse_other(chip, sealed)
            now = chip.values(self.pcrs)
            if changed := _changed(self.pcrs, sealed.then, b"".join(now)):
                raise CustodyError(
                    f"the TPM does not open the state of this log: {changed} since that was sealed",
                    hint="start the machine as it was started then, or begin a new log; before the next such change: "
                    "tallystick migrate NAME --to-custody tpm2:",
                )
            bond = Bond(self.pcrs, now, counter, sealed.count)
            with chip.loaded(sealed.public, sealed.private) as (loaded, policy):
                if not sealed.index:
                    return chip.unseal(loaded, bond)
                # The chip must not count because somebody who may write the store named a count ahead.
                if policy != chip.policy(bond):
                    raise unopened("the TPM")
                at = chip.count(counter)
                if at + 1 == sealed.count:
                    with self._alone(sealed.index):
                        self._reach(chip, counter, sealed, owner)
                elif at != sealed.count:
                    raise self._passed(sealed, at)
                secret = chip.unseal(loaded, bond)
            if not secret.startswith(_digest(sealed.head())):
                raise unopened("the TPM")
            return secret[len(_digest(b"")) :]

    def forget(self, wrapped: bytes, owner: Owner) -> None:
        """Count on, to the count at which the present state opens; the counts of older states are over."""
        sealed = _Sealed.read(wrapped)
        if not sealed.index:
            return
        with self._chip() as chip:
            counter = self._counter(chip, sealed, owner)
            with self._alone(sealed.index):
                self._reach(chip, counter, sealed, owner)
                self._remove(chip, owner, sealed.version - 1, keep=sealed.index)

    def destroy(self, wrapped: bytes, owner: Owner) -> None:
        """Remove the counter of a log."""
        sealed = _Sealed.read(wrapped)
        if not sealed.index:
            return
        with self._chip() as chip:
            _refuse_other(chip, sealed)
            with self._alone(sealed.index):
                owner.confirm()
                self._remove(chip, owner, sealed.version)

    def forgets(self, wrapped: bytes | None) -> Forgets:
        """Return whether a counter forgets: that of a chip does, that of a virtual machine does not."""
        if wrapped is None:
            return Forgets(True, "if the TPM is a chip: that of a virtual machine goes back with its snapshots")
        sealed = _Sealed.read(wrapped)
        if not sealed.index:
            return Forgets(
                False, "the TPM did not count yet when it was sealed; this changes with new keys (`tallystick rekey`)"
            )
        if virtual := _VIRTUAL.match(sealed.maker.decode("latin-1")):
            who = virtual[0]  # and nothing else from the state
            return Forgets(False, f"this TPM is that of a virtual machine ({who}), and goes back with its snapshots")
        return Forgets(True, "")

    def _begun(self, chip: Chip, key: bytes, owner: Owner, values: tuple[bytes, ...]) -> bytes:
        """Seal the first state of a log here, to a counter that is made for it."""
        owner.confirm()
        index, counter = self._made(chip, owner)
        try:
            chip.increment(counter)
            bond = Bond(self.pcrs, values, counter, chip.count(counter))
            return self._counted(chip, key, owner, bond, index, owner.version)
        except BaseException:
            with suppress(Exception):
                chip.remove(index)
            raise

    def _made(self, chip: Chip, owner: Owner) -> tuple[int, Any]:
        """Make a counter at the first free place from that which P names."""
        taken, start = set(chip.indices()), int.from_bytes(owner.root[:4], "big")
        for step in range(PLACES):
            index = FIRST + (start + step) % PLACES
            if index not in taken and (counter := chip.define(index, Mark.of(owner.root, owner.version))):
                return index, counter
        raise CustodyError("the TPM has no free index for a counter of this log", hint=_ROOM)

    def _counted(self, chip: Chip, key: bytes, owner: Owner, bond: Bond, index: int, since: int) -> bytes:
        maker = chip.maker().encode("latin-1")
        head = _Sealed(chip.name, *self._noted(bond.values), maker, index, since, owner.version, bond.count)
        # The notes beside it are sealed with it.
        return self._sealed(chip, _digest(head.head()) + key, bond, head)

    def _sealed(self, chip: Chip, secret: bytes, bond: Bond, head: _Sealed) -> bytes:
        public, private = chip.seal(secret, bond)
        with chip.loaded(public, private):
            return head.head() + _packed(public, private)

    def _noted(self, values: tuple[bytes, ...]) -> tuple[bytes, bytes]:
        return self.pcrs.encode(), b"".join(values)

    def _counter(self, chip: Chip, sealed: _Sealed, owner: Owner) -> Any:
        _refuse_other(chip, sealed)
        counter = chip.counter(sealed.index, Mark.of(owner.root, sealed.since))
        if counter is None:
            raise CustodyError(
                f"the TPM does not open the state of this log: its counter, NV index {sealed.index:#x}, is not there",
                hint="the log had ended or moved, or somebody removed it, as an owner of the TPM can; begin a new log",
            )
        return counter

    def _reach(self, chip: Chip, counter: Any, sealed: _Sealed, owner: Owner) -> None:
        """Count on if the counter is one count below the state."""
        owner.confirm()
        now = chip.count(counter)
        if now + 1 == sealed.count:
            chip.increment(counter)
            now = chip.count(counter)
        if now != sealed.count:
            raise self._passed(sealed, now)

    def _passed(self, sealed: _Sealed, now: int) -> CustodyError:
        where = f"its counter, NV index {sealed.index:#x}, stands at {now}, and the state is for {sealed.count}"
        return CustodyError(
            f"the TPM does not open the state of this log: {where}",
            hint="a later state took its place, or somebody counted: "
            "where the key store is a restored backup, take the present one, else begin a new log",
        )

    def _remove(self, chip: Chip, owner: Owner, version: int, keep: int = 0) -> None:
        """Remove the counters that a log got up to a version; an interruption may have left more than one."""
        ours = Mark.of(owner.root, 0).log

        def left() -> list[int]:
            marks = chip.marks().items()
            return [at for at, mark in marks if mark.log == ours and mark.since <= version and at != keep]

        if not (found := left()):
            return
        owner.confirm()
        for index in found:
            chip.remove(index)
        if there := left():
            raise CustodyError(
                f"the TPM still holds a counter of this log that was removed, NV index {there[0]:#x}",
                hint=f"remove it, as an owner of the TPM: tpm2_nvundefine {there[0]:#x}",
            )

    @contextmanager
    def _alone(self, index: int) -> Iterator[None]:
        """Keep other writers on this host from the counter, between looking at it and counting."""
        with host_lock(f"tallystick-tpm2-{index:08x}.lock", _group(), self.timeout / 2):
            yield

    @contextmanager
    def _chip(self) -> Iterator[Chip]:
        tss = library("tpm2_pytss", "tpm2", CustodyError)
        where = _place()
        try:
            esapi = tss.ESAPI(where)
        except (tss.TSS2_Exception, RuntimeError, ValueError) as error:
            raise CustodyError(
                f"there is no TPM at {where} ({said(error)})",
                hint=f"look for /dev/tpmrm0, which is open to the group tss, or name another one by {_CHIP}",
            ) from None
        try:
            with esapi, Chip.ready(tss, esapi) as chip:
                yield chip
        except tss.TSS2_Exception as error:
            raise _trouble(tss, where, error) from None


def _trouble(tss: Any, where: str, error: Any) -> CustodyError:
    codes, what = tss.TPM2_RC, f"the TPM at {where} refuses ({said(error)})"
    if error.error in (codes.BAD_AUTH, codes.AUTH_FAIL):
        return CustodyError(
            f"{what}: its owner hierarchy has a password",
            hint="take that away, or take systemd-creds:?with-key=tpm2",
        )
    if error.error in full(tss):
        return CustodyError(
            f"{what}: others left no room in it", hint="ask it through /dev/tpmrm0, or run: tpm2_flushcontext -t"
        )
    if error.error == codes.NV_SPACE:
        return CustodyError(f"{what}: it has no room for a counter of this log", hint=_ROOM)
    return CustodyError(what, hint="see that it runs and that this user may use it")


def _place() -> str:
    """Return where the chip is, as tpm2-tools write it."""
    return os.environ.get(_CHIP) or f"device:{_DEVICE}"


def _group() -> int | None:
    """Return whom the chip is open to, if this user is one of them."""
    kind, _, device = _place().partition(":")
    try:
        group = os.stat(device if kind == "device" else _DEVICE).st_gid
    except OSError:
        return None
    return group if os.geteuid() == 0 or group in {os.getegid(), *os.getgroups()} else None


def _refuse_other(chip: Chip, sealed: _Sealed) -> None:
    if sealed.chip != chip.name:
        raise CustodyError(
            "the TPM does not open the state of this log: its key was sealed by the TPM of another machine, or this "
            "one was cleared since",
            hint="go back there",
        )


def _selection(text: str) -> str:
    found = _PCRS.fullmatch(text)
    numbers = sorted({int(each) for each in re.split("[+,]", found[2])}) if found else []
    if not found or numbers[-1] > 23:
        raise CustodyError(f"{text!r} names no PCRs", hint="write pcrs=sha256:7+11, with numbers from 0 to 23")
    return f"{found[1] or 'sha256'}:{','.join(map(str, numbers))}"


def _changed(pcrs: str, then: bytes, now: bytes) -> str:
    """Return which PCRs differ, in words."""
    bank, _, numbers = pcrs.partition(":")
    names = [each for each in numbers.split(",") if each]
    if not names or then == now:
        return ""
    size = len(now) // len(names)
    which = [
        each for at, each in enumerate(names) if then[at * size : (at + 1) * size] != now[at * size : (at + 1) * size]
    ]
    one = "PCR {} has changed" if len(which) == 1 else "PCRs {} have changed"
    return one.format(f"{bank}:{'+'.join(which)}")


def _shown(pcrs: bytes) -> str:
    return pcrs.decode("latin-1").replace(",", "+") or "none"


def _digest(head: bytes) -> bytes:
    return hashlib.sha256(head).digest()[:16]


def _packed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def _unpacked(data: bytes) -> list[bytes]:
    parts = []
    while data:
        end = 2 + int.from_bytes(data[:2], "big")
        if end > len(data):
            raise unopened("the TPM")
        parts.append(data[2:end])
        data = data[end:]
    return parts
