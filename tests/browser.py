"""A real browser: headless Chromium, driven over a pipe, so that a test can click, type and look."""

import base64
import contextlib
import importlib.util
import itertools
import json
import os
import select
import shutil
import signal
import struct
import subprocess
import time
import zlib
from pathlib import Path

import pytest

from tests.processes import Started
from tests.servers import missing

CHROMIUM = shutil.which("chromium")
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--remote-debugging-pipe", "about:blank",
)  # fmt: skip


class Browser:
    """A browser with one page."""

    def __init__(self, home: Path) -> None:
        assert CHROMIUM is not None
        theirs, self._to = os.pipe()
        self._from, answers = os.pipe()
        command = ["bash", "-c", f'exec "$@" 3<&{theirs} 4>&{answers}', "-", CHROMIUM, *_OPTIONS]
        self._process = Started(
            [*command, f"--user-data-dir={home}/profile"],
            pass_fds=(theirs, answers),
            env=os.environ | {"HOME": str(home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs)
        os.close(answers)
        self._numbers, self._rest, self.events = itertools.count(1), b"", []
        self._answers: list[dict] = []  # of the call that waits
        self._session = None
        target = next(one for one in self._call("Target.getTargets")["targetInfos"] if one["type"] == "page")
        attached = self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def close(self) -> None:
        """End it."""
        os.close(self._to)
        os.close(self._from)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def look(self, width: int = 1280, height: int = 900, *, scheme: str = "light", phone: bool = False) -> None:
        """Set the size of the window, and the scheme that the reader prefers."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def scripts(self, *, run: bool) -> None:
        """Let scripts of pages run, or not."""
        self._call("Emulation.setScriptExecutionDisabled", value=not run)

    def open(self, url: str) -> None:
        """Open a page and wait until it is there."""
        self.events.clear()
        self._call("Page.navigate", url=url)
        self.until_loaded()

    def until_loaded(self) -> None:
        """Wait for the load of a page that a click or a key brings."""
        self._until(lambda: any(one["method"] == "Page.loadEventFired" for one in self.events))

    def run(self, script: str):
        """Return the value of an expression in the page."""
        done = self._call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def until(self, script: str, seconds: float = 60) -> None:
        """Wait until an expression in the page is true."""
        over = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < over, f"{script} did not become true"
            time.sleep(0.05)

    def click(self, selector: str) -> None:
        """Click in the middle of the first line of the first element of a selector."""
        x, y = self.run(
            f"(() => {{ const it = document.querySelector({selector!r}); it.scrollIntoView({{block: 'center'}});"
            " const box = it.getClientRects()[0]; return [box.x + box.width / 2, box.y + box.height / 2] })()"
        )
        self.events.clear()
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def key(self, name: str, text: str = "") -> None:
        """Press a key."""
        self.events.clear()
        code = {"Tab": 9, "Enter": 13}.get(name, 0)
        more = {"text": text} if text else {}
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=name, windowsVirtualKeyCode=code, **more)

    def type(self, text: str) -> None:
        """Type a text where the focus is."""
        self._call("Input.insertText", text=text)

    def choose(self, selector: str, paths: list[Path]) -> None:
        """Choose files in a field for them."""
        found = self._call("Runtime.evaluate", expression=f"document.querySelector({selector!r})")
        self._call("DOM.setFileInputFiles", objectId=found["result"]["objectId"], files=[str(path) for path in paths])

    def drop(self, paths: list[Path]) -> None:
        """Drop files and directories in the middle of the window."""
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self._call("Input.dispatchDragEvent", type=kind, x=400, y=300, data=data)

    def saving(self, directory: Path) -> None:
        """Put what is saved from pages into a directory."""
        self._call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(directory))

    def picture(self, path: Path, *, whole: bool = False) -> Path:
        """Write what is seen to a PNG."""
        done = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(done["data"]))
        return path

    def printed(self) -> bytes:
        """Return the page as it is printed, as PDF."""
        return base64.b64decode(self._call("Page.printToPDF")["data"])

    def tree(self) -> list[tuple[str, str]]:
        """Return role and name of each part that a screen reader finds."""
        nodes = self._call("Accessibility.getFullAXTree")["nodes"]
        return [(one["role"]["value"], one.get("name", {}).get("value", "")) for one in nodes if not one.get("ignored")]

    def faults(self) -> list[str]:
        """Return what axe finds wrong with the page for readers with other senses or other hands."""
        place = importlib.util.find_spec("axe_core_python")
        assert place is not None
        assert place.origin is not None
        self.run(Path(place.origin).with_name("axe.min.js").read_text("utf-8") + ";0")
        self.run("axe.configure({allowedOrigins: ['<unsafe_all_origins>']}), 0")  # a page of a file has no origin
        found = self.run("axe.run().then(done => done.violations.map(one => [one.id, one.nodes.map(n => n.html)]))")
        return [f"{name}: {html[:200]}" for name, places in found for html in places]

    def complaints(self) -> list[str]:
        """Return what the browser refused or scripts threw since the last page was opened."""
        self._call("Runtime.evaluate", expression="0")
        return [
            str(one["params"]) for one in self.events if one["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")
        ]

    def requested(self) -> list[str]:
        """Return the URLs that were asked for since the last page was opened."""
        self._call("Runtime.evaluate", expression="0")
        sent = [one for one in self.events if one["method"] == "Network.requestWillBeSent"]
        return [one["params"]["request"]["url"] for one in sent]

    def _call(self, method: str, **params):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        answer = self._until(lambda: next((one for one in self._answers if one["id"] == number), None))
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def _until(self, found, seconds: float = 60):
        over = time.monotonic() + seconds
        self._answers = []
        while not (done := found()):
            ready, _, _ = select.select([self._from], [], [], max(over - time.monotonic(), 0))
            assert ready, "the browser does not answer"
            data = os.read(self._from, 1 << 20)
            assert data, "the browser has ended"
            *messages, self._rest = (self._rest + data).split(b"\0")
            for text in messages:
                message = json.loads(text)
                (self._answers if "id" in message else self.events).append(message)
        return done


@pytest.fixture(scope="session")
def window(tmp_path_factory):
    """A browser for all tests of a process."""
    if CHROMIUM is None:
        missing("chromium", "apt install chromium")
    made = Browser(tmp_path_factory.mktemp("browser"))
    yield made
    made.close()


@pytest.fixture
def browser(window):
    """The browser, as it is when it is new."""
    window.scripts(run=True)
    window.look()
    yield window
    window.scripts(run=True)
    window.open("about:blank")


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
