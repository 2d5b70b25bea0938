"""Custody by a TPM 2.0, which is one in software that speaks the same protocol."""

import contextlib
import glob
import itertools
import os
import signal
import sys
import time
from dataclasses import replace
from functools import partial

import pytest

import tallystick
from tallystick import courier, keystore
from tallystick import custody as custodies
from tallystick._core import DataKey
from tallystick.custody.chip import FIRST, PLACES, Bond, Chip, Mark
from tallystick.custody.host_lock import PLACE
from tallystick.custody.tpm2 import Tpm2
from tallystick.errors import CustodyError, KeyStoreError
from tests.custody.apart import Apart, losing
from tests.custody.forgetting import ForgettingSuite, Log, MovesWithinSuite
from tests.custody.keys import text_of
from tests.custody.suite import OWNER, OutsideSuite, survives_a_crash
from tests.hardware import Tpm, own_directory, running

NUMBERS = itertools.count()
SECRET = b"a secret of forty-three letters, all public"


@pytest.fixture(autouse=True)
def chip(tpm, monkeypatch):
    """The chip of this machine, with nothing left in it before a test and after it."""
    for name, value in tpm.env.items():
        monkeypatch.setenv(name, value)
    counters(tpm, scrap=True)  # logs of other modules' tests have left theirs
    assert counters(tpm) == []
    locks = set(glob.glob(f"{PLACE}/tallystick-tpm2-*.lock"))
    yield tpm
    for each in set(glob.glob(f"{PLACE}/tallystick-tpm2-*.lock")) - locks:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(each)
    assert tpm.call(left) == {"transient": 0, "session": 0, "persistent": 0}
    assert counters(tpm) == counters(tpm, scrap=True)  # only those of logs that live
    assert counters(tpm) == []


def counters(chip, scrap=False):
    """Return where the counters of logs are; with `scrap` as if these logs had ended."""
    with told(chip) as chip:
        if not scrap:
            return chip.indices()
        found = sorted(chip.marks())
        for index in found:
            chip.remove(index)
        return found


@contextlib.contextmanager
def owned(tpm):
    """Give a chip as custody itself uses it, and all that its owner can do with it: the library and its connection."""
    import tpm2_pytss as tss

    with tss.ESAPI(tpm.tcti()) as esapi, Chip.ready(tss, esapi) as chip:
        yield chip, tss, esapi


@contextlib.contextmanager
def told(tpm):
    """Give a chip, as custody itself uses it."""
    with owned(tpm) as (chip, *_):
        yield chip


def outer(wrapped):
    """Return what the chip sealed of what custody wrapped, in parts."""
    found, data = [], wrapped[2 : 2 + int.from_bytes(wrapped[:2], "big")]
    while data:
        end = 2 + int.from_bytes(data[:2], "big")
        found.append(data[2:end])
        data = data[end:]
    return found


def joined(parts, inner=None):
    data = b"".join(len(each).to_bytes(2, "big") + each for each in parts)
    return data if inner is None else len(data).to_bytes(2, "big") + data + inner


def numbers(wrapped):
    """Return what a state names: the place of its counter, since when, its version, and the count."""
    named = outer(wrapped)[5]
    return int.from_bytes(named[:4], "big"), *(int.from_bytes(named[at : at + 8], "big") for at in (4, 12, 20))


def of_before(tpm, secret, pcrs=""):
    """Seal as was done before chips counted: to nothing, or to PCRs alone."""
    with told(tpm) as chip:
        values = chip.values(pcrs)
        return joined([chip.name, pcrs.encode(), b"".join(values), *chip.seal(secret, Bond(pcrs, values))])


@pytest.fixture(scope="module")
def other(tpm):
    """The chip of another machine."""
    with own_directory("tpm") as directory, running(Tpm(directory)) as server:
        yield server


