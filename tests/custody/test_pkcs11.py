"""Custody by a key in an HSM, which is SoftHSM."""

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

import tallystick
from tallystick import custody as custodies
from tallystick._core import DataKey
from tallystick.custody import pkcs11 as custody_module
from tallystick.custody.pkcs11 import Pkcs11
from tallystick.errors import CustodyError, explain
from tests import preloaded
from tests.custody.apart import LOADS, Apart, Beside
from tests.custody.forgetting import ForgettingSuite, Log, MovesWithinSuite
from tests.custody.keys import text_of
from tests.custody.suite import OWNER, OutsideSuite, survives_a_crash
from tests.hardware import HSM_PIN, Hsm, RemoteHsm, own_directory, running
from tests.servers import PASSWORD


@pytest.fixture(autouse=True)
def _here(hsm, monkeypatch):
    for name, value in hsm.env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def mine(monkeypatch):
    """An HSM that a test may spoil."""
    with own_directory("hsm") as directory:
        made = Hsm(directory).make_token().make_key()
        for name, value in made.env.items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture(scope="module")
def another(softhsm):
    return softhsm.make_key("another", number="02")


def wrap(url):
    return Apart(url).wrap(DataKey.generate(), OWNER)


def unwrap(wrapped, url):
    return Apart(url).unwrap(wrapped, OWNER)


def by_id(url, number="01"):
    """The URL of a key that somebody made by hand."""
    return url.replace("?", f";id=%{number}?")


class TestPkcs11(OutsideSuite):
    @pytest.fixture
    def custody(self, hsm):
        return Apart(hsm.url())

    @pytest.fixture
    def stranger(self, another):
        return Apart(another.url("another"))


class TestPkcs11ByHand(OutsideSuite):
    """One key for all states."""

    @pytest.fixture
    def custody(self, hsm):
        return Apart(by_id(hsm.url()))

    @pytest.fixture
    def stranger(self, another):
        return Apart(by_id(another.url("another"), "02"))


def test_init_seal_crash_seal_verify(pkcs11_custody, tmp_path):
    survives_a_crash(tmp_path, *pkcs11_custody)


# The URI


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("pkcs11:?module-path=/x.so", "names no key"),
        ("pkcs11:token=a?module-path=/x.so", "names no key"),
        ("pkcs11:object=a;object=b?module-path=/x.so", "cannot have 'object' in its path; it takes token"),
        ("pkcs11:object=a;color=red?module-path=/x.so", "cannot have 'color' in its path; it takes token"),
        ("pkcs11:object=a;type=private?module-path=/x.so", "takes an AES key"),
        ("pkcs11:object=a", "names no library of an HSM; write …?module-path="),
        ("pkcs11:object=a?module-name=../x", "names no library of an HSM"),
        ("pkcs11:object=a?module-path=x.so", "write the whole path, from /"),
        (
            "pkcs11:object=a?module-path=/x.so&pin-source=|cat",
            "cannot take its PIN from '|cat'; write pin-source=file:",
        ),
        ("pkcs11:object=a?module-path=/x.so&pin-source=https://h/x", "cannot take its PIN from 'https://h/x'"),
        ("pkcs11:object=a?module-path=/x.so&timeout=0", "the timeout of the custody pkcs11: is 0"),
        ("pkcs11:object=a?module-path=/x.so&slot=1", "knows no option 'slot'"),
        ("pkcs11:object=a?module-path=/x.so&backups=daily", "takes backups=none, which says that the token keeps none"),
    ],
)
def test_a_malformed_url_is_reported_at_once(url, told):
    with pytest.raises(CustodyError) as caught:
        custodies.connect(url)
    assert told in explain(caught.value)


def test_a_pin_in_the_url_is_refused_and_not_repeated():
    with pytest.raises(
        CustodyError, match=r"holds a password, and it is noted .+\nhint: .+ pin-source=file:"
    ) as caught:
        custodies.connect("pkcs11:token=a;object=b?module-path=/x.so&pin-value=4321")
    assert "4321" not in explain(caught.value)


