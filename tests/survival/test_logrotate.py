"""The real logrotate, while lines come at 50,000 a second."""

import itertools
import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from subprocess import PIPE

import pytest

import tallystick
from tests.cases import some
from tests.log.test_log import Place
from tests.preloaded import Running
from tests.sealed import entries
from tests.survival.remains import Remains, content
from tests.survival.test_contrib import CONTRIB, tool
from tests.survival.writing import size, until

RATE = 50_000  # in bursts of 10 ms: a small file would be compressed and removed between two that are far apart
EPOCH = 4097  # lines, the checkpoint among them

MODES = {
    "create": "nocompress",
    "create, compress": "compress",
    "create, delaycompress": "compress\ndelaycompress",
    "dateext": "nocompress\ndateext\ndateformat -%Y%m%d-%s",
}
HUP = "\npostrotate\nkill -HUP $(cat {directory}/pid)\nendscript"

# A program that logs by the library, at the rate, until a file is there; SIGHUP reopens its own.
PROGRAM = """
import os, signal, sys, time, tallystick
output, store, rate, rotated = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
log = tallystick.open("payments", output=output, store=store, on_trouble=lambda said: print(said, file=sys.stderr))
signal.signal(signal.SIGHUP, lambda *_: log.reopen())
began, number = time.monotonic(), 0
with log:
    while not os.path.exists(rotated):
        for number in range(number, number + 500):
            log.write(f"n={number} user=7 action=transfer amount=100")
        number += 1
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
print(number, time.monotonic() - began)
"""


def feed(pipe, numbers, rotated):
    """Write numbered lines at the rate until a file is there; note how many there were, and how long it took."""
    began, number = time.monotonic(), 0
    while not rotated.exists():
        with suppress(BrokenPipeError):
            pipe.write(b"".join(b"n=%d user=7 action=transfer amount=100\n" % i for i in range(number, number + 500)))
        number += 500
        time.sleep(max(0.0, began + number / RATE - time.monotonic()))
    pipe.close()
    numbers += [number, time.monotonic() - began]


def rotations(options):
    """Return how often to rotate: names by date are by the second, and the writer shall still be there."""
    return 2 if "dateext" in options else 4


def rotate(place, options):
    """Rotate several times while lines come; then say that it is done."""
    directory = place.output.parent
    conf = directory / "conf"
    os.chmod(directory, 0o700)
    conf.write_text(
        f"{place.output} {{\nrotate 100\nmissingok\ncreate 0640\n{options.format(directory=directory)}\n}}\n"
    )
    try:
        until(lambda: size(place.output))
        time.sleep(0.2)
        for _ in range(rotations(options)):
            subprocess.run([tool("logrotate"), "-f", "-s", directory / "state", conf], check=True)
            time.sleep(1.01 if "dateext" in options else 0.3)
    finally:
        (directory / "rotated").touch()


def sealing(place):
    """Start `tallystick seal`."""
    return Running(["seal", "payments", "-o", str(place.output), "--store", place.store], stdin=PIPE, text=False)


def rotated_while_piped(place, options):
    """Rotate the file of a `tallystick seal`; return how many lines came, how long that took, and what it said."""
    fed = []
    with sealing(place) as writer:
        (place.output.parent / "pid").write_text(str(writer.pid))
        feeder = threading.Thread(target=feed, args=(writer.stdin, fed, place.output.with_name("rotated")))
        feeder.start()
        rotate(place, options)
        feeder.join()
        said = writer.stderr.read()
        assert writer.wait(30) == 0
    return *fed, said


def rotated_while_logged(place, options):
    """The same, of a program that uses the library."""
    arguments = [str(place.output), place.store, str(RATE), str(place.output.with_name("rotated"))]
    with Running(arguments, PROGRAM, text=False) as writer:
        (place.output.parent / "pid").write_text(str(writer.pid))
        rotate(place, options)
        out, said = writer.communicate(timeout=30)
        assert writer.returncode == 0, said
    count, took = out.split()
    return int(count), float(took), said


def files(place):
    return [place.output, *(path for path in place.output.parent.glob("audit.log[.-]*"))]


def numbers(place, *, cut=False):
    """Return the numbers of all lines; files that were cut may end within one."""
    found = [content(path) for path in files(place)]
    if cut:
        found = [data[: data.rfind(b"\n") + 1] for data in found]
    return [int(entry[2:].split()[0]) for data in found for entry in entries(data) if entry.startswith(b"n=")]


