"""Key stores that were restored from a backup are refused, wherever the newest lines stand."""

import os
import shutil
import subprocess

import pytest

from tests.survival.test_contrib import tool

SAID = "a restored backup must not be sealed with: start a new log"


def backup(site):
    shutil.copytree(site.store, site.path / "backup")


def restore(site):
    shutil.rmtree(site.store)
    shutil.copytree(site.path / "backup", site.store)


def assert_refused(site, *options):
    before = {path.name: path.read_bytes() for path in site.path.glob("audit.log*")}
    done = site("seal", "payments", "-o", "audit.log", *options, stdin=b"again\n")
    assert (done.status, SAID in done.err) == (4, True), done.err
    assert done.err.count("\n") == 1
    assert {path.name: path.read_bytes() for path in site.path.glob("audit.log*")} == before or not before.get(
        "audit.log"
    )
    # The way out that it names works.
    site.init("second")
    site.seal(b"again\n", "second.log", "second")
    assert site.verdict("second.log", key="second.key") == ("ok", [])


def logrotate(site, *options):
    conf = site.path / "conf"
    os.chmod(site.path, 0o700)
    conf.write_text("\n".join([f"{site.path}/audit.log {{", "rotate 9", *options, "}"]))
    subprocess.run([tool("logrotate"), "-f", "-s", site.path / "state", conf], check=True)


def test_a_restored_store_is_refused(site):
    site.seal(b"one\n")
    backup(site)
    site.seal(b"two\n")
    restore(site)
    assert_refused(site)


def test_a_restored_store_is_refused_after_a_crash_too(site):
    backup(site)
    with site.start("seal", "payments", "-o", "audit.log") as running:
        running.stdin.write(b"one\n" * 1000)
        while not ((site.path / "audit.log").exists() and site.read()):
            pass
        running.kill()
    restore(site)
    assert_refused(site)


@pytest.mark.parametrize("form", [(), ("--compress", "gz"), ("--compress", "zst")], ids=["plain", "gz", "zst"])
def test_a_restored_store_is_refused_right_after_the_writer_rotated(site, form):
    backup(site)
    options = ("--rotate-size", "5kB", *form)
    site.seal(b"some line\n" * 500)
    assert site("seal", "payments", "-o", "audit.log", *options, stdin=b"one\n").status == 0  # the file is too large
    (site.path / "audit.log").unlink()  # as if it had stopped between two files
    assert [path.name[:20] for path in site.path.glob("audit.log*")] == ["audit.log.0000000001"]
    restore(site)
    assert_refused(site, *options)


@pytest.mark.parametrize("options", [("create",), ("create", "compress", "delaycompress"), ("nocreate",), ("dateext",)])
def test_a_restored_store_is_refused_right_after_logrotate(site, options):
    backup(site)
    site.seal(b"one\n")
    logrotate(site, *options)
    restore(site)
    assert_refused(site)