def test_each_attribute_finds_the_token_and_the_key(mine):
    mine.make_token("other").make_key("other", number="02ff", token="other")
    wrapped, own = wrap(by_id(mine.url())), wrap(mine.url())
    there = mine.describe("audit")
    where = f"?module-path={mine.library}"
    for path in (
        "object=payments",
        "token=audit;id=%01",
        "token=audit;object=payments;id=%01;type=secret-key",
        f"serial={there['serial']};object=payments",
        f"slot-id={there['slot']};object=payments",
        "manufacturer=SoftHSM%20project;model=SoftHSM%20v2;token=%61udit;object=pay%6dents",
    ):
        if path == "object=payments":
            with pytest.raises(
                CustodyError, match=r"2 tokens in .+ could be that of .+ \(there are .+\)\nhint: add serial="
            ):
                unwrap(wrapped, f"pkcs11:{path}{where}")
        else:
            unwrap(wrapped, f"pkcs11:{path}{where}")
            if "object" in path:
                unwrap(own, f"pkcs11:{path}{where}")
    wrap(f"pkcs11:token=other;id=%02%ff{where}")
    for path in ("token=none;object=payments", "token=audit;serial=1;object=payments", "slot-id=1;object=payments"):
        with pytest.raises(
            CustodyError, match=r"no token in .+ is that of pkcs11:.+'audit'.+\nhint: plug it in, or correct"
        ):
            unwrap(wrapped, f"pkcs11:{path}{where}")
    for path in ("token=audit;object=none", "token=audit;id=%02", "token=audit;object=payments;id=%02"):
        with pytest.raises(
            CustodyError, match=r"token 'audit' holds no AES key pkcs11:.+\nhint: make it, or restore it"
        ):
            unwrap(wrapped, f"pkcs11:{path}{where}")


def test_a_library_is_found_by_its_name_and_in_a_directory(hsm):
    unwrap(wrap(hsm.url()), "pkcs11:token=audit;object=payments?module-name=softhsm2")
    folder = os.path.dirname(hsm.library)
    unwrap(wrap(hsm.url()), f"pkcs11:token=audit;object=payments?module-path={folder}&module-name=softhsm2")
    with pytest.raises(CustodyError, match="no PKCS #11 library 'none'\nhint: install it, or name it by module-path"):
        wrap("pkcs11:token=audit;object=payments?module-name=none")


# The PIN


def test_the_pin_comes_from_a_private_file(hsm, monkeypatch, tmp_path):
    monkeypatch.delenv(HSM_PIN)
    pin = tmp_path / "pin of the token"
    pin.write_text(f"{PASSWORD}\n")
    pin.chmod(0o600)
    for source in (f"file:{pin}", f"file://{pin}", f"{pin}"):
        url = hsm.url(more=f"&pin-source={source.replace(' ', '%20')}")
        unwrap(wrap(url), url)
    pin.chmod(0o644)
    with pytest.raises(CustodyError, match=r"pin of the token is open to other users .+\nhint: .*chmod 0600"):
        wrap(url)
    pin.unlink()
    with pytest.raises(CustodyError, match="pin of the token: no such file or directory\nhint: restore it"):
        wrap(url)


def test_no_pin_and_a_wrong_one_are_reported_and_not_repeated(hsm, monkeypatch, tmp_path):
    wrapped = wrap(hsm.url())
    monkeypatch.setenv(HSM_PIN, "not-this-one")
    for ask in (lambda: wrap(hsm.url()), lambda: unwrap(wrapped, hsm.url())):
        with pytest.raises(
            CustodyError, match=r"refuses the PIN\nhint: set it right, before too many wrong ones lock"
        ) as told:
            ask()
        assert "not-this-one" not in str(told.value)
    monkeypatch.delenv(HSM_PIN)
    with pytest.raises(
        CustodyError, match=f"there is no PIN for token 'audit'\nhint: put it into .+ {HSM_PIN}, or a file"
    ):
        unwrap(wrapped, hsm.url())
    with pytest.raises(CustodyError, match="there is no PIN"):
        tallystick.create("payments", store=f"file:{tmp_path}/s", custody=hsm.url(), key_file=tmp_path / "k")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        (0x40000, "the PIN of token 'audit' is locked; have the security officer of the token set a new one"),
        (0x20000, "one more wrong PIN would lock token 'audit', so none is tried; log in once with a tool of the HSM"),
    ],
)
def test_a_token_that_is_locked_or_near_to_it_is_left_alone(mine, flag, told):
    wrapped = wrap(mine.url())
    mine.set_flag(flag)
    with pytest.raises(CustodyError) as caught:
        unwrap(wrapped, mine.url())
    assert told in explain(caught.value)


