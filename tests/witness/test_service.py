"""A witness as a process: what it accepts it never forgets, and nothing makes it say more than is true."""

import http.client
import os
import random
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick import _core
from tests.servers import until
from tests.witness.service import Service, Writer, b64, running, small_disk

KILLS = int(os.environ.get("TALLYSTICK_WITNESS_KILLS", "6"))


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Service]:
    """A witness that runs."""
    with running(Service(tmp_path)) as service:
        yield service


def test_what_is_accepted_gets_a_receipt_and_stands_in_the_answer(witness: Service) -> None:
    writer = Writer(1).known_to(witness)
    said = witness.show(writer.root, writer.open() + writer.step(5))
    time, gap = _core.check_receipt(said.receipt, witness.key, writer.root, said.text) or (0, True)
    now, texts = witness.newest(writer.root)
    assert (said.status, texts, gap) == (200, [(time, False, said.text)], False)
    assert now >= time


def test_a_restart_forgets_nothing_and_the_time_never_goes_back(witness: Service) -> None:
    writer = Writer(2).known_to(witness)
    witness.show(writer.root, writer.open() + writer.step())
    before, texts = witness.newest(writer.root)
    witness.end(signal.SIGKILL)
    witness.start()
    now, after = witness.newest(writer.root)
    assert after == texts
    assert now >= before
    assert witness.show(writer.root, writer.step()).status == 200


def test_a_receipt_outlives_each_kill(tmp_path: Path) -> None:
    service, writer, rng = Service(tmp_path), Writer(3), random.Random(3)
    writer.known_to(service)
    opened, newest, sent = writer.open(), b"", list[bytes]()
    for _ in range(KILLS):
        service.start()
        if newest:
            ((_, _, held),) = service.newest(writer.root)[1]
            assert _core.parse_shown(held).n >= _core.parse_shown(newest).n
            assert held == newest or held in sent
        sent = []
        assert service.process is not None
        timer = threading.Timer(rng.uniform(0.0, 0.25), service.process.kill)
        timer.start()
        try:
            if not newest:
                newest = service.show(writer.root, opened).text
            while True:
                step = writer.step()
                sent.append(step.split(b"\n")[0])
                said = service.show(writer.root, step)
                if said.status == 409:  # the last one was accepted, and its answer lost, or never came
                    n = _core.parse_shown(said.text).n
                    hashes = writer.sealer.tree().proof(n, writer.n) if n else []
                    proof = b"proof " + b" ".join(b64(one).encode() for one in hashes) + b"\n"
                    step = sent[-1] + b"\n" + (proof if hashes else b"")
                    said = service.show(writer.root, step)
                assert said.status == 200
                newest = said.text
        except (OSError, http.client.HTTPException):
            pass
        timer.join()
        service.end(signal.SIGKILL)


def test_two_histories_are_a_fork_and_both_texts_are_kept_as_evidence(witness: Service) -> None:
    writer, intruder = Writer(4).known_to(witness), Writer(4)
    opened = writer.open()
    intruder.open()
    witness.show(writer.root, opened + writer.step(3))
    intruder.sealer.seal(b"another line", 0)
    said = witness.show(writer.root, intruder.step(2, proof=False))
    assert said.status == 422
    held = witness.newest(writer.root)[1][-1][2]
    assert said.text == held
    texts = witness.ask("GET", f"/log/{b64(writer.root)}/forks").body.split(b"\n")
    assert texts[0] == held
    assert _core.accept_text([texts[0]], texts[1], [])[0] == "fork"
    assert "FORK" in witness.end()


def test_rewritten_lines_are_refused_without_an_alert(witness: Service) -> None:
    writer, intruder = Writer(5).known_to(witness), Writer(5)
    witness.show(writer.root, writer.open() + writer.step(3))
    intruder.open()
    assert witness.show(writer.root, intruder.step(9, proof=False)).status == 409
    assert "FORK" not in witness.end()


def test_an_older_text_is_answered_with_the_newest_one_and_never_alerted(witness: Service) -> None:
    writer = Writer(6).known_to(witness)
    opened, first, second = writer.open(), writer.step(), writer.step()
    newest = witness.show(writer.root, opened + first + second).text
    said = witness.show(writer.root, first)
    assert (said.status, said.text) == (200, newest)
    assert "FORK" not in witness.end()


def test_a_batch_is_accepted_up_to_the_text_that_is_refused(witness: Service) -> None:
    writer = Writer(7).known_to(witness)
    opened, first, second = writer.open(), writer.step(), writer.step(proof=False)
    said = witness.show(writer.root, opened + first + second)
    assert (said.status, said.text) == (409, first.split(b"\n")[0])


def test_a_log_that_is_not_known_is_refused_until_its_public_file_is_there(witness: Service) -> None:
    writer = Writer(8)
    opened = writer.open()
    assert witness.show(writer.root, b"not even looked at").status == 404
    writer.known_to(witness)
    until(lambda: witness.show(writer.root, opened).status == 200, "the log")


