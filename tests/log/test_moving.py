"""Logs that go on under new keys or in another place: whatever is interrupted, no two places can write one log."""

import os
import re
import resource
import shutil
import signal

import pytest
from click.testing import CliRunner

import tallystick
from tallystick import courier, keystore
from tallystick.ceremony import creating
from tallystick.cli.status import command
from tallystick.errors import CustodyError, KeyStoreError, SealError
from tallystick.keystore import moving_entry, next_entry
from tallystick.moving import migrate, rekey
from tallystick.writer.status import read_note
from tests.log.test_log import Place


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    with made.open() as log:
        log.write("one")
    return made


def rotated(place, number=2):
    directory = place.output.parent
    return rekey("payments", output=place.output, store=place.store, key_file=directory / f"{number}.key")


def verify(place, *keys):
    report = tallystick.verify([place.output], keys=[place.key, *keys], store=place.store)
    return report.verdict.value, sorted({finding.kind for finding in report.findings} - {"notice"})


# rotate


def test_each_log_names_the_other_and_both_verify(place):
    old = tallystick.keystore.connect(place.store).load("payments")
    made = rotated(place)
    with place.open() as log:
        log.write("two")
    before, ends, follows, after = place.entries()
    assert (before, after) == (b"one", b"two")
    assert ends.startswith(b"[successor] " + made.log_id.encode() + b" ")
    assert made.public_key.encode() in ends
    assert follows.startswith(b"[predecessor] ")
    assert verify(place, place.output.parent / "2.key") == ("ok", [])
    assert keystore.connect(place.store).load("payments").state != old.state
    assert keystore.connect(place.store).names() == ["payments"]


def test_one_key_is_not_enough_for_both_logs(place):
    rotated(place)
    verdict, kinds = verify(place)
    assert verdict != "ok"
    assert "no head" in kinds  # the store has another log of that name now


def keys_of(place, *numbers):
    return [place.key if number == 1 else place.output.parent / f"{number}.key" for number in numbers]


def found_in(place, files, *numbers):
    """Verify the lines of some files with some of the keys; return the verdict, and how many lines of each kind."""
    paths = []
    for number, lines in enumerate(files):
        paths.append(place.output.with_name(f"copy.{number}.log"))
        paths[-1].write_bytes(b"".join(lines))
    report = tallystick.verify(paths, keys=keys_of(place, *numbers), store="none")
    kinds = {}
    for finding in report.findings:
        if finding.kind not in ("notice", "open end"):
            kinds[finding.kind] = kinds.get(finding.kind, 0) + finding.count
    return report.verdict.value, kinds


def parts_of(place):
    """Return the lines of the log's file, by the logs that sealed them."""
    parts = {}
    for line in place.output.read_bytes().splitlines(keepends=True):
        parts.setdefault(made_id(line), []).append(line)
    return list(parts.values())


def test_with_the_new_key_alone_the_old_lines_need_the_old_key_and_are_no_failure(place):
    rotated(place)
    old, new = parts_of(place)
    assert found_in(place, [old + new], 2) == ("incomplete", {"predecessor": len(old)})


def test_with_the_old_key_alone_the_new_lines_need_the_new_key_and_are_no_failure(place):
    rotated(place)
    with place.open() as log:
        log.write("two")
    old, new = parts_of(place)
    assert found_in(place, [old + new], 1) == ("incomplete", {"successor": len(new)})
    assert found_in(place, [old, new], 1) == ("incomplete", {"successor": len(new)})


def test_with_the_new_key_alone_no_old_line_may_stand_after_the_new_log_began(place):
    rotated(place)
    old, new = parts_of(place)
    assert found_in(place, [[*old, *new, old[1]]], 2) == ("failed", {"predecessor": len(old), "unsealed": 1})


def test_with_the_old_key_alone_no_new_line_may_stand_before_the_old_log_ended(place):
    rotated(place)
    old, new = parts_of(place)
    for at in range(1, len(old)):
        told = found_in(place, [[*old[:at], new[1], *old[at:], *new]], 1)
        assert told == ("failed", {"successor": len(new), "unsealed": 1})


def test_the_new_lines_are_no_failure_after_more_notices_than_are_listed(place):
    """The notice that names the successor is the last of all, and the first thousand are listed."""
    with place.open() as log:
        for number in range(1100):
            log.notice("output", f"one more, {number}")
    rotated(place)
    old, new = parts_of(place)
    assert found_in(place, [old + new], 1) == ("incomplete", {"successor": len(new)})


