"""The report as SARIF 2.1.0, for code scanning services, dashboards and whatever else collects findings.

One run; a rule for each kind of findings; a result for each finding. What an exceptions file allowed is suppressed.
"""

import hashlib
import json
import os
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from tallystick.reports.meanings import headline, verdict
from tallystick.reports.plain import as_json
from tallystick.reports.words import safe, when
from tallystick.verify.catalogue import CATALOGUE, Entry, Kind, Weight
from tallystick.verify.report import Finding, LogReport, Report, WitnessReport

__all__ = ["sarif_report"]

_LEVELS = {Weight.FAILED: "error", Weight.INCOMPLETE: "warning", Weight.NOTE: "note"}


def sarif_report(report: Report) -> str:
    """Return the report as a SARIF log with one run."""
    return as_json(
        {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [_run(report)]}
    )


def _run(report: Report) -> dict[str, Any]:
    kinds = list(CATALOGUE)
    excepted = any(finding.kind == Kind.EXCEPTED for finding in report.findings)
    results = [_result(finding, kinds.index(finding.kind), report) for finding in report.findings]
    if excepted:  # SARIF wants it said of all results of a run, or of none
        for result, finding in zip(results, report.findings, strict=True):
            result["suppressions"] = _suppressions(finding)
    return {
        "tool": {
            "driver": {
                "name": "tallystick",
                "version": version("tallystick"),
                "shortDescription": {"text": "Verifies sealed, tamper-evident audit logs."},
                "rules": [_rule(entry) for entry in CATALOGUE.values()],
            }
        },
        "invocations": [
            {
                "executionSuccessful": True,  # of the verification; what it found is in the results
                "exitCode": report.verdict.exit_status,
                "exitCodeDescription": verdict(report),
                "startTimeUtc": when(report.time),
                "endTimeUtc": when(report.time + round(report.seconds * 1000)),
            }
        ],
        "columnKind": "unicodeCodePoints",
        "results": results,
        "properties": {
            "verdict": report.verdict.value,
            "headline": headline(report),
            "allowed": list(report.allowed),
            "lines": report.lines,
            "unsealed": report.unsealed,
            "size": report.size,
            "files": [safe(path) for path in report.files],
            "logs": [_log(log) for log in report.logs],
        },
    }


def _rule(entry: Entry) -> dict[str, Any]:
    return {
        "id": _rule_id(entry.kind),
        "name": "".join(word.capitalize() for word in entry.kind.split()),
        "shortDescription": {"text": entry.title},
        "fullDescription": {"text": entry.meaning},
        "help": {"text": f"{entry.meaning} The kind `{entry.kind}` stands in section 7 of the specification."},
        "defaultConfiguration": {"level": _LEVELS[entry.usual]},
        "properties": {"tags": ["security", "audit-log"]},
    }


def _rule_id(kind: Kind) -> str:
    return kind.replace(" ", "-")


def _result(finding: Finding, rule: int, report: Report) -> dict[str, Any]:
    message = finding.detail + (f" (perhaps: {finding.cause})" if finding.cause else "")
    told = {
        "kind": finding.kind,
        "log": finding.log,
        "position": finding.position,
        "to": finding.to,
        "count": finding.count,
        "offset": finding.offset,
        "cause": finding.cause,
        "sha256": finding.sha256,
    }
    return {
        "ruleId": _rule_id(finding.kind),
        "ruleIndex": rule,
        "level": _LEVELS[finding.weight],
        "message": {"text": _message(message)},
        "locations": _locations(finding, report),
        "partialFingerprints": {"tallystick/v1": _fingerprint(finding)},
        "properties": {name: value for name, value in told.items() if value is not None},
    }


def _message(text: str) -> str:
    """Return a text in which nothing is taken for a placeholder or a link (SARIF sections 3.11.5 and 3.11.6)."""
    return safe(text).replace("{", "{{").replace("}", "}}").replace("](", "] (")


def _locations(finding: Finding, report: Report) -> list[dict[str, Any]]:
    location: dict[str, Any] = {}
    if finding.path is not None:
        physical: dict[str, Any] = {"artifactLocation": {"uri": _uri(finding.path)}}
        if finding.line is not None:
            physical["region"] = _region(finding, finding.line)
        location["physicalLocation"] = physical
    elif report.files:
        # Services refuse a whole log for one result without a file, and what is missing is in none.
        location["physicalLocation"] = {"artifactLocation": {"uri": _uri(report.files[0])}}
        location["message"] = {"text": "this is about the log as a whole; the first file that was read stands for it"}
    if finding.log is not None:
        name = f"{finding.log}:{finding.position}" if finding.position else finding.log
        location["logicalLocations"] = [
            {
                "name": finding.position or finding.log,
                "fullyQualifiedName": name,
                "kind": "position" if finding.position else "log",
            }
        ]
    return [location] if location else []


def _region(finding: Finding, line: int) -> dict[str, Any]:
    region: dict[str, Any] = {"startLine": line}
    if finding.offset is not None:
        region["byteOffset"] = finding.offset
    if finding.excerpt is not None:
        region["snippet"] = {"text": safe(finding.excerpt)}
    return region


def _uri(path: str) -> str:
    """Return the URI of a file, byte for byte: relative if the path is."""
    return ("file://" if path.startswith("/") else "") + quote(os.fsencode(path), safe="/")


def _fingerprint(finding: Finding) -> str:
    """Return what is the same for the same finding in each run: by position or hash, for files are rotated."""
    if finding.position is not None:
        place: list[Any] = [finding.position, finding.to]
    elif finding.sha256 is not None:
        place = [finding.sha256]
    else:
        place = [safe(finding.path) if finding.path else None, finding.line]
    return hashlib.sha256(json.dumps([finding.kind, finding.log, *place]).encode()).hexdigest()


def _suppressions(finding: Finding) -> list[dict[str, Any]]:
    if finding.kind != Kind.EXCEPTED:
        return []
    return [{"kind": "external", "status": "accepted", "justification": safe(finding.detail)}]


def _log(log: LogReport) -> dict[str, Any]:
    names = ("name", "log_id", "key", "first", "last", "start", "end", "chains", "epochs", "sealed", "prefixed",
             "reserialized", "redacted", "uncovered")  # fmt: skip
    return {
        "verdict": log.verdict.value,
        **{name: getattr(log, name) for name in names},
        "witnesses": [_witness(one) for one in log.witnesses],
    }


def _witness(one: WitnessReport) -> dict[str, Any]:
    """Return what a witness says of the end, without the signed texts: a result is no place for evidence."""
    url = None if one.url is None else safe(one.url)
    trouble = None if one.trouble is None else safe(one.trouble)
    told = {"name": one.name, "key": one.key, "url": url, "position": one.position, "received": one.received}
    return {"vouches": one.trouble is None, **told, "trouble": trouble}
