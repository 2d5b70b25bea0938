"""What an intruder does to the end of a log, to its head, and with keys of his own."""

from collections.abc import Callable
from dataclasses import replace

from tallystick import _core
from tallystick.attacks.scene import Attack, Field, ImpossibleError, Position, Scene, seal_of, text_of

__all__ = ["CUT", "DROP_LAST_CHAIN", "ENDS", "FORGE_HEAD", "HEADS", "OWN_KEYS", "ROLL_BACK"]

_NO_HEAD = "without a head the end is open in any case"


def _counted(scene: Scene) -> int:
    """Return the last line that the head counts; the last line at all where there is no head."""
    end = _core.parse_head(scene.head)[1] if scene.head else None
    found = [i for i, at in enumerate(scene.positions) if at is not None and (end is None or at < end)]
    if not found:
        raise ImpossibleError("the head counts no line that is here")
    return found[-1]


def _cut_at(scene: Scene, index: int, left: bytes | None = None) -> Scene:
    """Cut everything off from a line on; `left` stays of that line."""
    kept = [at for at in scene.positions[:index] if at is not None]
    gone = scene.positions[index]
    if not kept or gone is None:
        raise ImpossibleError("nothing would be left")
    cut = scene.spliced(index, len(scene.lines), *([left] if left else []))
    return cut.expecting(gone, kept[-1], remark=None if scene.head else _NO_HEAD)


