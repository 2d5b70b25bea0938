"""Each vector of witnesses.json is what witnesses are shown and say; the package must say of it what the vector says
(spec sections 7 and 11)."""

import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import tallystick
from tallystick import _core
from tallystick.errors import FormatError, ReportError
from tallystick.reports.plain import schema
from tallystick.verify import Report, marks, run
from tests import vectors
from tests.servers import until
from tests.verify.differential import CHECK

FOUND: dict[str, Any] = json.loads((vectors.VECTORS / "witnesses.json").read_text())
CASES: list[dict[str, Any]] = FOUND["cases"]
ACCEPTS: list[dict[str, Any]] = FOUND["accepts"]
TICK = 12_000_000  # ns; longer than one of this kernel's clock
REFUSED: dict[str, str] = FOUND["refused"]


def named(name: str) -> dict[str, Any]:
    """Return the case of a name."""
    return next(case for case in CASES if case["name"] == name)


@pytest.fixture
def verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Report]:
    """Verify a case; the clock and the nonce are those of the vector."""

    def verify(case: dict[str, Any], key: str, **more: Any) -> Report:
        keys = vectors.write_keys(tmp_path)
        paths, receipts, head = [], [], None
        for name, recipe in case["log"].items():
            if not (tmp_path / name).exists():  # one that is written again is another one
                (tmp_path / name).write_bytes(vectors.apply(recipe))
            paths.append(tmp_path / name)
        for number, text in enumerate(case["receipts"]):
            receipts.append(tmp_path / f"{number}.receipts")
            receipts[-1].write_text(text)
        if key == "V" and case["head"]:
            head = tmp_path / "head"
            head.write_text(case["head"] + "\n")
        answers = {f"http://{number}/": one for number, one in enumerate(case["answers"].values())}
        urls = dict(zip(case["answers"], answers, strict=True))
        nonce = bytes.fromhex(next(iter(answers.values()))["nonce"]) if answers else b""
        with monkeypatch.context() as patch:
            patch.setattr(secrets, "token_bytes", lambda _: nonce)
            if case["witnesses"]:
                patch.setattr(run.time, "time_ns", lambda: case["now"] * 1_000_000)
            return tallystick.verify(
                paths,
                keys=[keys.secret] if key == "V" else [],
                public=[keys.public] if key == "P" else [],
                store="none",
                head=head,
                witnesses=[f"{urls[w]}={w}" if w in urls else w for w in case["witnesses"]],
                receipts=receipts,
                fresh=case["fresh"] / 1000,
                quorum=case["quorum"],
                retention=case["retention"] / 1000 if "retention" in case else None,
                ask=lambda url, _, __: answers[url]["answer"].encode(),
                **more,
            )

    return verify


def test_all_vectors_were_found() -> None:
    assert (len(CASES), len(ACCEPTS), len(REFUSED)) == (68, 35, 13)


@pytest.mark.parametrize(
    ("case", "key"), [pytest.param(c, key, id=f"{c['name']}, {key}") for c in CASES for key in c["with"]]
)
def test_what_witnesses_say_is_judged(case: dict[str, Any], key: str, verified: Callable[..., Report]) -> None:
    report = verified(case, key)
    kinds = sorted({finding.kind for finding in report.findings} - {"nothing verified"})
    assert (report.verdict.value, kinds) == (case["expect"][f"verdict_{key}"], case["expect"][f"kinds_{key}"])


@pytest.mark.parametrize("key", ["V", "P"])
@pytest.mark.parametrize(
    "name", ["a bare head of the first lines of the running epoch", "a bare head of rewritten lines"]
)
def test_a_resumed_run_says_what_a_full_run_says(
    name: str, key: str, verified: Callable[..., Report], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "TICK", TICK)
    case = named(name)
    full = verified(case, key)
    written = (tmp_path / "app.log").stat().st_ctime_ns
    until(lambda: time.time_ns() > written + 3 * TICK, "a later tick")
    verified({**case, "receipts": []}, key, resume=tmp_path / "memory")  # knows of no head yet
    resumed = verified(case, key, resume=tmp_path / "memory")
    assert resumed.remembered is not None
    assert resumed.remembered.size > 0
    assert (resumed.verdict, resumed.findings) == (full.verdict, full.findings)


def test_truncated_names_the_witness_and_its_time(verified: Callable[..., Report]) -> None:
    report = verified(named("a receipt of more than is here"), "V")
    (cut,) = [finding for finding in report.findings if finding.kind == "truncated"]
    assert "the witness w.example received everything before 1.1.4 at 2026-11-23T02:41:40Z" in cut.detail