def left(tss, esapi):
    """Return how many things of each kind are in a chip."""
    kinds, found = {"transient": 0x80000000, "session": 0x02000000, "persistent": 0x81000000}, {}
    for kind, first in kinds.items():
        _, answer = esapi.get_capability(tss.TPM2_CAP.HANDLES, first, 100)
        found[kind] = len(answer.data.handles)
    return found


def extend(tss, esapi, number):
    """Measure something into a PCR, as a machine that starts does."""
    digests = tss.TPML_DIGEST_VALUES([tss.TPMT_HA(hashAlg=tss.TPM2_ALG.SHA256, digest=tss.TPMU_HA(sha256=b"x" * 32))])
    esapi.pcr_extend(getattr(tss.ESYS_TR, f"PCR{number}"), digests)


def clear(tss, esapi):
    """Have the chip forget all that was sealed to it, as firmware does on demand."""
    esapi.clear(tss.ESYS_TR.LOCKOUT)


def wrap(url="tpm2:"):
    return Apart(url).wrap(DataKey.generate(), OWNER)


def unwrap(wrapped, url="tpm2:"):
    return Apart(url).unwrap(wrapped, OWNER)


class Elsewhere:
    """The same custody, asked where another chip is."""

    def __init__(self, custody, chip):
        self.custody, self.chip = custody, chip

    def unwrap(self, wrapped, context):
        with pytest.MonkeyPatch.context() as there:
            there.setenv("TPM2TOOLS_TCTI", self.chip.tcti())
            return self.custody.unwrap(wrapped, context)


class TestTpm2(OutsideSuite):
    @pytest.fixture(params=["tpm2:", "tpm2:?pcrs=sha256:7+11"])
    def custody(self, request):
        return Apart(request.param)

    @pytest.fixture
    def stranger(self, custody, other):
        return Elsewhere(custody, other)


def test_init_seal_crash_seal_verify(tpm2_custody, tmp_path):
    survives_a_crash(tmp_path, *tpm2_custody)


@pytest.mark.parametrize(
    "url",
    ["tpm2:/dev/tpm0", "tpm2:?pcrs=24", "tpm2:?pcrs=md5:1", "tpm2:?pcrs=7,", "tpm2:?tcti=cmd:id", "tpm2:?timeout=0"],
)
def test_a_malformed_url_is_reported_at_once(url):
    with pytest.raises(CustodyError, match=r"tpm2:|names no PCRs\nhint: write pcrs=sha256:7"):
        custodies.connect(url)


def test_pcrs_are_the_same_in_whatever_order_they_are_written():
    assert {Tpm2(f"tpm2:?pcrs={each}").pcrs for each in ("11+7", "7,11", "sha256:7+11+7")} == {"sha256:7,11"}


# The state of the machine


def test_pcrs_that_changed_are_named_with_the_remedy_and_open_again_after_a_start_as_before(chip):
    wrapped = wrap("tpm2:?pcrs=sha256:7+11")
    without = wrap("tpm2:")
    key = text_of(unwrap(wrapped, "tpm2:?pcrs=7+11"))
    chip.call(extend, 11)
    told = (
        r"does not open .+: PCR sha256:11 has changed since .+\nhint: start the machine as it was .+ --to-custody tpm2:"
    )
    with pytest.raises(CustodyError, match=told):
        unwrap(wrapped, "tpm2:?pcrs=sha256:7+11")
    chip.call(extend, 7)
    with pytest.raises(CustodyError, match=r"PCRs sha256:7\+11 have changed since"):
        unwrap(wrapped, "tpm2:?pcrs=sha256:7+11")
    unwrap(without)
    chip.restart()
    assert text_of(unwrap(wrapped, "tpm2:?pcrs=sha256:7+11")) == key


