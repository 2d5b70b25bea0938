"""Asks others to cosign the witness's tree (C2SP `tlog-witness.md`, `add-checkpoint`)."""

import base64
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tallystick import _core
from tallystick.cosigners import Cosigner, Policy
from tallystick.witness.completing import Signing
from tallystick.witness.errors import WitnessServiceError
from tallystick.witness.posting import Posting

__all__ = ["Cosigning", "Prove"]

_TOGETHER = 8  # that are asked at once

Prove = Callable[[int, int], Sequence[bytes]]
"""Gives the consistency proof from a smaller tree."""


class Cosigning:
    """Those who are asked.

    Args:
        policy: Who they are, and whose cosignatures are enough.
        key: The witness's key.
        say: Takes a line about what went wrong, or does no longer, for people.
        posting: The way to them.

    Raises:
        WitnessServiceError: It is a policy for another witness, or names too few who can be asked.
    """

    def __init__(self, policy: Policy, key: _core.NoteKey, say: Callable[[str], None], posting: Posting) -> None:
        self.policy, self._say, self._posting = policy, say, posting
        self._asked = [one for one in policy.cosigners if (one.url or "").startswith(("http://", "https://"))]
        if policy.logs and key not in policy.logs:
            raise WitnessServiceError("the policy is for other witnesses: none of its `log` lines has this one's key")
        if not policy.is_met({policy.cosigners.index(one) for one in self._asked}):
            raise WitnessServiceError(
                "the policy cannot be met: too few of its cosigners have a URL",
                hint="end their lines with the URL of each, http or https",
            )
        self._known = dict.fromkeys(self._asked, 0)
        self._trouble: dict[Cosigner | None, str] = {}

    def is_met(self, signing: Signing, lines: dict[str, str]) -> bool:
        """Did enough of them sign?"""
        signed = {n for n, one in enumerate(self.policy.cosigners) if str(one.key) in signing.cosigners | lines.keys()}
        is_met = self.policy.is_met(signed)
        self._report(None, None if is_met else f"only {len(signed)} cosigned it, and the policy demands more")
        return is_met

    def ask(self, signing: Signing, prove: Prove) -> dict[str, str]:
        """Return cosignatures of a checkpoint by those who have not signed it: signature lines, by their keys."""
        due = [one for one in self._asked if str(one.key) not in signing.cosigners]
        with ThreadPoolExecutor(_TOGETHER) as pool:
            lines = list(pool.map(lambda one: self._line(one, signing, prove), due))
        return {str(one.key): line for one, line in zip(due, lines, strict=True) if line is not None}

    def _line(self, cosigner: Cosigner, signing: Signing, prove: Prove) -> str | None:
        try:
            line = self._signed(cosigner, signing, prove)
        except WitnessServiceError as error:
            self._report(cosigner, str(error))
            return None
        self._known[cosigner] = signing.size
        self._report(cosigner, None)
        return line

    def _signed(self, cosigner: Cosigner, signing: Signing, prove: Prove) -> str:
        old = min(self._known[cosigner], signing.size)
        status, body = self._posted(cosigner, old, signing, prove)
        if status == 409:
            # It says which tree it signed last; the first time nobody else knows.
            size = int(body) if body.strip().isdigit() and len(body) <= 20 else 0
            if size > signing.size:
                raise WitnessServiceError(
                    f"has signed a tree of {size} entries, not {signing.size}: was an older store put back?"
                )
            self._known[cosigner] = size
            if size != old:
                status, body = self._posted(cosigner, size, signing, prove)
        if status != 200:
            what = {409: "has signed another tree of this size", 422: "finds that its tree does not go on from the one "
                    "that it signed", 403: "does not know this key", 404: "does not know this witness"}  # fmt: skip
            raise WitnessServiceError(what.get(status, f"answers {status}"))
        found = _core.read_cosignature(signing.text, body, cosigner.key)
        if found is None:
            raise WitnessServiceError("gives no cosignature that holds by its key")
        return found[0]

    def _posted(self, cosigner: Cosigner, old: int, signing: Signing, prove: Prove) -> tuple[int, bytes]:
        proof = "".join(f"{base64.b64encode(one).decode()}\n" for one in prove(old, signing.size))
        request = f"old {old}\n{proof}\n{signing.note}".encode()
        return self._posting.post(f"{(cosigner.url or '').rstrip('/')}/add-checkpoint", request, "text/plain")

    def _report(self, cosigner: Cosigner | None, trouble: str | None) -> None:
        """Say what is wrong, and that it is no longer, once each."""
        if trouble == self._trouble.get(cosigner):
            return
        name = "the tree" if cosigner is None else f"the cosigner {cosigner.key.name}"
        self._trouble.pop(cosigner, None)
        if trouble is not None:
            self._trouble[cosigner] = trouble
        self._say(f"{name}: {trouble}" if trouble else f"{name}: {'cosigned' if cosigner else 'enough cosigned'} again")
