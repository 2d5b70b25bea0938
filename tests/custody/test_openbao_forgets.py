"""A key of the engine transit that belongs to one log forgets what it opened; a real server, with TLS."""

import base64
import itertools
import json
import threading
import time
from dataclasses import replace

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tallystick import custody as custodies
from tallystick._core import DataKey
from tallystick.custody import vault_transit
from tallystick.errors import CustodyError, KeyStoreError
from tests import servers
from tests.custody.forgetting import ForgettingSuite, Log
from tests.custody.keys import text_of
from tests.custody.suite import OWNER, OutsideSuite
from tests.keystore.test_servers import with_options

NUMBERS = itertools.count()
MOUNT = "own"
POLICY = """
path "own/keys/{key}" {{ capabilities = ["read"] }}
path "own/keys/{key}/rotate" {{ capabilities = ["update"] }}
path "own/keys/{key}/config" {{
  capabilities = ["update"]
  allowed_parameters = {{ "min_encryption_version" = [], "min_decryption_version" = [] }}
}}
path "own/keys/{key}/trim" {{ capabilities = ["update"] }}
path "own/encrypt/{key}" {{ capabilities = ["update"] }}
path "own/decrypt/{key}" {{ capabilities = ["update"] }}
"""


class Bao:
    """The server as its administrator sees it."""

    def __init__(self, server):
        self.server, self.client = server, server.client()
        self.transit = self.client.secrets.transit

    def key(self, **options):
        """Make a key; return its name."""
        name = f"log-{next(NUMBERS)}"
        self.client.adapter.post(f"/v1/{MOUNT}/keys/{name}", json=options)
        return name

    def url(self, name, port=None, **options):
        at = f"vault-transit://127.0.0.1:{port or self.server.tls_port}/{MOUNT}/{name}"
        return with_options(at, cacert=self.server.authority, **options)

    def custody(self, name=None, **options):
        return custodies.connect(self.url(name or self.key(), **options))

    def write(self, name, what, **given):
        return self.client.adapter.post(f"/v1/{MOUNT}/keys/{name}/{what}", json=given)

    def read(self, name):
        return self.transit.read_key(name, mount_point=MOUNT)["data"]

    def token(self, name, policy=POLICY):
        self.client.sys.create_or_update_policy(name, policy.format(key=name))
        return self.client.auth.token.create(policies=[name])["auth"]["client_token"]


@pytest.fixture(scope="module")
def engine(openbao_server):
    bao = Bao(openbao_server)
    bao.client.sys.enable_secrets_engine("transit", path=MOUNT)
    yield bao
    bao.client.sys.disable_secrets_engine(MOUNT)


@pytest.fixture
def bao(engine, monkeypatch):
    monkeypatch.setenv("BAO_TOKEN", engine.server.token)
    return engine


@pytest.fixture
def limited(bao, monkeypatch):
    """A key, and the right to do with it what the documentation lists."""
    name = bao.key()
    monkeypatch.setenv("BAO_TOKEN", bao.token(name))
    return name


def pieces(wrapped):
    """Return what the server encrypted, with its version, and what is under that."""
    end = 2 + int.from_bytes(wrapped[:2], "big")
    own, _, version, text = wrapped[2:end].decode().split(":")
    assert own == "own"
    return int(version[1:]), text, wrapped[end:]


def coded(data):
    return base64.b64encode(data).decode()


BOUND = b"tallystick state of " + OWNER.root