@pytest.mark.parametrize("counted", [True, False])
def test_what_is_noted_of_the_pcrs_gives_no_way_around_the_chip(chip, counted):
    """The values stand beside the key in the clear; the chip itself holds to what it was told."""
    provider = Tpm2("tpm2:?pcrs=11")
    sealed = provider.encrypt(SECRET, OWNER, None) if counted else of_before(chip, SECRET, "sha256:11")
    now = chip.call(values, "sha256:11")
    chip.call(extend, 11)
    changed = sealed.replace(now[0], chip.call(values, "sha256:11")[0])
    assert changed != sealed
    with pytest.raises(CustodyError, match="does not open the state" if counted else "policy"):
        provider.decrypt(changed, OWNER)
    with told(chip) as there:  # and without the custody
        counter = there.counter(*place(sealed)) if counted else None
        bond = Bond("sha256:11", there.values("sha256:11"), counter, count_of(sealed) if counted else 0)
        public, private = outer(framed(sealed))[-2:]
        with there.loaded(public, private) as (loaded, _), pytest.raises(RuntimeError, match="policy"):
            there.unseal(loaded, bond)
    chip.restart()
    assert provider.decrypt(sealed, OWNER) == SECRET


def framed(sealed):
    return len(sealed).to_bytes(2, "big") + sealed


def place(sealed, owner=OWNER):
    """Return where a counter is and how it is marked, by what a provider returned."""
    index, since, *_ = numbers(framed(sealed))
    return index, Mark.of(owner.root, since)


def count_of(sealed):
    return numbers(framed(sealed))[3]


def values(tss, esapi, pcrs):
    return [bytes(each) for each in esapi.pcr_read(pcrs)[2]]


def test_a_url_with_fewer_pcrs_does_not_open_so_that_nobody_takes_them_away_in_the_store():
    wrapped = wrap("tpm2:?pcrs=7+11")
    for url in ("tpm2:", "tpm2:?pcrs=7", "tpm2:?pcrs=sha384:7+11"):
        with pytest.raises(CustodyError, match=r"names other PCRs than sha256:7\+11, to which"):
            unwrap(wrapped, url)
    with pytest.raises(CustodyError, match=r"names other PCRs than none, to which"):
        unwrap(wrap(), "tpm2:?pcrs=7")


def test_pcrs_that_the_chip_does_not_keep_are_reported(other, monkeypatch):
    other.call(keep_no_sha512)
    other.restart()
    monkeypatch.setenv("TPM2TOOLS_TCTI", other.tcti())
    unwrap(wrap("tpm2:?pcrs=7"), "tpm2:?pcrs=7")
    before = counters(other)
    with pytest.raises(CustodyError, match=r"has no PCR sha512:7\nhint: .+ tpm2_pcrread lists them"):
        wrap("tpm2:?pcrs=sha512:7")
    assert counters(other) == before


def keep_no_sha512(tss, esapi):
    none = tss.TPMS_PCR_SELECTION(hash=tss.TPM2_ALG.SHA512, sizeofSelect=3)
    esapi.pcr_allocate(tss.TPML_PCR_SELECTION([none]))


# The chip


def test_another_chip_and_one_that_was_cleared_are_reported(other, monkeypatch):
    wrapped = wrap()
    monkeypatch.setenv("TPM2TOOLS_TCTI", other.tcti())
    with pytest.raises(CustodyError, match=r"another machine, or this one was cleared since\nhint: go back there"):
        unwrap(wrapped)
    wrapped = wrap()
    unwrap(wrapped)
    other.call(clear)
    with pytest.raises(CustodyError, match="was cleared since"):
        unwrap(wrapped)


def test_an_owner_with_a_password_is_reported(chip):
    wrapped = wrap()
    chip.call(lambda tss, esapi: esapi.hierarchy_change_auth(tss.ESYS_TR.OWNER, "owner"))
    try:
        for ask in (wrap, lambda: unwrap(wrapped)):
            with pytest.raises(CustodyError, match="its owner hierarchy has a password\nhint: take that away"):
                ask()
    finally:
        chip.call(_owner_without_password)
    unwrap(wrapped)


