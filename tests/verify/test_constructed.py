"""Attacks that somebody thought about, and honest logs after strange crashes (each found in a review once)."""

import tempfile
from pathlib import Path

import pytest

import tallystick
from tallystick import _core
from tallystick.verify import Report, Verdict
from tallystick.verify import inputs as verify_inputs
from tests.doctoring import TIME, b64
from tests.sealed import Taking


class Writer:
    """A writer whose crashes are at our command."""

    def __init__(self, name: str = "app") -> None:
        self.setup = _core.setup(name)
        self.id, self.name = self.setup.log_id, name
        self.state, self.head = self.setup.state(), bytes(self.setup.head())
        self.lines: list[bytes] = []
        self.sealer: _core.Sealer | None = None

    def take(self, out: bytes) -> None:
        self.lines += out.split(b"\n")[:-1]

    def open(self, epoch_lines: int = 4096) -> "Writer":
        self.sealer = Taking(self.state.open_chain(self.head, TIME))
        self.sealer.configure("plain", epoch_lines)
        return self

    def write(self, count: int) -> "Writer":
        assert self.sealer is not None
        for number in range(count):
            self.take(self.sealer.seal(b"line %d" % number, TIME))
        return self.counted()

    def counted(self) -> "Writer":
        """Let a head count what was written."""
        assert self.sealer is not None
        head = self.sealer.head()
        self.head = bytes(head) if head is not None else self.head
        return self

    def close(self) -> "Writer":
        assert self.sealer is not None
        self.take(self.sealer.close(TIME))
        return self.counted()

    def end(self) -> "Writer":
        assert self.sealer is not None
        self.take(self.sealer.end(TIME))
        return self.counted()

    def burn(self) -> bytes:
        """Use up a chain number: the writer is killed before its opening leaves. Returns that opening."""
        return Taking(self.state.open_chain(self.head, TIME)).start()

    @property
    def pin(self) -> str:
        """A pin on the last line."""
        _, at, digest = _core.parse_head(self.head)
        return f"tallypin {self.id} {at[0]}.{at[1]}.{at[2] - 1}.{b64(digest)}"

    def key(self, place: Path) -> Path:
        with open(place / f"{self.name}.key", "wb") as file:
            self.setup.write_key(file.fileno())
        (place / f"{self.name}.pub").write_text(self.setup.public_key + "\n")
        return place / f"{self.name}.key"


