"""A key of the engine transit that belongs to one log forgets what it opened; a real server, with TLS."""

import base64
import itertools
import json
import time

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tallystick import custody as custodies
from tallystick._core import DataKey
from tallystick.errors import CustodyError
from tests import servers
from tests.custody.forgetting import ForgettingSuite, Log
from tests.custody.keys import text_of
from tests.custody.suite import OWNER, OutsideSuite
from tests.custody.transit import BOUND, MOUNT, POLICY, Bao, attempt, coded, pieces, refusal


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
            attempt(lambda given=minima: bao.write(name, "config", **given))
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
        attempt(lambda: bao.write(f"{name}-again", "config", min_decryption_version=1, min_encryption_version=1))
        tried.append(self.asked(bao, f"{name}-again", log))
        return [wrapped for wrapped in log.recorded if any(wrapped in found for found in tried)]

    @pytest.fixture(autouse=True)
    def _administered(self, openbao_server):
        self.server = openbao_server

    def asked(self, bao, name, log):
        """Ask the server to decrypt, and to encrypt anew, each thing that was recorded."""
        found = []
        for wrapped in log.recorded:
            version, text, inner = pieces(wrapped)
            given = {"ciphertext": f"vault:v{version}:{text}", "associated_data": coded(BOUND)}
            for what in ("decrypt", "rewrap"):
                path = f"/v1/{MOUNT}/{what}/{name}"
                if said := attempt(lambda path=path, given=given: bao.client.adapter.post(path, json=given)):
                    found.append(wrapped)
                    if what == "decrypt":
                        text = base64.b64decode(said["data"]["plaintext"])
                        assert text_of(DataKey.parse(text.decode()).unwrap(inner, OWNER.context)) == log.keys[wrapped]
        return found

    def exported(self, bao, name):
        for version in range(1, bao.read(name)["latest_version"] + 1):
            path = f"/v1/{MOUNT}/export/encryption-key/{name}/{version}"
            if said := attempt(lambda path=path: bao.client.adapter.get(path)):
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
    import hvac

    name = bao.key()
    log = Log(bao.custody(name, timeout=1))
    log.open(until="replaced")
    policy = POLICY.replace(f"/{change}", "/nothing")
    monkeypatch.setenv("BAO_TOKEN", bao.token(name, policy))
    with pytest.raises(CustodyError, match="refuses the token, or its policy lacks a right"):
        log.custody.forget(log.state, log.owner)
    monkeypatch.setenv("BAO_TOKEN", bao.server.token)
    post = hvac.adapters.JSONAdapter.post
    monkeypatch.setattr(
        hvac.adapters.JSONAdapter, "post", lambda way, url, **more: url.endswith(f"/{change}") or post(way, url, **more)
    )
    with pytest.raises(CustodyError, match=r"does not confirm that the key 'log-[0-9]+' has no version older than 3"):
        log.custody.forget(log.state, log.owner)
    monkeypatch.undo()
    monkeypatch.setenv("BAO_TOKEN", bao.server.token)
    log.custody.forget(log.state, log.owner)
    assert log.opens() == [log.state]


def test_a_copy_of_the_storage_opens_what_was_trimmed_since(tmp_path, monkeypatch):
    """That is what the documentation says; custody's own backups are not among what may be recorded."""
    with servers.running(servers.OpenBao(tmp_path)) as server:
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
    with pytest.raises(
        CustodyError, match="has no version 9 yet, so it is another one, or OpenBao was restored from a backup"
    ):
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
    """The way to servers, on which one answer is lost after the request was carried out."""

    def __init__(self, monkeypatch, ending):
        import requests

        ask = requests.Session.request

        def request(session, method, url, **more):
            answer = ask(session, method, url, **more)
            if url.endswith(ending) and self.left:
                self.left -= 1
                raise requests.ConnectionError
            return answer

        self.left = 1
        monkeypatch.setattr(requests.Session, "request", request)


@pytest.mark.parametrize("what", ["rotate", "config", "trim", "encrypt", "decrypt"])
def test_an_answer_that_is_lost_does_no_harm(bao, monkeypatch, what):
    name = bao.key()
    log = Log(bao.custody(name))
    lost = Losing(monkeypatch, f"/{what}/{name}" if what in ("encrypt", "decrypt") else f"/{what}")
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


def test_an_answer_that_is_lost_at_set_up_leaves_no_doubt_whose_the_key_is(bao, monkeypatch):
    name = bao.key()
    custody = bao.custody(name)
    Losing(monkeypatch, "/rotate")
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
    import hvac

    found = Bao(bao.server).read(log.custody.url.partition("?")[0].rpartition("/")[2])
    earlier = {"data": dict(found, latest_version=3)}
    monkeypatch.setattr(hvac.api.secrets_engines.Transit, "read_key", lambda *given, **more: earlier)
    monkeypatch.setattr(hvac.api.secrets_engines.Transit, "rotate_key", lambda *given, **more: None)
    with pytest.raises(CustodyError, match=r"has version 3 of the key 'log-[0-9]+', but 3 was there before"):
        log.open()
    monkeypatch.undo()
