"""Objects that are scanned elsewhere: the findings are those of one run, whoever scans, and V goes nowhere.

An engine in this process stands for a cluster: what goes to it and comes back is pickled.
"""

import base64
import hmac
import os
import pickle
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from tallystick import _core
from tallystick.verify import Report, Verdict, inputs, job, shares
from tallystick.verify.job import Batch, Engine, Job
from tallystick.verify.memory.partial import Partial
from tallystick.verify.shares import MOST_CHAINS, Chain, Share, carry_out_share
from tests import doctoring
from tests.archive.conftest import Bucket
from tests.archive.test_partial import told
from tests.doctoring import Sealed

ROUNDS = int(os.environ.get("TALLYSTICK_SCANNED_ELSEWHERE", "6"))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let objects of some kilobytes have many chunks."""
    monkeypatch.setattr(inputs, "CHUNK", 2048)


class Elsewhere:
    """Scans shares one after the other, in a random order, as if on other machines.

    Attributes:
        sent: All that went there, as bytes.
        came: All that came back.
        asked: Chains that keys were given of, of each share.
        troubles: Why pieces had to be read here after all.
    """

    def __init__(self, meddle: Callable[[Share], Share | None] = lambda share: share) -> None:
        self.sent: list[bytes] = []
        self.came: list[bytes] = []
        self.asked: list[set[Chain]] = []
        self.troubles: dict[str, int] = {}
        self._meddle = meddle

    def __call__(self, of: Job, batches: Sequence[Batch]) -> None:
        while batches:
            waiting = deque(random.Random(1).sample(list(batches), len(batches)))
            while waiting:
                batch = waiting.popleft()
                waiting.extend(of.take(batch, self._meddle(self._share(of, batch))))
            batches = of.late()
        self.troubles = of.troubles

    def _share(self, of: Job, batch: Batch) -> Share:
        asked: set[Chain] = set()
        self.asked.append(asked)

        def ask(reader: bytes, wanted: Sequence[Chain], lines: Sequence[bytes]) -> bytes:
            self.sent.append(message := of.answer(reader, wanted, lines))
            asked.update(wanted)
            return message

        self.sent.append(pickle.dumps((of.plan, batch)))
        plan, pieces = pickle.loads(self.sent[-1])
        self.came.append(pickle.dumps(carry_out_share(plan, pieces, ask)))
        made = pickle.loads(self.came[-1])
        assert isinstance(made, Share)
        return made


def both(bucket: Bucket, engine: Engine, **more: object) -> Report:
    """Verify with an engine and without; return the report, which is the same."""
    report = bucket.verify(engine=engine, **more)
    assert told(report) == told(bucket.verify(**more))
    return report


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_the_findings_are_those_of_one_run(bucket: Bucket, seed: int) -> None:
    rng = random.Random(seed)
    log = doctoring.seal(rng, crashes=True)
    _, data = doctoring.doctor(rng, log, doctoring.seal(rng)) if seed else ("", log.data)
    bucket.fill(replace(log, lines=data.removesuffix(b"\n").split(b"\n")), rng.choice((1, 5, 40)))
    both(bucket, Elsewhere(), digests=bool(seed % 2))


def test_nothing_is_read_here_of_what_was_scanned_elsewhere(bucket: Bucket, log: Sealed) -> None:
    bucket.fill(log, 5)
    elsewhere = Elsewhere()
    assert both(bucket, elsewhere).verdict is Verdict.OK
    assert elsewhere.troubles == {}

    def engine(of: Job, batches: Sequence[Batch]) -> None:
        elsewhere(of, batches)
        bucket.between.reset()

    report = bucket.verify(engine=engine)
    quoted = {one.path.rpartition("/")[2] for one in report.findings if one.path is not None}
    assert {path.rpartition("/")[2] for path in bucket.between.reads()} <= quoted


def test_lines_without_a_statement_beside_them_are_scanned_once_it_is_known(bucket: Bucket, log: Sealed) -> None:
    bucket.fill(log, len(log.lines))
    elsewhere = Elsewhere()
    assert both(bucket, elsewhere).verdict is Verdict.OK
    assert elsewhere.troubles == {}


def test_ranges_of_a_large_object_are_put_together(
    bucket: Bucket, log: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "RANGE", 5000)
    made = bucket.fill(log, 1)
    elsewhere = Elsewhere()
    assert both(bucket, elsewhere).verdict is Verdict.OK
    assert elsewhere.troubles == {}
    lines = made["logs/0000.log"].splitlines(keepends=True)
    lines[len(lines) // 2 : len(lines) // 2 + 2] = lines[len(lines) // 2 : len(lines) // 2 + 2][::-1]
    lines[-9] = lines[-9][:1].swapcase() + b"~" + lines[-9][2:]
    bucket.put("logs/0000.log", b"".join(lines))
    assert both(bucket, Elsewhere()).verdict is Verdict.FAILED


def test_with_the_public_key_no_key_is_asked_for(bucket: Bucket, log: Sealed) -> None:
    bucket.fill(log, 4)
    bucket.keys = {"public": [bucket.directory / "log.pub"], "store": "none"}  # type: ignore[dict-item]
    elsewhere = Elsewhere()
    both(bucket, elsewhere)
    assert not any(elsewhere.asked)


def test_what_is_lost_or_changed_on_its_way_is_read_here(bucket: Bucket, log: Sealed) -> None:
    bucket.fill(log, 4)

    def cut(share: Share) -> Share:
        return replace(share, partial=share.partial[:-1])

    def none(_: Share) -> None:
        return None

    for meddle in (cut, none):
        elsewhere = Elsewhere(meddle)
        assert both(bucket, elsewhere).verdict is Verdict.OK
        assert elsewhere.troubles


def test_a_share_says_nothing_of_chains_whose_keys_it_had_not(bucket: Bucket, log: Sealed) -> None:
    made = bucket.fill(log, 4)
    name = list(made)[1]
    bucket.put(name, made[name].replace(b" tally=", b"x tally=", 1))

    def lie(share: Share) -> Share:
        """Say that nothing is wrong, in the name of a chain that does not matter."""
        reader = _core.KeyReader()
        with open(bucket.directory / "log.key", "rb") as file:
            keys = _core.Keys()
            keys.add_key(file.fileno())
        honest = Partial.of(share.partial, keys)
        other = reader.keys([(text, True) for text in honest.logs], keys.carry(reader.public, [(0, 5000)]))
        return replace(share, partial=honest.to_bytes(other), left=())

    assert both(bucket, Elsewhere(lie)).verdict is Verdict.FAILED


def drop(bucket: Bucket, made: dict[str, bytes]) -> None:
    bucket.s3.delete_object(Bucket=bucket.name, Key="logs/0001.log")


def restore_an_older_version(bucket: Bucket, made: dict[str, bytes]) -> None:
    bucket.put("logs/0003.log", b"".join(made["logs/0003.log"].splitlines(keepends=True)[:-1]))


def truncate(bucket: Bucket, made: dict[str, bytes]) -> None:
    bucket.put("logs/0001.log", made["logs/0001.log"][:-40])


def put_another_ones_contents(bucket: Bucket, made: dict[str, bytes]) -> None:
    bucket.put("logs/0001.log", made["logs/0002.log"])


def move_lines_over_a_border(bucket: Bucket, made: dict[str, bytes]) -> None:
    *lines, last = made["logs/0001.log"].splitlines(keepends=True)
    bucket.put("logs/0001.log", b"".join(lines))
    bucket.put("logs/0002.log", made["logs/0002.log"] + last)


@pytest.mark.parametrize(
    "attack", [drop, restore_an_older_version, truncate, put_another_ones_contents, move_lines_over_a_border]
)
def test_an_attack_across_the_borders_of_objects_is_found(
    bucket: Bucket, log: Sealed, attack: Callable[[Bucket, dict[str, bytes]], None]
) -> None:
    attack(bucket, bucket.fill(log, 4))
    assert both(bucket, Elsewhere()).verdict is Verdict.FAILED


# -- what is remembered


class Counting(Elsewhere):
    """The same, and which objects went there in the last run."""

    def __call__(self, of: Job, batches: Sequence[Batch]) -> None:
        self.objects = sorted(piece.held.url.rpartition("/")[2] for batch in batches for piece in batch)
        super().__call__(of, batches)


def test_only_what_is_new_or_due_is_scanned_elsewhere_and_it_is_remembered(bucket: Bucket, log: Sealed) -> None:
    made = bucket.fill(log, 5)
    bucket.s3.delete_object(Bucket=bucket.name, Key="logs/0004.log")
    elsewhere, memory = Counting(), bucket.directory / "memory"

    def resumed(**more: object) -> tuple[list[str], int]:
        elsewhere.objects = []
        report = bucket.verify(engine=elsewhere, resume=memory, **more)
        assert told(report) == told(bucket.verify())
        assert report.remembered is not None
        return elsewhere.objects, report.remembered.size

    names = [name.rpartition("/")[2] for name in made]
    sizes = [len(data) for data in made.values()]
    assert resumed() == (names[:4], 0)
    assert resumed() == ([], sum(sizes[:4]))
    bucket.put("logs/0004.log", made["logs/0004.log"])
    assert resumed() == (names[4:], sum(sizes[:4]))
    bucket.put("logs/0002.log", made["logs/0002.log"].replace(b" tally=", b"x tally=", 1))
    assert resumed() == ([names[2]], sum(sizes) - sizes[2])
    assert resumed(rescan=0.000001) == (names, 0)
    own = bucket.verify(resume=memory)
    assert own.remembered is not None
    assert own.remembered.size == sum(sizes) + 1, "a run without an engine knows it, too"


def test_what_an_engine_did_not_bring_back_is_read_here_and_remembered(bucket: Bucket, log: Sealed) -> None:
    bucket.fill(log, 4)
    memory = bucket.directory / "memory"
    for rescan in (86400.0, 0.000001):
        report = bucket.verify(engine=Elsewhere(lambda _: None), resume=memory, rescan=rescan)
        assert report.remembered is not None
        assert (report.verdict, report.remembered.size) == (Verdict.OK, 0)
    again = bucket.verify(resume=memory)
    assert again.remembered is not None
    assert again.remembered.size == len(log.data)


# -- who gets which keys


def job_of(bucket: Bucket) -> tuple[Job, _core.Keys]:
    """Return a job, and the keys that it has."""
    seen: list[Job] = []
    bucket.verify(engine=lambda of, _: seen.append(of))
    with open(bucket.directory / "log.key", "rb") as file:
        keys = _core.Keys()
        keys.add_key(file.fileno())
    return seen[0], keys


def granted(of: Job, wanted: Sequence[Chain], lines: Sequence[bytes]) -> list[Chain]:
    reader = _core.KeyReader()
    return reader.keys(of.plan.logs, of.answer(reader.public, wanted, lines)).scope()


def test_a_key_is_given_for_a_statement_that_holds_and_for_nothing_else(bucket: Bucket, log: Sealed) -> None:
    bucket.fill(log, 2)
    of, _ = job_of(bucket)
    opening = next(line for line in log.lines if b"tallystick/v1 open" in line)
    chain = _core.claimed_position(opening)[1][0]  # type: ignore[index]
    assert granted(of, [(0, chain)], [b"user=7 tally=" + opening.rpartition(b"tally=")[2]]) == []
    assert granted(of, [(0, chain)], [opening.replace(b"tallystick/v1 open", b"tallystick/v1 opem")]) == []
    assert granted(of, [(0, chain), (0, chain + 1000)], [opening]) == [(0, chain)]
    assert granted(of, [(0, chain)], []) == [(0, chain)], "it was shown by then"


def test_claims_of_many_chains_collect_no_keys(bucket: Bucket, log: Sealed) -> None:
    made = bucket.fill(log, 2)
    seal = log.lines[1].rpartition(b" tally=")[2].split(b".")
    forged = [b"x tally=" + b".".join([seal[0], b"%d" % chain, *seal[2:]]) for chain in range(1000, 1200)]
    bucket.put("logs/0001.log", b"\n".join(forged) + b"\n" + made["logs/0001.log"])
    elsewhere = Elsewhere()
    assert both(bucket, elsewhere).verdict is Verdict.FAILED
    assert all(len(asked) <= MOST_CHAINS for asked in elsewhere.asked)


def derive(key: bytes, label: bytes) -> bytes:
    return hmac.digest(key, b"tallystick/v1 " + label + b"\1", "sha256")


def test_v_and_keys_of_chains_are_in_nothing_that_goes_or_comes(bucket: Bucket, log: Sealed) -> None:
    bucket.fill(log, 5)
    elsewhere = Elsewhere()
    both(bucket, elsewhere)
    link, secrets = derive(log.secrets[0], b"chains"), [log.secrets[0]]
    for _ in range(50):
        secrets.append(derive(link, b"chain"))
        link = derive(link, b"next")
    forms = [form for secret in secrets for form in (secret, secret.hex().encode(), base64.b64encode(secret)[:40])]
    assert any(elsewhere.asked)
    for data in (*elsewhere.sent, *elsewhere.came):
        assert not any(form in data for form in forms)


def test_an_object_of_more_chains_than_a_share_may_have_is_read_here(
    bucket: Bucket, log: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains = {_core.claimed_position(line)[1][0] for line in log.lines}  # type: ignore[index]
    for module in (job, shares):
        monkeypatch.setattr(module, "MOST_CHAINS", len(chains) - 1)
    made = bucket.fill(log, 1)
    elsewhere = Elsewhere()
    assert both(bucket, elsewhere).verdict is Verdict.OK
    assert elsewhere.troubles == {f"they hold more than {len(chains) - 1} chains": 1}
    (data,) = made.values()
    half = data.index(b"\n", len(data) // 2) + 1
    bucket.put("logs/0000.log", data[:half])
    bucket.put("logs/0001.log", data[half:])
    elsewhere = Elsewhere()
    assert both(bucket, elsewhere).verdict is Verdict.OK
    assert elsewhere.troubles == {}
