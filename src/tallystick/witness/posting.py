"""Posts to services of others, whose answers are bounded in room and in time: slow ones hold nobody up."""

import asyncio

from tallystick._services import library
from tallystick.witness.errors import WitnessServiceError

__all__ = ["Posting"]

_MOST = 2**16  # bytes of an answer
_SECONDS = 15.0


class Posting:
    """Posts to services.

    Args:
        seconds: How long an answer may take, from the first byte that is sent to the last that comes.

    Raises:
        WitnessServiceError: A package is not installed.
    """

    def __init__(self, seconds: float = _SECONDS) -> None:
        self._httpx, self._seconds = library("httpx", "witness", WitnessServiceError), seconds

    def post(self, url: str, content: bytes, kind: str) -> tuple[int, bytes]:
        """Return status and body of an answer, as it came: nothing is unpacked, and nobody followed elsewhere.

        Args:
            url: Where to.
            content: What is posted.
            kind: Its content type.

        Raises:
            WitnessServiceError: No answer came in time, or a longer one than 64 KiB.
        """
        try:
            return asyncio.run(self._posted(url, content, {"content-type": kind, "accept-encoding": "identity"}))
        except TimeoutError:
            raise WitnessServiceError(f"does not answer within {self._seconds:g} s") from None
        except WitnessServiceError:
            raise
        except Exception as error:  # the package raises errors of many kinds, groups of them for an invalid port
            raise WitnessServiceError(f"does not answer: {type(error).__name__}") from None

    async def _posted(self, url: str, content: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        data = bytearray()
        async with (
            asyncio.timeout(self._seconds),
            self._httpx.AsyncClient(timeout=None) as client,
            client.stream("POST", url, content=content, headers=headers) as answer,
        ):
            async for part in answer.aiter_raw():
                data += part
                if len(data) > _MOST:
                    raise WitnessServiceError(f"gives an answer of more than {_MOST} bytes")
            return answer.status_code, bytes(data)
