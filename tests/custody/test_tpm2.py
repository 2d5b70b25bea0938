"""Custody by a TPM 2.0, which is one in software that speaks the same protocol."""

import signal
import sys
import time

import pytest

import tallystick
from tallystick import custody as custodies
from tallystick._core import DataKey
from tallystick.custody.tpm2 import Tpm2
from tallystick.errors import CustodyError
from tests.custody.apart import Apart
from tests.custody.keys import text_of
from tests.custody.suite import OWNER, OutsideSuite, survives_a_crash
from tests.hardware import Tpm, own_directory, running

SECRET = b"a secret of forty-three letters, all public"


@pytest.fixture(autouse=True)
def chip(tpm, monkeypatch):
    """The chip of this machine, with nothing left in it after a test."""
    for name, value in tpm.env.items():
        monkeypatch.setenv(name, value)
    yield tpm
    assert tpm.call(left) == {"transient": 0, "session": 0, "persistent": 0}


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
def test_a_malformed_url_is_told_at_once(url):
    with pytest.raises(CustodyError, match=r"tpm2:|names no PCRs; write pcrs=sha256:7"):
        custodies.connect(url)


def test_pcrs_are_the_same_in_whatever_order_they_are_written():
    assert {Tpm2(f"tpm2:?pcrs={each}").pcrs for each in ("11+7", "7,11", "sha256:7+11+7")} == {"sha256:7,11"}


# The state of the machine


def test_pcrs_that_changed_are_named_with_the_remedy_and_open_again_after_a_start_as_before(chip):
    wrapped = wrap("tpm2:?pcrs=sha256:7+11")
    without = wrap("tpm2:")
    key = text_of(unwrap(wrapped, "tpm2:?pcrs=7+11"))
    chip.call(extend, 11)
    told = r"does not open .+: PCR sha256:11 has changed since .+; start the machine as it was .+ --to-custody tpm2:"
    with pytest.raises(CustodyError, match=told):
        unwrap(wrapped, "tpm2:?pcrs=sha256:7+11")
    chip.call(extend, 7)
    with pytest.raises(CustodyError, match=r"PCRs sha256:7\+11 have changed since"):
        unwrap(wrapped, "tpm2:?pcrs=sha256:7+11")
    unwrap(without)
    chip.restart()
    assert text_of(unwrap(wrapped, "tpm2:?pcrs=sha256:7+11")) == key


def test_what_is_noted_of_the_pcrs_gives_no_way_around_the_chip(chip):
    """The values stand beside the key in the clear; the chip itself holds to what it was told."""
    provider = Tpm2("tpm2:?pcrs=11")
    sealed = provider.encrypt(SECRET)
    now = chip.call(values, "sha256:11")
    chip.call(extend, 11)
    changed = sealed.replace(now[0], chip.call(values, "sha256:11")[0])
    assert changed != sealed
    with pytest.raises(CustodyError, match="policy"):
        provider.decrypt(changed)
    chip.restart()
    assert provider.decrypt(sealed) == SECRET


def values(tss, esapi, pcrs):
    return [bytes(each) for each in esapi.pcr_read(pcrs)[2]]


def test_a_url_with_fewer_pcrs_does_not_open_so_that_nobody_takes_them_away_in_the_store():
    wrapped = wrap("tpm2:?pcrs=7+11")
    for url in ("tpm2:", "tpm2:?pcrs=7", "tpm2:?pcrs=sha384:7+11"):
        with pytest.raises(CustodyError, match=r"sealed to the PCRs sha256:7\+11, and tpm2:.* names others"):
            unwrap(wrapped, url)
    with pytest.raises(CustodyError, match=r"sealed to the PCRs none"):
        unwrap(wrap(), "tpm2:?pcrs=7")


