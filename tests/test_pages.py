"""Man pages and shell completions come with the wheel, and say what the commands do now."""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARE = ROOT / "contrib" / "wheel" / "data" / "share"


@pytest.fixture(scope="module")
def made():
    """What scripts/pages.py would write now."""
    spec = importlib.util.spec_from_file_location("pages", ROOT / "scripts" / "pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.pages()


def complete(words: str) -> list[str]:
    """Complete a command line in bash with what the wheel ships."""
    script = f"""
        source {SHARE}/bash-completion/completions/tallystick
        COMP_WORDS=({words}) COMP_CWORD=$(( $(wc -w <<< '{words}') - 1 ))
        _tallystick_completion tallystick
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.split()


def test_the_files_are_up_to_date(made):
    there = {str(path.relative_to(SHARE)): path.read_text() for path in SHARE.rglob("*") if path.is_file()}
    assert there == made, "run: make pages"


def test_each_command_has_a_page(made):
    names = {Path(path).stem for path in made if path.startswith("man/")}
    assert {"tallystick", "tallystick-seal", "tallystick-verify", "tallystick-key", "tallystick-key-narrow"} <= names
    assert len(names) >= 23


def test_a_page_shows_options_their_variables_the_exit_status_and_an_example(made):
    page = made["man/man1/tallystick-verify.1"]
    for words in (r"\fB\-\-max\-findings\fP N", r"\fBTALLYSTICK_MAX_FINDINGS\fP", ".SH EXIT STATUS", ".SH EXAMPLE"):
        assert words in page
    assert "\b" not in page


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
def test_the_pages_are_set_without_a_warning():
    for page in SHARE.glob("man/man1/*.1"):
        done = subprocess.run(
            ["man", "--warnings", "-l", page], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True
        )
        assert (done.stderr, page.stem.upper().replace("-", " ").encode()[:10] in done.stdout) == (b"", True)


def test_the_installed_wheel_has_them(made):
    installed = {str(path) for path in importlib.metadata.files("tallystick") or ()}
    for name in made:
        assert any(path.endswith(f"share/{name}") for path in installed), name


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("tallystick sea", ["seal"]),
        ("tallystick key na", ["narrow"]),
        ("tallystick verify --max", ["--max-findings"]),
        ("tallystick acra --input-format c", ["cef"]),
    ],
)
def test_bash_completes_with_what_the_wheel_ships(words, completed):
    assert complete(words) == completed
