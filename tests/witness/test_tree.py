"""The witness's own tree: what it publishes is what RFC 6962 and C2SP say, and real peers read it."""

import base64
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick import _core
from tallystick.witness.database import open_database
from tallystick.witness.tree import Tree
from tests.servers import missing, until
from tests.witness.service import Service, Writer, b64, running


def leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\0" + entry).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def plain_root(leaves: list[bytes]) -> bytes:
    """MTH, as RFC 6962 section 2.1 defines it."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256().digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node(plain_root(leaves[:split]), plain_root(leaves[split:]))


def climbed(digest: bytes, number: int, size: int, proof: list[bytes]) -> bytes:
    """Return the root that an inclusion proof leads to (RFC 9162 section 2.1.3.2)."""
    at, last = number, size - 1
    for one in proof:
        if at & 1 or at == last:
            digest = node(one, digest)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            digest = node(digest, one)
        at, last = at >> 1, last >> 1
    assert last == 0
    return digest


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tree, list[bytes]]]:
    """A tree of three full tiles and a part of one, and its leaves."""
    database = open_database(str(tmp_path_factory.mktemp("tree") / "store"))
    database.begin()
    tree = Tree(database)
    for number in range(800):
        tree.append(b"entry %d" % number)
    database.commit()
    yield tree, [leaf(b"entry %d" % number) for number in range(800)]
    database.close()


@pytest.mark.parametrize("size", [1, 2, 3, 255, 256, 257, 512, 513, 767, 800])
def test_roots_and_inclusion_proofs_are_those_of_the_rfc(size: int, grown: tuple[Tree, list[bytes]]) -> None:
    tree, leaves = grown
    root = plain_root(leaves[:size])
    assert tree.root(size) == root
    for number in {0, size // 2, size - 1, min(256, size - 1)}:
        assert climbed(leaves[number], number, size, tree.inclusion(number, size)) == root


@pytest.mark.parametrize(("old", "new"), [(1, 800), (2, 3), (3, 7), (256, 800), (257, 799), (512, 513), (800, 800)])
def test_consistency_proofs_are_those_of_the_rfc(old: int, new: int, grown: tuple[Tree, list[bytes]]) -> None:
    def proof(first: int, end: int, known: bool) -> list[bytes]:
        """SUBPROOF of RFC 6962 section 2.1.2."""
        size, count = old - first, end - first
        if size == count:
            return [] if known else [plain_root(leaves[first:end])]
        split = 1 << (count - 1).bit_length() - 1
        if size <= split:
            return [*proof(first, first + split, known), plain_root(leaves[first + split : end])]
        return [*proof(first + split, end, False), plain_root(leaves[first : first + split])]

    tree, leaves = grown
    assert tree.consistency(old, new) == proof(0, new, True)


@pytest.fixture
def publishing(tmp_path: Path) -> Iterator[Service]:
    """A witness that publishes its tree all the time."""
    with running(Service(tmp_path, "--interval", "100ms")) as service:
        yield service


def size_of(service: Service) -> int:
    said = service.ask("GET", "/checkpoint")
    return int(said.body.split(b"\n")[1]) if said.status == 200 else 0


def test_a_text_that_was_accepted_is_proved_to_be_in_the_tree(publishing: Service) -> None:
    writer = Writer(30).known_to(publishing)
    said = publishing.show(writer.root, writer.open() + writer.step())
    digest = hashlib.sha256(said.text).digest()
    path = f"/log/{b64(writer.root)}/proof/{b64(digest)}"
    until(lambda: publishing.ask("GET", path).status == 200, "the proof")
    proof, _, checkpoint = publishing.ask("GET", path).body.decode().partition("\n\n")
    kind, index, *hashes = proof.split("\n")
    origin, size, root = checkpoint.split("\n")[:3]
    time, _ = _core.check_receipt(said.receipt, publishing.key, writer.root, said.text) or (0, True)
    log = b64(hashlib.sha256(writer.root).digest())
    entry = f"tallystick/v1 entry\nlog {log}\ntext {b64(digest)}\ntime {time}\n".encode()
    assert (kind, origin) == ("c2sp.org/tlog-proof@v1", "w.example")
    number = int(index.removeprefix("index "))
    path_up = [base64.b64decode(one) for one in hashes]
    assert climbed(leaf(entry), number, int(size), path_up) == base64.b64decode(root)
    assert publishing.ask("GET", f"/log/{b64(writer.root)}/proof/{b64(bytes(32))}").status == 404


def test_there_is_one_entry_at_most_for_a_log_and_checkpoint(tmp_path: Path) -> None:
    with running(Service(tmp_path, "--interval", "2s")) as service:
        writer = Writer(31).known_to(service)
        service.show(writer.root, writer.open() + b"".join(writer.step() for _ in range(20)))
        until(lambda: size_of(service) == 1, "the checkpoint")


@pytest.mark.parametrize(
    "path",
    ["tile/0/1", "tile/0/000.p/256", "tile/0/000.p/0", "tile/64/000", "tile/0/x000/000", "tile/x/000",
     "tile/0/000.p/200", "tile/entries/001", "tile/0/%2e%2e/000", "tile/"],
)  # fmt: skip
def test_paths_that_are_no_tile_are_not_found(path: str, publishing: Service) -> None:
    writer = Writer(32).known_to(publishing)
    publishing.show(writer.root, writer.open())
    until(lambda: size_of(publishing) == 1, "the checkpoint")
    assert publishing.ask("GET", f"/{path}").status == 404
    assert len(publishing.ask("GET", "/tile/0/000.p/1").body) == 32


def fsck() -> str:
    """Return the path of Tessera's fsck."""
    if (place := os.environ.get("TALLYSTICK_GO_BIN")) is None:  # it takes minutes to build
        package = "github.com/transparency-dev/tessera/cmd/fsck@v1.0.4"
        pytest.skip(f"go install {package}, and name its folder in TALLYSTICK_GO_BIN")
    found = shutil.which("fsck", path=place)
    return found or missing("Tessera's fsck", f"it is not in {place}")


def checked(command: list[str], url: str) -> str:
    """Return what fsck says; its exit status is 0 whatever it finds."""
    done = subprocess.run([*command, f"--storage_url={url}"], capture_output=True, text=True, timeout=60)
    assert "checking log of size" in done.stderr
    return done.stderr


def test_fsck_of_tessera_accepts_the_tree_over_http_and_from_files(publishing: Service, tmp_path: Path) -> None:
    program = fsck()
    for seed in range(40, 46):
        writer = Writer(seed).known_to(publishing)
        publishing.show(writer.root, writer.open() + writer.step())
    until(lambda: size_of(publishing) >= 6, "the checkpoint")
    (tmp_path / "key").write_text(str(publishing.key))
    mirror, size = tmp_path / "mirror", size_of(publishing)
    for path in ["checkpoint", f"tile/0/000.p/{size}", f"tile/entries/000.p/{size}"]:
        (mirror / path).parent.mkdir(parents=True, exist_ok=True)
        (mirror / path).write_bytes(publishing.ask("GET", f"/{path}").body)
    command = [program, "--ui=false", f"--public_key={tmp_path / 'key'}"]
    for url in [f"{publishing.url}/", f"file://{mirror}/"]:
        assert "failed" not in checked(command, url)
    bundle = mirror / f"tile/entries/000.p/{size}"
    bundle.write_bytes(re.sub(rb"time 1", b"time 2", bundle.read_bytes(), count=1))
    assert "failed" in checked(command, f"file://{mirror}/")