# The key


def test_a_key_that_is_gone_or_there_twice_is_reported(mine):
    wrapped = wrap(by_id(mine.url()))
    wrap(mine.url())  # what is made for a state has the same label, and is not meant
    mine.make_key("payments", number="02")
    with pytest.raises(CustodyError, match=r"holds 2 keys pkcs11:token=audit;object=payments\nhint: add id="):
        unwrap(wrapped, mine.url())
    unwrap(wrapped, mine.url().replace("?", ";id=%01?"))
    for number in ("01", "02"):
        mine.tool("--delete-object", "--type", "secrkey", "--id", number)
    with pytest.raises(CustodyError, match=r"holds no AES key .+\nhint: make it, or restore it"):
        unwrap(wrapped, mine.url())
    mine.make_key()
    with pytest.raises(CustodyError, match="wrong key, or the state was changed"):
        unwrap(wrapped, mine.url())


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (("--sensitive", "--extractable"), "must have CKA_EXTRACTABLE false"),
        (("--extractable",), "must have CKA_EXTRACTABLE false"),
        (("--private",), "must have CKA_SENSITIVE true"),
    ],
)
def test_a_key_that_could_leave_its_token_is_refused(mine, made, told):
    mine.make_key("open", *made, number="02")
    with pytest.raises(CustodyError, match=f"{told}, and does not\nhint: make one that never leaves its token"):
        wrap(by_id(mine.url("open"), "02"))


# In a process of its own, since it leaves the library loaded.
MAKES_ONE_THAT_WRAPS = f"""
import os, sys, pkcs11
token = pkcs11.lib(sys.argv[1]).get_token(token_label="audit")
with token.open(rw=True, user_pin=os.environ["{HSM_PIN}"]) as session:
    use = {{pkcs11.Attribute.ENCRYPT: False, pkcs11.Attribute.DECRYPT: False}}
    session.generate_key(pkcs11.KeyType.AES, 256, id=b"\\3", label="wrapper", store=True, template=use)
"""


def test_a_key_of_another_kind_or_use_is_refused(mine):
    mine.tool("--keygen", "--key-type", "GENERIC:32", "--label", "generic", "--id", "02", "--sensitive")
    with pytest.raises(CustodyError, match="holds no AES key"):
        wrap(by_id(mine.url("generic"), "02"))
    preloaded.execute(MAKES_ONE_THAT_WRAPS, mine.library, loads=LOADS)
    with pytest.raises(CustodyError, match="must have CKA_ENCRYPT true"):
        wrap(by_id(mine.url("wrapper"), "03"))


def test_a_token_without_the_mechanism_is_reported(mine):
    mine.configure("slots.mechanisms = CKM_AES_KEY_GEN,CKM_AES_GCM")
    with pytest.raises(CustodyError, match="has no AES-CBC\nhint: take another HSM"):
        wrap(mine.url())
    assert held(mine) == [b"\1"]  # nothing is left of the attempt


# To forget

