"""A log whose state and head live on a server that is away for a while; real servers."""

import os
import signal
import subprocess
import time

import pytest

import tallystick
from tallystick import keystore, moving
from tallystick.errors import KeyStoreError, explain
from tests import preloaded, servers
from tests.keystore.test_servers import with_options
from tests.sealed import LATE, entries, whole


@pytest.fixture
def proxy(server):
    proxy = servers.Proxy(server.port)
    yield proxy
    proxy.close()


@pytest.fixture
def place(server, proxy, tmp_path):
    """A log was made; this is where."""
    url = with_options(server.url(), expiry=2, timeout=2)
    custody, key = f"master-key:{tmp_path}/master.key", f"{tmp_path}/payments.key"
    tallystick.create("payments", store=url, custody=custody, key_file=key)
    return with_options(server.url(proxy.port), expiry=2, timeout=1)


def verdict(place, tmp_path):
    report = tallystick.verify([f"{tmp_path}/audit.log"], keys=[f"{tmp_path}/payments.key"], store=place)
    return report.verdict.value, [finding.kind for finding in report.findings]


def lines(tmp_path):
    return (tmp_path / "audit.log").read_text().splitlines()


def fill(log, number):
    """Write lines until the chain is full; return the number of the line that was refused, and why."""
    while number < 1100:
        try:
            log.write(f"number={number}")
        except KeyStoreError as error:
            return number, explain(error)
        number += 1
    pytest.fail("the chain was never full")


def test_a_writer_survives_an_outage_until_its_chain_is_full_and_goes_on_later(place, proxy, tmp_path):
    told = []
    with tallystick.open(
        "payments", output=f"{tmp_path}/audit.log", store=place, epoch_lines=4, on_trouble=told.append
    ) as log:
        log.write("before")
        target, proxy.target = proxy.target, servers.free_port()
        proxy.drop()
        for number in range(900):
            log.write(f"number={number}")
        servers.until(lambda: told, "a word of the trouble", 10)
        assert "see that the server runs" in told[0]
        number, why = fill(log, 900)
        assert "see that the server runs" in why
        proxy.target = target
        for later in range(number, 1200):
            log.write(f"number={later}")
    found = lines(tmp_path)
    assert [line.split()[0] for line in found if line.startswith("number=")] == [f"number={n}" for n in range(1200)]
    word, kinds = verdict(place, tmp_path)
    assert (word, set(kinds)) == ("ok", {"notice"})
    # The log itself says what no head counted at first, and that a line was refused, which came later.
    data = (tmp_path / "audit.log").read_bytes()
    late = [entry for entry in whole(data) if entry.startswith(LATE)]
    noted = [entry for entry in entries(data) if entry.startswith(b"[")]
    assert len(kinds) == len(late) + len(noted)
    assert len(late) >= 1
    assert [entry.startswith(b"[dropped] 1 line was dropped from ") for entry in noted] == [True]
    assert all(b"see that the server runs" in entry for entry in [late[0], *noted])


def test_what_was_sealed_before_a_crash_verifies_and_the_next_writer_goes_on(place, server, tmp_path):
    store = keystore.connect(place)
    command = ["seal", "payments", "-o", f"{tmp_path}/audit.log", "--store", place]
    streams = {"loads": preloaded.wanted(command, os.environ), "stdin": subprocess.PIPE, "stdout": 1, "stderr": 2}
    with preloaded.Running(command, **streams) as process:
        process.stdin.write("one\ntwo\n")
        process.stdin.flush()
        servers.until(lambda: (tmp_path / "audit.log").exists() and len(lines(tmp_path)) >= 3, "two lines")
        time.sleep(1.5)  # a head counts them
        process.send_signal(signal.SIGKILL)
    servers.until(lambda: store.holder("payments") is None, "the end of the right", 10)
    with preloaded.Running(command, **streams) as process:
        process.communicate("three\n")
    assert process.returncode == 0
    assert [line.split()[0] for line in lines(tmp_path) if "tallystick/" not in line] == ["one", "two", "three"]
    assert verdict(place, tmp_path)[0] in ("ok", "incomplete")
    assert "missing" not in verdict(place, tmp_path)[1]


WRITER = """
import sys, time, tallystick
log = tallystick.open("payments", output=sys.argv[1], store=sys.argv[2], on_trouble=lambda _: None)
log.write("mine")
print("open", flush=True)
sys.stdin.readline()
try:
    while True:
        log.write("more")
        time.sleep(0.1)
except tallystick.TallystickError as error:
    print(error, flush=True)
try:
    log.close()
except tallystick.TallystickError:
    sys.exit(3)
"""


def test_a_writer_whose_log_another_one_took_over_stops_and_says_who_has_it(place, server, kind, tmp_path):
    loads = preloaded.wanted([place], {})
    with preloaded.Running([f"{tmp_path}/audit.log", place], WRITER, loads, stdin=subprocess.PIPE, stderr=2) as writer:
        try:
            assert writer.stdout.readline() == "open\n"
            writer.send_signal(signal.SIGSTOP)  # it stands still for long
            if kind == "postgresql":
                import psycopg

                with psycopg.connect(server.url(), password=servers.PASSWORD) as connection:
                    connection.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
            store = keystore.connect(place)
            servers.until(lambda: store.holder("payments") is None, "the end of the lease", 10)
            with store.lease("payments"):
                writer.send_signal(signal.SIGCONT)
                said, _ = writer.communicate("go on\n", timeout=30)
        finally:
            writer.kill()
    assert f"passed to pid {os.getpid()} " in said
    assert writer.returncode == 3


@pytest.mark.parametrize(("kind", "user"), [("redis", "default"), ("postgresql", "tally")], indirect=["kind"])
def test_a_change_of_keys_or_place_does_not_lose_a_password_in_the_url(kind, user, server, tmp_path, monkeypatch):
    """What is shown of a URL does not lead there any more."""
    url = server.url().replace("//tally@", "//").replace("//", f"//{user}:{servers.PASSWORD}@")
    for name in ("TALLYSTICK_REDIS_PASSWORD", "PGPASSWORD"):
        monkeypatch.delenv(name)
    custody, key, output = f"master-key:{tmp_path}/master.key", f"{tmp_path}/payments.key", f"{tmp_path}/audit.log"
    made = tallystick.create("payments", store=url, custody=custody, key_file=key)
    rotated = moving.rekey("payments", output=output, store=url, key_file=f"{tmp_path}/2.key")
    moving.migrate("payments", store=url, to_store=f"file:{tmp_path}/store")
    moving.migrate("payments", store=f"file:{tmp_path}/store", to_store=url)
    moving.migrate("payments", store=url, to_store=url, to_custody=f"master-key:{tmp_path}/2.master")
    with tallystick.open("payments", store=url, output=output) as log:
        log.write("one")
    report = tallystick.verify([output], keys=[key, f"{tmp_path}/2.key"], store=url)
    assert report.verdict.value == "ok"
    for shown in (made.store, rotated.store, keystore.connect(url).url):
        assert servers.PASSWORD not in shown
