"""Which file system a directory is on, asked of the real ones."""

import builtins
import io

import pytest

from tallystick.custody import in_place
from tests.places import mounted


@pytest.mark.parametrize("kind", ["tmpfs", "ramfs"])
def test_a_file_system_is_known_by_where_it_is_mounted(tmp_path, kind):
    with mounted(tmp_path, kind):
        (tmp_path / "below").mkdir()
        assert in_place.file_system(str(tmp_path / "below")) == kind
        assert not in_place.overwrites(kind)


@pytest.mark.parametrize(
    ("mounts", "kind"),
    [
        ("{mount} 1 8:1 / / rw - ext4 /dev/sda1 rw\n", "ext4"),
        ("9999999 1 8:1 / / rw - ext4 /dev/sda1 rw\n{mount} 1 0:9 / /a\\040b rw master:1 - btrfs none rw,x\n", "btrfs"),
        ("{mount} 1 8:1 / / rw - ext4 /dev/sda1 rw,data=journal\n", "ext4 with data=journal"),
        ("{mount} 1 8:1 / / rw - ext4 /dev/sda1 rw,data=ordered\n", "ext4"),
        ("{mount} 1 8:1\n", None),
        ("9999999 1 8:1 / / rw - ext4 /dev/sda1 rw\n", None),
        ("", None),
    ],
)
def test_what_the_system_says_is_taken_and_silence_is_no_promise(tmp_path, monkeypatch, mounts, kind):
    genuine, told = builtins.open, {}

    def open_(path, *more, **named):
        if path == "/proc/self/mountinfo":
            return io.StringIO(mounts.format(mount=told["mount"]))
        file = genuine(path, *more, **named)
        if str(path).startswith("/proc/self/fdinfo/"):
            text = file.read()
            file.close()
            told["mount"] = text.split("mnt_id:")[1].split()[0]
            return io.StringIO(text)
        return file

    monkeypatch.setattr(builtins, "open", open_)
    found = in_place.file_system(str(tmp_path))
    assert found == kind
    assert in_place.overwrites(kind or "") == (kind == "ext4")
