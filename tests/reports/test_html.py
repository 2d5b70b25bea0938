"""The HTML report: one file, nothing from elsewhere, nothing that a line can inject, well-formed, small."""

import dataclasses
import re
from collections import Counter
from html.parser import HTMLParser

import pytest

from tallystick import FileReport, Finding
from tallystick.reports import render
from tallystick.reports.meanings import verdict
from tests.reports import made

VOID = {"meta", "br"}
DRAWN = {"path", "circle", "line", "rect"}
SHOWN = "\\x1b[31mred[/] [bold]x[/bold] <script>alert(1)</script>"


class Page(HTMLParser):
    """A page, read strictly: each element is closed where it was opened."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.counts, self.attributes, self.words, self.ids = [], Counter(), [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.counts[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in DRAWN, tag
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self):
        return " ".join("".join(self.words).split())


@pytest.fixture
def page(report):
    return Page(render(report, "html"))


def test_the_page_is_well_formed_and_each_id_is_there_once(page):
    assert len(set(page.ids)) == len(page.ids)
    targets = {value[1:] for _, name, value in page.attributes if name == "href"}
    named = {word for _, name, value in page.attributes if name == "aria-labelledby" for word in value.split()}
    assert targets | named <= set(page.ids)


def test_nothing_comes_from_elsewhere_and_nothing_runs(report):
    text = render(report, "html")
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form", "image", "use"} & set(page.counts)
    for _, name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("href", "src", "action", "data", "style", "xlink:href"):
            assert name == "href"
            assert value.startswith("#")
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert not re.search(r"https?:", text)


def test_a_policy_forbids_what_should_not_be_there_anyway(page):
    assert ("meta", "content", "default-src 'none'; style-src 'unsafe-inline'; img-src data:") in page.attributes


def test_what_an_attacker_names_is_text():
    text = render(made.hostile(), "html")
    page = Page(text)
    assert page.text.count(SHOWN) >= 6
    assert "\\u202e" in page.text
    assert "&lt;script&gt;" in text
    assert "<script" not in text
    assert all(sign.isprintable() or sign == "\n" for sign in text)
    assert text.isascii()


def test_the_page_has_a_language_a_title_headings_and_captions(report, page):
    assert ("html", "lang", "en") in page.attributes
    assert page.counts["h1"] == 1
    assert page.counts["caption"] == page.counts["table"]
    assert page.counts["title"] >= 1
    drawn = sum(bool(log.by_chain) for log in report.logs)
    assert page.counts["desc"] == page.counts["figure"] == drawn
    assert sum(attribute == ("svg", "role", "group") for attribute in page.attributes) == drawn


def test_the_verdict_is_said_in_words(report, page):
    heading = {
        "ok": "every line is as it was sealed",
        "incomplete": "could not be determined",
        "failed": "is not as it was",
    }
    assert f"{verdict(report)}: " in page.text
    assert heading[report.verdict.value] in page.text


def test_each_finding_has_a_row(report, page):
    rows = [value for tag, name, value in page.attributes if tag == "tr" and name == "id"]
    assert rows == [f"f{number}" for number in range(1, len(report.findings) + 1)]


def test_all_of_a_finding_is_there():
    text = Page(render(made.bad(), "html")).text
    for part in ("audit.log.1:81213", "at byte 9123456", "1.19.3370", "user=7 action=transfer amount=900",
                 "2.7.800 to 2.7.919", "Perhaps: a rotated file that was not given", f"SHA-256 {'9f' * 32}",
                 "at least 120", "1 used, 1 unused, 1 expired", "disk loss in March", "claims of the writer",
                 "Made by tallystick", "2026-09-22T20:13:20Z", "367,745 lines/s"):  # fmt: skip
        assert part in text, part


def test_what_was_read_and_with_what_is_there():
    text = Page(render(made.bad(), "html")).text
    command = "tallystick verify audit.log.1 audit.log --key payments.key --format html -o report.html"
    for part in (f"Command{command}", f"audit.log.161,728,394{'5a' * 32}",
                 f"payments.keyverification keypayments (k7m2q3xa)tallypub1{'q' * 62}"):  # fmt: skip
        assert part in text, part
    assert "of its first" not in text
    assert "Members of archives" not in text


def test_a_digest_of_a_part_of_a_file_says_so():
    report = made.report(made.log(made.chain(1, 2, made.START)), on_disk=(FileReport("a.log", 2000, 1500, "00" * 32),))
    text = Page(render(report, "html")).text
    assert f"a.log2,000{'00' * 32}of its first 1,500 bytes: it grew while it was read, or could not be" in text


def test_an_archive_is_named_with_its_digest_and_its_members_after_it():
    archive = FileReport("b.tar", 2000, 2000, "00" * 32)
    report = made.report(files=("b.tar:x.log", "b.tar:y.log"), on_disk=(archive,))
    assert "Members of archives: 2 b.tar:x.log b.tar:y.log" in Page(render(report, "html")).text


def test_where_no_digest_was_taken_the_files_are_named():
    report = made.report(files=tuple(f"{number}.log" for number in range(1200)), on_disk=())
    text = Page(render(report, "html")).text
    assert "The first 1,000: 0.log 1.log" in text
    assert "999.log" in text
    assert "1000.log" not in text


def test_more_findings_than_a_page_holds_are_counted():
    report = made.large()
    findings = report.findings + (Finding("fork", made.FAILED, "x"),) * 500
    page = Page(render(dataclasses.replace(report, findings=findings), "html"))
    assert "The first 1,000 of 1,500 findings, the worst first; the report in JSON has all." in page.text


def test_a_large_report_stays_small():
    text = render(made.large(), "html")
    page = Page(text)
    assert len(text) < 1_500_000
    assert page.counts["rect"] + page.counts["path"] + page.counts["circle"] < 3000
    assert page.counts["tr"] > 2000
    assert "up to 32 of them share a row" in page.text


def test_a_report_on_many_logs_stays_small():
    logs = [made.log(made.chain(1, 200, made.START), name=f"log-{number}") for number in range(300)]
    page = Page(render(made.report(*logs), "html"))
    assert page.counts["figure"] <= 32
    assert page.counts["rect"] < 8000


def test_a_real_report_is_a_page(verified):
    page = Page(render(verified, "html"))
    assert "failed: the log is not as it was sealed" in page.text
    assert "app.log:3" in page.text


def test_the_same_report_is_the_same_page(report):
    assert render(report, "html") == render(report, "html")
