"""Evidence of single lines and redaction (spec sections 4 and 10)."""

import importlib.util
import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tallystick
from tallystick import evidence
from tallystick.errors import FormatError, ReportError
from tallystick.verify import Verdict, inputs
from tests import vectors
from tests.cases import some
from tests.sealed import position as position_of
from tests.sealed import stripped


def script(path: Path) -> Any:
    """Load a script of spec/ as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


second = script(vectors.VECTORS.parent / "check.py")
CASES: list[dict[str, Any]] = json.loads((vectors.VECTORS / "evidence.json").read_text())["cases"]
PLAIN, JSON, OLD = ((vectors.VECTORS / name).read_bytes() for name in ("plain.log", "json.log", "generation.log"))
REDACTED = json.loads((vectors.VECTORS / "redacted.json").read_text())
TEXTS = vectors.KEYS["text"]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> vectors.Keys:
    return vectors.write_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def write(data: bytes, name: str = "app.log") -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


def dotted(line: bytes) -> str:
    return ".".join(map(str, position_of(line)))


def lines_of(data: bytes) -> list[bytes]:
    return data.split(b"\n")[:-1]


# the known answers


def test_the_cases_are_there() -> None:
    assert len(CASES) == 68
    assert sum(case["verdict_P"] == "ok" for case in CASES) == 31


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"].replace(" ", "-"))
def test_both_implementations_say_of_evidence_what_the_vectors_say(case: dict[str, Any], tmp_path: Path) -> None:
    data = vectors.line_bytes(case["evidence"])
    keys = vectors.write_keys(tmp_path)
    public = "\n".join([TEXTS["public_key"], *case["opens"]]) + "\n"
    Path(keys.public).write_text(public)
    for kind, ours, theirs in (
        ("P", {"public": keys.public}, {"public_text": public}),
        ("V", {"key": keys.secret}, {"key_text": TEXTS["verification_key"]}),
    ):
        checked = evidence.check(data, **ours)
        told = second.check_evidence(data, **theirs)
        assert checked.verdict.value == told["verdict"] == case[f"verdict_{kind}"], (checked, told)
        if checked.verdict is not Verdict.OK:
            assert checked.detail
            assert (checked.position, checked.text, checked.line) == (None, None, None)
            continue
        shown = checked.to_dict()
        assert (shown["position"], shown["text"], shown["time"]) == (told["position"], told["text"], told["time"])
        assert (shown["position"], shown["text"]) == (case["position"], case["text"])
        assert checked.redacted == (case["text"] is None)
        assert checked.tag == (kind == "V")


def test_the_example_of_the_spec_is_the_first_case() -> None:
    text = (vectors.VECTORS.parent / "seal.md").read_text()
    (example,) = re.findall(r"^```\n(tallystick/v1 evidence\ntallystick/v1 .*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert example == CASES[0]["evidence"]


def test_an_auditor_checks_evidence_with_one_script(keys: vectors.Keys, tmp_path: Path) -> None:
    good = CASES[0]["evidence"].encode()
    for data, status in ((good, 0), (good.replace(b"entry 1", b"entry 2"), 5), (b"something else\n", 2)):
        (tmp_path / "x.evidence").write_bytes(data)
        script = [sys.executable, vectors.VECTORS.parent / "check.py"]
        command = [*script, "--evidence", tmp_path / "x.evidence", "--public", keys.public, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        if status == 0:
            assert json.loads(done.stdout) == {
                "verdict": "ok", "detail": "", "log": "payments", "log_id": "oedhcsck", "position": "1.2.1",
                "time": 1795401650003, "text": "second epoch entry 1", "received": [],
            }  # fmt: skip


# prove and check


@pytest.mark.parametrize("data", [PLAIN, JSON], ids=["plain", "json"])
def test_every_covered_line_of_a_log_is_proved_and_no_other(data: bytes, keys: vectors.Keys, file: Any) -> None:
    log, proved = file(data), []
    for line in lines_of(data):
        at = dotted(line)
        if at.startswith("2.0.") or b"tallystick/v1 checkpoint payments oedhcsck" in line:
            with pytest.raises(ReportError, match=r"the checkpoint of (its )?epoch"):
                evidence.prove(at, [log])
            continue
        proof = evidence.prove(at, [log])
        assert (proof.log, proof.log_id, proof.position) == ("payments", "oedhcsck", at)
        for given_keys in ({"public": keys.public}, {"key": keys.secret}, {"public": keys.public, "key": keys.secret}):
            checked = evidence.check(proof.evidence, **given_keys)
            assert (checked.verdict, checked.position, checked.line) == (Verdict.OK, at, line)
            assert checked.text == stripped(line)
            assert checked.control == (at in ("1.0.0", "4.0.0"))
            assert checked.tag == ("key" in given_keys)
        proved.append(at)
    assert len(proved) == 25


def test_what_prove_makes_is_the_known_answer(file: Any) -> None:
    logs = {"plain": file(PLAIN), "JSON": file(JSON, "json.log"), "generation": file(OLD, "old.log")}
    count = 0
    for case in CASES:
        form, _, at = case["name"].partition(" ")
        if case["verdict_P"] == case["verdict_V"] == "ok" and form in logs and not case["opens"]:
            at = case["position"]
            assert evidence.prove(at, [logs[form]]).evidence == vectors.line_bytes(case["evidence"])
            count += 1
    assert count == 15


def test_files_may_overlap_come_in_any_order_and_be_named_twice(keys: vectors.Keys, file: Any) -> None:
    lines = [line + b"\n" for line in lines_of(PLAIN)]
    parts = [file(b"".join(lines[15:]), "b"), file(b"".join(lines[5:20]), "c"), file(b"".join(lines[:10]), "a")]
    whole = evidence.prove("1.0.7", [file(PLAIN)])
    assert evidence.prove("1.0.7", [*parts, parts[0]]).evidence == whole.evidence
    random.Random(1).shuffle(lines)
    assert evidence.prove("oedhcsck.1.0.7", [file(b"".join(lines))]).evidence == whole.evidence


def test_chunks_and_carriers_change_nothing(file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evidence.prove("1.0.7", [file(PLAIN)]).evidence
    carried = b"".join(b"<14>Nov 23 host app: " + line + b" \r\n" for line in lines_of(PLAIN))
    monkeypatch.setattr(inputs, "CHUNK", 1000)
    assert evidence.prove("1.0.7", [file(carried)]).evidence == whole


def test_json_that_was_rewritten_is_proved_as_it_was_sealed(keys: vectors.Keys, tmp_path: Path) -> None:
    place = {"store": f"file:{tmp_path}/store"}
    files = {"key_file": tmp_path / "app.key", "public_file": tmp_path / "app.pub"}
    tallystick.create("app", **place, custody=f"master-key:{tmp_path}/master.key", **files)  # type: ignore[arg-type]
    with tallystick.open("app", output=tmp_path / "app.log", control="json", **place) as log:
        for number in range(20):
            log.write(json.dumps({"action": "login", "user": number}, separators=(",", ":")))
    before = evidence.prove("1.0.7", [tmp_path / "app.log"])
    anew = b""
    for line in (tmp_path / "app.log").read_bytes().splitlines():
        value = json.loads(line)
        anew += json.dumps(dict(reversed(value.items())), indent=None).encode() + b"\n"
    (tmp_path / "app.log").write_bytes(anew)
    proof = evidence.prove("1.0.7", [tmp_path / "app.log"])
    assert proof == before
    checked = evidence.check(proof.evidence, public=tmp_path / "app.pub", key=tmp_path / "app.key")
    assert (checked.verdict, checked.text) == (Verdict.OK, b'{"action":"login","user":6}')
    # Redacted, the line stands there in one form only, and the others are proved in theirs.
    redacted = tmp_path / "redacted.log"
    done = evidence.redact("1.0.7", [tmp_path / "app.log"], key=tmp_path / "app.key", output=redacted)
    assert done.line.startswith(b'{"redacted":true,"tally":"')
    assert evidence.prove("1.0.8", [redacted]) == evidence.prove("1.0.8", [tmp_path / "app.log"])
    proof = evidence.prove("1.0.7", [redacted])
    assert evidence.check(proof.evidence, key=tmp_path / "app.key").line == done.line


def test_a_later_generation_needs_an_older_opening_from_the_files_or_the_public_file(
    keys: vectors.Keys, file: Any
) -> None:
    whole = evidence.prove("257.0.1", [file(OLD)])
    lines = lines_of(OLD)
    assert whole.evidence.count(b"\ntallystick/v1 open ") == 1
    assert evidence.check(whole.evidence, public=keys.public).verdict is Verdict.OK
    second_generation = file(b"\n".join(lines[3:]) + b"\n")
    with pytest.raises(ReportError, match=r"the `open` of an older one is not here.*public file"):
        evidence.prove("257.0.1", [second_generation])
    public = file(f"{TEXTS['public_key']}\n".encode() + stripped(lines[0]) + b"\n", "app.pub")
    assert evidence.prove("257.0.1", [second_generation], public=public).evidence == whole.evidence


def test_the_opening_of_a_later_generation_is_proved(keys: vectors.Keys, file: Any) -> None:
    for at in ("256.0.0", "257.0.0"):
        checked = evidence.check(evidence.prove(at, [file(OLD)]).evidence, public=keys.public)
        assert (checked.verdict, checked.position, checked.control) == (Verdict.OK, at, True)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_whatever_was_done_to_a_log_what_it_proves_was_sealed(keys: vectors.Keys, tmp_path: Path, draw: Any) -> None:
    data, log = bytearray(draw.draw(st.sampled_from([PLAIN, JSON]))), tmp_path / "app.log"
    sealed = {dotted(line): line for line in lines_of(bytes(data))}
    for _ in range(draw.draw(st.integers(0, 3))):
        at = draw.draw(st.integers(0, len(data) - 1))
        size = draw.draw(st.sampled_from([0, 1, 1, 5, 300]))
        data[at : at + size] = draw.draw(st.binary(max_size=5) | st.just(bytes(data[at - 300 : at])))
    log.write_bytes(data)
    at = draw.draw(st.sampled_from(sorted(sealed)))
    try:
        proof = evidence.prove(at, [log])
    except ReportError:
        return
    checked = evidence.check(proof.evidence, public=keys.public)
    assert (checked.verdict, checked.position, checked.line) == (Verdict.OK, at, sealed[at])


def test_a_redacted_line_is_proved_as_redacted(keys: vectors.Keys, file: Any) -> None:
    redacted = PLAIN.replace(REDACTED["original"].encode(), REDACTED["redacted"].encode())
    proof = evidence.prove("1.0.1", [file(redacted)])
    checked = evidence.check(proof.evidence, key=keys.secret)
    assert (checked.verdict, checked.redacted, checked.text) == (Verdict.OK, True, None)
    assert checked.line == REDACTED["redacted"].encode()
    # Another line of that epoch is proved as before, and so is the line itself where a copy still shows it.
    assert evidence.prove("1.0.2", [file(redacted)]) == evidence.prove("1.0.2", [file(PLAIN, "whole")])
    both = [file(redacted), file(PLAIN, "whole")]
    assert evidence.prove("1.0.1", both).evidence == evidence.prove("1.0.1", both[1:]).evidence


def without(*numbers: int) -> bytes:
    return b"".join(line + b"\n" for at, line in enumerate(lines_of(PLAIN)) if at not in numbers)


@pytest.mark.parametrize(
    ("at", "data", "message"),
    [
        ("9.0.1", PLAIN, r"the line 9\.0\.1 of log oedhcsck is not here"),
        ("1.0.19", PLAIN, r"there is no line 1\.0\.19: its epoch ended with the checkpoint 1\.0\.18"),
        ("1.0.18", PLAIN, r"1\.0\.18 is the checkpoint of its epoch: its own signature proves it"),
        ("2.0.1", PLAIN, r"the checkpoint of epoch 2\.0 is not here"),
        ("1.0.1", without(4, 7, 8), r"lines of epoch 1\.0 are absent, and all 18 are needed: indices 4, 7 to 8; add"),
        ("1.0.4", without(4), r"epoch 1\.0 are absent, and all 18 are needed: index 4;"),
        ("1.0.1", without(18), r"the checkpoint of epoch 1\.0 is not here"),
        ("1.0.1", PLAIN.replace(b"tab\there", b"tab\tHERE"), r"one or more lines of epoch 1\.0 are altered"),
        ("1.0.1", PLAIN.replace(b".1.0.3.8.", b".1.0.3.9."), r"app.log:4: the line 1\.0\.3 is altered"),
        ("1.0.3", PLAIN.replace(b".1.0.3.8.", b".1.0.3.9."), r"app.log:4: the line 1\.0\.3 is altered"),
        ("1.0.1", PLAIN + PLAIN.replace(b"alice", b"malic"), r"app.log:35: another line that is at 1\.0\.1 as well"),
        ("1.0.1", b"", "no sealed line is here"),
        ("1.0.1", b"plain text\n\x00\n{}\n{\n", "no sealed line is here"),
        ("aaaaaaaa.1.0.1", PLAIN, r"the line 1\.0\.1 of log aaaaaaaa is not here"),
    ],
)
def test_what_cannot_be_proved_is_refused_with_the_reason(at: str, data: bytes, message: str, file: Any) -> None:
    log = file(data)
    output = log.with_name("x.evidence")
    with pytest.raises(ReportError, match=message):
        evidence.prove(at, [log], output=output)
    assert not output.exists()


def test_lines_of_several_logs_ask_for_the_log(keys: vectors.Keys, file: Any, tmp_path: Path) -> None:
    other = next(vectors.line_bytes(case["evidence"]) for case in CASES if case["name"] == "another log")
    line = other.split(b"\nline ")[1]
    both = file(PLAIN + line)
    with pytest.raises(ReportError, match=r"several|lines of the logs .*put the one you mean before the position, as"):
        evidence.prove("1.0.1", [both])
    checked = evidence.check(evidence.prove("oedhcsck.1.0.1", [both]).evidence, public=keys.public)
    assert (checked.verdict, checked.log_id) == (Verdict.OK, "oedhcsck")


@pytest.mark.parametrize("text", ["", "1.0", "1.0.1.2", "0.0.0", "1.256.0", "1.0.65536", "4294967296.0.0", "01.0.1",
                                  "1.0.1\n", "-1.0.1", "OEDHCSCK.1.0.1", "oedhcsck 1.0.1", "1.0.١"])  # fmt: skip
def test_what_is_no_position_is_reported(text: str, file: Any) -> None:
    with pytest.raises(FormatError, match="is not a position"):
        evidence.prove(text, [file(PLAIN)])


def test_a_checkpoint_that_an_application_made_up_is_passed_over(keys: vectors.Keys, tmp_path: Path) -> None:
    """An application may log what it likes, also a checkpoint under keys of its own at the right position."""
    make = script(vectors.VECTORS / "make.py")
    sealer, forger = (make.Sealer(vectors_v(), seed, "payments") for seed in (vectors_s(), bytes(32)))
    forger.P, forger.log_id = sealer.P, sealer.log_id
    for one in (sealer, forger):
        one.open(1)
        one.entry(b"one")
    forger.checkpoint("closed", 2)
    look_alike = second.as_bytes(forger.lines[-1])[1]
    sealer.entry(look_alike)
    sealer.entry(b"three")
    sealer.checkpoint("closed", 2)
    (tmp_path / "app.log").write_bytes(make.log_bytes(sealer))
    for index, text in ((1, b"one"), (2, look_alike), (3, b"three")):
        proof = evidence.prove(f"1.0.{index}", [tmp_path / "app.log"])
        checked = evidence.check(proof.evidence, public=keys.public)
        assert (checked.verdict, checked.text, checked.control) == (Verdict.OK, text, False)


def vectors_v() -> bytes:
    return bytes.fromhex(vectors.KEYS["V"])


def vectors_s() -> bytes:
    return bytes.fromhex(vectors.KEYS["S"])


# what an attacker may hand over


@pytest.mark.parametrize("name", ["plain 1.2.1", "JSON 1.0.8", "generation 1", "redacted"])
def test_no_flipped_byte_passes(name: str, keys: vectors.Keys) -> None:
    data = next(vectors.line_bytes(case["evidence"]) for case in CASES if case["name"] == name)
    # Without V nothing covers the r of a redacted line, and so what stands there means nothing.
    covered = len(data) - 23 if name == "redacted" else len(data)
    for at in range(len(data)):
        for flip in some((1, 2, 16, 32, 128), (1, 32) if at % 2 else (2, 16, 128)):
            other = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
            for given_keys in ({"public": keys.public}, {"key": keys.secret}):
                if at >= covered and "public" in given_keys:
                    continue
                try:
                    assert evidence.check(other, **given_keys).verdict is not Verdict.OK, (at, flip)
                except FormatError:
                    assert at < len(b"tallystick/v1 evidence\n")


def test_no_beginning_and_no_doubled_or_dropped_line_passes(keys: vectors.Keys) -> None:
    data = next(case["evidence"] for case in CASES if case["name"] == "generation 1").encode()
    lines = data.splitlines(keepends=True)
    others = [data[:end] for end in range(len(data))]
    others += [b"".join(lines[:i] + lines[i + 1 :]) for i in range(len(lines))]
    others += [b"".join([*lines[:i], lines[i], *lines[i:]]) for i in range(len(lines))]
    others += [b"".join([*lines[:i], b"\n", *lines[i:]]) for i in range(len(lines) + 1)]
    for other in others:
        try:
            assert evidence.check(other, public=keys.public).verdict is not Verdict.OK
        except FormatError:
            assert not other.startswith(lines[0])


@settings(max_examples=300, deadline=None)
@given(draw=st.data())
def test_evidence_put_together_from_others_never_passes(keys: vectors.Keys, draw: Any) -> None:
    pool = [vectors.line_bytes(case["evidence"]) for case in CASES if case["verdict_P"] == "ok" and not case["opens"]]
    parts = sorted({part for data in pool for part in data.split(b"\n")[1:-1]})
    chosen = draw.draw(st.lists(st.sampled_from(parts), min_size=1, max_size=5))
    data = b"".join(part + b"\n" for part in [b"tallystick/v1 evidence", *chosen])
    told = second.check_evidence(data, public_text=TEXTS["public_key"])["verdict"]
    assert evidence.check(data, public=keys.public).verdict.value == told
    assert told != "ok" or data in pool


@pytest.mark.parametrize(
    "data",
    [
        b"tallystick/v1 evidence\n" + b"tallystick/v1 open x\n" * 100_000,
        b"tallystick/v1 evidence\ntallystick/v1 checkpoint " + b"a" * 2**20 + b"\nproof\nline x\n",
        b"tallystick/v1 evidence\nproof" + b" A" * 2**20 + b"\nline x\n",
        CASES[0]["evidence"].encode().replace(b"\nproof", b"\nproof" + b" " + b"A" * 43, 1) * 3,
        CASES[0]["evidence"].encode().replace(b"\nproof", b"\nproof" + (b" " + b"A" * 43) * 100_000),
        CASES[0]["evidence"].encode().replace(b"\nline ", b"\nline " + b"x" * (2**24 + 1)),
        CASES[0]["evidence"].encode().replace(b".1.2.1.20.", b".99999999999999999999.2.1.20."),
        b"tallystick/v1 evidence\n",
        b"tallystick/v1 evidence\n\n\n\n\n",
        b"tallystick/v1 evidence\n" + bytes(1000),
    ],
)
def test_huge_or_broken_parts_are_refused(data: bytes, keys: vectors.Keys) -> None:
    assert evidence.check(data, public=keys.public).verdict is Verdict.FAILED
    assert second.check_evidence(data, public_text=TEXTS["public_key"])["verdict"] == "failed"


@pytest.mark.parametrize("data", [b"", b"tallystick/v2 evidence\n", PLAIN, b"\xff" * 100])
def test_what_is_no_evidence_is_reported(data: bytes, keys: vectors.Keys, file: Any) -> None:
    with pytest.raises(FormatError, match=r"app\.log: this is no evidence file"):
        evidence.check(file(data), public=keys.public)


def test_a_narrowed_key_that_does_not_reach_the_chain_cannot_tell(tmp_path: Path, keys: vectors.Keys) -> None:
    (tmp_path / "narrowed.key").write_text(TEXTS["narrowed_2_3"] + "\n")
    checked = evidence.check(CASES[0]["evidence"].encode(), key=tmp_path / "narrowed.key")
    assert checked.verdict is Verdict.INCOMPLETE
    assert "the key does not reach chain 1" in checked.detail
    told = second.check_evidence(CASES[0]["evidence"].encode(), key_text=TEXTS["narrowed_2_3"])
    assert told["verdict"] == "incomplete"


def test_a_key_is_needed(keys: vectors.Keys, file: Any, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="no key was given"):
        evidence.check(CASES[0]["evidence"].encode())
    tallystick.create(
        "other",
        store=f"file:{tmp_path}/store",
        custody=f"master-key:{tmp_path}/master.key",
        key_file=tmp_path / "other.key",
    )
    with pytest.raises(ReportError, match="are of different logs"):
        evidence.check(CASES[0]["evidence"].encode(), public=keys.public, key=tmp_path / "other.key")
    with pytest.raises(ReportError, match=r"check the name of the key"):
        evidence.check(CASES[0]["evidence"].encode(), public=file(b"").with_name("absent"))
    with pytest.raises(FormatError, match=r"app\.log: no public key"):
        evidence.check(CASES[0]["evidence"].encode(), public=file(b"garbage\n"))


# redaction


def test_the_redacted_line_is_the_known_answer(keys: vectors.Keys, file: Any) -> None:
    done = evidence.redact(REDACTED["position"], [file(PLAIN)], key=keys.secret)
    assert done.line == REDACTED["redacted"].encode()


@pytest.mark.parametrize("data", [PLAIN, JSON], ids=["plain", "json"])
def test_a_copy_with_redacted_lines_differs_in_these_alone_and_verifies(
    data: bytes, keys: vectors.Keys, file: Any
) -> None:
    log = file(data)
    log.chmod(0o640)
    for at in ("1.0.1", "1.0.8", "1.0.17", "1.2.1"):
        done = evidence.redact(at, [log], key=keys.secret, output=log.with_name(f"{at}.log"))
        assert (done.path, done.count) == (str(log), 1)
        log = log.with_name(f"{at}.log")
        assert log.stat().st_mode & 0o777 == 0o640
    changed = [dotted(a) for a, b in zip(lines_of(data), lines_of(log.read_bytes()), strict=True) if a != b]
    assert changed == ["1.0.1", "1.0.8", "1.0.17", "1.2.1"]
    assert file(data).read_bytes() == data
    for given_keys in ({"keys": [keys.secret]}, {"public": [keys.public]}):
        report = tallystick.verify([log], **given_keys)  # type: ignore[arg-type]
        assert report.verdict is Verdict.INCOMPLETE
        redacted = [f.position for f in report.findings if f.kind == "redacted"]
        assert redacted == ["1.0.1", "1.0.8", "1.0.17", "1.2.1"]
        assert not [f for f in report.findings if f.weight is tallystick.Weight.FAILED]
    assert b'{"redacted":true,"tally":"oedhcsck.1.0.8.~' in log.read_bytes()


def test_all_copies_of_a_line_in_the_file_are_redacted_and_line_ends_stay(keys: vectors.Keys, file: Any) -> None:
    data = (PLAIN + PLAIN).replace(b"\n", b" \r\n").removesuffix(b"\r\n")
    log = file(data)
    done = evidence.redact("1.0.1", [log], key=keys.secret, output=log.with_name("copy"))
    assert done.count == 2
    redacted = log.with_name("copy").read_bytes()
    assert redacted == data.replace(REDACTED["original"].encode(), REDACTED["redacted"].encode())
    assert b"alice" not in redacted


@pytest.mark.parametrize(
    ("at", "data", "message"),
    [
        ("1.0.0", PLAIN, "those are never redacted"),
        ("1.0.18", PLAIN, "is the checkpoint of its epoch"),
        ("2.0.1", PLAIN, "the checkpoint of epoch 2.0 is not here"),
        ("1.0.1", without(5), "lines of epoch 1.0 are absent"),
        (
            "1.0.1",
            PLAIN.replace(REDACTED["original"].encode(), REDACTED["redacted"].encode()),
            "it is redacted already",
        ),
        ("1.0.1", PLAIN.replace(b"user=alice", b"host user=alice"), "a carrier put something before the line"),
    ],
)
def test_what_must_not_be_redacted_is_refused(
    at: str, data: bytes, message: str, keys: vectors.Keys, file: Any
) -> None:
    log = file(data)
    output = log.with_name("copy")
    with pytest.raises(ReportError, match=message):
        evidence.redact(at, [log], key=keys.secret, output=output)
    assert not output.exists()


def test_a_line_in_two_files_is_redacted_in_one_at_a_time(keys: vectors.Keys, file: Any) -> None:
    files = [file(PLAIN), file(PLAIN, "copy.log")]
    with pytest.raises(ReportError, match="name one of them at a time"):
        evidence.redact("1.0.1", files, key=keys.secret, output=files[0].with_name("y"))
    lines = [line + b"\n" for line in lines_of(PLAIN)]
    parts = [file(b"".join(lines[:4]), "a"), file(b"".join(lines[4:]), "b")]
    done = evidence.redact("1.0.7", parts, key=keys.secret, output=files[0].with_name("z"))
    assert done.path == str(parts[1])
    assert len(lines_of(files[0].with_name("z").read_bytes())) == len(lines) - 4


def test_only_the_right_key_redacts(tmp_path: Path, keys: vectors.Keys, file: Any) -> None:
    (tmp_path / "narrowed.key").write_text(TEXTS["narrowed_2_3"] + "\n")
    with pytest.raises(ReportError, match="the key does not reach its chain"):
        evidence.redact("1.0.1", [file(PLAIN)], key=tmp_path / "narrowed.key")
    tallystick.create(
        "other",
        store=f"file:{tmp_path}/store",
        custody=f"master-key:{tmp_path}/master.key",
        key_file=tmp_path / "other.key",
    )
    with pytest.raises(ReportError, match="the key is of another log"):
        evidence.redact("1.0.1", [file(PLAIN)], key=tmp_path / "other.key")
    with pytest.raises(FormatError, match=r"no verification key: this is a public key"):
        evidence.redact("1.0.1", [file(PLAIN)], key=keys.public)


def test_a_line_whose_tag_is_not_made_with_v_is_not_redacted(tmp_path: Path, keys: vectors.Keys) -> None:
    make = script(vectors.VECTORS / "make.py")
    thief = make.Sealer(bytes(32), vectors_s(), "payments")  # signs well, but does not know V
    thief.open(1)
    thief.entry(b"never tagged with V")
    thief.checkpoint("closed", 2)
    (tmp_path / "app.log").write_bytes(make.log_bytes(thief))
    proof = evidence.prove("1.0.1", [tmp_path / "app.log"])
    assert evidence.check(proof.evidence, public=keys.public).verdict is Verdict.OK
    assert evidence.check(proof.evidence, key=keys.secret).verdict is Verdict.FAILED
    with pytest.raises(ReportError, match="its tag does not match the key"):
        evidence.redact("1.0.1", [tmp_path / "app.log"], key=keys.secret)
