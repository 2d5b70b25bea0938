"""What README and docs show is what happens: their commands are run, and their output is compared."""

import os
import pkgutil
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import tallystick
from tests import preloaded

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    "README.md",
    "docs/acra.md",
    "docs/agent.md",
    "docs/anchors.md",
    "docs/archive.md",
    "docs/cat.md",
    "docs/custody.md",
    "docs/evidence.md",
    "docs/guide.md",
    "docs/moving.md",
    "docs/python.md",
    "docs/reports.md",
    "docs/rotation.md",
    "docs/services.md",
    "docs/standards.md",
    "docs/verify.md",
    "docs/watch.md",
    "docs/witness.md",
]
NEEDS = {
    "docs/archive.md": ["archive_of_logs"],
    "docs/cat.md": ["readers"],
    "docs/custody.md": ["hsm", "tpm"],
}  # fixtures whose environment a page runs in
BLOCK = re.compile(r"^```(console|python|py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)  # py: a file, its name first


def pattern(expected: str) -> re.Pattern[str]:
    """Return what matches an expected output, in which `…` stands for anything."""
    return re.compile(".*?".join(map(re.escape, expected.split("…"))), re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_do_what_it_shows(page: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    blocks = BLOCK.findall((ROOT / page).read_text())
    assert len([kind for kind, _ in blocks if kind == "console"]) >= 1
    (tmp_path / "bin").mkdir()
    line = preloaded.put_command(tmp_path / "bin")
    environment = os.environ | {
        "PATH": f"{tmp_path}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TALLYSTICK_STORE": f"{tmp_path}/store",
        "HOME": str(tmp_path),
        "TZ": "UTC",
    }
    for name in NEEDS.get(page, []):
        environment |= request.getfixturevalue(name).env
    # One shell for the page: variables and `$?` go from one command to the next.
    marker = "=== next ==="
    script, expected = ["exec 2>&1"], []
    for kind, text in blocks:
        if kind == "py":
            (tmp_path / text.split()[1]).write_text(text)
            continue
        if kind == "python":
            script.append(f"python - <<'EOF'\n{text}EOF\necho '{marker}'")
            expected.append(("python", ""))
            continue
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            script.append(f"{command}\nstatus=$?; echo '{marker}'; (exit $status)")
            expected.append((command, output))
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)], cwd=tmp_path, env=environment, pass_fds=[line], capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    outputs = done.stdout.split(f"{marker}\n")
    assert len(outputs) == len(expected) + 1, done.stdout
    for (command, wanted), got in zip(expected, outputs, strict=False):
        assert pattern(wanted).fullmatch(got), f"{page}: {command}\n--- expected\n{wanted}\n--- got\n{got}"


def test_links_between_pages_lead_somewhere() -> None:
    count = 0
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if not target.startswith(("http:", "https:", "mailto:")):
                count += 1
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
    assert count > 10


def test_a_page_of_the_site_links_to_nothing_outside_of_it() -> None:
    pages = [page for page in (ROOT / "docs").glob("*.md") if page.name != "architecture.md"]  # which is no part of it
    links = [(page.name, each) for page in pages for each in re.findall(r"\]\(([^)]+)\)", page.read_text())]
    assert len(links) > 100
    assert [(name, target) for name, target in links if target.startswith("../")] == []


def test_a_name_in_the_walks_is_that_of_the_file_that_it_links_to_or_is_defined_there() -> None:
    links = re.findall(r"\[`(?:tallystick\.)?(\w+)`\]\(([^)#]+)\)", (ROOT / "docs" / "architecture.md").read_text())
    assert len(links) > 15
    for name, target in links:
        file = ROOT / "docs" / target
        defined = file.is_file() and re.search(rf"\b(?:class|def|struct|enum) {name}\b", file.read_text())
        assert name == file.stem or defined, f"{name} is not in {target}"


def test_the_picture_of_a_chain_is_what_its_script_draws() -> None:
    pictures = ROOT / "docs" / "pictures"
    drawn = runpy.run_path(str(pictures / "chain.py"))["picture"]()
    assert (pictures / "chain.svg").read_text() == drawn


def test_each_public_name_is_in_the_reference() -> None:
    described = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    assert len(described) >= 12
    objects = [pkgutil.resolve_name(name) for name in described]
    inside = [getattr(each, name) for each in objects for name in getattr(each, "__all__", ())]
    known = {id(each) for each in (*objects, *inside)}
    assert [name for name in tallystick.__all__ if id(getattr(tallystick, name)) not in known] == []
