"""Errors say what happened, where, and, apart from that, what to do."""

import pickle
import traceback

import pytest

from tallystick import errors
from tallystick.errors import CustodyError, FormatError, TallystickError, explain

KINDS = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]


def test_every_error_is_caught_by_the_root():
    assert len(KINDS) >= 8
    assert all(issubclass(kind, TallystickError) for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_of_an_error_is_what_happened_and_the_hint_stands_apart(kind):
    error = kind("it is gone", hint="restore it")
    assert (str(error), error.hint) == ("it is gone", "restore it")
    assert explain(error) == "it is gone; restore it"


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_without_a_hint_is_explained_by_its_text(kind):
    error = kind("it is gone")
    assert error.hint is None
    assert explain(error) == "it is gone"


def test_a_traceback_shows_the_hint():
    shown = traceback.format_exception(CustodyError("it is gone", hint="restore it"))
    assert "".join(shown).endswith("CustodyError: it is gone\nhint: restore it\n")


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_keeps_its_hint_between_processes(kind):
    copy = pickle.loads(pickle.dumps(kind("it is gone", hint="restore it")))
    assert explain(copy) == "it is gone; restore it"
    assert copy.__notes__ == ["hint: restore it"]


def test_an_error_of_the_system_is_explained_by_its_text():
    assert explain(OSError(2, "No such file", "x")) == "[Errno 2] No such file: 'x'"


def test_a_format_error_leads_with_its_place():
    assert str(FormatError("no key", path="v.key", line=2)) == "v.key:2: no key"


def test_a_format_error_without_a_place_is_its_message():
    assert str(FormatError("no key")) == "no key"


def test_a_format_error_keeps_its_hint_when_its_place_becomes_known():
    found = FormatError("no key", hint="restore it").found_in("v.key", 2)
    assert explain(found) == "v.key:2: no key; restore it"


def test_a_format_error_keeps_its_place_between_processes():
    copy = pickle.loads(pickle.dumps(FormatError("no key", path="v.key", line=2)))
    assert (copy.path, copy.line, str(copy)) == ("v.key", 2, "v.key:2: no key")
