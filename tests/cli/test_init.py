"""`tallystick init`: the key goes to the verifier and nowhere else (spec section 3)."""

import base64
import os
import re
import stat

import pytest

LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
SECRET = re.compile(rb"tallysecret1[%b]+" % LETTERS.encode())


def verification_key(text: bytes) -> bytes:
    """Return V of a key text: after scope, P and two chain numbers (spec section 3)."""
    bits = "".join(f"{LETTERS.index(chr(c)):05b}" for c in text.strip().removeprefix(b"tallysecret1")[:-6])
    data = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits) - 7, 8))
    return data[41:73]


def everything_in(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def left(site):
    """What is in a place: names of directories, content of files."""
    return {path: path.read_bytes() if path.is_file() else None for path in site.path.rglob("*")}


def init(site, *more, name="payments", **how):
    return site("init", name, "--custody", site.custody, *more, **how)


def test_the_key_file_is_readable_by_its_owner_only(bare):
    old = os.umask(0)
    try:
        bare.init()
    finally:
        os.umask(old)
    assert stat.S_IMODE((bare.path / "payments.key").stat().st_mode) == 0o600


def test_the_key_file_holds_the_key_and_standard_output_does_not(bare):
    done = init(bare, "--verification-key", "payments.key")
    assert (done.status, done.out) == (0, b"")
    assert SECRET.fullmatch(bare.read("payments.key").strip())
    assert "tallysecret1" not in done.err


def test_a_key_file_that_is_there_is_left_alone_and_no_log_is_made(bare):
    (bare.path / "payments.key").write_text("precious")
    done = init(bare, "--verification-key", "payments.key")
    assert done.status == 4
    assert "payments.key exists, and it may be the key of another log; name a new file" in done.err
    assert bare.read("payments.key") == b"precious"
    assert [path.name for path in bare.path.rglob("*")] == ["payments.key"]


def test_a_dangling_link_is_no_place_for_a_key(bare):
    (bare.path / "payments.key").symlink_to(bare.path / "elsewhere")
    assert init(bare, "--verification-key", "payments.key").status == 4
    assert not (bare.path / "elsewhere").exists()


def test_the_key_is_nowhere_in_the_store_nor_beside_the_master_key(bare):
    done = init(bare)
    text = SECRET.search(done.out)[0]
    v = verification_key(text)
    assert len(v) == 32
    traces = [b"tallysecret1", v, base64.urlsafe_b64encode(v)[:42], base64.b64encode(v)[:42], v.hex().encode()]
    files = everything_in(bare.path)
    assert {path.name for path in files} >= {"state", "head", "master.key"}
    assert [path for path, data in files.items() for trace in traces if trace in data] == []


def test_without_a_file_the_key_is_shown_once_on_standard_output(bare):
    done = init(bare)
    assert done.status == 0
    assert SECRET.fullmatch(done.out.strip())
    assert "tallysecret1" not in done.err


def test_a_key_from_standard_output_verifies(bare):
    (bare.path / "payments.key").write_bytes(init(bare).out)
    bare.seal(b"one\n")
    assert bare.verdict() == ("ok", [])


def test_where_the_key_cannot_be_shown_no_log_is_left(bare):
    before = left(bare)
    with open("/dev/full", "wb") as full:
        done = init(bare, "--public-file", "payments.pub", stdout=full)
    assert done.status == 4
    assert "no space left on device" in done.err
    assert "payments" in done.err
    assert "was not set up" in done.err
    assert left(bare) == before
    assert not (bare.path / "payments.pub").exists()
    assert init(bare, "--public-file", "payments.pub").status == 0


def test_where_standard_output_is_closed_no_log_is_left(bare):
    before = left(bare)
    done = init(bare, stdout=None, preexec_fn=lambda: os.close(1))
    assert done.status == 4
    assert left(bare) == before


@pytest.mark.parametrize("name", ["pay/ments", "", "a" * 65, ".hidden", "-x", "a b", "zahlungen-ü", "../up"])
def test_what_is_no_name_is_a_usage_error(bare, name):
    done = bare("init", "--custody", bare.custody, "--", name)
    assert done.status == 2
    assert "cannot be the name of a log; take 1 to 64 of" in done.err
    assert not bare.store.exists()


@pytest.mark.parametrize("name", ["a" * 64, "7.A_b-c"])
def test_what_is_a_name_is_taken(bare, name):
    assert init(bare, name=name).status == 0


def test_a_log_that_is_there_is_left_as_it_is(site):
    before = everything_in(site.store)
    done = init(site, "--verification-key", "new.key")
    assert done.status == 4
    assert "there is a log payments in file:" in done.err
    assert "take another name" in done.err
    assert everything_in(site.store) == before
    assert not (site.path / "new.key").exists()


@pytest.mark.parametrize("option", ["--verification-key", "--public-file"])
def test_a_missing_directory_is_named_and_no_log_is_left(bare, option):
    before = left(bare)
    done = init(bare, option, "not/there/file", stdout=None if option == "--public-file" else -1)
    assert done.status == 4
    assert f"{bare.path}/not/there/file: no such file or directory" in done.err
    assert left(bare) == before


@pytest.mark.parametrize("option", ["--verification-key", "--public-file"])
def test_a_read_only_place_is_named_and_no_log_is_left(bare, option):
    before = left(bare)
    done = init(bare, option, "/proc/version/file", "--store", f"file:{bare.store}")
    assert done.status == 4
    assert "/proc/version/file: not a directory" in done.err
    assert left(bare) == before


def test_a_store_that_cannot_be_made_is_named(bare):
    done = init(bare, "--store", "file:/proc/nowhere/store")
    assert done.status == 4
    assert "/proc/nowhere: no such file or directory" in done.err
    assert b"tallysecret1" not in done.out


def test_the_public_file_checks_and_holds_no_secret(bare):
    bare.init()
    public = bare.read("payments.pub")
    assert re.fullmatch(rb"tallypub1[%b]+\n" % LETTERS.encode(), public)
    bare.seal(b"one\n")
    done = bare("verify", "audit.log", "--public", "payments.pub", "--allow", "open end")
    assert done.status == 0


def test_a_public_file_that_is_there_is_left_alone_and_no_log_is_made(bare):
    (bare.path / "payments.pub").write_text("another")
    before = left(bare)
    done = init(bare, "--verification-key", "payments.key", "--public-file", "payments.pub")
    assert done.status == 4
    assert bare.read("payments.pub") == b"another"
    assert not (bare.path / "payments.key").exists()
    assert left(bare) == before


def test_the_custody_is_made_once_and_serves_all_logs(bare):
    bare.init("one")
    before = bare.read("master.key")
    bare.init("two")
    assert bare.read("master.key") == before
    assert bare("status").out.count(b"master-key:") == 2
