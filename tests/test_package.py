"""The package as it is shipped."""

import doctest
import importlib
import importlib.metadata
import json
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tallystick

ROOT = Path(__file__).resolve().parents[1]
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


def shipped():
    """The files of the wheel, without those that pip made when it was installed."""
    files = importlib.metadata.files("tallystick")
    made = ("__pycache__", "direct_url.json", "RECORD", "INSTALLER", "REQUESTED", "bin/tallystick")
    return [file for file in files if not any(name in str(file) for name in made)]


def test_nothing_in_the_wheel_names_a_path_of_its_builder():
    # In full: panics of the core name its sources, and the list of parts names where they came from.
    path = re.compile(rb"[^\0\n]*(?:/home/|/root/|/Users/|\.cargo/|\.rustup/)[^\0\n]*")
    machine_made = [file for file in shipped() if str(file).endswith((".so", ".json"))]
    assert len(machine_made) >= 2
    assert [(str(file), found[0]) for file in machine_made if (found := path.search(file.read_binary()))] == []


def test_the_wheel_lists_the_crates_that_are_inside():
    lists = [json.loads(file.read_text()) for file in shipped() if "/sboms/" in str(file)]
    parts = {part["name"]: part for each in lists for part in each["components"]}
    assert {"sha2", "ed25519-dalek", "chacha20poly1305", "argon2", "postcard", "pyo3", "rustix"} <= set(parts)
    assert [name for name, part in parts.items() if not part.get("version")] == []


def test_the_list_of_crates_is_the_same_in_each_build_and_names_what_cargo_links(tmp_path):
    for seed in "01":  # of the order in which sets are walked
        command = [sys.executable, ROOT / "scripts/sbom.py", tmp_path / seed]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
    assert (tmp_path / "0").read_bytes() == (tmp_path / "1").read_bytes()
    listed = json.loads((tmp_path / "0").read_text())["components"]
    # One that no feature switches on, one that runs only while others are compiled, and one that only builds.
    assert not {"embedded-io", "serde_derive", "cc"} & {part["name"] for part in listed}


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


def test_all_modules_were_found():
    assert {"tallystick.errors", "tallystick.keystore.file", "tallystick.custody.master_key"} <= set(MODULES)
