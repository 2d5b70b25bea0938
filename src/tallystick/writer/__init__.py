"""The parts of a writer, each with one thing to keep true; `tallystick.log` puts them together.

Locks are taken in this order, and none of them is waited for by a thread that holds a later one:
key set-up (`lifecycle.KEY_SETUP`), group sync, turn, head, lease (`locks.Locks`). Locks inside a sink come last.
Nobody waits while holding the turn: `Turn.pause` lets go of it.
"""
