"""`tallystick prove`, `check`, `redact` and `key narrow`."""

import json
import os
import re
import subprocess

import pytest

from tests.places import COMMAND
from tests.vectors import KEYS

TEXT = b'first\nuser=7 action=login\n{"user":8,"action":"pay"}\nlast\n'


@pytest.fixture(scope="module")
def proved(made_once):
    made_once.seal(TEXT)
    done = made_once("prove", "1.0.2", "audit.log", "-o", "login.evidence")
    assert (done.status, done.out) == (0, b"")
    return made_once


@pytest.fixture
def sealed(proved, tmp_path):
    """A site with audit.log: one chain, one epoch, and the evidence of its third line."""
    return proved.copy(tmp_path)


# prove


def test_prove_says_what_it_made_and_how_to_go_on(site):
    site.seal(TEXT)
    done = site("prove", "1.0.2", "audit.log", "-o", "login.evidence")
    assert re.fullmatch(
        r"login\.evidence proves the line 1\.0\.2 of log payments \([a-z2-7]{8}\)\n"
        r"next: tallystick check login\.evidence --public payments\.pub\n",
        done.err,
    )
    words = done.err.rpartition("next: tallystick ")[2].split()
    assert site(*words).status == 0


def test_prove_needs_no_key_and_no_store(sealed):
    for name in ("payments.key", "payments.pub"):
        (sealed.path / name).unlink()
    done = sealed("prove", "1.0.1", "audit.log", "-o", "x", env={"TALLYSTICK_STORE": "/nonexistent"})
    assert done.status == 0


def test_prove_never_writes_over_a_file(sealed):
    before = sealed.read("login.evidence")
    for name in ("login.evidence", "audit.log", "payments.key"):
        done = sealed("prove", "1.0.1", "audit.log", "-o", name)
        assert (done.status, done.err) == (4, f"tallystick: {name} exists already; name a new file\n")
    assert sealed.read("login.evidence") == before


def test_what_cannot_be_proved_leaves_no_file(sealed):
    done = sealed("prove", "1.0.9", "audit.log", "-o", "x.evidence")
    assert done.status == 4
    assert "there is no line 1.0.9: its epoch ended with the checkpoint 1.0.5" in done.err
    assert not (sealed.path / "x.evidence").exists()


@pytest.mark.parametrize("arguments", [["1.0", "audit.log", "-o", "x"], ["1.0.1", "-o", "x"]])
def test_prove_with_wrong_words_is_a_usage_error(sealed, arguments):
    assert sealed("prove", *arguments).status == 2


@pytest.mark.parametrize("path", ["absent", "/dev/null"])
def test_prove_reports_a_file_that_cannot_be_read(sealed, path):
    done = sealed("prove", "1.0.1", path, "-o", "x")
    assert done.status == 4
    assert done.err.startswith(f"tallystick: {path}: ")


# check


def test_check_says_what_is_proved_with_the_verdict_first(sealed):
    done = sealed("check", "login.evidence", "--public", "payments.pub")
    assert (done.status, done.err) == (0, "")
    assert re.fullmatch(
        r"ok: this line was sealed in log payments \([a-z2-7]{8}\) at position 1\.0\.2\n"
        r"  text        user=7 action=login\n"
        r"  claimed     20..-..-..T..:..:..Z: the time of the checkpoint that ended its epoch\n"
        r"  signed by   the key of checkpoint 1\.0\.5, which the log's public key vouches for\n",
        done.out.decode(),
    )
    with_key = sealed("check", "login.evidence", "--key", "payments.key")
    assert with_key.out == done.out + b"  tag         matches the verification key as well\n"


def test_check_in_json_has_the_same(sealed):
    done = sealed("check", "login.evidence", "--public", "payments.pub", "--format", "json")
    shown = json.loads(done.out)
    assert (shown["verdict"], shown["position"], shown["checkpoint"]) == ("ok", "1.0.2", "1.0.5")
    assert (shown["text"], shown["control"], shown["tag"]) == ("user=7 action=login", False, False)
    assert shown["line"].startswith("user=7 action=login tally=")


def test_changed_evidence_does_not_hold(sealed):
    data = sealed.read("login.evidence")
    (sealed.path / "login.evidence").write_bytes(data.replace(b"user=7", b"user=9"))
    done = sealed("check", "login.evidence", "--public", "payments.pub")
    assert done.status == 5
    assert done.out.startswith(
        b"failed: the evidence does not hold: the line is not the one that the checkpoint covers"
    )
    assert b"user=9" not in done.out
    done = sealed("check", "login.evidence", "--public", "payments.pub", "--format", "json")
    assert done.status == 5
    assert json.loads(done.out)["text"] is None


