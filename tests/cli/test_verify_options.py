"""`tallystick verify`: each option of the command, end to end."""

import gzip
import json
import lzma
import os
import re
import shutil

import jsonschema
import pytest

from tallystick.reports.plain import schema
from tests.carriers.test_carriers import HERE, PREFIXED, WRAPPED

VALIDATOR = jsonschema.Draft202012Validator(schema())
KEY = ("--key", "payments.key")


def seal_twice(site):
    """Seal a log in two runs: chain 1 is 1.0.0 to 1.0.4, chain 2 is 2.0.0 to 2.0.2."""
    site.seal(b"one\ntwo\nthree\n")
    site.seal(b"four\n")
    return site


@pytest.fixture(scope="module")
def sealed(made_once):
    return seal_twice(made_once)


@pytest.fixture
def log(sealed, tmp_path):
    """A log in two runs, to be verified."""
    return sealed.copy(tmp_path)


def lines(log, name="audit.log"):
    return log.read(name).split(b"\n")[:-1]


def write(log, kept, name="audit.log"):
    (log.path / name).write_bytes(b"".join(line + b"\n" for line in kept))


def run(log, *arguments, **how):
    """Verify and return exit status and report; it must follow the schema and agree with the exit status."""
    done = log("verify", "audit.log", *arguments, "--format", "json", **how)
    assert done.err == ""
    report = json.loads(done.out)
    VALIDATOR.validate(report)
    assert done.status == {"ok": 0, "incomplete": 3, "failed": 5}[report["verdict"]]
    return report


def kinds(report, *, notes=True):
    return sorted({f["kind"] for f in report["findings"] if notes or f["weight"] != "note"})


# -- pins


def test_pins_are_kept_beside_the_logs_if_no_directory_is_named(log):
    assert run(log, *KEY)["verdict"] == "ok"
    (pin,) = (log.store / ".pins").iterdir()
    assert pin.read_text().startswith("# seen ")
    assert "\ntallypin " in pin.read_text()
    assert log("status").status == 0  # .pins is no log


def test_pins_are_kept_where_the_caller_says_or_nowhere(log):
    assert run(log, *KEY, "--pins", "kept")["verdict"] == "ok"
    assert len(list((log.path / "kept").iterdir())) == 1
    assert run(log, *KEY, "--pins", "none")["verdict"] == "ok"
    assert not (log.store / ".pins").exists()


def elsewhere(log):
    """An environment in which no key store has the log, so that only pins say how far it got."""
    return {"env": {"TALLYSTICK_STORE": str(log.path / "elsewhere")}}


def test_what_is_cut_off_after_an_ok_run_is_truncated(log):
    assert run(log, *KEY, "--pins", "kept")["verdict"] == "ok"
    write(log, lines(log)[:-1])
    report = run(log, *KEY, "--pins", "kept", **elsewhere(log))
    assert (report["verdict"], kinds(report)) == ("failed", ["no head", "truncated"])
    # Without its memory the same run can only say that it does not know.
    report = run(log, *KEY, "--pins", "none", **elsewhere(log))
    assert (report["verdict"], kinds(report)) == ("incomplete", ["no head", "open end"])


def test_a_log_that_was_rolled_back_with_its_store_is_truncated(site):
    log = seal_twice(site)
    for name in ("store", "audit.log"):
        path, kept = log.path / name, log.path / f"{name}.kept"
        (shutil.copytree if path.is_dir() else shutil.copy)(path, kept)
    log.seal(b"five\n")
    assert run(log, *KEY, "--pins", "kept")["verdict"] == "ok"
    shutil.rmtree(log.store)
    shutil.copytree(log.path / "store.kept", log.store)
    shutil.copy(log.path / "audit.log.kept", log.path / "audit.log")
    assert kinds(run(log, *KEY, "--pins", "none")) == []
    report = run(log, *KEY, "--pins", "kept")
    assert (report["verdict"], kinds(report)) == ("failed", ["truncated"])


