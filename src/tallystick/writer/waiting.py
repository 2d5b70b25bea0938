"""Waiting for the lease of a log: a new writer that starts while the old one ends need not be refused.

>>> import tempfile, tallystick
>>> from tallystick import keystore
>>> with tempfile.TemporaryDirectory() as d:
...     _ = tallystick.create("payments", store=f"file:{d}/s", custody=f"master-key:{d}/k", key_file=f"{d}/key")
...     store = keystore.connect(f"file:{d}/s")
...     with store.lease("payments"):
...         try:
...             wait_for_lease(store, "payments", None, 0.1, lambda said: print(said.split("; ")[-1]))
...         except LogBusyError as error:
...             print("refused", str(error).split(", ")[-1].split(" of ")[0])
waiting for 0.1 s at most
refused also after a wait
"""

import threading
import time
from collections.abc import Callable

from tallystick.errors import ONE_WRITER, KeyStoreError, LogBusyError
from tallystick.keystore import KeyStore
from tallystick.writer.opening import Taken, take_lease

__all__ = ["wait_for_lease"]

_SHORTEST, _LONGEST = 0.05, 0.5  # seconds between two tries


def wait_for_lease(
    store: KeyStore,
    name: str,
    custody: str | None,
    seconds: float | None,
    report: Callable[[str], None],
    over: threading.Event | None = None,
    refused: LogBusyError | None = None,
) -> Taken:
    """Take the lease of a log, as soon as no other writer has it.

    A store that goes away meanwhile is asked again, as the lease may be free when it comes back.

    Args:
        store: The key store.
        name: The log.
        custody: URL of the custody, if it is not the one noted in the sealing state.
        seconds: How long to wait; None to be refused at once.
        report: Called with what is waited for, again when another writer has the lease.
        over: Ends the wait when it is set.
        refused: What a first try met, if there was one; it is reported at once.

    Returns:
        As `take_lease`.

    Raises:
        LogBusyError: Another writer still has the lease.
        KeyStoreError: There is no such log, or the key store cannot be written.
        CustodyError: Keys from before an interruption cannot be destroyed.
    """
    over = over or threading.Event()
    began, pause, said = time.monotonic(), _SHORTEST, ""
    error: KeyStoreError | None = refused
    while True:
        if error is None:
            try:
                taken = take_lease(store, name, custody)
            except KeyStoreError as problem:
                if seconds is None or not (said or isinstance(problem, LogBusyError)):
                    raise
                error = problem
            else:
                waited = f"the writer waited for the lease for {time.monotonic() - began:.1f} s: {said}"
                return taken._replace(done=[waited, *taken.done]) if said else taken
        assert seconds is not None
        if not said:
            began = time.monotonic()
        left = began + seconds - time.monotonic()
        if str(error) != said:
            said = str(error)
            report(f"{said}; waiting for {max(left, 0):.3g} s at most")
        if left <= 0 or over.wait(min(pause, left)):
            raise _refused(error, time.monotonic() - began) from error
        pause, error = min(_LONGEST, pause * 1.5), None


def _refused(error: KeyStoreError, waited: float) -> KeyStoreError:
    """Return the error for a wait in vain, with what was in the way to the last."""
    if isinstance(error, LogBusyError):
        return LogBusyError(f"{error}, also after a wait of {waited:.1f} s", hint=ONE_WRITER)
    return type(error)(f"after a wait of {waited:.1f} s: {error}", hint=error.hint)
