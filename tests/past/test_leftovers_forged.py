"""What an interruption leaves in the key store opens nothing that was sealed since, and copies of states neither.

Each of these forges a log that verifies on the state before (commit d0cc139), unless its docstring says something else.
"""

import shutil
import signal

import pytest

from tallystick import keystore
from tests.past.host import Host
from tests.past.loot import tree

RUN = "import os, sys, time, tallystick\nfrom tallystick.moving import migrate, rekey\n"
REKEY = RUN + "rekey('payments', output='audit.log', key_file='second.key')"
MIGRATE = RUN + "migrate('payments', to_store='file:' + os.path.abspath('there'))"


def killed(host, preload, script, *rules, env=None):
    """Run a program that is killed by the rules of `faults`; see tests/survival/faults.c."""
    control = host.path / "faults"
    control.write_text("".join(f"{rule}\n" for rule in rules))
    with host.python(script, env=preload("faults", FAULTS=control) | (env or {})) as process:
        process.communicate()
    assert process.returncode in (-signal.SIGKILL, 1), "nothing was interrupted"  # 1: it was the courier
    control.unlink()


def goes_on(host):
    """The service starts again, and seals; then the intruder comes."""
    if (host.path / "second.key").exists():
        host.keys.append(host.path / "second.key")
    host.record()
    host.library("user=1 action=login", "user=1 action=pay")
    host.library("user=1 action=logout")
    host.take()
    return host.forged()


# Custody cannot forget here: all rests on nothing being left.


@pytest.mark.parametrize("call", ["rename", "unlink"])
def test_new_keys_whose_last_step_was_interrupted(remembering, preload, call):
    """The successor has its place, and a copy of its state waits beside it; or is half removed."""
    remembering.library("user=1 action=login")
    killed(remembering, preload, REKEY, f"{call} kill 0 1 /{'~next.payments' if call == 'rename' else '.gone-'}")
    assert goes_on(remembering) == []
    assert remembering.verified() == ("ok", [])


@pytest.mark.parametrize("call", ["rename", "unlink"])
def test_a_move_whose_last_step_was_interrupted(remembering, preload, call):
    remembering.library("user=1 action=login")
    killed(
        remembering, preload, MIGRATE, f"{call} kill 0 1 /there/{'~moving.payments' if call == 'rename' else '.gone-'}"
    )
    remembering.url = f"file:{remembering.path}/there"
    assert goes_on(remembering) == []


@pytest.mark.parametrize("call", ["rename", "unlink"])
def test_a_place_that_is_not_quite_left(remembering, preload, call):
    """What stays where the log was is its state without keys. This one forged nothing before either."""
    remembering.library("user=1 action=login")
    rule = "rename kill 2 1 /store/payments" if call == "rename" else "unlink kill 0 1 /store/.gone-"
    killed(remembering, preload, MIGRATE, rule)
    remembering.url = f"file:{remembering.path}/there"
    remembering.copies.append(tree(remembering.path / "store"))
    assert goes_on(remembering) == []


OPEN = RUN + "log = tallystick.open('payments', output='audit.log')\nlog.write('user=1 action=wait')\nlog.close()"
POINTS = {
    "the new state is written": "rename kill 0 1 /state.new",
    "the new state has its place": "sync kill 0 1 /payments",
    "the old one is to be wiped": "unlink kill 0 1 /state.old",
}


@pytest.mark.parametrize("point", POINTS)
def test_an_opening_that_was_interrupted(remembering, preload, point):
    """The state of the chain that is left out has another name in the store until the next writer comes: erased then.

    This one forged nothing before either.
    """
    remembering.library("user=1 action=login")
    killed(remembering, preload, OPEN, POINTS[point])
    assert goes_on(remembering) == []


