"""`tallystick seal`: bytes pass through unchanged but for the seal (spec section 4)."""

import functools
import json
import os
import select
import subprocess

import pytest

from tests.places import COMMAND, limited
from tests.sealed import controls, entries, lines, position, stripped

BYTES = {
    "text": b"user=7 action=login\nuser=8 action=logout\n",
    "UTF-8": "Grüße, 世界 \N{EXTRATERRESTRIAL ALIEN}\n".encode(),
    "invalid UTF-8": b"\xfe\xfe\x80 \xc3(\n\xed\xa0\x80\n",
    "NUL bytes": b"\0\na\0b\n\0\0\0\0\n",
    "control bytes": bytes(c for c in range(256) if c not in b"\n\r") + b"\n",
    "empty lines": b"\n\none\n\n",
    "blanks": b" \n\t\n one \n trailing \t\n",
    "CR inside": b"a\rb\n\rc\n",
    "other line ends": "a\x0bb\x0cc\x85d\u2028e\u2029f\n".encode(),
    "no line end": b"one\ntwo",
    "seals": b"x tally=aaaaaaaa.1.0.1.1.AAAAAAAAAAAAAAAAAAAAAA\n tally=\n",
    "statements": b"tallystick/v2 open\n[redacted] tally=x\n",
    "long": b"x" * 300_000 + b"\n" + b"y" * 65_536 + b"\n",
    "many": b"".join(b"line %d\n" % i for i in range(10_000)),
    "JSON": b'{"user":7}\n{}\n{ }\n{"a":{"b":[1,2]}} \n{"not json}\n{"tally":1}\n{"x":"\xff"}\n',
}


@pytest.mark.parametrize("data", BYTES.values(), ids=BYTES)
def test_every_byte_passes_unchanged_and_verifies(site, data):
    site.seal(data)
    assert entries(site.read()) == data.removesuffix(b"\n").split(b"\n")
    assert site.verdict() == ("ok", [])


def test_one_cr_at_the_end_of_a_line_is_dropped(site):
    site.seal(b"one\r\ntwo\r\r\n\r\nlast\r")
    assert entries(site.read()) == [b"one", b"two\r", b"", b"last"]
    assert site.verdict() == ("ok", [])


def test_json_lines_get_the_json_form_and_stay_json(site):
    rows = [{"user": 7, "text": 'a "quote" \u2028 ü'}, {}, {"nested": {"a": [1, None]}}]
    site.seal("".join(json.dumps(row) + "\n" for row in rows).encode())
    sealed = [json.loads(line) for line in lines(site.read())]
    assert all("tally" in row for row in sealed)
    assert [{k: v for k, v in row.items() if k != "tally"} for row in sealed][1:-1] == rows


def test_an_entry_with_a_tally_of_its_own_gets_the_plain_form(site):
    site.seal(b'{"tally":1}\n')
    assert lines(site.read())[1].startswith(b'{"tally":1} tally=')


@pytest.mark.parametrize(("form", "first"), [("plain", b"tallystick/v1 open"), ("json", b'{"tallystick":"tally')])
def test_control_lines_take_the_form_that_is_asked_for(site, form, first):
    assert site("seal", "payments", "-o", "audit.log", "--control", form, stdin=b"a\n{}\n").status == 0
    sealed = lines(site.read())
    assert (sealed[0][: len(first)], sealed[-1][:9]) == (first, first[:9])
    assert site.verdict() == ("ok", [])


def test_empty_input_is_a_chain_without_entries(site):
    site.seal(b"")
    assert controls(site.read()) == ["open", "closed"]
    assert site.verdict() == ("ok", [])


def test_several_files_are_sealed_in_order_and_no_line_goes_on_in_the_next(site):
    for name, data in (("a", b"1\n2"), ("b", b"3\n"), ("c", b""), ("d", b"4")):
        (site.path / name).write_bytes(data)
    done = site("seal", "payments", "a", "b", "c", "d", "-o", "audit.log")
    assert done.status == 0
    assert entries(site.read()) == [b"1", b"2", b"3", b"4"]
    assert site.verdict() == ("ok", [])


