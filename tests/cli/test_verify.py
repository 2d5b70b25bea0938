"""`tallystick verify`: exit status and what is said (spec section 7)."""

import json
import os

import pytest


@pytest.fixture(scope="module")
def sealed(made_once):
    made_once.seal(b"one\ntwo\nthree\n")
    return made_once


@pytest.fixture
def log(sealed, tmp_path):
    return sealed.copy(tmp_path)


def verify(site, *arguments, **how):
    return site("verify", *arguments, **how)


def test_an_untouched_log_is_ok(log):
    done = verify(log, "audit.log", "--key", "payments.key")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(b"ok: every line is as it was sealed, and none is missing\n")


def test_an_altered_line_fails_and_is_named(log):
    (log.path / "audit.log").write_bytes(log.read().replace(b"two ", b"owt "))
    done = verify(log, "audit.log", "--key", "payments.key")
    assert done.status == 5
    assert done.out.startswith(b"failed: ")
    assert b"failed altered audit.log:3 1.0.2\n" in done.out


def test_without_a_head_it_is_incomplete(log):
    env = {"TALLYSTICK_STORE": str(log.path / "elsewhere")}
    done = verify(log, "audit.log", "--key", "payments.key", env=env)
    assert done.status == 3
    assert done.out.startswith(b"incomplete: ")
    assert b"open end" in done.out


def test_an_open_end_can_be_allowed(log):
    env = {"TALLYSTICK_STORE": str(log.path / "elsewhere")}
    assert verify(log, "audit.log", "--key", "payments.key", "--allow", "open end", env=env).status == 0


def test_the_key_of_another_log_is_incomplete_and_never_ok(log):
    log.init("other")
    done = verify(log, "audit.log", "--key", "other.key")
    assert done.status == 3
    assert b"nothing verified" in done.out


@pytest.mark.parametrize(
    ("arguments", "status", "reported"),
    [
        ((), 2, "Missing argument 'PATH...'"),
        (("audit.log",), 2, "no key was given; give the verification key with --key"),
        (("audit.log", "--key", "payments.pub"), 2, "payments.pub: "),
        (("audit.log", "--public", "payments.key"), 2, "payments.key: "),
        (("audit.log", "--key", "cut.key"), 2, "cut.key: "),
        (("audit.log", "--key", "binary"), 2, "binary: "),
        (("audit.log", "--key", "gone.key"), 4, "gone.key: no such file or directory"),
        (("audit.log", "--key", "."), 4, ".: is a directory"),
        (("audit.log", "--key", "payments.key", "--expect", "orders"), 4, "no key of it was given"),
        (("audit.log", "--public", "payments.pub", "--subset"), 4, "only be verified with verification keys"),
        (("audit.log", "--key", "payments.key", "--envelope", "wrapper"), 2, "no envelope is called"),
        (("audit.log", "--key", "payments.key", "--exceptions", "binary"), 2, "binary:"),
        (("audit.log", "--key", "payments.key", "--allow", "altered"), 2, "is not one of"),
        (("audit.log", "--key", "payments.key", "--head", "gone.head"), 4, "gone.head: no such file or directory"),
        (("audit.log", "--key", "payments.key", "--format", "xml"), 2, "'xml' is not one of"),
        (("audit.log", "--key", "payments.key", "--store", "file:gone"), 4, "there is no key store at"),
        (("audit.log", "--key", "payments.key", "--from", "0"), 2, "--from"),
    ],
)
def test_what_cannot_be_verified_is_reported(log, arguments, status, reported):
    (log.path / "cut.key").write_bytes(log.read("payments.key").strip()[:-3])
    (log.path / "binary").write_bytes(bytes(range(256)))
    (log.path / "empty").mkdir()
    done = verify(log, *arguments)
    assert (done.status, done.out) == (status, b"")
    assert reported in done.err
    assert log.read("payments.key").strip()[20:60].decode() not in done.err


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("gone.log", b"no such file or directory; check the name"),
        ("empty", b"there is no file in this directory"),
        ("*.none", b"no file has such a name; check the pattern"),
        ("/dev/null", b"this is no file; name a file"),
    ],
)
def test_a_path_that_cannot_be_read_is_a_finding_with_its_name(log, path, told):
    (log.path / "empty").mkdir()
    done = verify(log, path, "--key", "payments.key")
    assert (done.status, done.err) == (3, "")
    assert done.out.startswith(b"incomplete: ")
    assert told in done.out
    assert path.encode() in done.out


def test_a_public_file_in_the_place_of_a_key_is_recognized(log):
    done = verify(log, "audit.log", "--key", "payments.pub")
    assert "this is a public key (tallypub1…); give it as the public file instead" in done.err


def test_a_key_in_the_place_of_a_public_file_is_recognized(log):
    done = verify(log, "audit.log", "--public", "payments.key")
    assert "this is a verification key" in done.err


def test_an_empty_file_fails_where_a_head_counts_lines(log):
    (log.path / "audit.log").write_bytes(b"")
    assert verify(log, "audit.log", "--key", "payments.key").status == 5