def judge(writer: Writer, *files: bytes, head: bytes | None = None, with_p: bool = False, **options: object) -> Report:
    """Verify some files with V and the head, or with P."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        key, paths = writer.key(place), []
        for number, data in enumerate(files):
            paths.append(place / f"{number}.log")
            paths[-1].write_bytes(data)
        (place / "head").write_bytes(writer.head if head is None else head)
        if with_p:
            # Nothing but `ended` anchors an end for P.
            return tallystick.verify(paths, public=[place / "app.pub"], allow=["open end"], **options)  # type: ignore[arg-type]
        return tallystick.verify(paths, keys=[key], head=place / "head", **options)  # type: ignore[arg-type]


def text(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def kinds(report: Report) -> set[str]:
    return {finding.kind for finding in report.findings}


FAKE = "A" * 22


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("with_p", [False, True])
def test_a_torn_line_cannot_claim_what_was_removed(ended: bool, with_p: bool) -> None:
    writer = Writer().open(epoch_lines=5).write(18)
    writer = writer.end() if ended else writer.close()
    kept = [line for line in writer.lines if b".1.1." not in line[-60:]]
    fragment = f"tallystick/v1 open app {writer.id} 2 x tally={writer.id}.1.1.0.1.{FAKE}z".encode()
    pins = [writer.pin] if with_p else []
    assert judge(writer, text(writer.lines), with_p=with_p, pins=pins).verdict is Verdict.OK
    assert judge(writer, text(kept) + fragment, with_p=with_p, pins=pins).verdict is Verdict.FAILED


@pytest.mark.parametrize(
    "removed", [["1.0.6"], ["1.0.3", "1.0.4", "1.0.5", "1.0.6", "1.0.7", "1.0.8", "1.0.9", "1.0.10"]]
)
@pytest.mark.parametrize("chunk", [256, 2**23])
def test_a_broken_line_behind_a_live_log_cannot_claim_what_was_removed(
    removed: list[str], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_inputs, "CHUNK", chunk)
    writer = Writer().open(epoch_lines=10).write(18)
    kept = [line for line in writer.lines if not any(f".{at}.".encode() in line[-60:] for at in removed)]
    assert len(kept) < len(writer.lines)
    claim = f"x tally={writer.id}.{removed[0]}.1.{FAKE}".encode()
    assert judge(writer, text(writer.lines)).verdict is Verdict.OK
    assert judge(writer, text(kept) + claim).verdict is Verdict.FAILED
    writer.open().write(1).close()
    later = writer.lines[-3:]
    assert judge(writer, text(kept) + claim + b"\n" + text(later)).verdict is Verdict.FAILED


def test_a_copy_of_the_beginning_does_not_hide_lines_behind_a_checkpoint() -> None:
    setup = Writer()
    forger = Taking(setup.state.open_chain(setup.head, TIME))
    forger.configure("plain", 4096)
    lines = [forger.start().rstrip(b"\n")]
    lines += [forger.seal(b"line %d" % n, TIME).rstrip(b"\n") for n in range(12)]
    head = bytes(forger.head() or b"")
    closed = forger.close(TIME).rstrip(b"\n")
    # An intruder who kept a key goes on behind the place of a checkpoint: two lines with one number.
    doctored = [*lines[:10], closed.replace(b".1.0.13.", b".1.0.10."), *lines[10:], closed]
    setup.head = head
    for files in ([text(doctored)], [text(lines[:4]), text(doctored)], [text(doctored), text(lines[:4])]):
        assert judge(setup, *files).verdict is Verdict.FAILED


def test_growing_copies_of_an_honest_log_are_an_honest_log_in_any_order() -> None:
    writer = Writer().open(epoch_lines=20).write(45).close()
    copies = [text(writer.lines[:n]) for n in (5, 9, 12, 15, 30, 33, 47)] + [text(writer.lines)]
    for turn in range(len(copies)):
        files = copies[turn:] + copies[:turn]
        for with_p in (False, True):
            report = judge(writer, *files, with_p=with_p, pins=[writer.pin])
            assert (report.verdict, kinds(report)) == (Verdict.OK, {"duplicate"}), (turn, with_p)


def test_a_clean_copy_does_not_excuse_a_file_with_doubles_or_in_disorder() -> None:
    writer = Writer().open(epoch_lines=10).write(25).close()
    clean, lines = text(writer.lines), writer.lines
    for bad in ([*lines, *lines], [*lines[:3], lines[4], lines[3], *lines[5:]], [*lines[:5], lines[2], *lines[5:]]):
        for files in ([text(bad), clean], [clean, text(bad)], [text(bad), text(bad) + b"\n"]):
            assert judge(writer, *files).verdict is Verdict.FAILED


def test_a_log_that_is_not_here_at_all_is_reported_beside_one_that_is(tmp_path: Path) -> None:
    here, gone = Writer("here").open().write(3).end(), Writer("gone").open().write(3).end()
    (tmp_path / "here.log").write_bytes(text(here.lines))
    report = tallystick.verify([tmp_path / "here.log"], keys=[here.key(tmp_path), gone.key(tmp_path)])
    assert report.verdict is Verdict.INCOMPLETE
    assert [(f.kind, f.log) for f in report.findings] == [("nothing verified", "gone")]


def test_a_forged_head_beyond_reach_is_a_bad_head() -> None:
    writer = Writer().open().write(3).close()
    forged = f"tallyhead {writer.id} 16777217.0.5.{'A' * 43} {'A' * 43}".encode()
    assert "bad head" in kinds(judge(writer, text(writer.lines), head=forged, allow=["open end"]))


def test_a_start_that_the_caller_names_does_not_excuse_gaps_behind_it() -> None:
    writer = Writer()
    for _ in range(5):
        writer.open().write(1).close()
    without_third = writer.lines[:6] + writer.lines[9:]
    for start in (4, 10):
        assert judge(writer, text(without_third), start=start).verdict is Verdict.FAILED
    assert judge(writer, text(writer.lines[9:]), start=4).verdict is Verdict.OK
    with pytest.raises(tallystick.errors.ReportError):
        judge(writer, text(writer.lines), start=0)


def test_a_pin_at_the_last_index_that_there_is_is_no_error() -> None:
    writer = Writer().open().write(3).close()
    pin = f"tallypin {writer.id} 1.255.65535.{'A' * 43}"
    assert judge(writer, text(writer.lines), pins=[pin]).verdict is Verdict.FAILED


def test_a_flood_of_forged_lines_is_judged_in_bounded_time() -> None:
    writer = Writer().open().write(3).close()
    flood = b"".join(
        b"x tally=%s.%d.255.65535.1.%s\n" % (writer.id.encode(), 2 + n % 1000, FAKE.encode()) for n in range(20_000)
    )
    # Unbounded, this takes 20,000 times 65,000 hashes: minutes. The test ends in seconds, or the suite is stopped.
    report = judge(writer, text(writer.lines) + flood)
    assert report.verdict is Verdict.FAILED
    assert sum(f.count for f in report.findings if f.kind == "altered") == 20_000


# -- honest logs


def test_a_log_that_is_read_in_the_middle_of_its_first_line_is_not_failed() -> None:
    writer = Writer()
    setup_head = writer.head
    opening = writer.burn()
    for cut in (1, 14, 40, len(opening) // 2):
        assert judge(writer, opening[:cut], head=setup_head).verdict is Verdict.INCOMPLETE


def test_two_crashes_in_a_row_leave_two_torn_lines_and_an_ok() -> None:
    writer = Writer().open().write(3)
    torn_entry = b"a line that broke o"
    torn_opening = writer.burn()[:50]
    before = text(writer.lines)
    writer.lines.clear()
    writer.open().write(1).close()
    report = judge(writer, before + torn_entry + b"\n" + torn_opening + b"\n" + text(writer.lines))
    assert (report.verdict, kinds(report)) == (Verdict.OK, {"torn line", "unclean end"})
    # Something else than the beginning of an opening has no business there.
    report = judge(writer, before + torn_entry + b"\nuser=root\n" + text(writer.lines))
    assert report.verdict is Verdict.FAILED


def test_after_a_crash_the_next_chain_may_go_to_another_file() -> None:
    writer = Writer().open().write(3)
    first = text(writer.lines) + b"a line that broke o"
    writer.lines.clear()
    writer.open().write(1).close()
    for files in ([first, text(writer.lines)], [text(writer.lines), first]):
        report = judge(writer, *files)
        assert (report.verdict, kinds(report)) == (Verdict.OK, {"torn line", "unclean end"})


def test_zeros_behind_a_broken_opening_are_what_a_power_loss_leaves() -> None:
    writer = Writer().open().write(3).close()
    opening = writer.burn()
    for broken in (opening[:20] + bytes(100), opening[:60] + bytes(3), bytes(4096)):
        assert judge(writer, text(writer.lines) + broken).verdict is Verdict.OK


def test_an_opening_may_not_break_off_behind_the_end_of_the_log() -> None:
    writer = Writer().open().write(3).end()
    fragment = f"tallystick/v1 open app {writer.id} 2".encode()
    assert judge(writer, text(writer.lines) + fragment).verdict is Verdict.FAILED


@pytest.mark.parametrize("chunk", [64, 300, 2**23])
def test_how_a_file_is_cut_into_chunks_changes_nothing(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer().open(epoch_lines=7).write(20).close()
    writer.open(epoch_lines=7).write(20)
    doctored = list(writer.lines)
    doctored[5] = doctored[5].replace(b"line", b"lime")
    del doctored[12:14]
    doctored[20], doctored[21] = doctored[21], doctored[20]
    data = text(doctored)
    whole = judge(writer, data, jobs=1)
    monkeypatch.setattr(verify_inputs, "CHUNK", chunk)
    pieces = judge(writer, data, jobs=2)
    assert [(f.kind, f.line, f.position) for f in pieces.findings] == [
        (f.kind, f.line, f.position) for f in whole.findings
    ]
    assert pieces.verdict is Verdict.FAILED
