"""Tallystick seals log lines as they are written, so that nobody can change them later unnoticed."""
