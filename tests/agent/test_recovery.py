"""After a kill the journal and the log say how far each client came: exactly, soon, and in bounded memory."""

import hashlib
import os
import time

import tallystick
from tallystick.agent.clients import Clients
from tallystick.agent.journal import Journal, Record
from tallystick.agent.protocol import numbers
from tallystick.agent.recovery import recover


def hashes(line):
    """Of a line as it came and, half, as it is sealed."""
    digest = hashlib.sha256(line).digest()
    return digest + digest[:16]


def opened(site):
    return tallystick.open("payments", output=site.path / "audit.log", store=f"file:{site.store}")


def sealed(site, count, others=0):
    """Records of so many batches of one line, which are in the log, each after so many lines of others."""
    records = []
    with opened(site) as log:
        for number in range(1, count + 1):
            for other in range(others):
                log.write(f"other {other}")
            records.append(Record(numbers(log.position), ((1, number, hashes(b"line %d" % number)),)))
            log.write(b"line %d" % number)
    return records


def recovered(site, records):
    """The number up to which a client is known, and the processor time that this takes."""
    clients = Clients(1024, 8)
    client = clients.add(1, "uid:7", os.urandom(16))
    before = time.process_time()
    assert recover(clients, records, str(site.path / "audit.log"), certain=True) == []
    return client.sealed, time.process_time() - before


def test_the_time_of_a_recovery_is_proportional_to_what_is_remembered(site):
    records = sealed(site, 2000)
    few = min(recovered(site, records[-250:])[1] for _ in range(3))
    through, many = recovered(site, records)
    assert through == 2000
    assert many < 40 * few  # 8 times as much


def test_statements_of_the_log_between_the_lines_of_a_batch_are_none_of_them(site):
    lines = [b"line %d" % number for number in range(1, 21)]
    with tallystick.open("payments", output=site.path / "audit.log", store=f"file:{site.store}", epoch_lines=1) as log:
        record = Record(numbers(log.position), ((1, 1, b"".join(map(hashes, lines))),))
        for line in lines:
            log.write(line)
        for _ in range(150):
            log.write(b"of others")
    assert recovered(site, [record])[0] == 20


def test_lines_of_others_between_batches_and_batches_that_were_not_sealed_are_told_apart(site):
    records = sealed(site, 20, others=3)
    end = records[-1].at
    lost = [Record((end[0], end[1], end[2] + 1), ((1, number, hashes(b"line %d" % number)),)) for number in (21, 22)]
    assert recovered(site, records + lost)[0] == 20


def test_what_a_rotated_file_may_hold_is_refused_and_the_rest_is_known(site):
    records = sealed(site, 20)
    lines = (site.path / "audit.log").read_bytes().splitlines(keepends=True)
    (site.path / "audit.log").write_bytes(b"".join(lines[10:]))
    clients = Clients(1024, 8)
    for number in (1, 2, 3):
        clients.add(number, "uid:7", os.urandom(16))
    whose = [1, *[2] * 12, *[3] * 7]
    theirs = [Record(each.at, ((number, *each.runs[0][1:]),)) for number, each in zip(whose, records, strict=True)]
    said = recover(clients, theirs, str(site.path / "audit.log"), certain=True)
    assert said == ["2 clients are refused, for their last lines may be in a rotated file"]
    assert [each.number for each in clients.all()] == [3]


def test_little_is_to_be_read_after_a_kill_however_much_others_wrote_since(site):
    journal, clients = Journal(str(site.path / "state")), Clients(1024, 3)
    journal.load(clients)
    journal.keep(clients)
    journal.pass_by(2**30)
    assert not journal.is_large  # nothing is remembered that the log would have to be read for
    journal.note_client(clients.issue("uid:7"))
    journal.pass_by(2**27)
    assert journal.is_large
    journal.keep(clients)
    assert not journal.is_large
    journal.close()


def test_ids_that_are_asked_for_without_end_leave_no_more_clients_than_an_identity_may_have(site):
    clients = Clients(1024, 3)
    journal = Journal(str(site.path / "state"))
    journal.load(clients)
    journal.keep(clients)
    for _ in range(50):
        journal.note_client(clients.issue("uid:7"))
    journal.close()
    again, kept = Journal(str(site.path / "state")), Clients(1024, 3)
    again.load(kept)
    again.close()
    assert [each.id for each in kept.all()] == [each.id for each in clients.all()]
    assert len(kept.all()) == 3