# In a process of its own. Whoever has the PIN does with the token what he likes.
ASKS = f"""
import base64, json, os, sys, pkcs11
from pkcs11 import Attribute, KeyType, ObjectClass
library, what, given = sys.argv[1], sys.argv[2], [base64.b64decode(each) for each in sys.argv[3:]]
with pkcs11.lib(library).get_token(token_label="audit").open(rw=True, user_pin=os.environ["{HSM_PIN}"]) as session:
    keys = list(session.get_objects({{Attribute.CLASS: ObjectClass.SECRET_KEY}}))
    names = [base64.b64encode(key[Attribute.ID]).decode() for key in keys]
    if what == "decrypt":
        cbc = pkcs11.Mechanism.AES_CBC
        names = [
            base64.b64encode(key.decrypt(each[16:], mechanism=cbc, mechanism_param=each[:16])).decode()
            for each in given for key in keys
        ]
    if what == "make":
        for name in given:
            session.generate_key(KeyType.AES, 256, id=name, label="payments", store=True)
    if what == "keep":
        stays = {{Attribute.DESTROYABLE: False, Attribute.EXTRACTABLE: False}}
        session.generate_key(KeyType.AES, 256, id=given[0], label="payments", store=True, template=stays)
    if what == "rename":
        for key in keys:
            if key[Attribute.ID].startswith(b"tally1"):
                key[Attribute.ID] = given[0]
    if what == "copy":
        for key in keys:
            key.copy({{Attribute.LABEL: "copy"}})
    if what == "leave":
        for key in keys:
            if key[Attribute.ID] not in given:
                key.destroy()
    print(json.dumps(names))
"""


def asked(hsm, what, *given):
    """Do something with the token; return the names of the keys in it, or what they decrypted."""
    coded = (base64.b64encode(each).decode() for each in given)
    found = preloaded.execute(ASKS, hsm.library, what, *coded, loads=LOADS)
    return [base64.b64decode(each) for each in json.loads(found)]


def held(hsm):
    return sorted(asked(hsm, "list"))


def parts(wrapped):
    """Return what the token encrypted, and what is under that."""
    end = 2 + int.from_bytes(wrapped[:2], "big")
    return wrapped[2:end], wrapped[end:]


def name_of(wrapped):
    return parts(wrapped)[0][:62]


@pytest.fixture
def beside():
    """Give custodies that are asked often."""
    made = []

    def at(url):
        made.append(Beside(url))
        return made[-1]

    yield at
    for each in made:
        each.end()


class TestOwnKeys(ForgettingSuite, MovesWithinSuite):
    @pytest.fixture
    def custody(self, hsm, beside):
        self.hsm = hsm
        before = asked(hsm, "list")
        yield beside(hsm.url(more="&backups=none"))
        asked(hsm, "leave", *before)  # copies of all keys that are there would be copied by the next test

    @pytest.fixture
    def earlier(self, hsm, custody):
        return custody, Apart(by_id(hsm.url())).wrap(DataKey.generate(), OWNER)

    def take_over(self, custody, log):
        found = [*log.opens(), *self.decrypted(log)]
        gone = [name_of(each) for each in log.recorded if each not in found]
        asked(self.hsm, "copy")
        if gone:
            asked(self.hsm, "rename", gone[0])
            found += log.opens()
            asked(self.hsm, "make", *gone)
        found += [*log.opens(), *self.decrypted(log)]
        return [each for each in log.recorded if each in found]

    def decrypted(self, log):
        """Return what any key in the token opens."""
        found = []
        decrypted = asked(self.hsm, "decrypt", *(parts(each)[0][-48:] for each in log.recorded))
        keys = len(decrypted) // len(log.recorded)
        assert keys
        for at, wrapped in enumerate(log.recorded):
            inner = parts(wrapped)[1]
            for plain in decrypted[at * keys : (at + 1) * keys]:
                between = DataKey.parse(base64.urlsafe_b64encode(plain).rstrip(b"=").decode())
                try:
                    opened = between.unwrap(inner, OWNER.context)
                except ValueError:
                    continue
                assert text_of(opened) == log.keys[wrapped]
                found.append(wrapped)
        return found


@pytest.fixture
def log(mine, beside):
    return Log(beside(mine.url(more="&backups=none")))


