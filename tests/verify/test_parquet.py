"""Lines in a column of Parquet files: what is found in them is what is found in the same lines as text."""

import io
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from tallystick import evidence
from tallystick.verify import Report, Verdict, parquet
from tallystick.verify.columns import Column
from tallystick.verify.looking import open_inputs
from tests.verify.test_constructed import kinds
from tests.verify.test_inputs import Place, place, unreadable

__all__ = ["place"]

pytestmark = pytest.mark.usefixtures("no_store")

DAMAGED = int(os.environ.get("TALLYSTICK_DAMAGED_TABLES", "6"))


def written(table: pyarrow.Table, **options: Any) -> bytes:
    """Return a Parquet file."""
    pyarrow.parquet.write_table(table, held := io.BytesIO(), **options)
    return held.getvalue()


def column(lines: list[bytes | None], kind: pyarrow.DataType | None = None) -> pyarrow.Array:
    return pyarrow.array(lines, pyarrow.binary()).cast(kind or pyarrow.binary())


def lines_of(place: Place) -> list[bytes | None]:
    return list[bytes | None](b"".join(place.parts).splitlines())


def table(place: Place) -> bytes:
    """Return all lines of a log as a Parquet file of several row groups, among other columns."""
    lines = lines_of(place)
    numbers = list(range(len(lines)))
    columns = {"host": [b"web"] * len(lines), "line": column(lines, pyarrow.string()), "at": numbers}
    return written(pyarrow.table(columns), row_group_size=len(lines) // 3, compression="zstd")


def verified(place: Place, data: bytes, field: str | None = "line", **more: Any) -> Report:
    """Verify a Parquet file, whatever its name."""
    (path := place.logs / "table").write_bytes(data)
    (place.directory / "blank").touch()  # so that there is something to read
    return place.verify(path, place.directory / "blank", **{"envelope": "parquet", "field": field, **more})


def said(report: Report) -> str:
    return " ".join(f.detail for f in report.findings if f.kind == "unreadable")


def started() -> set[int]:
    """Return the processes that this one started to read Parquet, and that run."""
    children = {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}
    return {pid for pid in children if parquet.__file__.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()}


# -- what is read


def test_the_lines_of_a_column_are_verified(place: Place) -> None:
    report = verified(place, table(place))
    assert (report.verdict, report.findings, report.lines) == (Verdict.OK, (), place.lines)


def test_rows_without_a_value_hold_no_line_and_line_ends_in_values_are_those_of_lines(place: Place) -> None:
    lines = [part for line in lines_of(place) for part in (None, line + b"\n")]  # type: ignore[operator]
    assert verified(place, written(pyarrow.table({"line": column(lines)}))).findings == ()


@pytest.mark.parametrize(
    "nested",
    [
        lambda lines: {"record": pyarrow.StructArray.from_arrays([lines, lines.is_valid()], ["line", "whole"])},
        lambda lines: {"record.line": lines.dictionary_encode(), "record": lines.is_valid()},
    ],
)
def test_a_column_is_found_by_its_dotted_name(place: Place, nested: Callable[..., dict[str, pyarrow.Array]]) -> None:
    data = written(pyarrow.table(nested(column(lines_of(place), pyarrow.large_string()))))
    assert verified(place, data, "record.line").findings == ()
    assert verified(place, data, None).findings == ()  # it is the only one of text


def test_a_changed_row_is_reported_at_its_place(place: Place) -> None:
    place.parts[4] = place.parts[4].replace(b"line 7 ", b"line 8 ", 1)
    before = sum(part.count(b"\n") for part in place.parts[:4])
    (altered,) = [one for one in verified(place, table(place)).findings if one.kind == "altered"]
    assert (altered.path, altered.line, altered.excerpt[:7]) == (str(place.logs / "table"), before + 9, "line 8 ")


def test_text_files_beside_it_are_read_as_they_stand(place: Place) -> None:
    (place.logs / "text").write_bytes(place.parts.pop())
    assert verified(place, table(place)).verdict is Verdict.FAILED
    report = place.verify(place.logs, envelope="parquet", field="line")
    assert (report.verdict, report.findings) == (Verdict.OK, ())


def test_a_line_of_it_is_proved(place: Place) -> None:
    (place.logs / "table").write_bytes(table(place))
    position = lines_of(place)[5].rpartition(b"tally=")[2].rpartition(b".")[0].rpartition(b".")[0].decode()  # type: ignore[union-attr]
    proof = evidence.prove(position, [place.logs], public=None, envelope="parquet", field="line")
    assert proof.position in position


# -- what is not


def test_without_the_option_it_is_reported_with_what_to_do(place: Place) -> None:
    report = verified(place, table(place), None, envelope=None)
    assert "--envelope parquet --field column" in said(report).lower()


@pytest.mark.parametrize(
    ("columns", "field", "what"),
    [
        ({"a": [b"x"], "b": [b"x"]}, None, "columns of text are a, b: say with --field"),
        ({"a": [b"x"]}, "line", "no column of text line, but a"),
        ({"line": [1]}, "line", "no column of text line, but none"),
        ({"line": [[b"x"]]}, "line", "no column of text line, but none"),
        ({"line": [{"x": b"x"}]}, "line", "no column of text line, but line.x"),
    ],
)
def test_a_column_that_is_not_there_is_reported_with_those_that_are(
    place: Place, columns: dict[str, list[object]], field: str | None, what: str
) -> None:
    report = verified(place, written(pyarrow.table(columns)), field)
    assert unreadable(report) == [str(place.logs / "table")]
    assert what in said(report)
    assert report.verdict is Verdict.INCOMPLETE


def test_two_columns_of_one_name_are_refused_for_one_would_hide_the_other(place: Place) -> None:
    lines = column(lines_of(place))
    data = written(pyarrow.Table.from_arrays([lines, lines], names=["line", "line"]))
    assert "several of its columns are called line" in said(verified(place, data))


def test_a_file_that_is_cut_or_damaged_is_never_ok_and_ends_in_a_message(place: Place) -> None:
    rng = random.Random(5)
    data = table(place)
    for number in range(DAMAGED):
        broken = bytearray(data[: len(data) * 2 // 3] if not number else data)
        for _ in range(rng.randrange(1, 4) if number else 0):
            at = rng.choice([rng.randrange(len(data)), -rng.randrange(1, 800)])
            broken[at] ^= 1 << rng.randrange(8)
        report = verified(place, bytes(broken))
        if bytes(broken) != data and kinds(report):
            assert report.verdict is not Verdict.OK
    assert unreadable(verified(place, data[: len(data) * 2 // 3]))
    assert not started()


def test_a_small_file_that_becomes_a_large_one_is_reported(place: Place) -> None:
    large = pyarrow.DictionaryArray.from_arrays([0] * 200, pyarrow.array([b"a" * 2**22]))
    data = written(pyarrow.table({"line": large}), compression="zstd", dictionary_pagesize_limit=2**23)
    assert len(data) < 10_000
    report = verified(place, data)
    assert "it takes more than 320 mib" in said(report).lower()
    assert not started()


def test_a_process_that_ends_while_it_reads_is_reported(place: Place) -> None:
    (path := place.logs / "table").write_bytes(
        written(pyarrow.table({"line": [b"x" * 1000] * 20_000}), use_dictionary=False, compression="none")
    )
    (one,), _ = open_inputs([str(path)], chunk=2**16, column=Column("line"))
    chunks = one.chunks()
    assert next(chunks).end
    (process,) = started()
    os.kill(process, signal.SIGKILL)
    list(chunks)
    assert "the process that reads it ended" in one.trouble
    one.close()
    assert not started()


def test_what_reads_it_has_no_variable_but_those_that_find_python(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALLYSTICK_CUSTODY", "master-key:/secret")
    (path := place.logs / "table").write_bytes(written(pyarrow.table({"line": [b"x" * 1000] * 20_000})))
    (one,), _ = open_inputs([str(path)], chunk=2**16, column=Column("line"))
    chunks = one.chunks()
    next(chunks)
    (process,) = started()
    environment = Path(f"/proc/{process}/environ").read_bytes()
    chunks.close()
    one.close()
    assert b"TALLYSTICK" not in environment
    assert not started()
