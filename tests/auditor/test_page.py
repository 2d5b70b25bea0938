"""The auditor's page in a real browser: the findings of the command, and nothing that leaves, runs or stays."""

import base64
import json
import os
import random
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests import doctoring, vectors
from tests.auditor.conftest import Case, told
from tests.auditor.test_judging import HEAD, LOG, PUBLIC, SECRET
from tests.places import COMMAND
from tests.verify.test_defects import CASES

LARGE = int(os.environ.get("TALLYSTICK_AUDITOR_MB", "0"))
DOCTORED = int(os.environ.get("TALLYSTICK_AUDITOR_DOCTORED", "150"))

# Has the page's worker judge cases one after the other, as it judges one.
JUDGE = """(async (cases) => {
  const url = URL.createObjectURL(new Blob([parts["worker.js"]], { type: "text/javascript" }));
  const worker = (window.judge ??= new Worker(url));
  const ask = (what) => new Promise((done) => {
    worker.onmessage = ({ data }) => { if (data.ready || data.result || data.bug) done(data); };
    worker.postMessage(what);
  });
  if (!window.waiting) window.waiting = await ask({ parts });
  const found = [];
  for (const { files, pasted, options } of cases) {
    const given = Object.entries(files).map(([path, data]) =>
      ({ path, file: new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], path) }));
    found.push(await ask({ files: given, pasted, options }));
  }
  return JSON.stringify(found);
})"""


def judged_there(page, cases):
    """Return what the page's worker says of some cases."""
    found = []
    for case in cases:
        files = {name: base64.b64encode(data).decode() for name, data in case.files.items()}
        asked = {"files": files, "options": case.options, "pasted": case.pasted}
        found += json.loads(page.run(f"{JUDGE}({json.dumps([asked])})"))
    assert not [one for one in found if "bug" in one]
    return [told(one["result"]) for one in found]


def test_the_vectors_get_the_same_findings_as_from_the_command(page, judge):
    cases = [case for recipe in CASES for case in of_vectors(recipe)]
    assert len(cases) > 400
    for case, there in zip(cases, judged_there(page, cases), strict=True):
        assert there == told(judge(case)), case


def of_vectors(recipe):
    """Give what the page is given for a defect, with each key that it is judged with."""
    files = {name: vectors.apply(how) for name, how in recipe["log"].items()}
    files |= {
        n: b"7z\xbc\xaf\x27\x1c of some form that is not read" for n, here in recipe.get("unread", {}).items() if here
    }
    options = [f"--from {recipe['start']}"] if recipe["start"] else []
    options += [f"--to {recipe['to']}"] if recipe.get("to") else []
    options += [f"--allow '{what}'" for what in recipe.get("allow", [])]
    if "exceptions" in recipe:
        files["exceptions"] = "\n".join(recipe["exceptions"]).encode()
        options.append("--exceptions exceptions")
    if recipe["pins"]:
        files["pins"] = "\n".join(recipe["pins"]).encode() + b"\n"
    for key in recipe["with"]:
        more = {"head": recipe["head"].encode() + b"\n"} if key == "V" and recipe["head"] else {}
        yield Case({**files, **more, "key": SECRET if key == "V" else PUBLIC}, " ".join(options))


def test_doctored_logs_get_the_same_findings_as_from_the_command(page, judge, tmp_path):
    cases, other = [], doctoring.seal(random.Random(1), name="other")
    for seed in range(DOCTORED):
        rng = random.Random(seed)
        log = doctoring.seal(rng)
        doctoring.write(tmp_path, log)
        _, data = doctoring.doctor(rng, log, other)
        cases.append(Case({"app.log": data, "k": (tmp_path / "log.key").read_bytes(), "head": log.head}))
        cases.append(Case({"app.log": data, "k": (tmp_path / "log.pub").read_bytes(), "pins": log.pin.encode()}))
    found = judged_there(page, cases)
    assert {one["verdict"] for one in found} > {"failed"}
    for case, there in zip(cases, found, strict=True):
        assert there == told(judge(case)), case


def put(place: Path, files: dict[str, bytes]) -> list[Path]:
    """Write files and return their paths."""
    for name, data in files.items():
        (place / name).write_bytes(data)
    return [place / name for name in files]


def verified(page, seconds=120):
    """Press the button and return what the page says when it is done."""
    page.click("#verify")
    page.until("!document.getElementById('verify').disabled", seconds)
    return page.run("document.getElementById('status').textContent")