def test_each_state_has_a_key_that_is_named_by_log_and_version(mine, log):
    for version in (2, 3):
        log.open()
        (name,) = (each for each in held(mine) if each != b"\1")
        assert name == name_of(log.state)
        assert name.startswith(b"tally1" + OWNER.root)
        assert name[46:54] == version.to_bytes(8, "big")
    log.wrap(log.state)
    assert len(held(mine)) == 3  # that of the attempt, too
    for _ in range(2):
        log.custody.destroy(log.state, log.owner)
        assert held(mine) == [b"\1"]


def test_keys_of_other_logs_in_the_same_token_stay(mine, log):
    other = Log(log.custody, replace(OWNER, root=OWNER.root[:-1] + b"\0"))
    for _ in range(2):
        log.open()
    assert other.opens() == [other.state]
    log.custody.destroy(log.state, log.owner)
    assert held(mine) == sorted([b"\1", name_of(other.state)])


def test_a_key_is_made_so_that_it_cannot_leave(mine, log):
    said = subprocess.run(
        [shutil.which("pkcs11-tool"), "--module", mine.library, "--token-label", "audit", "--login", "--pin", PASSWORD,
         "--list-objects", "--type", "secrkey", "--id", name_of(log.state).hex()],
        env=os.environ | mine.env, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert "sensitive, always sensitive, never extractable, local" in said
    assert "Usage:      encrypt, decrypt\n" in said


def test_whether_it_forgets_is_said_by_who_knows_the_token(mine, log):
    own, fixed = log.state, wrap(by_id(mine.url()))
    for more, wrapped, yes, why in (
        ("", None, False, "backups of the token may hold keys that were destroyed; .+ say so: backups=none"),
        ("", own, False, "backups of the token"),
        ("&backups=none", None, True, "if the token keeps no backups"),
        ("&backups=none", own, True, "if the token keeps no backups"),
        ("&backups=none", fixed, False, r"one key of the token opens every state .+ new keys \(`tallystick rekey`\)$"),
    ):
        said = custodies.connect(mine.url(more=more)).forgets(wrapped)
        assert said.yes == yes
        assert re.search(why, said.why)
    said = custodies.connect(by_id(mine.url(more="&backups=none"))).forgets()
    assert not said.yes
    assert said.why.endswith("leave id= out")


def test_a_copy_of_the_tokens_directory_revives_what_was_destroyed(mine, beside):
    """What the documentation says of SoftHSM: it only removes a file."""
    custody = mine.url()
    log = Log(Apart(custody))
    log.open()
    before = log.state
    shutil.copytree(mine.directory / "tokens", mine.directory / "backup")
    log.open()
    assert log.opens() == [log.state]
    shutil.rmtree(mine.directory / "tokens")
    (mine.directory / "backup").rename(mine.directory / "tokens")
    assert log.opens() == [before]


def test_a_token_that_makes_no_keys_is_reported_with_the_way_out(mine):
    mine.set_flag(0x2)  # write-protected
    with pytest.raises(CustodyError, match=r"makes no AES key for this user \(.+\)\nhint: .+ name it by id=…, which"):
        wrap(mine.url())
    unwrap(wrap(by_id(mine.url())), mine.url())


def test_a_key_that_cannot_be_destroyed_is_reported(mine, log):
    asked(mine, "keep", b"tally1" + OWNER.root + bytes(24))
    log.open(until="replaced")
    with pytest.raises(CustodyError, match=r"the token of pkcs11:.+ fails \(.+\)\nhint: see that .+ its user may"):
        log.custody.forget(log.state, log.owner)


def test_a_token_that_still_has_what_it_destroyed_is_not_believed(monkeypatch):
    class Pretends(dict):
        """A key that says that it is destroyed, and is found again; it is that of version 0 of the state."""

        def destroy(self):
            pass

    @contextlib.contextmanager
    def session(uri):
        import pkcs11

        key = Pretends({pkcs11.Attribute.ID: b"tally1" + OWNER.root + bytes(24)})
        yield pkcs11, SimpleNamespace(get_objects=lambda sought: [key])

    monkeypatch.setattr(custody_module, "session", session)
    provider = Pkcs11("pkcs11:object=a?module-path=/x.so")
    version_1 = bytes(8) + (1).to_bytes(8, "big") + bytes(8)
    wrapped = b"tally1" + OWNER.root + version_1 + bytes(48)
    for what in (provider.forget, provider.destroy):
        with pytest.raises(CustodyError, match="still holds 1 keys of this log that were destroyed\nhint: look at it"):
            what(wrapped, OWNER)


# The library


def test_a_file_that_is_no_library_is_reported(tmp_path):
    (tmp_path / "text.so").write_text("no library\n")
    for path, told in (
        ("/nowhere/lib.so", "is not there\nhint: install it, or name another by module-path"),
        (f"{tmp_path}/text.so", r"cannot be used as a PKCS #11 library \(.+\)\nhint: name that of the HSM"),
        (shutil.which("true"), r"cannot be used as a PKCS #11 library \(.+\)\nhint: name that of the HSM"),
        (libc(), r"cannot be used as a PKCS #11 library \(undefined symbol: C_GetFunctionList\)"),
    ):
        with pytest.raises(CustodyError, match=told):
            wrap(f"pkcs11:token=audit;object=payments?module-path={path}")


def libc():
    """Return the path of a library that is loaded here already."""
    with open("/proc/self/maps") as maps:
        return next(line.split()[-1] for line in maps if "/libc.so" in line or "/libc-" in line)


def test_a_library_that_others_may_have_put_there_is_not_loaded(hsm, tmp_path):
    """Whoever may write the key store writes the URL; what he puts into /tmp must not run here."""
    planted = tmp_path / "hsm.so"
    shutil.copy(hsm.library, planted)
    url = f"pkcs11:token=audit;object=payments?module-path={planted}"
    unwrap(wrap(url), url)
    for path, mode in ((planted, 0o666), (tmp_path, 0o777), (planted, 0o664)):
        before = path.stat().st_mode
        path.chmod(mode)
        with pytest.raises(CustodyError, match=r"is not loaded, for others than root and this user can change /"):
            wrap(url)
        path.chmod(before)
    (tmp_path / "link.so").symlink_to(planted)
    wrap(url.replace("hsm.so", "link.so"))
    if os.geteuid() == 0:
        os.chown(planted, 65534, -1)
        with pytest.raises(CustodyError, match="is not loaded, for others"):
            wrap(url.replace("hsm.so", "link.so"))


def test_python_pkcs11_is_not_installed(hsm, monkeypatch):
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    with pytest.raises(CustodyError, match=r"needs the package pkcs11\nhint: .+ pip install 'tallystick\[pkcs11\]'"):
        Pkcs11(hsm.url()).encrypt(b"A" * 43, OWNER, None)


# The HSM in the network


@pytest.fixture
def remote(hsm, monkeypatch):
    with own_directory("hsm") as directory, running(RemoteHsm(hsm, directory)) as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        yield server


def test_an_hsm_that_does_not_answer_is_reported_within_the_timeout(remote, tmp_path):
    with pytest.raises(CustodyError, match="has no AES-CBC"):
        wrap(remote.url("&timeout=5"))  # so it is there, and answers; this way to it lacks that
    remote.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        with pytest.raises(CustodyError, match=r"did not answer within 0\.5 seconds\nhint: see that it runs"):
            tallystick.create(
                "payments",
                store=f"file:{tmp_path}/store",
                custody=remote.url("&timeout=0.5"),
                key_file=tmp_path / "key",
            )
        assert time.monotonic() - began < 15
    finally:
        remote.process.send_signal(signal.SIGCONT)


def test_an_hsm_that_is_away_is_reported(remote):
    remote.stop()
    with pytest.raises(CustodyError, match=r"no token in .+ \(there is none\)|fails \(DeviceError\)|DeviceRemoved"):
        wrap(remote.url("&timeout=5"))
    remote.start()