class TestVaultTransitThatForgets(OutsideSuite, ForgettingSuite):
    @pytest.fixture
    def custody(self, bao, limited):
        return bao.custody(limited)

    @pytest.fixture
    def stranger(self, bao, custody, monkeypatch):
        monkeypatch.setenv("BAO_TOKEN", bao.server.token)
        return bao.custody()

    @pytest.fixture
    def earlier(self, bao):
        name = bao.key()
        plain = custodies.connect(f"vault-transit://127.0.0.1:{bao.server.port}/{MOUNT}/{name}?tls=off")
        return bao.custody(name), plain.wrap(DataKey.generate(), OWNER)

    def test_each_wrapping_differs(self, custody, key):
        first = custody.wrap(key, OWNER)
        assert custody.wrap(key, OWNER, first) != custody.wrap(key, OWNER, first)

    def take_over(self, custody, log):
        bao, name = Bao(self.server), custody.url.partition("?")[0].rpartition("/")[2]
        tried = [self.asked(bao, name, log)]
        for minima in ({"min_encryption_version": 0}, {"min_decryption_version": 1}, {"min_encryption_version": 1}):
            self.attempt(lambda given=minima: bao.write(name, "config", **given))
            tried.append(self.asked(bao, name, log))
        bao.write(name, "config", exportable=True, allow_plaintext_backup=True, deletion_allowed=True)
        keys = [base64.b64decode(text) for text in self.exported(bao, name)]
        backup = bao.transit.backup_key(name, mount_point=MOUNT)["data"]["backup"]
        held = json.loads(base64.b64decode(backup))
        entries = [*held["policy"]["keys"].values(), *held["archived_keys"]["keys"]]
        keys += [base64.b64decode(entry["key"]) for entry in entries if entry["key"]]
        assert keys
        tried.append(self.decrypted(keys, log))
        bao.client.adapter.post(f"/v1/{MOUNT}/restore/{name}-again", json={"backup": backup})
        self.attempt(lambda: bao.write(f"{name}-again", "config", min_decryption_version=1, min_encryption_version=1))
        tried.append(self.asked(bao, f"{name}-again", log))
        return [wrapped for wrapped in log.recorded if any(wrapped in found for found in tried)]

    @pytest.fixture(autouse=True)
    def _administered(self, openbao_server):
        self.server = openbao_server

    @staticmethod
    def attempt(work):
        import hvac

        try:
            return work()
        except hvac.exceptions.VaultError:
            return None

    def asked(self, bao, name, log):
        """Ask the server to decrypt, and to encrypt anew, each thing that was recorded."""
        found = []
        for wrapped in log.recorded:
            version, text, inner = pieces(wrapped)
            given = {"ciphertext": f"vault:v{version}:{text}", "associated_data": coded(BOUND)}
            for what in ("decrypt", "rewrap"):
                path = f"/v1/{MOUNT}/{what}/{name}"
                if said := self.attempt(lambda path=path, given=given: bao.client.adapter.post(path, json=given)):
                    found.append(wrapped)
                    if what == "decrypt":
                        text = base64.b64decode(said["data"]["plaintext"])
                        assert text_of(DataKey.parse(text.decode()).unwrap(inner, OWNER.context)) == log.keys[wrapped]
        return found

    def exported(self, bao, name):
        for version in range(1, bao.read(name)["latest_version"] + 1):
            path = f"/v1/{MOUNT}/export/encryption-key/{name}/{version}"
            if said := self.attempt(lambda path=path: bao.client.adapter.get(path)):
                yield from said["data"]["keys"].values()

    def decrypted(self, keys, log):
        found = []
        for wrapped, key in itertools.product(log.recorded, keys):
            data = base64.b64decode(pieces(wrapped)[1])
            try:
                AESGCM(key).decrypt(data[:12], data[12:], BOUND)
            except InvalidTag:
                continue
            found.append(wrapped)
        return found


# What only trimming does


def test_minima_alone_can_be_lowered_again_and_what_was_trimmed_cannot(bao):
    name = bao.key()
    log = Log(bao.custody(name))
    before = log.state
    log.open(until="replaced")
    version = pieces(log.state)[0]
    bao.write(name, "config", min_encryption_version=version, min_decryption_version=version)
    assert log.opens() == [log.state]
    bao.write(name, "config", min_decryption_version=version - 1)
    assert log.opens() == [before, log.state]
    log.custody.forget(log.state, log.owner)
    for minima in ({}, {"min_encryption_version": version - 1}):
        with pytest.raises(Exception, match="should not be less"):
            bao.write(name, "config", min_decryption_version=version - 1, **minima)
    with pytest.raises(Exception, match="cannot be decremented"):
        bao.write(name, "trim", min_available_version=version - 1)
    with pytest.raises(CustodyError, match=f"has forgotten version {version - 1}, which this state needs"):
        log.custody.unwrap(before, log.owner)