def _owner_without_password(tss, esapi):
    esapi.tr_set_auth(tss.ESYS_TR.OWNER, "owner")
    esapi.hierarchy_change_auth(tss.ESYS_TR.OWNER, "")


def test_wrong_passwords_of_others_do_not_lock_it(chip):
    """A chip in lockout refuses what is under its protection against guessing; ours has nothing to guess."""
    wrapped = wrap("tpm2:?pcrs=7")
    chip.call(lock_out)
    try:
        unwrap(wrapped, "tpm2:?pcrs=7")
        unwrap(wrap())
    finally:
        chip.call(lambda tss, esapi: esapi.dictionary_attack_lock_reset())


def lock_out(tss, esapi):
    esapi.dictionary_attack_parameters(1, 1000, 1000)
    flags = tss.TPMA_OBJECT
    guarded = tss.TPMT_PUBLIC.parse(
        "keyedhash", objectAttributes=flags.USERWITHAUTH | flags.FIXEDTPM | flags.FIXEDPARENT
    )
    secret = tss.TPMS_SENSITIVE_CREATE(userAuth="right", data=SECRET)
    made, *_ = esapi.create_primary(tss.TPM2B_SENSITIVE_CREATE(secret), tss.TPM2B_PUBLIC(publicArea=guarded))
    try:
        esapi.tr_set_auth(made, "wrong")
        for told in ("HMAC check failed", "lockout"):
            with pytest.raises(tss.TSS2_Exception, match=told):
                esapi.unseal(made)
    finally:
        esapi.flush_context(made)


def test_a_chip_that_is_away_is_reported(chip, monkeypatch, tmp_path):
    wrapped = wrap()
    chip.stop()
    try:
        for ask in (wrap, lambda: unwrap(wrapped)):
            with pytest.raises(
                CustodyError, match=r"there is no TPM at swtpm:host=.+ \(.+\)\nhint: look for /dev/tpmrm0"
            ):
                ask()
        with pytest.raises(CustodyError, match="there is no TPM"):
            tallystick.create("payments", store=f"file:{tmp_path}/s", custody="tpm2:", key_file=tmp_path / "k")
    finally:
        chip.start()
    assert not list(tmp_path.iterdir())
    unwrap(wrapped)
    for tcti in ("device:/nowhere/tpmrm0", "none-such:x", "device:/dev/null"):
        monkeypatch.setenv("TPM2TOOLS_TCTI", tcti)
        with pytest.raises(CustodyError, match=r"no TPM at|the TPM at"):
            wrap()


def created(directory, custody="tpm2:"):
    """Set a log up; return what opens it."""
    store = f"file:{directory}/store"
    tallystick.create("payments", store=store, custody=custody, key_file=directory / "payments.key")
    return partial(tallystick.open, "payments", output=directory / "audit.log", store=store)


def test_a_chip_that_does_not_answer_is_reported_within_the_timeout(chip, tmp_path):
    opened = created(tmp_path)
    chip.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        with pytest.raises(
            CustodyError, match=r"tpm2:\?timeout=0\.5 did not answer within 0\.5 seconds\nhint: see that"
        ):
            opened(custody="tpm2:?timeout=0.5")
        assert time.monotonic() - began < 15
    finally:
        chip.process.send_signal(signal.SIGCONT)
    opened().close()
    with keystore.connect(f"file:{tmp_path}/store").lease("payments") as lease:
        courier.end(lease, None)


@pytest.mark.parametrize("garbage", [b"\x80\x01\x00\x00\x00\x0a\x00\x00\x00\x00", b"\xff" * 4000, b"x"])
def test_garbage_from_the_chip_is_reported(chip, monkeypatch, tmp_path, garbage):
    """An answer of ten bytes says that all went well, and nothing else. What was made meanwhile nobody can flush."""
    with chip.wire() as wire:
        wire.garbage = garbage
        monkeypatch.setenv("TPM2TOOLS_TCTI", chip.tcti(wire.port))
        with pytest.raises(CustodyError, match=r"no TPM at|the TPM at .+ refuses|did not answer within 1 seconds"):
            created(tmp_path, "tpm2:?timeout=1")
    assert not list(tmp_path.glob("store/*"))
    chip.restart()


