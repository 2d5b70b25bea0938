"""The HTML report in a real browser: it shows what it should, and nothing is loaded."""

import html
import os
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from tallystick.reports import render
from tests.reports import made

CHROMIUM = shutil.which("chromium")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


@pytest.fixture
def browse(tmp_path):
    """Open a report; returns what the browser prints and, with `--screenshot`, writes a picture to `shot.png`."""
    if CHROMIUM is None:
        if os.environ.get("TALLYSTICK_CI"):
            pytest.fail("chromium is not installed, and TALLYSTICK_CI says that it must be")
        pytest.skip("chromium is not installed: no browser to look at the report with")

    def open_page(report, *options, within="{}"):
        """Open a page, `within` another one that holds it in a frame."""
        page, text = tmp_path / "report.html", render(report, "html")
        page.write_text(within.format(text if within == "{}" else html.escape(text)), encoding="utf-8")
        done = subprocess.run(
            [CHROMIUM, *OPTIONS, f"--user-data-dir={tmp_path}/profile", "--window-size=1200,900", *options,
             page.as_uri()],
            cwd=tmp_path, env=os.environ | {"HOME": str(tmp_path)}, capture_output=True, text=True, timeout=120,
            check=True,
        )  # fmt: skip
        return done.stdout

    open_page.path = tmp_path
    return open_page


@pytest.mark.parametrize("name", ["calm", "bad", "large", "hostile"])
def test_the_page_has_the_verdict_and_a_row_for_each_finding(browse, name):
    report = made.ALL[name]()
    dom = browse(report, "--dump-dom")
    assert f"<h1><b>{report.verdict.value}</b>: " in dom
    assert len(re.findall(r'<tr id="f\d+">', dom)) == len(report.findings)
    assert "<script" not in dom


def test_the_page_is_drawn(browse):
    browse(made.bad(), f"--screenshot={browse.path}/shot.png")
    width, height, rows = pixels(browse.path / "shot.png")
    assert (width, height) == (1200, 900)
    colours = {rows[y][x * 4 : x * 4 + 3] for y in range(0, height, 3) for x in range(0, width, 3)}
    assert len(colours) > 20, "the picture is blank"
    # The headline of a failed verification is red; the blocks of the time line are blue.
    assert any(red > 150 and green < 60 and blue < 60 for red, green, blue in colours)


def test_the_page_prints(browse):
    browse(made.bad(), f"--print-to-pdf={browse.path}/report.pdf")
    assert (browse.path / "report.pdf").read_bytes().startswith(b"%PDF-")


# A window is never as narrow as a phone, a frame can be. What the page is laid out to is told by an attribute.
FRAME = """<!doctype html><body><iframe width="{width}" height="900" style="border:0" srcdoc="{{}}"></iframe><script>
onload = () => document.body.setAttribute("width", frames[0].document.scrollingElement.scrollWidth);
</script>"""


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("name", ["wide", "bad", "partial", "hostile", "calm"])
def test_nobody_has_to_scroll_sideways(browse, name, width):
    frame = FRAME.format(width=width)
    dom = browse(made.ALL[name](), "--window-size=1400,900", "--dump-dom", within=frame)
    assert re.search(r'<body width="(\d+)"', dom)[1] == str(width)


def pixels(path: Path) -> tuple[int, int, list[bytes]]:
    """Return width, height and rows of a PNG with 8 bits each of red, green, blue (and alpha), as RGBA."""
    data = path.read_bytes()
    at, packed, size = 8, b"", (0, 0, 0, 0)
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            size = struct.unpack(">IIBB", body[:10])
        packed += body if kind == b"IDAT" else b""
        at += length + 12
    width, height, bits, colour = size
    assert (bits, colour in (2, 6)) == (8, True)
    deep = 3 if colour == 2 else 4
    raw, rows, above = zlib.decompress(packed), [], bytes(width * deep)
    for y in range(height):
        start = y * (width * deep + 1)
        above = unfiltered(raw[start], raw[start + 1 : start + 1 + width * deep], above, deep)
        rows.append(above if deep == 4 else b"".join(above[i : i + 3] + b"\xff" for i in range(0, len(above), 3)))
    return width, height, rows


def unfiltered(kind: int, row: bytes, above: bytes, deep: int) -> bytes:
    """Return a row of a PNG as it was before it was filtered (PNG specification, section 9)."""
    out = bytearray(row)
    for i in range(len(out)):
        left = out[i - deep] if i >= deep else 0
        corner = above[i - deep] if i >= deep else 0
        near = left + above[i] - corner
        paeth = min((left, above[i], corner), key=lambda value: abs(near - value))
        out[i] = (out[i] + (0, left, above[i], (left + above[i]) // 2, paeth)[kind]) & 0xFF
    return bytes(out)
