"""From receipts back to a line: `prove --receipts` finds what leads there, and says what is lacking."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import tallystick
from tallystick import evidence
from tallystick.errors import FormatError, ReportError
from tallystick.verify import Verdict
from tests import sealed
from tests.witness.served import Witness, serving


class Place:
    """A log that a witness received, and receipts of several moments."""

    def __init__(self, directory: Path, witness: Witness) -> None:
        self.directory, self.witness = directory, witness
        self.log, self.public = directory / "app.log", directory / "app.pub"
        self.store = f"file:{directory}/store"
        tallystick.create("app", store=self.store, custody=f"master-key:{directory}/master.key",
                          key_file=directory / "app.key", public_file=self.public)  # fmt: skip

    def write(self, *lines: str) -> None:
        """Write lines in a chain of their own, in epochs of five lines."""
        named = [self.witness.named]
        with tallystick.open("app", output=self.log, store=self.store, witness=named, epoch_lines=5) as log:
            for line in lines:
                log.write(line, critical=True)

    def receipt(self, name: str) -> Path:
        """Keep the newest receipt."""
        (self.directory / name).write_bytes(self.witness.receipt())
        return self.directory / name

    def prove(self, position: str, *receipts: Path) -> bytes:
        return evidence.prove(position, [self.log], receipts=receipts).evidence

    def check(self, data: bytes) -> evidence.Checked:
        return evidence.check(data, public=self.public, witnesses=[str(self.witness.signer.key)])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with serving() as witness:
        yield Place(tmp_path, witness)


LINES = [f"entry {number}" for number in range(12)]


def test_a_receipt_of_any_later_text_proves_a_line_also_of_a_later_chain(place: Place) -> None:
    place.write(*LINES)
    first = place.receipt("first")
    place.write(*LINES)
    later = place.receipt("later")
    for receipts in ([first], [later], [later, first]):
        checked = place.check(place.prove("1.0.2", *receipts))
        assert (checked.verdict, checked.text) == (Verdict.OK, b"entry 1")
        assert [one.witness for one in checked.received] == ["w.example"]
    both = place.check(place.prove("1.0.2", later, first)).received
    assert both == place.check(place.prove("1.0.2", first)).received  # the earlier one says the more
    assert place.check(place.prove("1.0.2", later)).received[0].until.startswith("2.")


def test_a_line_of_the_running_epoch_is_proved_by_a_signed_head(place: Place) -> None:
    with tallystick.open("app", output=place.log, store=place.store, witness=[place.witness.named]) as log:
        log.write("one", critical=True)
        log.write("two", critical=True)
        with pytest.raises(ReportError, match=r"the checkpoint of epoch 1\.0 is not here"):
            place.prove("1.0.1")
        data = place.prove("1.0.1", place.receipt("head"))
        log.write("three", critical=True)
        checked = place.check(data)
        assert (checked.verdict, checked.text, checked.checkpoint) == (Verdict.OK, b"one", None)
        with pytest.raises(ReportError, match=r"no receipt leads to 1\.0\.3"):
            place.prove("1.0.3", place.directory / "head")


def test_a_receipt_from_before_the_line_leads_nowhere(place: Place) -> None:
    place.write(*LINES)
    older = place.receipt("older")
    place.write(*LINES)
    with pytest.raises(ReportError, match=r"no receipt leads to 2\.0\.1"):
        place.prove("2.0.1", older)


def test_checkpoints_between_must_be_there(place: Place) -> None:
    place.write(*LINES)
    receipt = place.receipt("receipt")
    lines = place.log.read_bytes().splitlines(keepends=True)
    place.log.write_bytes(b"".join(line for line in lines if sealed.position(line.strip()) != (1, 1, 5)))
    with pytest.raises(ReportError, match="lack checkpoints that stand between"):
        place.prove("1.0.2", receipt)
    assert place.prove("1.0.2")


def test_evidence_without_a_receipt_of_the_named_witness_is_incomplete(place: Place) -> None:
    place.write(*LINES)
    checked = place.check(place.prove("1.0.2"))
    assert (checked.verdict, checked.position) == (Verdict.INCOMPLETE, None)
    assert "no receipt of the witness w.example" in checked.detail


def test_lines_that_only_look_like_statements_lead_nowhere(place: Place) -> None:
    """Applications log anything: what is not signed by the log is no link, and does not fill the memory."""
    place.write(*LINES)
    control = next(line for line in place.log.read_bytes().splitlines() if b" checkpoint " in line)
    fake = sealed.stripped(control).decode()
    place.write(*(fake.replace(" 1 0 ", f" 2 {number} ", 1) for number in range(30)), *LINES)
    checked = place.check(place.prove("1.0.2", place.receipt("receipt")))
    assert checked.verdict is Verdict.OK


def test_a_file_that_is_no_file_of_receipts_is_named(place: Place) -> None:
    place.write(*LINES)
    (place.directory / "noise").write_text("noise\n")
    with pytest.raises(FormatError, match="no file of receipts"):
        place.prove("1.0.2", place.directory / "noise")
