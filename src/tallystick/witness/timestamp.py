"""Time-stamp tokens (RFC 3161): an authority says that the text of a checkpoint existed at a time."""

import hashlib

from tallystick._services import library
from tallystick.tokens import answer_in_order
from tallystick.witness.errors import WitnessServiceError
from tallystick.witness.posting import Posting

__all__ = ["Authority"]

_GRANTED = (0, 1)  # granted, with or without modifications (RFC 3161 section 2.4.2)


class Authority:
    """A time-stamp authority.

    Args:
        url: Its URL, http or https.
        posting: The way to it.

    Raises:
        WitnessServiceError: It is no URL, or a package is not installed.
    """

    def __init__(self, url: str, posting: Posting) -> None:
        if not url.startswith(("http://", "https://")):
            raise WitnessServiceError(
                f"{url} is no URL of a time-stamp authority", hint="it begins with https:// or http://"
            )
        self.url, self._posting = url, posting
        self._rfc3161 = library("rfc3161_client", "witness", WitnessServiceError)

    def stamp(self, text: bytes) -> bytes:
        """Return a token over a text: a CMS structure in DER, with the authority's certificates.

        Whom to trust is up to its readers; here it is seen that it is about this text, and an answer to this question.

        Raises:
            WitnessServiceError: It gives none.
        """
        builder = self._rfc3161.TimestampRequestBuilder().data(text)
        builder = builder.hash_algorithm(self._rfc3161.HashAlgorithm.SHA256)
        request = builder.nonce(nonce=True).cert_request(cert_request=True).build()
        data = self._asked(request.as_bytes())
        try:
            answer = self._rfc3161.decode_timestamp_response(answer_in_order(data))
            is_good = (
                answer.status in _GRANTED
                and answer.tst_info.message_imprint.message == hashlib.sha256(text).digest()
                and answer.tst_info.nonce == request.nonce
            )
            token = answer.time_stamp_token() if is_good else b""
        except Exception as error:  # the package raises errors of many kinds for bytes of strangers
            raise self._trouble(f"gives an answer that cannot be read: {error}") from None
        if not is_good:
            raise self._trouble("gives a token about something else, or none")
        return bytes(token)

    def _asked(self, request: bytes) -> bytes:
        try:
            status, data = self._posting.post(self.url, request, "application/timestamp-query")
        except WitnessServiceError as error:
            raise self._trouble(str(error)) from None
        if status != 200:
            raise self._trouble(f"answers {status}")
        return data

    def _trouble(self, what: str) -> WitnessServiceError:
        return WitnessServiceError(f"the time-stamp authority {self.url} {what}", hint="it is asked again")