def test_a_successor_that_was_given_up_is_none(place, tmp_path):
    """An interrupted `rekey` leaves a notice, and the next writer undoes it."""
    (tmp_path / "other").mkdir()
    other = Place(tmp_path / "other")
    with other.open() as log:
        log.write("of nobody")
    strange = other.output.read_bytes().splitlines(keepends=True)
    named = courier.look(keystore.connect(other.store), "payments")
    with place.open() as log:
        log.notice("successor", f"{named.log_id} {named.public_key}")
    lines = place.output.read_bytes().splitlines(keepends=True)
    assert found_in(place, [lines + strange], 1) == ("incomplete", {"successor": len(strange)})
    with place.open() as log:
        log.write("the log goes on")
    lines = place.output.read_bytes().splitlines(keepends=True)
    assert found_in(place, [lines + strange], 1) == ("failed", {"unsealed": len(strange)})


@pytest.mark.parametrize("apart", [False, True], ids=["in one file", "in files of their own"])
def test_each_key_of_a_row_says_of_the_lines_of_the_others_that_their_keys_are_needed(place, apart):
    for number in (2, 3, 4):
        rotated(place, number)
        with place.open() as log:
            log.write("one more")
    parts = parts_of(place)
    files = parts if apart else [[line for part in parts for line in part]]
    counts = [len(part) for part in parts]
    for given in range(4):
        needed = {"predecessor": sum(counts[:given]), "successor": sum(counts[given + 1 :])}
        verdict, kinds = found_in(place, files, given + 1)
        assert (verdict, {"predecessor": 0, "successor": 0, **kinds}) == ("incomplete", needed), given + 1
    assert found_in(place, files, 1, 4) == ("incomplete", {"predecessor": counts[1] + counts[2]})


def test_lines_of_a_row_stand_in_order_or_are_failures(place):
    """With the outer keys, a line of the log between them has both its neighbours."""
    for number in (2, 3):
        rotated(place, number)
    one, two, three = parts_of(place)
    assert found_in(place, [one + two + three], 1, 3) == ("incomplete", {"predecessor": len(two)})
    for lines in (two + one + three, one + three + two, one + three[:1] + two + three[1:]):
        assert found_in(place, [lines], 1, 3) == ("failed", {"unsealed": len(two)})


@pytest.mark.parametrize(("given", "kind"), [(1, "successor"), (2, "predecessor")])
def test_lines_beyond_those_that_are_listed_need_the_other_key_as_well(place, given, kind):
    """Bad lines are listed up to a bound, and counted from there on."""
    rotated(place)
    old, new = parts_of(place)
    one = new[1] if given == 1 else old[1]
    # Lines of another log beside them make a group of each.
    other = re.sub(rb"tally=[a-z2-7]{8}", b"tally=aaaaaaaa", one)
    verdict, kinds = found_in(place, [old + [one, other] * 1500 + new], given)
    assert (verdict, kinds) == ("failed", {kind: 1500 + len(new if given == 1 else old), "unsealed": 1500})


def made_id(line):
    return re.search(rb"[a-z2-7]{8}(?=\.[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+\.[\w-]{22})", line)[0]


def test_a_log_may_be_rotated_again_and_again(place):
    keys = [place.output.parent / f"{number}.key" for number in range(2, 5)]
    for number in range(2, 5):
        rotated(place, number)
    assert verify(place, *keys) == ("ok", [])


def test_a_log_that_is_being_written_is_not_rotated(place):
    with place.open(), pytest.raises(KeyStoreError, match="is being written"):
        rotated(place)
    assert not (place.output.parent / "2.key").exists()


def test_a_log_that_has_ended_is_not_rotated(place):
    place.open().end()
    with pytest.raises(SealError, match="has ended"):
        rotated(place)


@pytest.mark.parametrize("reserved", ["payments.next", "payments.moving"])
def test_a_genuine_log_of_a_name_that_looks_like_one_under_way_is_left_alone(place, reserved):
    """`rotate payments` once erased a log payments.next, and `migrate payments` one called payments.moving."""
    directory = place.output.parent
    tallystick.create(
        reserved, store=place.store, custody=f"master-key:{directory}/master.key", key_file=directory / "other.key"
    )
    rotated(place)
    migrate("payments", store=place.store, to_store=f"file:{directory}/there")
    assert keystore.connect(place.store).names() == [reserved]


def test_names_that_share_their_first_letters_do_not_meet_on_their_way(place):
    directory, names = place.output.parent, ["a" * 60 + each for each in ("-one", "-two")]
    for name in names:
        tallystick.create(
            name, store=place.store, custody=f"master-key:{directory}/master.key", key_file=directory / f"{name}.key"
        )
    for name in names:
        rekey(name, output=directory / f"{name}.log", store=place.store, key_file=directory / f"{name}-2.key")
    for name in names:
        keys = [directory / f"{name}.key", directory / f"{name}-2.key"]
        assert tallystick.verify([directory / f"{name}.log"], keys=keys, store=place.store).verdict.value == "ok"


