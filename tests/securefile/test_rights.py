"""A file that was made from others gives no more rights than they do."""

import os
import struct

import pytest

from tallystick.securefile import Rights, copy_rights
from tests.securefile.conftest import ALICE, BOB, GROUP

ACL = "system.posix_acl_access"


def acl(*entries):
    """Return an access list as the kernel takes it: tag, permissions, id."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


# The owner may write, alice may read, the file's group may not; the mode shows 0640 all the same.
FOR_ALICE = acl((1, 6, 2**32 - 1), (2, 4, ALICE), (4, 0, 2**32 - 1), (16, 4, 2**32 - 1), (32, 0, 2**32 - 1))


def made(path, mode, group=-1):
    path.touch()
    path.chmod(mode)
    os.chown(path, -1, group)
    return path


@pytest.mark.parametrize(
    ("modes", "expected"),
    [((0o600,), 0o600), ((0o644,), 0o644), ((0o640, 0o604), 0o600), ((0o777,), 0o666), ((0o440,), 0o640), ((), 0o600)],
)
def test_what_all_of_its_sources_allow(tmp_path, modes, expected):
    assert Rights.common([made(tmp_path / f"{n}", mode) for n, mode in enumerate(modes)]).mode == expected


def test_with_a_source_that_is_not_there_the_owner_s_alone(tmp_path):
    assert Rights.common([made(tmp_path / "a", 0o644), tmp_path / "absent"]).mode == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to groups")
def test_of_sources_of_two_groups_nothing_for_a_group(tmp_path):
    first, second = made(tmp_path / "a", 0o664, 0), made(tmp_path / "b", 0o664, GROUP)
    assert Rights.common([first, second]).mode == 0o604


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to groups")
def test_a_file_of_another_group_gets_nothing_for_it(tmp_path):
    rights = Rights.common([made(tmp_path / "a", 0o640, GROUP)])
    target = made(tmp_path / "b", 0o640, 0)
    with open(target) as file:
        rights.narrow(file.fileno())
    assert target.stat().st_mode & 0o777 == 0o600


@pytest.fixture
def listed(tmp_path):
    path = made(tmp_path / "listed", 0o600)
    try:
        os.setxattr(path, ACL, FOR_ALICE)
    except OSError:
        pytest.skip("no access lists here")
    return path


def test_the_mask_of_an_access_list_is_not_taken_for_a_right_of_the_group(listed):
    assert listed.stat().st_mode & 0o777 == 0o640
    assert Rights.common([listed]).mode == 0o600


def copied(source, target):
    with open(source) as one, open(target, "wb") as other:
        copy_rights(one.fileno(), other.fileno())
    return target.stat()


def test_a_copy_has_the_access_list_of_its_original(listed, tmp_path):
    copied(listed, made(tmp_path / "copy", 0o666))
    assert os.getxattr(tmp_path / "copy", ACL) == FOR_ALICE


def test_a_copy_has_no_access_list_that_its_original_has_not(listed, tmp_path):
    found = copied(made(tmp_path / "original", 0o640), listed)
    assert ACL not in os.listxattr(listed)
    assert found.st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o4755])
def test_a_copy_has_owner_group_and_mode_of_its_original_but_no_more_than_rights_of_files(tmp_path, mode):
    source = made(tmp_path / "source", 0o600)
    os.chown(source, BOB, GROUP)
    source.chmod(mode)
    found = copied(source, made(tmp_path / "copy", 0o666))
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (BOB, GROUP, mode & 0o777)
