"""The page in a real browser: looked at, clicked, read without eyes, in light and dark, and on a phone."""

import pytest

from tallystick.watch.config import Web
from tallystick.watch.standing import State
from tests.browser import pixels
from tests.watch.web import board
from tests.watch.web.test_bounds import HOSTILE, hostile

LIVE = "document.getElementById('live').textContent === 'live'"
FIRST = "document.querySelector('.all tbody tr').innerText.replace(/\\s+/g, ' ')"


VIEWS = {
    "light": {"scheme": "light"},
    "dark": {"scheme": "dark"},
    "a phone": {"width": 390, "height": 844, "phone": True, "scheme": "dark"},
    "a narrow phone": {"width": 320, "height": 600, "phone": True},
}


@pytest.mark.parametrize("view", VIEWS)
def test_each_page_is_good_to_read_for_all(browser, standings, serving, view):
    """Names, contrast, landmarks and order, by axe; nobody scrolls sideways; the browser complains of nothing."""
    at = serving(standings).address
    browser.look(**VIEWS[view])
    for path in ("/", "/?state=failed", "/logs/payments", "/logs/backup", "/logs/none"):
        browser.open(at + path)
        assert not [one for one in browser.complaints() if "404" not in one]
        assert browser.run("document.scrollingElement.scrollWidth <= innerWidth")
        assert not browser.faults()
        assert all(url.startswith(at) for url in browser.requested())


SEEN = """
[...document.querySelectorAll('svg.timeline .mark')].filter(mark => {
  const box = mark.getBoundingClientRect(), x = box.left + box.width / 2, y = box.top + box.height / 2;
  return x > 0 && x < innerWidth && box.width >= 8 && document.elementFromPoint(x, y)?.closest('svg.timeline a');
}).length
"""


@pytest.mark.parametrize("view", ["light", "a phone", "a narrow phone"])
def test_no_finding_in_the_time_line_has_to_be_scrolled_to(browser, standings, serving, view):
    browser.look(**VIEWS[view])
    browser.open(serving(standings).address + "/logs/payments")
    browser.run("document.querySelector('svg.timeline').scrollIntoView({block: 'center'})")
    marks = browser.run("document.querySelectorAll('svg.timeline .mark').length")
    assert marks == browser.run(SEEN) > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_drawn_in_its_scheme(browser, standings, serving, scheme, tmp_path):
    browser.look(800, 400, scheme=scheme)
    browser.open(serving(standings).address)
    width, height, rows = pixels(browser.picture(tmp_path / "shot.png"))
    assert (width, height) == (800, 400)
    corner = sum(rows[390][:3])
    assert corner > 700 if scheme == "light" else corner < 120
    colours = {rows[y][x * 4 : x * 4 + 3] for y in range(height) for x in range(width)}
    assert any(red > 190 and green < 100 and blue < 100 for red, green, blue in colours), "no failure is seen"


def test_a_change_is_seen_and_said_within_seconds_without_a_reload(browser, standings, serving, reports):
    browser.open(serving(standings).address)
    browser.until(LIVE)
    browser.run("window.same = true")
    standings.put(board.standing("ledger", reports["failed"], since=board.now()), board.day_of(State.FAILED, 1000))
    browser.until(f"{FIRST}.includes('ledger')")
    assert browser.run("document.getElementById('said').textContent") == "ledger: failed"
    assert browser.run("document.title").startswith("2 failed")
    assert browser.run("window.same")


def test_what_the_reader_does_survives_a_change(browser, standings, serving, reports):
    browser.open(serving(standings).address + "/logs/payments")
    browser.until(LIVE)
    browser.click("#changes summary")
    browser.run("document.querySelector('.downloads a').focus()")
    standings.put(board.standing("payments", reports["ok"]), board.day_of(State.FAILED), reports["ok"])
    browser.until("document.querySelector('h1').textContent.includes('ok')")
    assert browser.run("document.getElementById('changes').open")
    assert browser.run("document.activeElement.getAttribute('href')") == "/reports/html/payments"
    assert "ok" in browser.run("document.getElementById('said').textContent")


def test_a_log_that_is_no_longer_watched_does_not_stay_on_its_page(browser, standings, serving):
    browser.open(serving(standings).address + "/logs/ledger")
    browser.until(LIVE)
    standings.forget("ledger")
    browser.until("document.querySelector('h1').textContent === 'There is no log of that name'")
    assert browser.run("document.getElementById('said').textContent") == "There is no log of that name"


def test_an_answer_that_is_no_page_leaves_an_old_page_that_says_so(browser, standings, serving, monkeypatch):
    browser.open(serving(standings).address)
    browser.until(LIVE)
    monkeypatch.setattr(standings, "all", lambda: 1 / 0)
    browser.until("(busy || (updated -= 60000, turned -= 60000, update()), !lost.hidden)")
    assert not browser.run(LIVE)


