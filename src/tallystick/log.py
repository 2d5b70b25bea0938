"""A log that is being written: key store, sealer and sink, put together (spec sections 4 to 6).

>>> import tempfile, os
>>> with tempfile.TemporaryDirectory() as directory:
...     store, custody = f"file:{directory}/store", f"master-key:{directory}/master.key"
...     _ = create("payments", store=store, custody=custody, key_file=f"{directory}/payments.key")
...     with open_log("payments", output=f"{directory}/audit.log", store=store) as log:
...         log.write("user=7 action=login")
...     with open(f"{directory}/audit.log") as lines:
...         [" ".join(line.split()[:2]) for line in lines]
['tallystick/v1 open', 'user=7 action=login', 'tallystick/v1 checkpoint']
"""

import os
import warnings
from collections.abc import Callable, Iterable

from tallystick.ceremony import create
from tallystick.custody import plain
from tallystick.secreturl import SecretUrl, hidden
from tallystick.securefile import hold_standard
from tallystick.sinks.rotation import Rotation
from tallystick.writer import lifecycle
from tallystick.writer.log import Log
from tallystick.writer.origin import Origin
from tallystick.writer.outlet import OnFull
from tallystick.writer.parts import Durability, Settings
from tallystick.writer.witnesses.policy import Policy

__all__ = ["Durability", "Log", "OnFull", "create", "open_log", "open_origin"]


def open_log(
    name: str,
    *,
    output: str | os.PathLike[str] | int | Callable[[bytes], object],
    store: str | SecretUrl | None = None,
    custody: str | SecretUrl | None = None,
    control: str = "auto",
    epoch_lines: int = 4096,
    epoch_age: float = 60.0,
    durability: Durability = "flush",
    on_full: OnFull = "raise",
    heartbeat: float | None = None,
    rotation: Rotation | None = None,
    user: str | None = None,
    wait: float | None = None,
    mixed: bool = False,
    adopt: bool = False,
    witness: str | Iterable[str] = (),
    quorum: int | None = None,
    witness_each: bool = False,
    on_trouble: Callable[[str], None] | None = None,
) -> Log:
    """Open a log for writing: take its lease and begin its next chain.

    While a log is open, SIGTERM closes it before it ends the process, if nothing else was to happen; so does the end of
    the interpreter.

    Args:
        name: The name that the log was set up with.
        output: Path of the file that sealed lines are appended to, or an open file descriptor, or what is called with
            sealed bytes (whole lines, one or more). The path is resolved now: it does not change with the working
            directory, or with links.
        store: URL of the key store; the default is that of `tallystick.keystore.connect`.
        custody: URL of the custody, if it is not the one noted in the sealing state.
        control: Form of control lines: `plain`, `json`, or `auto` for that of the first line.
        epoch_lines: Lines after which an epoch ends, 1 to 65,534.
        epoch_age: Seconds after which an epoch with lines ends.
        durability: `flush` hands each line to the operating system at once; `sync` also has each checkpoint on the disk
            before it goes on; `sync-each` has each line there when `write` returns, one sync for all threads that wait.
        on_full: What becomes of lines while the output takes none, or the next chain cannot be opened: `raise`
            SealError or KeyStoreError for each, `block` until it goes on, `drop` them, or `stop` for good. Dropped and
            refused lines are counted, and the log says how many when it goes on.
        heartbeat: Seconds without a checkpoint after which there is one, even without lines.
        rotation: When to begin a new file, and what becomes of the old ones.
        user: The user that opens, rotates and removes files at the path, if this is root and somebody else may write to
            their directory: NAME, UID, or either with :GROUP.
        wait: Seconds to wait for another writer to end; it is named to `on_trouble`. Without it, a log that somebody
            else writes is refused at once.
        mixed: Lines go on in the file of another log, too, which is reported; else that is refused.
        adopt: The log begins now, and the file has a past: seal what it holds so far, as a whole, so that nobody
            changes it later (spec section 5). Only the first chain of a log can do that.
        witness: Witnesses that are shown how far the log has come, each `URL` or `URL=KEY`: somebody outside who
            remembers it, so that its end cannot be cut off unnoticed (spec section 11).
        quorum: How many of them must have a critical line, each counted by its key; all if it is None.
        witness_each: Is every line critical? See `Log.write`. While lines wait for room, they wait for witnesses, too.
        on_trouble: Called with a message, also from another thread, when something is wrong that `write` does not
            raise; the default warns. Errors of it go to `threading.excepthook`.

    Returns:
        The open log; close it, best by a `with` block.

    Raises:
        LogBusyError: Someone else writes the log, or still does after the wait.
        KeyStoreError: There is no such log, or the store is older than the log.
        CustodyError: The sealing state cannot be opened.
        SealError: The output cannot be written, or is the file of another log; or the log has ended. Or it cannot
            adopt what the file holds: it has begun already, there is nothing, or something else writes there. Or
            witnesses are named that cannot do what they are to do.
        FormatError: A witness is no URL, or is named twice.
    """
    store, custody = hidden(store), hidden(custody)  # before anything fails: a traceback may show what they name
    hold_standard()
    origin = Origin(name, output, store, plain(custody), rotation, user, wait, mixed=mixed, adopt=adopt)
    report = on_trouble or _warn
    policy = Policy.of(witness, quorum, each=witness_each)
    settings = Settings(
        origin.custody, control, epoch_lines, epoch_age, durability, on_full, heartbeat, report, witnesses=policy
    )
    return open_origin(origin, settings)


def open_origin(origin: Origin, settings: Settings) -> Log:
    """Open a log whose lease may have been taken already; it is the log's from now on. See `open_log`.

    Raises:
        TallystickError: As for `open_log`.
    """
    log = Log(origin, settings)
    lifecycle.close_at_end()
    return log


def open_taken(origin: Origin, on_trouble: Callable[[str], None] | None) -> Log:
    """Open a log in the ways that are the defaults of `open_log`."""
    return open_origin(
        origin, Settings(origin.custody, "auto", 4096, 60.0, "flush", "raise", None, on_trouble or _warn)
    )


def _warn(message: str) -> None:
    warnings.warn(f"tallystick: {message}", RuntimeWarning, stacklevel=1)