def test_files_that_are_chosen_are_judged_and_the_report_is_shown_and_saved(page, judge, tmp_path):
    files = {"audit.log": LOG.replace(b"login", b"admin", 1), "payments.pub": PUBLIC}
    page.choose("#files", put(tmp_path, files))
    assert verified(page).startswith("Verified. failed: the log is not as it was sealed")
    page.until("document.getElementById('shown').contentDocument?.querySelector('h1') !== null")
    assert page.run("document.getElementById('shown').contentDocument.querySelectorAll('tr[id]').length") > 0
    page.saving(tmp_path)
    page.click("#json")
    saved = tmp_path / "tallystick-report.json"
    for _ in range(200):
        if saved.exists():
            break
        time.sleep(0.05)
    assert told({"json": saved.read_text(), "said": ""})["findings"] == told(judge(Case(files)))["findings"]
    assert complaints(page) == []


def complaints(page):
    """What the browser complains of, but for Pyodide's question whether its worker may load scripts: it may not."""
    return [each for each in page.complaints() if "'data:text/javascript,\\' violates" not in each]


def test_the_report_is_shown_at_its_length_in_any_width(page, tmp_path):
    page.choose("#files", put(tmp_path, {"audit.log": LOG, "payments.pub": PUBLIC}))
    verified(page)
    page.until("document.getElementById('shown').contentDocument?.querySelector('h1') !== null")
    heights = []
    for width in (1280, 390, 1280):
        page.look(width, phone=width < 400)
        frame = "document.getElementById('shown')"
        page.until(f"Math.abs({frame}.offsetHeight - {frame}.contentDocument.documentElement.offsetHeight) < 20")
        heights.append(page.run(f"{frame}.offsetHeight"))
    assert heights[1] > heights[0] == heights[2]


def test_folders_that_are_dropped_are_judged_as_folders(page, judge, on_disk):
    files = {"logs/deep/a.log": LOG, "logs/b.log.tmp": b"unfinished", "payments.pub": PUBLIC}
    (on_disk / "logs" / "deep").mkdir(parents=True)
    put(on_disk, files)
    page.drop([on_disk / "logs", on_disk / "payments.pub"])
    page.until("document.getElementById('counted').textContent.startsWith('3 files')")
    verified(page)
    there = told({"json": page.run("report.json"), "said": page.run("report.said")})
    assert there == told(judge(Case(files)))
    assert there["files"] == ["logs/deep/a.log"]


def test_what_went_wrong_is_said_with_what_to_do(page, tmp_path):
    page.choose("#files", put(tmp_path, {"audit.log": LOG}))
    assert verified(page) == "Not verified."
    assert page.run("document.getElementById('trouble').textContent").startswith("no key was given")
    assert page.run("document.getElementById('found').hidden")


def test_a_file_that_changed_since_it_was_chosen_is_a_finding(page, tmp_path):
    paths = put(tmp_path, {"one.log": LOG, "payments.pub": PUBLIC, "two.log": b"", "three.log": LOG})
    page.choose("#files", paths)
    (tmp_path / "three.log").write_bytes(LOG + b"a line more\n")
    said = verified(page)
    assert said.startswith(("Verified. incomplete", "Verified. failed"))


WAYS = {
    "fetch": "fetch(there).then(done, no)",
    "request": "let x = new XMLHttpRequest(); x.onload = done; x.onerror = no; x.open('GET', there); x.send()",
    "picture": "let x = new Image(); x.onload = done; x.onerror = no; x.src = there",
    "socket": "let x = new WebSocket(there.replace('http', 'ws')); x.onopen = done; x.onerror = no",
    "script": "let x = document.createElement('script'); x.onload = done; x.onerror = no; x.src = there;"
    " document.head.append(x)",
    "frame": "let x = document.createElement('iframe'); x.src = there; document.body.append(x); setTimeout(no, 500)",
    "text as code": "setTimeout(() => { try { done(eval('1')) } catch { no() } })",
    "code in the page": "let x = document.createElement('script'); x.textContent = 'window.ran = 1';"
    " document.head.append(x); 'ran' in window ? done() : no()",
}


@pytest.mark.parametrize("way", WAYS)
def test_the_browser_lets_nothing_out_and_nothing_else_run(page, way):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        there = f"http://127.0.0.1:{server.getsockname()[1]}/"
        tried = f"new Promise((done, no) => {{ const there = '{there}'; {WAYS[way]} }})"
        assert page.run(f"{tried}.then(() => 'went out', () => 'refused')") == "refused"
        with suppress(BlockingIOError):  # a connection may be made ahead, but nothing goes over it
            came, _ = server.accept()
            with came:
                came.settimeout(0.5)
                with suppress(TimeoutError):
                    assert came.recv(1) == b""


