"""Another process exchanges files while root writes, rotates, compresses and removes: it gains nothing by it.

How long each race goes on comes from RACE_SECONDS.
"""

import gzip
import os
import stat
import time
from contextlib import suppress

from tallystick.errors import SealError
from tallystick.securefile import Actor, Place, RefusedError
from tallystick.sinks.rotation import Archive, Rotation
from tests.securefile.conftest import ALICE, GROUP, started_as

SECONDS = float(os.environ.get("RACE_SECONDS", "0.7"))

# Puts links, second names, pipes and directories in the place of the files that it is told, and takes them away.
EXCHANGING = """
import itertools, os, sys
directory, secret, other = sys.argv[1:4]
os.chdir(directory)
print("ready", flush=True)
names = ["audit.log", "audit.log.0000000001", "audit.log.0000000001.gz", ".audit.log.0000000001.gz.new"]
makes = [lambda name: os.symlink(secret, name), lambda name: os.rename("second name", name),
         lambda name: os.mkfifo(name), lambda name: os.symlink("elsewhere", name), lambda name: os.symlink(other, name)]
for name, make in itertools.cycle(itertools.product(names, makes)):
    for step in (lambda: os.rename(name, "aside"), lambda: make(name), lambda: os.rename(name, "second name"),
                 lambda: os.rename("aside", name)):
        try:
            step()
        except OSError:
            pass
"""


def race(directory, secret, actor=None):
    """Work in a directory while another one exchanges files there; return how often each piece of work was done."""
    done = dict.fromkeys(("appended", "compressed", "refused"), 0)
    other = secret.with_name("other")
    other.mkdir()
    os.link(secret, directory / "second name")
    with started_as(ALICE, EXCHANGING, directory, secret, other) as exchanging:
        try:
            assert exchanging.stdout.readline() == "ready\n"
            until = time.monotonic() + SECONDS
            place = None
            while time.monotonic() < until or not all(done.values()):
                assert time.monotonic() < until + 60, done
                try:
                    place = place or Place.of(directory / "audit.log", actor)
                    turn(place, done, secret)
                except (OSError, RefusedError, SealError):
                    done["refused"] += 1
                assert exchanging.poll() is None
        finally:
            exchanging.kill()
    if place:
        place.close()
    assert not list(other.iterdir())
    return done


def turn(place, done, secret):
    """Append, rotate, compress and remove once."""
    fd = place.append()
    try:
        found = os.fstat(fd)
        assert stat.S_ISREG(found.st_mode)
        assert not os.path.samestat(found, os.stat(secret))
        os.write(fd, b"line\n")
        done["appended"] += 1
        place.rename("audit.log", "audit.log.0000000001")
        archive = Archive(place, Rotation(size=1, keep=1, compress="gz"))
        archive.compress()
        archive.finish()
        done["compressed"] += any(path.endswith(".gz") for path in archive.files())
        with suppress(OSError):
            archive.prune()
    finally:
        os.close(fd)


def nothing_leaked(directory):
    """Is there no copy of root's file that another user may read?"""
    for path in directory.iterdir():
        found = path.lstat()
        if stat.S_ISREG(found.st_mode) and path.suffix == ".gz" and found.st_size:
            assert b"root's own" not in gzip.decompress(path.read_bytes())


def test_in_a_directory_that_a_group_may_write_to(directory, secret):
    place = directory(0, GROUP, 0o775)
    os.chown(place, 0, ALICE)  # the group of the one who exchanges
    race(place, secret)
    nothing_leaked(place)


def test_in_a_directory_of_the_user_that_root_acts_as(directory, secret):
    place = directory(ALICE, ALICE, 0o755)
    race(place, secret, Actor.named(f"{ALICE}:{ALICE}"))
    nothing_leaked(place)