def test_pcrs_that_the_chip_does_not_keep_are_told(other, monkeypatch):
    other.call(keep_no_sha512)
    other.restart()
    monkeypatch.setenv("TPM2TOOLS_TCTI", other.tcti())
    unwrap(wrap("tpm2:?pcrs=7"), "tpm2:?pcrs=7")
    with pytest.raises(CustodyError, match=r"has no PCR sha512:7; .+ tpm2_pcrread lists them"):
        wrap("tpm2:?pcrs=sha512:7")


def keep_no_sha512(tss, esapi):
    none = tss.TPMS_PCR_SELECTION(hash=tss.TPM2_ALG.SHA512, sizeofSelect=3)
    esapi.pcr_allocate(tss.TPML_PCR_SELECTION([none]))


# The chip


def test_another_chip_and_one_that_was_cleared_are_told(other, monkeypatch):
    wrapped = wrap()
    monkeypatch.setenv("TPM2TOOLS_TCTI", other.tcti())
    with pytest.raises(CustodyError, match=r"another machine, or this one was cleared since; go back there"):
        unwrap(wrapped)
    wrapped = wrap()
    unwrap(wrapped)
    other.call(clear)
    with pytest.raises(CustodyError, match="was cleared since"):
        unwrap(wrapped)


def test_an_owner_with_a_password_is_told(chip):
    wrapped = wrap()
    chip.call(lambda tss, esapi: esapi.hierarchy_change_auth(tss.ESYS_TR.OWNER, "owner"))
    try:
        for ask in (wrap, lambda: unwrap(wrapped)):
            with pytest.raises(CustodyError, match="its owner hierarchy has a password; take that away"):
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


def test_a_chip_that_is_away_is_told(chip, monkeypatch, tmp_path):
    wrapped = wrap()
    chip.stop()
    try:
        for ask in (wrap, lambda: unwrap(wrapped)):
            with pytest.raises(CustodyError, match=r"there is no TPM at swtpm:host=.+ \(.+\); look for /dev/tpmrm0"):
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


def test_a_chip_that_does_not_answer_is_told_within_the_timeout(chip):
    wrapped = wrap()
    chip.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        with pytest.raises(CustodyError, match=r"tpm2:\?timeout=0\.5 did not answer within 0\.5 seconds; see that"):
            unwrap(wrapped, "tpm2:?timeout=0.5")
        assert time.monotonic() - began < 5
    finally:
        chip.process.send_signal(signal.SIGCONT)
    unwrap(wrapped)


@pytest.mark.parametrize("garbage", [b"\x80\x01\x00\x00\x00\x0a\x00\x00\x00\x00", b"\xff" * 4000, b"x"])
def test_garbage_from_the_chip_is_told(chip, monkeypatch, garbage):
    """An answer of ten bytes says that all went well, and nothing else. What was made meanwhile nobody can flush."""
    with chip.wire() as wire:
        wire.garbage = garbage
        monkeypatch.setenv("TPM2TOOLS_TCTI", chip.tcti(wire.port))
        with pytest.raises(CustodyError, match=r"no TPM at|the TPM at .+ refuses|did not answer within 1 seconds"):
            wrap("tpm2:?timeout=1")
    chip.restart()


# The secret


def test_whoever_listens_between_us_and_the_chip_does_not_hear_the_secret(chip, monkeypatch):
    with chip.wire() as wire:
        monkeypatch.setenv("TPM2TOOLS_TCTI", chip.tcti(wire.port))
        for url in ("tpm2:", "tpm2:?pcrs=7"):
            provider = Tpm2(url)
            sealed = provider.encrypt(SECRET)
            assert provider.decrypt(sealed) == SECRET
            told = b"".join(wire.heard)
            assert sealed[-50:] in told  # what is no secret goes over the wire as it is
            assert SECRET not in told


def test_it_is_not_installed(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "tpm2_pytss", None)
        with pytest.raises(CustodyError, match=r"needs the package tpm2_pytss; .+ pip install 'tallystick\[tpm2\]'"):
            Tpm2("tpm2:").encrypt(SECRET)