def test_the_pin_of_an_auditor_is_met_too(log):
    pin = run(log, *KEY, "--pins", "none")["logs"][0]["pin"]
    (log.path / "audit").mkdir()
    (log.path / "audit" / "from-the-auditor.pin").write_text(f"# 23 November, by mail\n{pin}\n")
    (log.path / "audit").chmod(0o700)
    (log.path / "audit" / "from-the-auditor.pin").chmod(0o644)
    assert run(log, *KEY, "--pins", "audit")["verdict"] == "ok"
    write(log, lines(log)[:-1])
    assert kinds(run(log, *KEY, "--pins", "audit", "--store", "none")) == ["truncated"]


def test_with_the_public_key_a_pin_is_a_lower_bound_and_no_end(log):
    public = ("--public", "payments.pub", "--pins", "kept")
    assert kinds(run(log, *public)) == ["open end"]
    assert run(log, *public, "--allow", "open end")["verdict"] == "ok"  # keeps a pin on the last line
    (open_end,) = run(log, *public)["findings"]
    assert open_end["kind"] == "open end"
    assert "the log reached at least 2.0.2 when it was seen on 20" in open_end["detail"]
    write(log, lines(log)[:-1])
    assert "truncated" in kinds(run(log, *public, "--allow", "open end"))


def test_a_store_on_the_command_line_stays_named_if_the_environment_names_it_too(log):
    shutil.rmtree(log.store)
    done = log(
        "verify", "audit.log", *KEY, "--store", f"file:{log.store}", env={"TALLYSTICK_STORE": f"file:{log.store}"}
    )
    assert (done.status, done.out) == (4, b"")
    assert kinds(run(log, *KEY, "--pins", "none")) == ["no head", "open end"]


# -- what must be here


def test_from_names_the_first_chain_that_must_be_here(log):
    write(log, lines(log)[5:])
    assert kinds(run(log, *KEY)) == ["late start"]
    report = run(log, *KEY, "--from", "2")
    assert (report["verdict"], report["logs"][0]["start"]) == ("ok", "named by the caller: chain 2")
    assert kinds(run(log, *KEY, "--from", "1")) == ["missing"]
    assert kinds(run(log, *KEY, "--from", "3")) == ["missing"]


def test_an_expected_log_must_be_here(log):
    log.init("orders")
    both = (*KEY, "--key", "orders.key")
    assert kinds(run(log, *both)) == ["nothing verified"]
    report = run(log, *both, "--expect", "orders", "--expect", "payments")
    (missing,) = [f for f in report["findings"] if f["kind"] == "missing"]
    assert (report["verdict"], missing["log"], missing["weight"]) == ("failed", "orders", "failed")
    done = log("verify", "audit.log", *KEY, "--expect", "orders")
    assert (done.status, done.out) == (4, b"")
    assert "the log orders is expected, but no key of it was given" in done.err


# -- what is allowed


@pytest.mark.parametrize(
    ("what", "spoil"),
    [
        ("duplicate", lambda kept: [*kept[:3], kept[2], *kept[3:]]),
        ("reordered", lambda kept: [kept[0], kept[2], kept[1], *kept[3:]]),
        ("open end", lambda kept: kept),
    ],
)
def test_what_the_caller_allows_weighs_nothing_and_allows_nothing_else(log, what, spoil):
    write(log, spoil(lines(log)))
    more = ("--pins", "none", *(("--store", "none") if what == "open end" else ()))
    assert kinds(run(log, *KEY, *more), notes=False) == [what]
    for other in ("duplicate", "reordered", "open end", "narrowed"):
        report = run(log, *KEY, *more, "--allow", other)
        assert (report["verdict"] == "ok") == (other == what), other
    write(log, [line.replace(b"two ", b"owt ") for line in spoil(lines(log))])
    assert run(log, *KEY, *more, "--allow", what)["verdict"] == "failed"


