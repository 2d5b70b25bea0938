"""Volumes of Kubernetes, in the shapes that the kubelet gives them, and users as pods have them.

emptyDir and claims with fsGroup: root:fsGroup, setgid, writable by the group; at each start all in them is opened to
the group. Secret and projected volumes: links through `..data`, root:fsGroup, 0440, on a mount that is read-only.
"""

import os
import shutil
import stat
import subprocess

import pytest

from tallystick._core import DataKey
from tests.custody.keys import text_of
from tests.places import OtherUser, mounted

UID, GROUP = 10001, 2000


@pytest.fixture
def pod(crossroads):
    """The user of a pod, with an emptyDir at `data`."""
    data = crossroads / "data"
    data.mkdir()
    os.chown(data, 0, GROUP)
    data.chmod(0o2777)
    return OtherUser(data, UID, UID, (GROUP,))


@pytest.fixture
def secret(crossroads):
    """A volume of a Secret with a master key, as a kubelet makes it: defaultMode 0400, and fsGroup."""
    volume = crossroads / "secret"
    with mounted(volume):
        made(volume, "..2026_01_01_00_00_00.1", text_of(DataKey.generate()))
        os.chown(volume, 0, GROUP)
        volume.chmod(0o3777)
        yield volume


def made(volume, name, key, mode=0o440):
    """Write one generation of a Secret, and let ..data lead to it."""
    place = volume / name
    place.mkdir()
    (place / "master.key").write_bytes(key)
    for path, right in ((place, 0o2755), (place / "master.key", mode)):
        os.chown(path, 0, GROUP)
        path.chmod(right)
    (volume / "..data_tmp").symlink_to(name)
    (volume / "..data_tmp").rename(volume / "..data")
    if not os.path.lexists(volume / "master.key"):
        (volume / "master.key").symlink_to("..data/master.key")


def fs_group(place):
    """What a kubelet does to a volume with fsGroup when a pod starts (SetVolumeOwnership)."""
    for path in (place, *place.rglob("*")):
        if path.is_symlink():
            continue
        os.chown(path, -1, GROUP)
        mode = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode | (0o2770 if path.is_dir() else 0o660))


def modes(place):
    return {stat.S_IMODE(path.stat().st_mode) for path in (place, *place.rglob("*"))}


def environment(pod, custody=None):
    custody = custody or f"master-key:{pod.path}/custody/master.key"
    return {"TALLYSTICK_STORE": f"file:{pod.path}/store", "TALLYSTICK_CUSTODY": custody, "TALLYSTICK_PINS": "none"}


def seal(pod, here, line=b"one\n", **more):
    return pod("seal", "payments", "-o", "audit.log", stdin=line, env=here, **more)


# fsGroup


def test_in_an_empty_volume_with_fs_group_a_store_is_made_that_nobody_else_can_read(pod):
    here = environment(pod)
    assert pod("init", "payments", "--verification-key", "payments.key", env=here).status == 0
    assert modes(pod.path / "store") | modes(pod.path / "custody") == {0o700, 0o600}
    assert (seal(pod, here).status, seal(pod, here).err) == (0, "")


def test_the_volume_itself_is_no_store_and_the_message_names_a_directory_in_it(pod):
    done = pod("init", "payments", env=environment(pod) | {"TALLYSTICK_STORE": f"file:{pod.path}"})
    assert done.status == 4
    assert f"{pod.path} belongs to root, not to uid {UID}; name a new directory in it" in done.err


@pytest.mark.parametrize("named", [True, False], ids=["custody is named", "custody is noted in the state"])
def test_at_the_next_start_of_a_pod_what_is_ours_is_made_private_in_one_go_and_reported(pod, named):
    here = environment(pod)
    assert pod("init", "payments", "--verification-key", "payments.key", env=here).status == 0
    assert seal(pod, here).status == 0
    fs_group(pod.path)
    assert "open to other users (mode 2770)" in pod("status", env=here).err
    if not named:
        del here["TALLYSTICK_CUSTODY"]
    done = seal(pod, here, b"two\n")
    assert done.status == 0, done.err
    store, key = done.err.splitlines()
    assert store.startswith(f"tallystick: {pod.path}/store was open to group {GROUP}, as fsGroup leaves it: 6 of its")
    assert key.startswith(f"tallystick: {pod.path}/custody/master.key was open to group {GROUP}")
    assert modes(pod.path / "store") == {0o700, 0o600}
    done = pod("verify", "audit.log", "--key", "payments.key", env=here)
    assert (done.status, done.err) == (0, ""), done.out


def test_a_file_that_somebody_else_put_there_meanwhile_is_refused(pod):
    here = environment(pod)
    assert pod("init", "payments", "--verification-key", "payments.key", env=here).status == 0
    fs_group(pod.path)
    head = pod.path / "store" / "payments" / "head"
    text = head.read_bytes()
    head.unlink()
    head.write_bytes(text)
    os.chown(head, 4711, GROUP)
    done = seal(pod, here)
    assert (done.status, "head belongs to uid 4711" in done.err) == (4, True), done.err


