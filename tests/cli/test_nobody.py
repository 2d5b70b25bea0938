"""Users whom nobody set up, as containers have them: no home, no entry in passwd, a root that is read-only."""

import os
import shutil

import pytest

from tests.places import OtherUser

HOMES = {"unset": {}, "/": {"HOME": "/"}, "~": {"HOME": "~"}}
NO_STORE = (
    "has no home directory ({}), so there is no default key store; name one: --store file:DIR, or TALLYSTICK_STORE"
)
NO_KEY = "so there is no default place for a master key; name one: --custody master-key:FILE, or TALLYSTICK_CUSTODY"
NO_PINS = "so there is no default directory for pins; name one: --pins DIR, or TALLYSTICK_PINS; --pins none"


@pytest.fixture
def nobody(crossroads):
    """A user of a number that means nothing, in group 0, in a directory that is theirs."""
    place = crossroads / "work"
    place.mkdir()
    os.chown(place, 1000680000, 0)
    return OtherUser(place, 1000680000, 0)


@pytest.mark.parametrize("home", HOMES)
def test_without_a_home_the_missing_option_is_named_and_nothing_is_made(nobody, home):
    done = nobody("init", "payments", env=HOMES[home])
    said = f"HOME is {HOMES[home]['HOME']!r}" if HOMES[home] else "HOME is not set"
    assert (done.status, NO_STORE.format(said) in done.err) == (4, True), done.err
    done = nobody("init", "payments", "--store", "file:store", env=HOMES[home])
    assert (done.status, NO_KEY in done.err) == (4, True), done.err
    done = nobody("status", env=HOMES[home])
    assert (done.status, NO_STORE.format(said) in done.err) == (4, True), done.err
    assert os.listdir(nobody.path) == []


def test_with_the_options_all_goes_well(nobody):
    here = {"TALLYSTICK_STORE": "file:store", "TALLYSTICK_CUSTODY": "master-key:custody/master.key"}
    assert nobody("init", "payments", "--verification-key", "payments.key", env=here).status == 0
    assert nobody("seal", "payments", "-o", "audit.log", stdin=b"one\n", env=here).status == 0
    done = nobody("verify", "audit.log", "--key", "payments.key", env=here)
    assert (done.status, done.err) == (0, ""), done.err
    assert "~" not in os.listdir(nobody.path)


def test_a_verifier_without_a_home_is_asked_where_pins_are(nobody):
    here = {"TALLYSTICK_STORE": "file:store", "TALLYSTICK_CUSTODY": "master-key:custody/master.key"}
    nobody("init", "payments", "--verification-key", "payments.key", env=here)
    nobody("seal", "payments", "-o", "audit.log", stdin=b"one\n", env=here)
    done = nobody("verify", "audit.log", "--key", "payments.key")
    assert (done.status, NO_PINS in done.err) == (4, True), done.err
    done = nobody("verify", "audit.log", "--key", "payments.key", "--pins", "none", "--allow", "open end")
    assert done.status == 0, (done.out, done.err)
    assert sorted(os.listdir(nobody.path)) == ["audit.log", "custody", "payments.key", "store"]


@pytest.fixture
def read_only(crossroads):
    """A user in a container whose root is read-only: only /data can be written."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    place = crossroads / "data"
    place.mkdir()
    os.chown(place, 1000680000, 0)
    user = OtherUser(place, 1000680000, 0)
    # tmpfs on the places for temporary files, so that a mount which is read-only may be there too.
    script = (
        'for each in /tmp /var/tmp /usr/tmp /dev/shm; do [ "$each" = "${0%%/tallystick-test*}" ] && continue;'
        " [ -d $each ] && mount -t tmpfs -o ro tmpfs $each; done; mount -o remount,bind,ro / ;"
        ' mount --bind "$0" "$0" && mount -o remount,bind,rw "$0"; cd "${START:-$0}"; exec "$@"'
    )
    user.before = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(place))
    if user("--help").status != 0:
        pytest.skip("nothing can be mounted here")
    return user


def test_on_a_read_only_root_the_option_is_named(read_only):
    home = {"HOME": "/home"}
    done = read_only("init", "payments", env=home)
    assert (done.status, "--custody master-key:FILE, or TALLYSTICK_CUSTODY" in done.err) == (4, True), done.err
    done = read_only("init", "payments", "--custody", "master-key:master.key", env=home)
    assert (done.status, "--store file:DIR, or TALLYSTICK_STORE" in done.err) == (4, True), done.err
    assert os.listdir(read_only.path) == []


def test_on_a_read_only_root_without_tmpdir_pipes_are_verified_where_tmpdir_is_named(read_only):
    here = {"TALLYSTICK_STORE": "file:store", "TALLYSTICK_CUSTODY": "master-key:master.key", "TALLYSTICK_PINS": "pins"}
    assert read_only("init", "payments", "--verification-key", "payments.key", env=here).status == 0
    sealed = read_only("seal", "payments", stdin=b"one\n", env=here).out
    done = read_only("verify", "-", "--key", "payments.key", stdin=sealed, env=here | {"TMPDIR": "."})
    assert done.status == 0, (done.out, done.err)
    place = read_only.path
    (place / "sealed").write_bytes(sealed)
    elsewhere = here | {"START": "/", "TALLYSTICK_STORE": f"file:{place}/store", "TALLYSTICK_PINS": f"{place}/pins"}
    key = ["--key", f"{place}/payments.key"]
    none = "no directory for temporary files can be written"
    done = read_only("verify", "-", *key, stdin=sealed, env=elsewhere)
    assert (
        done.status,
        f"{none}; make room for a copy of what comes from the pipe, or name a place with TMPDIR" in done.out.decode(),
    ) == (3, True)
    for words in (["selftest", f"{place}/sealed", *key], ["demo"]):
        done = read_only(*words, env=elsewhere)
        assert (done.status, done.err) == (4, f"tallystick: {none}; name one by TMPDIR\n")
