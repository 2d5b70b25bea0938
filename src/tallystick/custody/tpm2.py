"""The machine's TPM 2.0 as custody: `tpm2:[?pcrs=[BANK:]N+N…][&timeout=SECONDS]`.

The key is sealed to the chip, with `pcrs` also to what these registers hold: to how the machine was started. Which chip
is asked is said by the environment variable TPM2TOOLS_TCTI, as for tpm2-tools, and is /dev/tpmrm0 without it; never by
the URL, which stands in the state and so is chosen by whoever may write the key store.

Each call makes the same storage key anew and flushes it, so nothing of ours stays in the chip. The secret goes there
and comes back in a session that encrypts, salted with that key; its name is noted, so that nobody between us and the
chip can put another one in its place later. The name also tells that the chip is another one, or was cleared.

>>> Tpm2("tpm2:?pcrs=11+7").pcrs
'sha256:7,11'
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tallystick._services import library
from tallystick.custody.base import Owner
from tallystick.custody.options import Options, Remembers, unopened
from tallystick.errors import CustodyError

__all__ = ["Tpm2"]

_CHIP = "TPM2TOOLS_TCTI"
_PCRS = re.compile(r"(?:(sha256|sha384|sha512):)?([0-9]{1,2}(?:[+,][0-9]{1,2})*)")


class Tpm2(Remembers):
    """Custody by the machine's TPM."""

    def __init__(self, url: str) -> None:
        options = Options.parse(url, {"pcrs": ""})
        self.url, self.timeout = url, options.timeout
        self.pcrs = _selection(options["pcrs"]) if options["pcrs"] else ""  # as tpm2-tools write them
        if options.place:
            raise CustodyError(f"the custody {url!r} is malformed; write tpm2: or tpm2:?pcrs=sha256:7+11")

    def encrypt(self, key: bytes, owner: Owner, replacing: bytes | None) -> bytes:
        """Seal some bytes to the chip as it is now."""
        with self._chip() as chip:
            values = chip.values(self.pcrs)
            public, private = chip.seal(key, self.pcrs, values)
            return _packed(chip.name, self.pcrs.encode(), b"".join(values), public, private)

    def decrypt(self, wrapped: bytes, owner: Owner) -> bytes:
        """Unseal what `encrypt` returned on this chip."""
        parts = _unpacked(wrapped)
        if len(parts) != 5:
            raise unopened("the TPM")
        name, pcrs, then, public, private = parts
        if pcrs.decode("latin-1") != self.pcrs:
            raise unopened("the TPM", f"this one was sealed to the PCRs {_shown(pcrs)}, and {self.url} names others")
        with self._chip() as chip:
            if name != chip.name:
                advice = (
                    "its key was sealed by the TPM of another machine, or this one was cleared since; go back there"
                )
                raise unopened("the TPM", advice)
            now = chip.values(self.pcrs)
            if changed := _changed(self.pcrs, then, b"".join(now)):
                raise CustodyError(
                    f"the TPM does not open the state of this log: {changed} since that was sealed; start the machine "
                    "as it was started then, or begin a new log; before the next such change: "
                    "tallystick migrate NAME --to-custody tpm2:"
                )
            return chip.unseal(public, private, self.pcrs, now)

    @contextmanager
    def _chip(self) -> Iterator["_Chip"]:
        tss = library("tpm2_pytss", "tpm2", CustodyError)
        where = os.environ.get(_CHIP) or "device:/dev/tpmrm0"
        try:
            esapi = tss.ESAPI(where)
        except (tss.TSS2_Exception, RuntimeError, ValueError) as error:
            raise CustodyError(
                f"there is no TPM at {where} ({_said(error)}); look for /dev/tpmrm0, which is open to the group tss, "
                f"or name another one by {_CHIP}"
            ) from None
        try:
            with esapi, _Chip.ready(tss, esapi) as chip:
                yield chip
        except tss.TSS2_Exception as error:
            raise CustodyError(self._trouble(tss, where, error)) from None

    def _trouble(self, tss: Any, where: str, error: Any) -> str:
        codes, said = tss.TPM2_RC, f"the TPM at {where} refuses ({_said(error)})"
        if error.error in (codes.BAD_AUTH, codes.AUTH_FAIL):
            return f"{said}: its owner hierarchy has a password; take that away, or take systemd-creds:?with-key=tpm2"
        if error.error in (codes.OBJECT_MEMORY, codes.SESSION_MEMORY, codes.OBJECT_HANDLES, codes.SESSION_HANDLES):
            return f"{said}: others left no room in it; ask it through /dev/tpmrm0, or run: tpm2_flushcontext -t"
        return f"{said}; see that it runs and that this user may use it"


