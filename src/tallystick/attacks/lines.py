"""What an intruder does to single lines: their text, their seal, their bytes."""

from collections.abc import Callable

from tallystick.attacks.scene import (
    Attack,
    Field,
    ImpossibleError,
    Scene,
    changeable,
    edited,
    seal_of,
    text_of,
    with_field,
)

__all__ = ["BYTES", "EDIT", "INSERT", "LOOK_ALIKE", "SEALS", "SWAP_SEALS", "TEXT"]

Change = Callable[[bytes], bytes]

_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _on_line(name: str, expected: str, change: Change) -> Attack:
    """Return an attack that changes one line in the middle of the log, which must be reported."""

    def doctor(scene: Scene) -> Scene:
        return scene.changed(scene.victim, change(scene.lines[scene.victim]))

    return Attack(name, frozenset(expected.split("|")), doctor)


# -- the text


def _put(new: bytes, *, over: int) -> Change:
    """Return what puts bytes into the text of a line, over some that are there."""

    def change(line: bytes) -> bytes:
        at = changeable(line)
        return line[:at] + new + line[at + over :]

    return change


def _other_case(line: bytes) -> bytes:
    at = changeable(line)
    if not line[at : at + 1].isalpha():
        raise ImpossibleError("there is no line with a letter in it")
    return line[:at] + line[at : at + 1].swapcase() + line[at + 1 :]


def _longer(line: bytes) -> bytes:
    found = seal_of(line)
    assert found is not None
    end = len(text_of(line)) - line.startswith(b"{")
    return line[:end] + b"x" + line[end:]


def _double_blank(line: bytes) -> bytes:
    text = text_of(line)
    if text.startswith(b"{") or b" " not in text:
        raise ImpossibleError("this takes a plain line with a blank in it")
    return line.replace(b" ", b"  ", 1)


def _add_member(line: bytes) -> bytes:
    if not text_of(line).startswith(b'{"'):
        raise ImpossibleError("this takes a JSON log")
    return b'{"admin":true,' + line[1:]


EDIT = _on_line("edit a line", "altered", edited)

TEXT = (
    EDIT,
    _on_line("change the case of a letter", "altered", _other_case),
    _on_line("add a letter", "altered", _put(b"x", over=0)),
    _on_line("take a letter away", "altered", _put(b"", over=1)),
    _on_line("add something at the end of the text", "altered", _longer),
    _on_line("double a blank", "altered", _double_blank),
    _on_line("put something before a line", "altered", lambda line: b"Jan  1 00:00:00 root " + line),
    _on_line("add a member to a JSON line", "altered", _add_member),
    _on_line("put a NUL over a letter", "altered", _put(b"\0", over=1)),
    _on_line("put a CR over a letter", "altered", _put(b"\r", over=1)),
    _on_line("put a byte that is no UTF-8 over a letter", "altered", _put(b"\xff", over=1)),
    _on_line("put an escape sequence into a line", "altered", _put(b"\x1b[2K", over=0)),
)


# -- the seal


def _field(field: Field, change: Change) -> Change:
    def changed(line: bytes) -> bytes:
        found = seal_of(line)
        assert found is not None
        return with_field(line, field, change(found[field]))

    return changed


def _plus(number: int) -> Change:
    return lambda field: b"%d" % (int(field) + number)


def _other_log(own: bytes) -> bytes:
    return b"b" * 8 if own == b"a" * 8 else b"a" * 8


def _first_letter(tag: bytes) -> bytes:
    return _LETTERS[(_LETTERS.index(tag[0]) + 1) % 64 :][:1] + tag[1:]


def _swap_seals(scene: Scene) -> Scene:
    at = scene.victim
    one, two = scene.lines[at], scene.lines[at + 1]
    cut_one, cut_two = one.rindex(b"tally"), two.rindex(b"tally")
    swapped = one[:cut_one] + two[cut_two:], two[:cut_two] + one[cut_one:]
    return scene.spliced(at, at + 2, *swapped).expecting(line=at)


def _front_seal(line: bytes) -> bytes:
    text = text_of(line)
    return line[len(text) :].strip() + b" " + text


_BROKEN = "altered|unsealed"

SWAP_SEALS = Attack("swap the seals of two lines", frozenset({"altered"}), _swap_seals)

SEALS = (
    SWAP_SEALS,
    _on_line("change the first letter of a tag", "altered", _field(Field.TAG, _first_letter)),
    _on_line("set spare bits in the last letter of a tag", _BROKEN, _field(Field.TAG, lambda tag: tag[:-1] + b"B")),
    _on_line("take a letter off a tag", _BROKEN, _field(Field.TAG, lambda tag: tag[:-1])),
    _on_line("make up a tag", "altered", _field(Field.TAG, lambda tag: b"A" * len(tag))),
    _on_line("claim a greater length", "altered", _field(Field.LENGTH, _plus(1))),
    _on_line("claim a smaller length", "altered", _field(Field.LENGTH, _plus(-1))),
    _on_line("claim the length 0", "altered", _field(Field.LENGTH, lambda _: b"0")),
    _on_line("claim another index", "altered", _field(Field.INDEX, _plus(1))),
    _on_line("write an index with a leading zero", _BROKEN, _field(Field.INDEX, lambda index: b"0" + index)),
    _on_line("claim another epoch", "altered", _field(Field.EPOCH, lambda epoch: b"%d" % ((int(epoch) + 1) % 256))),
    _on_line("claim another chain", "altered", _field(Field.CHAIN, _plus(1))),
    _on_line("claim a chain that no log gets to", "altered", _field(Field.CHAIN, lambda _: b"%d" % (2**32 - 1))),
    _on_line("claim another log", "unsealed", _field(Field.LOG_ID, _other_log)),
    _on_line("write the log id in capitals", _BROKEN, _field(Field.LOG_ID, lambda own: own.upper())),
    _on_line("take a seal off", "unsealed", text_of),
    _on_line("write a seal twice", _BROKEN, lambda line: line + b" " + line[len(text_of(line)) :].lstrip(b' ,"')),
    _on_line("put a seal before its line", _BROKEN, _front_seal),
    _on_line("put something after a seal", _BROKEN, lambda line: line + b" ok"),
)


