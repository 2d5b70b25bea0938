"""Data keys as texts."""

import os


def text_of(key):
    """Return the text form of a key, as it would be written to a file."""
    read, write = os.pipe()
    key.write(write)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        return pipe.read()
