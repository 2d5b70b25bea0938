"""Errors tell what happened and where."""

import pickle

from tallystick.errors import FormatError, KeyStoreError, TallystickError


def test_every_error_is_caught_by_the_root():
    assert all(issubclass(kind, TallystickError) for kind in (FormatError, KeyStoreError))


def test_a_format_error_leads_with_its_place():
    assert str(FormatError("no key; restore it", path="v.key", line=2)) == "v.key:2: no key; restore it"


def test_a_format_error_without_a_place_is_its_message():
    assert str(FormatError("no key; restore it")) == "no key; restore it"


def test_a_format_error_keeps_its_place_between_processes():
    copy = pickle.loads(pickle.dumps(FormatError("no key", path="v.key", line=2)))
    assert (copy.path, copy.line, str(copy)) == ("v.key", 2, "v.key:2: no key")
