"""Make the page for auditors, dist/tallystick-auditor.html: `python packaging/auditor/build.py`.

CPython as WebAssembly (Pyodide, from npm) runs this project's own code and its own core in the reader's browser, so
the page finds what the command finds. All of it is inside one file. The same input makes the same bytes.
"""

import base64
import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from tallystick.reports import render
from tallystick.reports.html import part
from tallystick.verify import Report, Verdict

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGE = ROOT / "dist" / "tallystick-auditor.html"

PYODIDE = "314.0.7"
INTEGRITY = "0YvXxEhfEdpLfb/XkM2BFAeMROq0iMUX2bzzH9pOttyMcWkwq+HbE5uyuGD82LN7y2q+SNvi/6V5JEsOlD2R1A=="
"""SHA-512 of npm's archive of it."""

TARGET = "wasm32-unknown-emscripten"
LIBRARIES = ("click", "jinja2", "markupsafe")  # all that a verification and a report in HTML take
_ASIDE = ("pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
_FIRST = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can name

_POLICY = (
    "default-src 'none'; script-src '{script}' 'wasm-unsafe-eval'; worker-src blob:; style-src '{style}' '{report}';"
    " img-src data:; connect-src 'none'; form-action 'none'; base-uri 'none'"
)
"""Nothing can be asked for or sent; no script runs but the page's own, and the worker that it makes."""


def pyodide() -> dict[str, bytes]:
    """Return the files of Pyodide, fetched once.

    Raises:
        SystemExit: What npm gives is not what this page was made with.
    """
    place = ROOT / "target" / "auditor"
    place.mkdir(parents=True, exist_ok=True)
    archive = place / f"pyodide-{PYODIDE}.tgz"
    if not archive.exists():
        subprocess.run(["npm", "pack", "--silent", f"pyodide@{PYODIDE}"], cwd=place, check=True, stdout=sys.stderr)
    data = archive.read_bytes()
    if base64.b64encode(hashlib.sha512(data).digest()).decode() != INTEGRITY:
        sys.exit(f"{archive} is not Pyodide {PYODIDE} as it was published: remove it, and find out who changed it")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = {one.name.removeprefix("package/"): tar.extractfile(one) for one in tar if one.isfile()}
        return {name: file.read() for name, file in members.items() if file is not None}


def core() -> bytes:
    """Build the core as an extension module for Pyodide; no path of this machine is in it."""
    cargo = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    # Before crates are there, nothing is found below whose paths are to be replaced.
    subprocess.run(["cargo", "fetch", "--locked", "--quiet"], cwd=ROOT, check=True)
    flags = [f"--remap-path-prefix={ROOT}=/tallystick"]
    flags += [f"--remap-path-prefix={one}=/crates" for one in sorted(cargo.glob("registry/src/*"))]
    flags += ["-Ctarget-feature=+simd128"]
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    more = {
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags),
        "CARGO_TARGET_WASM32_UNKNOWN_EMSCRIPTEN_LINKER": str(HERE / "link"),
        "PYO3_CROSS_PYTHON_VERSION": "3.14",
        "PYO3_NO_PYTHON": "1",
        "CARGO_TARGET_DIR": str(target),
    }
    subprocess.run(["rustup", "target", "add", TARGET], check=True, stdout=sys.stderr, stderr=subprocess.DEVNULL)
    command = ["cargo", "build", "--release", "--locked", "--quiet", "--package", "tallystick-python"]
    subprocess.run([*command, "--target", TARGET], cwd=ROOT, env=os.environ | more, check=True)
    made = (target / TARGET / "release" / "tallystick_core_python.wasm").read_bytes()
    for place in (ROOT, cargo):
        if os.fsencode(place) + b"/" in made:
            sys.exit(f"the core names {place}, a path of this machine")
    return made


def modules(core: bytes) -> bytes:
    """Return a zip of the project's code with its core, of the libraries that it takes, and of the page's own part."""
    files = {name: (HERE / name).read_bytes() for name in ("lacking.py", "judging.py")}
    files["tallystick/_core.abi3.so"] = core
    for path in (ROOT / "src" / "tallystick").rglob("*"):
        if path.is_file() and path.suffix not in (".so", ".pyc", ".pyi"):
            files[str(path.relative_to(ROOT / "src"))] = path.read_bytes()
    for name in LIBRARIES:
        for each in metadata.files(name) or ():
            if each.suffix == ".py" or "licenses" in each.parts:
                files[str(each)] = Path(str(each.locate())).read_bytes()
    version = metadata.version("tallystick")
    files[f"tallystick-{version}.dist-info/METADATA"] = f"Name: tallystick\nVersion: {version}\n".encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as out:  # it is compressed as a whole
        for name, data in sorted(files.items()):
            out.writestr(zipfile.ZipInfo(name, _FIRST), data)
    return made.getvalue()


def worker(files: dict[str, bytes]) -> bytes:
    """Return the script of the worker: Pyodide's two, made one that loads nothing, and ours."""
    python = files["pyodide.asm.mjs"].decode()
    end = "export default _createPyodideModule;"
    assert python.count(end) == 1
    python = python.replace(end, "self.createPyodideModule = _createPyodideModule;").replace("import.meta.url", "''")
    assert "import.meta" not in python
    loader = re.sub(r"//# sourceMappingURL=.*", "", files["pyodide.js"].decode())
    ours = (HERE / "worker.js").read_text("utf-8")
    return "\n".join([loader, f"(() => {{{python}}})();", ours]).encode()


def page(parts: dict[str, bytes]) -> str:
    """Return the page with its parts in it."""
    script = _filled("page.js")
    style = "\n" + part("report.css") + (HERE / "page.css").read_text("utf-8")
    empty = render(Report(Verdict.OK, (), (), (), (), lines=0, unsealed=0, size=0, time=0, seconds=0.0), "html")
    (shown,) = re.findall(r"(?s)<style>(.*?)</style>", empty)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string((HERE / "page.html.j2").read_text("utf-8")).render(
        version=metadata.version("tallystick"),
        policy=_POLICY.format(script=_named(script), style=_named(style), report=_named(shown)),
        style=Markup(style),
        script=Markup(script),
        parts=[(name, hashlib.sha256(data).hexdigest()) for name, data in parts.items()],
        data=[(name, Markup(_packed(data))) for name, data in parts.items()],
        notices=(HERE / "NOTICES").read_text("utf-8"),
    )


def _filled(name: str) -> str:
    text = "\n" + (HERE / name).read_text("utf-8")
    assert "</" not in text
    return text


def _named(text: str) -> str:
    """Return the name by which a policy allows a script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _packed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


def main() -> None:
    """Make the page, and say what it is."""
    files = pyodide()
    parts = {"worker.js": worker(files), "tallystick.zip": modules(core())}
    parts |= {name: files[name] for name in _ASIDE}
    PAGE.parent.mkdir(exist_ok=True)
    made = PAGE.with_suffix(".new")
    made.write_text(page(parts), "utf-8", newline="\n")
    shutil.move(made, PAGE)
    print(f"{hashlib.sha256(PAGE.read_bytes()).hexdigest()}  {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
