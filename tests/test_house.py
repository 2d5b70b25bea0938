"""The house rules that a program can check: sizes of functions, classes and modules, and imports of the package itself.

Docstrings are not counted in functions and classes: what a public function must say of its arguments does not make it
long. Modules are counted as they stand.
"""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src"
MOST = {"function": 60, "class": 250, "module": 400}  # lines

# Parts that are longer still, with the lines that they may have. The list only shrinks.
LONGER: dict[str, int] = {}


def paths() -> list[Path]:
    return sorted(path for path in SRC.rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")


def length(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    """Lines of a function or class, without decorators and without docstrings, those inside it included."""
    docs = 0
    for part in ast.walk(node):
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(part):
            text = part.body[0]
            docs += (text.end_lineno or 0) - text.lineno + 1
    return (node.end_lineno or 0) - node.lineno + 1 - docs


def parts(tree: ast.AST, name: str) -> Iterator[tuple[str, str, int]]:
    """Kind, name and length of each function and class, at any depth."""
    for node in ast.iter_child_nodes(tree):
        inner = name
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = f"{name}.{node.name}"
            yield "class" if isinstance(node, ast.ClassDef) else "function", inner, length(node)
        yield from parts(node, inner)


@functools.cache
def measured() -> dict[str, tuple[str, int]]:
    found: dict[str, tuple[str, int]] = {}
    for path in paths():
        text = path.read_text()
        found[name_of(path)] = "module", len(text.splitlines())
        for kind, name, lines in parts(ast.parse(text), name_of(path)):
            if name not in found or found[name][1] < lines:  # overloads and properties have one name
                found[name] = kind, lines
    return found


def test_the_source_was_measured() -> None:
    assert len(paths()) > 100
    assert measured()["tallystick.verify.run"][0] == "module"
    assert measured()["tallystick.verify.judge.view.LogView"][0] == "class"
    assert measured()["tallystick.verify.verify"][0] == "function"


def test_no_part_is_too_long() -> None:
    assert not {
        name: f"{kind} of {lines} lines, at most {MOST[kind]} are allowed"
        for name, (kind, lines) in measured().items()
        if lines > MOST[kind] and name not in LONGER
    }


@pytest.mark.parametrize("name", LONGER)
def test_a_part_that_is_longer_still_does_not_grow_and_leaves_the_list_once_it_is_short(name: str) -> None:
    kind, lines = measured().get(name, ("module", 0))
    assert lines > MOST[kind], "it is short enough, or gone: take it from the list"
    assert lines <= LONGER[name]


@pytest.mark.parametrize("path", paths(), ids=name_of)
def test_nothing_but_the_core_and_modules_is_imported_from_the_package_itself(path: Path) -> None:
    """Such an import would bring all that stands above, and import-linter could not tell it from one of the core."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert "tallystick" not in [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom) and node.module == "tallystick":
            for alias in node.names:
                place = SRC / "tallystick" / alias.name
                assert alias.name == "_core" or place.with_suffix(".py").exists() or place.is_dir()


def test_a_docstring_does_not_make_a_function_long() -> None:
    text = 'def f():\n    """Say.\n\n    More.\n    """\n    return 1\n'
    (found,) = parts(ast.parse(text), "m")
    assert found == ("function", "m.f", 2)


# Files by their paths: what else than securefile may open, rename, link or remove one by a path, and why.

BY_PATH = {
    "agent.handover": "a descriptor",
    "agent.sources": "reads logs of others, which the user names",
    "cli": "the null device, in the place of an output whose reader has gone; descriptor 1",
    "cli.demo": "files in a new directory of its own, which is shown and removed",
    "cli.key": "reads what the user names, also a pipe",
    "cli.reporting": "a descriptor",
    "cli.seal": "reads the terminal, and inputs that the user names, also pipes",
    "cli.send": "reads inputs that the user names, also pipes",
    "custody.in_place": "looks at which file system a directory is on",
    "custody.passphrase": "the terminal",
    "evidence.reading": "a file in memory, which has no name",
    "keystore.postgresql": "the null device",
    "selftest": "files in a new directory of its own, which is removed",
    "sinks.rotation": "a descriptor",
    "volumes": "walks by itself: what is opened there may be root's, in a volume that the kubelet made",
}
NAMING = {
    "open", "rename", "replace", "link", "unlink", "remove", "rmdir", "mkdir", "makedirs", "symlink", "truncate",
    "chmod", "chown", "mkfifo",
}  # fmt: skip


def by_path(tree: ast.Module) -> list[str]:
    """Calls that open for writing, make, rename, link or remove a file by a path, or open one by `os.open`."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called, modes = node.func, [*node.args[1:2], *(word.value for word in node.keywords if word.arg == "mode")]
        if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "os":
            held = any((word.arg or "").endswith("dir_fd") for word in node.keywords)
            found += [ast.unparse(node)] if called.attr in NAMING and not held else []
        elif isinstance(called, ast.Attribute):
            found += [ast.unparse(node)] if called.attr in ("write_bytes", "touch") else []
        elif isinstance(called, ast.Name) and called.id == "open":
            writes = any(isinstance(mode, ast.Constant) and set(str(mode.value)) & set("wax+") for mode in modes)
            found += [ast.unparse(node)] if writes else []
    return found


@pytest.mark.parametrize("path", paths(), ids=name_of)
def test_no_module_but_securefile_handles_files_by_their_paths(path: Path) -> None:
    """Whoever may write to a directory on the path could put another file there between two calls."""
    name = name_of(path).removeprefix("tallystick.")
    if not name.startswith("securefile") and name not in BY_PATH:
        assert by_path(ast.parse(path.read_text())) == []


@pytest.mark.parametrize("name", BY_PATH)
def test_a_module_that_handles_no_file_by_its_path_any_more_leaves_the_list(name: str) -> None:
    (path,) = [path for path in paths() if name_of(path) == f"tallystick.{name}"]
    assert by_path(ast.parse(path.read_text()))


@pytest.mark.parametrize(
    ("text", "count"),
    [("os.unlink(p)", 1), ("os.unlink(n, dir_fd=d)", 0), ("os.rename(a, b, src_dir_fd=d, dst_dir_fd=d)", 0),
     ("open(p, 'ab')", 1), ("open(p, mode='w')", 1), ("open(p)", 0), ("path.write_bytes(b'')", 1),
     ("os.read(0, 1)", 0)],
)  # fmt: skip
def test_files_by_their_paths_are_found(text: str, count: int) -> None:
    assert len(by_path(ast.parse(text))) == count
