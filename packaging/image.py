"""Make a container image out of a laid-out directory, without a daemon: the same bytes each time.

    python packaging/image.py STAGE dist/tallystick-image.tar --debs DIRECTORY

The base is Python and what it needs, unpacked from Debian's packages: no shell, no package manager. The archive has
OCI's layout, and the list that `docker load` of any age reads.
"""

import argparse
import datetime
import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

__all__ = ["main"]

USER = 65532  # nobody's, as in other images of this kind
_LEFT_OUT = tuple(f"/usr/share/{name}/" for name in ("doc", "man", "locale", "lintian", "bash-completion"))
_LICENCES = ("/copyright", "/LICENSE", ".cdx.json")  # what stays of the documentation
_HOME, _LABEL = "/var/lib/tallystick", "org.opencontainers.image"
_STATUS = "var/lib/dpkg/status.d"  # where scanners of such images look for what is inside
_ACCOUNTS = {
    "etc/passwd": f"root:x:0:0::/:/sbin/nologin\ntallystick:x:{USER}:{USER}::{_HOME}:/sbin/nologin\n",
    "etc/group": f"root:x:0:\ntallystick:x:{USER}:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}
_PLACES = {
    **dict.fromkeys(("dev", "proc", "sys"), (0o755, 0)),  # a read-only root gets no new ones
    "tmp": (0o1777, 0),
    **dict.fromkeys(("var/lib/tallystick", "var/log/tallystick"), (0o700, USER)),  # volumes stand there
}


def main() -> None:
    """Make the image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--debs", type=Path, required=True, help="directory of Debian's packages for the base")
    parser.add_argument("--architecture", default="amd64")
    asked = parser.parse_args()
    time = int(os.environ.get("SOURCE_DATE_EPOCH", 315532800))
    with tempfile.TemporaryDirectory() as place:
        base = Path(place)
        for deb in sorted(asked.debs.glob("*.deb")):
            subprocess.run(["dpkg-deb", "--extract", deb, base], check=True)
            said = subprocess.run(["dpkg-deb", "--field", deb], check=True, stdout=subprocess.PIPE).stdout
            (base / _STATUS).mkdir(parents=True, exist_ok=True)
            (base / _STATUS / deb.name.partition("_")[0]).write_bytes(said)
        for name, text in _ACCOUNTS.items():
            (base / name).parent.mkdir(parents=True, exist_ok=True)
            (base / name).write_text(text)
        layers = [_layer(base, time, places=True), _layer(asked.stage, time)]
    _write(asked.output, layers, asked.architecture, time)


def _layer(root: Path, time: int, *, places: bool = False) -> bytes:
    """Return a directory as an archive: sorted, owned by root, of one time."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root).as_posix()
            if f"/{name}".startswith(_LEFT_OUT) and not name.endswith(_LICENCES):
                continue
            entry = archive.gettarinfo(path, name)
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            entry.mtime = time
            entry.mode &= 0o755  # no setuid, and nobody but root may write
            if entry.isreg():
                with path.open("rb") as file:
                    archive.addfile(entry, file)
            else:
                archive.addfile(entry)
        for name, (mode, owner) in _PLACES.items() if places else ():
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, mode, time
            entry.uid = entry.gid = owner
            archive.addfile(entry)
    return data.getvalue()


def _write(output: Path, layers: list[bytes], architecture: str, time: int) -> None:
    created = _rfc3339(time)
    config = {
        "architecture": architecture,
        "os": "linux",
        "created": created,
        "config": {
            "User": f"{USER}:{USER}",
            "Env": ["PATH=/usr/bin", "TALLYSTICK_STORE=/var/lib/tallystick/store", "PYTHONDONTWRITEBYTECODE=1"],
            "Entrypoint": ["/usr/bin/tallystick"],
            "Cmd": ["--help"],
            "WorkingDir": "/var/lib/tallystick",
            "Volumes": {"/var/lib/tallystick": {}, "/var/log/tallystick": {}},
            "Labels": {
                f"{_LABEL}.licenses": "Apache-2.0",
                f"{_LABEL}.title": "tallystick",
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in layers]},
        "history": [{"created": created, "created_by": part} for part in ("python3.11 of Debian", "tallystick")],
    }
    blobs: dict[str, bytes] = {}

    def blob(data: bytes, kind: str) -> dict[str, object]:
        blobs[f"blobs/sha256/{_digest(data).removeprefix('sha256:')}"] = data
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": _digest(data), "size": len(data)}

    packed = [blob(gzip.compress(layer, 9, mtime=0), "layer.v1.tar+gzip") for layer in layers]
    settings = blob(_json(config), "config.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
    made = blob(_json({**manifest, "config": settings, "layers": packed}), "manifest.v1+json")
    made["annotations"] = {
        f"{_LABEL}.ref.name": "latest",
        "io.containerd.image.name": "tallystick:latest",
    }

    def place_of(part: dict[str, object]) -> str:
        return f"blobs/{str(part['digest']).replace(':', '/')}"

    loaded = {"Config": place_of(settings), "RepoTags": ["tallystick:latest"], "Layers": [*map(place_of, packed)]}
    files = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json({"schemaVersion": 2, "manifests": [made]}),
        "manifest.json": _json([loaded]),
        **blobs,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(output, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(data), time, 0o644
            archive.addfile(entry, io.BytesIO(data))


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _rfc3339(time: int) -> str:
    return datetime.datetime.fromtimestamp(time, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    main()