# The secret


def test_whoever_listens_between_us_and_the_chip_does_not_hear_the_secret(chip, monkeypatch):
    with chip.wire() as wire:
        monkeypatch.setenv("TPM2TOOLS_TCTI", chip.tcti(wire.port))
        for url in ("tpm2:", "tpm2:?pcrs=7"):
            provider = Tpm2(url)
            sealed = provider.encrypt(SECRET, OWNER, None)
            assert provider.decrypt(sealed, OWNER) == SECRET
            told = b"".join(wire.heard)
            assert sealed[-50:] in told  # what is no secret goes over the wire as it is
            assert SECRET not in told


def test_it_is_not_installed(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "tpm2_pytss", None)
        with pytest.raises(
            CustodyError, match=r"needs the package tpm2_pytss\nhint: .+ pip install 'tallystick\[tpm2\]'"
        ):
            Tpm2("tpm2:").encrypt(SECRET, OWNER, None)


# To forget


class TestCounted(ForgettingSuite, MovesWithinSuite):
    @pytest.fixture
    def custody(self):
        return custodies.connect("tpm2:?pcrs=sha256:7+11")

    @pytest.fixture
    def earlier(self, chip, custody):
        between = DataKey.generate()
        sealed = of_before(chip, text_of(between), Tpm2(custody.url).pcrs)
        return custody, framed(sealed) + between.wrap(DataKey.generate(), OWNER.context)

    def test_it_says_that_it_forgets(self, custody, log):
        """This one does not, since it is that of a virtual machine; see below."""
        assert custody.forgets().yes
        assert "if the TPM is a chip" in custody.forgets().why
        assert not custody.forgets(log.state).yes
        assert custody.forgets(by_maker(log.state, b"IFX SLB9670")).yes

    @pytest.fixture(autouse=True)
    def _administered(self, chip):
        self.chip = chip

    def take_over(self, custody, log):
        """Whoever is root and owner of the chip: asks, counts on, and removes counters and makes them anew."""
        found = [self.tried(custody, log)]
        for makes in (self.counts_on, self.makes_anew, self.counts_on, self.makes_anew, self.makes_another_kind):
            makes(log)
            found.append(self.tried(custody, log))
        return [each for each in log.recorded if any(each in which for which in found)]

    def tried(self, custody, log):
        """Return what opens, by the custody and without it, as any user or by the policy, at any count there is."""
        opened = set(log.opens())
        with owned(self.chip) as (chip, _, esapi):
            pcrs = Tpm2(custody.url).pcrs
            for wrapped in log.recorded:
                index, _, _, count = numbers(wrapped)
                if index not in chip.indices():
                    continue
                counter = esapi.tr_from_tpmpublic(index)
                bonds = [Bond(pcrs, chip.values(pcrs), counter, count), Bond("", ()), Bond(pcrs, chip.values(pcrs))]
                with chip.loaded(*outer(wrapped)[-2:]) as (loaded, _):
                    for bond in bonds:
                        with contextlib.suppress(RuntimeError):
                            assert chip.unseal(loaded, bond)
                            opened.add(wrapped)
        return opened

    def counts_on(self, log):
        """Only forwards is possible; the state of the log is lost by that."""
        with owned(self.chip) as (chip, tss, esapi):
            for index in chip.marks():
                counter = esapi.tr_from_tpmpublic(index)
                with pytest.raises(RuntimeError):
                    esapi.nv_write(counter, bytes(8), 0, tss.ESYS_TR.OWNER)
                chip.increment(counter)

    def makes_anew(self, log):
        with owned(self.chip) as (chip, _, esapi):
            # Once each: what was sealed ahead opens at the first count after the last one.
            for index, since in {numbers(wrapped)[:2] for wrapped in log.recorded}:
                if index in chip.indices():
                    esapi.nv_undefine_space(esapi.tr_from_tpmpublic(index))
                chip.increment(chip.define(index, Mark.of(log.owner.root, since)))

    def makes_another_kind(self, log):
        """An index that holds what is written into it has another Name."""
        with owned(self.chip) as (chip, tss, esapi):
            for wrapped in log.recorded:
                index, since, _, count = numbers(wrapped)
                if index not in chip.indices():
                    assert chip.define(index, Mark.of(log.owner.root, since))
                public, _ = esapi.nv_read_public(esapi.tr_from_tpmpublic(index))
                public.nvPublic.attributes &= ~(tss.TPMA_NV.TPM2_NT_MASK | tss.TPMA_NV.WRITTEN)
                esapi.nv_undefine_space(esapi.tr_from_tpmpublic(index))
                made = esapi.nv_define_space(None, public)
                esapi.nv_write(made, count.to_bytes(8, "big"), 0, tss.ESYS_TR.OWNER)
            assert not any(opens_here(chip, esapi, wrapped) for wrapped in log.recorded)
            for index in {numbers(wrapped)[0] for wrapped in log.recorded}:
                esapi.nv_undefine_space(esapi.tr_from_tpmpublic(index))


