"""What goes wrong around key store and custody is reported, and no number is ever used twice (spec section 6)."""

import os
import shutil
import subprocess

import pytest

from tests.sealed import lines, position


def refused(site, *reported, env=None, more=()):
    """Seal a line, which must be refused without a byte of output."""
    before = site.read() if (site.path / "audit.log").exists() else b""
    done = site("seal", "payments", "-o", "audit.log", *more, stdin=b"more\n", env=env)
    assert (done.status, done.err.count("\n")) == (4, 1)
    for words in reported:
        assert words in done.err
    assert (site.read() if (site.path / "audit.log").exists() else b"") == before


# Custody


def test_another_master_key_is_refused(site):
    other = site("init", "other", "--custody", f"master-key:{site.path}/other.key", "--verification-key", "o.key")
    assert other.status == 0
    shutil.copy(site.path / "other.key", site.path / "master.key")
    refused(site, f"the master key in {site.path}/master.key does not open the state of this log")


def test_a_lost_master_key_is_reported(site):
    (site.path / "master.key").unlink()
    refused(site, f"the master key {site.path}/master.key is not there; restore it")


def test_without_the_keys_beside_the_master_key_a_log_has_ended_and_another_one_goes_on(site):
    """As docs/custody.md shows it."""
    site.seal(b"one\n")
    (beside,) = site.path.glob("master.key.*")
    beside.unlink()
    refused(site, f"{beside} is not there, so the master key does not open the state of this log", "begin a new log")
    assert site("head", "payments").status == 0
    again = site("init", "payments-2", "--custody", site.custody, "--verification-key", "payments-2.key")
    assert again.status == 0, again.err
    assert site("seal", "payments-2", "-o", "audit-2.log", stdin=b"two\n").status == 0
    assert site.verdict() == ("ok", [])


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_master_key_that_others_can_read_is_refused_with_the_command_to_run(site, mode):
    (site.path / "master.key").chmod(mode)
    refused(site, f"{site.path}/master.key is open to other users (mode {mode:04o}); run: chmod 0600")


@pytest.mark.parametrize("text", [b"", b"short\n", b"\0" * 43])
def test_a_file_that_is_no_master_key_is_reported(site, text):
    (site.path / "master.key").write_bytes(text)
    refused(site, f"{site.path}/master.key holds no master key (43 letters of base64url); restore it")


@pytest.fixture
def by_variable(bare):
    """A log whose custody is a master key in an environment variable."""
    bare.env["PAYMENTS_KEY"] = "Q" * 43
    bare.custody = "master-key:PAYMENTS_KEY"
    bare.init()
    return bare


def test_a_master_key_in_the_environment_serves(by_variable):
    by_variable.seal(b"one\n")
    assert by_variable.verdict() == ("ok", [])
    assert b"Q" * 43 not in b"".join(p.read_bytes() for p in by_variable.store.rglob("*") if p.is_file())


def test_an_environment_variable_that_is_not_set_is_reported(by_variable):
    del by_variable.env["PAYMENTS_KEY"]
    refused(by_variable, "environment variable PAYMENTS_KEY is not set; put the master key into it")


@pytest.mark.parametrize("value", ["", "A" * 42, "A" * 42 + "!", "B" * 43, "A" * 43])
def test_an_environment_variable_that_is_no_master_key_is_reported_and_not_shown(by_variable, value):
    done = by_variable("seal", "payments", stdin=b"x\n", env={"PAYMENTS_KEY": value})
    assert (done.status, done.out) == (4, b"")
    assert "environment variable PAYMENTS_KEY holds no master key (43 letters of base64url)" in done.err
    assert not value or value not in done.err


def test_another_master_key_in_the_environment_is_refused(by_variable):
    refused(by_variable, "the master key in PAYMENTS_KEY does not open", env={"PAYMENTS_KEY": "A" * 42 + "E"})


def test_an_invalid_custody_is_reported(site):
    refused(site, "there is no kind of custody called 'vault'", more=("--custody", "vault:x"))


# Key store


def test_a_store_that_is_not_there_is_reported(site):
    refused(site, "there is no key store at", env={"TALLYSTICK_STORE": str(site.path / "gone")})


def test_a_log_that_is_not_there_is_reported_with_those_that_are(site):
    done = site("seal", "paymnets", stdin=b"x\n")
    assert (done.status, done.out) == (4, b"")
    assert "there is no log paymnets in file:" in done.err
    assert "it holds payments" in done.err


def test_a_store_option_goes_before_the_environment(site):
    env = {"TALLYSTICK_STORE": str(site.path / "gone")}
    done = site("seal", "payments", "--store", f"file:{site.store}", stdin=b"x\n", env=env)
    assert done.status == 0


@pytest.mark.parametrize("path", [".", "payments", "payments/state"])
def test_a_store_that_others_can_read_is_refused_with_the_command_to_run(site, path):
    where = site.store / path
    where.chmod(0o755)
    refused(site, f"{where} is open to other users (mode 0755); run: chmod 0")


