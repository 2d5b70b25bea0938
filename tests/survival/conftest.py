"""Faults that are made on purpose: full disks, calls that fail, clocks that jump."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def shims(tmp_path_factory):
    """Compile what is put between a program and the operating system."""
    compiler = shutil.which("cc")
    if compiler is None:
        if os.environ.get("TALLYSTICK_CI"):
            pytest.fail("cc is not installed")
        pytest.skip("cc is not installed")
    directory = tmp_path_factory.mktemp("shims")
    for source in ("faults", "clock"):
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o", directory / f"{source}.so",
             HERE / f"{source}.c", "-ldl", "-lpthread"],
            check=True,
        )  # fmt: skip
    return directory


@pytest.fixture
def preload(shims):
    """Return the environment in which a program meets `faults` or `clock`, as the files say that are given."""

    def environment(shim, **files):
        return {"LD_PRELOAD": str(shims / f"{shim}.so")} | {name: str(path) for name, path in files.items()}

    return environment
