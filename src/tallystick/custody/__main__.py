"""The process that speaks to a provider: `python -m tallystick.custody encrypt|decrypt URL`, as `outside` runs it."""

import base64
import sys

from tallystick import _core
from tallystick.custody.outside import DONE, FAILED, connect
from tallystick.errors import CustodyError


def main(what: str, url: str) -> bytes:
    """Return the answer to what stands in the input."""
    given = sys.stdin.buffer.read()
    try:
        provider = connect(url)
        return DONE + (provider.encrypt(given) if what == "encrypt" else provider.decrypt(given))
    except CustodyError as error:
        return FAILED + _without(given.strip(), str(error).encode())
    except Exception as error:  # a library met what its authors did not think of; its text may hold a secret
        name = type(error).__name__
        return FAILED + f"{url} failed in a way that is not known ({name}); look at what stands there".encode()


def _without(secret: bytes, text: bytes) -> bytes:
    """Take out of a message what a provider may have quoted of its input."""
    for form in (secret, secret.hex().encode(), base64.b64encode(secret).rstrip(b"=")):
        text = text.replace(form, b"(...)") if form else text
    return text


if __name__ == "__main__":
    _core.refuse_dumps()
    sys.stdout.buffer.write(main(*sys.argv[1:]))
