"""No writer's memory holds a sealing state or a wrapped key of one, in any encoding; neither does what it leaves.

States, and what custody wraps for them, are looked for in pieces, as client libraries and their buffers may hold them,
in each kind of writer, with each key store and custody that runs here (tests/past/places.py). They may be in the
process of the courier, and die with it.
"""

import glob
import os
import shutil
import signal
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import tallystick
from tallystick import _core, keystore
from tests.memory.conftest import Watched
from tests.memory.test_memory import CHAIN, HANDLER, SMALL, feed, told
from tests.past.loot import Loot, memory_of, tree
from tests.past.places import PAIRS, custody_at, store_at
from tests.servers import PASSWORD, OpenBao

LEADS = ("state", "wrapped key", "slot", "data key", "master key")  # what leads to keys of chains, besides these


@pytest.fixture
def watching(tmp_path, memory, monkeypatch, request):
    """Watch a log in a key store, with a custody."""

    def begin(store, custody):
        (url, env), (keeper, more) = store_at(request, store, tmp_path), custody_at(request, custody, tmp_path)
        return Watched(tmp_path, memory, monkeypatch, url, keeper, env | more)

    return begin


def leads(found):
    return [each for each in found if each.mark.what in LEADS]


def couriers(pid):
    """The processes that work on states for a process."""
    found = []
    for path in glob.glob("/proc/[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            parent = int(Path(path, "stat").read_text().rsplit(") ", 1)[1].split()[1])
            if parent == pid and b"tallystick.courier" in Path(path, "cmdline").read_bytes():
                found.append(int(path.rpartition("/")[2]))
    return found