def test_the_key_of_another_log_cannot_tell(sealed):
    sealed.init("other")
    done = sealed("check", "login.evidence", "--public", "other.pub")
    assert done.status == 3
    assert done.out.startswith(b"incomplete: the evidence cannot be judged: this is evidence of log ")


def test_check_says_what_it_needs(sealed):
    done = sealed("check", "login.evidence")
    assert done.status == 2
    assert "--public" in done.err
    done = sealed("check", "audit.log", "--public", "payments.pub")
    assert done.status == 2
    assert "audit.log: this is no evidence file" in done.err
    assert sealed("check", "absent", "--public", "payments.pub").status == 4
    assert sealed("check", ".", "--public", "payments.pub").status == 4
    assert sealed("check", "login.evidence", "--public", "payments.key").status == 2


def test_nothing_in_a_line_makes_a_terminal_do_anything(site):
    site.seal(b"\x1b[31mred\x07 \xff \xe2\x80\xa8\n")
    assert site("prove", "1.0.1", "audit.log", "-o", "x").status == 0
    done = site("check", "x", "--public", "payments.pub")
    assert done.status == 0
    assert b"  text        \\x1b[31mred\\x07 \\xff \\u2028\n" in done.out
    assert json.loads(site("check", "x", "--public", "payments.pub", "--format", "json").out)["text"]


# redact


def test_redact_prints_the_line_and_says_what_verify_needs(sealed):
    done = sealed("redact", "1.0.2", "audit.log", "--key", "payments.key")
    assert done.status == 0
    assert re.fullmatch(rb"\[redacted\] tally=[a-z2-7]{8}\.1\.0\.2\.~[\w-]{43}\.[\w-]{22}\n", done.out)
    assert done.err == "verify expects it if the exceptions file says so:\n  redacted 1.0.2: <the reason>\n"


def test_redact_writes_a_copy_that_verifies_and_hides_the_text(sealed):
    before = sealed.read()
    done = sealed("redact", "1.0.3", "audit.log", "--key", "payments.key", "-o", "redacted.log")
    assert (done.status, done.out) == (0, b"")
    assert done.err.startswith("redacted.log is audit.log with the line 1.0.3 redacted; audit.log still shows it\n")
    assert sealed.read() == before
    after = sealed.read("redacted.log")
    assert b'"pay"' not in after
    assert sealed.verdict("redacted.log") == ("incomplete", ["redacted"])
    assert after.count(b"\n") == before.count(b"\n")
    # The other lines and the redacted one are still proved.
    for at in ("1.0.2", "1.0.3"):
        assert sealed("prove", at, "redacted.log", "-o", f"{at}.evidence").status == 0
        assert sealed("check", f"{at}.evidence", "--public", "payments.pub").status == 0
    assert b"  text        redacted: " in sealed("check", "1.0.3.evidence", "--key", "payments.key").out


def test_redact_never_writes_over_a_file(sealed):
    before = sealed.read()
    done = sealed("redact", "1.0.2", "audit.log", "--key", "payments.key", "-o", "audit.log")
    assert done.status == 4
    assert "exists" in done.err
    assert sealed.read() == before


@pytest.mark.parametrize(("at", "reported"), [("1.0.0", "those are never redacted"), ("1.0.5", "is the checkpoint")])
def test_redact_refuses_control_lines(sealed, at, reported):
    done = sealed("redact", at, "audit.log", "--key", "payments.key", "-o", "x")
    assert (done.status, done.out) == (4, b"")
    assert reported in done.err
    assert not (sealed.path / "x").exists()


def test_redact_needs_the_verification_key(sealed):
    assert sealed("redact", "1.0.2", "audit.log").status == 2
    assert sealed("redact", "1.0.2", "audit.log", "--key", "payments.pub").status == 2


def test_a_copy_that_finds_no_room_is_reported_and_taken_away(sealed):
    from tests.places import limited

    done = sealed("redact", "1.0.2", "audit.log", "--key", "payments.key", "-o", "x", preexec_fn=limited(100))
    assert done.status == 4
    assert done.err.startswith("tallystick: x: ")
    assert not (sealed.path / "x").exists()


# key narrow


def narrow(site, *more, source="payments.key", first=2, last=3, output="narrow.key"):
    return site("key", "narrow", source, "--from", first, "--to", last, "-o", output, *more)


