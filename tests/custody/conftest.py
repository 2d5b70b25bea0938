"""Keys of OpenBao."""

from tests.custody.transit import bao, engine, limited

__all__ = ["bao", "engine", "limited"]