def test_a_narrowed_key_can_be_allowed(log):
    done = log("key", "narrow", "payments.key", "--from", "1", "--to", "1", "-o", "narrow.key")
    assert done.status == 0, done.err
    report = run(log, "--key", "narrow.key", "--pins", "none")
    assert kinds(report) == ["narrowed", "open end"]
    (narrowed,) = [f for f in report["findings"] if f["kind"] == "narrowed"]
    assert (narrowed["weight"], narrowed["count"]) == ("incomplete", 3)
    report = run(log, "--key", "narrow.key", "--pins", "none", "--allow", "narrowed", "--allow", "open end")
    assert (report["verdict"], kinds(report)) == ("ok", ["narrowed"])


def test_of_a_subset_gaps_are_reported_and_changes_judged(log):
    write(log, [line for line in lines(log) if b"one" not in line[:5]])
    report = run(log, *KEY, "--subset")
    assert (report["verdict"], [(f["kind"], f["weight"]) for f in report["findings"]]) == (
        "incomplete",
        [("subset", "incomplete"), ("missing", "note")],
    )
    write(log, [line.replace(b"two ", b"owt ") for line in lines(log)])
    report = run(log, *KEY, "--subset")
    assert (report["verdict"], kinds(report)) == ("failed", ["altered", "missing", "subset"])
    done = log("verify", "audit.log", "--public", "payments.pub", "--subset")
    assert (done.status, "only be verified with verification keys" in done.err) == (4, True)


def test_what_was_allowed_stands_in_the_first_line_of_every_form(log):
    """A weakened ok never looks like a full one."""
    write(log, lines(log)[5:])
    given = (*KEY, "--pins", "none", "--store", "none", "--from", "2", "--allow", "open end", "--allow", "duplicate")
    said = "ok (allowed: duplicate, open end; from chain 2)"
    report = run(log, *given)
    assert (report["verdict"], report["allowed"]) == ("ok", ["allowed: duplicate, open end", "from chain 2"])
    text = log("verify", "audit.log", *given).out.decode()
    first = "every line is as it was sealed, and none is missing before the last one that is here"
    assert text.split("\n")[0] == f"{said}: {first}"
    sarif = json.loads(log("verify", "audit.log", *given, "--format", "sarif").out)["runs"][0]
    assert sarif["properties"]["allowed"] == report["allowed"]
    assert sarif["invocations"][0]["exitCodeDescription"] == said
    page = log("verify", "audit.log", *given, "--format", "html").out.decode()
    assert f"<h1><b>ok</b>{said.removeprefix('ok')}: " in page
    # What was not asked for is not said.
    write(log, lines(log))
    assert run(log, *KEY, "--pins", "none", "--from", "2")["allowed"] == ["from chain 2"]
    text = log("verify", "audit.log", *KEY, "--subset", "--pins", "none", "--to", "2").out.decode()
    assert text.startswith("incomplete (to chain 2; lines were left out): ")


def test_to_names_the_last_chain_that_must_be_here(log):
    """One older rotated file on the sealing host is no cut log."""
    write(log, lines(log)[:5])
    assert kinds(run(log, *KEY, "--pins", "none")) == ["truncated"]
    report = run(log, *KEY, "--pins", "none", "--to", "1")
    assert (report["verdict"], report["logs"][0]["end"]) == ("ok", "named by the caller: chain 1")
    assert kinds(run(log, *KEY, "--pins", "none", "--to", "2")) == ["missing", "truncated"]
    assert kinds(run(log, *KEY, "--pins", "none", "--store", "none")) == ["open end"]
    write(log, lines(log)[:4])  # its end is cut off: closed is missing
    assert kinds(run(log, *KEY, "--pins", "none", "--to", "1")) == ["open end"]
    write(log, [*lines(log)[:1], *lines(log)[2:]])
    assert kinds(run(log, *KEY, "--pins", "none", "--to", "1")) == ["missing", "open end"]
    done = log("verify", "audit.log", *KEY, "--from", "2", "--to", "1")
    assert (done.status, "cannot end with chain 1" in done.err) == (4, True)


# -- exceptions


