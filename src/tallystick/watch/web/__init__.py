"""The page, the API and the metrics of the watch service, over HTTP and read-only.

>>> from tallystick.watch.config import Web
>>> serve(Web("0.0.0.0", 0), None)
Traceback (most recent call last):
    ...
tallystick.web.access.WebError: 0.0.0.0 can be reached from other machines, and nothing says who may read there
hint: name a file with a token, or with the authority of clients' certificates, or listen at 127.0.0.1
"""

from tallystick.watch.web.site import serve
from tallystick.web import Server, WebError

__all__ = ["Server", "WebError", "serve"]
