"""Witnesses, as a writer sees them: it shows them how far its log has come, and waits for them where asked to."""