@pytest.mark.parametrize("data", [b"", b"garbage\n", b"tallystick-state v1\n\x1b[31m\n"])
def test_a_damaged_state_is_reported(site, data):
    (site.store / "payments" / "state").write_bytes(data)
    refused(site, "the state of log payments in the key store is damaged: ")


def test_a_state_in_which_a_byte_was_changed_is_refused(site):
    state = site.store / "payments" / "state"
    data = bytearray(state.read_bytes())
    at = data.rindex(b"\n", 0, -1) + 20
    data[at] = ord("B") if data[at] == ord("A") else ord("A")
    state.write_bytes(data)
    refused(site)


@pytest.fixture
def restored(site):
    """A key store that was restored from a backup, after more was sealed."""
    site.seal(b"one\n")
    subprocess.run(["cp", "-a", site.store, site.path / "backup"], check=True)
    site.seal(b"two\n")
    shutil.rmtree(site.store)
    subprocess.run(["cp", "-a", site.path / "backup", site.store], check=True)
    return site


def test_a_restored_store_is_refused_for_the_log_is_ahead_of_it(restored):
    refused(restored, "the key store is older than audit.log", "chain 2", "start a new log")
    chains = [position(line)[0] for line in lines(restored.read())]
    assert chains == sorted(chains)
    assert set(chains) == {1, 2}


def test_a_restored_store_is_refused_by_the_form_of_json_lines_too(site):
    for i in range(2):
        if i:
            subprocess.run(["cp", "-a", site.store, site.path / "backup"], check=True)
        site.seal(b'{"a":1}\n')
    shutil.rmtree(site.store)
    (site.path / "backup").rename(site.store)
    refused(site, "the key store is older than audit.log")


def test_a_restored_store_is_refused_over_a_torn_line_too(restored):
    with open(restored.path / "audit.log", "ab") as log:
        log.write(b"half a li")
    refused(restored, "the key store is older than audit.log")


def test_a_restored_store_is_refused_over_lines_of_another_log_too(restored):
    restored.init("other")
    with open(restored.path / "audit.log", "ab") as log:
        log.write(b"no seal\n" * 20_000)
    sealed = restored("seal", "other", "-o", "audit.log", stdin=b"from the other\n" * 3000)
    assert "holds lines of another log" in sealed.err
    refused(restored, "the key store is older than audit.log")


def test_a_restored_state_is_refused_where_the_head_is_ahead(site):
    site.seal(b"one\n")
    state = (site.store / "payments" / "state").read_bytes()
    site.seal(b"two\n")
    (site.store / "payments" / "state").write_bytes(state)
    (site.path / "audit.log").rename(site.path / "elsewhere.log")
    refused(site, "the key store is older than the log payments")


def test_a_restored_store_cannot_be_sealed_with_into_another_file_where_custody_forgets(restored):
    done = restored("seal", "payments", "-o", "other.log", stdin=b"again\n")
    assert done.status == 4
    assert "as after a restored backup" in done.err


def test_a_restored_store_is_reported_by_the_verifier_even_so(bare):
    """Where custody does not forget, that cannot be refused; the numbers that are used twice cannot be missed."""
    bare.custody, bare.env["MASTER_KEY"] = "master-key:MASTER_KEY", "A" * 42 + "E"
    bare.init()
    subprocess.run(["cp", "-a", bare.store, bare.path / "backup"], check=True)
    bare.seal(b"one\n")
    shutil.rmtree(bare.store)
    subprocess.run(["cp", "-a", bare.path / "backup", bare.store], check=True)
    bare("seal", "payments", "-o", "other.log", stdin=b"again\n")
    verdict, kinds = bare.verdict("audit.log", "other.log")
    assert verdict == "failed"
    assert "fork" in kinds


# Head


def test_a_lost_head_is_refused_and_found(site):
    site.seal(b"one\n")
    (site.store / "payments" / "head").unlink()
    refused(site, "the head of log payments is gone from the key store; start a new log")
    assert site.verdict() == ("failed", ["bad head", "open end"])


@pytest.mark.parametrize("garbage", [b"", b"garbage\n", b"\xff\0\x1b[31m\n"])
def test_an_invalid_head_is_refused_and_found(site, garbage):
    site.seal(b"one\n")
    (site.store / "payments" / "head").write_bytes(garbage)
    refused(site, "the head of log payments in the key store is damaged: ", "start a new log")
    verdict, kinds = site.verdict()
    assert (verdict, "bad head" in kinds) == ("failed", True)


def test_the_head_of_another_log_is_refused_and_found(site):
    site.init("other")
    site.seal(b"one\n")
    shutil.copy(site.store / "other" / "head", site.store / "payments" / "head")
    refused(site, "the head in the key store is not that of log payments")
    verdict, kinds = site.verdict()
    assert (verdict, "bad head" in kinds) == ("failed", True)


# As nobody in particular


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_else_s_store_is_refused(site):
    site.path.chmod(0o755)
    for path in site.store.rglob("*"):
        os.chown(path, 54321, -1)
    os.chown(site.store, 54321, -1)
    refused(site, "belongs to uid 54321, not to root; run this as its owner")
