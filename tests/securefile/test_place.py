"""The place of a log: nobody leads a writer to another file, and the places that people have go on to work."""

import os
from contextlib import suppress

import pytest

from tallystick.errors import SealError
from tallystick.securefile import Actor, Place, RefusedError, make_directories, open_path
from tests.securefile.conftest import ALICE, BOB, GROUP, as_user


def written(path, actor=None):
    """Append a line at a path, opened for the first time."""
    place = Place.of(path, actor)
    try:
        fd = place.begin()
        os.write(fd, b"line\n")
        os.close(fd)
    finally:
        place.close()


def link(path, target, owner):
    os.symlink(target, path)
    os.chown(path, owner, owner, follow_symlinks=False)


# Root in a directory of somebody else


@pytest.mark.parametrize(
    ("uid", "mode", "why"),
    [
        (ALICE, 0o755, f"belongs to uid {ALICE}"),
        (ALICE, 0o1777, "belongs to uid"),
        (0, 0o777, "everybody can write to"),
    ],
)
def test_root_is_refused_where_others_can_exchange_the_file(directory, uid, mode, why):
    path = directory(uid, uid, mode) / "audit.log"
    with pytest.raises(SealError, match=why) as refused:
        written(path)
    assert f"--as {'root' if uid == 0 else f'{uid}:{uid}'}" in refused.value.hint
    assert not path.exists()


def test_root_is_refused_where_a_directory_above_is_somebody_else_s(directory):
    above = directory(ALICE, ALICE, 0o755)
    (above / "logs").mkdir()
    with pytest.raises(SealError, match=f"{above} belongs to uid {ALICE}"):
        written(above / "logs" / "audit.log")


def test_root_is_refused_by_a_link_on_the_way_too(directory, reachable):
    above = directory(ALICE, ALICE, 0o755)
    (reachable / "logs").mkdir()
    link(above / "logs", reachable / "logs", 0)
    with pytest.raises(SealError, match=f"{above} belongs to uid {ALICE}"):
        written(above / "logs" / "audit.log")
    assert not list((reachable / "logs").iterdir())


def test_as_its_user_root_writes_there(directory):
    path = directory(ALICE, ALICE, 0o700) / "audit.log"
    written(path, Actor.named(f"{ALICE}:{ALICE}"))
    assert (path.read_bytes(), path.stat().st_uid, path.stat().st_gid) == (b"line\n", ALICE, ALICE)


def test_as_its_user_root_follows_no_link_to_a_file_that_the_user_may_not_write(directory, secret):
    path = directory(ALICE, ALICE, 0o755) / "audit.log"
    link(path, secret, ALICE)
    with pytest.raises(PermissionError):
        written(path, Actor.named(f"{ALICE}:{ALICE}"))


def test_as_itself_root_writes_where_everybody_can_if_it_is_asked_to(directory):
    written(directory(0, 0, 0o777) / "audit.log", Actor.named("root"))


# At the first open


@pytest.mark.parametrize(("uid", "mode"), [(ALICE, 0o755), (0, 0o1777), (0, 0o777), (0, 0o2775)])
def test_a_link_of_a_stranger_is_not_followed(directory, secret, uid, mode):
    path = directory(uid, GROUP, mode) / "audit.log"
    link(path, secret, ALICE)
    with pytest.raises(RefusedError, match="is a symbolic link of uid"):
        written(path)


@pytest.mark.parametrize("mode", [0o1777, 0o2775])
def test_a_second_name_of_a_file_is_not_written_to_where_strangers_can_give_it(directory, secret, mode):
    path = directory(0, GROUP, mode) / "audit.log"
    os.link(secret, path)
    with pytest.raises(RefusedError, match="has another name"):
        written(path)


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_what_a_stranger_put_into_a_sticky_directory_gets_no_line(directory, kind):
    path = directory(0, 0, 0o1777) / "audit.log"
    path.touch(0o666) if kind == "file" else os.mkfifo(path, 0o666)
    os.chown(path, ALICE, ALICE)
    with pytest.raises(RefusedError, match="belongs to uid"):
        written(path)


# After the first open


