"""Positions of lines, as text and in order.

>>> dotted((1, 0, 7)), after((1, 0, 7))
('1.0.7', (1, 0, 8))
"""

__all__ = ["At", "after", "dotted"]

At = tuple[int, int, int]
"""Chain, epoch, index."""


def dotted(at: At) -> str:
    """Return a position as text."""
    return ".".join(map(str, at))


def after(at: At) -> At:
    """Return the position after a line, in its epoch; index 65,535 is the last that a seal can name."""
    return at[0], at[1], min(at[2] + 1, 65_535)
