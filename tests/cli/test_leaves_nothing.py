"""A command that fails leaves the world as it was: no file, no directory, no key, no chain."""

import pytest

from tests.places import limited
from tests.survival.writing import until

SECOND = "master-key:{path}/second.key"
FAILING = {
    "a key file that exists": ["--verification-key", "there"],
    "a public file that exists": ["--verification-key", "new.key", "--public-file", "there"],
    "a directory that is not there": ["--verification-key", "no/such/file"],
    "one file for both keys": ["--verification-key", "new.key", "--public-file", "new.key"],
}
OF_REKEY = {
    **FAILING,
    "a custody that is not there": ["--verification-key", "new.key", "--to-custody", "master-key:/proc/no/such.key"],
    "a custody that is no custody": ["--verification-key", "new.key", "--to-custody", "nothing:"],
    "an output that cannot be written": ["--verification-key", "new.key", "-o", "no/such/audit.log"],
    "an output that is a directory": ["--verification-key", "new.key", "-o", "."],
}
OF_INIT = {  # the others of these: test_init.py
    "one file for both keys": FAILING["one file for both keys"],
    "a store that cannot be made": ["--verification-key", "new.key", "--store", "file:/proc/no/such"],
    "a store that is a file": ["--verification-key", "new.key", "--store", "file:{path}/there"],
    "a store that is not reached": ["--verification-key", "new.key", "--store", "redis://127.0.0.1:1/"],
    "a custody that is no custody": ["--verification-key", "new.key", "--custody", "nothing:"],
}


def world(site):
    """All that is there: names and content; but who last held the lease, which is for people."""
    return {
        str(path.relative_to(site.path)): path.read_bytes() if path.is_file() else None
        for path in site.path.rglob("*")
        if path.name != "lock"
    }


def filled(site, words):
    return [word.format(path=site.path) for word in words]


@pytest.mark.parametrize("case", OF_INIT)
def test_init(bare, case):
    (bare.path / "there").write_text("precious")
    before = world(bare)
    custody = f"master-key:{bare.path}/deep/er/master.key"
    done = bare("init", "payments", "--custody", custody, *filled(bare, OF_INIT[case]))
    assert done.status == 4
    assert world(bare) == before


def test_init_whose_key_does_not_fit_on_the_disk(bare):
    """The state fits, and is taken back; the master key, the directories and the store go with it."""
    (bare.path / "big").write_bytes(bytes(1000))
    before = world(bare)
    with open(bare.path / "big", "ab") as full:
        done = bare("init", "payments", stdout=full, preexec_fn=limited(1000))
    assert done.status == 4
    assert world(bare) == before


def test_init_leaves_a_master_key_that_was_there(bare):
    bare.init()
    before = world(bare)
    with open("/dev/full", "wb") as full:
        assert bare("init", "orders", "--custody", bare.custody, stdout=full).status == 4
    assert world(bare) == before
    bare.seal(b"one\n")
    assert bare.verdict() == ("ok", [])


@pytest.mark.parametrize("case", OF_REKEY)
def test_rekey(site, case):
    (site.path / "there").write_text("precious")
    site.seal(b"one\n")
    before = world(site)
    words = filled(site, OF_REKEY[case])
    done = site("rekey", "payments", *([] if "-o" in words else ["-o", "audit.log"]), *words)
    assert done.status == 4
    assert world(site) == before


def test_rekey_beside_a_writer(site):
    """The lease is taken first: nothing is made for a log that somebody else writes."""
    with site.start("seal", "payments", "-o", "audit.log") as writer:
        writer.stdin.write(b"one\n")
        until(lambda: (site.path / "audit.log").exists() and b"one" in site.read())
        done = site("rekey", "payments", "-o", "audit.log", "--verification-key", "new.key")
        assert (done.status, (site.path / "new.key").exists()) == (4, False)
        writer.stdin.close()
    assert site.verdict() == ("ok", [])


@pytest.mark.parametrize(
    "words",
    [
        ["seal", "payments", "-o", "new.log", "no-such-file"],
        ["run", "payments", "-o", "new.log", "--", "no-such-command"],
        ["seal", "payments", "-o", "new.log", "--custody", "master-key:/no/such.key"],
        ["run", "payments", "-o", "new.log", "--custody", "master-key:/no/such.key", "--", "true"],
        ["close", "payments", "-o", "new.log", "--custody", "master-key:/no/such.key"],
        ["close", "payments", "-o", "no/such.log"],
        ["seal", "nobody", "-o", "new.log"],
        ["migrate", "payments", "--to-store", "file:{path}/there/store"],
        ["migrate", "payments", "--to-store", "redis://127.0.0.1:1/", "--to-custody", SECOND],
        ["migrate", "payments", "--to-custody", SECOND, "--custody", "master-key:/no/such.key"],
        ["migrate", "nobody", "--to-custody", SECOND],
    ],
    ids=" ".join,
)
def test_a_refused_command(site, words):
    (site.path / "there").write_text("precious")
    before = world(site)
    assert site(*filled(site, words)).status not in (0, 1)
    assert world(site) == before
