"""`tallystick run`: seals a program's output from its first byte and is else as if it were not there."""

import os
import signal
import subprocess
import sys

import pytest

from tests.sealed import controls, entries


def sealed(site, *command, **how):
    done = site("run", "payments", "-o", "audit.log", "--", *command, **how)
    assert site.verdict() == ("ok", [])
    return done


def shell(site, script, **how):
    return sealed(site, "sh", "-c", script, **how)


def test_both_streams_are_sealed_from_the_first_byte(site):
    done = shell(site, "echo to stdout; echo to stderr >&2")
    assert (done.status, done.out, done.err) == (0, b"", "")
    assert sorted(entries(site.read())) == [b"to stderr", b"to stdout"]


def test_without_an_output_sealed_lines_go_to_standard_output(site):
    done = site("run", "payments", "--", "echo", "one")
    assert entries(done.out) == [b"one"]


@pytest.mark.parametrize("status", [0, 1, 4, 7, 127, 255])
def test_the_exit_status_is_passed_back(site, status):
    assert shell(site, f"echo one; exit {status}").status == status


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV], ids=lambda n: n.name)
def test_a_command_that_a_signal_ended_is_reported_as_a_shell_does(site, number):
    assert shell(site, f"echo last words; kill -{int(number)} $$").status == 128 + number
    assert entries(site.read()) == [b"last words"]


def test_a_command_that_is_not_there_is_reported_and_no_chain_is_opened(site):
    done = site("run", "payments", "-o", "audit.log", "--", "no-such-command")
    assert (done.status, done.err) == (127, "tallystick: no-such-command: no such file or directory\n")
    assert not (site.path / "audit.log").exists()
    assert b"next chain  1\n" in site("status").out


def test_a_command_that_cannot_be_run_is_reported_and_no_chain_is_opened(site):
    (site.path / "data").write_bytes(b"")
    done = site("run", "payments", "-o", "audit.log", "--", "./data")
    assert (done.status, done.err) == (126, "tallystick: ./data: permission denied\n")
    assert not (site.path / "audit.log").exists()


def test_a_command_whose_interpreter_is_not_there_is_reported_and_the_chain_closed(site):
    (site.path / "script").write_text("#!/no/such/interpreter\n")
    (site.path / "script").chmod(0o755)
    assert sealed(site, "./script").status == 127
    assert controls(site.read()) == ["open", "closed"]


def test_without_a_command_it_is_a_usage_error_and_uses_no_number_up(site):
    assert site("run", "payments", "-o", "audit.log", "--").status == 2
    assert b"next chain  1\n" in site("status").out


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGABRT],
    ids=lambda n: n.name,
)
def test_signals_are_passed_on(site, running, number):
    script = f"trap 'echo caught; exit 9' {int(number)}; echo ready; while :; do sleep 0.05; done"
    process = running("sh", "-c", script)
    process.send_signal(number)
    assert process.wait(20) == 9
    assert entries(site.read()) == [b"ready", b"caught"]
    assert site.verdict() == ("ok", [])


SHOWN = "import sys; print(*[l.strip() for l in open('/proc/self/status') if l[:6] in ('SigBlk', 'SigIgn')])"


def test_the_command_gets_signals_as_if_it_ran_alone(site):
    alone = subprocess.run([sys.executable, "-c", SHOWN], stdout=subprocess.PIPE, check=True).stdout.strip()
    sealed(site, sys.executable, "-c", SHOWN)
    assert entries(site.read()) == [alone]


def test_a_signal_that_is_ignored_stays_ignored_for_the_command_too(site):
    """As under nohup."""
    sealed(
        site, sys.executable, "-c", "import signal; print(int(signal.getsignal(signal.SIGHUP)))",
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    assert entries(site.read()) == [b"%d" % signal.SIG_IGN]


def test_standard_input_is_the_command_s(site):
    assert sealed(site, "cat", stdin=b"one\ntwo\n").status == 0
    assert entries(site.read()) == [b"one", b"two"]


def test_a_large_output_is_complete(site):
    assert sealed(site, "sh", "-c", "seq 1000000 1399999; seq 2000000 2199999 >&2").status == 0
    found = entries(site.read())
    assert [n for n in map(int, found) if n < 2_000_000] == list(range(1_000_000, 1_400_000))
    assert [n for n in map(int, found) if n >= 2_000_000] == list(range(2_000_000, 2_200_000))


def test_lines_of_the_two_streams_are_never_mixed(site):
    script = "for i in $(seq 300); do printf out; printf err >&2; printf '%s\\n' $i; printf '%s\\n' $i >&2; done"
    shell(site, script)
    expected = {b"%s%d" % (word, i) for word in (b"out", b"err") for i in range(1, 301)}
    assert set(entries(site.read())) == expected


def test_a_command_that_closes_a_stream_early_is_sealed_to_its_end(site):
    assert shell(site, "echo one; exec >&-; sleep 0.2; echo two >&2; exec 2>&-; sleep 0.2; exit 7").status == 7
    assert entries(site.read()) == [b"one", b"two"]


def test_a_last_line_without_an_end_is_sealed(site):
    shell(site, "printf 'no end'")
    assert entries(site.read()) == [b"no end"]


def test_a_silent_command_gives_signs_of_life(site):
    done = site("run", "payments", "-o", "audit.log", "--heartbeat", "100ms", "--", "sleep", "1.5")
    assert done.status == 0
    assert controls(site.read()).count("continues") >= 2
    assert site.verdict() == ("ok", [])


def test_arguments_arrive_as_they_are(site):
    words = ["a b", "", "--help", "-o", "*", "$HOME", "--", "ü\udcff", "new\nline"]
    sealed(site, sys.executable, "-c", "import os, sys; print(ascii([*map(os.fsencode, sys.argv[1:])]))", *words)
    assert entries(site.read()) == [ascii([os.fsencode(word) for word in words]).encode()]


def test_lines_are_sealed_while_the_command_runs(site, running):
    running("sh", "-c", "echo ready; exec sleep 60")
    assert entries(site.read()) == [b"ready"]


def test_the_environment_and_the_directory_are_the_command_s(site):
    shell(site, "pwd; echo $COLOUR", env={"COLOUR": "blue"})
    assert entries(site.read()) == [str(site.path).encode(), b"blue"]


def test_what_the_command_was_given_is_not_shown_to_others(site, running):
    running("sh", "-c", "echo ready; exec sleep 60", "a password")
    reported = site("seal", "payments", "-o", "audit.log").err
    assert "is being written by pid" in reported
    assert "password" not in reported