@pytest.fixture
def opened(directory):
    """A place in the directory of root's, and a file in it that was opened."""
    place = Place.of(directory(0, GROUP, 0o775) / "audit.log")
    fd = place.begin()
    yield place, fd
    os.close(fd)
    place.close()


@pytest.mark.parametrize("target", ["secret", "nowhere"])
def test_a_link_in_its_place_is_not_followed_and_makes_no_file(opened, secret, target):
    place, _ = opened
    os.unlink(place.path)
    link(place.path, secret.with_name(target), 0)
    with pytest.raises(RefusedError, match="is a symbolic link"):
        place.append()
    assert not secret.with_name("nowhere").exists()


def test_a_file_of_a_stranger_in_its_place_is_not_written_to(opened):
    place, _ = opened
    os.rename(place.path, f"{place.path}.1")
    with open(place.path, "wb") as file:
        os.fchown(file.fileno(), BOB, BOB)
    with pytest.raises(RefusedError, match=f"belongs to uid {BOB}"):
        place.append()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_something_else_in_its_place_stops_nobody(opened, make):
    place, _ = opened
    os.unlink(place.path)
    make(place.path)
    with pytest.raises((RefusedError, IsADirectoryError)):
        place.append()


def test_a_file_of_the_owner_that_it_had_is_gone_on_with(directory):
    path = directory(0, 0, 0o755) / "audit.log"
    path.touch()
    os.chown(path, ALICE, ALICE)
    place = Place.of(path)
    os.close(place.begin())
    os.rename(path, f"{path}.1")
    path.touch()
    os.chown(path, ALICE, ALICE)  # as logrotate makes it
    os.close(place.append())
    place.close()


def test_only_regular_files_of_an_expected_owner_are_removed(opened, secret):
    place, _ = opened
    there = {name: os.path.join(os.path.dirname(place.path), name) for name in ("link", "theirs", "pipe", "ours")}
    link(there["link"], secret, 0)
    for name in ("theirs", "ours"):
        open(there[name], "w").close()
    os.chown(there["theirs"], BOB, BOB)
    os.mkfifo(there["pipe"])
    assert [name for name in there if place.remove(name)] == ["ours"]
    assert not place.remove("absent")


def test_a_new_file_gets_mode_owner_and_group_of_the_old_one_whatever_the_umask(opened):
    place, fd = opened
    os.fchmod(fd, 0o660)
    os.fchown(fd, ALICE, GROUP)
    place.rename("audit.log", "audit.log.1")
    before = os.umask(0o077)
    try:
        os.close(place.append(like=fd))
    finally:
        os.umask(before)
    found = os.stat(place.path)
    assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (0o660, ALICE, GROUP)


def test_a_directory_in_the_place_of_one_that_was_moved_is_gone_on_with(directory, reachable):
    path = directory(0, 0, 0o755) / "audit.log"
    place = Place.of(path)
    fd = place.begin()
    os.rename(path.parent, reachable / "moved")
    assert not place.is_at(fd)
    with pytest.raises(FileNotFoundError):
        place.renew()
    path.parent.mkdir()
    assert not place.is_at(fd)
    assert place.renew()
    os.close(place.append())
    assert path.exists()
    os.close(fd)
    place.close()


def test_a_link_in_the_place_of_the_directory_does_not_lead_root_elsewhere(directory, reachable):
    path = directory(0, 0, 0o755) / "audit.log"
    place = Place.of(path)
    os.close(place.begin())
    elsewhere = directory(ALICE, ALICE, 0o755, name="elsewhere")
    os.rename(path.parent, reachable / "moved")
    link(path.parent, elsewhere, 0)
    with pytest.raises(SealError, match="belongs to uid"):
        place.renew()
    assert not list(elsewhere.iterdir())
    place.close()


# Ordinary places


