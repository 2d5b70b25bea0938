"""The house rules that Rust code can be held to: short functions and modules, no circles, `unsafe` in few places."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "rust"
LONGEST_FUNCTION, LONGEST_MODULE = 60, 400  # lines
MAY_BE_UNSAFE = ("core/src/hash/lanes", "core/src/secret", "python/src/descriptor.rs")

# Comments, strings and characters: braces and words in them count for nothing.
_BLANKED = re.compile(
    r"""//[^\n]*|/\*.*?\*/|b?r(\#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?'(?:\\[^\n']{1,8}'|\\''|[^\\'\n]')""", re.DOTALL
)
_FUNCTION = re.compile(r"^[ \t]*(?:pub(?:\([a-z]+\))? )?(?:const |async |unsafe |extern \S+ )*fn (\w+)", re.MULTILINE)
_TESTS = re.compile(r"#\[cfg\((?:test|all\(test[^\n]*)\)\]\s+mod \w+ (?=\{)")
_USE = re.compile(r"^[ \t]*(?:pub(?:\([a-z]+\))? )?use ([^;]+);", re.MULTILINE)
_PATH = re.compile(r"\b((?:crate|super|self)(?:::\w+)+)")
_INNER = re.compile(r"\bmod (\w+) (?=\{)")


def sources() -> dict[str, str]:
    """Give the code of each module without comments, strings and tests, by its path below rust/."""
    files = [path for crate in ("core", "python") for path in (ROOT / crate / "src").rglob("*.rs")]
    paths = {path.relative_to(ROOT).as_posix(): path for path in files}
    return {
        name: code(path.read_text())
        for name, path in sorted(paths.items())
        if "tests" not in Path(name).with_suffix("").parts
    }


def code(text: str) -> str:
    """Blank what is no code, shorten visibilities, which use nothing, and cut off the tests, which stand at the end."""
    blank = _BLANKED.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    blank = re.sub(r"\bpub\(in [\w:]+\)", "pub", blank)
    tests = _TESTS.search(blank)
    return blank[: tests.start()] if tests else blank


def functions(text: str) -> Iterator[tuple[str, int]]:
    """Give the name of each function that has a body, and how many lines it takes."""
    for found in _FUNCTION.finditer(text):
        depth, at = 0, found.end()
        while at < len(text) and (depth or text[at] not in "{;"):
            depth += (text[at] in "([") - (text[at] in ")]")
            at += 1
        if at < len(text) and text[at] == "{":
            yield found[1], text.count("\n", found.start(), closing(text, at)) + 1


def closing(text: str, at: int) -> int:
    """Return where the brace that opens at a place is closed."""
    depth = 0
    for place in range(at, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if not depth:
            return place
    raise AssertionError("a brace is not closed")


def spread(use: str) -> Iterator[str]:
    """Give the paths that a `use` names, out of its braces."""
    use = re.sub(r"\s+", " ", use).strip()
    brace = use.find("{")
    if brace < 0:
        yield use.split(" as ")[0].strip()
        return
    part = ""
    for one in use[brace + 1 : closing(use, brace)] + ",":
        if one == "," and part.count("{") == part.count("}"):
            if part.strip():
                yield from spread(use[:brace] + part.strip())
            part = ""
        else:
            part += one


def modules(crate: str, texts: dict[str, str]) -> dict[tuple[str, ...], str]:
    """Give the files of a crate by the path of their module."""
    found = {}
    for name in texts:
        if name.startswith(f"{crate}/src/"):
            parts = Path(name).relative_to(f"{crate}/src").with_suffix("").parts
            found[() if parts == ("lib",) else parts] = name
    return found


def imports(crate: str, texts: dict[str, str]) -> dict[str, set[str]]:
    """Give which files of a crate each file uses: the deepest module that a path leads into."""
    known = modules(crate, texts)
    edges: dict[str, set[str]] = {}
    for module, name in known.items():
        edges[name] = set()
        for path, inner in paths(texts[name]):
            target = absolute(path.split("::"), module + inner, known)
            while target and target not in known:
                target = target[:-1]
            if target and target != module:
                edges[name].add(known[target])
    return edges


def paths(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Give each path that a file uses, and the names of the modules within the file that it stands in."""
    inner = [(found[1], found.end(), closing(text, found.end())) for found in _INNER.finditer(text)]
    for found in [*_USE.finditer(text), *_PATH.finditer(text)]:
        around = tuple(name for name, start, end in inner if start < found.start() < end)
        for path in spread(found[1]):
            yield path, around


def absolute(parts: list[str], module: tuple[str, ...], known: dict[tuple[str, ...], str]) -> tuple[str, ...]:
    """Return a path from the root of its crate on; an empty one if it leads out of it."""
    base = module
    if parts[0] == "crate":
        return tuple(parts[1:])
    if (*module, parts[0]) not in known and parts[0] not in ("self", "super"):
        return ()
    while parts and parts[0] in ("self", "super"):
        base = base[:-1] if parts[0] == "super" else base
        parts = parts[1:]
    return (*base, *parts)


def circle(edges: dict[str, set[str]]) -> list[str]:
    """Return a way through files that leads back to where it began; empty if there is none."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        for other in sorted(edges[name] - done):
            if found := walk(other, [*way, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(edges) if (found := walk(name, []))), [])


def test_functions_are_short() -> None:
    counted = [(lines, name, function) for name, text in sources().items() for function, lines in functions(text)]
    assert len(counted) > 600
    assert [one for one in counted if one[0] > LONGEST_FUNCTION] == []


def test_modules_are_short() -> None:
    counted = {name: text.rstrip().count("\n") + 1 for name, text in sources().items()}
    assert len(counted) > 60
    assert {name: lines for name, lines in counted.items() if lines > LONGEST_MODULE} == {}


@pytest.mark.parametrize("crate", ["core", "python"])
def test_imports_form_no_circle(crate: str) -> None:
    edges = imports(crate, sources())
    assert sum(map(len, edges.values())) > 15
    assert circle(edges) == []


def test_unsafe_code_stands_in_few_places() -> None:
    allowed = re.compile(r"\bunsafe\b|allow\(unsafe_code\)")
    found = {name for name, text in sources().items() if allowed.search(text)}
    assert any(name.startswith(MAY_BE_UNSAFE[0]) for name in found)
    assert {name for name in found if not name.startswith(MAY_BE_UNSAFE)} == set()


def test_what_is_checked_can_fail() -> None:
    text = code('fn a() {\n    let b = "}"; // {\n}\nfn c(d: [u8; 2]);\n#[cfg(test)]\nmod tests {\n fn e() {}\n}\n')
    assert list(functions(text)) == [("a", 3)]
    assert list(spread("crate::{a, b::{c, d as e}}")) == ["crate::a", "crate::b::c", "crate::b::d"]
    texts = {"x/src/lib.rs": "mod a;", "x/src/a.rs": "use crate::b::{C, D};", "x/src/b.rs": "use super::a::E;"}
    assert circle(imports("x", texts)) == ["x/src/a.rs", "x/src/b.rs", "x/src/a.rs"]
