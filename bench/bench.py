"""Measures sealing and verifying, in one run and as ratios, and writes docs/benchmarks.md.

    python bench/bench.py [--lines N] [--rounds N] [--large N] [--write FILE]

Every figure is lines per second. Baselines run in the same rounds, one after the other, so that a ratio holds when
the machine's speed drifts:
  (a) a loop in pure Python, file to file, that does what a simple sealed log does: SHA-256 ratchet and HMAC-SHA-256
      a line, the tag put behind it in base64; and its verifier, which splits, tags and compares;
  (b) plain SHA-256 over the same bytes in one go, which no scheme that hashes every byte can pass on one core.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path

from acra import acra_section
from agent import agent_section
from calls import calls_section
from cost import features
from measure import Measure, json_line, plain_line
from volume import volume_section

TARGETS = {"seal": (4, 1.0), "verify with V, one core": (5, 1.2), "cat with V, all cores": (4, 1.0)}
"""At least so many times (a), and so many million lines per second on a machine like the one of the first figures."""

WHAT = (
    ("seal", "`tallystick seal FILE -o FILE`"),
    ("write() per call", "`Log.write()`, a call a line"),
    ("verify with V, one core", "`verify --key`, one thread"),
    ("verify with V, all cores", "`verify --key`, a thread a processor"),
    ("verify with P, one core", "`verify --public`, one thread"),
    ("cat with V, all cores", "`cat --key`: verified, then read and written once more"),
    ("cat with P, all cores", "`cat --public`, the same"),
    ("python seal", "(a) sealing loop in pure Python"),
    ("python verify", "(a) verifying loop in pure Python"),
    ("python primitives", "ratchet and HMAC alone in pure Python, in memory"),
    ("sha256", "(b) plain SHA-256 over the same bytes"),
)


def machine() -> str:
    """Return what this was measured on."""
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{model}, {os.cpu_count()} processors, with {features()}; Linux {platform.release()}"


def against(rates: dict[str, list[float]], what: str) -> list[float]:
    """Return the ratios of single rounds to (a): to its verifier for what verifies, else to its sealer."""
    base = rates["python verify" if "verify" in what or "cat" in what else "python seal"]
    return [mine / theirs for mine, theirs in zip(rates[what], base, strict=True)]


def table(measure: Measure) -> list[str]:
    """Return the figures of one form as a table."""
    rates = measure.rates
    size = measure.sealed.stat().st_size / measure.lines
    lines = [
        f"## {measure.form} lines, {size:.0f} bytes each when sealed",
        "",
        "| what | million lines/s: median (min to max) | times (a) | of (b) |",
        "| --- | --- | --- | --- |",
    ]
    for what, name in WHAT:
        ratios = against(rates, what)
        limit = [mine / theirs for mine, theirs in zip(rates[what], rates["sha256"], strict=True)]
        figures = [rate / 1e6 for rate in rates[what]]
        lines.append(
            f"| {name} | {statistics.median(figures):.2f} ({min(figures):.2f} to {max(figures):.2f}) "
            f"| {statistics.median(ratios):.1f} | {statistics.median(limit):.0%} |"
        )
    peaks = {what: max(values) / 1e6 for what, values in measure.memory.items()}
    lines += ["", f"Peak memory: seal {peaks['seal']:.0f} MB, verify on one thread {peaks['verify']:.0f} MB.", ""]
    return lines


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", type=int, default=10_000_000, help="lines of a production volume; 0 for none")
    parser.add_argument("--write", type=Path, metavar="FILE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tallystick-bench-") as name:
        place = Path(name)
        forms = [Measure(place, "plain", plain_line, options.lines), Measure(place, "json", json_line, options.lines)]
        for number in range(options.rounds):
            for form in forms:
                print(f"round {number + 1} of {options.rounds}, {form.form} lines", file=sys.stderr)
                form.round()
        few = min(100_000, options.lines)
        given = f"{options.lines:,} lines of each form, {options.rounds} rounds; (a) and per-call with {few:,} lines"
        text = [
            "# Benchmarks",
            "",
            "Written by `make bench`. Whole processes are measured, start and end included; each ratio is the median",
            "of the ratios of single rounds, in which everything runs one after the other on the same machine.",
            "",
            f"- Machine: {machine()}.",
            f"- Versions: tallystick {version()}, Python {platform.python_version()}, {openssl()} (baselines).",
            f"- Input: {given}.",
            "",
        ]
        # First, for what this process holds later counts as the peak memory of those that it starts.
        volume = volume_section(place, options.large, max(1, options.rounds // 2 + 1)) if options.large else []
        text += targets(forms)
        for form in forms:
            text += table(form)
        text += calls_section(place)
        text += agent_section(place, options.rounds)
        text += acra_section(place, options.rounds)
        text += volume
    text += ["## Cost over time", "", (Path(__file__).parent / "history.md").read_text(encoding="utf-8").rstrip()]
    print("\n".join(text))
    if options.write:
        options.write.write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")


def targets(forms: list[Measure]) -> list[str]:
    """Return how the figures stand against what the project sets itself."""
    lines = ["## Targets", "", "| what | target | plain | json |", "| --- | --- | --- | --- |"]
    for what, (least, rate) in TARGETS.items():
        ratios = [f"{statistics.median(against(form.rates, what)):.1f}" for form in forms]
        rates = [f"{statistics.median(form.rates[what]) / 1e6:.2f}" for form in forms]
        lines.append(f"| {what}, times (a) | {least} | {' | '.join(ratios)} |")
        lines.append(f"| {what}, million lines/s | {rate} | {' | '.join(rates)} |")
    return [*lines, ""]


def version() -> str:
    """Return the version of the package."""
    from importlib.metadata import version as of

    return of("tallystick")


def openssl() -> str:
    """Return the version of the library that the baselines hash with."""
    import ssl

    return ssl.OPENSSL_VERSION


if __name__ == "__main__":
    main()