def test_an_open_end_says_since_when_the_witness_hears_nothing(verified: Callable[..., Report]) -> None:
    report = verified(named("a witness that heard nothing for long"), "V")
    (end,) = [finding for finding in report.findings if finding.kind == "open end"]
    assert "the witness w.example has heard nothing of this log since 2026-11-23T02:41:40Z" in end.detail


def test_a_report_names_the_witness_that_vouches_for_the_end(verified: Callable[..., Report]) -> None:
    assert "the witness w.example" in verified(named("a fresh answer"), "P").logs[0].end


def test_a_witness_that_is_asked_for_is_not_replaced_by_what_the_caller_leaves_out(
    verified: Callable[..., Report],
) -> None:
    with pytest.raises(ReportError, match="0 witnesses must vouch"):
        verified({**named("a fresh answer"), "quorum": 0}, "V")
    with pytest.raises(ReportError, match="2 witnesses must vouch"):
        verified({**named("a fresh answer"), "quorum": 2}, "V")


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_holds_no_receipts_is_a_usage_error(name: str, verified: Callable[..., Report]) -> None:
    with pytest.raises(FormatError):
        verified({**named("no head"), "receipts": [REFUSED[name]]}, "P")


def test_receipts_beside_the_log_are_no_log(tmp_path: Path) -> None:
    keys, text = vectors.write_keys(tmp_path), named("a fresh receipt of all lines")["receipts"][0]
    for name, data in (("r", text), ("two", text + "\n" + text), ("head", text.partition("\n")[0])):
        (tmp_path / name).write_text(data)
    (tmp_path / "hidden").write_text(text + "a line without a seal\n")
    report = tallystick.verify([tmp_path / name for name in ("r", "two", "head", "hidden")], public=[keys.public])
    told = {(one.kind.value, Path(one.path).name, one.count) for one in report.findings if one.path}
    assert told == {("passed over", "head", 3), ("unsealed", "hidden", 7), ("unsealed", "hidden", 2)}


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in ACCEPTS])
def test_a_witness_accepts_by_the_rules(case: dict[str, Any]) -> None:
    known, proof = [text.encode() for text in case["known"]], [bytes.fromhex(one) for one in case["proof"]]
    decision, number = _core.accept_text(known, case["text"].encode(), proof)
    assert (decision, number) == (case["decision"], case["number"])
    texts = [CHECK.read_shown(text) for text in (*known, case["text"].encode())]
    assert CHECK.accept(texts[:-1], texts[-1], proof) == (case["decision"], case["number"])


def test_every_changed_bit_of_a_receipt_is_refused() -> None:
    key, roots = _core.NoteKey(FOUND["key"]), vectors.KEYS["keys"]["chain_root_0"]
    text, _, note = FOUND["receipt"].encode().partition(b"\n")
    log = bytes.fromhex(roots)
    began = time.process_time()
    assert _core.check_receipt(note, key, log, text) is not None
    for at in range(len(note)):
        for bit in range(8):
            spoiled = bytearray(note)
            spoiled[at] ^= 1 << bit
            assert _core.check_receipt(bytes(spoiled), key, log, text) is None, (at, bit)
    for at in range(len(text)):
        changed = text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :]
        assert _core.check_receipt(note, key, log, changed) is None, at
    assert time.process_time() - began < 20


def test_a_report_keeps_the_signed_texts_of_a_witness_as_evidence(verified: Callable[..., Report]) -> None:
    report = verified(named("another history in the answer"), "V")
    (witness,) = report.logs[0].witnesses
    assert (witness.name, witness.trouble, witness.position) == ("w.example", None, "1.1.3")
    (text,) = witness.texts
    assert _core.parse_shown(text.encode()).verb == "head"
    assert "fork" in {finding.kind for finding in report.findings}
    jsonschema.validate(json.loads(json.dumps(report.to_dict())), schema())


def test_a_text_that_cannot_be_proved_counts_nothing(verified: Callable[..., Report]) -> None:
    # Its chain is of a generation whose root nobody knows: a witness that lies could make any log `truncated` by it.
    case = named("a fresh answer")
    (key, answer), *_ = case["answers"].items()
    signer = _core.NoteSigner.generate("liar")
    text = next(line for line in answer["answer"].split("\n") if line.startswith("text ")).split(" ", 3)[3]
    forged = text.replace(" oedhcsck 1 ", " oedhcsck 300 ")
    nonce, log = bytes.fromhex(answer["nonce"]), bytes.fromhex(vectors.KEYS["keys"]["chain_root_0"])
    made = _core.make_answer(signer, nonce, log, case["now"], [(case["now"], False, forged.encode())])
    lying = {str(signer.key): {**answer, "answer": made}}
    report = verified({**case, "witnesses": [str(signer.key)], "answers": lying}, "V")
    assert {finding.kind for finding in report.findings} == {"unmet head", "unclean end"}
    assert key != str(signer.key)