def test_minima_that_stand_higher_are_not_lowered(bao):
    name = bao.key()
    log = Log(bao.custody(name))
    log.open(until="replaced")
    mine = log.state
    log.open(until="replaced")
    newest = pieces(log.state)[0]
    bao.write(name, "config", min_encryption_version=newest, min_decryption_version=newest)
    log.custody.forget(mine, log.owner)
    found = bao.read(name)
    assert [found[f"min_{what}_version"] for what in ("available", "decryption", "encryption")] == [
        newest - 1, newest, newest,
    ]  # fmt: skip


@pytest.mark.parametrize("change", ["config", "trim"])
def test_what_the_server_does_not_confirm_is_an_error(bao, monkeypatch, change):
    name = bao.key()
    log = Log(bao.custody(name, timeout=1))
    log.open(until="replaced")
    policy = POLICY.replace(f"/{change}", "/nothing")
    monkeypatch.setenv("BAO_TOKEN", bao.token(name, policy))
    with pytest.raises(CustodyError, match="refuses the token, or its policy lacks a right"):
        log.custody.forget(log.state, log.owner)
    monkeypatch.setenv("BAO_TOKEN", bao.server.token)
    write = vault_transit.VaultTransit._write
    monkeypatch.setattr(
        vault_transit.VaultTransit, "_write", lambda *given, **more: given[2] == change or write(*given, **more)
    )
    with pytest.raises(CustodyError, match=r"does not confirm that the key 'log-[0-9]+' has no version older than 3"):
        log.custody.forget(log.state, log.owner)
    monkeypatch.undo()
    monkeypatch.setenv("BAO_TOKEN", bao.server.token)
    log.custody.forget(log.state, log.owner)
    assert log.opens() == [log.state]


def test_a_copy_of_the_storage_opens_what_was_trimmed_since(tmp_path, monkeypatch):
    """That is what the documentation says; custody's own backups are not among what may be recorded."""
    with servers._running(servers.OpenBao(tmp_path)) as server:
        bao = Bao(server)
        bao.client.sys.enable_secrets_engine("transit", path=MOUNT)
        monkeypatch.setenv("BAO_TOKEN", server.token)
        log = Log(bao.custody())
        log.open(until="replaced")
        server.stop()
        copy = {path: path.read_bytes() for path in (tmp_path / "raft").rglob("*") if path.is_file()}
        server.start()
        log.custody.forget(log.state, log.owner)
        assert log.opens() == [log.state]
        server.stop()
        for path, data in copy.items():
            path.write_bytes(data)
        server.start()
        assert log.opens() == log.recorded


# Set-up: the key is new, and nobody else's


def refusal(bao, name):
    before = bao.read(name)
    with pytest.raises(CustodyError) as problem:
        bao.custody(name).wrap(DataKey.generate(), OWNER)
    assert bao.read(name) == before
    return str(problem.value)


@pytest.mark.parametrize("used", ["rotated", "min_encryption_version", "trimmed"])
def test_a_key_that_is_not_new_is_refused(bao, used):
    name = bao.key()
    if used == "rotated":
        bao.write(name, "rotate")
    else:
        bao.write(name, "config", min_encryption_version=1)
    if used == "trimmed":
        bao.write(name, "trim", min_available_version=1)
    said = refusal(bao, name)
    assert f"the key '{name}' is not new: another log or something else uses it" in said
    assert "make one key for each log, with `bao write -f own/keys/NAME`" in said


