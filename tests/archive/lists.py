"""A store that only lists: so many objects, in pages that were made before, and of each the same blank lines.

Its arguments are their number and their size; it prints its port. A plain listing costs as little here as it can.
"""

import http.server
import sys
from urllib.parse import parse_qs, urlsplit

COUNT, SIZE, PAGE = int(sys.argv[1]), int(sys.argv[2]), 1000
ONE = (
    "<Contents><Key>logs/{0:07}.log</Key><LastModified>2026-11-20T00:00:00.000Z</LastModified>"
    '<ETag>"{0:032x}"</ETag><Size>{1}</Size><StorageClass>STANDARD</StorageClass></Contents>'
)


def page(at: int) -> bytes:
    end = min(at + PAGE, COUNT)
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{end}</NextContinuationToken>"
    rows = "".join(ONE.format(number, SIZE) for number in range(at, end))
    return (
        '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>many</Name>'
        f"{more if end < COUNT else '<IsTruncated>false</IsTruncated>'}{rows}</ListBucketResult>"
    ).encode()


PAGES = {at: page(at) for at in range(0, COUNT, PAGE)}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if "list-type" in query:
            self.answer(200, PAGES[int(query.get("continuation-token", ["0"])[0])], {"Content-Type": "application/xml"})
            return
        number = int(self.path.rpartition("/")[2].split(".")[0])
        ranges = {"Content-Range": f"bytes 0-{SIZE - 1}/{SIZE}", "Last-Modified": "Fri, 20 Nov 2026 00:00:00 GMT"}
        self.answer(206, b"\n" * SIZE, {"ETag": f'"{number:032x}"', **ranges})

    def answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
