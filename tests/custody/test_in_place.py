"""Which file system a directory is on, asked of the real ones."""

import subprocess

import pytest

from tallystick.custody import in_place


@pytest.mark.parametrize("kind", ["tmpfs", "ramfs"])
def test_a_file_system_is_told_by_where_it_is_mounted(tmp_path, kind):
    mounted = subprocess.run(["mount", "-t", kind, kind, tmp_path], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        (tmp_path / "below").mkdir()
        assert in_place.file_system(str(tmp_path / "below")) == kind
        assert not in_place.overwrites(kind)
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)
