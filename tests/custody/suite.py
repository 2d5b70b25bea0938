"""What every custody promises. A backend subclasses CustodySuite and gives it `custody` and `stranger`."""

from dataclasses import replace

import pytest

from tallystick import custody as custody_module
from tallystick._core import DataKey
from tallystick.custody import Owner
from tallystick.errors import CustodyError
from tests.custody.keys import text_of
from tests.places import Site
from tests.sealed import entries
from tests.servers import until

OWNER = Owner(root=bytes(range(32)), context=b"tallystick/v1 state payments", version=1)


def survives_a_crash(directory, custody, env):
    """By the command: set a log up, seal, kill the writer, seal again, verify."""
    site = Site(directory)
    site.env |= env
    site.custody = custody
    site.init()
    process = site.start("seal", "payments", "-o", "audit.log")
    process.stdin.write(b"one\ntwo\n")
    until((directory / "audit.log").exists, "the file")
    until(lambda: entries(site.read()) == [b"one", b"two"], "the lines")
    process.kill()
    process.communicate()
    site.seal(b"three\n")
    assert entries(site.read()) == [b"one", b"two", b"three"]
    assert site.verdict() == ("ok", ["unclean end"])


class CustodySuite:
    @pytest.fixture
    def custody(self):
        raise NotImplementedError("a backend's test class gives a custody")

    @pytest.fixture
    def stranger(self):
        raise NotImplementedError("a backend's test class gives the custody by another key")

    def places(self, wrapped):
        """Where to change and to cut what was wrapped; a custody that takes its time takes fewer."""
        return range(len(wrapped))

    @pytest.fixture
    def key(self):
        return DataKey.generate()

    def test_what_was_wrapped_is_unwrapped(self, custody, key):
        assert text_of(custody.unwrap(custody.wrap(key, OWNER), OWNER)) == text_of(key)

    def test_an_empty_context_will_do(self, custody, key):
        owner = replace(OWNER, context=b"")
        assert text_of(custody.unwrap(custody.wrap(key, owner), owner)) == text_of(key)

    def test_the_url_leads_to_the_same_custody(self, custody, key):
        again = custody_module.connect(custody.url)
        assert again.url == custody.url
        assert text_of(again.unwrap(custody.wrap(key, OWNER), OWNER)) == text_of(key)

    def test_each_wrapping_differs(self, custody, key):
        assert custody.wrap(key, OWNER) != custody.wrap(key, OWNER)

    def test_another_context_does_not_open(self, custody, key):
        with pytest.raises(CustodyError, match="does not open the state of this log"):
            custody.unwrap(custody.wrap(key, OWNER), replace(OWNER, context=OWNER.context + b"2"))

    def test_a_changed_byte_anywhere_does_not_open(self, custody, key):
        wrapped = custody.wrap(key, OWNER)
        for at in self.places(wrapped):
            changed = bytearray(wrapped)
            changed[at] ^= 1
            with pytest.raises(CustodyError, match="does not open the state of this log"):
                custody.unwrap(bytes(changed), OWNER)

    def test_what_is_cut_off_anywhere_does_not_open(self, custody, key):
        wrapped = custody.wrap(key, OWNER)
        for length in self.places(wrapped):
            with pytest.raises(CustodyError, match="does not open the state of this log"):
                custody.unwrap(wrapped[:length], OWNER)

    def test_another_key_does_not_open(self, custody, stranger, key):
        with pytest.raises(CustodyError, match="does not open the state of this log"):
            stranger.unwrap(custody.wrap(key, OWNER), OWNER)


class OutsideSuite(CustodySuite):
    """For a custody by a provider outside."""

    def places(self, wrapped):
        outer = int.from_bytes(wrapped[:2], "big")
        return sorted({0, 1, 2, 2 + outer // 2, 1 + outer, 2 + outer, len(wrapped) - 1})