@pytest.mark.parametrize(("store", "custody"), PAIRS, ids=map(" and ".join, PAIRS))
def test_no_state_is_in_a_writer_whatever_store_and_custody_it_has(watching, tmp_path, store, custody):
    watched = watching(store, custody)
    with watched.seal(*SMALL) as writer:
        feed(writer, 10)
        watched.until_settled(11)
        found = watched.search_leads(writer.pid)
        assert not leads(found), told(leads(found))
        feed(writer, CHAIN // 5 * 4 // 2)  # the next chain was fetched
        watched.until_settled(CHAIN // 2)
        feed(writer, CHAIN)  # and opened
        watched.until_settled(CHAIN + 200)
        found = watched.search_leads(writer.pid)
        assert not leads(found), told(leads(found))
        assert len(watched.states) >= 3
        watched.wait(lambda: not couriers(writer.pid))
        writer.stdin.close()
        assert writer.wait(30) == 0
    report = tallystick.verify([watched.output], keys=[tmp_path / "payments.key"], store=watched.url)
    assert report.verdict.value == "ok", report.findings


def test_while_a_chain_is_opened_states_are_in_the_courier_only(watched):
    """It is stopped at any moment; and is shown to hold what is looked for, so that the search is known to see it."""
    seen, number = set(), 0
    while number < 8 or not seen >= {"state", "wrapped key"}:
        number += 1
        assert number < 90, seen
        with watched.seal() as writer:
            watched.wait(lambda writer=writer: couriers(writer.pid))
            (courier,) = couriers(writer.pid)
            time.sleep(number % 30 * 0.004 if number % 3 else number % 20 * 0.03)  # on a quick machine, and a busy one
            if stopped(courier):
                patterns = watched.leads()
                found = watched.memory.of_process(writer.pid, patterns)
                assert not leads(found), told(leads(found))
                seen |= {each.mark.what for each in watched.memory.of_process(courier, patterns)}
                os.kill(courier, signal.SIGCONT)
            feed(writer, 1)
            writer.stdin.close()
            assert writer.wait(30) == 0
            assert not couriers(writer.pid)
            watched.record()


def stopped(pid):
    try:
        os.kill(pid, signal.SIGSTOP)
        until = time.monotonic() + 5
        while Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "T":
            if time.monotonic() > until:
                return False
            time.sleep(0.001)
        return True
    except (ProcessLookupError, FileNotFoundError):
        return False


AFTER = {
    "create": "tallystick.create('other', custody=sys.argv[1], key_file='other.key')",
    "migrate": "migrate('payments', to_custody='master-key:' + os.path.abspath('moved.key'))",
    "migrate to another place": "migrate('payments', to_store='file:' + os.path.abspath('there'))",
    "rekey": "rekey('payments', output='audit.log', key_file='second.key')",
}


@pytest.mark.parametrize("change", AFTER)
def test_no_state_is_in_a_program_that_writes_after_it_changed_a_log(watched, change):
    name = "other" if change == "create" else "payments"
    store = f"file:{watched.site.path}/there" if "place" in change else watched.url
    script = (
        "import os, sys, tallystick\nfrom tallystick.moving import migrate, rekey\n"
        f"{AFTER[change]}\nlog = tallystick.open({name!r}, output='{name}.log', store={store!r})\n"
        "log.write('user=7 action=login')\nprint('ready', flush=True)\nsys.stdin.read()"
    )
    script = script.replace("'payments.log'", "'audit.log'").replace("sys.argv[1]", repr(watched.site.custody))
    with watched.python(script) as writer:
        assert writer.stdout.readline() == b"ready\n"
        watched.url, watched.name = store, name
        watched.record()
        found = watched.memory.of_process(writer.pid, watched.leads())
        dump = watched.memory.of_core_dump(writer.pid, watched.leads(), watched.site.path)
        whole = Loot(watched.states[-1]).add(memory_of(writer.pid))  # those that came and went meanwhile, too
        writer.stdin.close()
        assert writer.wait(30) == 0
    assert not leads(found), told(leads(found))
    assert not leads(dump), told(leads(dump))
    assert not whole.secrets
    assert len(watched.states) == 2


def test_no_state_is_in_a_handler_and_its_forked_children(watched):
    with watched.python(HANDLER % 4) as writer:
        writer.stdin.write(b"%d\n" % CHAIN)
        watched.until_settled(CHAIN)
        for fork in (b"fork\n", b"fork by C\n"):
            writer.stdin.write(fork)
            child = int(writer.stdout.readline())
            found = watched.search_leads(child)
            os.kill(child, signal.SIGKILL)
            assert not leads(found), told(leads(found))
        found = watched.search_leads(writer.pid)
        assert not leads(found), told(leads(found))
        writer.stdin.close()
        assert writer.wait(30) == 0


HELD = {
    "as it is": "held = state",
    "base64": "held = b'x' + base64.b64encode(b'xx' + state)",
    "base64, as bytes of its own": "held = base64.urlsafe_b64decode(state.split(b'secret ')[1].strip() + b'=')",
    "hexadecimal": "held = state.hex()",
    "JSON": "held = json.dumps({'data': state.decode()})",
    "pieces of 64 bytes": "held = [state[at : at + 64] for at in range(3, len(state), 64)]; del state",
    "the wrapped key alone": "held = state.split(b'wrapped ')[1].split()[0]; del state",
}  # fmt: skip


@pytest.mark.parametrize("form", HELD)
def test_the_search_finds_a_state_in_any_form(watched, form):
    script = (
        "import base64, json, sys\nstate = open('store/payments/state', 'rb').read()\n"
        f"{HELD[form]}\nstate = None\nprint('ready', flush=True)\nsys.stdin.read()"
    )
    with watched.python(script) as process:
        assert process.stdout.readline() == b"ready\n"
        found = watched.memory.of_process(process.pid, watched.leads())
        process.stdin.close()
    assert leads(found)


# What key stores leave on disks


def test_a_directory_holds_the_present_state_and_no_other(watched):
    for number in range(3):
        watched.site.seal(b"user=%d action=login\n" % number)
        watched.record()
    left = Loot(watched.states[0]).add(tree(watched.site.store))
    assert (len(left.fronts), len(left.secrets)) == (1, 1)
    assert len(watched.states) == 4


@pytest.mark.parametrize("store", ["redis", "postgresql"])
def test_what_a_server_keeps_of_older_states_is_opened_by_nobody_where_custody_forgets(watching, request, store):
    """PostgreSQL has them in its rows and in its log for a while, Redis until it rewrites its file."""
    watched = watching(store, "master key")
    server = request.getfixturevalue(f"{store}_server")
    for number in range(3):
        watched.site.seal(b"user=%d action=login\n" % number)
        watched.record()
    if store == "postgresql":
        # Its log alone may hold the present state in two parts, with the head of a page between them.
        on_disk(server)
    kept = Loot(watched.states[-1]).add(data_of(server, store))
    assert len(kept.secrets) > 1, "nothing older was kept, so nothing is shown here"
    assert [each.chain for each in kept.opened()] == [4]  # the present state, of a chain that is not opened yet
    settle(server, store)
    assert [each.chain for each in Loot(watched.states[-1]).add(data_of(server, store)).opened()] in ([4], [])


def data_of(server, store):
    return tree(server.directory / "data" if store == "postgresql" else server.directory)


def on_disk(server, *first):
    """Have PostgreSQL do something, and write all to its place."""
    import psycopg

    with psycopg.connect(server.url(), password=PASSWORD, autocommit=True) as connection:
        for each in (*first, "CHECKPOINT"):
            connection.execute(each)


def settle(server, store):
    """Have the server write all to its place, and let go of what it can."""
    if store == "redis":
        import redis

        with redis.Redis(port=server.port, password=PASSWORD) as client:
            client.bgrewriteaof()
            while client.info("persistence")["aof_rewrite_in_progress"]:
                time.sleep(0.02)
        return
    on_disk(server, "VACUUM FULL tallystick_logs", "CHECKPOINT", "SELECT pg_switch_wal()")


def test_an_older_copy_of_openbao_is_unsealed_and_what_it_says_is_opened_by_nobody(
    watching, openbao_server, tmp_path, monkeypatch
):
    """What is on the disk is encrypted; but a copy of it, with the keys that unseal it, is the server of before."""
    watched = watching("openbao", "master key")
    watched.site.seal(b"user=1 action=login\n")
    openbao_server.stop()
    copied = shutil.copytree(openbao_server.directory / "raft", tmp_path / "copy" / "raft")
    openbao_server.start()
    for number in range(2):
        watched.site.seal(b"user=%d action=pay\n" % number)
    assert not Loot(watched.states[0]).add(tree(copied)).secrets
    with before(openbao_server, tmp_path / "copy") as server:
        monkeypatch.setenv("BAO_TOKEN", server.token)
        old = keystore.connect(server.url()).load("payments").state
    assert _core.read_state(old).next_chain == 2
    assert Loot(old).add(old).opened() == []


@contextmanager
def before(server, directory):
    """Start a copy of a server."""
    copy = OpenBao(directory)
    copy.key, copy.token = server.key, server.token
    try:
        yield copy.start()
    finally:
        copy.stop()