class _Chip:
    """A TPM with the storage key, as long as the block in which it is used."""

    def __init__(self, tss: Any, esapi: Any, parent: Any) -> None:
        self._tss, self._esapi, self._parent = tss, esapi, parent
        self.name = bytes(esapi.tr_get_name(parent))

    @classmethod
    @contextmanager
    def ready(cls, tss: Any, esapi: Any) -> Iterator["_Chip"]:
        """Make the storage key; it is the same each time, until the chip is cleared."""
        flags = tss.TPMA_OBJECT
        template = tss.TPMT_PUBLIC.parse(
            "ecc256:aes128cfb",
            objectAttributes=flags.FIXEDTPM | flags.FIXEDPARENT | flags.SENSITIVEDATAORIGIN | flags.USERWITHAUTH
            | flags.NODA | flags.RESTRICTED | flags.DECRYPT,
        )  # fmt: skip
        made, *_ = esapi.create_primary(None, tss.TPM2B_PUBLIC(publicArea=template))
        with _flushed(esapi, made):
            yield cls(tss, esapi, made)

    def values(self, pcrs: str) -> list[bytes]:
        """Return what the PCRs hold."""
        found = []
        bank, _, numbers = pcrs.partition(":")
        for number in filter(None, numbers.split(",")):
            _, _, digests = self._esapi.pcr_read(f"{bank}:{number}")
            if not len(digests):
                raise CustodyError(
                    f"the TPM has no PCR {bank}:{number}; name others behind pcrs=, tpm2_pcrread lists them"
                )
            found.append(bytes(digests[0]))
        return found

    def seal(self, secret: bytes, pcrs: str, values: list[bytes]) -> tuple[bytes, bytes]:
        """Seal a secret, to these values of PCRs if there are any."""
        tss, flags = self._tss, self._tss.TPMA_OBJECT
        template = tss.TPMT_PUBLIC(
            type=tss.TPM2_ALG.KEYEDHASH,
            nameAlg=tss.TPM2_ALG.SHA256,
            # Nobody can guess an empty password, so wrong ones of others must not lock it (NODA).
            objectAttributes=flags.FIXEDTPM | flags.FIXEDPARENT | flags.NODA | (0 if pcrs else flags.USERWITHAUTH),
            authPolicy=self._policy(pcrs, values),
        )
        template.parameters.keyedHashDetail.scheme.scheme = tss.TPM2_ALG.NULL
        sensitive = tss.TPM2B_SENSITIVE_CREATE(tss.TPMS_SENSITIVE_CREATE(data=secret))
        with self._session(tss.TPM2_SE.HMAC) as session:
            private, public, *_ = self._esapi.create(
                self._parent, sensitive, tss.TPM2B_PUBLIC(publicArea=template), session1=session
            )
        return bytes(public.marshal()), bytes(private.marshal())

    def unseal(self, public: bytes, private: bytes, pcrs: str, values: list[bytes]) -> bytes:
        """Return a secret that was sealed to these values."""
        tss, esapi = self._tss, self._esapi
        try:
            there, hidden = tss.TPM2B_PUBLIC.unmarshal(public)[0], tss.TPM2B_PRIVATE.unmarshal(private)[0]
            loaded = esapi.load(self._parent, hidden, there)
        except tss.TSS2_Exception as error:
            raise unopened(f"the TPM ({_said(error)})") from None
        kind = tss.TPM2_SE.POLICY if pcrs else tss.TPM2_SE.HMAC
        with _flushed(esapi, loaded) as sealed, self._session(kind) as session:
            if pcrs:
                esapi.policy_pcr(session, _digest(values), pcrs)
            return bytes(esapi.unseal(sealed, session1=session))

    def _policy(self, pcrs: str, values: list[bytes]) -> bytes:
        if not pcrs:
            return b""
        with self._session(self._tss.TPM2_SE.TRIAL) as session:
            self._esapi.policy_pcr(session, _digest(values), pcrs)
            return bytes(self._esapi.policy_get_digest(session))

    @contextmanager
    def _session(self, kind: Any) -> Iterator[Any]:
        tss, esapi = self._tss, self._esapi
        cipher = tss.TPMT_SYM_DEF.parse("aes128cfb")
        session = esapi.start_auth_session(self._parent, tss.ESYS_TR.NONE, kind, cipher, tss.TPM2_ALG.SHA256)
        with _flushed(esapi, session):
            flags = tss.TPMA_SESSION
            esapi.trsess_set_attributes(session, flags.CONTINUESESSION | flags.DECRYPT | flags.ENCRYPT)
            yield session


@contextmanager
def _flushed(esapi: Any, handle: Any) -> Iterator[Any]:
    try:
        yield handle
    finally:
        esapi.flush_context(handle)


def _selection(text: str) -> str:
    found = _PCRS.fullmatch(text)
    numbers = sorted({int(each) for each in re.split("[+,]", found[2])}) if found else []
    if not found or numbers[-1] > 23:
        raise CustodyError(f"{text!r} names no PCRs; write pcrs=sha256:7+11, with numbers from 0 to 23")
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


def _digest(values: list[bytes]) -> bytes:
    return hashlib.sha256(b"".join(values)).digest()


def _shown(pcrs: bytes) -> str:
    return pcrs.decode("latin-1").replace(",", "+") or "none"


def _said(error: Exception) -> str:
    return str(error).strip().rstrip(".")[:200] or type(error).__name__


def _packed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def _unpacked(data: bytes) -> list[bytes]:
    parts = []
    while data:
        length = 2 + int.from_bytes(data[:2], "big")
        parts.append(data[2:length])
        data = data[length:]
    return parts