WAYS = {"seal": rotated_while_piped, "library": rotated_while_logged}
HUPS = {"alone": "", "SIGHUP": HUP}
# Each writer in each mode, by turns with the signal and without.
TURNS = [(way, mode, [*HUPS][(a + b) % 2]) for a, way in enumerate(WAYS) for b, mode in enumerate(MODES)]


@pytest.mark.parametrize(("way", "mode", "hup"), some(itertools.product(WAYS, MODES, HUPS), TURNS))
def test_no_line_is_lost_when_a_log_is_rotated_while_it_is_written(tmp_path, way, mode, hup):
    writing, hup = WAYS[way], HUPS[hup]
    assert_no_line_is_lost(Place(tmp_path), writing, MODES[mode] + hup)


def test_no_line_is_lost_with_the_snippet(tmp_path):
    text = (CONTRIB / "logrotate" / "tallystick").read_text()
    options = text[text.index("{") + 1 : text.rindex("}")]
    systemctl = "systemctl kill --kill-whom=main --signal=HUP payments.service || true"
    assert options.count(systemctl) == 1
    options = options.replace(systemctl, "kill -HUP $(cat {directory}/pid)")
    assert_no_line_is_lost(Place(tmp_path), rotated_while_piped, options)


def assert_no_line_is_lost(place, writing, options):
    count, took, said = writing(place, options)
    print(f"{count / took:.0f} lines/s")
    # Where logrotate finds the new file made already, it moves it aside: that is no rotation.
    assert sum(path.suffix != ".backup" for path in files(place)) == rotations(options) + 1
    assert sorted(numbers(place)) == list(range(count))
    assert said == b""
    report = tallystick.verify(files(place), keys=[place.key], store=place.store)
    assert (report.verdict.value, report.findings) == ("ok", ())


@pytest.mark.parametrize("writing", [rotated_while_piped, rotated_while_logged], ids=["seal", "library"])
def test_copytruncate_loses_lines_and_that_is_reported_and_sealed_and_found(tmp_path, writing):
    place = Place(tmp_path)
    count, _, said = writing(place, "copytruncate")
    found = numbers(place, cut=True)
    assert said.count(b"was cut from") == rotations("copytruncate")
    sealed = b"".join(content(path) for path in files(place)).count(b"\ntallystick/v1 notice ")
    assert sealed <= rotations("copytruncate")  # the next cut may take the entry about the last one, too
    assert len(found) == len(set(found)) <= count

    report = tallystick.verify(files(place), keys=[place.key], store=place.store)
    assert (report.verdict.value == "ok") == (len(found) == count)
    # A copy may end within a line; that one has no seal.
    assert {finding.kind for finding in report.findings} <= {"missing", "unsealed", "altered", "notice"}
    here = set(Remains.of(files(place)).positions)
    last = max(here)
    everything = {(1, epoch, index) for epoch in range(last[1]) for index in range(EPOCH)}
    everything |= {(1, last[1], index) for index in range(last[2] + 1)}
    assert told_missing(report) == everything - here


def told_missing(report):
    """Return the positions that are told to be missing; where a checkpoint is, so are any lines before it."""
    told = set()
    for each in report.findings:
        if each.kind != "missing":
            continue
        _, epoch, start = map(int, each.position.split("."))
        last, end = (each.to or each.position).split(".")[1:]  # `*` where nobody knows how many lines an epoch had
        last = int(last)
        if each.count:
            assert (epoch, each.count) == (last, int(end) - start + 1)
            told |= {(1, epoch, index) for index in range(start, int(end) + 1)}
        else:
            told |= {(1, epoch, index) for index in range(start, EPOCH)}
            told |= {(1, whole, index) for whole in range(epoch + 1, last + 1) for index in range(EPOCH)}
    return told


def test_the_file_of_a_silent_writer_is_reopened_by_the_signal_of_the_snippet(tmp_path):
    place = Place(tmp_path)
    with sealing(place) as writer:
        writer.stdin.write(b"one\n")
        until(lambda: size(place.output))
        os.rename(place.output, f"{place.output}.1")
        writer.send_signal(signal.SIGHUP)
        until(place.output.exists)
        writer.stdin.close()
        assert writer.wait(20) == 0
    assert place.verify(f"{place.output}.1") == ("ok", [])
