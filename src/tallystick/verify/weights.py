"""How much a finding weighs: a note changes no verdict, the others do.

>>> [weight.value for weight in Weight]
['note', 'incomplete', 'failed']
"""

import enum

__all__ = ["Weight"]


class Weight(enum.Enum):
    """How much a finding weighs."""

    NOTE = "note"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