@pytest.mark.parametrize(("wrong", "reported"), [("gone", "no such file or directory"), ("d", "is a directory")])
def test_a_file_that_cannot_be_read_is_named_before_anything_is_sealed(site, wrong, reported):
    (site.path / "a").write_bytes(b"1\n")
    (site.path / "d").mkdir()
    done = site("seal", "payments", "a", wrong, "-o", "audit.log")
    said = f"tallystick: {wrong}: {reported}, so nothing was sealed; name a file that can be read\n"
    assert (done.status, done.err) == (4, said)
    assert not (site.path / "audit.log").exists()
    assert b"next chain  1\n" in site("status").out


def test_a_file_that_goes_away_meanwhile_is_named_and_lines_before_it_are_sealed(site):
    (site.path / "a").write_bytes(b"1\n")
    os.mkfifo(site.path / "pipe")
    process = site.start("seal", "payments", "pipe", "a", "-o", "audit.log")
    with open(site.path / "pipe", "wb") as pipe:  # it is open there, so the files were looked at
        pipe.write(b"0\n")
        (site.path / "a").unlink()
    err = process.communicate(timeout=60)[1].decode()
    assert (process.returncode, err) == (4, "tallystick: a: no such file or directory; lines before it are sealed\n")
    assert entries(site.read()) == [b"0"]
    assert site.verdict() == ("ok", [])


def test_from_file_to_file(site):
    (site.path / "in").write_bytes(b"1\n2\n")
    with open(site.path / "in", "rb") as source, open(site.path / "audit.log", "wb") as target:
        assert site("seal", "payments", stdin=source, stdout=target).status == 0
    assert entries(site.read()) == [b"1", b"2"]
    assert site.verdict() == ("ok", [])


def test_from_pipe_to_pipe(site):
    done = site("seal", "payments", stdin=b"1\n2\n")
    (site.path / "audit.log").write_bytes(done.out)
    assert entries(done.out) == [b"1", b"2"]
    assert site.verdict() == ("ok", [])


def test_a_redirection_is_appended_to_even_where_the_shell_would_overwrite(site):
    (site.path / "audit.log").write_bytes(b"")
    for data in (b"1\n", b"2\n"):
        fd = os.open(site.path / "audit.log", os.O_WRONLY)
        try:
            assert site("seal", "payments", stdin=data, stdout=fd).status == 0
        finally:
            os.close(fd)
    assert entries(site.read()) == [b"1", b"2"]
    assert site.verdict() == ("ok", [])


def test_the_output_is_appended_to_over_several_runs(site):
    for i in range(3):
        site.seal(b"%d\n" % i)
    assert entries(site.read()) == [b"0", b"1", b"2"]
    assert {position(line)[0] for line in lines(site.read())} == {1, 2, 3}
    assert site.verdict() == ("ok", [])


def test_a_new_output_is_not_for_everybody(site):
    site.seal(b"1\n")
    assert (site.path / "audit.log").stat().st_mode & 0o007 == 0


def test_a_line_is_sealed_when_it_arrives_not_when_the_input_ends(site):
    with site.start("seal", "payments") as running:
        seen = []
        for entry in (b"first", b"second", b"third"):
            running.stdin.write(entry + b"\n")
            running.stdin.flush()
            for _ in range(1 if seen else 2):  # `open` goes right before the first
                assert select.select([running.stdout], [], [], 20)[0], f"{entry!r} did not come"
                seen.append(running.stdout.readline())
            assert stripped(seen[-1].rstrip(b"\n")) == entry
        rest, err = running.communicate(timeout=20)
    assert (running.returncode, err) == (0, b"")
    (site.path / "audit.log").write_bytes(b"".join(seen) + rest)
    assert site.verdict() == ("ok", [])