def test_exceptions_are_reported_as_used_unused_and_expired(log):
    write(log, [*lines(log), b"banner \x1b[1m"])
    (unsealed,) = [f for f in run(log, *KEY)["findings"] if f["kind"] == "unsealed"]
    texts = [
        f"unsealed sha256:{unsealed['sha256']}: banner of the console server",
        "missing payments 1.0.7: disk full, ticket 812",
        f"altered 1.0.2 sha256:{'ab' * 32} until 2026-01-31: a typing error",
    ]
    (log.path / "exceptions").write_text("# looked into by J. Doe\n" + "\n".join(texts) + "\n")
    report = run(log, *KEY, "--exceptions", "exceptions")
    assert (report["verdict"], report["unsealed"]) == ("ok", 0)
    assert [(e["line"], e["text"], e["use"], e["count"]) for e in report["exceptions"]] == [
        (2, texts[0], "used", 1),
        (3, texts[1], "unused", 0),
        (4, texts[2], "expired", 0),
    ]
    text = log("verify", "audit.log", *KEY, "--exceptions", "exceptions").out.decode()
    assert text.startswith(
        "ok (1 exception used): every line is as it was sealed, and none is missing, but for what the exceptions"
    )
    assert "exceptions  1 used, 1 unused, 1 expired\n" in text
    for use, said in zip(("used", "unused", "expired"), texts, strict=True):
        assert re.search(rf"^  {use} +line \d: {re.escape(said)}$", text, re.MULTILINE)


def test_an_exception_changes_the_verdict_and_nothing_beside_it(log):
    write(log, [line for n, line in enumerate(lines(log)) if n not in (1, 2)])
    (log.path / "exceptions").write_text("missing 1.0.1 to 1.0.2: disk full\n")
    report = run(log, *KEY, "--exceptions", "exceptions")
    assert (report["verdict"], kinds(report)) == ("ok", ["excepted"])
    assert report["findings"][0]["detail"].endswith("; excepted: disk full")
    write(log, [line for n, line in enumerate(lines(log)) if n != 1])
    report = run(log, *KEY, "--exceptions", "exceptions")
    assert (report["verdict"], kinds(report), report["exceptions"][0]["use"]) == ("failed", ["missing"], "unused")


def test_more_findings_of_a_kind_than_asked_for_are_counted(log):
    kept = lines(log)
    write(log, [*kept[:2], b"a", kept[2], b"b", kept[3], b"c", *kept[4:6], kept[6].replace(b"four", b"ruof"), kept[7]])
    report = run(log, *KEY, "--max-findings", "1")
    assert [(f["kind"], f["count"], f["line"]) for f in report["findings"]] == [
        ("altered", 1, 10),
        ("unsealed", 1, 3),
        ("unsealed", 2, None),
    ]
    assert log("verify", "audit.log", *KEY, "--max-findings", "0").status == 2


# -- carriers and containers

CARRIED = [*WRAPPED, *((fixture, kind, None, ["app", "bytes"]) for fixture, kind in PREFIXED)]


@pytest.mark.parametrize(("fixture", "kind", "field", "names"), CARRIED)
def test_a_carriers_file_verifies_in_its_envelope_and_in_no_other_one(bare, fixture, kind, field, names):
    shutil.copy(HERE / fixture, bare.path / "audit.log")
    keys = [part for name in names for part in ("--key", str(HERE / f"{name}.key"))]
    right = ("--store", "none", "--envelope", kind, *(("--field", field) if field else ()))
    report = run(bare, *keys, *right)
    assert (report["verdict"], kinds(report)) == ("ok", ["prefixed"])
    for log in report["logs"]:
        assert log["prefixed"] == log["sealed"] > 0
    other = next(one for one in ("docker", "cri", "rfc5424") if one != kind)
    for wrong in ((), ("--envelope", other)):
        report = run(bare, *keys, *wrong)
        assert report["verdict"] in ("failed", "incomplete")
        reported = " ".join(finding["cause"] or "" for finding in report["findings"])
        assert f"--envelope {kind}" in reported, wrong


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (("--envelope", "podman"), "no envelope is called"),
        (("--envelope", "json"), "field"),
        (("--envelope", "cri", "--field", "x"), "field"),
    ],
)
def test_an_invalid_envelope_is_a_usage_error(log, arguments, reported):
    done = log("verify", "audit.log", *KEY, *arguments)
    assert (done.status, done.out) == (2, b"")
    assert reported in done.err


