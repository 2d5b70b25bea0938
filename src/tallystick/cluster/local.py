"""A cluster on this machine, for one verification: a scheduler, and a worker for each processor.

The scheduler is another process than the one that holds the keys. All of them speak TLS with a certificate that was
made for this run, and end with the process that started them.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

from tallystick.errors import ReportError
from tallystick.system import processors

__all__ = ["local_cluster"]

_STARTED_WITHIN = 60.0  # seconds
_ENDED_WITHIN = 5.0  # seconds
_MEMORY = "1 GiB"  # of a worker, beyond which it is started again


@contextlib.contextmanager
def local_cluster() -> Iterator[tuple[str, Any]]:
    """Start a cluster; give the address of its scheduler, and what a client needs to connect to it.

    Raises:
        ReportError: It does not start.
    """
    from distributed.security import Security

    security = Security.temporary()  # type: ignore[no-untyped-call]
    environment = {**os.environ, "DASK_INTERNAL_INHERIT_CONFIG": _config(security)}
    with tempfile.TemporaryDirectory(prefix="tallystick-") as place, contextlib.ExitStack() as running:
        file = os.path.join(place, "scheduler.json")
        options = {"protocol": "tls://", "host": "127.0.0.1", "port": 0, "dashboard": False, "scheduler_file": file}
        scheduler = _start(running, environment, {"cls": "distributed.Scheduler", "opts": options})
        address = _address(file, scheduler)
        node = {"nthreads": 1, "host": "127.0.0.1", "memory_limit": _MEMORY, "local_directory": place}
        for number in range(processors()):
            opts = {**node, "name": str(number), "dashboard": False}
            _start(running, environment, {"cls": "distributed.Nanny", "opts": opts}, address)
        yield address, security


def _config(security: Any) -> str:
    """Return Dask's configuration for the processes: with the certificate, and without what only a dashboard shows."""
    from dask import config

    tls = {"ca-file": security.tls_ca_file}
    for role in ("scheduler", "worker", "client"):
        tls[role] = security.get_tls_config_for_role(role) and {
            "cert": getattr(security, f"tls_{role}_cert"),
            "key": getattr(security, f"tls_{role}_key"),
        }
    unseen = {"worker": {"profile": {"enabled": False}}, "admin": {"system-monitor": {"interval": "5s"}}}
    return str(config.serialize({"distributed": {"comm": {"require-encryption": True, "tls": tls}, **unseen}}))


def _start(
    running: contextlib.ExitStack, environment: Mapping[str, str], spec: Mapping[str, Any], *arguments: str
) -> "subprocess.Popen[bytes]":
    command = [
        sys.executable,
        "-m",
        "tallystick.cluster.node",
        str(os.getpid()),
        *arguments,
        "--spec",
        json.dumps(spec),
    ]
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    running.callback(_end, process)
    return process


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_ENDED_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_ENDED_WITHIN)


def _address(file: str, scheduler: "subprocess.Popen[bytes]") -> str:
    """Return what the scheduler wrote of itself."""
    until = time.monotonic() + _STARTED_WITHIN
    while time.monotonic() < until and scheduler.poll() is None:
        with contextlib.suppress(OSError, ValueError, KeyError), open(file, encoding="utf-8") as text:
            return str(json.load(text)["address"])
        time.sleep(0.05)
    raise ReportError("the cluster on this machine does not start", hint="name one that runs: --engine dask:ADDRESS")
