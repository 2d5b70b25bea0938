"""The package as it is shipped."""

import doctest
import importlib
import importlib.metadata
import os
import pkgutil
import sys

import pytest

import tallystick

MODULES = [
    module.name
    for module in pkgutil.walk_packages(tallystick.__path__, "tallystick.")
    if not module.name.endswith("__main__")
]


def test_the_installed_wheel_is_what_is_tested():
    assert os.path.realpath(tallystick.__file__).startswith(os.path.realpath(sys.prefix) + os.sep)


def test_it_needs_fewer_than_eight_packages():
    needed = [needs for needs in importlib.metadata.requires("tallystick") if "extra ==" not in needs]
    assert 0 < len(needed) < 8


def test_each_provider_and_each_store_on_a_server_can_be_asked_for_by_its_name():
    extras = set(importlib.metadata.metadata("tallystick").get_all("Provides-Extra"))
    assert {"openbao", "postgresql", "redis", "vault-transit", "aws-kms"} <= extras


def test_the_wheel_carries_its_types():
    there = os.listdir(os.path.dirname(tallystick.__file__))
    assert {"py.typed", "_core.pyi"} <= set(there)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


def test_all_modules_were_found():
    assert {"tallystick.errors", "tallystick.keystore.file", "tallystick.custody.master_key"} <= set(MODULES)
