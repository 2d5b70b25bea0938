"""The auditor's page, where it was made; and what it has Python do, without it."""

import importlib.util
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.browser import CHROMIUM, Browser

ROOT = Path(__file__).resolve().parents[2]
PAGE = os.environ.get("TALLYSTICK_AUDITOR_PAGE")  # `make auditor` names the page that it has just made


def _judging() -> Any:
    spec = importlib.util.spec_from_file_location("judging", ROOT / "packaging" / "auditor" / "judging.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


JUDGING = _judging()


@dataclass(frozen=True)
class Case:
    """What is given to the page."""

    files: dict[str, bytes]
    options: str = ""
    pasted: str = ""


@pytest.fixture
def judge(tmp_path_factory, monkeypatch):
    """Have Python do here what it does in the page."""

    def do(case: Case) -> dict[str, Any]:
        place = tmp_path_factory.mktemp("given")
        for path, data in case.files.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes(data)
        pasted = None
        if case.pasted:
            pasted = str(tmp_path_factory.mktemp("pasted") / "pasted")
            Path(pasted).write_text(case.pasted + "\n")
        with monkeypatch.context() as patch:
            patch.chdir(place)
            return json.loads(JUDGING.judged(list(case.files), case.options, pasted, lambda *_: None))

    return do


def told(result: dict[str, Any]) -> dict[str, Any]:
    """Return all that two runs over the same bytes must agree on: the report but for its times, or what went wrong."""
    if "trouble" in result:
        return result
    report = json.loads(result["json"])
    for name in ("seconds", "time", "command"):
        report.pop(name, None)
    for key in report["keys"]:
        key["path"] = Path(key["path"]).name
    return report | {"said": result["said"]}


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A browser with the page open, and Python ready in it."""
    if PAGE is None:
        pytest.skip("the page for auditors takes long to make, and is tested by: make auditor")
    assert CHROMIUM is not None, "chromium is not installed: there is no browser to look at the page with"
    one = Browser(tmp_path_factory.mktemp("browser"))
    yield one
    one.close()


@pytest.fixture
def page(browser):
    """The page, opened anew, and ready."""
    browser.open(Path(PAGE).resolve().as_uri())
    browser.until("document.getElementById('status').textContent === 'Ready.'", 120)
    return browser
