"""What is found does not depend on how the input was cut, compressed, named, scanned or merged."""

import bz2
import dataclasses
import gzip
import lzma
import os
import pickle
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tallystick
from tallystick import _core
from tallystick.verify import Report, Verdict
from tallystick.verify import inputs as verify_inputs
from tallystick.verify import run as verify_run
from tallystick.verify.inputs import Chunk, Input
from tallystick.verify.looking import open_inputs
from tallystick.verify.streams import zstd
from tests import doctoring

CARRIERS = Path(__file__).resolve().parent.parent / "carriers"
CHUNKS = [64, 300, 4096, verify_inputs.CHUNK]
EXAMPLES = int(os.environ.get("TALLYSTICK_DOCTORED", "10"))
FEW = settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def xz(data: bytes) -> bytes:
    return lzma.compress(data, preset=0)


PACKERS: list[Callable[[bytes], bytes]] = [bytes, gzip.compress, zstd.compress, xz, bz2.compress]


pytestmark = pytest.mark.usefixtures("no_store")


def told(report: Report) -> dict[str, Any]:
    """What a report says, without what the choice of files or of time says."""
    plain = report.to_dict()
    for name in ("time", "seconds", "files"):
        del plain[name]
    for finding in plain["findings"]:
        finding["path"] = finding["path"] and Path(finding["path"]).name
    return plain


def merged_in_a_random_tree(rng: random.Random) -> Callable[..., _core.Verification]:
    """A scan of all inputs, as `scan_all`, that a cluster could do.

    It takes chunks in any order, sends each summary through a pickle, and merges them in any grouping.
    """

    def merged(keys: _core.Keys, mode: _core.Mode, parts: list[Chunk], envelope: _core.Envelope | None):
        def one(chunk: Chunk) -> _core.Summary:
            place: dict[str, Any] = {"file": chunk.file, "chunk": chunk.number, "offset": chunk.offset}
            how: dict[str, Any] = {"cut": chunk.cut, "lines": chunk.lines, "envelope": envelope}
            return _core.scan(keys, mode, chunk.data, chunk.end, **place, **how)

        rng.shuffle(parts)
        summaries = [one(chunk) for chunk in parts]
        while len(summaries) > 1:
            other = summaries.pop(rng.randrange(len(summaries)))
            at = rng.randrange(len(summaries))
            first, second = (summaries[at], other) if rng.random() < 0.5 else (other, summaries[at])
            first = pickle.loads(pickle.dumps(first))
            first.merge(pickle.loads(pickle.dumps(second)))
            summaries[at] = first
        return summaries[0] if summaries else _core.Summary()

    def scan_all(
        keys: _core.Keys, inputs: Sequence[Input], envelope: _core.Envelope | None, **_: Any
    ) -> _core.Verification:
        verification = _core.Verification(keys)
        while (mode := verification.next_pass()) is not None:
            chunks = [chunk for one in inputs for chunk in one.chunks()]
            verification.merge(merged(keys, mode, chunks, envelope))
        return verification

    return scan_all


class Case:
    """Some files of one or two doctored logs, and how to verify them."""

    def __init__(self, rng: random.Random, place: Path) -> None:
        self.place, self.rng = place, rng
        crashes = rng.random() < 0.3
        self.log, other = doctoring.seal(rng, crashes=crashes), doctoring.seal(rng, name="other")
        data = self.log.data
        for _ in range(rng.randrange(4)):
            lines = [line for line in data.split(b"\n") if doctoring.SEAL.search(line)]
            if lines:
                data = doctoring.doctor(rng, dataclasses.replace(self.log, lines=lines), other)[1]
        files = [data]
        if rng.random() < 0.5:
            lines = data.split(b"\n")
            at = rng.randrange(len(lines))
            files = [b"\n".join(lines[:at]) + b"\n" * (at > 0), b"\n".join(lines[at:])]
            if rng.random() < 0.3:
                files.append(rng.choice(files))
        if rng.random() < 0.5:
            files.append(doctoring.doctor(rng, other, self.log)[1])
        if rng.random() < 0.3:
            bad = [b"user=7 unsealed"] * rng.randrange(1, 40) + [rng.choice(self.log.lines)]
            files.append(b"\n".join(bad))
        self.files = files
        doctoring.write(place, self.log)
        (place / "other.key").write_text(other.key)
        (place / "other.pub").write_text(other.public)
        self.pins = [] if crashes else [self.log.pin]
        self.with_v, self.both = rng.random() < 0.5, rng.random() < 0.5

    def judge(self, pack: Callable[[bytes], bytes], order: list[int], jobs: int, **options: Any) -> dict[str, Any]:
        """Verify, with each file packed."""
        for number, data in enumerate(self.files):
            (self.place / f"{number}.log").write_bytes(pack(data))
        paths = [self.place / f"{number}.log" for number in order]
        owners = ["log", "other"] if self.both else ["log"]
        if self.with_v:
            keys = [self.place / f"{owner}.key" for owner in owners]
            return told(tallystick.verify(paths, keys=keys, head=self.place / "log.head", jobs=jobs, **options))
        public = [self.place / f"{owner}.pub" for owner in owners]
        return told(tallystick.verify(paths, public=public, pins=self.pins, jobs=jobs, **options))