@pytest.mark.parametrize(
    ("owner", "group", "mode", "user", "groups"),
    [
        (ALICE, ALICE, 0o700, ALICE, ()), (ALICE, ALICE, 0o775, ALICE, ()),  # a user's own
        (0, 4, 0o750, 0, ()), (0, 4, 0o2755, 0, ()), (0, 4, 0o775, 0, ()),  # /var/log
        (0, GROUP, 0o2775, ALICE, (GROUP,)), (0, GROUP, 0o2777, ALICE, (GROUP,)),  # volumes of Kubernetes with fsGroup
        (0, GROUP, 0o2775, 0, (GROUP,)), (0, 0, 0o777, ALICE, ()), (0, 0, 0o1777, 0, ()), (0, 0, 0o1777, ALICE, ()),
        (BOB, GROUP, 0o2770, ALICE, (GROUP,)),  # a directory that several users share
    ],
)  # fmt: skip
def test_an_ordinary_place_takes_lines_and_new_files(directory, owner, group, mode, user, groups):
    path = directory(owner, group, mode) / "audit.log"

    def work():
        written(path)
        place = Place.of(path)
        fd = place.begin()
        place.rename("audit.log", "audit.log.1")
        os.close(place.append(like=fd))
        assert place.remove("audit.log.1")
        place.sync()
        assert place.names() == ["audit.log"]

    assert as_user(user, work, groups)


def test_a_directory_that_may_be_entered_only_takes_lines(directory):
    path = directory(0, ALICE, 0o730) / "audit.log"

    def work():
        place = Place.of(path)
        os.close(place.begin())
        with suppress(OSError):
            place.names()
        os.close(place.append())

    assert as_user(ALICE, work)


def test_links_of_the_user_are_followed_at_the_first_open_and_never_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    os.symlink("real", tmp_path / "linked")
    os.symlink("../real/audit.log", tmp_path / "real" / "link.log")
    for path in (tmp_path / "linked" / "audit.log", tmp_path / "real" / "link.log"):
        written(path)
        assert Place.of(path).path == str(tmp_path / "real" / "audit.log")
    assert (tmp_path / "real" / "audit.log").read_bytes() == b"line\nline\n"


def test_a_deployment_s_links_lead_a_service_of_another_user_to_its_log(directory):
    releases = directory(BOB, GROUP, 0o755)
    (releases / "12").mkdir()
    os.chown(releases / "12", BOB, GROUP)
    (releases / "12").chmod(0o2775)
    link(releases / "current", "12", BOB)
    assert as_user(ALICE, lambda: written(releases / "current" / "audit.log"), (GROUP,))


# Directories that are made


def test_a_key_store_is_not_opened_where_a_stranger_s_link_leads(directory, reachable):
    above = directory(0, GROUP, 0o2775)
    (reachable / "elsewhere" / "logs").mkdir(0o700, parents=True)
    link(above / "store", reachable / "elsewhere", ALICE)
    with pytest.raises(RefusedError, match="is a symbolic link of uid"):
        open_path(str(above / "store" / "logs"))


@pytest.mark.parametrize(("owner", "mode"), [(ALICE, 0o755), (0, 0o777)])
def test_root_opens_no_key_store_that_another_user_can_replace(directory, owner, mode):
    above = directory(owner, GROUP, mode)
    (above / "store").mkdir(0o700)
    with pytest.raises(RefusedError, match="can be replaced by others"):
        open_path(str(above / "store"))


@pytest.mark.parametrize(("owner", "mode"), [(0, 0o2775), (0, 0o1777), (0, 0o755)])
def test_a_key_store_in_a_directory_of_root_s_is_opened(directory, owner, mode):
    above = directory(owner, GROUP, mode)
    (above / "store").mkdir(0o700)
    link(above / "current", "store", 0)
    (above / "store" / "in").mkdir(0o700)
    for path in (above / "store", above / "current" / "in"):
        os.close(open_path(str(path)))


def test_a_user_opens_a_key_store_below_a_directory_of_another_user(directory):
    above = directory(BOB, GROUP, 0o755)
    (above / "store").mkdir(0o700)
    os.chown(above / "store", ALICE, GROUP)
    as_user(ALICE, lambda: os.close(open_path(str(above / "store"))))


def test_a_key_store_is_not_made_where_a_stranger_s_link_leads(directory, reachable):
    above = directory(0, GROUP, 0o2775)
    (reachable / "elsewhere").mkdir()
    link(above / "store", reachable / "elsewhere", ALICE)
    with pytest.raises(RefusedError, match="is a symbolic link of uid"):
        make_directories(str(above / "store" / "logs"))
    assert not list((reachable / "elsewhere").iterdir())
