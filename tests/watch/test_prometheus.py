"""What contrib/ holds for Prometheus, Alertmanager and Grafana is taken by the real programs, and pages somebody."""

import contextlib
import http.server
import json
import re
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import yaml

from tallystick.watch.alerts import Delivery
from tallystick.watch.metrics import exposition
from tallystick.watch.standing import State
from tests.servers import Server, program, until
from tests.watch.events import HOSTILE, standing
from tests.watch.test_metrics import Given

CONTRIB = Path(__file__).parents[2] / "contrib"
REMEDY = "install the packages prometheus and prometheus-alertmanager"
DASHBOARD = json.loads((CONTRIB / "grafana" / "dashboard.json").read_text())


def checked(*command, cwd=None):
    line = [program(command[0], REMEDY), *command[1:]]
    done = subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_the_configuration_with_its_rules():
    out = checked("promtool", "check", "config", "prometheus.yml", cwd=CONTRIB / "prometheus")
    assert "SUCCESS: 13 rules found" in out


def test_each_rule_fires_when_it_should_and_not_before(tmp_path):
    rules = (CONTRIB / "prometheus" / "tallystick.rules.yml").read_text()
    tests = Path(__file__).with_name("tallystick.test.yml").read_text()
    (tmp_path / "tallystick.rules.yml").write_text(rules)
    (tmp_path / "tallystick.test.yml").write_text(tests)
    assert "SUCCESS" in checked("promtool", "test", "rules", "tallystick.test.yml", cwd=tmp_path)
    alerts = re.findall(r"- alert: (\w+)", rules)
    assert len(alerts) == 13
    assert [alert for alert in alerts if alert not in tests] == []


def test_alertmanager_takes_its_configuration():
    assert "SUCCESS" in checked("amtool", "check-config", "alertmanager.yml", cwd=CONTRIB / "alertmanager")


