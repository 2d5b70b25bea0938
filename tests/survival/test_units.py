"""The examples for systemd and Kubernetes start as they are, with users and volumes as these programs give them.

Neither can be asked here, so their part is played: directories and modes, users and groups, environment, credentials,
the socket for notifications. Paths of the examples are moved below a directory of the test.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
from pathlib import Path

import pytest
import yaml

from tallystick._core import DataKey
from tests.custody.keys import text_of
from tests.places import OtherUser
from tests.processes import Started
from tests.sealed import entries
from tests.survival.writing import until

CONTRIB = Path(__file__).parents[2] / "contrib"
USER, AUDITOR, SERVICE = 10001, 10003, 10002


class Host:
    """A host of which some directories are moved elsewhere."""

    def __init__(self, root):
        self.root = root
        root.chmod(0o755)
        self.bin = root / "bin"
        self.bin.mkdir()

    def user(self, uid, gid, *groups):
        user = OtherUser(self.root, uid, gid, groups)
        program = self.bin / "tallystick"
        words = shlex.join(user.python)
        program.write_text(f'#!/bin/sh\nPYTHONPATH={user.env["PYTHONPATH"]} exec {words} "$@"\n')
        program.chmod(0o755)
        user.env = {"PATH": f"{self.bin}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        return user

    def moved(self, text):
        """A command line, with its paths below this host."""
        return re.sub(r"(?<![\w/])/(var|etc|data|secret|pipe|sockets|usr/bin/payments)", rf"{self.root}/\1", text)

    def directory(self, path, uid, gid, mode):
        place = Path(self.moved(path))
        place.mkdir(parents=True, exist_ok=True)
        os.chown(place, uid, gid)
        place.chmod(mode)
        return place

    def server(self, script):
        program = Path(self.moved("/usr/bin/payments-server"))
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def started(self, user, words, environment, **more):
        return Started(
            [*user.user, *words],
            env=user.env | environment,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **more,
        )

    def ran(self, user, words, environment, status=0):
        with self.started(user, words, environment) as process:
            out, err = process.communicate(timeout=60)
        assert process.returncode == status, err
        return out, err


@pytest.fixture
def host(crossroads):
    return Host(crossroads)


# systemd


def unit(name):
    """The settings of a unit; of those that occur more than once all."""
    found = {}
    for line in (CONTRIB / "systemd" / name).read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def environment(host, settings):
    pairs = (line.split("=", 1) for line in settings.get("Environment", []))
    return {name: host.moved(value).replace("master-key:/var", f"master-key:{host.root}/var") for name, value in pairs}


def directories(host, settings, uid):
    """What systemd makes before a unit starts."""
    for setting, above in (("StateDirectory", "/var/lib"), ("LogsDirectory", "/var/log")):
        for name in " ".join(settings.get(setting, [])).split():
            host.directory(f"{above}/{name}", uid, uid, int(settings[f"{setting}Mode"][0], 8))


def test_the_service_and_the_way_to_the_verifier(host, crossroads):
    """Set up by the commands in its comments, started, stopped, its head exported; then fetched and verified."""
    user, auditor = host.user(USER, USER), host.user(AUDITOR, AUDITOR)
    settings = unit("payments.service")
    (line,) = re.findall(
        r"^#   runuser .* -- (env .*) > payments.key$", (CONTRIB / "systemd/payments.service").read_text(), re.M
    )
    host.directory("/var/lib/payments", USER, USER, 0o700)
    key, _ = host.ran(
        user,
        shlex.split(host.moved(line).replace("=/var", f"={host.root}/var").replace("key:/var", f"key:{host.root}/var")),
        {},
    )
    assert key.startswith(b"tallysecret1")

    directories(host, settings, USER)
    host.server("echo listening; exec sleep 100")
    place = host.root / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(place))
        manager.settimeout(30)
        place.chmod(0o777)
        (words,) = settings["ExecStart"]
        more = environment(host, settings) | {"NOTIFY_SOCKET": str(place)}
        with host.started(user, shlex.split(host.moved(words)), more) as process:
            assert manager.recv(4096).startswith(b"READY=1")
            log = host.root / "var/log/payments/audit.log"
            until(lambda: b"listening" in log.read_bytes())
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == int(settings["SuccessExitStatus"][0]), process.stderr.read()

    settings = unit("payments-head.service")
    directories(host, settings, USER)
    host.ran(user, shlex.split(host.moved(settings["ExecStart"][0])), environment(host, settings))

    settings = unit("tallystick-verify.service")
    directories(host, settings, AUDITOR)
    fetched = host.root / "var/lib/tallystick-verify"
    for name, goal in (("audit.log", "logs/audit.log"), ("head", "head")):
        (fetched / goal).write_bytes((host.root / "var/log/payments" / name).read_bytes())
        (fetched / goal).chmod(0o644)
    credentials = host.directory("/var/credentials", AUDITOR, AUDITOR, 0o500)
    (credentials / "payments.key").write_bytes(key)
    os.chown(credentials / "payments.key", AUDITOR, AUDITOR)
    (credentials / "payments.key").chmod(0o400)
    words = shlex.split(host.moved(settings["ExecStart"][0]).replace("%d", str(credentials)))
    out, _ = host.ran(auditor, words, {})
    assert out.startswith(b"ok: every line is as it was sealed")


# Kubernetes


def manifests(name):
    return {each["kind"]: each for each in yaml.safe_load_all((CONTRIB / "kubernetes" / f"{name}.yaml").read_text())}


def pod_of(manifest):
    return manifest["spec"]["template"]["spec"]


def volumes(host, pod):
    """Make the volumes of a pod, as a kubelet does."""
    group = pod["securityContext"]["fsGroup"]
    host.directory("/data", 0, group, 0o2775)
    for name in ("/pipe", "/sockets"):
        host.directory(name, 0, group, 0o2777)
    secret = host.directory("/secret", 0, group, 0o3755)
    if not (secret / "..data").exists():
        (secret / "..1").mkdir(0o755)
        (secret / "..1" / "master.key").write_bytes(text_of(DataKey.generate()))
        (secret / "..data").symlink_to("..1")
        (secret / "master.key").symlink_to("..data/master.key")
    (mode,) = (each["secret"]["defaultMode"] for each in pod["volumes"] if "secret" in each)
    os.chown(secret / "..1" / "master.key", 0, group)
    (secret / "..1" / "master.key").chmod(mode | 0o440)


def words_of(host, container):
    words = [host.moved(word) for word in (*container.get("command", []), *container.get("args", []))]
    values = {each["name"]: each["value"] for each in container.get("env", [])}
    return words, {
        name: re.sub(r":/(data|secret|sockets)", rf":{host.root}/\1", value) for name, value in values.items()
    }


def user_of(host, pod, container):
    ours = {**pod["securityContext"], **container["securityContext"]}
    return host.user(ours["runAsUser"], ours.get("runAsGroup", ours["runAsUser"]), ours["fsGroup"])


def set_up(host):
    pod = pod_of(manifests("init")["Job"])
    volumes(host, pod)
    (container,) = pod["containers"]
    out, err = host.ran(user_of(host, pod, container), *words_of(host, container))
    assert (out.startswith(b"tallysecret1"), err) == (True, b"")
    (host.root / "payments.key").write_bytes(out)


def verdict(host, user):
    log, store = host.root / "data/log/audit.log", f"file:{host.root}/data/store"
    words = ["tallystick", "verify", log, "--key", host.root / "payments.key", "--store", store, "--pins", "none"]
    out, _ = host.ran(user, words, {})
    return out.split(b":")[0]


def test_run_in_the_image(host):
    set_up(host)
    pod = pod_of(manifests("run")["StatefulSet"])
    volumes(host, pod)
    (container,) = pod["containers"]
    host.server("echo one; echo two >&2")
    user = user_of(host, pod, container)
    host.ran(user, *words_of(host, container))
    assert verdict(host, user) == b"ok"
    assert sorted(entries((host.root / "data/log/audit.log").read_bytes())) == [b"one", b"two"]


def test_the_sidecar(host):
    """The service is another user: it writes into the pipe, and into nothing else."""
    set_up(host)
    pod = pod_of(manifests("sidecar")["StatefulSet"])
    volumes(host, pod)
    (sidecar,), (service,) = pod["initContainers"], pod["containers"]
    log = host.root / "data/log/audit.log"
    with host.started(user_of(host, pod, sidecar), words_of(host, sidecar)[0], words_of(host, sidecar)[1]) as process:
        probe = [host.moved(word) for word in sidecar["startupProbe"]["exec"]["command"]]
        until(lambda: subprocess.run(probe, check=False).returncode == 0)
        host.server(f"echo first; cat {host.root}/data/store/payments/state; echo last")
        user = user_of(host, pod, service)
        for _ in range(2):  # its restart is no end of the input
            host.ran(user, *words_of(host, service))
        until(lambda: log.exists() and log.read_bytes().count(b"last") == 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    assert verdict(host, user_of(host, pod, sidecar)) == b"ok"
    lines = entries(log.read_bytes())
    assert [line for line in lines if b"denied" not in line] == [b"first", b"last"] * 2
    assert len(lines) == 6


def test_the_agent_as_a_sidecar(host):
    """The service is another user: it sends lines that are acknowledged, also while the agent restarts."""
    set_up(host)
    pod = pod_of(manifests("agent")["StatefulSet"])
    volumes(host, pod)
    (sidecar,), (service,) = pod["initContainers"], pod["containers"]
    log, user = host.root / "data/log/audit.log", user_of(host, pod, sidecar)
    probe = [host.moved(word) for word in sidecar["startupProbe"]["exec"]["command"]]
    for word in ("first", "last"):
        with host.started(user, *words_of(host, sidecar)) as process:
            until(lambda: subprocess.run(probe, check=False).returncode == 0)
            script = f"echo {word} | tallystick send $AGENT || echo no; cat {host.root}/data/store/payments/state"
            host.server(script)
            out, err = host.ran(user_of(host, pod, service), *words_of(host, service), status=1)
            assert (out, b"denied" in err) == (b"", True), err
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, process.stderr.read()
    assert verdict(host, user) == b"ok"
    found = [line for line in entries(log.read_bytes()) if line.startswith(b"[uid=")]
    first, last = found
    assert first.startswith(f"[uid={service['securityContext']['runAsUser']} ".encode())
    assert (first.endswith(b"] first"), last.endswith(b"] last")) == (True, True)
