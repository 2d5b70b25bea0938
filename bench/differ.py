"""Runs two builds of the core on the same bytes: what they find, and what they seal, must be the same to the byte.

    python bench/differ.py BEFORE [--lines N] [--seed N] [FILE...]

BEFORE is another build, `_core.abi3.so` of an earlier version; it is held against the one that is installed. First come
spec/vectors, the corpora of the fuzz targets (fuzz/corpus, if they were made), and FILEs; then small logs with all that
tests/doctoring.py does to them; then so many lines of large logs with random damage. Every pass of a verification is
compared in its stored form, with V and with P.
"""

import argparse
import importlib.util
import json
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from measure import json_line, plain_line

from tallystick import _core

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests import doctoring  # noqa: E402

_CHUNKS = (1_000, 65_536, 2**23)  # bytes
_SMALL = 20_000  # doctored logs
_EPOCHS = (1, 5, 16, 17, 100, 4096, 65_534)  # lines of one
_MOST_EPOCHS = 1000  # of a log: most of the time would go into signatures
_WHITE = (b" ", b"\t", b"\r", b"\0", b"}", b"{", b'"', b".", b"=", b",", b"tally", b"\n", b"\xff")


class Differs(Exception):  # noqa: N818
    """The two builds do not say the same."""


def build(path: Path) -> ModuleType:
    """Load another build of the core."""
    spec = importlib.util.spec_from_file_location("before._core", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def keys(core: Any, texts: Sequence[str]) -> Any:
    """Read keys, secret ones or public ones."""
    made = core.Keys()
    for text in texts:
        with tempfile.TemporaryFile() as file:
            file.write(text.encode())
            file.seek(0)
            (made.add_key if text.startswith("tallysecret") else made.add_public)(file.fileno())
    return made


class Pair:
    """Two builds with the same keys."""

    def __init__(self, before: Any, texts: Sequence[str]) -> None:
        self.sides = [(core, keys(core, texts)) for core in (before, _core)]

    def compare(self, data: bytes, chunk: int) -> None:
        """Verify some bytes, in pieces of about so many."""
        looks = [core.Verification(made, []) for core, made in self.sides]
        while True:
            modes = [look.next_pass() for look in looks]
            if (modes[0] is None) != (modes[1] is None):
                raise Differs("one build asks for another pass")
            if modes[0] is None:
                return
            for number, (offset, end) in enumerate(pieces(data, chunk)):
                piece = data[offset:end]
                parts = [
                    core.scan(made, mode, piece, len(piece), file=0, chunk=number, offset=offset)
                    for (core, made), mode in zip(self.sides, modes, strict=True)
                ]
                if parts[0].to_bytes() != parts[1].to_bytes():
                    raise Differs(f"bytes {offset} to {end}")
                for look, part in zip(looks, parts, strict=True):
                    look.merge(part)


def pieces(data: bytes, size: int) -> Iterator[tuple[int, int]]:
    """Cut at line ends."""
    at = 0
    while at < len(data):
        end = data.find(b"\n", min(len(data), at + size - 1)) + 1 or len(data)
        yield at, end
        at = end


def sealed(before: Any, rng: random.Random, lines: int) -> tuple[list[str], bytes]:
    """Seal a log with both builds, in random pieces: its keys, and its bytes."""
    name, secrets = f"log{rng.randrange(1000)}", (rng.randbytes(32), rng.randbytes(32))
    control = rng.choice(["auto", "json", "plain"])
    epoch_lines = rng.choice([each for each in _EPOCHS if lines <= _MOST_EPOCHS * each])
    made = [
        rng.choice([plain_line, json_line])(number)[: rng.choice([None, None, -60, 30])].removesuffix(b"\n") + b"\n"
        for number in range(rng.randrange(1, 60))
    ]
    data = b"".join(rng.choice(made) for _ in range(lines))
    cuts = sorted(rng.randrange(len(data)) for _ in range(rng.choice([0, 3, 50])))
    results = []
    for core in (before, _core):
        setup = core.setup(name, secrets)
        state, head, out = setup.state(), bytes(setup.head()), bytearray()
        used = 0
        while used < len(data):
            sealer, output = state.open_chain(head, doctoring.TIME), core.Output()
            sealer.configure(control, epoch_lines)
            for cut in [*cuts, len(data)]:
                if cut > used:
                    used, _ = sealer.write_lines(data[: data.rfind(b"\n", 0, cut) + 1], used, output, doctoring.TIME)
            if not sealer.closed:
                sealer.close(output, doctoring.TIME)
            out += output.peek()
            head = bytes(sealer.head() or b"")
        with tempfile.TemporaryFile() as file:
            setup.write_key(file.fileno())
            file.seek(0)
            results.append((bytes(out), file.read().decode(), setup.public_key + "\n"))
    if results[0] != results[1]:
        raise Differs(f"sealing {lines} lines")
    return [results[0][1], results[0][2]], results[0][0]


def damaged(rng: random.Random, data: bytes, times: int) -> bytes:
    """Do random things to a log, at a few places of it."""
    parts, last = [], 0
    for at in sorted(rng.randrange(len(data)) for _ in range(times)):
        if at < last:
            continue
        line, end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at) + 1 or len(data)
        parts.append(data[last:at])
        last = at
        match rng.randrange(8):
            case 0:
                parts.append(bytes([data[at] ^ 1 << rng.randrange(8)]))
                last += 1
            case 1:
                parts.append(rng.choice(_WHITE))
            case 2:
                last = min(len(data), at + rng.choice([1, 2, 30, 300, 3000]))
            case 3:
                last = end
            case 4:
                parts.append(data[line:end])
            case 5:
                back = data.rfind(b"\n", 0, max(0, line - rng.choice([1, 1000, 100_000]))) + 1
                parts += [data[at:end], data[back : data.find(b"\n", back) + 1]]
                last = end
            case 6:
                parts += [data[at:end], b"no seal\n" * rng.randrange(1, 3), b"before it "]
                last = end
            case _:
                parts.append(re.sub(rb'":', b'" : ', data[at:end]))
                last = end
    return b"".join(parts) + data[last:]


