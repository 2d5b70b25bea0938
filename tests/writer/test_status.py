"""What a writer reports of itself."""

import json
import threading

from tallystick.keystore.base import NOTE_LIMIT
from tallystick.writer.status import Dropped, Status, WriterNote, read_note
from tests.writer.fakes import File, Lease, Sink


def test_a_note_says_what_is_wrong_now():
    lease, trouble = Lease(), ["no room"]
    status = Status(lease, WriterNote.begin(lease, Sink()), lambda: trouble[0], lambda: 3)
    status.note.counted((1, 2, 3), 44)
    status.write()
    said = json.loads(lease.notes[-1])
    assert (said["trouble"], said["dropped"], said["lines"], said["head"]["position"]) == ("no room", 3, 44, "1.2.3")


def test_a_store_that_takes_no_note_is_in_nobody_s_way():
    lease = Lease()
    status = Status(lease, WriterNote.begin(lease, Sink()), lambda: None, lambda: 0)
    lease.away = True
    status.write()
    assert lease.notes == []


def test_a_note_says_what_was_dropped_however_much_else_there_is_to_say():
    place, dropped = "/srv/" + "監査記録/" * 400, Dropped()
    dropped.add(7, f"{place}: no space left on device")
    note = WriterNote(place, [f"{place} was put in order"] * 9, witnesses=[{"address": place}] * 9)
    text = note.text(trouble=dropped.why, dropped=7, unreported=dropped.note())
    assert len(text) <= NOTE_LIMIT
    assert Dropped.read(read_note(text)["unreported"]).count == 7


class SlowLease(Lease):
    """A lease that holds its first note back until it may go on."""

    def __init__(self):
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()

    def replace_note(self, note):
        if not self.begun.is_set():
            self.begun.set()
            assert self.go_on.wait(10)
        super().replace_note(note)


def test_a_note_is_made_when_no_thread_is_in_the_middle_of_a_line():
    """What is pending then cannot be counted, and an error would end the background thread."""
    turn, asked = threading.RLock(), threading.Event()

    def dropped():
        asked.set()
        return 0

    lease = Lease()
    status = Status(lease, WriterNote.begin(lease, Sink()), lambda: None, dropped, turn=turn)
    writing = threading.Thread(target=status.write)
    with turn:
        writing.start()
        assert not asked.wait(0.2)
    writing.join()
    assert asked.is_set()
    assert len(lease.notes) == 1


def test_a_note_that_was_made_earlier_never_follows_a_later_one():
    lease = SlowLease()
    status = Status(lease, WriterNote.begin(lease, Sink()), lambda: None, lambda: 0)
    early = threading.Thread(target=status.write)
    early.start()
    assert lease.begun.wait(10)
    status.note.closed(well=True)
    late = threading.Thread(target=status.write)
    late.start()
    late.join(0.2)
    lease.go_on.set()
    early.join()
    late.join()
    assert json.loads(lease.notes[-1])["closed"] == "well"


def test_what_the_writer_before_left_is_reported_and_what_was_put_in_order():
    lease, file = Lease(), File()
    file.repaired = True
    lease.notes.append(json.dumps({"pid": 7, "closed": "no", "head": {"position": "1.0.5"}}).encode())
    assert WriterNote.begin(lease, file, ["a copy was erased"]).recovered == [
        "a copy was erased",
        "the writer before (pid 7) did not close its chain; a head counts up to 1.0.5",
        "the file ended within a line, which got its line end",
    ]


def test_a_writer_that_closed_well_leaves_nothing_to_recover():
    lease = Lease()
    lease.notes.append(json.dumps({"pid": 7, "closed": "well"}).encode())
    assert WriterNote.begin(lease, Sink()).recovered == []


def test_a_note_that_is_not_readable_is_none():
    for text in (None, b"", b"{", b"[]", b"7"):
        assert read_note(text) is None


def test_lines_are_counted_from_the_first_that_was_dropped():
    dropped = Dropped()
    dropped.add(0, "nothing")
    dropped.add(1, "no room")
    dropped.add(1, "still no\nroom")
    assert dropped.report().startswith("2 lines were dropped from ")
    assert dropped.report().endswith(": no room")
    dropped.clear()
    dropped.add(1, "again\nno room")
    assert dropped.report().endswith(": again no room")
    assert (dropped.count, dropped.total) == (1, 3)
