"""Services of strangers are asked, and slow ones hold nobody up."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tallystick.errors import TallystickError
from tallystick.witness.client import ask
from tallystick.witness.posting import Posting

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n"


@contextlib.contextmanager
def dripping(begun: bytes, drop: bytes) -> Iterator[tuple[str, threading.Event]]:
    """Serve one client a beginning, and then a drop again and again; give the URL, and what is set once it is gone."""
    gone, over = threading.Event(), threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(begun)
            while not over.wait(0.02):
                connection.sendall(drop)
        gone.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", gone
        finally:
            over.set()
            thread.join()


ASKED: dict[str, Callable[[str], object]] = {
    "a cosigner or a time-stamp authority": lambda url: Posting(0.3).post(url, b"body", "text/plain"),
    "a witness": lambda url: ask(url, bytes(32), bytes(32), 0.3),
}


@pytest.mark.parametrize("who", ASKED)
@pytest.mark.parametrize(
    ("begun", "drop"),
    [(b"", b""), (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"), (HEAD + b"X-A: ", b"x"), (HEAD + b"\r\n", b"x")],
    ids=["no answer", "headers without end", "a header without end", "a body without end"],
)
def test_an_answer_that_never_ends_is_given_up(who: str, begun: bytes, drop: bytes) -> None:
    with dripping(begun, drop) as (url, gone):
        with pytest.raises(TallystickError, match=r"0\.3 s"):
            ASKED[who](url)
        if drop:
            assert gone.wait(30)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999/", "http://[", "http://a b/", "http://\N{SNOWMAN}.\N{SNOWMAN}/"]
)
def test_a_url_at_which_nobody_can_be_is_no_answer(url: str) -> None:
    with pytest.raises(TallystickError, match="does not answer"):
        Posting(5).post(url, b"body", "text/plain")


def test_nobody_is_followed_to_another_place() -> None:
    with dripping(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", b"") as (url, _):
        assert Posting(5).post(url, b"body", "text/plain") == (302, b"")
