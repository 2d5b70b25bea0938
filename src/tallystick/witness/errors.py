"""What can go wrong at a witness, by what an operator can do about it."""

from tallystick.errors import TallystickError

__all__ = ["BusyError", "StoppedError", "StoreError", "WitnessServiceError"]


class WitnessServiceError(TallystickError):
    """The witness cannot serve as asked."""


class StoreError(WitnessServiceError):
    """The store of a witness cannot be read, or not be written."""


class StoppedError(WitnessServiceError):
    """The witness signs nothing until an operator has acted."""


class BusyError(WitnessServiceError):
    """Too much waits to be done."""
