"""Objects in object storage: `s3://`, `gs://`, `az://` and `https://`, listed, read in ranges, and put there.

>>> is_url("s3://logs/app/**"), is_url("logs/app.log"), is_url("file:logs")
(True, False, False)
"""

from tallystick.objects.address import Address, is_url
from tallystick.objects.ahead import Ahead, Ranges
from tallystick.objects.store import Object, Store, connect

__all__ = ["Address", "Ahead", "Object", "Ranges", "Store", "connect", "is_url"]
