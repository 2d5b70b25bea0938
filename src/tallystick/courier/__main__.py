"""The process of the courier: `python -m tallystick.courier CHANNEL PAGE`, two descriptors, as `child` runs it."""

import json
import socket
import sys
from typing import Any

from tallystick import _core
from tallystick.courier import work
from tallystick.courier.channel import Channel
from tallystick.errors import TallystickError


def main(channel: Channel) -> None:
    """Do the work that the first message asks for."""
    asked = channel.hear()
    _core.end_with_parent(asked["parent"])
    try:
        getattr(work, asked["what"])(channel, asked["leases"], **asked["given"])
    except TallystickError as error:
        channel.say({"error": type(error).__name__, "said": str(error), "hint": error.hint})
    except (BrokenPipeError, ConnectionResetError, json.JSONDecodeError):
        pass  # the writer has gone
    except Exception as error:  # its text may hold anything
        name: Any = type(error).__name__
        channel.say({"error": "KeyStoreError", "said": f"work on the sealing state failed ({name}); report this bug"})
    channel.hear()  # until the writer ends this process: nothing of it is worth keeping


if __name__ == "__main__":
    _core.refuse_dumps()
    way = socket.socket(fileno=int(sys.argv[1]))
    way.setblocking(True)  # a parent under gevent has made it otherwise
    main(Channel(way, _core.Handover(int(sys.argv[2]))))
