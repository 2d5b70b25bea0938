"""Tests keep out of private parts: names that begin with an underscore are their owner's."""

import ast
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
SRC = TESTS.parent / "src"
NAMED = re.compile(r"(?:tallystick|tests)(?:\.\w+)*\._[A-Za-z]\w*")  # in full, as `mock.patch` takes it


def is_private(name: str) -> bool:
    return name.startswith("_") and name.strip("_") != "" and not name.endswith("__")


def is_module(name: str) -> bool:
    place = SRC.joinpath(*name.split("."))
    return bool(list(place.parent.glob(f"{place.name}.*"))) or place.is_dir()


def reached(tree: ast.AST) -> Iterator[str]:
    """Private names of others that a module of tests touches, with their lines.

    A module of this package may be imported whatever its name: it is no part of the package's interface, but has one.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                continue
            case ast.Attribute(value=ast.Name(id="os"), attr="_exit"):  # its name notwithstanding, it is documented
                continue
            case ast.Attribute(attr=name) if is_private(name):
                yield f"line {node.lineno}: {ast.unparse(node)}"
            case ast.ImportFrom(module=str(origin)) if origin.split(".")[0] in ("tallystick", "tests"):
                for name in (alias.name for alias in node.names):
                    if is_private(name) and not is_module(f"{origin}.{name}"):
                        yield f"line {node.lineno}: {name} of {origin}"
            case ast.Constant(value=str(text)):
                if NAMED.fullmatch(text) and not is_module(text):
                    yield f"line {node.lineno}: {text}"
                if "import" in text:  # a program for another process, perhaps
                    with suppress(SyntaxError):
                        yield from (f"{each} in the text of line {node.lineno}" for each in reached(ast.parse(text)))
            case (
                ast.Call(func=ast.Attribute(attr="setattr" | "delattr" | "object"))
                | ast.Call(func=ast.Name(id="getattr" | "setattr" | "delattr"))
            ):
                for given in node.args[1:2]:
                    if isinstance(given, ast.Constant) and isinstance(given.value, str) and is_private(given.value):
                        yield f"line {node.lineno}: {given.value}"


def test_no_test_reaches_into_private_parts() -> None:
    modules = [path for path in TESTS.rglob("*.py") if path != Path(__file__)]  # the texts below do
    assert len(modules) > 200
    found = {str(path.relative_to(TESTS)): list(reached(ast.parse(path.read_text()))) for path in modules}
    assert not {path: each for path, each in found.items() if each}


@pytest.mark.parametrize(
    "text",
    [
        "handler._log.write()", "from tallystick.custody import _place", "mock.patch('tallystick.verify.run._ask')",
        "monkeypatch.setattr(custody, '_place', place)", "mock.patch.object(Log, '_seal')", "getattr(log, '_phase')",
        "from tallystick._services import _started", "from tests.places import _made",
        "run('from tallystick import log\\nlog._made()')",
    ],
)  # fmt: skip
def test_a_private_part_that_is_touched_is_found(text: str) -> None:
    assert len(list(reached(ast.parse(text)))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "self._taken = 1", "os._exit(0)", "from tallystick import _core", "from tallystick._services import Line",
        "log.__class__", "_, there = pair", "field['_id']", "import_module('tallystick._openbao')",
    ],
)  # fmt: skip
def test_a_public_name_and_one_of_its_own_are_not_found(text: str) -> None:
    assert not list(reached(ast.parse(text)))