# -- lines as bytes


def _insert(scene: Scene) -> Scene:
    at = scene.victim
    return scene.spliced(at, at, b"user=root action=login ok=true from=10.0.0.1").expecting(line=at)


def _look_alike(scene: Scene) -> Scene:
    """Put a line in that looks like the opening of a chain, with the text of a real one."""
    if not scene.controls:
        raise ImpossibleError("no opening of a chain is here")
    opening = next((i for i in reversed(scene.controls) if scene.position(i)[1:] == (0, 0)), scene.controls[0])
    return scene.spliced(scene.victim, scene.victim, text_of(scene.lines[opening])).expecting(line=scene.victim)


def _insert_sealed(scene: Scene) -> Scene:
    """Put a line in with a seal whose tag is made up, at a position that no line has."""
    at = scene.victim
    chain, epoch, _ = scene.position(at)
    found = seal_of(scene.lines[at])
    assert found is not None
    text = b"user=root action=login ok=true"
    seal = b"%s.%d.%d.65535.%d.%s" % (found[Field.LOG_ID], chain, epoch, len(text), b"A" * 22)
    return scene.spliced(at, at, text + b" tally=" + seal).expecting(line=at)


def _insert_edited(scene: Scene) -> Scene:
    """Put an edited copy of a line after it."""
    at = scene.victim
    return scene.spliced(at + 1, at + 1, edited(scene.lines[at])).expecting(line=at + 1)


def _halve(line: bytes) -> bytes:
    return line[: max(1, len(text_of(line)) // 2)]


def _glue(scene: Scene) -> Scene:
    at = scene.victim
    return scene.spliced(at, at + 2, scene.lines[at] + scene.lines[at + 1]).expecting(line=at)


def _glue_middle(scene: Scene) -> Scene:
    """Cut a piece out of the file, from the middle of a line into the middle of the next one."""
    at = scene.victim
    one, two = _halve(scene.lines[at]), scene.lines[at + 1]
    return scene.spliced(at, at + 2, one + two[changeable(two) :]).expecting(line=at)


def _split(scene: Scene) -> Scene:
    at, line = scene.victim, scene.lines[scene.victim]
    half = _halve(line)
    return scene.spliced(at, at + 1, half, line[len(half) :]).expecting(line=at)


def _blanked(fill: bytes) -> Callable[[Scene], Scene]:
    """Return what writes over a line and leaves its line end."""

    def doctor(scene: Scene) -> Scene:
        at = scene.victim
        doctored = scene.spliced(at, at + 1, fill * len(scene.lines[at]))
        return doctored.expecting(scene.position(at))

    return doctor


def _redact(scene: Scene) -> Scene:
    at = scene.victim
    found = seal_of(scene.lines[at])
    assert found is not None
    where = b".".join(found[field] for field in (Field.LOG_ID, Field.CHAIN, Field.EPOCH, Field.INDEX))
    return scene.changed(at, b"[redacted] tally=%s.~%s.%s" % (where, b"A" * 43, b"A" * 22))


def _byte_order_mark(scene: Scene) -> Scene:
    start = (0, *scene.breaks)[scene.file_of(scene.victim)]
    if scene.positions[start] is None:
        raise ImpossibleError("the file does not begin with a sealed line")
    return scene.changed(start, b"\xef\xbb\xbf" + scene.lines[start])


INSERT = Attack("insert a line", frozenset({"unsealed"}), _insert)
LOOK_ALIKE = Attack("inject a look-alike control line", frozenset({"unsealed"}), _look_alike)

BYTES = (
    INSERT,
    LOOK_ALIKE,
    Attack("insert a line with a seal that is made up", frozenset({"altered"}), _insert_sealed),
    Attack("insert an edited copy of a line", frozenset({"altered"}), _insert_edited),
    _on_line("cut a line in its middle", "unsealed", _halve),
    Attack("cut from within a line into the next one", frozenset({"altered"}), _glue_middle),
    Attack("glue two lines together", frozenset({"altered", "unsealed"}), _glue),
    Attack("split a line in two", frozenset({"unsealed"}), _split),
    Attack("write NULs over a line", frozenset({"missing"}), _blanked(b"\0")),
    Attack("write blanks over a line", frozenset({"missing"}), _blanked(b" ")),
    _on_line("put NULs before a line", "altered", lambda line: bytes(16) + line),
    _on_line("put NULs after a line", _BROKEN, lambda line: line + bytes(16)),
    Attack("put a byte order mark at the beginning of a file", frozenset({"altered"}), _byte_order_mark),
    Attack("redact a line without the right to", frozenset({"redacted", "altered"}), _redact),
)
