"""What the agent remembers of clients, across its own end (spec/agent.md section 3).

Two files in a private directory: `clients` holds all that was true once, and is replaced as a whole; `journal` goes on
from there: before a batch is sealed a record says which numbers, with which hashes, get the positions from one on.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as directory:
...     journal, clients = Journal(f"{directory}/payments"), Clients(8, 8)
...     _ = journal.load(clients)
...     journal.keep(clients)
...     client = clients.issue("uid:7")
...     journal.note_client(client)
...     journal.note_batch((1, 0, 4), [(client.number, 1, bytes(48))])
...     journal.close()
...     again, clients = Journal(f"{directory}/payments"), Clients(8, 8)
...     records = again.load(clients)
...     again.close()
...     [each.identity for each in clients.all()], [(each.at, each.runs[0][:2]) for each in records]
(['uid:7'], [((1, 0, 4), (1, 1))])
"""

import errno
import hashlib
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tallystick.agent.clients import Client, Clients
from tallystick.errors import SealError
from tallystick.securefile import (
    make_directories,
    open_directory,
    open_file,
    read_file,
    replace_file,
    reporting,
    write_all,
)

__all__ = ["HASHES", "Journal", "Record", "Run"]

HASHES = 48
"""Bytes of the hashes of one line: SHA-256 of what came, and half of that of what is sealed."""

Run = tuple[int, int, bytes]
"""Number of a client, number of its first line, hashes of its lines."""

_MAGIC = b"tallyag1"
_HEADER = struct.Struct(">8sQ16s")  # magic, generation, the boot of the machine
_ISSUED = struct.Struct(">BI16sI")  # _CLIENT, number, id, number of the one that expired for it; then the identity
_LARGE = 2**26  # bytes of a journal, and of the log after it, above which all is written together
_MOST = 2**31  # bytes of what is remembered
_CLIENT, _BATCH = 1, 2


@dataclass(frozen=True, slots=True)
class Record:
    """A batch that was about to be sealed.

    Args:
        at: Position of the next line of the log then.
        runs: Lines in the order in which they were sealed.
    """

    at: tuple[int, int, int]
    runs: tuple[Run, ...]


