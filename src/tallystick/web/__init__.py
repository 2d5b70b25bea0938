"""What services serve over HTTP: who may read, connections in bounds, a server in a thread of its own.

>>> from tallystick.web.access import Access
>>> Access.of(Web("0.0.0.0", 0), "0.0.0.0")
Traceback (most recent call last):
    ...
tallystick.web.access.WebError: 0.0.0.0 can be reached from other machines, and nothing says who may read there
hint: name a file with a token, or with the authority of clients' certificates, or listen at 127.0.0.1
"""

from tallystick.web.access import Web, WebError, listen_address
from tallystick.web.server import Server, Site

__all__ = ["Server", "Site", "Web", "WebError", "listen_address"]