def _tail(scene: Scene) -> int:
    """Return the first line of the newest twentieth of what the head counts."""
    last = _counted(scene)
    present = [i for i in range(last + 1) if scene.positions[i] is not None]
    return present[-min(len(present), max(2, len(scene.lines) // 20))]


def _first_with(scene: Scene, parts: int) -> int:
    """Return the first line of the newest chain, or epoch (2 parts), that the head counts."""
    newest = scene.position(_counted(scene))[:parts]
    return next(i for i, at in enumerate(scene.positions) if at is not None and at[:parts] == newest)


def _last_file(scene: Scene) -> Scene:
    start = next((at for at in reversed(scene.breaks) if at <= _counted(scene)), None)
    if start is None:
        raise ImpossibleError("there is one file only that the head counts")
    first = next(i for i in range(start, len(scene.lines)) if scene.positions[i] is not None)
    return _cut_at(scene, first)


def _half_of_last(scene: Scene) -> Scene:
    last = _counted(scene)
    return _cut_at(scene, last, scene.lines[last][: len(scene.lines[last]) // 2])


def _drop_last_chain(scene: Scene) -> Scene:
    return _cut_at(scene, _first_with(scene, 1))


def _attack(name: str, expected: str, doctor: Callable[[Scene], Scene]) -> Attack:
    return Attack(name, frozenset(expected.split("|")), doctor)


def _half_after_the_end(scene: Scene) -> Scene:
    """Put half a line after a closed chain, where no crash can have left it."""
    last = max((i for i, at in enumerate(scene.positions) if at is not None), key=scene.position)
    words = scene.statement(last)
    if words is None or words[10:11] not in ([b"closed"], [b"ended"]):
        raise ImpossibleError("the newest chain is not closed, and half a line may stand after it")
    line = scene.lines[scene.victim]
    return scene.spliced(last + 1, last + 1, line[: len(text_of(line)) // 2 + 1]).expecting(line=last + 1)


def _made_up_chain(scene: Scene) -> Scene:
    """Go on after the end with a chain whose tags are made up."""
    last = max((i for i, at in enumerate(scene.positions) if at is not None), key=scene.position)
    found, chain = seal_of(scene.lines[last]), scene.position(last)[0] + 1
    assert found is not None
    texts = (b"tallystick/v1 open", b"user=root action=login ok=true", b"user=root action=logout ok=true")
    lines = [
        b"%s tally=%s.%d.0.%d.%d.%s" % (text, found[Field.LOG_ID], chain, i, len(text), b"A" * 22)
        for i, text in enumerate(texts)
    ]
    return scene.spliced(last + 1, last + 1, *lines).expecting(line=last + 2)


CUT = _attack("cut the tail off", "truncated|open end", lambda scene: _cut_at(scene, _tail(scene)))
DROP_LAST_CHAIN = _attack("drop the last chain", "truncated|open end", _drop_last_chain)

ENDS = (
    _attack("cut the last line off", "truncated|open end", lambda scene: _cut_at(scene, _counted(scene))),
    _attack("cut the last line in two", "truncated|open end", _half_of_last),
    CUT,
    _attack("cut the last epoch off", "truncated|open end", lambda scene: _cut_at(scene, _first_with(scene, 2))),
    DROP_LAST_CHAIN,
    _attack("empty the newest file", "truncated|open end", _last_file),
    _attack("put half a line after a closed chain", "unsealed", _half_after_the_end),
    _attack("go on with a chain whose tags are made up", "altered", _made_up_chain),
)


# -- the head


def _head(scene: Scene) -> tuple[bytes, Position, bytes]:
    """Return log id, position and the rest of the head, from its hash on."""
    if not scene.head:
        raise ImpossibleError("no head was given, so there is none to attack")
    log_id, at, _ = _core.parse_head(scene.head)
    return log_id.encode(), at, scene.head.split(b" ", 2)[2].split(b".", 3)[3].strip()


def _roll_back(scene: Scene) -> Scene:
    if not scene.older_head:
        raise ImpossibleError("this takes a head from before, which a key store does not keep; a pin shows it")
    return replace(scene, head=scene.older_head)


def _forged(scene: Scene, cut: Scene) -> Scene:
    """Move the head back to where a log was cut, without the key that a head takes."""
    log_id, _, rest = _head(scene)
    chain, epoch, index = cut.expected_at[1]
    at = (chain, epoch, min(index + 1, 65_535))
    return replace(cut, head=b"tallyhead %s %d.%d.%d.%s\n" % (log_id, *at, rest)).expecting(at)


def _forge_mac(scene: Scene) -> Scene:
    _, at, _ = _head(scene)
    start, mac = scene.head.strip().rsplit(b" ", 1)
    return replace(scene, head=b"%s %s%s\n" % (start, b"B" if mac[:1] == b"A" else b"A", mac[1:])).expecting(at)


def _other_head(scene: Scene) -> Scene:
    log_id, at, _ = _head(scene)
    other = bytes(_core.setup("other").head()).split(b" ", 2)[2].split(b".", 3)[3]
    return replace(scene, head=b"tallyhead %s %d.%d.%d.%s\n" % (log_id, *at, other)).expecting(at)


def _no_head(scene: Scene) -> Scene:
    _head(scene)
    if any(b" ended " in scene.lines[i] for i in scene.controls):
        raise ImpossibleError("the log has ended, so it needs no head")
    return replace(scene, head=b"").expecting()


ROLL_BACK = _attack("roll the head back", "open end", _roll_back)
FORGE_HEAD = _attack(
    "drop the last chain, forge the head", "bad head", lambda scene: _forged(scene, _drop_last_chain(scene))
)

HEADS = (
    ROLL_BACK,
    _attack("cut the tail off, forge the head", "bad head", lambda scene: _forged(scene, CUT.doctor(scene))),
    FORGE_HEAD,
    _attack("change the mac of the head", "bad head", _forge_mac),
    _attack("take the head of another log", "bad head", _other_head),
    _attack("take the head away", "open end", _no_head),
)


# -- keys of his own


def _resealed(scene: Scene) -> tuple[bytes, list[bytes]]:
    """Seal all entries again, with keys that the intruder made: log id and lines."""
    words = next((found for i in scene.controls if (found := scene.statement(i))), None)
    setup = _core.setup(words[2].decode() if words else "log")
    sealer = setup.state().open_chain(bytes(setup.head()), 0)
    texts = b"".join(text_of(scene.lines[i]) + b"\n" for i in scene.entries())
    sealed, at = bytearray(), 0
    while at < len(texts) and not sealer.closed:
        out = _core.Output()
        at, _ = sealer.write_lines(texts, at, out, 0)
        sealed += out.peek()
    if not sealer.closed:
        sealer.close(out := _core.Output(), 0)
        sealed += out.peek()
    return setup.log_id.encode(), bytes(sealed).split(b"\n")[:-1]


def _own_keys(scene: Scene) -> Scene:
    _, lines = _resealed(scene)
    return replace(scene, lines=tuple(lines), breaks=(len(lines),) * len(scene.breaks)).expecting()


def _own_keys_this_id(scene: Scene) -> Scene:
    own, lines = _resealed(scene)
    found = seal_of(scene.lines[scene.victim])
    assert found is not None
    lines = [line.replace(own, found[Field.LOG_ID]) for line in lines]
    return replace(scene, lines=tuple(lines), breaks=(len(lines),) * len(scene.breaks)).expecting(line=0)


OWN_KEYS = (
    _attack("seal it all again with keys of his own", "nothing verified|truncated", _own_keys),
    _attack("the same, and claim the log id of this log", "altered", _own_keys_this_id),
)