def known(before: Any, files: Sequence[Path]) -> int:
    """Compare what is in files; return how many there were."""
    texts = json.loads((ROOT / "spec/vectors/keys.json").read_text())["text"]
    pairs = [Pair(before, [text]) for name, text in texts.items() if name in ("verification_key", "public_key")]
    found = [
        path for folder in ("spec/vectors", "fuzz/corpus") for path in (ROOT / folder).rglob("*") if path.is_file()
    ]
    for path in [*found, *files]:
        for pair in pairs:
            for chunk in _CHUNKS:
                pair.compare(path.read_bytes(), chunk)
    return len(found) + len(files)


def doctored(before: Any, seed: int, count: int) -> None:
    """Compare small logs to which something was done."""
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        log, other = doctoring.seal(rng, crashes=True, adopts=True), doctoring.seal(rng)
        _, data = doctoring.doctor(rng, log, other)
        data = damaged(rng, data, rng.randrange(3)) if data else data
        for texts in ([log.key], [log.public], [log.key, other.public]):
            try:
                Pair(before, texts).compare(data, rng.choice(_CHUNKS))
            except Differs as error:
                raise Differs(f"doctored log {seed} {number}: {error}") from error


def large(before: Any, seed: int, lines: int) -> None:
    """Compare so many lines of large logs."""
    done = number = 0
    began = time.monotonic()
    while done < lines:
        rng = random.Random(f"{seed} large {number}")
        number += 1
        try:
            texts, data = sealed(before, rng, rng.choice([100, 1000, 10_000, 100_000]))
            pairs = [Pair(before, [text]) for text in texts]
            for times in (0, 1, 10, 100):
                some = damaged(rng, data, times)
                for pair in pairs:
                    pair.compare(some, rng.choice(_CHUNKS))
                done += some.count(b"\n")
        except Differs as error:
            raise Differs(f"large log {seed} {number - 1}: {error}") from error
        if number % 20 == 0:
            print(f"{done:,} lines of {number} logs in {time.monotonic() - began:.0f} s", flush=True)


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--lines", type=int, default=50_000_000)
    parser.add_argument("--small", type=int, default=_SMALL, help="doctored logs")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    before = build(options.before.resolve())
    print(f"{known(before, options.files)} files: the same", flush=True)
    doctored(before, options.seed, options.small)
    print(f"{options.small:,} doctored logs: the same", flush=True)
    large(before, options.seed, options.lines)
    print(f"{options.lines:,} lines: the same")


if __name__ == "__main__":
    main()
