"""Others cosign the witness's tree by C2SP's protocol: real ones, one of our own, and some that answer badly."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tallystick import _core
from tallystick.cosigners import Policy
from tallystick.errors import FormatError
from tallystick.witness.keyfile import read_or_make
from tests.servers import until
from tests.witness.cosigner import Cosigner, cosigners_of, litewitness, omniwitness, policy, serving
from tests.witness.service import NAME, Service, Writer, b64, running


def key_of(service: Service) -> str:
    """Return the public key of a witness that is yet to run."""
    return str(read_or_make(str(service.directory / "w.key"), NAME).key)


def checkpoint(service: Service) -> str:
    said = service.ask("GET", "/checkpoint")
    return said.body.decode() if said.status == 200 else ""


def wait_for(service: Service, size: int, signers: int = 1) -> str:
    """Wait for the checkpoint of a tree of a size, with so many signatures; return it."""
    until(
        lambda: f"\n{size}\n" in checkpoint(service) and len(cosigners_of(checkpoint(service))) == signers,
        f"a checkpoint of {size} entries with {signers} signatures",
    )
    return checkpoint(service)


def test_real_cosigners_sign_the_tree_and_each_signature_holds(tmp_path: Path) -> None:
    service = Service(tmp_path, "--interval", "100ms")
    log = key_of(service)
    with litewitness(tmp_path, log) as lite, omniwitness(tmp_path, log) as omni:
        rule = policy(tmp_path, "all", lite, omni, logs=(log,))
        with running(service, "--policy", str(rule)):
            writer = Writer(80).known_to(service)
            body = writer.open()
            for size in (1, 2, 3):
                text = service.show(writer.root, body).text
                names = {"w.example", "example.com/lite", "example.com/omni"}
                assert cosigners_of(wait_for(service, size, 3)) == names
                body = writer.step(10)
            note = checkpoint(service)
            path = f"/log/{b64(writer.root)}/proof/{b64(hashlib.sha256(text).digest())}"
            assert cosigners_of(service.ask("GET", path).body.decode().partition("\n\n")[2]) == names
    signed, _, lines = note.partition("\n\n")
    for one in (lite, omni):
        assert _core.read_cosignature(signed + "\n", lines.encode(), _core.CosignKey(one.key)) is not None


@pytest.mark.parametrize("which", [litewitness, omniwitness])
def test_real_cosigners_refuse_a_tree_that_was_put_back_and_one_that_forked(which: Callable, tmp_path: Path) -> None:
    service = Service(tmp_path, "--interval", "100ms")
    log = key_of(service)
    with which(tmp_path, log) as peer:
        rule = policy(tmp_path, "all", peer)
        with running(service, "--policy", str(rule)):
            writer = Writer(81).known_to(service)
            body = writer.open()
            for size in (1, 2, 3):
                service.show(writer.root, body)
                wait_for(service, size, 2)
                body = writer.step(10)
        for shown, words in ((1, "was an older store put back"), (4, "does not go on from the one")):
            (tmp_path / f"again{shown}").mkdir()
            (tmp_path / f"again{shown}" / "w.key").write_bytes((tmp_path / "w.key").read_bytes())
            (tmp_path / f"again{shown}" / "w.key").chmod(0o600)
            again = Service(tmp_path / f"again{shown}", "--interval", "100ms", "--policy", str(rule))
            with running(again):
                other = Writer(82).known_to(again)
                body = other.open()
                for size in range(1, shown + 1):
                    again.show(other.root, body)
                    wait_for(again, size)
                    body = other.step()
                assert cosigners_of(checkpoint(again)) == {"w.example"}
                assert words in again.end()


def three(tmp_path: Path) -> tuple[Service, list[Cosigner]]:
    service = Service(tmp_path, "--interval", "100ms")
    log = key_of(service)
    return service, [Cosigner(f"c{n}.example", log) for n in range(3)]


def test_one_of_three_may_be_down_where_two_are_enough_and_is_caught_up(tmp_path: Path) -> None:
    service, cosigners = three(tmp_path)
    with serving(*cosigners):
        cosigners[2].answers = lambda body: (503, b"")
        service.options += ("--policy", str(policy(tmp_path, "2", *cosigners)))
        with running(service):
            writer = Writer(83).known_to(service)
            text = service.show(writer.root, writer.open()).text
            path = f"/log/{b64(writer.root)}/proof/{b64(hashlib.sha256(text).digest())}"
            two = {"w.example", "c0.example", "c1.example"}
            until(lambda: cosigners_of(service.ask("GET", path).body.decode()[30:]) >= two, "two cosignatures")
            cosigners[2].answers = None
            until(lambda: cosigners_of(checkpoint(service)) == two | {"c2.example"}, "the third")
            said = service.end()
        assert "c2.example: answers 503" in said
        assert "c2.example: cosigned again" in said
        assert "the policy demands more" not in said


def test_with_two_of_three_down_the_tree_goes_on_and_the_last_one_with_enough_proves(tmp_path: Path) -> None:
    service, cosigners = three(tmp_path)
    with serving(*cosigners):
        service.options += ("--policy", str(policy(tmp_path, "2", *cosigners)))
        with running(service):
            writer = Writer(84).known_to(service)
            first = service.show(writer.root, writer.open()).text
            until(lambda: len(cosigners_of(checkpoint(service))) == 4, "all cosignatures")
            for one in cosigners[:2]:
                one.answers = lambda body: (503, b"")
            service.show(writer.root, writer.step())
            wait_for(service, 2, 2)
            path = f"/log/{b64(writer.root)}/proof/{b64(hashlib.sha256(first).digest())}"
            proof = service.ask("GET", path).body.decode().partition("\n\n")[2]
            assert proof.split("\n")[1] == "1"
            assert len(cosigners_of(proof)) == 4
            metrics = service.ask("GET", "/metrics").body
            assert b"\ntallystick_witness_tree_size 2.0\n" in metrics
            assert b"\ntallystick_witness_tree_cosigned_size 1.0\n" in metrics
            assert "the policy demands more" in service.end()


BAD: dict[str, Callable[[Cosigner, bytes], tuple[int, bytes]]] = {
    "nothing": lambda one, body: (200, b""),
    "noise": lambda one, body: (200, bytes(range(256))),
    "of another key": lambda one, body: (200, Cosigner(one.name).line(body.split(b"\n\n")[1] + b"\n")),
    "of another text": lambda one, body: (200, one.line(b"another text\n")),
    "too long": lambda one, body: (200, b"x" * 2**17),
    "a size that is none": lambda one, body: (409, b"9" * 5000),
    "a moved page": lambda one, body: (302, b""),
    "a plain signature": lambda one, body: (200, one.line(body)[:-100] + b"\n"),
}


@pytest.mark.parametrize("kind", BAD)
def test_an_answer_that_is_no_cosignature_is_reported_and_never_kept(kind: str, tmp_path: Path) -> None:
    service, (one, *_) = three(tmp_path)
    with serving(one):
        one.answers = lambda body: BAD[kind](one, body)
        service.options += ("--policy", str(policy(tmp_path, "any", one)))
        with running(service):
            writer = Writer(85).known_to(service)
            service.show(writer.root, writer.open())
            until(lambda: one.requests > 2, "questions")
            assert cosigners_of(checkpoint(service)) == {"w.example"}
            assert f"the cosigner {one.name}: " in service.end()


def test_cosigners_who_signed_an_older_tree_before_are_asked_from_there(tmp_path: Path) -> None:
    service, (one, *_) = three(tmp_path)
    with serving(one):
        service.options += ("--policy", str(policy(tmp_path, "any", one)))
        writer = Writer(86)
        for step in range(3):
            with running(service):
                body = writer.known_to(service).open() if step == 0 else writer.step()
                service.show(writer.root, body)
                wait_for(service, step + 1, 2)
                assert one.size == step + 1


# policies (C2SP tlog-policy)

KEYS = [Cosigner(f"k{n}").key for n in range(5)]


def parsed(*lines: str) -> Policy:
    return Policy.parse("\n".join(lines).encode() + b"\n")


def test_groups_of_groups_count_each_member_once() -> None:
    rule = parsed(
        *(f"witness  n{n}\t{key}" for n, key in enumerate(KEYS)),
        "# a comment", "", "group x 2 n0 n1 n2", "group y any n3 n4", "group both all x y", "quorum both",
    )  # fmt: skip
    for signed, is_met in (
        ({0, 1, 3}, True),
        ({0, 3, 4}, False),
        ({0, 1, 2}, False),
        ({1, 2, 4}, True),
        (set(), False),
    ):
        assert rule.is_met(signed) is is_met


def test_a_policy_can_demand_one_or_nobody() -> None:
    assert parsed("quorum none").is_met(set())
    one = parsed(f"witness a {KEYS[0]} https://a.example/", "quorum a")
    assert (one.is_met({0}), one.is_met(set()), one.cosigners[0].url) == (True, False, "https://a.example/")


@pytest.mark.parametrize(
    "lines",
    [
        (), ("quorum x",), ("quorum none", "quorum none"), ("group g any", "quorum g"), ("witness a key", "quorum a"),
        (f"witness a {KEYS[0]}", "group g 2 a", "quorum g"), (f"witness a {KEYS[0]}", "group g 0 a", "quorum g"),
        (f"witness a {KEYS[0]}", "group g any a a", "quorum g"), (f"witness none {KEYS[0]}", "quorum none"),
        (f"witness a {KEYS[0]}", f"witness b {KEYS[0]}", "quorum a"), (f"witness a {KEYS[0]}", "quorum a b"),
        (f"witness a {KEYS[0]}", "group g any a", "group h any a", "quorum h"), ("quorum none\r",),
        (f"witness a {KEYS[0].replace('+B', '+A')}", "quorum a"), ("log w", "quorum none"), ("other", "quorum none"),
    ],
)  # fmt: skip
def test_what_is_no_policy_is_refused_with_the_place(lines: tuple[str, ...]) -> None:
    with pytest.raises(FormatError, match="policy"):
        parsed(*lines)


# what real cosigners answered once, for where they are not built

DATA = Path(__file__).with_name("data")


def recorded() -> tuple[str, str, list[str]]:
    """A checkpoint that litewitness and omniwitness cosigned: its text, its signature lines, and the keys."""
    text, _, lines = (DATA / "cosigned.note").read_text().partition("\n\n")
    return text + "\n", lines, (DATA / "cosigned.keys").read_text().split()


def test_recorded_cosignatures_of_litewitness_and_omniwitness_hold() -> None:
    text, lines, (_, *cosigners) = recorded()
    assert len(cosigners) == 2
    for key in cosigners:
        found = _core.read_cosignature(text, lines.encode(), _core.CosignKey(key))
        assert found is not None
        assert (found[0] in lines, found[1] > 1_700_000_000) == (True, True)


def test_each_flipped_byte_of_a_recorded_checkpoint_or_cosignature_is_refused() -> None:
    text, lines, (_, key, _) = recorded()
    cosigner = _core.CosignKey(key)
    line, _ = _core.read_cosignature(text, lines.encode(), cosigner) or ("", 0)
    for at in range(len(text)):
        changed = bytearray(text.encode())
        changed[at] ^= 1
        assert _core.read_cosignature(changed.decode(), line.encode(), cosigner) is None, at
    for at in range(len(line.encode())):
        flipped = bytearray(line.encode())
        flipped[at] ^= 1
        assert _core.read_cosignature(text, bytes(flipped), cosigner) is None, at


def test_a_plain_key_is_no_cosigners_key_and_the_other_way_round() -> None:
    _, _, (log, key, _) = recorded()
    for kind, text in ((_core.CosignKey, log), (_core.NoteKey, key)):
        with pytest.raises(FormatError):
            kind(text)
