"""What parts of a writer are handed in tests: a clock, a sink, a lease, a sealer, without file and thread."""

from tallystick.errors import KeyStoreError, OutputError


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self):
        self.time = 100.0

    def __call__(self):
        return self.time


class Output:
    """Pending bytes, as the core's output has them."""

    def __init__(self):
        self.pending, self.looked = 0, 0

    asks = False

    def is_stale(self, time):
        return self.asks

    def looked_at(self, time):
        self.looked += 1


class Sink:
    """A sink that takes bytes unless it is full."""

    name = "the sink"

    def __init__(self):
        self.output, self.full, self.calls = Output(), False, []

    def push(self):
        if self.full:
            raise OutputError("the sink: no room")
        self.calls.append("push")
        self.output.pending = 0

    def sync(self):
        self.calls.append("sync")

    def drain(self, within):
        self.calls.append("drain")

    def close(self):
        self.calls.append("close")

    def forget(self):
        self.calls.append("forget")


class File(Sink):
    """A sink as a file is one: moved and rotated."""

    repaired = False
    kept_for = None
    place = "/var/log/the sink"

    def __init__(self):
        super().__init__()
        self.notices, self.due, self.rotates = [], None, True

    def look(self, *, reopen):
        self.calls.append(f"look {reopen}")
        notices, self.notices = self.notices, []
        return notices

    def due_in(self):
        return self.due

    def rotate(self, chain):
        if not self.rotates:
            raise OutputError("the sink could not be rotated")
        self.calls.append(f"rotate {chain}")
        return ["one file was removed"]

    def shipped(self):
        return []

    def tail(self):
        return iter(())

    def sealed_lines(self):
        return iter(())

    def newest_chain(self, log_id):
        return 0


class Lease:
    """A lease that remembers heads and notes."""

    name = "payments"

    def __init__(self):
        self.heads, self.notes, self.away = [], [], False

    def replace_head(self, head):
        if self.away:
            raise KeyStoreError("the store is away")
        self.heads.append(bytes(head))

    def replace_note(self, note):
        if self.away:
            raise KeyStoreError("the store is away")
        self.notes.append(note)

    def note(self):
        return self.notes[-1] if self.notes else None


class Sealer:
    """The part of a sealer that heads are made of."""

    def __init__(self):
        self.chain, self.position, self.lines, self.closed = 1, (1, 0, 1), 1, False

    def head(self):
        return bytearray(b"head " + ".".join(map(str, self.position)).encode())
