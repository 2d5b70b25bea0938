"""What the auditor's page has Python do: keys are told from logs, and the report is the command's."""

import json
import subprocess

import pytest

from tests import vectors
from tests.auditor.conftest import Case, told
from tests.places import COMMAND

LOG = (vectors.VECTORS / "plain.log").read_bytes()
PUBLIC = vectors.KEYS["text"]["public_key"].encode() + b"\n"
SECRET = vectors.KEYS["text"]["verification_key"].encode() + b"\n"
HEADS = [case["head"] for case in json.loads((vectors.VECTORS / "defects.json").read_text())["cases"] if case["head"]]
HEAD = max(HEADS, key=lambda head: [int(part) for part in head.split()[2].split(".")[:3]]).encode() + b"\n"


@pytest.mark.parametrize("key", [["--public", "p.pub"], ["--key", "v.key"]])
def test_the_report_is_that_of_the_command(judge, tmp_path, key):
    edited = LOG.replace(b"login", b"admin", 1)
    name = key[1]
    case = Case({"audit.log": edited, name: PUBLIC if name == "p.pub" else SECRET})
    for path, data in case.files.items():
        (tmp_path / path).write_bytes(data)
    done = subprocess.run(
        [COMMAND, "verify", "audit.log", *key, "--store", "none", "--format", "json"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    found = judge(case)
    assert told(found) == told(found | {"json": done.stdout})


def test_keys_heads_and_logs_are_told_apart_by_what_they_hold(judge):
    cut = LOG[: LOG[:-1].rindex(b"\n") + 1]
    found = told(judge(Case({"a": cut, "b": SECRET, "c": HEAD, "d": PUBLIC})))
    assert found["files"] == ["a"]
    assert [key["kind"] for key in found["keys"]] == ["verification key", "public key"]
    assert found["verdict"] == "failed"
    assert told(judge(Case({"a": cut, "b": SECRET})))["verdict"] == "incomplete"


def test_a_folder_is_verified_as_a_folder(judge):
    found = told(judge(Case({"logs/a.log": LOG, "logs/deep/p.pub": PUBLIC, "top.pub": PUBLIC})))
    assert found["files"] == ["logs/a.log"]


@pytest.mark.parametrize("key", [PUBLIC, SECRET])
def test_a_key_can_be_pasted(judge, key):
    found = told(judge(Case({"a.log": LOG}, pasted=key.decode().strip())))
    assert [each["path"] for each in found["keys"]] == ["pasted"]


def test_options_are_the_commands(judge):
    missing = judge(Case({"a.log": LOG, "p.pub": PUBLIC}, options="--expect payroll"))
    assert "payroll" in missing["trouble"]
    excepted = judge(Case({"a.log": LOG, "p.pub": PUBLIC, "known": b"# nothing\n"}, options="--exceptions known"))
    assert told(excepted)["files"] == ["a.log"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--no-such", "no such option"),
        ("--from none", "--from"),
        ("'", "cannot be read"),
        ("other.log", "only options"),
        ("--resume memory", "--resume is of no use here"),
        ("--store file:/", "--store is of no use here"),
        ("--engine dask", "--engine is of no use here"),
        ("--witness https://w=name+1+x", "asks nobody"),
    ],
)
def test_options_that_are_of_no_use_are_refused(judge, options, said):
    assert said in judge(Case({"a.log": LOG, "p.pub": PUBLIC}, options=options))["trouble"].lower()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.log": LOG}, "no key was given"),
        ({"p.pub": PUBLIC}, "no log was given"),
        ({}, "no key was given"),
        ({"a.log": LOG, "one": HEAD, "two": HEAD, "v": SECRET}, "several heads were given: one, two"),
    ],
)
def test_what_is_lacking_is_said_with_what_to_do(judge, files, said):
    found = judge(Case(files))
    assert (found["trouble"], bool(found["hint"])) == (said, True)


def test_a_key_that_was_cut_is_reported_as_one(judge):
    assert "p.pub: no public key" in judge(Case({"a.log": LOG, "p.pub": PUBLIC[:-5]}))["trouble"]


@pytest.mark.parametrize("name", ["-", "s3:", "--key", "a[1]*.log", "s3:/bucket", "a b\n.log", "<b>.log"])
def test_names_of_files_mean_nothing_but_themselves(judge, name):
    found = told(judge(Case({name: LOG, "p.pub": PUBLIC})))
    assert found["lines"] == LOG.count(b"\n")
