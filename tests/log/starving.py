"""A program in which the background thread of a log does not run, and what its key store knows meanwhile.

    python -m tests.log.starving DIRECTORY HOW

HOW is one of `WAYS`. The log `payments` is in DIRECTORY. It prints, as JSON, the longest time in seconds for which a
line was there that no head counted.
"""

import ctypes
import json
import sys
import time

WAYS = {
    "gevent": "writes, and never lets another greenlet run",
    "gevent-silent": "computes without a line under gevent",
    "native": "keeps the interpreter in C code, between lines",
    "native-silent": "keeps the interpreter in C code, without a line",
}

SECONDS = 3.0
_NATIVE = 0.05  # seconds in C code between two lines


def main():
    directory, how = sys.argv[1:]
    if how.startswith("gevent"):
        from gevent import monkey

        monkey.patch_all()
    import tallystick
    from tallystick import _core, keystore

    keeps = ctypes.PyDLL(None).usleep  # does not let go of the interpreter
    store = keystore.connect(f"file:{directory}/store")
    written, longest = [], 0.0
    with tallystick.open("payments", output=f"{directory}/audit.log", store=store.url) as log:
        until = time.monotonic() + SECONDS
        if how.endswith("silent"):
            log.write("one")
            while how == "gevent-silent" and time.monotonic() < until:
                pass
            if how == "native-silent":
                keeps(int(SECONDS * 1e6))
            time.sleep(1.5)  # the next moment at which it can run
            print(json.dumps(0.0), flush=True)
            return
        while (now := time.monotonic()) < until:
            log.write(f"{len(written)}")
            written.append(now)
            if len(written) % 20 == 0:
                counted = _core.parse_head(store.head("payments"))[1][2]
                # Entry n has index n + 1, and a head with index i counts those below i.
                if counted <= len(written):
                    longest = max(longest, time.monotonic() - written[max(0, counted - 1)])
            keeps(int(_NATIVE * 1e6) if how == "native" else 500)
    print(json.dumps(longest), flush=True)


if __name__ == "__main__":
    main()
