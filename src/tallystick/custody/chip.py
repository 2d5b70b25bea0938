"""A TPM 2.0: secrets that are sealed to it, and counters in it that only grow.

A counter is an NV index. A secret sealed to a count of it opens at that count and never again: the chip does not count
back, and an index that is removed and made again begins above all counts of those that were removed. Its Name is part
of the policy of each secret, and covers all that the index is: its place, its kind and its mark.

>>> Mark.of(bytes(32), 7).since
7
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from tallystick.custody.options import unopened
from tallystick.errors import CustodyError

__all__ = ["FIRST", "PLACES", "Bond", "Chip", "Mark", "full", "said"]

FIRST, PLACES = 0x01800000, 0x400000  # the NV indices that are the owner's, by the TCG's registry of handles
_SIZE = 8  # bytes of a counter
_MOST = 100  # handles that are asked for at once


@dataclass(frozen=True, slots=True)
class Mark:
    """The owner of a counter. It takes the place of a policy, which nothing here can use.

    Args:
        log: A hash of the log's P.
        since: Version of the state with which the log got this counter.
    """

    log: bytes
    since: int

    @classmethod
    def of(cls, root: bytes, since: int) -> Self:
        """Return the mark of a log."""
        return cls(hashlib.sha256(b"tallystick/v1 tpm2 counter" + root).digest()[:24], since)

    @classmethod
    def read(cls, policy: bytes) -> Self:
        """Return the mark that an NV index bears, whatever that is."""
        return cls(policy[:24], int.from_bytes(policy[24:], "big"))

    def policy(self) -> bytes:
        """Return it as an NV index bears it."""
        return self.log + self.since.to_bytes(8, "big")


@dataclass(frozen=True, slots=True)
class Bond:
    """Conditions that a secret is sealed to, beside the chip.

    Args:
        pcrs: Which PCRs, as tpm2-tools write them; empty for none.
        values: Their content.
        counter: A counter, as `Chip.counter` gives it; None for none.
        count: Its count.
    """

    pcrs: str
    values: tuple[bytes, ...]
    counter: Any = None
    count: int = 0

    def __bool__(self) -> bool:
        """Return whether there is any condition."""
        return bool(self.pcrs) or self.counter is not None


class Chip:
    """A TPM with the storage key, as long as the block in which it is used."""

    def __init__(self, tss: Any, esapi: Any, parent: Any) -> None:
        self._tss, self._esapi, self._parent = tss, esapi, parent
        self.name = bytes(esapi.tr_get_name(parent))

    @classmethod
    @contextmanager
    def ready(cls, tss: Any, esapi: Any) -> Iterator[Self]:
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

    def maker(self) -> str:
        """Return its maker and its name, as it says itself."""
        tss = self._tss
        _, found = self._esapi.get_capability(tss.TPM2_CAP.TPM_PROPERTIES, tss.TPM2_PT.MANUFACTURER, 5)
        words = [int(each.value).to_bytes(4, "big") for each in found.data.tpmProperties]
        return " ".join(b"".join([*words[:1], b" ", *words[1:]]).replace(b"\0", b"").decode("latin-1").split())

    def values(self, pcrs: str) -> tuple[bytes, ...]:
        """Return the content of the PCRs."""
        found = []
        bank, _, numbers = pcrs.partition(":")
        for number in filter(None, numbers.split(",")):
            _, _, digests = self._esapi.pcr_read(f"{bank}:{number}")
            if not len(digests):
                raise CustodyError(
                    f"the TPM has no PCR {bank}:{number}", hint="name others after pcrs=, tpm2_pcrread lists them"
                )
            found.append(bytes(digests[0]))
        return tuple(found)

    # Secrets

    def seal(self, secret: bytes, bond: Bond) -> tuple[bytes, bytes]:
        """Seal a secret, 128 bytes at most."""
        tss, flags = self._tss, self._tss.TPMA_OBJECT
        template = tss.TPMT_PUBLIC(
            type=tss.TPM2_ALG.KEYEDHASH,
            nameAlg=tss.TPM2_ALG.SHA256,
            # Nobody can guess an empty password, so wrong ones of others must not lock it (NODA).
            objectAttributes=flags.FIXEDTPM | flags.FIXEDPARENT | flags.NODA | (0 if bond else flags.USERWITHAUTH),
            authPolicy=self.policy(bond),
        )
        template.parameters.keyedHashDetail.scheme.scheme = tss.TPM2_ALG.NULL
        sensitive = tss.TPM2B_SENSITIVE_CREATE(tss.TPMS_SENSITIVE_CREATE(data=secret))
        with self._session(tss.TPM2_SE.HMAC) as session:
            private, public, *_ = self._esapi.create(
                self._parent, sensitive, tss.TPM2B_PUBLIC(publicArea=template), session1=session
            )
        return bytes(public.marshal()), bytes(private.marshal())

    @contextmanager
    def loaded(self, public: bytes, private: bytes) -> Iterator[tuple[Any, bytes]]:
        """Load a sealed secret; give it, and its policy."""
        tss, esapi = self._tss, self._esapi
        try:
            there, hidden = tss.TPM2B_PUBLIC.unmarshal(public)[0], tss.TPM2B_PRIVATE.unmarshal(private)[0]
            loaded = esapi.load(self._parent, hidden, there)
        except tss.TSS2_Exception as error:
            if error.error in full(tss):  # that says nothing about the secret
                raise
            raise unopened(f"the TPM ({said(error)})") from None
        with _flushed(esapi, loaded) as sealed:
            yield sealed, bytes(there.publicArea.authPolicy)

    def unseal(self, sealed: Any, bond: Bond) -> bytes:
        """Return the secret that was loaded."""
        tss = self._tss
        with self._session(tss.TPM2_SE.POLICY if bond else tss.TPM2_SE.HMAC) as session:
            self._apply(bond, session)
            return bytes(self._esapi.unseal(sealed, session1=session))

    def policy(self, bond: Bond) -> bytes:
        """Return the policy of a secret with these conditions; the count need not be reached yet."""
        if not bond:
            return b""
        with self._session(self._tss.TPM2_SE.TRIAL) as session:
            self._apply(bond, session)
            return bytes(self._esapi.policy_get_digest(session))

    def _apply(self, bond: Bond, session: Any) -> None:
        tss = self._tss
        if bond.counter is not None:
            count = tss.TPM2B_OPERAND(bond.count.to_bytes(_SIZE, "big"))
            self._esapi.policy_nv(tss.ESYS_TR.OWNER, bond.counter, session, count, tss.TPM2_EO.EQ)
        if bond.pcrs:
            self._esapi.policy_pcr(session, hashlib.sha256(b"".join(bond.values)).digest(), bond.pcrs)

    # Counters

    def indices(self) -> list[int]:
        """Return the NV indices that are the owner's."""
        found: list[int] = []
        more, first = True, FIRST
        while more:
            more, answer = self._esapi.get_capability(self._tss.TPM2_CAP.HANDLES, first, _MOST)
            handles = [int(each) for each in answer.data.handles]
            found += [each for each in handles if each < FIRST + PLACES]
            more = more and bool(handles) and handles[-1] < FIRST + PLACES
            first = handles[-1] + 1 if handles else first
        return found

    def define(self, index: int, mark: Mark) -> Any | None:
        """Make a counter; None where another one was quicker. Its Name stays as it is from the first count on."""
        tss = self._tss
        public = tss.TPM2B_NV_PUBLIC(nvPublic=self._public(index, mark, written=False))
        try:
            with self._session(tss.TPM2_SE.HMAC) as session:
                return self._esapi.nv_define_space(None, public, session1=session)
        except tss.TSS2_Exception as error:
            if error.error == tss.TPM2_RC.NV_DEFINED:
                return None
            raise

    def counter(self, index: int, mark: Mark) -> Any | None:
        """Return the counter of a log; None where there is none, or something else."""
        if index not in self.indices():
            return None
        counter = self._esapi.tr_from_tpmpublic(index)
        ours = bytes(self._public(index, mark, written=True).get_name())
        return counter if bytes(self._esapi.tr_get_name(counter)) == ours else None

    def marks(self) -> dict[int, Mark]:
        """Return the places of all counters that are marked, those of other logs too."""
        found = {}
        for index in self.indices():
            public, _ = self._esapi.nv_read_public(self._esapi.tr_from_tpmpublic(index))
            mark = Mark.read(bytes(public.nvPublic.authPolicy))
            names = {bytes(self._public(index, mark, written=each).get_name()) for each in (False, True)}
            if bytes(public.nvPublic.get_name()) in names:
                found[index] = mark
        return found

    def count(self, counter: Any) -> int:
        """Return the count of a counter. The chip's answer is authenticated by a key of the chip."""
        tss = self._tss
        with self._session(tss.TPM2_SE.HMAC) as session:
            count = self._esapi.nv_read(counter, _SIZE, 0, tss.ESYS_TR.OWNER, session1=session)
        return int.from_bytes(bytes(count), "big")

    def increment(self, counter: Any) -> None:
        """Count on."""
        tss = self._tss
        with self._session(tss.TPM2_SE.HMAC) as session:
            self._esapi.nv_increment(counter, tss.ESYS_TR.OWNER, session1=session)

    def remove(self, index: int) -> None:
        """Remove a counter, after which nothing that was sealed to it opens.

        A secret sealed ahead, to the next count, would open at the first count of one made again in its place.
        """
        counter = self._esapi.tr_from_tpmpublic(index)
        public, _ = self._esapi.nv_read_public(counter)
        if public.nvPublic.attributes & self._tss.TPMA_NV.WRITTEN:
            for _ in range(2):
                self.increment(counter)
        with self._session(self._tss.TPM2_SE.HMAC) as session:
            self._esapi.nv_undefine_space(counter, session1=session)

    def _public(self, index: int, mark: Mark, *, written: bool) -> Any:
        tss, flags = self._tss, self._tss.TPMA_NV
        kind = tss.TPM2_NT.COUNTER << flags.TPM2_NT_SHIFT
        return tss.TPMS_NV_PUBLIC(
            nvIndex=index,
            nameAlg=tss.TPM2_ALG.SHA256,
            # Not ORDERLY, which would lose counts with the power.
            attributes=kind | flags.OWNERREAD | flags.OWNERWRITE | flags.NO_DA | (flags.WRITTEN if written else 0),
            authPolicy=mark.policy(),
            dataSize=_SIZE,
        )

    @contextmanager
    def _session(self, kind: Any) -> Iterator[Any]:
        tss, esapi = self._tss, self._esapi
        cipher = tss.TPMT_SYM_DEF.parse("aes128cfb")
        session = esapi.start_auth_session(self._parent, tss.ESYS_TR.NONE, kind, cipher, tss.TPM2_ALG.SHA256)
        with _flushed(esapi, session):
            flags = tss.TPMA_SESSION
            esapi.trsess_set_attributes(session, flags.CONTINUESESSION | flags.DECRYPT | flags.ENCRYPT)
            yield session


def full(tss: Any) -> tuple[Any, ...]:
    """Return the codes by which a chip says that others left no room in it."""
    codes = tss.TPM2_RC
    return codes.OBJECT_MEMORY, codes.SESSION_MEMORY, codes.OBJECT_HANDLES, codes.SESSION_HANDLES


def said(error: Exception) -> str:
    """Return the short form of a library's error."""
    return str(error).strip().rstrip(".")[:200] or type(error).__name__


@contextmanager
def _flushed(esapi: Any, handle: Any) -> Iterator[Any]:
    try:
        yield handle
    finally:
        esapi.flush_context(handle)
