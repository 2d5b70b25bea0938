"""What an intruder does to the notices of a log, in which the log itself says what happened to it."""

from collections.abc import Callable

from tallystick.attacks.scene import Attack, ImpossibleError, Scene, edited, seal_of, text_of

__all__ = ["NOTICES"]


def _attack(name: str, expected: str, doctor: Callable[[Scene, int], Scene]) -> Attack:
    """Return an attack on a notice that stands between two lines of its file, as near to the end as possible."""

    def play(scene: Scene) -> Scene:
        for index in reversed(scene.notices):
            around = range(index - 1, index + 2)
            inside = index > 0 and index + 1 < len(scene.lines) and len({scene.file_of(i) for i in around}) == 1
            if inside and all(scene.positions[i] is not None for i in around):
                return doctor(scene, index)
        raise ImpossibleError("this takes a notice of the log itself")

    return Attack(name, frozenset(expected.split("|")), play)


def _edit(scene: Scene, index: int) -> Scene:
    return scene.changed(index, edited(scene.lines[index]))


def _delete(scene: Scene, index: int) -> Scene:
    return scene.spliced(index, index + 1).expecting(scene.position(index))


def _swap(scene: Scene, index: int) -> Scene:
    return scene.spliced(index - 1, index + 1, scene.lines[index], scene.lines[index - 1]).expecting(line=index)


def _repeat(scene: Scene, index: int) -> Scene:
    return scene.spliced(index + 1, index + 1, scene.lines[index]).expecting(line=index + 1)


def _without_seal(scene: Scene, index: int) -> Scene:
    return scene.spliced(scene.victim, scene.victim, text_of(scene.lines[index])).expecting(line=scene.victim)


def _under_another_seal(scene: Scene, index: int) -> Scene:
    """Have a line say what a notice says."""
    line, found = scene.lines[scene.victim], seal_of(scene.lines[index])
    assert found is not None
    own, text = seal_of(line), scene.lines[index][: found.start]
    assert own is not None
    return scene.changed(scene.victim, text + line[own.start :])


NOTICES = (
    _attack("edit a notice", "altered", _edit),
    _attack("delete a notice", "missing", _delete),
    _attack("move a notice before the line before it", "reordered", _swap),
    _attack("replay a notice", "duplicate", _repeat),
    _attack("inject the text of a notice", "unsealed", _without_seal),
    _attack("put the text of a notice in the place of a line", "altered|unsealed", _under_another_seal),
)