def interrupted(place, entry, state=None):
    """Have a state wait under a name of its own, as an interruption leaves it; that of a new log if there is none."""
    store, directory = keystore.connect(place.store), place.output.parent
    if state is None:
        with creating(
            "payments",
            store=f"file:{directory}/new",
            custody=f"master-key:{directory}/master.key",
            key_file=directory / "new.key",
            follows=courier.look(store, "payments").public_key,
        ):
            pass
        state = keystore.connect(f"file:{directory}/new").load("payments")
    store.create(entry, state.state, state.head)
    return store


def recovered(place):
    with place.open() as log:
        log.write("two")
        note = keystore.connect(place.store).note("payments")
    return " ".join(read_note(note)["recovered"])


def test_the_next_writer_erases_a_successor_that_an_interrupted_rekey_never_used(place):
    store = interrupted(place, next_entry("payments"))
    assert "an interrupted rekey was undone" in recovered(place)
    assert store.under_way() == []
    assert place.verify() == ("ok", [])


def test_the_next_writer_puts_a_successor_into_the_place_of_a_log_that_ended_for_it(place):
    place.open().end()
    store = interrupted(place, next_entry("payments"))
    assert "an interrupted rekey was completed" in recovered(place)
    assert store.under_way() == []
    assert verify(place, place.output.parent / "new.key") == ("ok", [])
    each_log_is_known_to_follow_the_other(place)


def each_log_is_known_to_follow_the_other(place):
    (place.output.parent / "new.key").rename(place.output.parent / "2.key")
    old, new = parts_of(place)
    assert found_in(place, [old + new], 2) == ("incomplete", {"predecessor": len(old)})


def test_rekey_carries_through_what_was_interrupted(place):
    place.open().end()
    interrupted(place, next_entry("payments"))
    rotated(place)
    assert not (place.output.parent / "2.key").exists()
    assert verify(place, place.output.parent / "new.key") == ("ok", [])
    each_log_is_known_to_follow_the_other(place)


class Killed:
    """A log whose file takes no more than so many bytes: the write beyond them kills whoever makes it."""

    def __init__(self, place, tmp_path):
        self.place, self._kept = place, tmp_path / "kept"
        with place.open() as log:
            for _ in range(300):
                log.write("x" * 60)  # the files of the key store are smaller than the log: the limit holds for all
        shutil.copytree(tmp_path, self._kept, ignore=lambda *_: ["kept"])
        rotated(place)
        self._before = len((self._kept / "audit.log").read_bytes())
        self.lines = place.output.read_bytes()[self._before :].splitlines(keepends=True)

    def size(self, line):
        """The bytes of the log before one of the lines that `rekey` writes."""
        return self._before + sum(map(len, self.lines[:line]))

    def at(self, size):
        """Begin again, and kill `rekey` at a write."""
        shutil.copytree(self._kept, self.place.output.parent, dirs_exist_ok=True)
        shutil.rmtree(self.place.state.parent)
        shutil.copytree(self._kept / "store", self.place.state.parent)
        (self.place.output.parent / "2.key").unlink(missing_ok=True)
        if (child := os.fork()) == 0:
            try:
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
                rotated(self.place)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGXFSZ

    def judged(self):
        """What each key alone says, and both, but for what a killed writer may leave."""
        said = []
        for numbers in (1,), (2,), (1, 2):
            verdict, kinds = found_in(self.place, [[self.place.output.read_bytes()]], *numbers)
            said.append((verdict, sorted(set(kinds) - {"unclean end", "torn line"})))
        return said


OPEN, FOLLOWS = 3, 4  # of the lines that `rekey` writes
AFTER = [("incomplete", ["successor"]), ("incomplete", ["predecessor"]), ("incomplete", [])]


@pytest.fixture
def killed(place, tmp_path):
    return Killed(place, tmp_path)


KILLED = {"before the opening": OPEN, "after the opening": FOLLOWS}


@pytest.mark.parametrize("where", KILLED)
def test_a_successor_whose_first_writer_is_killed_says_all_the_same_which_log_it_follows(killed, where):
    """Lines of the old log were an alarm to whoever had the new key: nobody had said that it follows that one."""
    killed.at(killed.size(KILLED[where]))
    assert courier.look(keystore.connect(killed.place.store), "payments").next_chain == 2
    with killed.place.open() as log:
        log.notice("output", "the next writer has something else to say first")
        log.write("two")
    assert killed.judged() == AFTER