def test_the_key_of_another_log_is_refused(bao):
    name = bao.key()
    log = Log(bao.custody(name))
    with pytest.raises(CustodyError, match="make one key for each log"):
        bao.custody(name).wrap(DataKey.generate(), replace(OWNER, root=bytes(32)))
    assert log.opens() == [log.state]


def test_a_key_that_has_been_there_for_long_is_refused(bao, monkeypatch):
    """Many things encrypt with a key that is never rotated, and trimming would take it from them."""
    name, now = bao.key(), time.time()
    for days in (8, -8):
        monkeypatch.setattr(vault_transit.time, "time", lambda days=days: now + days * 86_400)
        assert "was not made within the last 7 days, so that something else may use it" in refusal(bao, name)
    monkeypatch.setattr(vault_transit.time, "time", lambda: now + 6 * 86_400)
    bao.custody(name).wrap(DataKey.generate(), OWNER)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"exportable": True}, "exportable"),
        ({"exportable": True, "allow_plaintext_backup": True}, "exportable, allow_plaintext_backup"),
        ({"auto_rotate_period": "24h"}, "auto_rotate_period"),
        ({"derived": True}, "derived"),
        ({"derived": True, "convergent_encryption": True}, "derived"),
        ({"type": "aes128-gcm96"}, "type aes128-gcm96"),
        ({"type": "rsa-2048"}, "type rsa-2048"),
        ({"type": "ed25519"}, "type ed25519"),
        ({"type": "hmac", "key_size": 32}, "type hmac"),
    ],
)
def test_a_key_that_cannot_be_made_to_forget_is_refused(bao, made, said):
    assert f"cannot be made to forget: {said}; make a new key for this log with" in refusal(bao, bao.key(**made))


@pytest.mark.parametrize("kind", ["aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305"])
def test_keys_of_256_bits_will_do(bao, kind):
    log = Log(bao.custody(bao.key(type=kind)))
    log.open()
    assert log.opens() == [log.state]


def test_a_key_that_was_brought_along_is_refused(bao):
    """Who made it elsewhere may have it still, and may bring further versions along."""
    name = f"log-{next(NUMBERS)}"
    path = f"/v1/{MOUNT}/wrapping_key"
    public = bao.client.adapter.get(path)["data"]["public_key"]
    bao.client.adapter.post(
        f"/v1/{MOUNT}/keys/{name}/import", json={"ciphertext": brought(public), "allow_rotation": True}
    )
    assert "cannot be made to forget: imported_key" in refusal(bao, name)


def brought(public):
    """Return a key as the engine takes it from elsewhere."""
    from cryptography.hazmat.primitives import hashes, keywrap, serialization
    from cryptography.hazmat.primitives.asymmetric import padding

    between = bytes(range(32))
    wrapping = serialization.load_pem_public_key(public.encode())
    outer = wrapping.encrypt(between, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))
    return coded(outer + keywrap.aes_key_wrap_with_padding(between, bytes(32)))


def test_a_server_that_ignores_what_keys_are_bound_to_is_refused(bao, monkeypatch):
    """Vault does that before 1.13."""
    import hvac

    transit = hvac.api.secrets_engines.Transit
    for name in ("encrypt_data", "decrypt_data"):
        ask = getattr(transit, name)
        monkeypatch.setattr(
            transit, name, lambda *given, ask=ask, **more: ask(*given, **more | {"associated_data": None})
        )
    assert "does not bind what it encrypts to a log; run OpenBao, or Vault 1.13 or newer" in refusal(bao, bao.key())


def test_a_key_that_is_made_exportable_later_is_refused_at_the_next_opening_and_can_be_left(bao):
    name = bao.key()
    log = Log(bao.custody(name))
    bao.write(name, "config", exportable=True)
    with pytest.raises(CustodyError, match=r"exportable; .* move it \(`tallystick migrate`\)"):
        log.open()
    assert log.opens() == [log.state]
    there = Log(bao.custody())
    assert there.opens() == [there.state]
    log.custody.destroy(log.state, log.owner)
    assert log.opens() == []