@pytest.mark.parametrize("after", [1, 3, 5])
def test_a_set_up_that_was_interrupted(tmp_path, preload, after):
    """Its log is there whole or not at all, and half a log opens nothing. Nothing was forged before either."""
    host = Host(tmp_path)
    script = f"{RUN}tallystick.create('payments', custody={host.custody!r}, key_file='first.key')"
    killed(host, preload, script, f"any kill {after} 1 /store/")
    host.keys.append(tmp_path / "payments.key")
    if "payments" in keystore.connect(host.url).names():
        assert not (tmp_path / "first.key").exists() or (tmp_path / "first.key").stat().st_size == 0
        shutil.rmtree(host.store / "payments")
    with host.here():
        import tallystick

        tallystick.create("payments", custody=host.custody, key_file=host.keys[0])
    assert goes_on(host) == []


# Custody forgets here, and every state that ever was is known.


def test_states_that_were_copied(forgetting):
    """From a backup, a snapshot, swap or a disk: with the master key of the host they opened the past."""
    for number in range(3):
        forgetting.library(f"user={number} action=login", f"user={number} action=pay")
    assert len(forgetting.copies) > 6
    forgetting.take()
    assert forgetting.forged() == []


def test_states_of_a_log_that_has_ended(forgetting):
    forgetting.library("user=1 action=login")
    done = forgetting("close", "payments", "-o", "audit.log")
    assert done.status == 0, done.err
    forgetting.record()
    forgetting.take()
    assert forgetting.forged() == []


@pytest.mark.parametrize("what", ["rekey", "migrate", "migrate to another custody"])
def test_states_from_before_a_change(forgetting, what):
    """The custody of before destroys its keys, too."""
    forgetting.library("user=1 action=login")
    other = f"master-key:{forgetting.path}/other/master.key"
    script = {
        "rekey": REKEY,
        "migrate": MIGRATE,
        "migrate to another custody": RUN + f"migrate('payments', to_custody={other!r})",
    }
    with forgetting.python(script[what]) as process:
        process.communicate()
    assert process.returncode == 0
    if what == "migrate":
        forgetting.url = f"file:{forgetting.path}/there"
    assert goes_on(forgetting) == []


EARLY = (
    RUN
    + """
log = tallystick.open('payments', output='audit.log', epoch_lines=1)
for number in range(150): log.write('user=0 action=wait')
while not log.is_ahead: time.sleep(0.01)
print("fetched", flush=True)
sys.stdin.readline()
for number in range(150): log.write('user=0 action=wait')
log.close()
"""
)


def test_the_state_of_a_chain_that_was_fetched_early(forgetting):
    """Between the fetch and its opening there is a state of it nowhere but in locked memory."""
    before = len(forgetting.copies)
    with forgetting.python(EARLY) as writer:
        assert writer.stdout.readline() == b"fetched\n"
        forgetting.record()
        writer.stdin.write(b"\n")
        writer.stdin.close()
        assert writer.wait(60) == 0
    assert len(forgetting.copies) > before
    assert goes_on(forgetting) == []


def test_a_change_of_custody_that_was_interrupted_before_the_old_one_destroyed_its_keys(forgetting, preload):
    forgetting.library("user=1 action=login")
    other = f"master-key:{forgetting.path}/other/master.key"
    script = RUN + f"migrate('payments', to_custody={other!r})"
    killed(forgetting, preload, script, "unlink kill 0 1 /state.old")
    assert goes_on(forgetting) == []


@pytest.mark.parametrize("replacement", [0, 1])  # the first one notes what the other custody has to destroy
def test_a_change_of_custody_that_was_interrupted_before_it_was_made(forgetting, preload, replacement):
    """The state under the new custody was written, and copied, and did not get its place; the log goes on as before."""
    forgetting.library("user=1 action=login")
    script = RUN + "migrate('payments', to_custody='master-key:' + os.path.abspath('other/master.key'))"
    killed(forgetting, preload, script, f"rename kill {replacement} 1 /state.new")
    forgetting.take()  # a copy of all that is on the disk
    assert goes_on(forgetting) == []


# Where custody cannot forget, copies forge, and that is said.