def test_the_longest_line_passes_whole_and_one_byte_more_is_split_and_the_log_says_so(site):
    longest = 2**24
    done = site("seal", "payments", "-o", "audit.log", stdin=b"x" * longest + b"\n" + b"y" * (longest + 1) + b"\nz\n")
    assert done.status == 0
    said = entries(site.read())
    assert [len(line) for line in said] == [longest, len(said[1]), longest, 1, len(said[4]), 1]
    assert said[1] == b"[split] a line of more than 16777216 bytes follows in parts"
    assert said[4] == b"[split] end of the line of 16777217 bytes in 2 parts"
    assert b"".join(said[2:4]) == b"y" * (longest + 1)
    assert site.verdict() == ("ok", [])


@pytest.mark.parametrize("how", ["FILE", "-o", "both redirected", "append to itself"])
def test_an_output_that_is_the_input_too_is_refused_before_anything_is_sealed(site, how):
    (site.path / "in").write_bytes(b"1\n")
    seal = functools.partial(site, "seal", "payments", preexec_fn=limited(100_000))  # else it fills the disk
    with open(site.path / "in", "rb") as source, open(site.path / "in", "ab") as target:
        done = {
            "FILE": lambda: seal("in", "-o", "../" + site.path.name + "/in"),
            "-o": lambda: seal("-o", "in", stdin=source),
            "both redirected": lambda: seal(stdin=source, stdout=target),
            "append to itself": lambda: seal("in", stdout=target),
        }[how]()
    assert done.status == 4
    assert "is both input and output; name another output" in done.err
    assert site.read("in") == b"1\n"


def test_one_device_may_be_input_and_output(site):
    with open("/dev/null", "r+b") as null:
        assert site("seal", "payments", stdin=null, stdout=null).status == 0


def test_epochs_are_as_long_as_asked_for(site):
    done = site("seal", "payments", "-o", "audit.log", "--epoch-lines", 10, stdin=b"x\n" * 95)
    assert done.status == 0
    assert controls(site.read()).count("continues") == 9
    assert site.verdict() == ("ok", [])


@pytest.mark.parametrize(
    "wrong", [("--epoch-lines", "0"), ("--epoch-lines", "65535"), ("--epoch-age", "0"), ("--epoch-age", "5 parsecs")]
)
def test_what_no_epoch_can_be_is_a_usage_error(site, wrong):
    assert site("seal", "payments", *wrong).status == 2


def test_options_come_from_the_environment_too(site):
    done = site("seal", "payments", stdin=b"1\n", env={"TALLYSTICK_CONTROL": "json", "TALLYSTICK_OUTPUT": "audit.log"})
    assert (done.status, done.out) == (0, b"")
    assert site.read().startswith(b'{"tallystick":')


def test_standard_input_that_is_closed_is_reported(site):
    # Where qemu runs programs of another processor, the system puts the program's own file there.
    if subprocess.run(["test", "-e", "/proc/self/fd/0"], preexec_fn=lambda: os.close(0)).returncode == 0:
        pytest.skip("what starts programs here leaves no descriptor closed")
    done = site("seal", "payments", "-o", "audit.log", stdin=None, preexec_fn=lambda: os.close(0))
    assert (done.status, done.err) == (
        4,
        "tallystick: standard input: bad file descriptor; lines before it are sealed\n",
    )
    assert site.verdict() == ("ok", [])


def test_a_shell_pipeline_of_twenty_words_works(site):
    script = """
        set -eu
        seq 1000 | sed 's/^/line /' | tallystick seal payments -o audit.log
        seq 1000 | tallystick seal payments >> audit.log
        tallystick verify audit.log --key payments.key
    """
    bin_directory = os.path.dirname(COMMAND)
    env = site.env | {"PATH": f"{bin_directory}:{site.env['PATH']}"}
    done = subprocess.run(["sh", "-c", script], cwd=site.path, env=env, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"ok: ")