def test_a_hostile_log_runs_nothing(page, tmp_path):
    hostile = b"".join(
        b"%s\n" % text
        for text in (
            b"<script>top.ran = 1; parent.ran = 1</script>",
            b"<img src=x onerror='top.ran = 1'>",
            b"</iframe><script>ran = 1</script>",
            b"</style><svg onload='top.ran = 1'>",
            b"<a href='javascript:top.ran = 1'>x</a><meta http-equiv=refresh content='0;url=https://127.0.0.1:9/'>",
        )
    )
    page.choose("#files", put(tmp_path, {"<img src=x onerror=ran=1>.log": hostile + LOG, "p.pub": PUBLIC}))
    assert verified(page).startswith("Verified. failed")
    page.until("document.getElementById('shown').contentDocument?.querySelector('h1') !== null")
    shown = "document.getElementById('shown').contentDocument"
    assert page.run(f"{shown}.querySelectorAll('script, img, [onload], [onerror], a[href^=javascript]').length") == 0
    assert page.run("'ran' in window") is False
    assert complaints(page) == []


def test_a_verification_can_be_stopped_and_begun_again(page, tmp_path):
    page.choose("#files", put(tmp_path, {"audit.log": LOG * 20_000, "p.pub": PUBLIC}))
    page.click("#verify")
    page.until("!document.getElementById('bar').hidden", 120)
    page.click("#stop")
    assert page.run("document.getElementById('status').textContent").startswith("Stopped.")
    page.click("#clear")
    page.choose("#files", put(tmp_path, {"small.log": LOG, "p.pub": PUBLIC}))
    assert verified(page).startswith("Verified. "), page.run("document.getElementById('trouble').innerText")


def test_the_page_is_used_by_keyboard_and_by_readers_with_other_senses(page, tmp_path):
    page.choose("#files", put(tmp_path, {"audit.log": LOG}))
    page.run("document.getElementById('pasted').focus()")
    page.type(SECRET.decode().strip())
    page.key("Enter", "\r")
    page.until("document.getElementById('status').textContent.startsWith('Verified.')", 120)
    assert page.run("document.activeElement.id") == "report"
    names = {name for role, name in page.tree() if role in ("button", "textbox", "progressbar")}
    assert {"Verify", "Save as HTML", "Or paste a key", "Options of the command"} <= names
    assert page.faults() == []


def test_nothing_is_kept(page, tmp_path):
    page.choose("#files", put(tmp_path, {"audit.log": LOG, "head": HEAD, "v": SECRET}))
    verified(page)
    assert page.run("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    assert page.run("indexedDB.databases().then(all => all.length)") == 0


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A directory with `big.log`, which is worth several workers, and its key `v`; LARGE says how much more it is."""
    here = tmp_path_factory.mktemp("large")
    place = ["--store", f"file:{here}/store"]
    line = "2026-11-28T12:00:00Z user=%d action=login from=10.0.0.%d ok=true\n"
    text = "".join(line % (number, number % 250) for number in range(100_000))

    def run(*words, given=None):
        subprocess.run([COMMAND, *words, *place], input=given, cwd=here, check=True, capture_output=True, timeout=600)

    run("init", "big", "--custody", f"master-key:{here}/m", "--verification-key", "v")
    while not (here / "big.log").exists() or (here / "big.log").stat().st_size < max(LARGE, 70) * 2**20:
        run("seal", "big", "-o", "big.log", given=text.encode() * 6)
    return here


def by_command(place, *options):
    """Return the report of the command on `big.log`."""
    ask = [COMMAND, "verify", "big.log", "--key", "v", "--store", "none", "--format", "json", *options]
    done = subprocess.run(ask, cwd=place, capture_output=True, text=True, timeout=600)
    return json.loads(done.stdout)


def by_page(page, place):
    """Return the page's report on `big.log`."""
    page.choose("#files", [place / "big.log", place / "v"])
    verified(page, 1200)
    return json.loads(page.run("report.json"))


def same(there, here):
    """Do two reports agree?"""
    return told({"json": json.dumps(there), "said": ""}) == told({"json": json.dumps(here), "said": ""})


@pytest.mark.timeout(3000)
def test_workers_side_by_side_find_what_the_command_finds(page, large):
    with open(large / "big.log", "r+b") as log:
        before = log.seek(33 * 2**20) and log.read(200)
        log.seek(33 * 2**20)
        log.write(before.replace(b"login", b"admin").replace(b"\n", b" ", 1))
        log.flush()
        try:
            here, there = by_command(large), by_page(page, large)
        finally:
            log.seek(33 * 2**20)
            log.write(before)
    assert len(here["findings"]) > 1
    assert same(there, here)


@pytest.mark.timeout(3000)
@pytest.mark.skipif(not LARGE, reason="takes minutes: TALLYSTICK_AUDITOR_MB=500 says how much")
def test_a_large_log_is_judged_at_a_sixth_of_the_commands_pace_at_least(page, large):
    """Both with all processors that there are; WebAssembly has no instructions for SHA-256, and four lanes, not 16."""
    here, there = by_command(large), by_page(page, large)
    assert same(there, here)
    pace = here["seconds"] / there["seconds"]
    print(f"\n{here['size'] >> 20} MiB in {there['seconds']:.1f} s, at {pace:.2f} of the command's pace")
    assert pace > 1 / 6