def test_a_successor_s_first_line_that_broke_off_is_a_torn_line_to_whoever_has_its_key(killed):
    killed.at(killed.size(OPEN) + 100)
    with killed.place.open() as log:
        log.write("two")
    assert killed.judged()[1:] == AFTER[1:]


def test_rekey_goes_on_with_a_successor_that_has_its_place_and_was_killed_before_its_first_line(killed):
    killed.at(killed.size(OPEN))
    rotated(killed.place, 3)
    assert not (killed.place.output.parent / "3.key").exists()
    assert killed.judged() == AFTER


@pytest.mark.parametrize("entry", [next_entry("payments"), moving_entry("payments")])
def test_the_next_writer_erases_a_copy_of_its_state_that_an_interruption_left(place, entry):
    """Such a copy stayed for ever, and opened all that was sealed from then on."""
    store = interrupted(place, entry, keystore.connect(place.store).load("payments"))
    assert "a copy of this log's state" in recovered(place)
    assert store.under_way() == []
    assert place.verify() == ("ok", [])


def test_entries_under_way_are_no_logs(place):
    store = interrupted(place, moving_entry("orders"))
    assert store.names() == ["payments"]
    with pytest.raises(KeyStoreError, match="cannot be the name of a log"):
        keystore.check_name(moving_entry("orders"))


# migrate


@pytest.mark.parametrize("custody", [None, "second.key"])
@pytest.mark.parametrize("store", [None, "there"])
def test_a_log_goes_on_where_it_was_moved(place, store, custody):
    directory = place.output.parent
    to_store = store and f"file:{directory}/{store}"
    to_custody = custody and f"master-key:{directory}/{custody}"
    migrate("payments", store=place.store, to_store=to_store, to_custody=to_custody)
    if store:
        assert keystore.connect(place.store).names() == []
        with pytest.raises(KeyStoreError, match="payments"):
            place.open()
        place.store = to_store
    if custody:
        (directory / "master.key").unlink()
    with place.open() as log:
        log.write("two")
    assert place.entries() == [b"one", b"two"]
    assert place.verify() == ("ok", [])


def test_a_log_that_is_being_written_is_not_moved(place):
    with place.open(), pytest.raises(KeyStoreError, match="is being written"):
        migrate("payments", store=place.store, to_store=f"file:{place.output.parent}/there")


def test_a_log_of_that_name_in_the_other_store_is_left_alone(place):
    there = f"file:{place.output.parent}/there"
    tallystick.create(
        "payments", store=there, custody=f"master-key:{place.output.parent}/k", key_file=place.output.parent / "k2"
    )
    with pytest.raises(KeyStoreError, match=r"there is a log payments in .* already"):
        migrate("payments", store=place.store, to_store=there)
    with place.open() as log:
        log.write("two")
    assert place.verify() == ("ok", [])


def test_a_custody_that_is_not_at_hand_moves_nothing(place):
    with pytest.raises(CustodyError):
        migrate("payments", store=place.store, to_custody="master-key:NOT_SET_ANYWHERE")
    with place.open() as log:
        log.write("two")
    assert place.verify() == ("ok", [])


def test_a_move_that_stopped_halfway_is_carried_through(place):
    """The state waits in the other store, and the log has ended where it was."""
    directory = place.output.parent
    there, stored = f"file:{directory}/there", keystore.connect(place.store).load("payments")
    keystore.connect(there).create(moving_entry("payments"), stored.state, stored.head)
    ended = re.sub(rb"\nchain [0-9]+\n", b"\nchain ended\n", stored.state)
    with keystore.connect(place.store).lease("payments") as lease:
        lease.replace_state(ended[: ended.index(b"secret ")])
    with pytest.raises(SealError, match="has ended"):
        place.open()
    with pytest.raises(KeyStoreError, match="there is no log payments"):
        tallystick.open("payments", output=place.output, store=there)
    migrate("payments", store=place.store, to_store=there)
    assert keystore.connect(place.store).names() == []
    place.store = there
    with place.open() as log:
        log.write("two")
    assert place.verify() == ("ok", [])


def test_status_says_of_a_log_whose_last_line_never_came_that_nothing_can_be_sealed_any_more(place):
    if (child := os.fork()) == 0:
        place.open().write("one")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with keystore.connect(place.store).lease("payments") as lease:
        courier.end(lease, None)  # as `close` and `rekey` do before they write the last line
    shown = CliRunner().invoke(command, ["payments", "--store", place.store]).output
    assert "the log was ended, but its writer was interrupted before a last line said so" in shown
    assert place.verify() == ("incomplete", ["open end"])