@pytest.mark.parametrize("lacking", ["rotate", "config", "trim", "encrypt", "decrypt", "read"])
def test_a_policy_that_lacks_a_right_is_reported_before_the_key_is_used(bao, monkeypatch, lacking):
    name = bao.key()
    policy = POLICY.replace(f"/{lacking}", "/nothing").replace(f'"{lacking}"', '"list"')
    monkeypatch.setenv("BAO_TOKEN", bao.token(name, policy))
    assert "refuses the token, or its policy lacks a right" in refusal(bao, name)
    monkeypatch.setenv("BAO_TOKEN", bao.token(name))
    log = Log(bao.custody(name))
    assert log.opens() == [log.state]


def test_that_policy_allows_nothing_else(bao, limited):
    import hvac

    log = Log(bao.custody(limited))
    client = hvac.Client(f"http://127.0.0.1:{bao.server.port}", token=bao.token(limited))
    path = f"/v1/{MOUNT}/keys/{limited}"
    for given in ("exportable", "allow_plaintext_backup", "deletion_allowed", "auto_rotate_period"):
        with pytest.raises(hvac.exceptions.Forbidden):
            client.adapter.post(f"{path}/config", json={given: True, "min_encryption_version": 2})
    for what, url in [("delete", path), ("post", path), ("get", f"/v1/{MOUNT}/export/encryption-key/{limited}"),
                      ("get", f"/v1/{MOUNT}/backup/{limited}"), ("list", f"/v1/{MOUNT}/keys")]:  # fmt: skip
        with pytest.raises(hvac.exceptions.Forbidden):
            getattr(client.adapter, what)(url)
    assert log.opens() == [log.state]


# Without TLS


def test_without_tls_the_network_shows_keys_so_nothing_is_forgotten(bao):
    name = bao.key()
    shown, hidden = servers.Proxy(bao.server.port), servers.Proxy(bao.server.tls_port)
    try:
        plain = custodies.connect(f"vault-transit://127.0.0.1:{shown.port}/{MOUNT}/{name}?tls=off")
        assert not plain.forgets().yes
        assert plain.forgets().why == "the network shows the keys without TLS; leave out tls=off"
        old = plain.wrap(DataKey.generate(), OWNER)
        assert old[2:].startswith(b"vault:v1:")
        assert plain.forgets(old).why.endswith("new keys (`tallystick rekey`)")
        assert bao.read(name)["latest_version"] == 1
        log = Log(bao.custody(port=hidden.port))
        log.open()
    finally:
        shown.close()
        hidden.close()
    assert b'"plaintext"' in b"".join(shown.heard)
    heard = b"".join(hidden.heard)
    assert len(heard) > 5_000
    assert b"plaintext" not in heard


def test_a_log_that_forgets_goes_on_so_where_tls_is_switched_off(bao):
    name = bao.key()
    log = Log(bao.custody(name))
    log.custody = custodies.connect(f"vault-transit://127.0.0.1:{bao.server.port}/{MOUNT}/{name}?tls=off")
    log.open()
    assert log.opens() == [log.state]
    said = log.custody.forgets(log.state)
    assert not said.yes
    assert said.why.endswith("leave out tls=off, and then take new keys (`tallystick rekey`)")


# Changed bytes


def test_a_form_that_was_changed_into_the_other_does_not_open(bao, earlier_and_own):
    custody, old, own = earlier_and_own
    for wrapped, changed in ((own, own[2:].removeprefix(b"own:")), (old, b"own:" + old[2:])):
        length = int.from_bytes(wrapped[:2], "big") + len(changed) - len(wrapped[2:])
        with pytest.raises(CustodyError, match="does not open the state of this log"):
            custody.unwrap(length.to_bytes(2, "big") + changed, OWNER)


