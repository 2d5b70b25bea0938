"""Reports to be written: made by hand, and by real verifications."""

import pytest

import tallystick
from tests.reports import made


@pytest.fixture(params=sorted(made.ALL))
def report(request):
    """Each report made by hand."""
    return made.ALL[request.param]()


@pytest.fixture
def verified(tmp_path):
    """A real report on a log from which a line was taken, in which one was changed, and to which one was added."""
    place = {"store": f"file:{tmp_path}/store"}
    custody = f"master-key:{tmp_path}/master.key"
    tallystick.create("app", **place, custody=custody, key_file=f"{tmp_path}/app.key")
    for _ in range(3):
        with tallystick.open("app", output=f"{tmp_path}/app.log", **place) as log:
            for number in range(5):
                log.write(f"user={number} action=login")
    path = tmp_path / "app.log"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"login", b"admin")
    del lines[9]
    lines.append(b"no seal <b>here</b> \x1b[31m\xff\n")
    path.write_bytes(b"".join(lines))
    found = tallystick.verify([path], keys=[f"{tmp_path}/app.key"], **place)
    assert {"altered", "missing", "unsealed"} <= {finding.kind for finding in found.findings}
    return found
