"""A client as a process of its own, which may be killed at any time: it goes on where its agent says that it is.

    python -m tests.agent.worker SOCKET NAME LINES FILE

Line n is `NAME n`. FILE keeps the id, which is all that this client remembers across its own end.
"""

import os
import sys
import time
from pathlib import Path

from tests.agent.client import NEW, Client, RefusedError

AT_ONCE = 50  # lines of a batch
AHEAD = 500  # lines that are not acknowledged
ENDS = 9  # the agent ends


def work(path: str, name: str, count: int, file: Path) -> None:
    """Send all lines, and return when they are acknowledged."""
    client = Client(path, id=file.read_bytes() if file.exists() else NEW)
    while True:
        try:
            client.connect()
            remember(file, client.id)
            client.next = max(client.next, client.through + 1)
            while client.through < count:
                while client.next <= count and client.next - client.through <= AHEAD:
                    last = min(client.next + AT_ONCE - 1, count)
                    client.send([b"%s %d" % (name.encode(), number) for number in range(client.next, last + 1)])
                client.hear()
            return
        except RefusedError as error:
            if error.args[0] != ENDS:
                raise
        except OSError:
            pass
        time.sleep(0.02)


def remember(file: Path, id: bytes) -> None:
    """Keep an id, whole or not at all."""
    new = file.with_suffix(".new")
    new.write_bytes(id)
    os.replace(new, file)


if __name__ == "__main__":
    work(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