def test_rotated_and_compressed_files_are_one_log(log):
    kept = lines(log)
    os.remove(log.path / "audit.log")
    packed = {"audit.log.2.gz": gzip.compress, "audit.log.1.xz": lzma.compress, "audit.log": bytes}
    for number, (name, pack) in enumerate(packed.items()):
        part = kept[number * 3 : number * 3 + 3]
        (log.path / name).write_bytes(pack(b"".join(line + b"\n" for line in part)))
    done = log("verify", "audit.log*", *KEY, "--format", "json")
    report = json.loads(done.out)
    assert (report["verdict"], report["lines"], len(report["files"])) == ("ok", 8, 3)
    # A line in a compressed file is named by where it stands when it is unpacked.
    part = [kept[3], kept[4], b"junk", kept[5]]
    (log.path / "audit.log.1.xz").write_bytes(lzma.compress(b"".join(line + b"\n" for line in part)))
    (found,) = json.loads(log("verify", "audit.log*", *KEY, "--format", "json").out)["findings"]
    assert (found["path"], found["line"], found["offset"]) == ("audit.log.1.xz", 3, len(part[0]) + len(part[1]) + 2)
    assert found["excerpt"] == "junk"


def test_several_logs_and_keys_are_judged_in_one_run(log):
    log.init("orders")
    log.seal(b"o one\no two\n", "orders.log", "orders")
    write(log, [line.replace(b"o two", b"o owt") for line in lines(log, "orders.log")], "orders.log")
    report = run(log, "orders.log", *KEY, "--public", "orders.pub")
    (altered,) = [f for f in report["findings"] if f["weight"] == "failed"]
    assert (altered["log"], altered["path"]) == ("orders", "orders.log")
    assert [(one["name"], one["key"]) for one in report["logs"]] == [
        ("payments", "verification key"),
        ("orders", "public key"),
    ]


# -- forms of a real failed run


def test_sarif_and_html_of_a_failed_run_name_what_the_json_names(log):
    kept = lines(log)
    write(log, [*kept[:1], kept[1].replace(b"one ", b"eno "), b"junk <b>\x1b[31m", *kept[3:]])
    report = run(log, *KEY)
    sarif = json.loads(log("verify", "audit.log", *KEY, "--format", "sarif").out)
    results = sarif["runs"][0]["results"]
    assert [(r["properties"]["kind"], r["properties"]["count"]) for r in results] == [
        (f["kind"], f["count"]) for f in report["findings"]
    ]
    for result, finding in zip(results, report["findings"], strict=True):
        region = result["locations"][0]["physicalLocation"]["region"]
        assert (region["startLine"], region["byteOffset"]) == (finding["line"], finding["offset"])
    page = log("verify", "audit.log", *KEY, "--format", "html").out.decode()
    for finding in report["findings"]:
        assert finding["detail"].split(":")[0] in page
    assert "junk &lt;b&gt;" in page
    assert "\x1b" not in page


# -- what is remembered


def test_what_was_verified_is_remembered_and_the_report_says_so(site):
    log = seal_twice(site)
    log.seal(b"".join(b"line %d\n" % number for number in range(100)), output="audit.log")
    first, second = (run(log, *KEY, "--resume", "verified", "--rescan", "1h") for _ in range(2))
    assert (first["remembered"], second["verdict"]) == ({"size": 0, "oldest": None, "vouched": True}, "ok")
    assert first["findings"] == second["findings"]
    assert run(log, *KEY)["remembered"] is None


def test_rescan_goes_with_resume(log):
    done = log("verify", "audit.log", *KEY, "--rescan", "1h")
    assert (done.status, "--rescan goes with --resume" in done.err) == (2, True)


def test_a_directory_of_others_is_refused_for_what_is_remembered(log):
    (log.path / "verified").mkdir(mode=0o755)
    (log.path / "verified").chmod(0o755)
    done = log("verify", "audit.log", *KEY, "--resume", "verified")
    assert done.status == 4
    assert "chmod 0700" in done.err
