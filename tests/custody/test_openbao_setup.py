"""Which keys of the engine transit a log takes: new ones, which are nobody else's and can forget."""

import time
from dataclasses import replace

import pytest

from tallystick._core import DataKey
from tallystick.custody import vault_transit
from tallystick.errors import CustodyError
from tests.custody.forgetting import Log
from tests.custody.suite import OWNER
from tests.custody.transit import MOUNT, NUMBERS, POLICY, coded, refusal


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
    assert "does not bind its texts to a log; run OpenBao, or Vault 1.13 or newer" in refusal(bao, bao.key())


def test_a_key_that_is_made_exportable_later_is_refused_at_the_next_opening_and_can_be_left(bao):
    name = bao.key()
    log = Log(bao.custody(name))
    bao.write(name, "config", exportable=True)
    with pytest.raises(CustodyError, match=r"exportable\nhint: .* move it \(`tallystick migrate`\)"):
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