def test_a_service_that_is_gone_never_looks_well(browser, standings, serving):
    server = serving(standings)
    browser.open(server.address)
    browser.until(LIVE)
    server.stop(3)
    browser.until("document.getElementById('live').textContent.startsWith('looked at')")
    browser.run("(updated -= 60000, turned -= 60000, show())")
    assert browser.run("document.getElementById('lost').textContent").startswith("The service has not answered since")
    assert browser.run("!document.getElementById('lost').hidden && document.body.classList.contains('old')")
    assert not browser.faults()


def test_the_page_is_whole_without_scripts(browser, standings, serving):
    browser.scripts(run=False)
    at = serving(standings).address
    browser.open(at)
    assert browser.run("document.querySelectorAll('.all tbody tr').length") == 5
    assert browser.run("document.querySelector('noscript meta').httpEquiv") == "refresh"
    browser.click(".filter a.silent")
    browser.until_loaded()
    assert browser.run("location.search") == "?state=silent"
    browser.click(".all th a")
    browser.until_loaded()
    assert browser.run("document.querySelector('h1 bdi').textContent") == "audit"


def test_a_log_is_found_and_opened_by_the_keyboard_alone(browser, standings, serving):
    browser.open(serving(standings).address)
    browser.key("Tab")
    assert browser.run("document.activeElement.textContent") == "Skip to the content"
    for _ in range(2):
        browser.key("Tab")
    assert browser.run("document.activeElement.id") == "q"
    assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.type("pay")
    browser.key("Enter", "\r")
    browser.until_loaded()
    assert browser.run("location.search") == "?q=pay"
    browser.run("document.querySelector('.all th a').focus()")
    browser.key("Enter", "\r")
    browser.until_loaded()
    assert browser.run("location.pathname") == "/logs/payments"


def test_a_screen_reader_finds_landmarks_headings_and_what_colours_say(browser, standings, serving):
    browser.open(serving(standings).address)
    found = browser.tree()
    roles = {role for role, _ in found}
    assert {"main", "banner", "search", "navigation", "contentinfo", "table", "columnheader", "rowheader"} <= roles
    assert any(role == "heading" and name == "1 of 5 logs has failed" for role, name in found)
    assert any(name.startswith("Last 24 hours: ok 2") and name.endswith("failed 1 h") for _, name in found)
    assert any(name.strip() == "failed" for _, name in found)


def test_a_mark_in_the_time_line_leads_to_its_finding(browser, standings, serving):
    browser.open(serving(standings).address + "/logs/payments")
    browser.run("document.querySelector('svg.timeline a').focus()")
    browser.key("Enter", "\r")
    browser.until(f"location.hash === '#f1' && {AIMED} !== ''")


AIMED = "[...document.querySelectorAll('tr:target, tr.aimed')].map(row => row.id).join(' ')"


def test_a_finding_that_was_gone_to_stays_marked_while_the_page_is_brought_up_to_date(
    browser, standings, serving, reports
):
    browser.open(serving(standings).address + "/logs/payments#f1")
    browser.until(LIVE)
    assert browser.run(AIMED) == "f1"
    browser.run("window.old = document.getElementById('f1'), 0")
    standings.put(
        board.standing("payments", reports["failed"], since=board.now()),
        board.day_of(State.FAILED, 1000),
        reports["failed"],
    )
    browser.until("document.getElementById('f1') !== window.old")
    assert browser.run(AIMED) == "f1"
    browser.run("location.hash = '#page'")
    browser.until(f"{AIMED} === ''")


def test_a_hostile_log_runs_nothing(browser, standings, serving, reports):
    report = hostile(reports["failed"], 5)
    standings.put(board.standing(HOSTILE, report, trouble=HOSTILE), board.day_of(State.FAILED), report)
    browser.open(serving(standings).address)
    browser.until(LIVE)
    browser.run("window.alert = () => { window.hit = true }")
    browser.click(".all th a")
    browser.until_loaded()
    assert not browser.complaints()
    assert browser.run("document.scripts.length") == 1
    assert not browser.run("window.hit || document.querySelector('main script')")


def test_a_browser_with_the_token_reads_and_hears(browser, standings, serving, token, reports):
    server = serving(standings, Web("127.0.0.1", 0, token_file=token))
    browser.open(server.address.replace("//", f"//any:{token.read_text().strip()}@") + "/")
    browser.open(server.address + "/")
    browser.until(LIVE)
    standings.put(board.standing("ledger", reports["failed"], since=board.now()), board.day_of(State.FAILED, 1000))
    browser.until(f"{FIRST}.includes('ledger')")
