"""A place for the command, and keys of OpenBao."""

from tests.cli.conftest import bare
from tests.custody.transit import bao, engine, limited

__all__ = ["bao", "bare", "engine", "limited"]