@pytest.fixture
def earlier_and_own(bao):
    name = bao.key()
    plain = custodies.connect(f"vault-transit://127.0.0.1:{bao.server.port}/{MOUNT}/{name}?tls=off")
    old = plain.wrap(DataKey.generate(), OWNER)
    custody = bao.custody(name)
    return custody, old, custody.wrap(DataKey.generate(), OWNER)


def test_a_version_that_is_not_there_yet_is_reported(bao):
    """As after OpenBao was restored from a backup that is older than the state."""
    log = Log(bao.custody())
    newer = log.state.replace(b":v2:", b":v9:")
    with pytest.raises(CustodyError, match="has no version 9 yet: it is another one, or OpenBao was"):
        log.custody.unwrap(newer, log.owner)
    for wrapped in (
        b"",
        b"own:vault:v0:AA",
        b"own:own:vault:v2:AA",
        b"own:vault:v2",
        b"vault:v2x:AA",
        b"own:vault:v-2:AA",
    ):
        changed = len(wrapped).to_bytes(2, "big") + wrapped + b"inner"
        for work in (
            lambda changed=changed: log.custody.unwrap(changed, log.owner),
            lambda changed=changed: log.custody.wrap(DataKey.generate(), log.owner, changed),
            lambda changed=changed: log.custody.forget(changed, log.owner),
            lambda changed=changed: log.custody.destroy(changed, log.owner),
            lambda changed=changed: log.custody.forgets(changed),
        ):
            with pytest.raises(CustodyError, match="does not open the state of this log"):
                work()
    assert log.opens() == [log.state]


# Answers that are lost, and servers that say less


class Losing:
    """The way to the server, on which an answer is lost after the request was carried out."""

    def __init__(self, custody, ending, times=1):
        import requests

        made = custody._provider._server.client

        def client():
            client = made()
            ask = client.adapter.request

            def request(method, url, *given, **more):
                answer = ask(method, url, *given, **more)
                if url.endswith(ending) and self.left:
                    self.left -= 1
                    raise requests.ConnectionError
                return answer

            client.adapter.request = request
            return client

        self.left = times
        custody._provider._server.client = client


@pytest.mark.parametrize("what", ["rotate", "config", "trim", "encrypt", "decrypt"])
def test_an_answer_that_is_lost_does_no_harm(bao, what):
    name = bao.key()
    log = Log(bao.custody(name))
    log.custody = bao.custody(name)
    lost = Losing(log.custody, f"/{what}/{name}" if what in ("encrypt", "decrypt") else f"/{what}")
    log.open()
    assert lost.left == 0
    assert log.opens() == [log.state]


@pytest.mark.parametrize("harm", ["away", "stalled"])
def test_a_server_that_is_away_when_it_is_to_forget_is_an_error(bao, harm):
    name, proxy = bao.key(), servers.Proxy(bao.server.tls_port)
    try:
        log = Log(bao.custody(name, port=proxy.port, timeout=1))
        before = log.state
        log.open(until="replaced")
        proxy.stalled = harm == "stalled"
        if harm == "away":
            proxy.close()
        for what in (log.custody.forget, log.custody.destroy):
            began = time.monotonic()
            with pytest.raises(CustodyError, match=r"cannot be reached|does not answer in time"):
                what(log.state, log.owner)
            assert time.monotonic() - began < 4
    finally:
        proxy.stalled = False
        proxy.close()
    log.custody = bao.custody(name)
    assert before in log.opens()
    log.open()
    assert log.opens() == [log.state]


def test_an_answer_that_is_lost_at_set_up_leaves_no_doubt_whose_the_key_is(bao):
    name = bao.key()
    custody = bao.custody(name)
    Losing(custody, "/rotate")
    with pytest.raises(CustodyError, match="cannot be reached, or the connection broke"):
        custody.wrap(DataKey.generate(), OWNER)
    assert "make one key for each log" in refusal(bao, name)