def test_a_narrowed_key_judges_its_chains_alone_and_is_private(site):
    for text in (b"one\n", b"two\n", b"three\n", b"four\n"):
        site.seal(text)
    done = narrow(site)
    assert (done.status, done.out) == (0, b"")
    assert done.err == "narrow.key checks chains 2 to 3 only; like the key it comes from, it is secret\n"
    assert os.stat(site.path / "narrow.key").st_mode & 0o777 == 0o600
    assert b"chains      2 to 3\n" in site("key", "show", "narrow.key").out
    (site.path / "changed.log").write_bytes(
        site.read().replace(b"one tally", b"ONE tally").replace(b"four tally", b"FOUR tally")
    )
    env = {"TALLYSTICK_STORE": str(site.path / "elsewhere")}
    report = json.loads(site("verify", "changed.log", "--key", "narrow.key", "--format", "json", env=env).out)
    assert report["verdict"] == "incomplete"
    assert "narrowed" in {finding["kind"] for finding in report["findings"]}
    (site.path / "changed.log").write_bytes(site.read().replace(b"three", b"THREE"))
    report = json.loads(site("verify", "changed.log", "--key", "narrow.key", "--format", "json", env=env).out)
    assert report["verdict"] == "failed"
    # It checks the evidence of its chains, redacts in them, and does neither elsewhere.
    assert site("prove", "2.0.1", "audit.log", "-o", "two").status == 0
    assert site("prove", "1.0.1", "audit.log", "-o", "one").status == 0
    assert site("check", "two", "--key", "narrow.key").status == 0
    assert site("check", "one", "--key", "narrow.key").status == 3
    assert site("redact", "2.0.1", "audit.log", "--key", "narrow.key").status == 0
    assert "does not reach its chain" in site("redact", "1.0.1", "audit.log", "--key", "narrow.key").err


def test_the_narrowed_key_is_the_known_answer_also_by_way_of_another(bare):
    (bare.path / "payments.key").write_text(KEYS["text"]["verification_key"] + "\n")
    assert narrow(bare).status == 0
    assert bare.read("narrow.key").decode() == KEYS["text"]["narrowed_2_3"] + "\n"
    assert narrow(bare, first=1, last=5, output="wide").status == 0
    assert narrow(bare, source="wide", output="again").status == 0
    assert bare.read("again") == bare.read("narrow.key")
    assert narrow(bare, source="narrow.key", output="same").status == 0
    assert bare.read("same") == bare.read("narrow.key")


@pytest.mark.parametrize(
    ("first", "last", "reported"),
    [
        (1, 2, "covers chains 2 to 3 only, and cannot be made wider"),
        (3, 4, "covers chains 2 to 3 only, and cannot be made wider"),
        (3, 2, "chains 3 to 2 are no range"),
    ],
)
def test_a_narrowed_key_does_not_become_wider(bare, first, last, reported):
    (bare.path / "payments.key").write_text(KEYS["text"]["narrowed_2_3"] + "\n")
    done = narrow(bare, first=first, last=last)
    assert done.status == 2
    assert done.err.startswith("tallystick: payments.key: ")
    assert reported in done.err
    assert not (bare.path / "narrow.key").exists()


def test_a_key_holds_so_many_chains_and_no_more(bare):
    (bare.path / "payments.key").write_text(KEYS["text"]["verification_key"] + "\n")
    done = narrow(bare, first=1, last=65537)
    assert done.status == 2
    assert "65536 at most" in done.err
    assert narrow(bare, first=2, last=65537).status == 0
    assert b"chains      2 to 65537\n" in bare("key", "show", "narrow.key").out
    assert narrow(bare, first=2**24, last=2**24 + 1, output="far").status == 2


@pytest.mark.parametrize(("source", "status"), [("payments.pub", 2), ("absent", 4), (".", 4)])
def test_what_is_no_verification_key_is_reported_with_its_name(site, source, status):
    done = narrow(site, source=source)
    assert done.status == status
    assert done.err.startswith(f"tallystick: {source}: ")
    assert not (site.path / "narrow.key").exists()


def test_narrow_never_writes_over_a_file_or_through_a_link(site):
    before = site.read("payments.key")
    os.symlink("payments.key", site.path / "link")
    for name in ("payments.key", "link"):
        done = narrow(site, output=name)
        assert done.status == 4
        assert "exists" in done.err
    assert site.read("payments.key") == before
    assert narrow(site, output="no/such/place").status == 4


# all


@pytest.mark.parametrize("words", [["prove"], ["check"], ["redact"], ["key", "narrow"]])
def test_help_fits_a_screen_and_shows_an_example(bare, words):
    done = subprocess.run([COMMAND, *words, "--help"], capture_output=True, text=True, env=bare.env, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert f"  tallystick {' '.join(words)} " in done.stdout