def opens_here(chip, esapi, wrapped):
    """Tell whether the chip opens something as it stands, whoever asks."""
    index, _, _, count = numbers(wrapped)
    with chip.loaded(*outer(wrapped)[-2:]) as (loaded, _), contextlib.suppress(RuntimeError):
        return bool(chip.unseal(loaded, Bond("", (), esapi.tr_from_tpmpublic(index), count)))
    return False


def by_maker(wrapped, maker):
    """What was wrapped, as if a chip by somebody else had sealed it."""
    parts = outer(wrapped)
    return joined([*parts[:4], maker, *parts[5:]], wrapped[2 + len(joined(parts)) :])


@pytest.fixture
def log():
    return Log(custodies.connect("tpm2:"))


@pytest.mark.parametrize(
    ("maker", "shown"),
    [
        ("IBM SW TPM", "IBM SW"), ("VMW VMware TPM", "VMW"), ("AMZN NitroTPM", "AMZN"), ("GOOG vTPM", "GOOG"),
        ("MSFT xCG fTPM", "MSFT"), ("VMW\x1b[2J", "VMW"),
    ],
)  # fmt: skip
def test_the_chip_of_a_virtual_machine_does_not_forget(log, maker, shown):
    assert outer(log.state)[4] == b"IBM SW TPM"
    said = log.custody.forgets(by_maker(log.state, maker.encode()))
    assert not said.yes
    assert f"is that of a virtual machine ({shown}), and goes back with its snapshots" in said.why


def test_a_snapshot_of_a_virtual_machine_revives_what_was_forgotten(chip, log):
    """What the documentation says: its state is a file of whoever runs the host."""
    log.open()
    before, state = log.state, (chip.directory / "tpm2-00.permall").read_bytes()
    log.open()
    assert log.opens() == [log.state]
    chip.stop()
    (chip.directory / "tpm2-00.permall").write_bytes(state)
    chip.start()
    assert before in log.opens()


def test_a_log_has_one_counter_at_a_place_that_its_key_names_or_the_next_free_one(chip, log):
    at = FIRST + int.from_bytes(OWNER.root[:4], "big") % PLACES
    for _ in range(3):
        log.open()
        assert counters(chip) == [at]
    Log(log.custody, replace(OWNER, root=OWNER.root[:4] + bytes(28)))
    assert counters(chip) == [at, at + 1]
    last = Log(log.custody, replace(OWNER, root=b"\xff" * 32))
    Log(log.custody, replace(OWNER, root=b"\xff" * 31 + b"\0"))
    assert counters(chip) == [FIRST, at, at + 1, FIRST + PLACES - 1]
    log.open()
    for each in (log, last):
        each.custody.destroy(each.state, each.owner)
    assert counters(chip) == [FIRST, at + 1]