def test_a_server_that_answers_rotation_with_nothing_is_asked_for_the_version(bao, monkeypatch):
    import hvac

    rotate = hvac.api.secrets_engines.Transit.rotate_key
    monkeypatch.setattr(
        hvac.api.secrets_engines.Transit, "rotate_key", lambda *given, **more: rotate(*given, **more) and None
    )
    log = Log(bao.custody())
    log.open()
    assert log.opens() == [log.state]
    assert pieces(log.state)[0] == 3


def test_a_version_that_was_there_before_is_not_taken_for_a_new_one(bao, monkeypatch):
    """A standby may answer with what it knew a moment ago."""
    log = Log(bao.custody(timeout=0.5))
    log.open()
    monkeypatch.setattr(vault_transit.VaultTransit, "_read", lambda *given: dict(found, latest_version=3))
    found = Bao(bao.server).read(log.custody.url.partition("?")[0].rpartition("/")[2])
    import hvac

    monkeypatch.setattr(hvac.api.secrets_engines.Transit, "rotate_key", lambda *given, **more: None)
    with pytest.raises(CustodyError, match=r"has version 3 of the key 'log-[0-9]+', but 3 was there before"):
        log.open()
    monkeypatch.undo()


# Two writers at once


class Turns:
    """Lets writers, each in a thread of its own, go on one step at a time, in an order that is given."""

    def __init__(self):
        self.condition = threading.Condition()
        self.turn, self.waiting, self.done = None, set(), set()

    def wait(self, who):
        """Called by a writer before each step."""
        with self.condition:
            self.waiting.add(who)
            self.condition.notify_all()
            assert self.condition.wait_for(lambda: self.turn == who, 30)
            self.waiting.remove(who)
            self.turn = None

    def start(self, who, work):
        def run():
            try:
                work(who)
            finally:
                with self.condition:
                    self.done.add(who)
                    self.condition.notify_all()

        threading.Thread(target=run, daemon=True).start()
        self._settled(who)

    def go(self, who):
        """Have a writer take a step; return when it waits for the next one, or has ended."""
        with self.condition:
            self.turn = who
            self.condition.notify_all()
            assert self.condition.wait_for(lambda: self.turn is None, 30)
        self._settled(who)

    def _settled(self, who):
        with self.condition:
            assert self.condition.wait_for(lambda: who in self.waiting or who in self.done, 30)


class Writers:
    """Two who use one key at once, A and B; what they ask of the server they ask in turn."""

    def __init__(self, bao, name):
        self.bao, self.name, self.url, self.turns = bao, name, bao.url(name), Turns()
        self.recorded, self.opened, self.errors = [], {}, {}

    def custody(self, who):
        custody = custodies.connect(self.url)
        made = custody._provider._server.client

        def client():
            client = made()
            ask = client.adapter.request

            def request(method, url, *given, **more):
                if self.matters(method, url, more.get("json") or {}):
                    self.turns.wait(who)
                return ask(method, url, *given, **more)

            client.adapter.request = request
            return client

        custody._provider._server.client = client
        return custody

    def matters(self, method, url, given):
        """Tell whether this request changes something for the other one, or finds what that one changed."""
        return url.endswith(("/rotate", "/config", "/trim", f"/encrypt/{self.name}"))

    def alive(self):
        """Return what opens of all that was recorded."""
        found = []
        for root, wrapped in self.recorded:
            version, text, _ = pieces(wrapped)
            given = {"ciphertext": f"vault:v{version}:{text}", "associated_data": coded(b"tallystick state of " + root)}
            path = f"/v1/{MOUNT}/decrypt/{self.name}"
            if TestVaultTransitThatForgets.attempt(
                lambda path=path, given=given: self.bao.client.adapter.post(path, json=given)
            ):
                found.append(wrapped)
        return found

    def play(self, order):
        """Play an order of steps, and what is left as it comes; return it all, with who could have gone on at each."""
        for who in "AB":
            self.turns.start(who, self.work)
        taken, choices = [], []
        while free := sorted(self.turns.waiting):
            taken.append(order[len(taken)] if len(taken) < len(order) else free[0])
            choices.append(free)
            self.turns.go(taken[-1])
            self.check("".join(taken))
        return taken, choices


