"""A path that the user gave is walked once, with links followed as the system does."""

import os

import pytest

from tallystick.securefile.way import walk


def end(path):
    with walk(path) as way:
        return way.path, way.name, way.found is not None


@pytest.mark.parametrize(
    "path", ["a/b/log", "a//b/./log", "a/b/../b/log", "link/log", "a/b/up/b/log", "a/b/whole/log", "a/b/../../link/log"]
)
def test_it_ends_where_the_system_s_walk_ends(tmp_path, monkeypatch, path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    os.symlink("a/b", tmp_path / "link")
    os.symlink("../../a", tmp_path / "a" / "b" / "up")
    os.symlink(tmp_path / "a" / "b", tmp_path / "a" / "b" / "whole")
    monkeypatch.chdir(tmp_path)
    for given in (path, str(tmp_path / path)):
        assert end(given) == (os.path.realpath(given), "log", False)
        (tmp_path / "a" / "b" / "log").touch()
        assert end(given) == (os.path.realpath(given), "log", True)
        (tmp_path / "a" / "b" / "log").unlink()


@pytest.mark.parametrize("path", ["", ".", "..", "/", "a/", "a/.", "a/..", "link/"])
def test_a_directory_is_no_file(tmp_path, monkeypatch, path):
    (tmp_path / "a").mkdir()
    os.symlink("a", tmp_path / "link")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(IsADirectoryError):
        end(path)


@pytest.mark.parametrize(
    ("path", "error"),
    [("loop", "symbolic links"), ("absent/x", "No such"), ("file/x", "Not a dir"), ("x" * 300, "long")],
)
def test_a_way_that_does_not_end_is_an_error_of_the_system(tmp_path, monkeypatch, path, error):
    os.symlink("loop", tmp_path / "loop")
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match=error):
        end(path)


def test_a_pipe_that_has_no_name_is_reached_by_the_links_of_the_system():
    reading, writing = os.pipe()
    for path in (f"/dev/fd/{writing}", f"/proc/self/fd/{writing}"):
        with walk(path) as way:
            assert os.path.samestat(way.found, os.fstat(writing))
    os.close(reading)
    os.close(writing)


def test_no_descriptor_is_left(tmp_path):
    before = os.listdir("/proc/self/fd")
    for path in (tmp_path / "x", tmp_path / "absent" / "x", tmp_path):
        try:
            end(str(path))
        except OSError:
            continue
    assert os.listdir("/proc/self/fd") == before
