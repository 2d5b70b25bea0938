"""How many signed heads a second a witness accepts in batches, against the Ed25519 verifications alone; and how long a
critical write takes, with one witness and with three.

python bench/witness.py
"""

import contextlib
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.witness.service import Service, Writer, running

import tallystick
from tallystick import _core

HEADS = 2000
BATCH = 200
WRITES = 500


def main() -> None:
    writer = Writer(50)
    opened = writer.open()
    steps = [writer.step() for _ in range(HEADS)]
    bodies = [b"".join(steps[at : at + BATCH]) for at in range(0, HEADS, BATCH)]
    keys = _core.Keys()
    with tempfile.TemporaryDirectory() as directory:
        public = Path(directory, "app.pub")
        public.write_text(writer.public)
        with open(public, "rb") as file:
            keys.add_public(file.fileno())
        log, known = _core.WitnessedLog(writer.public.encode()), []
        texts = [step.split(b"\n")[0] for step in steps]
        log.show([], [(opened.strip(), [])])
        began = time.process_time()
        for text in texts:  # each by itself: signature, paths and a cert that is known; "open first" is the answer
            log.show(known, [(text, [])])
        alone = time.process_time() - began
        with running(Service(Path(directory))) as service:
            writer.known_to(service)
            assert service.show(writer.root, opened).status == 200
            pid = service.process.pid
            before, began = cpu(pid), time.perf_counter()
            for body in bodies:
                said = service.show(writer.root, body)
                while said.status == 429:
                    time.sleep(float(said.headers["retry-after"]))
                    said = service.show(writer.root, body)
                assert said.status == 200, said
            wall, used = time.perf_counter() - began, cpu(pid) - before
    print(f"verifications alone    {HEADS / alone:8.0f} heads/s of processor time")
    print(f"accepted, {BATCH} a batch {HEADS / used:8.0f} heads/s of processor time, {HEADS / wall:.0f} by the clock")
    print(f"ratio                  {alone / used:8.2f}")
    for count in (1, 3):
        critical(count)


def critical(count: int) -> None:
    """Print how long critical writes take: the output is synced, the head is stored, the witnesses have it."""
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store, public = f"file:{place}/store", place / "app.pub"
        tallystick.create("app", store=store, custody=f"master-key:{place}/master.key", key_file=place / "app.key",
                          public_file=public)  # fmt: skip
        services = []
        for number in range(count):
            (place / str(number)).mkdir()
            services.append(stack.enter_context(running(Service(place / str(number)))))
            (place / str(number) / "logs" / "app.pub").write_bytes(public.read_bytes())
        times = []
        with tallystick.open(
            "app", output=place / "app.log", store=store, witness=[one.named for one in services]
        ) as log:
            for number in range(WRITES):
                began = time.perf_counter()
                log.write(f"payment={number} amount=9000", critical=True, timeout=60)
                times.append((time.perf_counter() - began) * 1000)
        times.sort()
        name = "one witness" if count == 1 else f"{count} witnesses"
        p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
        print(f"critical, {name:12} {p50:8.1f} ms at p50, {p99:.1f} ms at p99")


def cpu(pid: int) -> float:
    """Return the seconds of processor time that a process took."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


if __name__ == "__main__":
    main()
