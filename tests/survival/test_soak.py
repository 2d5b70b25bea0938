"""Many lines through `tallystick run`, with rotation, compression and retention: flat memory, and the rest verifies."""

import os
import sys
import time

from backports import zstd

from tests.places import COMMAND
from tests.processes import Started

LINES = int(os.environ.get("TALLYSTICK_LINES", "300000"))
SOURCE = (
    "import sys\n"
    "count = int(sys.argv[1])\n"
    "for start in range(0, count, 1000):\n"
    "    numbers = range(start, min(count, start + 1000))\n"
    "    lines = (f'n={i} user={i % 977} action=transfer amount={i * 31 % 9973}\\n' for i in numbers)\n"
    "    sys.stdout.write(''.join(lines))\n"
)


def resident(pid):
    """Return how much memory of a process is resident, in kB; None if it is gone."""
    try:
        with open(f"/proc/{pid}/status") as status:
            return next((int(line.split()[1]) for line in status if line.startswith("VmRSS:")), None)
    except (FileNotFoundError, ProcessLookupError):
        return None


def test_memory_stays_flat_and_what_is_kept_verifies(site):
    size = max(500_000, min(20_000_000, LINES * 10))
    began, samples = time.monotonic(), []
    with open(site.path / "said", "wb") as said:
        running = Started(
            [COMMAND, "run", "payments", "-o", "audit.log", "--rotate-size", str(size), "--keep", "5",
             "--compress", "zst", "--", sys.executable, "-c", SOURCE, str(LINES)],
            cwd=site.path, env=site.env, stderr=said,
        )  # fmt: skip
        while running.poll() is None:
            if (now := resident(running.pid)) is not None:
                samples.append(now)
            time.sleep(min(1.0, LINES / 30_000_000))
    took = time.monotonic() - began
    assert (running.returncode, (site.path / "said").read_bytes()) == (0, b"")

    samples = samples[len(samples) // 10 :]  # to load the program takes a while
    half = len(samples) // 2
    first, second = max(samples[:half]), max(samples[half:])
    print(f"{LINES} lines in {took:.1f} s; at most {first} kB resident in the first half, {second} kB in the second")
    assert second < first * 1.1 + 4096

    rotated = sorted(path.name for path in site.path.glob("audit.log.*"))
    assert 1 <= len(rotated) <= 5
    start = int(rotated[0].split(".")[2])
    assert start > 1, "nothing was removed"
    report = site.report("audit.log*", more=("--from", str(start)))
    assert (report["verdict"], {finding["kind"] for finding in report["findings"]}) == ("ok", {"notice"})  # removals
    # The last line may have filled a file, which the end of the writer may have left as it was.
    newest = (site.path / rotated[-1]).read_bytes()
    newest = (zstd.decompress(newest) if rotated[-1].endswith(".zst") else newest) + site.read()
    assert b"n=%d " % (LINES - 1) in newest
