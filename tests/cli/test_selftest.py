"""`tallystick selftest`: the matrix of attacks on the operator's own log."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.places import Site

LINES = b"".join(b"user=%d action=login ok=true\n" % n for n in range(60))


@pytest.fixture(scope="module")
def thrice(made_once: Site) -> Site:
    for _ in range(3):
        made_once.seal(LINES)
    return made_once


@pytest.fixture
def sealed(thrice: Site, tmp_path: Path) -> Site:
    return thrice.copy(tmp_path)


def test_all_attacks_on_the_own_log_are_found(sealed: Site) -> None:
    before = sealed.read(), (sealed.path / "audit.log").stat().st_mtime_ns
    done = sealed("selftest", "audit.log", "--key", "payments.key")
    text = done.out.decode()
    assert (done.status, done.err) == (0, ""), text
    assert "untouched copy: ok" in text
    assert "attacks found, " in text
    assert "the originals were only read" in text
    assert "MISSED" not in text
    assert "altered, line " in text
    assert "not possible here: " in text
    assert (sealed.read(), (sealed.path / "audit.log").stat().st_mtime_ns) == before


def test_a_head_from_a_file_and_json_for_programs(sealed: Site) -> None:
    (sealed.path / "payments.head").write_bytes(sealed("head", "payments").out)
    arguments = ("--key", "payments.key", "--head", "payments.head", "--format", "json")
    done = sealed("selftest", "audit.log", *arguments, env={"TALLYSTICK_STORE": ""})
    report = json.loads(done.out)
    assert (done.status, report["missed"], report["with_head"]) == (0, 0, True)
    assert report["found"] == sum(row["outcome"] == "found" for row in report["played"]) > 70


def test_without_a_head_it_says_what_that_means(sealed: Site) -> None:
    done = sealed("selftest", "audit.log", "--key", "payments.key", env={"TALLYSTICK_STORE": "/nonexistent"})
    assert done.status == 0
    assert b"there is no head" in done.out
    assert b"open end" in done.out


def test_rotated_and_compressed_files_are_read_as_verify_does(site: Site) -> None:
    for _ in range(3):
        site.seal(LINES)
    (site.path / "audit.log.1.gz").write_bytes(gzip.compress(site.read()))
    (site.path / "audit.log").write_bytes(b"")
    site.seal(LINES)
    done = site("selftest", "audit.log", "audit.log.1.gz", "--key", "payments.key", "--format", "json")
    report = json.loads(done.out)
    assert (done.status, report["untouched"]["verdict"], report["missed"]) == (0, "ok", 0)
    assert [name.rsplit("/")[-1] for name in report["files"]] == ["audit.log.1.gz", "audit.log"]


def test_older_chains_that_were_deleted_by_right_are_named_with_from(sealed: Site) -> None:
    lines = sealed.read().splitlines(keepends=True)
    (sealed.path / "audit.log").write_bytes(b"".join(line for line in lines if b".1.0." not in line[-40:]))
    report = json.loads(sealed("selftest", "audit.log", "--key", "payments.key", "--from", "2", "--format", "json").out)
    assert (report["untouched"]["verdict"], report["missed"]) == ("ok", 0)


def test_a_log_that_is_failed_is_reported_and_not_played_with(sealed: Site) -> None:
    (sealed.path / "audit.log").write_bytes(sealed.read().replace(b"user=7", b"user=8", 1))
    done = sealed("selftest", "audit.log", "--key", "payments.key")
    assert done.status == 5
    assert "the log itself is failed" in done.err
    assert b"altered, line " in done.out


def test_a_verifier_that_is_broken_on_purpose_is_missed_with_status_5(sealed: Site) -> None:
    script = (
        "import sys, tallystick\n"
        "from dataclasses import replace\n"
        "from tallystick import selftest\n"
        "honest = selftest.verify\n"
        "def blind(*paths, **options):\n"
        "    return replace(honest(*paths, **options), verdict=tallystick.Verdict.OK)\n"
        "selftest.verify = blind\n"
        "from tallystick.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    arguments = ["selftest", "audit.log", "--key", "payments.key"]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=sealed.path, env=sealed.env, capture_output=True, check=False
    )
    assert done.returncode == 5
    assert b"MISSED" in done.stdout
    assert b"0 of " in done.stdout
    assert b"missed: look at the rows marked MISSED" in done.stderr


def test_bad_input_is_reported_without_a_traceback(sealed: Site) -> None:
    for arguments, status in (
        (["none.log", "--key", "payments.key"], 4),
        (["audit.log", "--key", "none.key"], 4),
        (["audit.log", "--key", "audit.log"], 2),
        (["audit.log", "--key", "payments.pub"], 2),
        (["audit.log"], 2),
        (["audit.log", "--key", "payments.key", "--head", "none"], 4),
    ):
        done = sealed("selftest", *arguments)
        assert (done.status, done.out) == (status, b""), done.err
        assert done.err


def test_help_fits_a_screen_and_shows_an_example(bare: Site) -> None:
    done = bare("selftest", "--help")
    assert done.status == 0
    assert len(done.out.splitlines()) <= 24
    assert b"tallystick selftest audit.log* --key" in done.out