def test_any_log_is_taken_up_to_a_number_and_none_of_them_is_forgotten(tmp_path: Path) -> None:
    service = Service(tmp_path, "--open", "2")
    with running(service):
        writers = [Writer(seed) for seed in (10, 11, 12)]
        statuses = [service.show(writer.root, writer.open()).status for writer in writers]
        assert statuses == [200, 200, 429]
        assert service.show(writers[0].root, writers[0].step()).status == 200
        forged = Writer(13).open().replace(b" app ", b" apq ")
        assert service.show(Writer(13).root, forged).status in (403, 429)
        service.end()
        service.start()
        assert len(service.newest(writers[1].root)[1]) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"tallystick/v1 head " + b"x" * (2**20 - 19), 400),
        (b"\n" * (2**20 + 1), 413),
        (b"\xff\x00" * 1000, 400),
        (b"proof \n", 400),
    ],
)
def test_invalid_bodies_get_clear_answers(body: bytes, status: int, witness: Service) -> None:
    writer = Writer(14).known_to(witness)
    assert witness.show(writer.root, body).status == status
    assert witness.show(writer.root, writer.open()).status == 200


def test_each_changed_byte_of_a_text_is_refused(witness: Service) -> None:
    writer = Writer(15).known_to(witness)
    opened = writer.open()
    witness.show(writer.root, opened)
    head = bytearray(writer.step())
    for at in range(0, len(head) - 1, 31):
        changed = bytes(head[:at]) + bytes([head[at] ^ 1]) + bytes(head[at + 1 :])
        assert witness.show(writer.root, changed).status in (400, 403)
    assert witness.newest(writer.root)[1][-1][2] == opened.strip()


def test_strangers_do_not_use_up_what_a_log_may_show(witness: Service) -> None:
    writer = Writer(19).known_to(witness)
    opened = writer.open()
    assert witness.show(writer.root, opened).status == 200
    forged = opened.replace(b" app ", b" apq ") * 800
    assert {witness.show(writer.root, forged, "127.0.0.2").status for _ in range(8)} == {403}
    assert witness.show(writer.root, opened * 800).status == 200


def test_each_receipt_in_a_request_counts_against_the_limit_of_an_address(witness: Service) -> None:
    writer = Writer(20).known_to(witness)
    said = witness.show(writer.root, writer.open())
    other = _core.make_receipt(_core.NoteSigner.generate("x"), writer.root, said.text, 1, False).encode()
    body = said.text + b"\n" + (other.rstrip(b"\n") + b"\n") * 2000
    until(lambda: witness.show(writer.root, body, "127.0.0.2").status == 429, "the limit")
    assert witness.show(writer.root, writer.step()).status == 200


def test_slow_clients_keep_nobody_waiting(witness: Service) -> None:
    writer = Writer(16).known_to(witness)
    host, port = witness.url.removeprefix("http://").split(":")
    head = f"POST /log/{b64(writer.root)} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx"
    slow = [socket.create_connection((host, int(port))) for _ in range(40)]
    for one in slow:
        one.sendall(head.encode())
    assert witness.show(writer.root, writer.open()).status == 200
    slow[0].settimeout(60)
    assert slow[0].recv(100).startswith(b"HTTP/1.1 408")
    for one in slow:
        one.close()


def test_a_witness_whose_store_was_put_back_stops_until_its_operator_acts(witness: Service) -> None:
    writer = Writer(17).known_to(witness)
    opened = writer.open()
    witness.show(writer.root, opened)
    witness.end()
    shutil.copytree(witness.store, witness.directory / "backup")
    witness.start()
    said = witness.show(writer.root, writer.step(3))
    ahead = said.body
    witness.end()
    shutil.rmtree(witness.store)
    (witness.directory / "backup").rename(witness.store)
    witness.start()
    assert witness.show(writer.root, ahead + writer.step()).status == 503
    assert witness.ask("GET", "/healthz").status == 503
    assert witness.ask("GET", f"/log/{b64(writer.root)}?nonce={b64(bytes(32))}").status == 503
    assert "STOPPED" in witness.end()
    witness.start()
    assert witness.show(writer.root, opened).status == 503  # nor does a restart help
    witness.end()
    witness.start("--restored")
    now, texts = witness.newest(writer.root)
    (time, _) = _core.check_receipt(said.receipt, witness.key, writer.root, said.text) or (0, True)
    assert (texts[-1][0], texts[-1][2]) == (time, said.text)
    assert now >= time


def test_a_store_belongs_to_one_witness_and_to_one_key(witness: Service) -> None:
    other = Service(witness.directory)
    with pytest.raises(AssertionError, match="another witness has it"):
        other.start()
    witness.end()
    (witness.directory / "w.key").unlink()
    with pytest.raises(AssertionError, match="the store is that of the key"):
        witness.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
def test_a_full_disk_is_said_and_nothing_that_was_accepted_is_lost(tmp_path: Path) -> None:
    with small_disk("6m") as disk:
        service = Service(tmp_path, store=str(disk / "store"))
        writer = Writer(18).known_to(service)
        with running(service):
            newest = service.show(writer.root, writer.open() + writer.step()).text
            filler = disk / "filler"
            with open(filler, "wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(4096))
                except OSError:
                    pass
            statuses, body = set(), b""
            for _ in range(40):  # the write-ahead log has a little room left
                step = writer.step(proof=True)
                said = service.show(writer.root, step)
                statuses.add(said.status)
                if said.status == 200:
                    newest = said.text
                elif said.status == 503:
                    body = said.body
                    break
            assert b"store fails" in body, statuses
            filler.unlink()
            assert service.newest(writer.root)[1][-1][2] == newest
