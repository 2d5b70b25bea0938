"""The HTML report in a real browser: it shows what it should, and nothing is loaded."""

import itertools

import pytest

from tallystick.reports import render
from tests.browser import pixels
from tests.cases import some
from tests.reports import made


@pytest.fixture
def browse(browser, tmp_path):
    """Open a report."""

    def open_page(report, width=1200, height=900):
        page = tmp_path / "report.html"
        page.write_text(render(report, "html"), encoding="utf-8")
        browser.look(width, height)
        browser.open(page.as_uri())
        assert browser.requested() == [page.as_uri()]
        return browser

    return open_page


@pytest.mark.parametrize("name", some(["calm", "bad", "large", "hostile"], ["calm", "hostile"]))
def test_the_page_has_the_verdict_and_a_row_for_each_finding(browse, name):
    report = made.ALL[name]()
    page = browse(report)
    assert page.run("document.querySelector('h1').innerHTML").startswith(f"<b>{report.verdict.value}</b>: ")
    assert page.run("document.querySelectorAll('tr[id^=f]').length") == len(report.findings)
    assert page.run("document.scripts.length") == 0


def test_the_page_is_drawn(browse, tmp_path):
    width, height, rows = pixels(browse(made.bad(), 600, 450).picture(tmp_path / "shot.png"))
    assert (width, height) == (600, 450)
    colours = {rows[y][x * 4 : x * 4 + 3] for y in range(height) for x in range(width)}
    assert len(colours) > 20, "the picture is blank"
    # The headline of a failed verification is red; the blocks of the time line are blue.
    assert any(red > 150 and green < 60 and blue < 60 for red, green, blue in colours)


def test_the_page_prints(browse):
    assert browse(made.bad()).printed().startswith(b"%PDF-")


PAGES = list(itertools.product(["wide", "bad", "partial", "hostile", "calm"], [400, 1280]))


@pytest.mark.parametrize(("name", "width"), some(PAGES, [("wide", 400), ("wide", 1280), ("hostile", 400)]))
def test_nobody_has_to_scroll_sideways(browse, name, width):
    page = browse(made.ALL[name](), width)
    assert page.run("innerWidth") == width
    assert page.run("document.scrollingElement.scrollWidth") == width
