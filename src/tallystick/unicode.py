"""Input in UTF-16 or UTF-32: recognised, then refused with the reason, or sealed as UTF-8 where that was asked for.

Cut at the byte LF it would be torn inside of characters, and nothing could read the lines any more. It is recognised by
its byte order mark, or where its first characters are ASCII between NUL bytes.

>>> recognised("hello".encode("utf-16-le")), recognised(b"hello"), recognised(b"\\xff\\xfeh\\0")
(('utf-16-le', 0), None, ('utf-16-le', 2))
"""

import codecs
import re
from typing import Protocol

from tallystick.errors import SealError

__all__ = ["BEGINNING", "ENCODINGS", "Feeding", "Input", "recognised", "refusal"]

_FORMS = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
ENCODINGS = ("auto", "bytes", *_FORMS)
"""What can be asked for: what is recognised as UTF-8, all as it comes, all as UTF-8."""

BEGINNING = 16  # bytes that are enough to recognise it: four characters of UTF-32
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before that of UTF-16, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ASCII = rb"[\t\r\n -~]"
_CHARACTER = {
    "utf-16-le": _ASCII + rb"\0",
    "utf-16-be": rb"\0" + _ASCII,
    "utf-32-le": _ASCII + rb"\0\0\0",
    "utf-32-be": rb"\0\0\0" + _ASCII,
}
_WITHOUT_MARK = {name: re.compile(rb"(?:%b){4}" % form) for name, form in _CHARACTER.items()}
_SHORT = {name: re.compile(rb"(?:%b){2,}" % form) for name, form in _CHARACTER.items()}
_BEGUN = [
    re.compile(form % {b"x": _ASCII})
    for form in (
        rb"(?:%(x)b\0)*%(x)b?", rb"(?:\0%(x)b)*\0?", rb"(?:%(x)b\0\0\0)*(?:%(x)b\0{0,2})?", rb"(?:\0\0\0%(x)b)*\0{0,3}"
    )
]  # fmt: skip


class Feeding(Protocol):
    """What takes the bytes of an input: a `tallystick.lines.Splitter`."""

    def feed(self, data: bytes) -> None:
        """Take the next piece."""

    def finish(self) -> None:
        """Take the end."""


def recognised(beginning: bytes) -> tuple[str, int] | None:
    """Return what an input is encoded in, and how long its mark is; None for UTF-8 and the like.

    Args:
        beginning: Its first `BEGINNING` bytes, or all of it.
    """
    for mark, name in _MARKS:
        if beginning.startswith(mark):
            return name, len(mark)
    for name in _FORMS:
        if _WITHOUT_MARK[name].match(beginning) or (
            len(beginning) < BEGINNING and _SHORT[name].fullmatch(beginning) and b"\n" in beginning
        ):
            return name, 0
    return None


def refusal(called: str, name: str) -> SealError:
    """Return the error for an input that is recognised and was not asked for.

    Args:
        called: What the input is called.
        name: What it is encoded in.
    """
    return SealError(
        f"{called} is {name[:6].upper()}, whose characters would be torn where lines are sealed byte for byte",
        hint="--encoding auto seals it as UTF-8, --encoding bytes as it comes",
    )


class Input:
    """One input on its way to a splitter.

    >>> from tallystick.lines import Splitter
    >>> class Shown:
    ...     def write_lines(self, data):
    ...         print(data)
    ...         return len(data)
    >>> way = Input(Splitter(Shown()), "standard input", "auto")
    >>> way.feed("grüße\\n".encode("utf-16"))
    b'gr\\xc3\\xbc\\xc3\\x9fe\\n'
    """

    def __init__(self, splitter: Feeding, called: str, asked: str | None) -> None:
        """Take what it goes to, what it is called, and one of ENCODINGS, or None to refuse what is recognised."""
        self._splitter, self._called, self._asked = splitter, called, asked
        self._decoder: codecs.IncrementalDecoder | None = None
        self._held = b""
        self._begun = asked == "bytes"
        if asked in _FORMS:
            self._decode_as(asked)

    def feed(self, data: bytes) -> None:
        """Take the next piece.

        Raises:
            SealError: It is in UTF-16 or UTF-32, or not what it was said to be.
        """
        if not self._begun:
            data = self._held + data
            if len(data) < BEGINNING and _may_be(data):
                self._held = data
                return
            data = self._begin(data)
        self._pass_on(data)

    def finish(self) -> None:
        """Take the end.

        Raises:
            SealError: As for `feed`; or it ended inside of a character.
        """
        if not self._begun and self._held:
            self._pass_on(self._begin(self._held))
        if self._decoder is not None:
            self._decode(b"", final=True)
        self._splitter.finish()

    def _begin(self, data: bytes) -> bytes:
        self._begun, self._held = True, b""
        found = recognised(data)
        if found is None:
            return data
        name, mark = found
        if self._asked is None:
            raise refusal(self._called, name)
        if self._decoder is None:
            self._decode_as(name)
        return data[mark:]

    def _decode_as(self, name: str) -> None:
        self._name = name
        # Half of a pair is kept, and written as \ud83d.
        self._decoder = codecs.getincrementaldecoder(name)("surrogatepass")

    def _pass_on(self, data: bytes) -> None:
        if self._decoder is None:
            self._splitter.feed(data)
        else:
            self._decode(data, final=False)

    def _decode(self, data: bytes, *, final: bool) -> None:
        assert self._decoder is not None
        try:
            self._splitter.feed(_as_utf8(self._decoder.decode(data, final)))
        except UnicodeDecodeError as error:
            before, rest = error.object[: error.start], error.object[error.start :]
            self._splitter.feed(_as_utf8(before.decode(self._name, "surrogatepass")))
            self._splitter.finish()
            where = "ends inside of a character" if final else f"is no {self._name[:6].upper()} any more"
            raise SealError(
                f"{self._called} {where}; its bytes from {rest[:8].hex()} on are not sealed, lines before it are",
                hint="see what wrote it, or seal the rest with --encoding bytes",
            ) from None


def _as_utf8(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _may_be(data: bytes) -> bool:
    """Return whether more bytes may show that an input is in UTF-16 or UTF-32. A whole line of bytes is never held."""
    if any(mark.startswith(data) for mark, _ in _MARKS):
        return True
    begun = b"\0" in data or b"\n" not in data
    decided = any(form.match(data) for form in _WITHOUT_MARK.values())
    return begun and not decided and any(form.fullmatch(data) for form in _BEGUN)
