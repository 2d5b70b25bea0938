"""An old line that was changed on the disk itself, which no time or size shows, is found within the rescan period."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import tallystick
from tallystick.verify.request import Request
from tallystick.watch.config import Entry
from tallystick.watch.standing import State
from tests.servers import until
from tests.watch.playing import Site, Watching

RESCAN = 3.0  # seconds


class Disk:
    """A file system in a file, mounted or not."""

    def __init__(self, path: Path) -> None:
        self._image, self.path = path / "image", path / "disk"
        self.path.mkdir()
        with self._image.open("wb") as file:
            file.truncate(2**23)
        run("mkfs.ext4", "-q", self._image)
        self.device = Path(run("losetup", "--find", "--show", self._image).strip())

    def mount(self) -> None:
        """Mount it; times of reading are not kept."""
        run("mount", "-o", "noatime", self.device, self.path)

    def unmount(self) -> None:
        """Unmount it; what another test copied of this machine's mounts may keep it for a while."""
        run("umount", self.path)
        until(self._is_free, "the end of the last mount")

    def _is_free(self) -> bool:
        try:
            os.close(os.open(self.device, os.O_RDONLY | os.O_EXCL))
        except OSError:
            return False
        return True

    def edit(self, old: bytes, new: bytes) -> None:
        """Change some bytes on the disk, past the file system."""
        with self.device.open("r+b") as file:
            data = file.read()
            assert data.count(old) == 1
            file.seek(data.index(old))
            file.write(new)
            file.flush()
            os.fsync(file.fileno())

    def end(self) -> None:
        """Take the device away."""
        subprocess.run(["umount", self.path], check=False, capture_output=True)
        run("losetup", "--detach", self.device)


def run(*command: object) -> str:
    """Run a command; the test is skipped where that may not be done."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk that is mounted."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("mkfs.ext4", "losetup", "mount"))):
        pytest.skip("only root can mount")
    disk = Disk(tmp_path)
    try:
        disk.mount()
        yield disk
    finally:
        disk.end()


def test_a_change_on_the_disk_itself_is_found_within_the_rescan_period(disk: Disk, tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.log("app")
    live = disk.path / "app.log"
    with tallystick.open("app", output=str(live), **site.place) as log:
        for number in range(100):
            log.write(f"user={number} action=login")
    request = Request(paths=(live,), keys=(site.path / "app.key",), **site.place)
    config = site.config(Entry("app", request, rescan=RESCAN))
    before = live.stat()
    time.sleep(2.2)  # so that any later change would show in the times
    with Watching(replace(config, entries=(replace(config.entries[0], rescan=3600.0),))) as service:
        service.comes_to("app", State.OK)
    disk.unmount()
    disk.edit(b"user=50 action=login", b"user=51 action=login")
    disk.mount()
    after = live.stat()
    assert (after.st_ino, after.st_size, after.st_ctime_ns) == (before.st_ino, before.st_size, before.st_ctime_ns)
    assert b"user=50 " not in live.read_bytes()
    with Watching(replace(config, entries=(replace(config.entries[0], rescan=3600.0),))) as service:
        assert service.wait_for_all(60)
        service.comes_to("app", State.OK)  # nothing shows it
    with Watching(config) as service:
        service.comes_to("app", State.FAILED)
