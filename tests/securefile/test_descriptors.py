"""Standard descriptors that are closed at the start never become files of ours; many may list a directory at once."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

import tallystick
from tallystick.securefile import names, opened

# Opens a log with its key store and its custody, with some descriptors closed, and says what stands there then.
WRITER = """
import json, os, sys
for fd in map(int, sys.argv[2]):
    os.close(fd)
import tallystick
directory = sys.argv[1]
store = f"file:{directory}/store"
tallystick.create("app", store=store, custody=f"master-key:{directory}/master.key", key_file=f"{directory}/app.key")
with tallystick.open("app", output=f"{directory}/app.log", store=store) as log:
    log.write("one")
    os.rename(f"{directory}/app.log", f"{directory}/app.log.1")
    log.reopen()
    log.write("two")
    with open(f"{directory}/found", "w") as file:
        json.dump([os.readlink(f"/proc/self/fd/{fd}") for fd in range(3)], file)
"""


@pytest.mark.parametrize("closed", ["0", "1", "2", "02", "012"])
def test_a_writer_with_closed_standard_descriptors_keeps_its_files_from_there(tmp_path, closed):
    done = subprocess.run([sys.executable, "-c", WRITER, tmp_path, closed], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    found = json.loads((tmp_path / "found").read_text())
    assert not [place for place in found if place.startswith(str(tmp_path))]
    assert [found[int(fd)] for fd in closed] == ["/dev/null"] * len(closed)
    report = tallystick.verify(
        [tmp_path / "app.log", tmp_path / "app.log.1"], keys=[tmp_path / "app.key"], store=f"file:{tmp_path}/store"
    )
    assert report.verdict.value == "ok"


def test_a_file_that_is_opened_alone_does_not_become_one_of_them(tmp_path):
    script = (
        "import os, sys\nfrom tallystick.securefile import opened\nos.close(0)\nos.close(1)\n"
        "fd = opened(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_EXCL)\n"
        "os.write(fd, b'%d' % fd)\ntry:\n    os.write(1, b'lost')\nexcept OSError:\n    os.write(fd, b' safe')\n"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "file"], check=True)
    number, _, safe = (tmp_path / "file").read_bytes().partition(b" ")
    assert int(number) > 2
    assert safe == b"safe"


def test_threads_that_list_a_directory_at_once_each_get_all_names(tmp_path):
    """Rotated files were not shipped, for compression listed them at the same instant."""
    made = sorted(f"audit.log.{number}" for number in range(300))
    for name in made:
        (tmp_path / name).touch()
    fd = opened(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: sorted(names(fd)), range(2000)))
    os.close(fd)
    assert found == [made] * 2000
