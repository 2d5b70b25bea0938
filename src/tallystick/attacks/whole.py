"""What an intruder does to whole stretches of a log: their order, their presence, its statements, its end, its head."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

from tallystick.attacks.scene import Attack, Field, ImpossibleError, Position, Scene, edited, seal_of, with_field

__all__ = ["ABSENCE", "COPIES", "DELETE", "DROP_CHAIN", "DROP_EPOCH", "ORDER", "REORDER", "REPLAY", "STATEMENTS"]


def _attack(name: str, expected: str, doctor: Callable[[Scene], Scene]) -> Attack:
    return Attack(name, frozenset(expected.split("|")), doctor)


def _first(candidates: Iterator[int], lacking: str) -> int:
    """Take the first line that will do; say what is lacking if there is none."""
    found = next(candidates, None)
    if found is None:
        raise ImpossibleError(lacking)
    return found


def _stretches(scene: Scene, parts: int) -> list[tuple[tuple[int, ...], int, int]]:
    """Return what stands together: chain (and epoch, with 2 parts), first line, line after the last."""
    found: list[tuple[tuple[int, ...], int, int]] = []
    for i, at in enumerate(scene.positions):
        if at is None:
            continue
        if found and found[-1][0] == at[:parts] and found[-1][2] == i and i not in scene.breaks:
            found[-1] = (found[-1][0], found[-1][1], i + 1)
        else:
            found.append((at[:parts], i, i + 1))
    return found


# -- order


def _reorder(scene: Scene) -> Scene:
    at = scene.victim
    return scene.spliced(at, at + 2, scene.lines[at + 1], scene.lines[at]).expecting(line=at + 1)


def _move_to_end(scene: Scene) -> Scene:
    at, end = scene.victim, scene.file_end(scene.victim)
    after = max(i for i in range(at, end) if scene.positions[i] is not None) + 1
    return scene.spliced(after, after, scene.lines[at]).spliced(at, at + 1).expecting(line=after - 1)


def _move_to_newer_file(scene: Scene) -> Scene:
    at, last = scene.victim, len(scene.breaks)
    if scene.file_of(at) == last:
        raise ImpossibleError("this takes a newer file than the one with the line")
    after = max((i for i, p in enumerate(scene.positions) if p is not None), default=0) + 1
    if scene.file_of(after - 1) == scene.file_of(at):
        raise ImpossibleError("the newer file is empty")
    return scene.spliced(after, after, scene.lines[at]).spliced(at, at + 1).expecting(line=after - 1)


def _swap(scene: Scene, parts: int, lacking: str) -> Scene:
    stretches = _stretches(scene, parts)
    for (one, start, middle), (two, start_two, end) in pairwise(stretches):
        one_file = middle == start_two and scene.file_of(start) == scene.file_of(start_two)
        if one_file and one < two and (parts == 1 or one[0] == two[0]):
            lines = scene.lines[middle:end] + scene.lines[start:middle]
            return scene.spliced(start, end, *lines).expecting(line=start + end - middle)
    raise ImpossibleError(lacking)


def _checkpoint_first(scene: Scene) -> Scene:
    at = _inner_checkpoint(scene)
    if scene.positions[at - 1] is None or scene.file_of(at - 1) != scene.file_of(at):
        raise ImpossibleError("the checkpoint stands alone in its file")
    return scene.spliced(at - 1, at + 1, scene.lines[at], scene.lines[at - 1]).expecting(line=at)


REORDER = _attack("reorder two lines", "reordered", _reorder)

ORDER = (
    REORDER,
    _attack("move a line to the end of its file", "reordered", _move_to_end),
    _attack("move a line into a newer file", "reordered", _move_to_newer_file),
    _attack("move a checkpoint before its last line", "reordered", _checkpoint_first),
    _attack("swap two epochs", "reordered", lambda s: _swap(s, 2, "this takes two epochs of a chain in one file")),
    _attack("swap two chains", "reordered", lambda s: _swap(s, 1, "this takes two chains in one file")),
)


# -- absence


def _delete(scene: Scene) -> Scene:
    return _gone(scene, scene.victim)


def _gone(scene: Scene, at: int, *more: Position) -> Scene:
    return scene.spliced(at, at + 1).expecting(scene.position(at), *more)


def _delete_two(scene: Scene) -> Scene:
    one = scene.victim
    end = scene.file_end(one)
    two = _first((i for i in scene.entries() if one + 1 < i < end - 1 and _is_inner(scene, i)), "the log is too short")
    return scene.spliced(two, two + 1).spliced(one, one + 1).expecting(scene.position(two))


def _is_inner(scene: Scene, index: int) -> bool:
    """Does a line stand between its neighbours, in one epoch?"""
    chain, epoch, at = scene.position(index)
    return scene.positions[index - 1] == (chain, epoch, at - 1) and scene.positions[index + 1] == (chain, epoch, at + 1)


def _delete_first_of_epoch(scene: Scene) -> Scene:
    def goes_on(index: int) -> bool:
        before, (chain, epoch, _), after = (scene.positions[i] or (0, 0, 0) for i in (index - 1, index, index + 1))
        return before[0] == chain and after[:2] == (chain, epoch)

    lines = (i for i in scene.entries() if scene.position(i)[2] == 0 and 0 < i < len(scene.lines) - 1 and goes_on(i))
    return _gone(scene, _first(lines, "this takes an epoch after another one"))


def _delete_before_checkpoint(scene: Scene) -> Scene:
    at = _inner_checkpoint(scene)
    if (at - 1) not in set(scene.entries()) or scene.position(at - 1)[:2] != scene.position(at)[:2]:
        raise ImpossibleError("the checkpoint has no entry before it")
    return _gone(scene, at - 1)


def _delete_open(scene: Scene) -> Scene:
    chains = scene.chains()
    lines = (i for i in scene.controls if scene.position(i)[1:] == (0, 0) and scene.position(i)[0] != chains[0])
    return _gone(scene, _first(lines, "this takes two chains"))


def _delete_first_line(scene: Scene) -> Scene:
    present = [i for i, at in enumerate(scene.positions) if at is not None]
    first = min(present, key=scene.position)
    after = min((scene.position(i) for i in present if i != first), default=None)
    if after is None:
        raise ImpossibleError("there is one line only")
    return _gone(scene, first, after)


def _checkpoints(scene: Scene) -> list[int]:
    return [i for i in scene.controls if scene.position(i)[1:] != (0, 0)]


def _inner_checkpoint(scene: Scene) -> int:
    """Choose a checkpoint after which its chain goes on; in the middle of the log, if it can be."""
    found = [i for i in _checkpoints(scene) if (scene.statement(i) or [b""])[10:11] == [b"continues"]]
    newest = {at[0]: at for at in scene.positions if at is not None}
    found = [i for i in found if newest[scene.position(i)[0]] > scene.position(i)]
    if not found:
        raise ImpossibleError("this takes two epochs in one chain")
    return found[len(found) // 2]


def _closed_chain(scene: Scene) -> int:
    """Choose a chain that was closed and has others before and after it; its closing was counted by a head."""
    chains = scene.chains()
    closed = {scene.position(i)[0] for i in _checkpoints(scene) if (scene.statement(i) or [b""])[10:11] == [b"closed"]}
    found = [chain for chain in chains[1:-1] if chain in closed]
    if not found:
        raise ImpossibleError("this takes three chains, one of them closed between the others")
    return found[len(found) // 2]


def _delete_closing(scene: Scene) -> Scene:
    chains = scene.chains()
    closings = (
        i for i in _checkpoints(scene)
        if scene.position(i)[0] != chains[-1] and (scene.statement(i) or [b""])[10:11] == [b"closed"]
    )  # fmt: skip
    return _gone(scene, _first(closings, "this takes a chain that was closed, and one after it"))


def _drop_epoch(scene: Scene) -> Scene:
    chain, epoch, _ = scene.position(scene.victim)
    gone = [at for at in scene.positions if at is not None and at[:2] == (chain, epoch)]
    newest = max(at for at in scene.positions if at is not None)
    if newest in gone:
        raise ImpossibleError("there is nothing after this epoch; its loss is played as one of the end")
    return _without(scene, lambda at: at[:2] == (chain, epoch)).expecting(*gone, *_first_left(scene, gone))


def _first_left(scene: Scene, gone: list[Position]) -> list[Position]:
    """Return the new first position, where the beginning of the log went: then it is reported as a late start."""
    away = set(gone)
    present = [at for at in scene.positions if at is not None]
    return [min(at for at in present if at not in away)] if min(present) in away else []


def _without(scene: Scene, gone: Callable[[Position], bool]) -> Scene:
    return scene.without(lambda i: (at := scene.positions[i]) is None or not gone(at))


def _drop(scene: Scene, number: int) -> Scene:
    gone = [at for at in scene.positions if at is not None and at[0] == number]
    return _without(scene, lambda at: at[0] == number).expecting((number, 0, 0), *gone, *_first_left(scene, gone))


def _drop_first(scene: Scene) -> Scene:
    if len(chains := scene.chains()) < 2:
        raise ImpossibleError("there is one chain only")
    return _drop(scene, chains[0])


def _drop_file(scene: Scene) -> Scene:
    if not scene.breaks:
        raise ImpossibleError("there is one file only")
    start, end = (*([0] if len(scene.breaks) == 1 else []), *scene.breaks)[:2]
    gone = [at for at in scene.positions[start:end] if at is not None]
    if not gone:
        raise ImpossibleError("the file holds no sealed line")
    return scene.spliced(start, end).expecting(*gone, *_first_left(scene, gone))


DELETE = _attack("delete a line", "missing", _delete)
DROP_EPOCH = _attack("drop an epoch", "missing|late start", _drop_epoch)
DROP_CHAIN = _attack("drop a whole chain", "missing", lambda scene: _drop(scene, _closed_chain(scene)))

ABSENCE = (
    DELETE,
    _attack("delete two lines apart", "missing", _delete_two),
    _attack("delete the first line of an epoch", "missing", _delete_first_of_epoch),
    _attack("delete the line before a checkpoint", "missing", _delete_before_checkpoint),
    _attack("delete a checkpoint", "missing", lambda scene: _gone(scene, _inner_checkpoint(scene))),
    _attack("delete the closing of a chain", "missing", _delete_closing),
    _attack("delete the opening of a chain", "missing", _delete_open),
    _attack("delete the first line of the log", "missing|late start", _delete_first_line),
    DROP_EPOCH,
    DROP_CHAIN,
    _attack("drop the first chain", "missing|late start", _drop_first),
    _attack("empty a file", "missing|late start", _drop_file),
)


# -- copies


def _twice(scene: Scene) -> Scene:
    at = scene.victim
    return scene.spliced(at + 1, at + 1, scene.lines[at]).expecting(scene.position(at))


def _replay(scene: Scene) -> Scene:
    start, end = scene.chain(scene.chains()[0])
    last = scene.breaks[0] if scene.breaks else len(scene.lines)
    if end > last:
        raise ImpossibleError("the first chain goes on in another file")
    again = [line for line, at in zip(scene.lines[start:end], scene.positions[start:end], strict=True) if at]
    return scene.spliced(last, last, *again).expecting(scene.position(start))


def _edited_copy(scene: Scene) -> Scene:
    """Put a copy of a file beside it, in which one line says something else."""
    file = scene.file_of(scene.victim)
    start = (0, *scene.breaks)[file]
    copy = list(scene.files()[file])
    copy[scene.victim - start] = edited(copy[scene.victim - start])
    end = len(scene.lines)
    beside = replace(scene, lines=(*scene.lines, *copy), breaks=(*scene.breaks, end))
    return beside.expecting(line=end + scene.victim - start)


def _key(scene: Scene) -> Scene:
    raise ImpossibleError("this takes the key of that very line, which is erased before the line leaves the writer")


REPLAY = _attack("replay an old chain", "duplicate", _replay)

COPIES = (
    _attack("write a line twice", "duplicate", _twice),
    REPLAY,
    _attack("put an edited copy of a file beside it", "altered", _edited_copy),
    _attack("write another line at a position (fork)", "fork", _key),
)


# -- statements


def _word(number: int, change: Callable[[bytes], bytes], *, opening: bool = False) -> Callable[[Scene], Scene]:
    """Return what changes one word of a statement, and the length in its seal with it."""

    def doctor(scene: Scene) -> Scene:
        at = _inner_opening(scene) if opening else _inner_checkpoint(scene)
        words = scene.statement(at)
        assert words is not None
        changed = [*words[:number], change(words[number]), *words[number + 1 :]]
        return scene.changed(at, _restated(scene.lines[at], words, changed))

    return doctor


def _restated(line: bytes, old: list[bytes], new: list[bytes]) -> bytes:
    found = seal_of(line)
    assert found is not None
    before, after = b" ".join(old), b" ".join(new)
    length = int(found[Field.LENGTH]) + len(after) - len(before)
    return with_field(line, Field.LENGTH, b"%d" % length).replace(before, after, 1)


def _inner_opening(scene: Scene) -> int:
    openings = [i for i in scene.controls if scene.position(i)[1:] == (0, 0) and _goes_on(scene, i)]
    return _first(iter(openings[-1:]), "no opening of a chain is here")


def _goes_on(scene: Scene, index: int) -> bool:
    if index + 1 >= len(scene.lines) or (after := scene.positions[index + 1]) is None:
        return False
    return after[0] == scene.position(index)[0]


def _letter(word: bytes) -> bytes:
    return (b"B" if word[:1] == b"A" else b"A") + word[1:]


def _later(word: bytes) -> bytes:
    return b"%d" % (int(word) + 3_600_000)


def _another_statement(scene: Scene) -> Scene:
    """Put the statement of another checkpoint in the place of one."""
    at = _inner_checkpoint(scene)
    words = scene.statement(at)
    other = next((found for i in _checkpoints(scene) if i != at and (found := scene.statement(i))), None)
    if words is None or other is None:
        raise ImpossibleError("this takes two checkpoints")
    return scene.changed(at, _restated(scene.lines[at], words, other))


def _opening_again(scene: Scene) -> Scene:
    at, file = scene.victim, scene.file_of(scene.victim)
    openings = (i for i in scene.controls if i < at and scene.position(i)[1:] == (0, 0) and scene.file_of(i) == file)
    opening = _first(openings, "no opening of a chain is in the file of the line in the middle")
    return scene.spliced(at, at, scene.lines[opening]).expecting(scene.position(opening), line=at)


_BAD = "altered|bad statement"

STATEMENTS = (
    _attack("change the root in a checkpoint", _BAD, _word(7, _letter)),
    _attack("change the prev of a checkpoint", _BAD, _word(8, _letter)),
    _attack("change the time of a checkpoint", _BAD, _word(9, _later)),
    _attack("change `continues` to `ended`", _BAD, _word(10, lambda _: b"ended")),
    _attack("change the signature of a checkpoint", _BAD, _word(14, _letter)),
    _attack("change the time of an opening", _BAD, _word(5, _later, opening=True)),
    _attack("change the prev of an opening", _BAD, _word(6, lambda prev: b"1" + prev, opening=True)),
    _attack("change the signature of an opening", _BAD, _word(8, _letter, opening=True)),
    _attack("put another statement into a checkpoint", _BAD, _another_statement),
    _attack("write an opening once more", "duplicate|reordered", _opening_again),
)