class Journal:
    """The two files.

    Invariant: what `note_batch` returned from is there after the process was killed; and, if it is `durable`, after the
    power was cut.
    """

    def __init__(self, path: str, *, durable: bool = False) -> None:
        """Open the directory, which is made if it is not there.

        Raises:
            SealError: It cannot be used.
        """
        self._path, self._durable = os.path.abspath(path), durable
        with reporting(SealError, self._path):
            make_directories(self._path)
            self._directory = open_directory(self._path)
        self._fd, self._end, self._generation = -1, 0, 0
        self._passed = 0
        self._boot = _boot()
        self.survived_boot = True
        """Did what is remembered survive a restart of the machine, as far as there was one?"""

    def load(self, clients: Clients) -> list[Record]:
        """Read what is remembered into `clients`; return the batches since then, the oldest first.

        Raises:
            SealError: It cannot be read.
        """
        records: list[Record] = []
        try:
            with reporting(SealError, self._path):
                if found := self._read():
                    self._generation, boot, clean = _restore(found, clients)
                    self.survived_boot = clean or self._durable or boot == self._boot
                self._fd = open_file("journal", self._directory, os.O_RDWR | os.O_CREAT)
                records.extend(self._records(clients))
        except (ValueError, struct.error) as error:
            raise SealError(
                f"{self._path}: it is damaged", hint="move the directory away; clients of before are then refused"
            ) from error
        return records

    def _read(self) -> bytearray:
        try:
            return read_file("clients", self._directory, bytearray, limit=_MOST)
        except FileNotFoundError:
            return bytearray()

    def _records(self, clients: Clients) -> Iterator[Record]:
        with open(self._fd, "rb", closefd=False) as file:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size or _HEADER.unpack(header)[:2] != (_MAGIC, self._generation):
                return
            self._end = _HEADER.size
            numbered = {client.number: client for client in clients.all()}
            while len(head := file.read(8)) == 8:
                size, check = struct.unpack(">II", head)
                body = file.read(size) if size <= _MOST else b""
                if not size or len(body) < size or zlib.crc32(body) != check:
                    return  # a record that was not written whole: nothing of it was sealed
                self._end += 8 + size
                if body[0] == _CLIENT:
                    _, number, id, replaced = _ISSUED.unpack_from(body)
                    numbered[number] = clients.add(number, body[_ISSUED.size :].decode(), id)
                    if replaced in numbered:
                        clients.forget(numbered.pop(replaced))
                else:
                    yield _batch(body)

    def note_client(self, client: Client) -> None:
        """Remember that an id was issued, and which client expired for it."""
        self._append(_ISSUED.pack(_CLIENT, client.number, client.id, client.replaces) + client.identity.encode())

    def note_batch(self, at: tuple[int, int, int], runs: Sequence[Run]) -> None:
        """Remember what is sealed next.

        Raises:
            OSError: There is no room, or it cannot be written; nothing is remembered then.
        """
        parts = [struct.pack(">BIBHI", _BATCH, *at, len(runs))]
        for number, first, hashes in runs:
            parts += [struct.pack(">IQI", number, first, len(hashes) // HASHES), hashes]
        self._append(b"".join(parts))

    def _append(self, body: bytes) -> None:
        record = struct.pack(">II", len(body), zlib.crc32(body)) + body
        at = self._end
        try:
            if os.pwrite(self._fd, record, at) < len(record):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self._durable:
                os.fdatasync(self._fd)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._fd, at)
            raise
        self._end = at + len(record)

    def pass_by(self, size: int) -> None:
        """Note that the log has so many bytes of others after what is remembered here."""
        self._passed += size

    @property
    def is_large(self) -> bool:
        """Is it time to write all together, so that not much of journal and log has to be read after a kill?"""
        return self._end > _HEADER.size and self._end + self._passed > _LARGE

    def keep(self, clients: Clients, *, clean: bool = False) -> None:
        """Write all together; every line that was taken is in the log, durably.

        Args:
            clients: All clients.
            clean: Does the agent end, so that nothing follows?
        """
        self._generation += 1
        body = [_HEADER.pack(_MAGIC, self._generation, self._boot), bytes([clean])]
        for client in clients.all():
            identity, hashes = client.identity.encode(), client.memory.hashes()
            sizes = struct.pack(">IHQI", client.number, len(identity), client.memory.taken, len(hashes) // 32)
            body += [sizes, client.id, identity, hashes]
        data = b"".join(body)
        replace_file("clients", data + hashlib.sha256(data).digest(), self._directory)
        # A crash before this leaves a journal of the generation before, which counts for nothing.
        os.ftruncate(self._fd, 0)
        header = _HEADER.pack(_MAGIC, self._generation, self._boot)
        os.lseek(self._fd, 0, os.SEEK_SET)
        write_all(self._fd, header)
        os.fdatasync(self._fd)
        self._end, self._passed = len(header), 0

    def close(self) -> None:
        """Let go of the files."""
        if self._fd >= 0:
            os.close(self._fd)
        os.close(self._directory)


def _boot() -> bytes:
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            return hashlib.sha256(file.read(64)).digest()[:16]
    except OSError:
        return os.urandom(16)  # nobody knows, so it is taken for another boot


def _restore(found: bytearray, clients: Clients) -> tuple[int, bytes, bool]:
    """Read all clients; return the generation, the boot, and whether the agent ended as it should."""
    data = bytes(found)
    data, check = data[:-32], data[-32:]
    magic, generation, boot = _HEADER.unpack_from(data)
    if magic != _MAGIC or hashlib.sha256(data).digest() != check:
        raise ValueError("damaged")
    at = _HEADER.size + 1
    while at < len(data):
        number, length, taken, count = struct.unpack_from(">IHQI", data, at)
        id, at = data[at + 18 : at + 34], at + 34
        client = clients.add(number, data[at : at + length].decode(), id)
        at += length
        client.memory.remember(taken - count + 1, data[at : at + 32 * count], 32)
        client.sealed, at = taken, at + 32 * count
    return generation, boot, bool(data[_HEADER.size])


def _batch(body: bytes) -> Record:
    _, chain, epoch, index, count = struct.unpack_from(">BIBHI", body)
    at, runs = 12, []
    for _ in range(count):
        number, first, lines = struct.unpack_from(">IQI", body, at)
        at += 16
        runs.append((number, first, body[at : at + HASHES * lines]))
        at += HASHES * lines
    return Record((chain, epoch, index), tuple(runs))
