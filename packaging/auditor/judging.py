"""What the auditor's page has Python do: tell keys from logs, verify, and give the report in two forms.

It runs in the page's worker, in a directory that holds all files that were given, and anywhere else as well. The words
are those of the command: its options are read by the command's own parser, so that a hint of a report can be followed.
"""

import errno
import json
import os
import shlex
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import click
from click.core import ParameterSource

from tallystick import _core
from tallystick.cli.judging import check_witness_options
from tallystick.cli.verify import command
from tallystick.errors import ReportError, TallystickError
from tallystick.objects import is_url
from tallystick.reports import render
from tallystick.reports.meanings import headline, verdict
from tallystick.securefile import opened
from tallystick.verify.digest import Taken
from tallystick.verify.inputs import Chunk
from tallystick.verify.request import Request
from tallystick.verify.run import carry_out
from tallystick.verify.strangers import ours_in

__all__ = ["help_along", "judged"]

_KINDS = {
    "a verification key": "keys",
    "a public file": "public",
    "a head": "head",
    "pins": "pins",
    "signed heads or receipts": "receipts",
}
"""What a file is by what it holds, and which argument of `verify` it is for."""

_NAMING = ("keys", "public", "head", "receipts", "exceptions")  # options that name a file
_ELSEWHERE = {
    "store": "drop the head here, as `tallystick head NAME` prints it",
    "pins_directory": "drop a file with pins here",
    "jobs": "the page has as many workers as are of use",
    "form": "the page offers the forms that it has",
    "output": "save the report below it",
    **dict.fromkeys(("resume", "rescan", "partial", "engine"), "use the command for it"),
}
"""Options that a page has no use for, and what to do instead."""


def judged(
    paths: Sequence[str],
    options: str,
    pasted: str | None,
    progress: Callable[[int, int], None],
    others: Any = None,
    sums: Any = None,
) -> str:
    """Verify what was given.

    Args:
        paths: Files, relative to the working directory.
        options: Further options of `tallystick verify`, as one writes them on the command line.
        pasted: File with a key that was pasted; None for none.
        progress: Called with the bytes read so far and those there are.
        others: Other workers of the page, as `worker.js` has them; None where this one is alone.
        sums: SHA-256 of files, taken by the browser, as `worker.js` has them; None where it cannot wait for them.

    Returns:
        JSON: `verdict`, `said` (the verdict as a sentence), and the report as `html` and as `json`; or, where it cannot
        be carried out, `trouble` and `hint`.
    """
    try:
        beside = None if others is None else lambda *_: _Beside(others)
        asked = _asked(paths, options, pasted)
        taken = _nothing if sums is None else _Sums(sums).of
        report = carry_out(Request.of(**asked, digests=True, taken=taken, jobs=1, progress=progress, beside=beside))
    except click.ClickException as error:
        return json.dumps({"trouble": error.format_message(), "hint": "see `tallystick verify --help`"})
    except TallystickError as error:
        return json.dumps({"trouble": str(error), "hint": error.hint})
    said = {"verdict": report.verdict.value, "said": f"{verdict(report)}: {headline(report)}"}
    return json.dumps(said | {form: render(report, form) for form in ("html", "json")})


def help_along(paths: Sequence[str], options: str, pasted: str | None, work: Any) -> None:
    """Scan chunks for the worker that verifies; this ends with the page's worker.

    All is prepared as it is there, up to where lines would be scanned: so the keys know the same.

    Args:
        paths: As `judged` takes it.
        options: As `judged` takes it.
        pasted: As `judged` takes it.
        work: Where chunks come from and what is found goes, as `worker.js` has it.
    """

    def serve(keys: _core.Keys, envelope: _core.Envelope | None) -> Any:
        while True:
            data, place = run_sync(work.next())
            file, number, offset, cut = place
            data = data.to_bytes()
            chunk = Chunk(file, number, offset, data, len(data), cut, None, 0)
            work.give(to_js(chunk.given_to(_core.scan, keys, _core.Mode.all(), envelope).to_bytes()))

    from pyodide.ffi import run_sync, to_js

    carry_out(Request.of(**_asked(paths, options, pasted), jobs=1, beside=serve))


class _Sums:
    """The SHA-256 of files, which the browser takes by the processor's own instructions."""

    def __init__(self, sums: Any) -> None:
        self._sums = sums

    def of(self, path: str, _: int) -> Taken | None:
        """Return what waits for that of a file, if the browser takes it."""
        from pyodide.ffi import JsException, run_sync

        promise = self._sums.of(path)
        if promise is None:
            return None

        def wait() -> str:
            try:
                return str(run_sync(promise))
            except JsException as error:
                raise OSError(errno.EIO, os.strerror(errno.EIO), path) from error

        return wait