@FEW
@given(seed=st.integers(0, 2**32))
def test_chunks_threads_order_and_compression_change_nothing(seed: int, tmp_path_factory: pytest.TempPathFactory):
    rng = random.Random(seed)
    case = Case(rng, tmp_path_factory.mktemp("case"))
    order = list(range(len(case.files)))
    whole = case.judge(bytes, order, jobs=1)
    for chunk in CHUNKS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(verify_inputs, "CHUNK", chunk)
            rng.shuffle(order)
            assert case.judge(bytes, order, jobs=rng.randrange(1, 5)) == whole, (seed, chunk)

            def pack(data: bytes) -> bytes:
                """Compress data in one of the ways, in one piece or in several."""
                one = rng.choice(PACKERS)
                cut = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(3)))
                return b"".join(one(data[a:b]) for a, b in zip([0, *cut], [*cut, len(data)], strict=True))

            assert case.judge(pack, order, jobs=rng.randrange(1, 4)) == whole, (seed, chunk, "packed")


@FEW
@given(seed=st.integers(0, 2**32))
def test_summaries_can_be_sent_and_merged_in_any_grouping(seed: int, tmp_path_factory: pytest.TempPathFactory):
    rng = random.Random(seed)
    case = Case(rng, tmp_path_factory.mktemp("case"))
    order = list(range(len(case.files)))
    whole = case.judge(bytes, order, jobs=1)
    for chunk in CHUNKS[:3]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(verify_inputs, "CHUNK", chunk)
            patch.setattr(verify_run, "scan_all", merged_in_a_random_tree(rng))
            assert case.judge(bytes, order, jobs=1) == whole, (seed, chunk)


ENVELOPES = [("docker.json", "docker"), ("cri.log", "cri"), ("journal.export", "journal-export")]


@pytest.mark.parametrize(("fixture", "kind"), ENVELOPES)
@pytest.mark.parametrize("form", ["key", "public"])
def test_lines_in_envelopes_are_found_in_the_same_places(
    fixture: str, kind: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    data = (CARRIERS / fixture).read_bytes()
    records = data.split(b"\n")
    if kind != "journal-export":
        rng = random.Random(5)
        at = rng.randrange(len(records) // 2)
        records[at : at + 1] = []
        records[at + 9 : at + 9] = [b"an unsealed line"] * 20
        records[-9], records[-6] = records[-6], records[-9]
    else:
        records[3:3] = [b"user=7 unsealed"] * 20
    (tmp_path / "plain.log").write_bytes(b"\n".join(records))
    keys: dict[str, Any] = {"keys": [CARRIERS / "app.key"]}
    if form == "public":
        with open(CARRIERS / "app.key", "rb") as file:
            (tmp_path / "app.pub").write_text(_core.key_info(file.fileno()).public_key + "\n")
        keys = {"public": [tmp_path / "app.pub"]}
    whole = told(tallystick.verify([tmp_path / "plain.log"], envelope=kind, jobs=1, **keys))
    assert whole["verdict"] == "failed"
    for chunk in CHUNKS[:3]:
        monkeypatch.setattr(verify_inputs, "CHUNK", chunk)
        for pack in PACKERS:
            (tmp_path / "plain.log").write_bytes(pack(b"\n".join(records)))
            for jobs in (1, 3):
                assert told(tallystick.verify([tmp_path / "plain.log"], envelope=kind, jobs=jobs, **keys)) == whole


def test_bad_lines_that_stand_together_are_one_finding_wherever_the_chunks_end(tmp_path: Path):
    rng = random.Random(3)
    log = doctoring.seal(rng)
    doctoring.write(tmp_path, log)
    lines = log.lines[:4] + [b"user=7 not sealed"] * 500 + log.lines[4:]
    (tmp_path / "app.log").write_bytes(b"\n".join(lines) + b"\n")
    for chunk in (64, 100, 300, 4096, 10_000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(verify_inputs, "CHUNK", chunk)
            report = tallystick.verify([tmp_path / "app.log"], keys=[tmp_path / "log.key"], head=tmp_path / "log.head")
        assert report.verdict is Verdict.FAILED
        assert [(f.kind, f.count, f.line) for f in report.findings if f.kind == "unsealed"] == [("unsealed", 500, 5)]


def test_what_is_read_is_the_same_however_it_is_packed_and_cut(tmp_path: Path):
    rng = random.Random(7)
    data = b"".join(rng.randbytes(rng.randrange(200)).replace(b"\n", b"") + b"\n" for _ in range(3000)) + b"no end"
    for pack in PACKERS:
        (tmp_path / "data").write_bytes(pack(data[:100_000]) + pack(data[100_000:]))
        for size in (64, 300, 4096, 2**20):
            (one,), _ = open_inputs([str(tmp_path / "data")], chunk=size)
            found = b"".join(chunk.data[: chunk.end] for chunk in one.chunks())
            one.close()
            assert (found == data, one.trouble, one.ends_in_lf) == (True, "", False), (pack, size)