def test_an_empty_file_is_incomplete_where_nothing_says_what_should_be_there(log):
    (log.path / "audit.log").write_bytes(b"")
    env = {"TALLYSTICK_STORE": str(log.path / "elsewhere")}
    assert verify(log, "audit.log", "--key", "payments.key", env=env).status == 3


def test_a_binary_file_fails_and_is_not_shown(log):
    (log.path / "audit.log").write_bytes(bytes(range(256)) * 1000)
    done = verify(log, "audit.log", "--key", "payments.key")
    assert done.status == 5
    assert b"\x1b" not in done.out
    assert b"unsealed" in done.out


def test_several_files_and_globs_make_one_log(site):
    site.seal(b"one\ntwo\nthree\n")
    site.seal(b"four\n", "audit.log.2")
    assert site.verdict("audit.log.2", "audit.log") == ("ok", [])
    assert site.verdict("audit.log") == ("failed", ["truncated"])


def test_a_file_that_is_named_twice_counts_once(log):
    os.link(log.path / "audit.log", log.path / "link.log")
    assert log.verdict("audit.log", "./audit.log", "link.log") == ("ok", [])


def test_the_json_report_has_the_documented_keys(log):
    (log.path / "audit.log").write_bytes(log.read().replace(b"two ", b"owt "))
    report = json.loads(verify(log, "audit.log", "--key", "payments.key", "--format", "json").out)
    assert report["tallystick_report"] == 1
    assert report["verdict"] == "failed"
    assert {"findings", "logs", "files", "lines", "size", "seconds"} <= set(report)
    (finding,) = report["findings"]
    assert (finding["kind"], finding["weight"], finding["log"]) == ("altered", "failed", "payments")
    assert (finding["path"], finding["line"], finding["position"]) == ("audit.log", 3, "1.0.2")
    assert {"detail", "to", "count"} <= set(finding)
    (seen,) = report["logs"]
    assert (seen["name"], seen["first"], seen["last"]) == ("payments", "1.0.0", "1.0.4")
    assert {"log_id", "key", "times", "start", "end", "chains", "epochs", "sealed"} <= set(seen)


def test_a_report_goes_into_a_file(log):
    done = verify(log, "audit.log", "--key", "payments.key", "-o", "report")
    assert (done.status, done.out) == (0, b"")
    assert log.read("report").startswith(b"ok: ")


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("name", ["a\x1b[31m.log", "a\nok: x.log", "a\u202eb.log", b"a\xff\x9b.log"])
def test_control_characters_in_file_names_do_not_reach_the_terminal(log, name, there, form):
    raw = os.fsencode(name)
    if there:
        with open(os.fsencode(log.path) + b"/" + raw, "wb") as file:
            file.write(log.read() + b"no seal \x1b[31m\n")
    done = verify(log, os.fsdecode(raw), "--key", "payments.key", "--format", form)
    assert done.status == (5 if there else 3)
    shown = done.out + done.err.encode("utf-8", "surrogateescape")
    for unsafe in (b"\x1b", b"\nok:", "\u202e".encode(), b"\xff", b"\x9b"):
        if form == "text" or unsafe != "\u202e".encode():  # JSON for machines may hold it
            assert unsafe not in shown


@pytest.mark.parametrize("word", ["fine", "altered"])
def test_nothing_that_is_verified_is_written(log, word):
    if word == "altered":
        (log.path / "audit.log").write_bytes(log.read().replace(b"two ", b"owt "))

    def seen():
        paths = [path for path in log.path.rglob("*") if path.is_file()]
        stats = {path: path.stat() for path in paths}
        return {path: (s.st_ino, s.st_mtime_ns, s.st_ctime_ns, s.st_mode) for path, s in stats.items()}, {
            path: path.read_bytes() for path in paths
        }

    before = seen()
    verify(log, "audit.log", "--key", "payments.key", "--public", "payments.pub", "--pins", "none")
    assert seen() == before


@pytest.mark.parametrize("target", ["audit.log", "payments.key", "./audit.log"])
def test_a_report_never_goes_over_what_is_verified(log, target):
    before = log.read(target)
    done = verify(log, "audit.log", "--key", "payments.key", "-o", target)
    assert log.read(target) == before
    assert done.status in (2, 4)


def test_the_output_of_seal_in_the_environment_is_not_that_of_verify(log):
    """A shell that exports TALLYSTICK_OUTPUT for `seal` must not lose the log to a report."""
    before = log.read()
    verify(log, "audit.log", "--key", "payments.key", env={"TALLYSTICK_OUTPUT": "audit.log"})
    assert log.read() == before


def test_a_report_that_cannot_be_written_is_reported(log):
    with open("/dev/full", "wb") as full:
        done = verify(log, "audit.log", "--key", "payments.key", stdout=full)
    assert (done.status, done.err) == (4, "tallystick: no space left on device\n")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_report_is_shown_whatever_letters_the_terminal_has(log, encoding):
    (log.path / "audit.log").write_bytes(log.read() + b"no seal\n" * 150)
    done = verify(log, "audit.log", "--key", "payments.key", env={"PYTHONIOENCODING": encoding})
    assert done.status == 5
    assert done.out.startswith(b"failed: ")