def every_order(play):
    """Play each order of steps that there is, once; return how many there were."""
    left, count = [[]], 0
    while left:
        order = left.pop()
        taken, choices = play(order)
        count += 1
        for at in range(len(order), len(taken)):
            left += [[*taken[:at], other] for other in choices[at] if other != taken[at]]
    return count


class Openers(Writers):
    """A log whose chain is opened by A; at some time B takes its lease, while A is wherever it is."""

    def __init__(self, bao, name, state):
        super().__init__(bao, name)
        self.url = f"vault-transit://127.0.0.1:{bao.server.port}/{MOUNT}/{name}?tls=off"  # as it would be, but faster
        self.holder, self.state = None, state
        self.recorded = [(OWNER.root, state)]

    def confirm(self, who):
        if self.holder != who:
            raise KeyStoreError("the lease passed to another writer")

    def work(self, who):
        custody = self.custody(who)
        owner = replace(OWNER, confirm=lambda: self.confirm(who))
        try:
            if who == "B":
                self.turns.wait(who)
            self.holder = self.holder if who == "A" and self.holder else who
            before = self.state
            self.turns.wait(who)
            custody.unwrap(before, owner)
            wrapped = custody.wrap(DataKey.generate(), owner, before)
            self.recorded.append((OWNER.root, wrapped))
            self.turns.wait(who)
            self.confirm(who)
            self.state = wrapped
            self.turns.wait(who)
            custody.forget(wrapped, owner)
            self.opened[who] = wrapped
        except (CustodyError, KeyStoreError) as error:
            self.errors[who] = error

    def check(self, taken):
        alive = self.alive()
        assert self.state in alive, (taken, self.errors)  # never both dead
        for who, wrapped in self.opened.items():  # never both alive
            assert all(pieces(each)[0] >= pieces(wrapped)[0] for each in alive), (taken, who, self.errors)
        if "B" in self.opened:
            assert alive == [self.state] == [self.opened["B"]], (taken, self.errors)


def test_two_openers_whatever_the_order_leave_one_state_that_opens(bao):
    """One that stood still and lost its lease between any two steps, and its successor."""
    name = bao.key()
    custody = bao.custody(name)
    state = custody.wrap(DataKey.generate(), OWNER)
    custody.forget(state, OWNER)
    seen = set()

    def play(order):
        nonlocal state
        openers = Openers(bao, name, state)
        played = openers.play(order)
        assert "B" in openers.opened, (played, openers.errors)
        state = openers.state
        seen.add(type(openers.errors.get("A")))
        return played

    assert every_order(play) > 100
    assert seen == {type(None), KeyStoreError, CustodyError}


class SettingUp(Writers):
    """Two logs that are being set up with one key."""

    def matters(self, method, url, given):
        if url.endswith("/trim"):
            return given["min_available_version"] > 1  # the other is a trial, which changes nothing
        return url.endswith(("/rotate", "/config")) or (method == "get" and not self.recorded)

    def work(self, who):
        custody, owner = self.custody(who), replace(OWNER, root=who.encode() * 32)
        try:
            wrapped = custody.wrap(DataKey.generate(), owner)
            self.recorded.append((owner.root, wrapped))
            custody.forget(wrapped, owner)
            self.opened[who] = wrapped
        except CustodyError as error:
            self.errors[who] = error

    def check(self, taken):
        assert len(self.opened) < 2, taken
        assert all(wrapped in self.alive() for wrapped in self.opened.values()), (taken, self.errors)


def test_two_logs_that_are_set_up_with_one_key_at_once_do_not_both_get_it(bao):
    outcomes = set()

    def play(order):
        both = SettingUp(bao, bao.key())
        played = both.play(order)
        outcomes.add("".join(sorted(both.opened)))
        return played

    assert every_order(play) > 60
    assert {"A", "B"} <= outcomes