def test_a_place_that_is_taken_meanwhile_is_left_alone(chip, log, monkeypatch):
    at = counters(chip)[0]
    found = Chip.indices
    with monkeypatch.context() as patch:
        patch.setattr(Chip, "indices", lambda self: [each for each in found(self) if each != at])
        wrapped = log.custody.wrap(DataKey.generate(), replace(OWNER, root=OWNER.root[:4] + bytes(28)))
    assert numbers(wrapped)[0] == at + 1
    assert counters(chip) == [at, at + 1]
    log.open()
    assert log.opens() == [log.state]


def test_a_changed_byte_opens_nothing_and_does_not_let_the_chip_count(chip, log):
    """Whoever may write the key store could name a count ahead, and end the log by that."""

    def changed(part, at):
        parts, inner = outer(log.state), log.state[2 + len(joined(outer(log.state))) :]
        data = bytearray(parts[part])
        data[at] ^= 1
        return joined([*parts[:part], bytes(data), *parts[part + 1 :]], inner)

    def refused(part, at):
        with pytest.raises(CustodyError, match="does not open the state of this log"):
            log.custody.unwrap(changed(part, at), log.owner)

    log.open(until="replaced")
    before = count(chip, log.state)
    parts = outer(log.state)
    # Of numbers: place, since when, count. What they are sealed with comes last.
    places = [(part, at) for part in (0, 1, 6, 7) for at in (0, len(parts[part]) - 1)]
    for part, at in [*places, (5, 3), (5, 11), (5, 27), (5, 20)]:
        refused(part, at)
        assert count(chip, log.state) == before
    log.open()
    parts, inner = outer(log.state), log.state[2 + len(joined(outer(log.state))) :]
    ahead = parts[5][:-8] + (before + 3).to_bytes(8, "big")
    with pytest.raises(CustodyError, match="does not open the state of this log"):
        log.custody.unwrap(joined([*parts[:5], ahead, *parts[6:]], inner), log.owner)
    assert count(chip, log.state) == before + 2
    for part, at in ((4, 0), (5, 19)):  # maker and version are authenticated by what is sealed
        refused(part, at)
    assert log.opens() == [log.state]


def count(chip, wrapped):
    with told(chip) as there:
        return there.count(there.counter(*place(wrapped[2:][: len(joined(outer(wrapped)))])))


def test_after_a_crash_it_counts_first_but_not_for_one_without_lease(chip, log):
    log.open(until="replaced")
    before = count(chip, log.state)
    for what in (log.custody.unwrap, log.custody.forget):
        with pytest.raises(KeyStoreError, match="passed to another writer"):
            what(log.state, losing(log.owner))
    assert count(chip, log.state) == before
    with owned(chip) as (there, _, esapi):
        assert [opens_here(there, esapi, each) for each in log.recorded] == [True, False]
    log.custody.unwrap(log.state, log.owner)
    with owned(chip) as (there, _, esapi):
        assert [opens_here(there, esapi, each) for each in log.recorded] == [False, True]
    assert count(chip, log.state) == before + 1
    log.custody.unwrap(log.state, losing(log.owner))


def test_a_state_that_was_passed_is_reported(chip, log):
    older, before = log.state, log.owner
    log.open()
    passed = r"its counter, NV index 0x18[0-9a-f]+, stands at \d+, and the state is for \d+\nhint: a later state"
    for ask in (
        lambda: log.custody.unwrap(older, before),
        lambda: log.custody.forget(older, before),
        lambda: log.custody.wrap(DataKey.generate(), before, older),
    ):
        with pytest.raises(CustodyError, match=passed):
            ask()
    with told(chip) as there:  # somebody in the group counts
        there.increment(there.counter(*place(log.state[2:][: len(joined(outer(log.state)))])))
    for ask in (log.open, lambda: log.custody.forget(log.state, log.owner)):
        with pytest.raises(CustodyError, match=passed):
            ask()