def _nothing(_path: str, _size: int) -> None:
    """Nobody else takes sums."""


class _Beside:
    """Other workers of the page: they scan what this one reads, and it scans what they have no time for."""

    def __init__(self, others: Any) -> None:
        self._others = others

    def scanned(
        self, chunks: Iterable[Chunk], here: Callable[[Chunk], _core.Summary]
    ) -> Iterator[tuple[Chunk, _core.Summary]]:
        from pyodide.ffi import run_sync

        waiting: deque[tuple[Chunk, Any]] = deque()
        for chunk in chunks:
            run_sync(self._others.hear())
            given = self._given(chunk)
            waiting.append((chunk, here(chunk) if given is None else given))
            while waiting and (isinstance(waiting[0][1], _core.Summary) or waiting[0][1].done):
                yield self._found(*waiting.popleft())
        while waiting:
            yield self._found(*waiting.popleft())

    def _given(self, chunk: Chunk) -> Any:
        """Give a chunk to another worker, if one has time for it; what is found will be in what this returns."""
        from pyodide.ffi import to_js

        if chunk.lines is not None or not self._others.free():
            return None
        place = to_js([chunk.file, chunk.number, chunk.offset, chunk.cut])
        return self._others.give(to_js(memoryview(chunk.data)[: chunk.end]), place)

    @staticmethod
    def _found(chunk: Chunk, found: Any) -> tuple[Chunk, _core.Summary]:
        from pyodide.ffi import run_sync

        if not isinstance(found, _core.Summary):
            found = _core.Summary(run_sync(found.found).to_bytes())
        return chunk, found


def _asked(paths: Sequence[str], text: str, pasted: str | None) -> dict[str, Any]:
    """Return the arguments of `verify`."""
    options = _parsed(text)
    named = {path for name in _NAMING for path in _several(options[name])}
    given: dict[str, list[str]] = {name: [] for name in _KINDS.values()}
    logs = []
    for path in paths:
        kind = None if path in named else _kind(path)
        if kind is not None:
            given[kind].append(path)
        elif path not in named:
            logs.append(path)
    if pasted is not None:
        given[_kind(pasted) or "keys"].append(pasted)
    for name in ("keys", "public", "receipts"):
        options[name] = [*options[name], *given[name]]
    if len(heads := [*_several(options["head"]), *given["head"]]) > 1:
        raise ReportError(f"several heads were given: {', '.join(heads)}", hint="leave one, the newest")
    options |= {"head": heads[0] if heads else None, "pins": _pins(given["pins"]), "store": "none"}
    if not options["keys"] and not options["public"]:
        raise ReportError("no key was given", hint="add the public file or the verification key, or paste the key")
    if not logs:
        raise ReportError("no log was given", hint="add the files that hold its lines")
    # A folder is verified as a folder: files of ours in it are passed over there, as by the command.
    tops = {path.split("/")[0] for path in logs}
    options["paths"] = sorted(f"./{path}" if path == "-" or is_url(path) else path for path in tops)
    return options


def _parsed(text: str) -> dict[str, Any]:
    """Read options as the command does.

    Raises:
        click.UsageError: There is no such option, or it is of no use in a page.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise click.UsageError(f"the options cannot be read: {error}") from None
    context = command.make_context("verify", [*words, "--", "."])
    options = dict(context.params)
    if options.pop("paths") != (".",):
        raise click.UsageError("only options go here; files are added above")
    for one in command.params:
        if one.name in _ELSEWHERE and context.get_parameter_source(one.name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{one.opts[0]} is of no use here: {_ELSEWHERE[one.name]}")
    check_witness_options(options)
    if asked := next((one for one in options["witnesses"] if "=" in one), None):
        raise click.UsageError(f"this page asks nobody: give only the key of {asked}, and a file of its receipts")
    return {name: value for name, value in options.items() if name not in _ELSEWHERE}


def _several(value: str | Iterable[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def _kind(path: str) -> str | None:
    """Return the argument of `verify` that a file is for; None for a log, or what will be reported as none."""
    try:
        fd = opened(path, os.O_RDONLY)
    except OSError:
        return None  # it is reported where it is read
    try:
        return _KINDS.get(ours_in(fd, os.fstat(fd).st_size) or "")
    except OSError:
        return None
    finally:
        os.close(fd)


def _pins(paths: Iterable[str]) -> list[str]:
    found = []
    for path in paths:
        with open(opened(path, os.O_RDONLY), encoding="ascii", errors="replace") as file:
            found += [line.strip() for line in file if line.strip().startswith("tallypin ")]
    return found
