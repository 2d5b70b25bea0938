"""The report as JSON, for programs, and the schema of that form.

The output is ASCII, whatever stands in file names and excerpts: it is valid on any terminal and in any pipe.
"""

import json
from importlib import resources
from typing import Any

from tallystick.verify.report import Report

__all__ = ["as_json", "json_report", "schema"]


def json_report(report: Report) -> str:
    """Return the report in the form of `tallystick_report` 1."""
    return as_json(report.to_dict())


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) that each such report follows."""
    text = resources.files("tallystick.reports").joinpath("report-1.schema.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def as_json(value: Any) -> str:
    """Return a value as text in JSON."""
    return json.dumps(value, indent=1) + "\n"
