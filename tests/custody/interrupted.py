"""A log whose custody is asked by children; each is killed at the call that it is told.

Run with tests/survival/faults.c preloaded. It reads lines `WHAT N`: do WHAT, and be killed after N calls that change
files in the directory. It prints `wrapped KEY WRAPPED` for each key before a state names it, then `end STATUS`.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

from tallystick import custody as custodies
from tallystick._core import DataKey
from tests.custody.keys import text_of
from tests.custody.suite import OWNER


def state_in(directory):
    """Return the wrapped key in the state; None before set-up."""
    with suppress(FileNotFoundError):
        return (directory / "state").read_bytes()
    return None


def set_up(custody, directory):
    """Have custody get the log."""
    _replace(custody, directory, None)


def open_chain(custody, directory):
    """Replace the state by a newer one."""
    custody.unwrap(state_in(directory), OWNER)
    _replace(custody, directory, state_in(directory))


def end(custody, directory):
    """Destroy what the state names."""
    custody.destroy(state_in(directory), OWNER)


def _replace(custody, directory, before):
    key = DataKey.generate()
    wrapped = custody.wrap(key, OWNER, before)
    os.write(1, b"wrapped %s %s\n" % (text_of(key).strip(), wrapped.hex().encode()))
    with open(directory / "state.new", "wb") as file:
        file.write(wrapped)
        file.flush()
        os.fsync(file.fileno())
    os.rename(directory / "state.new", directory / "state")
    above = os.open(directory, os.O_RDONLY)
    os.fsync(above)
    os.close(above)
    custody.forget(wrapped, OWNER)


def main():
    """Do what is asked, until nothing is."""
    directory, faults = map(Path, sys.argv[1:])
    for line in sys.stdin:
        what, number = line.split()
        faults.write_text(f"any kill {number} 1 {directory}/\n")
        child = os.fork()
        if child == 0:
            {"set_up": set_up, "open": open_chain, "end": end}[what](
                custodies.connect(f"master-key:{directory}/master.key"), directory
            )
            os._exit(0)
        print("end", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
