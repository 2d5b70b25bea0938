"""The key of a witness: a private file, which is made where there is none.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as directory:
...     made = read_or_make(f"{directory}/witness.key", "w.example")
...     made.key == read_or_make(f"{directory}/witness.key", "ignored").key, made.key.name
(True, 'w.example')
"""

import os
import re
import socket

from tallystick import _core, securefile
from tallystick.errors import FormatError
from tallystick.witness.errors import WitnessServiceError

__all__ = ["host_name", "read_or_make"]


def read_or_make(path: str, name: str) -> _core.NoteSigner:
    """Return the key of a file; its secret never becomes a Python object.

    Args:
        path: The file.
        name: What a new key is called.

    Raises:
        FormatError: It holds no key, or the name cannot stand in one.
        WitnessServiceError: It cannot be read or made, or others may read it.
    """
    path = os.path.abspath(path)
    with securefile.reporting(WitnessServiceError, path):
        try:
            fd = securefile.open_file(path, None, os.O_RDONLY)
        except FileNotFoundError:
            signer = _core.NoteSigner.generate(name)
            with securefile.creating(path, None) as made:
                signer.write(made)
            securefile.sync_directory(os.path.dirname(path))
            return signer
    try:
        return _core.NoteSigner.read(fd)
    except FormatError as error:
        raise error.found_in(path) from None
    finally:
        os.close(fd)


def host_name() -> str:
    """Return the name of this machine, as it can stand in a key."""
    return re.sub(r"[^!-*,-~]", "-", socket.getfqdn())[:200] or "witness"