def test_copies_of_states_forge_where_custody_cannot_forget_and_that_is_said(tmp_path):
    """What all of the above is measured against: this forges now as before."""
    host = Host(tmp_path, copied=True)
    host.init()
    host.library("user=1 action=login", "user=1 action=pay")
    host.library("user=1 action=logout")
    host.take()
    log_id = next(iter(host.logs))
    assert host.forged() == [f"{log_id}: 6 lines since chain 1", f"{log_id}: 2 lines since chain 2"]
    assert str(host.told()["forgets"]).startswith("no, ")


def test_a_log_that_came_from_a_custody_that_cannot_forget_is_said_to_be_forgeable_until_it_gets_new_keys(tmp_path):
    host = Host(tmp_path, copied=True)
    host.init()
    host.library("user=1 action=login")
    done = host("migrate", "payments", "--to-custody", f"master-key:{tmp_path}/custody/master.key")
    assert done.status == 0
    host.record()
    host.library("user=1 action=pay")
    host.take()
    assert len(host.forged()) == 2  # from both copies of before, the later one over the move
    assert str(host.told()["forgets"]).startswith(f"no, {host.custody}, where the log was before")
    done = host("rekey", "payments", "-o", "audit.log", "--verification-key", "second.key")
    assert done.status == 0, done.err
    host.keys.append(tmp_path / "second.key")
    (old,) = host.logs
    host.record()
    host.library("user=1 action=logout")
    host.take()
    assert {made.split(":")[0] for made in host.forged()} == {old}
    assert str(host.told()["forgets"]).startswith("yes")


def test_a_move_that_was_interrupted_and_given_up(forgetting, preload):
    """The log goes on where it was; what was on its way opens nothing, since the keys of a later state are others."""
    host = forgetting
    host.library("user=1 action=login")
    killed(host, preload, MIGRATE, "rename kill 0 1 /store/payments/state.new")
    assert keystore.connect(f"file:{host.path}/there").under_way() == ["~moving.payments"]
    host.copies.append(tree(host.path / "there"))
    assert goes_on(host) == []
    host.copies.append(tree(host.path / "there"))
    assert host.forged() == []


GIVEN_UP = "rename kill 1 1 /store/payments/state.new"  # the first one notes where the log goes


def test_where_custody_cannot_forget_a_move_given_up_keeps_the_log_from_being_sealed(remembering, preload):
    """The log went on where it was, and its copy elsewhere opened everything from then on: six forged lines."""
    host = remembering
    host.library("user=1 action=login")
    killed(host, preload, MIGRATE, GIVEN_UP)
    there = keystore.connect(f"file:{host.path}/there")
    assert there.under_way() == ["~moving.payments"]
    done = host("seal", "payments", "-o", "audit.log", stdin=b"user=1 action=pay\n")
    assert done.status == 4
    assert f"log payments is being moved to file:{host.path}/there" in done.err
    assert f"an interrupted migrate to file:{host.path}/there; run it again" in str(host.told()["under_way"])
    done = host("migrate", "payments", "--to-store", f"file:{host.path}/there")
    assert done.status == 0, done.err
    assert (there.names(), there.under_way()) == (["payments"], [])
    host.env["TALLYSTICK_STORE"] = f"file:{host.path}/there"
    done = host("seal", "payments", "-o", "audit.log", stdin=b"user=1 action=pay\n")
    assert (done.status, done.err) == (0, "")


def test_a_move_that_is_taken_back_leaves_a_log_that_says_what_may_open_it(remembering, preload):
    host = remembering
    host.library("user=1 action=login")
    killed(host, preload, MIGRATE, GIVEN_UP)
    done = host("migrate", "payments", "--to-store", f"file:{host.store}")
    assert done.status == 0, done.err
    assert "tallystick rekey payments" in done.err
    host.library("user=1 action=pay")
    assert str(host.told()["forgets"]).startswith(f"no, {host.custody}, where the log was before")
