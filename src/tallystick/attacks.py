"""What an intruder does to a sealed log, on copies: for the demonstration and for tests (spec section 7).

Each attack names the findings of which one must be told; an attack that gets a verdict of `ok` was missed.

>>> [attack.name for attack in ATTACKS][:3]
['edit a line', 'insert a line', 'delete a line']
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tallystick.errors import ReportError

__all__ = ["ATTACKS", "Attack", "Scene"]

_SEAL = re.compile(rb'(?:tally=|"tally":")[a-z2-7]{8}\.([0-9]+)\.([0-9]+)\.([0-9]+)\.[0-9]+\.[\w-]{22}(?:"\})?$')
_CONTROL = (b"tallystick/v1 ", b'{"tallystick":"')


@dataclass(frozen=True, slots=True)
class Scene:
    """A sealed log as the intruder finds it.

    Args:
        lines: Its lines, without line ends.
        head: Its head.
        older_head: A head that it had before its newest chain.
    """

    lines: tuple[bytes, ...]
    head: bytes
    older_head: bytes

    def position(self, index: int) -> tuple[int, int, int]:
        """Return the position in the seal of a line."""
        found = _SEAL.search(self.lines[index])
        if found is None:
            raise ReportError(f"line {index + 1} has no seal, so there is nothing to play the intruder with")
        return int(found[1]), int(found[2]), int(found[3])

    def entries(self) -> list[int]:
        """Return which lines are entries of the application."""
        return [i for i, line in enumerate(self.lines) if not line.startswith(_CONTROL)]

    def chain(self, number: int) -> tuple[int, int]:
        """Return the first line of a chain and the one behind its last."""
        lines = [i for i in range(len(self.lines)) if self.position(i)[0] == number]
        return lines[0], lines[-1] + 1

    def chains(self) -> list[int]:
        """Return the numbers of the chains."""
        return sorted({self.position(i)[0] for i in range(len(self.lines))})


@dataclass(frozen=True, slots=True)
class Attack:
    """One way to doctor a log.

    Args:
        name: What the intruder does.
        told: Kinds of findings; a verifier that holds V and the head must tell one of them.
        doctor: Makes the doctored scene.
    """

    name: str
    told: frozenset[str]
    doctor: Callable[[Scene], Scene]


def _with(scene: Scene, lines: Sequence[bytes]) -> Scene:
    return replace(scene, lines=tuple(lines))


def _victim(scene: Scene) -> int:
    """Choose an entry in the middle of the log that has another one behind it."""
    entries = scene.entries()
    for index in entries[len(entries) // 2 :]:
        if index + 1 in entries:
            return index
    raise ReportError("the log is too short to play the intruder with; take one of 20 lines or more")


def _edit(scene: Scene) -> Scene:
    lines, at = list(scene.lines), _victim(scene)
    seal = lines[at].rindex(b"tally")
    text = lines[at][:seal]
    for old, new in ((b"o", b"0"), (b"e", b"3"), (b" ", b"_")):
        if old in text[1:-3]:
            lines[at] = text[:1] + text[1:].replace(old, new, 1) + lines[at][seal:]
            return _with(scene, lines)
    lines[at] = b"x" + lines[at]
    return _with(scene, lines)


def _insert(scene: Scene) -> Scene:
    lines, at = list(scene.lines), _victim(scene)
    lines.insert(at, b"user=root action=login ok=true from=10.0.0.1")
    return _with(scene, lines)


def _delete(scene: Scene) -> Scene:
    lines = list(scene.lines)
    del lines[_victim(scene)]
    return _with(scene, lines)


def _reorder(scene: Scene) -> Scene:
    lines, at = list(scene.lines), _victim(scene)
    lines[at], lines[at + 1] = lines[at + 1], lines[at]
    return _with(scene, lines)


def _swap_seals(scene: Scene) -> Scene:
    lines, at = list(scene.lines), _victim(scene)
    one, two = lines[at], lines[at + 1]
    cut_one, cut_two = one.rindex(b"tally"), two.rindex(b"tally")
    lines[at], lines[at + 1] = one[:cut_one] + two[cut_two:], two[:cut_two] + one[cut_one:]
    return _with(scene, lines)


def _cut(scene: Scene) -> Scene:
    return _with(scene, scene.lines[: -max(2, len(scene.lines) // 20)])


def _drop_epoch(scene: Scene) -> Scene:
    chain, epoch, _ = scene.position(_victim(scene))
    return _with(scene, [line for i, line in enumerate(scene.lines) if scene.position(i)[:2] != (chain, epoch)])


def _drop(scene: Scene, number: int) -> Scene:
    start, end = scene.chain(number)
    return _with(scene, scene.lines[:start] + scene.lines[end:])


def _replay(scene: Scene) -> Scene:
    start, end = scene.chain(scene.chains()[0])
    return _with(scene, scene.lines + scene.lines[start:end])


def _look_alike(scene: Scene) -> Scene:
    """Put a line in that looks like the opening of a chain, with the text of a real one."""
    opening = scene.lines[scene.chain(scene.chains()[-1])[0]]
    statement = opening[: opening.rindex(b"tally")]
    bare = statement.removesuffix(b',"') + b"}" if statement.startswith(b"{") else statement.removesuffix(b" ")
    lines, at = list(scene.lines), _victim(scene)
    lines.insert(at, bare)
    return _with(scene, lines)


def _roll_back(scene: Scene) -> Scene:
    return replace(scene, head=scene.older_head)


def _forge_head(scene: Scene) -> Scene:
    """Roll the head back to where the cut log ends, without the key that a head takes."""
    last = scene.chains()[-1]
    dropped = _drop(scene, last)
    old = scene.older_head.split(b".")
    return replace(dropped, head=b".".join([*old[:2], b"%d" % (int(old[2]) - 1), *old[3:]]))


ATTACKS = (
    Attack("edit a line", frozenset({"altered"}), _edit),
    Attack("insert a line", frozenset({"unsealed"}), _insert),
    Attack("delete a line", frozenset({"missing"}), _delete),
    Attack("reorder two lines", frozenset({"reordered"}), _reorder),
    Attack("swap the seals of two lines", frozenset({"altered"}), _swap_seals),
    Attack("cut the tail off", frozenset({"truncated"}), _cut),
    Attack("drop an epoch", frozenset({"missing"}), _drop_epoch),
    Attack("drop a whole chain", frozenset({"missing"}), lambda scene: _drop(scene, scene.chains()[1])),
    Attack("drop the last chain", frozenset({"truncated"}), lambda scene: _drop(scene, scene.chains()[-1])),
    Attack("replay an old chain", frozenset({"duplicate"}), _replay),
    Attack("inject a look-alike control line", frozenset({"unsealed"}), _look_alike),
    Attack("roll the head back", frozenset({"open end"}), _roll_back),
    Attack("drop the last chain, forge the head", frozenset({"bad head"}), _forge_head),
)
"""What the demonstration plays, in its order."""
