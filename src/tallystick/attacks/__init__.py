"""What an intruder does to a sealed log, on copies: for the demonstration, for tests, and for your own log.

Each attack names the findings of which one must be reported, and where; one that gets a verdict of `ok` was missed.

>>> [attack.name for attack in ATTACKS][:3]
['edit a line', 'insert a line', 'delete a line']
>>> len({attack.name for _, attacks in ALL for attack in attacks}) == sum(len(attacks) for _, attacks in ALL)
True
"""

from tallystick.attacks.ends import CUT, DROP_LAST_CHAIN, ENDS, FORGE_HEAD, HEADS, OWN_KEYS, ROLL_BACK
from tallystick.attacks.lines import BYTES, EDIT, INSERT, LOOK_ALIKE, SEALS, SWAP_SEALS, TEXT
from tallystick.attacks.notices import NOTICES
from tallystick.attacks.scene import Attack, ImpossibleError, Scene
from tallystick.attacks.whole import (
    ABSENCE,
    COPIES,
    DELETE,
    DROP_CHAIN,
    DROP_EPOCH,
    ORDER,
    REORDER,
    REPLAY,
    STATEMENTS,
)

__all__ = ["ALL", "ATTACKS", "Attack", "ImpossibleError", "Scene"]

ALL: tuple[tuple[str, tuple[Attack, ...]], ...] = (
    ("text", TEXT),
    ("seals", SEALS),
    ("bytes", BYTES),
    ("order", ORDER),
    ("absence", ABSENCE),
    ("copies", COPIES),
    ("statements", STATEMENTS),
    ("notices", NOTICES),
    ("the end", ENDS),
    ("the head", HEADS),
    ("keys of his own", OWN_KEYS),
)
"""Every attack, by what is attacked."""

ATTACKS = (
    EDIT,
    INSERT,
    DELETE,
    REORDER,
    SWAP_SEALS,
    CUT,
    DROP_EPOCH,
    DROP_CHAIN,
    DROP_LAST_CHAIN,
    REPLAY,
    LOOK_ALIKE,
    ROLL_BACK,
    FORGE_HEAD,
)
"""What the demonstration plays, in its order."""
