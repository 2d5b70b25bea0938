"""What a writer is made of, and what it was asked for."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from tallystick.keystore import Lease
from tallystick.writer.chains import ChainSource
from tallystick.writer.clock import EpochClock
from tallystick.writer.forks import Forks
from tallystick.writer.groupsync import GroupSync
from tallystick.writer.head import HeadKeeper
from tallystick.writer.late import LateHeads
from tallystick.writer.outlet import Notice, OnFull, Outlet
from tallystick.writer.phase import Phase
from tallystick.writer.status import Status
from tallystick.writer.turn import Turn
from tallystick.writer.witnesses.part import Witnesses
from tallystick.writer.witnesses.policy import Policy

__all__ = ["Durability", "Parts", "Settings"]

Durability = Literal["flush", "sync", "sync-each"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What `open_log` was asked for; see there."""

    custody: str | None
    control: str
    epoch_lines: int
    epoch_age: float
    durability: Durability
    on_full: OnFull
    heartbeat: float | None
    on_trouble: Callable[[str], None]
    says_first: Notice | None = None  # what each chain says right after its `open`
    witnesses: Policy = field(default_factory=Policy)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one writer."""

    lease: Lease
    turn: Turn
    phase: Phase
    clock: EpochClock
    outlet: Outlet
    chains: ChainSource
    heads: HeadKeeper
    late: LateHeads
    group: GroupSync
    status: Status
    forks: Forks
    witnesses: Witnesses
