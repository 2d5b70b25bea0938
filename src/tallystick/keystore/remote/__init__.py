"""Key stores on servers: the lease, retries, and words for trouble, which all backends share.

A backend gives a `Session`: a connection that is made at its first use and again after a failure.
"""

from tallystick.keystore.remote.place import Place
from tallystick.keystore.remote.session import Field, Record, Session
from tallystick.keystore.remote.store import RemoteStore

__all__ = ["Field", "Place", "Record", "RemoteStore", "Session"]
