#!/usr/bin/env python3
"""Make the fixtures beside this file: sealed lines, and the same lines as carriers deliver them.

    python tests/carriers/make.py [NAME…]      NAME: sealed, docker, cri, journal, rsyslog, exports; all if none

The sealed lines have fixed keys and times, so they are the same each time. Where the carrier itself can be run,
it is: `docker` and `cri` need Go and fetch the engines' own logging packages, `journal` needs root and
systemd-journald, `rsyslog` needs rsyslogd in the PATH. What `exports` makes has the shape that the tools document.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tallystick import _core

HERE = Path(__file__).resolve().parent
TIME = 1_795_421_745_123  # 2026-11-23T08:15:45.123Z

APP = [
    b"user=7 action=login ok=true",
    b'{"time":"2026-11-23T08:15:45.1Z","level":"info","msg":"payment of 12 \xe2\x82\xac","items":[1,2.50,{"a":null}]}',
    b"html <b>bold</b> & \"quoted\" 'single' back\\slash /slash",
    "unicode: é ü 日本 \U0001f600 line\u2028paragraph\u2029separator".encode(),
    b"tab\there, escape \x1b[31mred\x1b[0m, bell \x07, delete \x7f",
    b'{"msg":"escapes \\u003c \\n \\\\ \\" <&>","tabs":"\\t"}',
    b"  begins with two blanks, and says #011 and #12 itself",
    b"",
    b"[1]: looks like Nov 23 08:15:45 host app[12]: a head",
    b"x" * 2900 + b" is longer than one message of this journal",
]
BYTES = [b"invalid \xff\xfe here", b"latin-1 caf\xe9"]
# The last one is, with its seal, exactly as long as two of the engines' buffers.
LONG = [b"a" * 17_000, b"short", b"b" * (2 * 16_384 - len(b" tally=aaaaaaaa.1.0.3.32713.") - 22)]
LOGS = {"app": (1, APP, "plain"), "bytes": (2, BYTES, "plain"), "long": (3, LONG, "json")}

DOCKER = "github.com/docker/docker@v28.2.2+incompatible"
CONTAINERD = "github.com/containerd/containerd@v1.7.27"


def sealed(name: str) -> list[bytes]:
    """Return the sealed lines of a log, without line ends."""
    return (HERE / f"{name}.log").read_bytes().split(b"\n")[:-1]


def make_sealed() -> None:
    """Seal each log with keys of its own, and decommission it, so that its end needs no head."""
    for name, (seed, entries, control) in LOGS.items():
        setup = _core.setup(name, (bytes([seed]) * 32, bytes([seed + 100]) * 32))
        with (HERE / f"{name}.key").open("wb") as file:
            setup.write_key(file.fileno())
        sealer = setup.state().open_chain(bytes(setup.head()), TIME)
        sealer.configure(control, 4096)
        with (HERE / f"{name}.log").open("wb") as file:
            out = _core.Output(file.fileno())
            sealer.start(out)
            for entry in entries:
                out.looked_at(TIME)
                sealer.write(entry, out, TIME)
            sealer.end(out, TIME)


def feed(path: Path, pieces: list[tuple[float, bytes]]) -> None:
    """Write pieces into a pipe, each after a pause in seconds."""
    with path.open("wb", buffering=0) as pipe:
        for pause, piece in pieces:
            time.sleep(pause)
            while piece:
                piece = piece[pipe.write(piece) :]


def through_engine(module: str, program: str, output: str, errors: list[bytes]) -> None:
    """Run an engine's own logger over the long log on stdout, and `errors` on stderr while a part waits."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "go.mod").write_text("module engine\n\ngo 1.23\n")
        (work / "main.go").write_text(program)
        run = {"cwd": work, "check": True}
        subprocess.run(["go", "get", module], **run)
        subprocess.run(["go", "mod", "tidy"], **run)
        subprocess.run(["go", "build", "-o", "engine", "."], **run)
        for pipe in ("out", "err"):
            os.mkfifo(work / pipe)
        engine = subprocess.Popen([work / "engine", work / "log", work / "out", work / "err"])
        whole = b"".join(line + b"\n" for line in sealed("long"))
        middle = whole.index(b"a" * 100) + 16_500
        half = len(errors) // 2
        texts = [b"".join(line + b"\n" for line in lines) for lines in (errors[:half], errors[half:])]
        threads = [
            threading.Thread(target=feed, args=(work / "out", [(0, whole[:middle]), (0.6, whole[middle:])])),
            threading.Thread(target=feed, args=(work / "err", [(0.3, texts[0]), (0.6, texts[1])])),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        engine.wait(60)
        shutil.copyfile(work / "log", HERE / output)


def make_docker() -> None:
    """Docker's Copier and json-file driver; invalid UTF-8 does not survive it."""
    program = """package main

import (
	"io"
	"os"

	"github.com/docker/docker/daemon/logger"
	"github.com/docker/docker/daemon/logger/jsonfilelog"
)

func open(name string) io.Reader {
	file, err := os.Open(name)
	if err != nil {
		panic(err)
	}
	return file
}

func main() {
	driver, err := jsonfilelog.New(logger.Info{LogPath: os.Args[1], ContainerID: "0123456789abcdef"})
	if err != nil {
		panic(err)
	}
	copier := logger.NewCopier(map[string]io.Reader{"stdout": open(os.Args[2]), "stderr": open(os.Args[3])}, driver)
	copier.Run()
	copier.Wait()
	driver.Close()
}
"""
    through_engine(DOCKER, program, "docker.json", sealed("app"))


def make_cri() -> None:
    """containerd's CRI logger, with kubelet's usual size of a line."""
    program = """package main

import (
	"io"
	"os"

	cri "github.com/containerd/containerd/pkg/cri/io"
)

type file struct{ *os.File }

func (file) Close() error { return nil }

func main() {
	log, err := os.OpenFile(os.Args[1], os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		panic(err)
	}
	var all []<-chan struct{}
	for i, stream := range []cri.StreamType{cri.Stdout, cri.Stderr} {
		in, err := os.Open(os.Args[2+i])
		if err != nil {
			panic(err)
		}
		out, stopped := cri.NewCRILogger(os.Args[1], file{log}, stream, 16*1024)
		go func() {
			io.Copy(out, in)
			out.Close()
		}()
		all = append(all, stopped)
	}
	for _, stopped := range all {
		<-stopped
	}
}
"""
    through_engine(CONTAINERD, program, "cri.log", sealed("app") + sealed("bytes"))


def make_journal() -> None:
    """systemd-journald in a mount namespace of its own, with short messages so that a small file shows parts."""
    script = f"""set -e
mount -t tmpfs none /run
mount -t tmpfs none /etc/systemd
mkdir -p /run/systemd/journal /run/log/journal/$(cat /etc/machine-id)
printf '[Journal]\\nLineMax=1K\\nRateLimitBurst=0\\n' > /etc/systemd/journald.conf
/lib/systemd/systemd-journald &
sleep 1
cat {HERE}/app.log {HERE}/bytes.log | systemd-cat -t app
sleep 1
for form in export json; do
    journalctl -D /run/log/journal -t app --all -o $form > {HERE}/journal.$form
done
kill $!
"""
    subprocess.run(["unshare", "--mount", "bash", "-c", script], check=True)
    anonymous(HERE / "journal.export", HERE / "journal.json")


def anonymous(*paths: Path) -> None:
    """Replace what tells of the machine that made a file; text fields only, so no size changes."""
    ids = [Path("/etc/machine-id").read_text().strip(), Path("/proc/sys/kernel/random/boot_id").read_text().strip()]
    for path in paths:
        data = path.read_bytes()
        for secret in [*ids, ids[1].replace("-", "")]:
            data = data.replace(secret.encode(), (b"0123456789abcdef" * 3)[: len(secret)])
        path.write_bytes(data.replace(socket.gethostname().encode(), b"host"))


@contextlib.contextmanager
def rsyslogd(work: Path) -> Iterator[Path]:
    """Run rsyslogd with three of its formats; yields the socket that takes messages."""
    templates = {
        "rsyslog-traditional.log": "RSYSLOG_TraditionalFileFormat",
        "rsyslog-file.log": "RSYSLOG_FileFormat",
        "rsyslog-rfc5424.log": "RSYSLOG_SyslogProtocol23Format",
    }
    actions = [f'action(type="omfile" file="{work}/{file}" template="{name}")' for file, name in templates.items()]
    modules = os.environ.get("RSYSLOG_MODULES")
    lines = [
        'global(maxMessageSize="64k" localHostname="host")',
        'module(load="imuxsock" SysSock.Use="off")',
        f'input(type="imuxsock" Socket="{work}/log.sock" UseSpecialParser="on" HostName="host")',
        *actions,
    ]
    config = work / "rsyslog.conf"
    config.write_text("\n".join(lines) + "\n")
    command = ["rsyslogd", "-n", "-f", str(config), "-i", str(work / "pid"), *(["-M", modules] if modules else [])]
    daemon = subprocess.Popen(command, env=os.environ | {"TZ": "UTC"})
    try:
        for _ in range(100):
            if (work / "log.sock").exists():
                break
            time.sleep(0.1)
        yield work / "log.sock"
        time.sleep(1)
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(10)
    for file in templates:
        shutil.copyfile(work / file, HERE / file)


def make_rsyslog() -> None:
    """Each sealed line as a program's syslog() sends it, through rsyslogd into files."""
    with (
        tempfile.TemporaryDirectory() as name,
        rsyslogd(Path(name)) as path,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
    ):
        sender.connect(str(path))
        for line in sealed("app") + sealed("bytes"):
            sender.send(b"<13>Nov 23 08:15:45 app[4711]: " + line)


def make_exports() -> None:
    """Lines as search engines and log stores give them out; some write non-ASCII as it is, some escaped."""
    when, lines = "2026-11-23T08:15:45.123Z", [line.decode() for line in sealed("app")]

    def elasticsearch(number: int, line: str) -> object:
        source = {"@timestamp": when, "host": {"name": "web-1"}, "message": line, "tags": ["prod"]}
        return {"_index": "logs-2026.11.23", "_id": f"aZ{number:018}", "_score": 1, "_source": source}

    def splunk(number: int, line: str) -> object:
        result = {"_time": "2026-11-23 08:15:45.123 UTC", "_raw": line, "host": "web-1", "sourcetype": "app"}
        return {"preview": False, "offset": number, "result": result}

    def loki(number: int, line: str) -> object:
        labels = {"app": "payments", "detected_level": "unknown"}
        return {"labels": labels, "line": line, "timestamp": f"2026-11-23T08:15:45.{number:09}Z"}

    def cloudwatch(number: int, line: str) -> object:
        event = {"logStreamName": "i-0123456789", "timestamp": TIME + number, "message": line}
        return event | {"ingestionTime": TIME + 1000, "eventId": f"{number:056}"}

    for name, shape, ascii_only in (
        ("elasticsearch", elasticsearch, False),
        ("splunk", splunk, False),
        ("loki", loki, False),
        ("cloudwatch", cloudwatch, True),
    ):
        records = (shape(number, line) for number, line in enumerate(lines))
        text = "".join(json.dumps(r, ensure_ascii=ascii_only, separators=(",", ":")) + "\n" for r in records)
        (HERE / f"{name}.jsonl").write_text(text, encoding="utf-8")
    make_answers(elasticsearch, cloudwatch)


def make_answers(elasticsearch: Callable[[int, str], object], cloudwatch: Callable[[int, str], object]) -> None:
    """The same lines in whole answers of those stores, and as Firehose delivers them."""
    lines = [line.decode() for line in sealed("app")]

    def short(value: object) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def subscription(number: int, part: list[str]) -> object:
        events = [{"id": f"{number + i:056}", "timestamp": TIME, "message": line} for i, line in enumerate(part)]
        about = {"messageType": "DATA_MESSAGE", "owner": "123456789012", "logGroup": "payments", "logStream": "i-01"}
        return about | {"subscriptionFilters": ["all"], "logEvents": events}

    streams = [
        {
            "stream": {"app": "payments", "values": "x"},
            "values": [[f"{TIME + i}000000", line, {}][: 2 + i % 2] for i, line in part],
        }
        for part in (list(enumerate(lines))[:5], list(enumerate(lines))[5:])
    ]
    loki = {
        "status": "success",
        "data": {"resultType": "streams", "result": streams, "stats": {"summary": {"values": []}}},
    }
    hits = [elasticsearch(number, line) for number, line in enumerate(lines)]
    search = {"took": 3, "timed_out": False, "hits": {"total": {"value": len(lines), "relation": "eq"}, "hits": hits}}
    pages = [
        {"events": [cloudwatch(i, line) for i, line in enumerate(part)], "searchedLogStreams": []}
        for part in (lines[:4], lines[4:])
    ]
    action = short({"create": {"_index": "logs-2026.11.23", "_id": "1"}})
    for name, text in {
        "loki-query.json": short(loki) + "\n",
        "elasticsearch-search.json": short(search),
        "elasticsearch-bulk.jsonl": "".join(
            f"{action}\n{short({'@timestamp': 1, 'message': line})}\n" for line in lines
        ),
        "cloudwatch-events.json": "".join(json.dumps(page, indent=4) + "\n" for page in pages),
        "firehose-subscription.json": "".join(
            short(subscription(at, lines[at : at + 3])) for at in range(0, len(lines), 3)
        ),
        "firehose-lines.json": "".join(short({"message": line}) for line in lines),
        "array.json": "[\n" + ",\n".join(short({"message": line}) for line in lines) + "\n]\n",
    }.items():
        (HERE / name).write_text(text, encoding="utf-8")


MAKERS: dict[str, Callable[[], None]] = {
    "sealed": make_sealed,
    "docker": make_docker,
    "cri": make_cri,
    "journal": make_journal,
    "rsyslog": make_rsyslog,
    "exports": make_exports,
}

if __name__ == "__main__":
    for wanted in sys.argv[1:] or MAKERS:
        MAKERS[wanted]()