def test_promtool_finds_nothing_amiss_in_the_metrics():
    _, text = exposition(Given(standing("app")), "", [Delivery("webhook https://a", 1, 5.0, 1, 1, 1)])
    line = [program("promtool", REMEDY), "check", "metrics"]
    done = subprocess.run(line, input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


class Answering:
    """A server on loopback that ends with its test."""

    def __init__(self, answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                length = int(self.headers.get("Content-Length", 0))
                kind, text = answer(self.path, self.headers, self.rfile.read(length))
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(text)

            def do_POST(self):
                self.do_GET()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Watcher(Answering):
    """Serves metrics as the service does, from standings that a test changes."""

    def __init__(self):
        self.standings = [standing("app"), standing(HOSTILE)]
        self.accepts = []
        super().__init__(self._scraped)

    def _scraped(self, _, headers, __):
        self.accepts.append(headers["Accept"])
        delivery = Delivery("webhook https://a", 1, time.time(), 2, 1, 0)
        return exposition(Given(*self.standings), headers["Accept"], [delivery])


class Pager(Answering):
    """Takes what Alertmanager posts; the path says to whom."""

    def __init__(self):
        self.got = []
        super().__init__(self._posted)

    def _posted(self, path, _, body):
        self.got += [(path, alert) for alert in json.loads(body)["alerts"]]
        return "text/plain", b""

    def pages(self, status):
        """Return receiver, name of the alert and entry of each that fires, or is resolved."""
        found = [(path, one["labels"]) for path, one in self.got if one["status"] == status]
        return [(path, labels["alertname"], labels.get("entry")) for path, labels in found]


class Ready(Server):
    """A server that says when it is ready, which is some time after it listens."""

    def ready(self):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5):
            return True
        return False

    def options(self):
        return {"cwd": self.directory}


class Alertmanager(Ready):
    def __init__(self, directory, pager):
        super().__init__(directory)
        text = (CONTRIB / "alertmanager" / "alertmanager.yml").read_text()
        assert text.count("127.0.0.1:9099") == 2
        text = text.replace("127.0.0.1:9099", pager.address)
        (directory / "alertmanager.yml").write_text(text.replace("1m", "1s"))
        self.api = f"http://127.0.0.1:{self.port}/api/v2/alerts"

    def command(self):
        return [
            program("prometheus-alertmanager", REMEDY), "--config.file=alertmanager.yml", "--storage.path=am",
            f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address=",
        ]  # fmt: skip


class Prometheus(Ready):
    def __init__(self, directory, watcher, alertmanager):
        super().__init__(directory)
        given = yaml.safe_load((CONTRIB / "prometheus" / "prometheus.yml").read_text())
        given["global"] = {"scrape_interval": "200ms", "evaluation_interval": "200ms"}
        given["scrape_configs"][0]["static_configs"] = [{"targets": [watcher.address]}]
        given["alerting"]["alertmanagers"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{alertmanager.port}"]}]
        (directory / "prometheus.yml").write_text(yaml.safe_dump(given))
        shutil.copy(CONTRIB / "prometheus" / "tallystick.rules.yml", directory)

    def command(self):
        return [
            program("prometheus", REMEDY), "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]  # fmt: skip

    def query(self, text):
        """Return what a query finds; the API answers an error to one that is wrong."""
        where = f"http://127.0.0.1:{self.port}/api/v1/query?" + urllib.parse.urlencode({"query": text})
        with urllib.request.urlopen(where, timeout=10) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        assert not found.get("warnings")
        return found["data"]["result"]


def expressions():
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_a_real_prometheus_scrapes_a_real_alertmanager_pages_and_each_query_of_the_dashboard_runs(tmp_path):
    program("prometheus-alertmanager", REMEDY)
    pager, watcher = Pager(), Watcher()
    alertmanager = Alertmanager(tmp_path, pager).start()
    prometheus = Prometheus(tmp_path, watcher, alertmanager).start()
    try:
        until(lambda: prometheus.query('tallystick_watch_state{entry="app", state="ok"} == 1'), "the state")
        assert any("application/openmetrics-text" in accept for accept in watcher.accepts)
        assert len(prometheus.query("tallystick_watch_lines")) == 2
        assert not [page for page in pager.pages("firing") if page[1] == "TallystickFailed"]
        watcher.standings = [standing("app", State.FAILED, counts={("altered", "failed"): 7}), standing(HOSTILE)]
        began = time.monotonic()
        page = ("/pager", "TallystickFailed", "app")
        until(lambda: page in pager.pages("firing"), "the page")
        assert time.monotonic() - began < 40  # two seconds where nothing else runs
        run_all(prometheus)
        watcher.standings = [standing("app"), standing(HOSTILE)]
        until(lambda: page in pager.pages("resolved"), "the end of the alert")
        assert {entry for _, name, entry in pager.pages("firing") if name == "TallystickFailed"} == {"app"}
    finally:
        prometheus.stop()
        alertmanager.stop()
        watcher.stop()
        pager.stop()


def run_all(prometheus):
    """Run each query of the dashboard; each finds something."""
    assert len(expressions()) > 20
    for text in expressions():
        text = text.replace("$entry", ".*").replace("$__rate_interval", "1m")
        assert "$" not in text
        until(lambda text=text: prometheus.query(text), text, 20)


def test_metrics_that_rules_and_dashboard_name_exist():
    given = Given(standing("app", counts={("altered", "failed"): 1}))
    _, text = exposition(given, "", [Delivery("webhook https://a", 1, 5.0, 1, 1, 1)])
    shown = set(re.findall(rb"^(tallystick_watch_\w+)", text, re.MULTILINE))
    named = (CONTRIB / "prometheus" / "tallystick.rules.yml").read_text() + "\n".join(expressions())
    wanted = {name.encode() for name in re.findall(r"tallystick_watch_\w+", named)}
    assert len(wanted) > 15
    assert wanted <= shown


def test_the_dashboard_is_one_that_grafana_can_draw():
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 15
    taken = set()
    for panel in panels:
        assert panel["type"] in ("stat", "state-timeline", "timeseries", "table")
        assert panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken
        taken |= cells
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
        assert {"defaults", "overrides"} == set(panel["fieldConfig"])
    assert [one["name"] for one in DASHBOARD["templating"]["list"]] == ["datasource", "entry"]
    assert DASHBOARD["schemaVersion"] >= 36
    assert DASHBOARD["uid"] == "tallystick"