@pytest.mark.parametrize("mode", [0o2777, 0o770])
def test_what_no_kubelet_leaves_is_refused_as_ever(pod, mode):
    here = environment(pod)
    assert pod("init", "payments", "--verification-key", "payments.key", env=here).status == 0
    (pod.path / "store").chmod(mode)
    done = seal(pod, here)
    assert (done.status, f"is open to other users (mode {mode:04o})" in done.err) == (4, True), done.err


# Secrets


def test_a_master_key_from_a_secret_is_taken(pod, secret):
    here = environment(pod, f"master-key:{secret}/master.key")
    subprocess.run(["mount", "-o", "remount,ro", secret], check=True)
    done = pod("init", "payments", "--verification-key", "payments.key", env=here)
    assert done.status == 0, done.err
    assert "forgets           no, root gives the master key" in done.err
    assert seal(pod, here).status == 0
    assert pod("verify", "audit.log", "--key", "payments.key", env=here).status == 0


def test_a_secret_that_was_changed_is_the_wrong_key_and_the_right_one_works_again(pod, secret):
    here = environment(pod, f"master-key:{secret}/master.key")
    assert pod("init", "payments", "--verification-key", "payments.key", env=here).status == 0
    made(secret, "..2026_02_02_00_00_00.2", text_of(DataKey.generate()))
    assert "wrong key" in seal(pod, here).err
    (secret / "..data").unlink()
    (secret / "..data").symlink_to("..2026_01_01_00_00_00.1")
    assert seal(pod, here).status == 0


@pytest.mark.parametrize("mode", [0o444, 0o460])
def test_one_that_others_may_read_or_write_is_refused(pod, secret, mode):
    made(secret, "..2026_02_02_00_00_00.2", text_of(DataKey.generate()), mode)
    done = pod("init", "payments", env=environment(pod, f"master-key:{secret}/master.key"))
    assert done.status == 4
    assert f"is open to other users (mode {mode:04o}); give it to root and one group: defaultMode: 0400" in done.err


def test_one_of_a_group_that_this_user_is_not_in_is_refused(pod, secret):
    os.chown(secret / "..data" / "master.key", 0, 4711)
    done = pod("init", "payments", env=environment(pod, f"master-key:{secret}/master.key"))
    assert (done.status, "permission denied; add this user's group, such as by fsGroup" in done.err) == (4, True)


def test_where_others_can_exchange_names_it_is_refused(pod, secret):
    secret.chmod(0o2777)  # neither sticky nor read-only
    done = pod("init", "payments", env=environment(pod, f"master-key:{secret}/master.key"))
    assert (done.status, "is in a directory that other users can change (mode 2777)" in done.err) == (4, True), done.err
    subprocess.run(["mount", "-o", "remount,ro", secret], check=True)
    assert pod("init", "payments", env=environment(pod, f"master-key:{secret}/master.key")).status == 0


def test_a_link_of_root_above_it_is_followed_as_that_of_var_run(pod, secret):
    (pod.path.parent / "run").symlink_to(secret.parent)
    here = environment(pod, f"master-key:{pod.path.parent}/run/secret/master.key")
    assert pod("init", "payments", "--verification-key", "payments.key", env=here).status == 0
    assert seal(pod, here).status == 0


def test_a_link_of_somebody_else_is_refused(pod, secret):
    elsewhere = pod.path / "mine"
    shutil.copytree(secret, elsewhere, symlinks=True)
    for path in (elsewhere, *elsewhere.rglob("*")):
        os.chown(path, 4711, GROUP, follow_symlinks=False)
    done = pod("init", "payments", env=environment(pod, f"master-key:{elsewhere}/master.key"))
    assert done.status == 4
    assert not (pod.path / "store").exists()


def test_a_file_that_is_mounted_by_itself_is_taken_as_with_sub_path_or_from_systemd(pod, secret):
    """A Secret with subPath, or LoadCredential: a file of root's without links."""
    plain = pod.path.parent / "credentials"
    plain.mkdir(mode=0o755)
    shutil.copy(secret / "master.key", plain / "master.key")
    os.chown(plain / "master.key", 0, GROUP)
    (plain / "master.key").chmod(0o440)
    here = environment(pod, f"master-key:{plain}/master.key")
    assert pod("init", "payments", "--verification-key", "payments.key", env=here).status == 0
    assert seal(pod, here).status == 0


def test_a_log_that_forgets_says_that_its_key_is_not_in_a_secret(pod, secret):
    here = environment(pod)
    assert pod("init", "payments", "--verification-key", "payments.key", env=here).status == 0
    made(secret, "..2026_02_02_00_00_00.2", (pod.path / "custody" / "master.key").read_bytes())
    done = seal(pod, environment(pod, f"master-key:{secret}/master.key"))
    assert (done.status, "takes a key beside its master key, too" in done.err) == (4, True), done.err