def test_an_owner_who_removes_the_counter_ends_the_log(chip, log):
    log.open()
    counters(chip, scrap=True)
    for ask in (log.open, lambda: log.custody.forget(log.state, log.owner)):
        with pytest.raises(CustodyError, match=r"its counter, NV index 0x.+, is not there\nhint: .+ begin a new log"):
            ask()
    log.custody.destroy(log.state, log.owner)


def test_a_chip_without_room_is_reported_with_where_to_look_and_nothing_stays(chip):
    chip.call(fill)
    before = counters(chip)
    try:
        with pytest.raises(
            CustodyError, match=r"no room for a counter of this log\nhint: tpm2_getcap handles-nv-index lists"
        ):
            wrap()
        assert counters(chip) == before
    finally:
        chip.call(empty)
    unwrap(wrap())


def fill(tss, esapi):
    """Leave no room: chips keep some for counters alone."""
    flags = tss.TPMA_NV
    for kind, size in ((0, 2048), (0, 1), (tss.TPM2_NT.COUNTER << flags.TPM2_NT_SHIFT, 8)):
        with contextlib.suppress(tss.TSS2_Exception):
            while True:
                public = tss.TPMS_NV_PUBLIC(
                    nvIndex=FIRST + 0x1000 + next(NUMBERS),
                    nameAlg=tss.TPM2_ALG.SHA256,
                    attributes=kind | flags.OWNERREAD | flags.OWNERWRITE,
                    dataSize=size,
                )
                esapi.nv_define_space(None, tss.TPM2B_NV_PUBLIC(nvPublic=public))


def empty(tss, esapi):
    more = True
    while more:
        more, found = esapi.get_capability(tss.TPM2_CAP.HANDLES, FIRST, 100)
        for index in found.data.handles:
            esapi.nv_undefine_space(esapi.tr_from_tpmpublic(index))


@pytest.mark.parametrize("step", ["increment", "count", "seal"])
def test_a_set_up_that_fails_leaves_no_counter(chip, monkeypatch, step):
    def fails(*_):
        raise OSError("away")

    monkeypatch.setattr(Chip, step, fails)
    with pytest.raises((CustodyError, OSError)):
        custodies.connect("tpm2:").wrap(DataKey.generate(), OWNER)
    monkeypatch.undo()
    monkeypatch.setenv("TPM2TOOLS_TCTI", chip.tcti())
    assert counters(chip) == []


def test_a_chip_that_does_not_count_is_not_believed(chip, log, monkeypatch):
    log.open(until="replaced")
    with monkeypatch.context() as patch:
        patch.setattr(Chip, "increment", lambda *_: None)
        with pytest.raises(CustodyError, match="stands at"):
            log.custody.forget(log.state, log.owner)
    log.custody.forget(log.state, log.owner)


def test_a_counter_that_was_removed_and_is_still_there_is_reported(chip, log, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Chip, "remove", lambda *_: None)
        with pytest.raises(CustodyError, match=r"still holds a counter of this log .+\nhint: .+ tpm2_nvundefine 0x"):
            log.custody.destroy(log.state, log.owner)


def test_while_another_writer_has_the_counter_it_waits_and_then_reports(chip, log):
    import fcntl

    log.open(until="replaced")
    path = f"{PLACE}/tallystick-tpm2-{counters(chip)[0]:08x}.lock"
    hasty = custodies.connect("tpm2:?timeout=0.5")
    with open(path) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for what in (hasty.forget, hasty.unwrap, hasty.destroy):
            with pytest.raises(
                CustodyError, match=rf"another process held {path} for 0.25 seconds\nhint: fuser .+ says which"
            ):
                what(log.state, log.owner)
    log.open()
    assert log.opens() == [log.state]
