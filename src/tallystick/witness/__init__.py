"""Witnesses: somebody outside remembers how long a log was, and when (spec section 11)."""
